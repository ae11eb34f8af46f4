"""The service's settings as it lists them, found by name or alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heksher.clients.effects import Breathe, Request, ask, expect
from heksher.wire import read_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heksher.clients.effects import Answer, Flow
    from heksher.wire import ListedSetting

LIST_REQUEST: Final = Request("GET", "/api/v1/settings", query="include_additional_data=true")


class Listing:
    """The settings that the service knows, or the part of them that was asked for."""

    def __init__(self, settings: Iterable[ListedSetting] = ()) -> None:
        self._by_name: dict[str, ListedSetting] = {}
        self._by_alias: dict[str, ListedSetting] = {}
        for listed in settings:
            self.add(listed)

    def add(self, listed: ListedSetting) -> None:
        """Take in one more setting, or what is newer of one."""
        self._by_name[listed.name] = listed
        for alias in listed.aliases:
            self._by_alias[alias] = listed

    def named(self, name: str) -> ListedSetting | None:
        """Return the setting with this canonical name."""
        return self._by_name.get(name)

    def called(self, name: str) -> ListedSetting | None:
        """Return the setting with this canonical name or alias."""
        return self._by_name.get(name) or self._by_alias.get(name)

    def all(self) -> list[ListedSetting]:
        """Return the settings in the order in which the service lists them."""
        return list(self._by_name.values())


def fetch_listing() -> Flow[tuple[Listing, list[str]]]:
    """Ask for all settings; return them, and what is wrong with the entries left out."""
    answer = yield from ask(LIST_REQUEST)
    return (yield from read_listing(answer))


def read_listing(answer: Answer) -> Flow[tuple[Listing, list[str]]]:
    """Read the answer to `LIST_REQUEST`, see `fetch_listing`."""
    settings, reasons = expect(LIST_REQUEST, answer, read_list)
    yield Breathe()
    malformed = [f"entry {place} of the list of settings: {why}" for place, why in reasons.items()]
    return Listing(settings), malformed
