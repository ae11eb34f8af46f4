"""What is declared in this process, and the one published state that all readers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from threading import RLock
from typing import Any, Protocol
from weakref import ref

from heksher.exceptions import ClientStateError, InvalidSetting, UnknownSetting, UsageError
from heksher.settings.context import DefaultSource, Scope
from heksher.settings.declaration import Declaration
from heksher.settings.reading.places import Places, Reference
from heksher.settings.reading.state import (
    ASIDE,
    Alarm,
    Overlay,
    Snapshot,
    State,
    StateContent,
    View,
    make_state,
    next_state,
    settled,
    state_of,
)
from heksher.settings.rules.rule_set import RuleSet


class MainClient(Protocol):
    """What a registry tells its main client; any thread may call."""

    def setting_declared(self) -> None:
        """A setting was declared that the client does not know yet."""

    def setting_outdated(self, setting: Any) -> None:
        """A setting's published values are no longer what it wants: query it afresh."""


class Registry:
    """The settings of a process, held weakly, and their published state.

    What nobody can read any more is neither declared nor queried. Readers take no lock; all that
    publishing does to them is one assignment.

    Attributes:
        state: The published state. Only this class assigns it.
        view: What the current task or thread reads instead, if anything: a pinned state, or
            overrides on top of one.
        readers: What makes the settings' `get`, by their features; see `reading`.
        look: What readers ask for the view.
        observers: Who is told of reads.
        viewed: Whether any task or thread ever had a view, or reads are observed; until then
            readers need not ask.
        revision: Another number whenever a setting was declared, died, or became outdated.
    """

    __slots__ = (
        "__weakref__",
        "_died",
        "_has_views",
        "_indexes",
        "_later",
        "_lock",
        "_main",
        "_names",
        "_observers",
        "_places",
        "_revisions",
        "_settings",
        "_shown_revision",
        "look",
        "observers",
        "readers",
        "revision",
        "state",
        "view",
        "viewed",
    )

    def __init__(self) -> None:
        self.view: ContextVar[View | None] = ContextVar("heksher.view", default=None)
        self.look: Callable[[], Any] = self.view.get
        self.observers: tuple[Callable[[Any], object], ...] = ()
        self.readers: dict[tuple[str, ...], Callable[..., Any]] = {}
        self.viewed: bool = False
        self._lock = RLock()
        self._names: dict[str, Reference] = {}
        self._settings: dict[int, Reference] = {}
        self._places = Places()
        self._later: list[Callable[[], None]] = []
        self._main: ref[MainClient] | None = None
        self._observers: dict[object, Callable[[Any], object]] = {}
        self._has_views = False
        # Numbers are taken from them at once, whatever threads do; adding one to a number is not.
        self._indexes = count(1)
        self._revisions = count(1)
        self.revision: int = 0
        self._shown_revision = 0
        # Kept, so that thousands of settings' weak references share it.
        self._died = self._forget
        self.state: State | Alarm = make_state(StateContent(Snapshot(), {}), ())

    def declare(self, draft: Declaration, install: Callable[[Declaration], object]) -> None:
        """Take a setting in.

        Args:
            draft: Its declaration, so far without an index and a place in states.
            install: Called with the declaration, before anybody can find it.

        Raises:
            InvalidSetting: Another living setting has the name, and was not declared by an earlier
                execution of the same code.
        """
        with self._lock:
            self._check_name(draft)
            place = self._places.find(state_of(self.state), draft.default_value)
            declaration = replace(draft, index=next(self._indexes), place=place)
            install(declaration)
            reference = self._places.occupy(declaration, self._died)
            self._settings[declaration.index] = self._names[declaration.name] = reference
            self._revise()
            main = self.main
        if main is not None:
            main.setting_declared()

    def _forget(self, reference: Reference) -> None:
        # Called where the last use of a setting ends, in any thread: it must not take the lock.
        self._places.free(reference)
        self._revise()

    def _revise(self) -> None:
        self.revision = next(self._revisions)

    def _check_name(self, draft: Declaration) -> None:
        other = self._living(draft.name)
        if other is None or other.location.may_be_replaced_by(draft.location):
            return
        first, second = str(other.location), str(draft.location)
        where = f"at {first} and at {second}" if first != second else f"by one line, {first}"
        raise InvalidSetting(
            f"setting {draft.name!r} is declared twice, {where}: give one of them another name, or"
            " declare it once and use that"
        )

    def _living(self, name: str) -> Declaration | None:
        reference = self._names.get(name)
        return None if reference is None else reference()

    def find(self, name: str) -> Declaration:
        """Return the living setting declared under *name*.

        Raises:
            UnknownSetting: There is none.
        """
        declaration = self._living(name)
        if declaration is None:
            raise UnknownSetting(
                f"no living setting is called {name!r}: import the module that declares it"
            )
        return declaration

    def setting_of(self, declaration: Declaration) -> Any:
        """Return the one `Setting` of *declaration*, made again if only its `get` is in use."""
        attached = declaration.attached
        with self._lock:
            return attached.setting() or attached.kind._of(declaration)

    def declare_later(self, declare: Callable[[], None]) -> None:
        """Call *declare*, which declares what could not be yet, before the settings are listed."""
        self._later.append(declare)

    def declared(self) -> list[Declaration]:
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

    def readable(self) -> dict[int, Declaration]:
        """Return all living settings by index: also those that a reload has replaced."""
        with self._lock:
            # A copy: settings may die while this walks through them.
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
        """Return the rule sets that *former* lacks, by place; `None` if more is different."""
        before, now = former.rule_sets, snapshot.rule_sets
        if self._shown_revision != self.revision:
            return None
        if before is now:
            return {}
        replaced = {index: one for index, one in now.items() if before.get(index) is not one}
        if not before.keys() <= now.keys():
            return None
        settings = self._settings
        return {settings[index].place: one for index, one in replaced.items() if index in settings}

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
        self._show(make_state(content, self.readable().values()))
        self._shown_revision = revision

    def _show(self, state: State) -> None:
        self._places.follow(state_of(self.state), state)
        self.state = state

    def observe(self, observer: Callable[[Any], object]) -> Callable[[], None]:
        """Have *observer* told of reads; return a function that ends that. See `observing`."""
        ticket = object()
        with self._lock:
            self._observers[ticket] = observer
            self._look_again()
        return lambda: self._unobserve(ticket)

    def _unobserve(self, ticket: object) -> None:
        with self._lock:
            self._observers.pop(ticket, None)
            self._look_again()

    def _look_again(self) -> None:
        """Have readers find what there is to find now, and ask for it only if there is any."""
        self.observers = tuple(self._observers.values())
        if self.observers:
            self.look = lambda: ASIDE
            self.viewed = True
        else:
            self.look = self.view.get
            self.viewed = self._has_views

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

    def outdated(self, setting: Declaration) -> None:
        """Ask the main client, if any, to query *setting* afresh."""
        self._revise()
        main = self.main
        if main is not None:
            main.setting_outdated(setting)

    def pinned(self) -> Scope:
        """Read everything from one state until the block ends; see `heksher.pinned`."""
        return Scope(self.view, lambda: self._viewed(self.pinned_view()))

    def overridden(self, setting: Declaration, value: Any) -> Scope:
        """Read *value* from *setting* until the block ends, in this task only."""
        return Scope(self.view, lambda: self._viewed(self._override(setting, value)))

    def pinned_view(self) -> View:
        """Return what the current task or thread reads, as it is now."""
        view, state = self.view.get(), self._published()
        return state if view is None else settled(view)

    def _override(self, setting: Declaration, value: Any) -> View:
        view = self.view.get()
        if isinstance(view, Overlay):
            return Overlay(lambda: view.state, (*view.overridden, (setting, value)))
        if view is None:
            return Overlay(self._published, [(setting, value)])
        base = state_of(view)
        return Overlay(lambda: base, [(setting, value)])

    def _viewed(self, view: View) -> View:
        if not self._has_views:
            with self._lock:
                # Stays so: a task that was started inside keeps the view for as long as it lives.
                self._has_views = self.viewed = True
        return view

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


def pinned() -> AbstractContextManager[None]:
    """Read all settings from one published state until the `with` block ends.

    Tasks that are started inside inherit it; others go on to see each update. A block that is left
    in another context than it was entered in changes nothing there.
    """
    return DEFAULT.pinned()
