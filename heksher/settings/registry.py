"""What is declared in this process, and the one published state that all readers read."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Protocol
from weakref import ref

from typing_extensions import TypeVar

from heksher.exceptions import ClientStateError, InvalidSetting, UnknownSetting, UsageError
from heksher.settings.declared import DeclaredSetting
from heksher.settings.state import (
    PLACES,
    Alarm,
    Overlay,
    RecordedState,
    Snapshot,
    State,
    StateContent,
    View,
    make_state,
    next_state,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from heksher.settings.context import DefaultSource
    from heksher.settings.rules import RuleSet

S = TypeVar("S", bound=DeclaredSetting, default=Any)


class MainClient(Protocol):
    """What a registry tells its main client; any thread may call."""

    def setting_declared(self) -> None:
        """A setting was declared that the client does not know yet."""

    def setting_outdated(self, setting: Any) -> None:
        """A setting's published values are no longer what it wants: query it afresh."""


class Registry(Generic[S]):
    """The settings of a process, held weakly, and their published state.

    What nobody can read any more is neither declared nor queried. Readers take no lock; all that
    publishing does to them is one assignment.

    Attributes:
        state: The published state. Only this class assigns it.
        view: What the current task or thread reads instead, if anything: a pinned state, or
            overrides on top of one.
        readers: What makes the settings' `get`, by their features; see `reading`.
        viewed: Whether any task or thread ever had a view; until then readers need not ask.
        revision: Another number whenever a setting was declared, died, or became outdated.
    """

    __slots__ = (
        "__weakref__",
        "_later",
        "_lock",
        "_main",
        "_names",
        "_note",
        "_noticed",
        "_revisions",
        "_settings",
        "_shown_revision",
        "_size",
        "readers",
        "revision",
        "state",
        "view",
        "viewed",
    )

    def __init__(self) -> None:
        self.view: ContextVar[View | None] = ContextVar("heksher.view", default=None)
        self.readers: dict[tuple[str, ...], Callable[..., Any]] = {}
        self.viewed = False
        self._lock = RLock()
        self._names: dict[str, ref[S]] = {}
        self._settings: dict[int, ref[S]] = {}
        self._later: list[Callable[[], None]] = []
        self._size = PLACES
        self._main: ref[MainClient] | None = None
        self._note: Callable[[State, int], object] | None = None
        # Numbers are taken from it at once, whatever threads do; adding one to a number is not.
        self._revisions = count(1)
        self.revision = self._shown_revision = 0
        # Kept, so that thousands of settings' weak references share it.
        self._noticed = self._revise
        self.state: State | Alarm = make_state(StateContent(Snapshot(), {}), {}, self._size)

    def declare(self, setting: S) -> None:
        """Take *setting* in, and give it the index that it has in every state from now on.

        Raises:
            InvalidSetting: Another living setting has the name, and was not declared at the same
                line of the same file.
        """
        with self._lock:
            self._check_name(setting)
            # Before anybody can find the setting, such as a client in another thread.
            setting.index = index = self._size
            self._size += PLACES
            self._names[setting.name] = self._settings[index] = ref(setting, self._noticed)
            self._revise()
            state_of(self.state).extend([None, None, setting.default_value])
            main = self.main
        if main is not None:
            main.setting_declared()

    def _revise(self, _died: object = None) -> None:
        # Also called by the collector, anywhere: it must not take the lock.
        self.revision = next(self._revisions)

    def _check_name(self, setting: S) -> None:
        other = self._living(setting.name)
        if other is None or other.location == setting.location:
            return
        del other
        # What was dropped may only wait for the collector, since a setting and its get know
        # each other.
        gc.collect()
        other = self._living(setting.name)
        if other is not None:
            raise InvalidSetting(
                f"setting {setting.name!r} is declared twice, at {other.location} and at"
                f" {setting.location}: give one of them another name, or import the other"
            )

    def _living(self, name: str) -> S | None:
        reference = self._names.get(name)
        return None if reference is None else reference()

    def find(self, name: str) -> S:
        """Return the living setting declared under *name*.

        Raises:
            UnknownSetting: There is none.
        """
        setting = self._living(name)
        if setting is None:
            raise UnknownSetting(
                f"no living setting is called {name!r}: import the module that declares it"
            )
        return setting

    def declare_later(self, declare: Callable[[], None]) -> None:
        """Call *declare*, which declares what could not be yet, before the settings are listed."""
        self._later.append(declare)

    def declared(self) -> list[S]:
        """Return the living settings to declare, one for each name, in order of declaration.

        Raises:
            UsageError: As by `declare_pending`.
        """
        self.declare_pending()
        with self._lock:
            found = {name: reference() for name, reference in self._names.copy().items()}
            for name in [name for name, setting in found.items() if setting is None]:
                del self._names[name]
        living = [setting for setting in found.values() if setting is not None]
        return sorted(living, key=lambda setting: setting.index)

    def declare_pending(self) -> None:
        """Declare what was to be declared later.

        Raises:
            UsageError: Some of it cannot be; all else is by then. It is raised once.
        """
        later, self._later = self._later, []
        errors = []
        for declare in later:
            try:
                declare()
            except UsageError as error:
                # Raised once: the others are not to suffer, and its first use raises it again.
                errors.append(error)
        if errors:
            raise errors[0]

    def readable(self) -> dict[int, S]:
        """Return all living settings by index: also those that a reload has replaced."""
        with self._lock:
            # A copy: the collector may run, and settings die, while this walks through them.
            found = {index: reference() for index, reference in self._settings.copy().items()}
            for index in [index for index, setting in found.items() if setting is None]:
                del self._settings[index]
        return {index: setting for index, setting in found.items() if setting is not None}

    @property
    def snapshot(self) -> Snapshot:
        """The published snapshot."""
        content: StateContent = self.state[0]
        return content.snapshot

    def publish(self, snapshot: Snapshot) -> None:
        """Make *snapshot* what is read from now on."""
        with self._lock:
            content: StateContent = self.state[0]
            replaced = self._replaced(content.snapshot, snapshot)
            published = StateContent(snapshot, content.defaults)
            if replaced is None:
                self._assign(published)
            else:
                self._show(next_state(state_of(self.state), published, replaced))

    def _replaced(self, former: Snapshot, snapshot: Snapshot) -> dict[int, RuleSet[Any]] | None:
        """Return the rule sets of *snapshot* that *former* lacks; `None` if more is different."""
        before, now = former.rule_sets, snapshot.rule_sets
        if self._shown_revision != self.revision:
            return None
        if before is now:
            return {}
        replaced = {index: one for index, one in now.items() if before.get(index) is not one}
        return replaced if before.keys() <= now.keys() else None

    def republish(self, change: Callable[[Snapshot], Snapshot]) -> None:
        """Make what *change* returns for the published snapshot what is read from now on."""
        with self._lock:
            content: StateContent = self.state[0]
            self._assign(StateContent(change(content.snapshot), content.defaults))

    @property
    def defaults(self) -> Mapping[str, DefaultSource]:
        """The defaults of context features."""
        content: StateContent = self.state[0]
        return content.defaults

    def set_defaults(self, defaults: Mapping[str, DefaultSource], *, replace: bool = False) -> None:
        """Give context features their defaults, on top of those they have, or instead of them."""
        with self._lock:
            content: StateContent = self.state[0]
            merged = defaults if replace else {**content.defaults, **defaults}
            self._assign(StateContent(content.snapshot, merged))

    def _assign(self, content: StateContent) -> None:
        revision = self.revision
        self._show(make_state(content, self.readable(), self._size))
        self._shown_revision = revision

    def _show(self, state: State) -> None:
        self.state = state if self._note is None else RecordedState(state, self._note)

    @contextmanager
    def recorded(self, note: Callable[[State, int], object]) -> Iterator[None]:
        """Call *note* with the state and the setting's index at each read, until the block ends.

        Reads are slower meanwhile, in all threads; for test runs.
        """
        self._record(note)
        try:
            yield
        finally:
            self._record(None)

    def _record(self, note: Callable[[State, int], object] | None) -> None:
        with self._lock:
            self._note = note
            self._assign(self.state[0])

    @property
    def main(self) -> MainClient | None:
        """The client that declares the settings and publishes their values, if there is one."""
        return None if self._main is None else self._main()

    def claim(self, client: MainClient) -> None:
        """Make *client* the main one.

        Raises:
            ClientStateError: Another client is.
        """
        with self._lock:
            if self.main is not None and self.main is not client:
                raise ClientStateError(
                    "another client is the main one: close it before starting a second"
                )
            self._main = ref(client)

    def release(self, client: MainClient) -> None:
        """Let another client become the main one, if *client* is; values and defaults stay."""
        with self._lock:
            if self.main is client:
                self._main = None

    def outdated(self, setting: S) -> None:
        """Ask the main client, if any, to query *setting* afresh."""
        self._revise()
        main = self.main
        if main is not None:
            main.setting_outdated(setting)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Read everything from one state until the block ends; see `heksher.pinned`."""
        view, state = self.view.get(), self._published()
        if isinstance(view, Overlay):
            base = view.state
            view = Overlay(lambda: base, view.values)
        with self._viewing(view or state):
            yield

    @contextmanager
    def overridden(self, index: int, value: Any) -> Iterator[None]:
        """Read *value* from the setting with *index* until the block ends, in this task only."""
        view = self.view.get()
        if isinstance(view, Overlay):
            over = Overlay(lambda: view.state, {**view.values, index: value})
        elif view is not None:
            base = state_of(view)
            over = Overlay(lambda: base, {index: value})
        else:
            over = Overlay(self._published, {index: value})
        with self._viewing(over):
            yield

    @contextmanager
    def _viewing(self, view: View) -> Iterator[None]:
        # Stays so: a task that was started inside keeps the view for as long as it lives.
        self.viewed = True
        token = self.view.set(view)
        try:
            yield
        finally:
            self.view.reset(token)

    def _published(self) -> State:
        """Return the published state, after setting off the alarm that may lie over it."""
        state = self.state
        if isinstance(state, Alarm):
            state[0]
        return state_of(state)

    def forked(self, wake: Callable[[], None]) -> None:
        """Call *wake* before this process, a forked child, reads a setting for the first time.

        A lock may be held by a thread that only the parent has, so it is replaced.
        """
        self._lock = RLock()
        self.state = Alarm(state_of(self.state), lambda alarm: self._ring(alarm, wake))

    def _ring(self, alarm: Alarm, wake: Callable[[], None]) -> None:
        with self._lock:
            if self.state is not alarm:
                return
            self.state = alarm.state
        wake()

    def current_state(self) -> State:
        """Return the state that the current task or thread reads."""
        return state_of(self.view.get() or self._published())


DEFAULT: Registry = Registry()
"""The registry of all settings and clients that are not told another."""


def pinned() -> Any:
    """Read all settings from one published state until the `with` block ends.

    Tasks that are started inside inherit it; others go on to see each update.
    """
    return DEFAULT.pinned()


def find(name: str) -> Any:
    """Return the living setting of that name in the registry of the process; for unpickling."""
    return DEFAULT.find(name)
