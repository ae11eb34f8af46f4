"""Tests that say what settings read: `pytest examples/test_with_plugin.py`."""

from collections.abc import Iterator

import pytest

from heksher import InvalidValue, Setting, ThreadHeksherClient
from heksher.testing import LocalService, Rule, StubHeksherClient

FEATURES = ["environment", "user"]

cache_ttl = Setting[int]("example.cache.ttl", configurable_features=FEATURES, default_value=60)


def cache_header(user: str) -> str:
    return f"max-age={cache_ttl.get(environment='production', user=user)}"


def test_one_value_for_everybody(heksher: StubHeksherClient) -> None:
    heksher[cache_ttl].rules = 5

    assert cache_header("john") == "max-age=5"


def test_rules_as_on_the_service(heksher: StubHeksherClient) -> None:
    heksher[cache_ttl].rules = [Rule({"user": "john"}, 0), Rule({"environment": "test"}, 1)]

    assert cache_header("john") == "max-age=0"
    assert cache_header("mary") == "max-age=60"


@pytest.mark.heksher({"example.cache.ttl": 7})
def test_marked() -> None:
    assert cache_header("john") == "max-age=7"


def test_override_holds_in_this_task_alone() -> None:
    with cache_ttl.override(3):
        assert cache_header("john") == "max-age=3"


def test_value_that_no_rule_could_have(heksher: StubHeksherClient) -> None:
    with pytest.raises(InvalidValue, match="must be an int"):
        heksher["example.cache.ttl"].rules = "off"


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService(FEATURES) as local:
        yield local


def test_a_story_with_the_real_client(service: LocalService) -> None:
    service.add_rule(cache_ttl, 5, user="john")

    with ThreadHeksherClient(service.url, 3600, FEATURES) as client:
        assert cache_header("john") == "max-age=5"

        service.rename(cache_ttl, "example.page.ttl")
        client.reload()
        with service.fail_with(503), pytest.raises(Exception, match="503"):
            client.reload()
        assert cache_header("john") == "max-age=5"
