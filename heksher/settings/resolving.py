"""Look-ups of rules: functions from feature values, by position, to what a setting reads.

A *resolver* looks through the rules of a setting. A *filler* does the same after filling in the
values that were not given. Both are generated once for each `Shape`, and share their code with all
settings of the same shape.
"""

from __future__ import annotations

from functools import lru_cache, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakValueDictionary

from heksher.settings.context import ABSENT, bound_features
from heksher.settings.look_up_source import Shape, asked_first, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

    from heksher.settings.context import DefaultSource
    from heksher.settings.look_up_source import Positions

    Resolver: TypeAlias = Callable[..., Any]
    Table: TypeAlias = dict[Any, Any]

SIMPLE_TIERS: Final = 2
"""Shapes of so few tiers are always generated: there are not many."""

MAX_GENERATED_TIERS: Final = 16

MAX_SHAPES: Final = 256
"""How many of the latest shapes are kept, whether a setting uses them or not."""


def resolver_of(
    width: int, tiers: tuple[Positions, ...], tables: Sequence[Table], default: Any
) -> Resolver:
    """Return a function of *width* feature values, by position, that returns what applies.

    Args:
        width: How many configurable features the setting has.
        tiers: The positions of each tier's features; see `Shape`.
        tables: For each tier, the values by feature value (by a tuple of them where there is not
            exactly one).
        default: What applies when no rule does.
    """
    code = _code(Shape(width, tiers, None))
    if code is None:
        return partial(look_through, tuple(zip(tables, tiers, strict=True)), default)
    return _bound(code, default, *tables, *_known_values(tiers, tables))


def filler_of(
    features: Sequence[str],
    sources: Sequence[DefaultSource],
    missing: Callable[[str], Exception],
    resolver: Resolver,
    rules: tuple[tuple[Positions, ...], Sequence[Table], Any] | None,
) -> Resolver:
    """Return a function like *resolver* that first fills in each value that is `ABSENT`.

    It looks in the bound context, then at the client's default, and raises what *missing* makes of
    the feature's name where neither has a value.

    Args:
        features: The configurable features.
        sources: The client's default for each of them.
        missing: Makes the error that a feature has no value.
        resolver: Resolves all values.
        rules: Tiers, tables and default that *resolver* was made of, to be looked through without
            calling it, which is faster; `None` where they are not in tables.
    """
    kinds = tuple([source.kind for source in sources])
    filling = (missing, *features, *[source.source for source in sources])
    if rules is not None:
        tiers, tables, default = rules
        code = _code(Shape(len(features), tiers, kinds))
        if code is not None:
            return _bound(code, default, *tables, *_known_values(tiers, tables), *filling)
    return _bound(_recent_code(Shape(len(features), None, kinds)), resolver, *filling)


def look_through(tiers: Sequence[tuple[Table, Positions]], default: Any, *values: object) -> Any:
    """Return what applies for feature values of any kind: only a `str` matches a condition."""
    texts = texts_of(values)
    for rules, positions in tiers:
        if len(positions) == 1:
            key: Any = texts[positions[0]]
        else:
            key = tuple([texts[position] for position in positions])
        if key in rules:
            return rules[key]
    return default


def texts_of(values: Sequence[object]) -> list[str | None]:
    """Return feature values as they are looked up: what is no `str` matches nothing, like `None`."""
    texts = [value if isinstance(value, str) else None for value in values]
    try:
        hash(tuple(texts))
    except TypeError:
        # A subclass without a hash: its text has one.
        return [None if text is None else str.__str__(text) for text in texts]
    return texts


def _known_values(tiers: tuple[Positions, ...], tables: Sequence[Table]) -> list[frozenset[str]]:
    """Return the values that rules have for each of the features that are asked first."""
    known: dict[int, set[str]] = {position: set() for position in asked_first(tiers)}
    if known:
        for positions, rules in zip(tiers, tables, strict=True):
            if len(positions) > 1:
                for position, values in zip(positions, zip(*rules, strict=True), strict=True):
                    known[position].update(values)
    return [frozenset(values) for values in known.values()]


# By shape, as long as any function has the code. What a process made once and uses no longer is not
# in here, so speed does not depend on history.
_simple: Final[WeakValueDictionary[Shape, CodeType]] = WeakValueDictionary()
_others: Final[WeakValueDictionary[Shape, CodeType]] = WeakValueDictionary()


def _code(shape: Shape) -> CodeType | None:
    """Return the code for *shape*, or `None` where it is not worth generating any."""
    count = len(shape.tiers or ())
    if count <= SIMPLE_TIERS:
        return _recent_code(shape)
    if count > MAX_GENERATED_TIERS:
        return None
    # 10,000 settings over five features can have 9,500 shapes, which would be seconds of `exec`.
    # Twice as many as are kept, for half of them may be kept without being used.
    if len(_others) >= 2 * MAX_SHAPES and shape not in _others:
        return None
    return _recent_code(shape)


@lru_cache(maxsize=MAX_SHAPES)
def _recent_code(shape: Shape) -> CodeType:
    known = _simple if len(shape.tiers or ()) <= SIMPLE_TIERS else _others
    code = known.get(shape)
    if code is None:
        scope: dict[str, Any] = {}
        # As dataclasses does; the source holds nothing from outside.
        exec(source_of(shape), scope)  # noqa: S102  # see above
        code = known.setdefault(shape, scope["resolve"].__code__)
    return code


def _bound(code: CodeType, *held: object) -> Resolver:
    # Defaults of parameters: one tuple, where a closure would have a cell for each.
    return FunctionType(code, _NAMES, "resolve", held)


_NAMES: Final[dict[str, Any]] = {
    "øABSENT": ABSENT,
    "øambient": bound_features.get,
    "ølook_through": look_through,
}
"""What generated code may use beside its parameters."""
