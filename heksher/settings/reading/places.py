"""Which places in states are whose: each setting has one, and gives it back when it is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from heksher.settings.declaration import Declaration
from heksher.settings.reading.state import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from heksher.settings.reading.state import State, StateContent


class Reference(ref[Declaration]):
    """A weak reference to a declaration that still knows the place when that is free."""

    __slots__ = ("place",)

    place: int


class Places:
    """The places of a registry's states; all but `free` is called with the registry's lock held.

    Two settings never share a place in one state. The place of a dropped setting is given to another
    one only while no state but the published one is left, in which it is written anew. While others
    are left, which pins and reads may hold, a place is given that none of them has.
    """

    __slots__ = ("_former", "_free", "_longest", "_occupied")

    def __init__(self) -> None:
        self._former: list[ref[StateContent]] = []
        self._free: list[Reference] = []
        self._longest = PLACES
        self._occupied: dict[int, Reference] = {}

    def follow(self, former: State, state: State) -> None:
        """Note that *state* is about to be published instead of *former*."""
        self._former.append(ref(former[0]))
        self._forget_former()
        self._longest = max(self._longest, len(state))

    def _forget_former(self) -> None:
        if self._former:
            self._former = [content for content in self._former if content() is not None]

    def find(self, state: State, value: Any) -> int:
        """Return a place for a new setting, whose *value* stands there in *state* from now on.

        Args:
            state: The published one.
            value: What the setting reads in it.
        """
        self._forget_former()
        if not self._former:
            self._longest = len(state)
        place = self._freed(state) or self._longest
        state.extend([None] * (place + PLACES - len(state)))
        state[place : place + PLACES] = [None, None, value]
        self._longest = max(self._longest, len(state))
        return place

    def _freed(self, state: State) -> int | None:
        while self._free and not self._former:
            reference = self._free.pop()
            # Another setting may have got the place already, after a shorter state was published.
            is_last = self._occupied.get(reference.place) is reference
            if is_last and reference.place < len(state):
                return reference.place
        return None

    def occupy(self, declaration: Declaration, died: Callable[[Reference], object]) -> Reference:
        """Return a reference to a setting, whose place is its own until that calls *died*."""
        reference = Reference(declaration, died)
        reference.place = declaration.place
        self._occupied[declaration.place] = reference
        return reference

    def free(self, reference: Reference) -> None:
        """Take back the place of a setting that died; any thread may call this at any time."""
        self._free.append(reference)
