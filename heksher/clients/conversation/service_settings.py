"""The service's list of settings, with look-up by name or alias."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from heksher.clients.conversation.effects import Breathe, Request, ask
from heksher.clients.conversation.responses import expect
from heksher.wire import read_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heksher.clients.conversation.effects import Answer, Flow
    from heksher.wire import ListedSetting

LIST_REQUEST: Final = Request("GET", "/api/v1/settings", query="include_additional_data=true")


class Listing:
    """The settings that the service knows.

    Attributes:
        seconds: The seconds that the service took to list them.
    """

    def __init__(self, settings: Iterable[ListedSetting] = (), seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._by_name: dict[str, ListedSetting] = {}
        self._by_alias: dict[str, ListedSetting] = {}
        for listed in settings:
            self.add(listed)

    def add(self, listed: ListedSetting) -> None:
        """Add a setting, or replace it."""
        self._by_name[listed.name] = listed
        for alias in listed.aliases:
            self._by_alias[alias] = listed

    def named(self, name: str) -> ListedSetting | None:
        """Return the setting with the canonical name *name*."""
        return self._by_name.get(name)

    def called(self, name: str) -> ListedSetting | None:
        """Return the setting with the canonical name or alias *name*."""
        return self._by_name.get(name) or self._by_alias.get(name)

    def all(self) -> list[ListedSetting]:
        """Return the settings in the service's order."""
        return list(self._by_name.values())


def fetch_listing() -> Flow[tuple[Listing, list[str]]]:
    """Fetch the list; return it, and why entries were left out."""
    began = monotonic()
    answer = yield from ask(LIST_REQUEST)
    return (yield from read_listing(answer, monotonic() - began))


def read_listing(answer: Answer, seconds: float) -> Flow[tuple[Listing, list[str]]]:
    """Read the response to `LIST_REQUEST`, which took *seconds*; see `fetch_listing`."""
    settings, reasons = expect(LIST_REQUEST, answer, read_list)
    yield Breathe()
    malformed = [f"entry {place} of the list of settings: {why}" for place, why in reasons.items()]
    return Listing(settings, seconds), malformed
