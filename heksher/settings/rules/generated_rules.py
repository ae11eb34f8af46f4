"""Look-ups of rules: functions from feature values, by position, to a setting's value.

A *resolver* finds the rule that applies. A *filler* does the same after filling in the values that
were not given. Both are generated once for each `Shape`; settings of the same shape share the code.
"""

from __future__ import annotations

from functools import lru_cache, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakValueDictionary

from heksher.settings.context import ABSENT, bound_features
from heksher.settings.rules.look_up_source import Shape, checked_first, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

    from heksher.settings.context import DefaultSource
    from heksher.settings.rules.look_up_source import Positions

    Resolver: TypeAlias = Callable[..., Any]
    Table: TypeAlias = dict[Any, Any]

SIMPLE_TIERS: Final = 2
"""Shapes of at most so many tiers are always generated: there are few of them."""

MAX_GENERATED_TIERS: Final = 16

MAX_SHAPES: Final = 256
"""How many of the most recent shapes are kept, even if no setting uses them."""


def resolver_of(
    width: int, tiers: tuple[Positions, ...], tables: Sequence[Table], default: Any
) -> Resolver:
    """Return a function from *width* feature values, by position, to the value that applies.

    Args:
        width: How many configurable features the setting has.
        tiers: The positions of each tier's features; see `Shape`.
        tables: For each tier, the values by feature value, or by a tuple of them if there is not
            exactly one.
        default: The value if no rule matches.
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

    It takes the value from the bound context, or else from the client's default.

    Args:
        features: The configurable features.
        sources: The client's default for each of them.
        missing: Returns the error to raise for a feature without a value.
        resolver: The function to call with all values.
        rules: The tiers, tables and default of *resolver*, to look up without a call, which is
            faster; `None` if its rules are not in tables.
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
    """Return the value that applies for feature values of any type; only a `str` can match."""
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
    """Return feature values for a look-up: those that are not a `str` become `None`."""
    texts = [value if isinstance(value, str) else None for value in values]
    try:
        hash(tuple(texts))
    except TypeError:
        # A subclass without a hash: use its text.
        return [None if text is None else str.__str__(text) for text in texts]
    return texts


def _known_values(tiers: tuple[Positions, ...], tables: Sequence[Table]) -> list[frozenset[str]]:
    """Return the values that rules have for each feature of `checked_first`."""
    known: dict[int, set[str]] = {position: set() for position in checked_first(tiers)}
    if known:
        for positions, rules in zip(tiers, tables, strict=True):
            if len(positions) > 1:
                for position, values in zip(positions, zip(*rules, strict=True), strict=True):
                    known[position].update(values)
    return [frozenset(values) for values in known.values()]


# By shape, as long as any function uses the code: shapes that a process no longer uses do not count,
# so speed does not depend on history.
_simple: Final[WeakValueDictionary[Shape, CodeType]] = WeakValueDictionary()
_others: Final[WeakValueDictionary[Shape, CodeType]] = WeakValueDictionary()


def _code(shape: Shape) -> CodeType | None:
    """Return the code for *shape*, or `None` if it should not be generated."""
    count = len(shape.tiers or ())
    if count <= SIMPLE_TIERS:
        return _recent_code(shape)
    if count > MAX_GENERATED_TIERS:
        return None
    # 10,000 settings over five features can have 9,500 shapes: seconds of `exec`. The limit is twice
    # the number that is kept, and half of them may be unused.
    if len(_others) >= 2 * MAX_SHAPES and shape not in _others:
        return None
    return _recent_code(shape)


@lru_cache(maxsize=MAX_SHAPES)
def _recent_code(shape: Shape) -> CodeType:
    known = _simple if len(shape.tiers or ()) <= SIMPLE_TIERS else _others
    code = known.get(shape)
    if code is None:
        scope: dict[str, Any] = {}
        # As in dataclasses; the source contains no text from outside.
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
"""The globals of generated code."""
