"""The last good state: when it is written, what is in it, and starting from it."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from pydantic import AfterValidator, Field

from heksher import (
    TRACK_ALL,
    AsyncHeksherClient,
    ServiceError,
    ServiceUnavailable,
    Setting,
    SettingType,
    ThreadHeksherClient,
)
from heksher.clients.conversation.batches import MAX_NAMES
from heksher.clients.snapshots.last_good import LastGood
from heksher.exceptions import InvalidClient
from heksher.settings.reading.state import Source
from heksher.settings.types.custom import Conversion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from clients.conftest import Canned
    from heksher.clients.conversation.effects import Request
    from heksher.settings.registry import Registry

URL = "http://service.example"
FEATURES = ["environment", "user"]


class Program:
    """A program that starts, reads and ends, any number of times, against the canned service."""

    def __init__(self, canned: Canned, registry: Registry, path: Path) -> None:
        self.canned = canned
        self.registry = registry
        self.path = path
        self.setting = self.declare("a", 1)

    def declare(self, name: str, default: Any = 1, **options: Any) -> Setting[Any, ...]:
        return Setting(
            name,
            options.pop("type", type(default)),
            configurable_features=FEATURES,
            default_value=default,
            registry=self.registry,
            **options,
        )

    @contextmanager
    def running(self, **options: Any) -> Iterator[ThreadHeksherClient]:
        with httpx.Client(transport=self.canned.transport()) as http:
            client = ThreadHeksherClient(
                URL,
                3600,
                options.pop("context_features", FEATURES),
                snapshot_path=self.path,
                http_client=http,
                registry=self.registry,
                **options,
            )
            with client:
                yield client

    def run_once(self) -> None:
        with self.running():
            pass

    def saved(self) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads(self.path.read_bytes().partition(b"\n")[2])
        return saved

    def forget(self) -> None:
        """Let the process begin anew: nothing was published yet."""
        from heksher.settings.reading.state import Snapshot

        self.registry.publish(Snapshot())


def away(_: Request) -> Exception:
    return httpx.ConnectError("nobody there")


def failing_queries(_: Request) -> Exception | None:
    return httpx.ReadError("lost") if _.path.endswith("/query") else None


@pytest.fixture
def program(canned: Canned, registry: Registry, tmp_path: Path) -> Program:
    program = Program(canned, registry, tmp_path / "state")
    canned.add("a", 1, configurable_features=FEATURES)
    canned.rule("a", 1, 7, user="x")
    return program


def test_a_start_without_the_service_reads_what_was_good_last(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program.run_once()
    program.forget()
    assert program.setting.get(environment=None, user="x") == 1
    program.canned.instead = [away]
    caplog.clear()

    with program.running() as client:
        assert program.setting.get(environment=None, user="x") == 7
        status = client.status
        assert (status.source, status.started) == (Source.SNAPSHOT, True)
        assert (status.consecutive_failures, status.last_success) == (1, None)
        assert status.age is not None
        assert 0 <= status.age < 10
    messages = [one.message for one in caplog.records if one.name == "heksher"]
    assert len(messages) == 1
    assert "service unavailable at start-up" in messages[0]
    assert "using a snapshot from" in messages[0]


def test_after_a_start_from_the_snapshot_it_keeps_trying(program: Program) -> None:
    program.run_once()
    program.forget()
    program.canned.instead = [away]

    with program.running() as client:
        with pytest.raises(ServiceUnavailable):
            client.reload()
        before = client.status.source
        program.canned.instead = []
        program.canned.rule("a", 2, 8, user="y")
        client.reload()

        assert [before, client.status.source] == [Source.SNAPSHOT, Source.SERVICE]
        assert program.setting.get(environment=None, user="y") == 8


async def test_the_async_client_starts_from_it_too(program: Program) -> None:
    program.run_once()
    program.forget()
    program.canned.instead = [away]
    async with (
        httpx.AsyncClient(transport=program.canned.transport()) as http,
        AsyncHeksherClient(
            URL,
            3600,
            FEATURES,
            snapshot_path=program.path,
            http_client=http,
            registry=program.registry,
        ) as client,
    ):
        assert program.setting.get(environment=None, user="x") == 7
        program.canned.instead = []
        await client.reload()
        assert client.status.source is Source.SERVICE


def test_a_feature_that_the_snapshot_lacks_is_told_of_and_stops_no_start(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program.run_once()
    program.forget()
    program.canned.instead = [away]
    caplog.clear()

    with program.running(context_features=[*FEATURES, "theme"]) as client:
        assert program.setting.get(environment=None, user="x") == 7
        assert client.status.missing_features == ("theme",)
        program.canned.instead = []
        client.reload()
    told = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert [one.__dict__["features"] for one in told] == [["theme"]]


def test_a_feature_that_the_snapshot_lacks_is_missing_until_the_service_has_it(
    program: Program,
) -> None:
    program.run_once()
    program.canned.instead = [away]

    with program.running(context_features=[*FEATURES, "theme"]) as client:
        program.canned.instead = []
        program.canned.features.append("theme")
        client.reload()
        assert client.status.missing_features == ()


def test_a_setting_that_was_renamed_since_reads_what_was_kept_under_its_former_name(
    program: Program,
) -> None:
    program.run_once()
    program.forget()
    renamed = program.declare("b", 2, alias="a", version="1.1")
    program.canned.instead = [away]

    with program.running():
        assert renamed.get(environment=None, user="x") == 7
        assert renamed.get(environment=None, user="y") == 1
        assert program.setting.get(environment=None, user="x") == 7


def test_a_setting_reads_what_was_kept_under_its_own_name_where_there_is_some(
    program: Program,
) -> None:
    program.canned.add("b", 2, configurable_features=FEATURES)
    program.canned.rule("b", 2, 8, user="x")
    both = program.declare("b", 2, alias="a")
    program.run_once()
    program.forget()
    program.canned.instead = [away]

    with program.running():
        assert both.get(environment=None, user="x") == 8


def test_the_service_comes_first(program: Program) -> None:
    program.run_once()
    program.canned.rule("a", 2, 8, user="y")

    with program.running() as client:
        assert client.status.source is Source.SERVICE
        assert program.setting.get(environment=None, user="y") == 8


def test_without_a_snapshot_the_start_fails_and_says_why_there_is_none(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program.canned.instead = [away]

    with pytest.raises(ServiceUnavailable), program.running():
        pass

    assert "ignored: it cannot be read: No such file" in caplog.text


@pytest.mark.parametrize(
    "raw", [b"", b"heksher-snapshot/2 x 1\n{}", b"heksher-snapshot/1 x 1\n{}", b"{}"]
)
def test_a_file_that_cannot_be_trusted_is_ignored_with_a_warning(
    program: Program, caplog: pytest.LogCaptureFixture, raw: bytes
) -> None:
    program.path.write_bytes(raw)
    program.canned.instead = [away]

    with pytest.raises(ServiceUnavailable), program.running():
        pass

    levels = [one.levelno for one in caplog.records if "ignored: " in one.message]
    assert levels == [logging.WARNING]


def test_a_file_that_is_too_old_is_ignored_with_a_warning(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program.run_once()
    program.canned.instead = [away]

    with pytest.raises(ServiceUnavailable), program.running(max_snapshot_age=1e-9):
        pass

    assert "older than max_snapshot_age" in caplog.text


def test_it_is_written_after_an_update_that_changed_something_only(program: Program) -> None:
    with program.running() as client:
        first = program.path.stat().st_ino
        client.reload()
        unchanged = program.path.stat().st_ino
        program.canned.rule("a", 2, 8, user="y")
        client.reload()

        assert unchanged == first
        assert len(program.saved()["settings"]["a"]["rules"]) == 2


def test_a_new_order_of_context_features_is_written_though_no_answer_changed(
    program: Program,
) -> None:
    with program.running() as client:
        program.canned.features.reverse()
        client.reload()

    assert program.saved()["feature_order"] == ["user", "environment"]


def test_a_disk_that_cannot_be_written_costs_one_warning_and_no_update(
    program: Program, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with program.running() as client:
        monkeypatch.setattr("os.fsync", full)
        for rule_id, user in enumerate("yz", start=2):
            program.canned.rule("a", rule_id, 8, user=user)
            client.reload()
            assert program.setting.get(environment=None, user=user) == 8

        assert client.status.consecutive_failures == 0
    warned = [one.message for one in caplog.records if "could not be written" in one.message]
    assert len(warned) == 1
    assert "No space left on device" in warned[0]


def test_what_could_not_be_written_is_written_once_it_can(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with program.running() as client:
        with monkeypatch.context() as patched:
            patched.setattr("tempfile.mkstemp", read_only)
            program.canned.rule("a", 2, 8, user="y")
            client.reload()
        client.reload()

        assert len(program.saved()["settings"]["a"]["rules"]) == 2


@pytest.mark.parametrize("name", ["nowhere/file", "a\0b"])
def test_a_place_that_cannot_be_written_costs_no_update(program: Program, name: str) -> None:
    program.path = program.path.parent / name

    with program.running() as client:
        assert program.setting.get(environment=None, user="x") == 7
        client.reload()
        assert client.status.consecutive_failures == 0


def test_a_batch_that_fails_does_not_lose_what_the_file_has_of_it(program: Program) -> None:
    many = [program.declare(f"s{place:03}", 1) for place in range(MAX_NAMES + 1)]
    for setting in many:
        program.canned.add(setting.name, 5, configurable_features=FEATURES)
    program.run_once()
    program.forget()
    program.canned.instead = [away]

    def one_batch(request: Request) -> Exception | None:
        return httpx.ReadError("lost") if "s100" in request.query else None

    with program.running() as client:
        program.canned.instead = [one_batch]
        program.canned.rule("a", 2, 8, user="y")
        with pytest.raises(ServiceError):
            client.reload()
        assert client.status.source is Source.SNAPSHOT
    program.forget()
    program.canned.instead = [away]
    with program.running():
        assert many[-1].get(environment=None, user=None) == 5
        assert program.setting.get(environment=None, user="y") == 8


def test_a_new_setting_whose_query_fails_does_not_lose_the_others(program: Program) -> None:
    with program.running() as client:
        program.canned.instead = [failing_queries]
        added = program.declare("b", 2)
        with pytest.raises(ServiceError):
            client.reload()

    program.forget()
    program.canned.instead = [away]
    with program.running():
        assert program.setting.get(environment=None, user="x") == 7
        assert added.get(environment=None, user=None) == 2


def test_a_malformed_setting_costs_the_file_nothing(program: Program) -> None:
    other = program.declare("b", 2)
    program.canned.add("b", 5, configurable_features=FEATURES)
    queried = program.canned.queried

    def malformed(name: str) -> dict[str, Any]:
        return {"default_value": 1} if name == "a" else queried(name)

    with program.running() as client:
        program.canned.queried = malformed  # type: ignore[method-assign]  # the service's mistake
        program.canned.rule("b", 2, 8, user="y")
        with pytest.raises(ServiceError):
            client.reload()

    program.forget()
    program.canned.instead = [away]
    with program.running():
        assert program.setting.get(environment=None, user="x") == 7
        assert other.get(environment=None, user="y") == 8


def restarted(program: Program) -> AbstractContextManager[ThreadHeksherClient]:
    """Start the program anew while the service is away."""
    program.forget()
    program.canned.instead = [away]
    return program.running()


def test_a_value_that_stands_in_for_a_refused_one_is_in_the_file(program: Program) -> None:
    with program.running() as client:
        program.canned.rules.clear()
        program.canned.rule("a", 1, "seven", user="x")
        client.reload()
        assert program.setting.get(environment=None, user="x") == 7

    with restarted(program):
        assert program.setting.get(environment=None, user="x") == 7


def test_validators_see_what_the_service_sent_again_not_what_they_made_of_it(
    program: Program,
) -> None:
    program.setting.add_validator(lambda value, _rule, _setting: value * 10)
    program.canned.settings["a"]["default_value"] = 2
    with program.running() as client:
        program.canned.rule("a", 2, "eight", user="y")
        client.reload()
        assert program.setting.get(environment=None, user="x") == 70

    for _ in range(2):
        with restarted(program):
            assert program.setting.get(environment=None, user="x") == 70
            assert program.setting.get(environment=None, user="y") == 20


def test_validators_see_former_values_that_stand_in_for_refused_ones(program: Program) -> None:
    program.setting.add_validator(lambda value, _rule, _setting: value * 10)
    with program.running() as client:
        program.canned.rules.clear()
        program.canned.rule("a", 1, "seven", user="x")
        client.reload()

    with restarted(program):
        assert program.setting.get(environment=None, user="x") == 70


def test_a_value_that_no_json_stands_for_harms_only_itself(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    larger = program.declare(
        "b", 1, type=Annotated[int, AfterValidator(lambda value: value + (value > 1))]
    )
    program.canned.add("b", 5, configurable_features=FEATURES)
    program.canned.rule("b", 2, 6, user="x")
    with program.running() as client:
        client.reload()
        assert larger.get(environment=None, user="x") == 7

    told = [one.message for one in caplog.records if "left out of the snapshot" in one.message]
    assert [text.partition("setting ")[2] for text in told] == [
        "'b': rule 2: its JSON would be decoded to another value",
        "'b': the service's default: its JSON would be decoded to another value",
    ]
    with restarted(program):
        assert larger.get(environment=None, user="x") == larger.default_value
        assert program.setting.get(environment=None, user="x") == 7


def test_a_declaration_that_changed_since_costs_what_no_longer_fits(program: Program) -> None:
    program.canned.add("b", 5, configurable_features=FEATURES)
    program.canned.rule("b", 2, 60, user="x")
    program.canned.rule("b", 3, 7, user="y")
    before = program.declare("b", 1)
    program.run_once()
    del before
    gc.collect()
    after = program.declare("b", 2, type=Annotated[int, Field(le=9)])

    with restarted(program) as client:
        values = [after.get(environment=None, user=user) for user in ("x", "y", "z")]
        assert values == [5, 7, 5]
        assert [one.rule_id for one in client.status.rejected_rules] == [2]
        assert program.setting.get(environment=None, user="x") == 7


class Watched(SettingType[int]):
    """An `int` that notes which threads encode it."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def heksher_string(self) -> str:
        return "int"

    def convert_from_heksher(self, x: Any) -> Conversion[int]:
        return Conversion(x)

    def convert_to_heksher(self, x: int) -> int:
        self.threads.add(threading.get_ident())
        return x


