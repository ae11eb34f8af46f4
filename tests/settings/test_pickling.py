"""Settings and their `get` in pickles: by name, in this process and in others."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from heksher import Setting, UnknownSetting, UsageError
from heksher.settings.registry import Registry

SETTING = Setting("test_pickling.a.get.b", int, ["user"], 1)

protocols = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


@protocols
def test_setting_and_its_get_are_pickled_by_name(protocol: int) -> None:
    pickled = pickle.dumps([SETTING, SETTING.get], protocol)

    setting, get = pickle.loads(pickled)  # noqa: S301  # our own

    assert setting is SETTING
    assert get is SETTING.get


def test_pickle_of_a_dropped_setting_says_what_to_import() -> None:
    setting = Setting("test_pickling.dropped", int, ["user"], 1)
    pickles = [pickle.dumps(setting), pickle.dumps(setting.get)]
    del setting

    for pickled in pickles:
        with pytest.raises(UnknownSetting, match=r"'test_pickling\.dropped'.* import the module"):
            pickle.loads(pickled)  # noqa: S301  # our own


@pytest.mark.parametrize("name", [SETTING.name, "test_pickling.other"])
def test_setting_of_another_registry_is_not_pickled(name: str) -> None:
    setting = Setting(name, int, ["user"], 1, registry=Registry())

    with pytest.raises(UsageError, match=f"{name!r} is declared in a registry of its own"):
        pickle.dumps(setting)
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"Setting.*get"):
        pickle.dumps(setting.get)


def read(get: Any) -> Any:
    return get(user="x")


def test_process_pool_takes_a_get() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(read, SETTING.get).result(timeout=50) == 1
