"""Read-only forms of Python's containers.

`FrozenList`, `FrozenDict` and `FrozenSet` are subclasses of the annotated types: they equal plain
ones, pass `isinstance` and serialize alike. `copy` and pickle return plain ones. No method of theirs
changes them; C code that bypasses methods (`heapq.heappush`, `list.append(value, 1)`) still can.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, is_dataclass
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pydantic import BaseModel

K = TypeVar("K")
V = TypeVar("V")


def _refuse(self: object, *_args: object, **_kwargs: object) -> NoReturn:
    kind = type(self).__mro__[1].__name__
    raise TypeError(f"a setting's value is read-only: copy it first, {kind}(value)")


class FrozenList(list[V]):
    """A read-only list."""

    __slots__ = ()

    def __new__(cls, items: Any = ()) -> FrozenList[V]:
        """Return a new one of *items*; `__init__` has nothing left to do."""
        made = list.__new__(cls)
        list.extend(made, items)
        return made

    def __init__(self, items: Any = ()) -> None:
        pass

    if not TYPE_CHECKING:
        append = extend = insert = pop = remove = clear = sort = reverse = _refuse
        __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def copy(self) -> list[V]:
        """Return a plain list of the same items."""
        return list(self)

    def __copy__(self) -> list[V]:
        return list(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)


class FrozenDict(dict[K, V]):
    """A read-only dict."""

    __slots__ = ()

    def __new__(cls, items: Any = ()) -> FrozenDict[K, V]:
        """Return a new one of *items*, a mapping or pairs; `__init__` has nothing left to do."""
        made = dict.__new__(cls)
        dict.update(made, items)
        return made

    def __init__(self, items: Any = ()) -> None:
        pass

    if not TYPE_CHECKING:
        pop = popitem = setdefault = update = clear = _refuse
        __setitem__ = __delitem__ = __ior__ = _refuse

    @classmethod
    def fromkeys(cls, iterable: Any, value: Any = None) -> dict[Any, Any]:
        """Return a plain dict, as `dict.fromkeys` does."""
        return dict.fromkeys(iterable, value)

    def copy(self) -> dict[K, V]:
        """Return a plain dict of the same items."""
        return dict(self)

    def __copy__(self) -> dict[K, V]:
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


def frozen_dict(items: dict[K, V]) -> FrozenDict[K, V]:
    """Return `FrozenDict(items)` in half the time, by bypassing the class call."""
    made: FrozenDict[K, V] = dict.__new__(FrozenDict)
    dict.update(made, items)
    return made


class FrozenSet(set[V]):
    """A read-only set, for values annotated as `set`, not `frozenset`."""

    __slots__ = ()

    def __new__(cls, items: Any = ()) -> FrozenSet[V]:
        """Return a new one of *items*; `__init__` has nothing left to do."""
        made = set.__new__(cls)
        set.update(made, items)
        return made

    def __init__(self, items: Any = ()) -> None:
        pass

    if not TYPE_CHECKING:
        add = discard = remove = pop = clear = update = _refuse
        intersection_update = difference_update = symmetric_difference_update = _refuse
        __ior__ = __iand__ = __isub__ = __ixor__ = _refuse

    def copy(self) -> set[V]:
        """Return a plain set of the same items."""
        return set(self)

    def __copy__(self) -> set[V]:
        return set(self)

    def __or__(self, other: Any) -> Any:
        return set(self) | other

    def __and__(self, other: Any) -> Any:
        return set(self) & other

    def __sub__(self, other: Any) -> Any:
        return set(self) - other

    def __xor__(self, other: Any) -> Any:
        return set(self) ^ other

    def union(self, *others: Any) -> Any:
        """Return a plain set, as `set.union` does."""
        return set(self).union(*others)

    def intersection(self, *others: Any) -> Any:
        """Return a plain set, as `set.intersection` does."""
        return set(self).intersection(*others)

    def difference(self, *others: Any) -> Any:
        """Return a plain set, as `set.difference` does."""
        return set(self).difference(*others)

    def symmetric_difference(self, other: Any) -> Any:
        """Return a plain set, as `set.symmetric_difference` does."""
        return set(self).symmetric_difference(other)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return set, (set(self),)


_READ_ONLY: Final = frozenset({int, str, bool, float})


def freeze(value: Any) -> Any:
    """Return *value* with all containers in it read-only, at any depth.

    Frozen models and dataclasses are copied, so the caller's instance is not modified. Read-only
    values are returned unchanged.
    """
    if type(value) in _READ_ONLY or isinstance(value, (FrozenList, FrozenDict, FrozenSet)):
        return value
    if isinstance(value, list):
        return FrozenList([freeze(item) for item in value])
    if isinstance(value, dict):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, set):
        return FrozenSet(value)
    if type(value) is tuple:
        return tuple([freeze(item) for item in value])
    if isinstance(value, BaseModel):
        return _frozen_model(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _frozen_dataclass(value)
    return value


def _frozen_model(model: BaseModel) -> BaseModel:
    frozen = model.model_copy()
    # A frozen model rejects setattr; its fields are in __dict__, which belongs to the copy.
    frozen.__dict__.update({name: freeze(value) for name, value in model.__dict__.items()})
    return frozen


def _frozen_dataclass(instance: Any) -> Any:
    cls = type(instance)
    frozen = object.__new__(cls)
    for name, value in getattr(instance, "__dict__", {}).items():
        object.__setattr__(frozen, name, value)
    for slot in _slots(cls):
        # A slot that is not a field may be unset.
        with suppress(AttributeError):
            slot.__set__(frozen, slot.__get__(instance))
    for field in fields(instance):
        object.__setattr__(frozen, field.name, freeze(getattr(instance, field.name)))
    return frozen


def _slots(cls: type) -> list[Any]:
    """Return the slots of a class and its bases, including those that are not fields."""
    return [
        member
        for above in cls.__mro__
        if "__slots__" in vars(above)
        for member in vars(above).values()
        if isinstance(member, MemberDescriptorType)
    ]
