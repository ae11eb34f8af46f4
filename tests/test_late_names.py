"""What `import heksher` leaves for later, and that nobody can tell but by the time it takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

import heksher
from heksher import exceptions

LATE = [
    "httpx",
    "asyncio",
    "heksher.clients",
    "heksher.wire",
    "heksher.settings.models.settings_model",
]
"""Modules that a program which only declares and reads settings does not need."""

CLIENT_NAMES = {
    "TRACK_ALL",
    "AsyncHeksherClient",
    "ClientStatus",
    "SettingData",
    "ThreadHeksherClient",
}
SERVICE_ERRORS = {
    "DeclarationError",
    "ServiceError",
    "ServiceStatusError",
    "ServiceUnavailable",
    "UnexpectedResponse",
}


def printed_by(source: str) -> list[str]:
    """Return the lines that *source* prints in a fresh interpreter."""
    run = [sys.executable, "-c", source]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603


def test_import_loads_no_more_than_reading_settings_needs() -> None:
    loaded = printed_by("import heksher, sys; print(*sys.modules, sep=chr(10))")

    assert "heksher.settings.setting" in loaded
    assert not set(LATE) & set(loaded)


def test_import_makes_pydantic_build_nothing() -> None:
    """The first thing built looks for plugins in every distribution that is installed."""
    clients = "from heksher import AsyncHeksherClient, ThreadHeksherClient, Setting"

    loaded = printed_by(f"{clients}; import sys; print(*sys.modules, sep=chr(10))")

    assert "heksher.wire" in loaded
    assert "pydantic.plugin._loader" not in loaded


def test_declaring_and_reading_needs_no_client() -> None:
    source = """
import sys
from heksher import Setting
one = Setting[int]("one", configurable_features=["user"], default_value=1)
print(one.get(user="a"))
print("httpx" in sys.modules)
"""

    assert printed_by(source) == ["1", "False"]


@pytest.mark.parametrize("name", sorted({*CLIENT_NAMES, *SERVICE_ERRORS, "SettingsModel"}))
def test_every_late_name_can_be_had_first_and_alone(name: str) -> None:
    source = f"from heksher import {name}; import heksher; print({name} is heksher.{name})"

    assert printed_by(source) == ["True"]


def test_star_import_gives_every_name() -> None:
    source = "from heksher import *; print(*dir())"

    assert set(printed_by(source)[0].split()) >= set(heksher.__all__)


def test_every_name_is_listed_before_it_is_asked_for() -> None:
    listed = printed_by("import heksher; print(*dir(heksher))")[0].split()

    assert set(listed) >= set(heksher.__all__)
    assert listed == sorted(listed)


def test_a_name_is_looked_for_once() -> None:
    source = """
import heksher
print("AsyncHeksherClient" in vars(heksher))
heksher.AsyncHeksherClient
print("AsyncHeksherClient" in vars(heksher))
"""

    assert printed_by(source) == ["False", "True"]


@pytest.mark.parametrize("module", [heksher, exceptions], ids=lambda module: module.__name__)
def test_misspelled_name_is_refused_in_python_s_own_words(module: object) -> None:
    name = getattr(module, "__name__", "")

    with pytest.raises(AttributeError) as info:
        getattr(module, "Clyent")  # noqa: B009  # a type checker would refuse it

    assert str(info.value) == f"module {name!r} has no attribute 'Clyent'"
    assert (info.value.name, info.value.obj) == ("Clyent", module)


def test_misspelled_import_is_refused_in_python_s_own_words() -> None:
    with pytest.raises(ImportError, match=r"^cannot import name 'Clyent' from 'heksher'"):
        exec("from heksher import Clyent")  # noqa: S102  # a type checker would refuse it


def test_errors_of_the_service_are_where_the_others_are() -> None:
    source = "import heksher; from heksher import exceptions; print(*dir(exceptions))"

    assert set(printed_by(source)[0].split()) >= set(exceptions.__all__) >= SERVICE_ERRORS
    for name in SERVICE_ERRORS:
        assert getattr(exceptions, name) is getattr(heksher, name)


def test_threads_that_ask_first_at_the_same_time_get_the_same() -> None:
    source = """
import threading, heksher
found, together = [], threading.Barrier(8)
def ask():
    together.wait()
    found.append(heksher.ThreadHeksherClient)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""

    assert printed_by(source) == ["8 1"]


def test_threads_that_read_first_at_the_same_time_read_the_same() -> None:
    """Validators are built at their first use, by whichever threads come then."""
    source = """
import json, sys, threading
from dataclasses import asdict
from heksher import wire
sys.setswitchinterval(1e-6)
listed = dict(name="a", configurable_features=["user"], type="int", default_value=1, metadata={})
listed |= dict(aliases=[], version="1.0")
found, together = [], threading.Barrier(8)
def read():
    together.wait()
    rule = b'{"value": 1, "context_features": [["user", "a"]], "rule_id": 1}'
    body = b'{"settings": {"a": {"default_value": 1, "rules": [' + rule + b"]}}}"
    found.append(wire.read(wire.QUERY_RESPONSE, body)["settings"]["a"]["rules"][0]["rule_id"])
    found.append(asdict(wire.read(wire.LISTED_SETTING, json.dumps(listed).encode())) == listed)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), set(found))
"""

    assert printed_by(source) == ["16 {1}"]