async def test_the_event_loop_does_not_build_the_file(program: Program) -> None:
    kind = Watched()
    kept = program.declare("b", 1, type=kind)
    program.canned.add("b", 1, configurable_features=FEATURES)
    kind.threads.clear()
    async with httpx.AsyncClient(transport=program.canned.transport()) as http:
        client = AsyncHeksherClient(
            URL,
            1,
            FEATURES,
            snapshot_path=program.path,
            http_client=http,
            registry=program.registry,
        )
        async with client:
            assert program.saved()["settings"]["b"]["default_value"] == 1
            assert kept.get(environment=None, user=None) == 1

    assert len(kind.threads) == 1
    assert threading.get_ident() not in kind.threads


def test_a_filtered_state_is_used_only_where_the_same_is_tracked(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    def client(http: httpx.Client, user: str) -> ThreadHeksherClient:
        client = ThreadHeksherClient(
            URL,
            3600,
            FEATURES,
            snapshot_path=program.path,
            http_client=http,
            registry=program.registry,
        )
        client.track_contexts(environment=TRACK_ALL, user=user)
        return client

    with httpx.Client(transport=program.canned.transport()) as http:
        with client(http, "x"):
            pass
        program.canned.instead = [away]
        program.forget()
        with client(http, "x"):
            assert program.setting.get(environment=None, user="x") == 7
        with pytest.raises(ServiceUnavailable), client(http, "y"):
            pass

    assert "while other contexts were tracked" in caplog.text


def test_a_state_that_never_changes_does_not_grow_too_old(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(LastGood.__init__, "__kwdefaults__", {"clock": lambda: now[0]})
    with program.running(max_snapshot_age=100) as client:
        now[0] += 20
        client.reload()
        early = program.saved()["saved_at"]
        now[0] += 20
        client.reload()

        assert early == pytest.approx(1000, abs=1)
        assert program.saved()["saved_at"] == pytest.approx(1040, abs=1)


@pytest.mark.parametrize("age", [0, -1, float("nan"), "1"])
def test_a_greatest_age_is_a_number_above_zero(tmp_path: Path, age: Any) -> None:
    with pytest.raises(InvalidClient, match="max_snapshot_age"):
        ThreadHeksherClient(URL, 1, ["user"], snapshot_path=tmp_path / "x", max_snapshot_age=age)


def test_a_greatest_age_without_a_file_is_a_mistake() -> None:
    with pytest.raises(InvalidClient, match="needs a snapshot_path"):
        ThreadHeksherClient(URL, 1, ["user"], max_snapshot_age=1)


def test_no_file_handle_is_left(program: Program) -> None:
    program.run_once()
    before = len(os.listdir("/proc/self/fd"))

    program.canned.instead = [away]
    for _ in range(5):
        with program.running():
            pass

    assert len(os.listdir("/proc/self/fd")) == before
