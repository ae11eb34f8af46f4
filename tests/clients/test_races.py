"""What other threads do at any moment of an update is not lost."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from clients.conftest import Canned, Conversation
from heksher import Setting
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

LEAST_TIME = 0.02
"""Seconds that the other thread has at least: an action that waits for a lock goes on later."""


class Interruption:
    """Runs an action in another thread, just before a given line of the clients is executed.

    Args:
        line: Which of the lines that are executed, from 0.
        action: What to do.

    Attributes:
        lines: How many lines were executed.
    """

    def __init__(self, line: int, action: Callable[[], object]) -> None:
        self._line = line
        self._thread = Thread(target=action)
        self.lines = 0

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/heksher/clients/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            if self.lines == self._line:
                self._thread.start()
                self._thread.join(LEAST_TIME)
            self.lines += 1
        return self._trace

    @contextmanager
    def __call__(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)
            if self._thread.ident is not None:
                self._thread.join()


def tracking_world() -> tuple[Conversation, Setting[int]]:
    """Return a conversation that tracks one account, and a setting with rules for two."""
    canned = Canned(features=["account_id"])
    canned.add("n", 1, configurable_features=["account_id"])
    canned.rule("n", 1, 2, account_id="a")
    canned.rule("n", 2, 3, account_id="b")
    talk = Conversation(canned, Registry())
    talk.session.context_features = ("account_id",)
    setting = Setting("n", int, ["account_id"], 1, registry=talk.registry)
    talk.session.track({"account_id": "a"})
    return talk, setting


def test_contexts_tracked_at_any_moment_of_an_update_are_there_after_the_next() -> None:
    line, lines = 0, 1
    while line < lines:
        talk, setting = tracking_world()
        interruption = Interruption(line, lambda: talk.session.track({"account_id": "b"}))  # noqa: B023
        with interruption():
            talk.refresh(first=True)
        line, lines = line + 1, interruption.lines

        talk.refresh()

        assert setting.get(account_id="b") == 3, f"tracked before line {line} of an update"


def test_two_threads_may_track_at_once() -> None:
    line, lines = 0, 1
    while line < lines:
        talk, setting = tracking_world()
        interruption = Interruption(line, lambda: talk.session.track({"account_id": "b"}))  # noqa: B023
        with interruption():
            talk.session.track({"account_id": "c"})
        line, lines = line + 1, interruption.lines

        talk.refresh(first=True)

        assert setting.get(account_id="b") == 3, f"tracked before line {line}"
