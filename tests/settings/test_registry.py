"""The registry: its main client, its published state, settings that come and go."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from heksher import Setting
from heksher.exceptions import ClientStateError

if TYPE_CHECKING:
    from conftest import Publish

    from heksher.settings.registry import Registry


class Client:
    """A client that is told of settings, and does nothing about it."""

    def setting_declared(self) -> None: ...

    def setting_outdated(self, setting: Any) -> None: ...


def test_second_main_client_is_an_error_until_the_first_is_released(registry: Registry) -> None:
    first, second = Client(), Client()
    registry.claim(first)
    registry.claim(first)

    with pytest.raises(ClientStateError, match="close it before"):
        registry.claim(second)
    registry.release(second)
    assert registry.main is first

    registry.release(first)
    registry.claim(second)
    assert registry.main is second


def test_client_that_nobody_holds_is_main_no_more(registry: Registry) -> None:
    registry.claim(Client())
    gc.collect()

    assert registry.main is None
    registry.claim(Client())


def test_values_and_defaults_outlive_their_client(registry: Registry, publish: Publish) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)
    client = Client()
    registry.claim(client)
    publish(setting, [(1, [["user", "x"]], 2)])

    registry.release(client)

    assert setting.get(user="x") == 2


def test_state_of_dropped_settings_does_not_hold_them(registry: Registry, publish: Publish) -> None:
    kept = Setting("kept", int, ["user"], 1, registry=registry)
    dropped = Setting("dropped", int, ["user"], 1, registry=registry)
    publish(dropped, [(1, [["user", "x"]], 2)])
    del dropped
    gc.collect()

    publish(kept, default=3)

    assert registry.declared() == [kept]
    assert kept.get(user="x") == 3
