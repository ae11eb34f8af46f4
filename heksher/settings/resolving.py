"""Make resolvers and fillers: from feature values by position to a setting's value.

A *resolver* holds what was compiled for one setting: for each set of features that rules have
conditions on, the highest precedence first, a dict of values. It is made by a factory that is
generated once for each *shape*. With rules on both features, and rules on the second::

    def ømake(ødefault, ør0, ør1):
        def resolve(ø0, ø1, ødefault=ødefault, ør0=ør0, ør1=ør1):
            try:
                økey = (ø0, ø1,)
                if økey in ør0 and (type(ø0) is str or øis_text(ø0)) and (...):
                    return ør0[økey]
                if ø1 in ør1 and (type(ø1) is str or øis_text(ø1)):
                    return ør1[ø1]
            except TypeError:
                return øsafely(((ør0, (0,1,)), (ør1, (1,)), ), ødefault, ø0, ø1)
            return ødefault
        return resolve

What it holds are default values of parameters that no caller gives: one tuple, where a closure
would have a cell for each, and the collector walks through all there is. What is not worth
generating resolves as `packing` says.

A *filler* does the same, after filling in what was not given: from the bound context, else from
the client's default; what no rule needs is only looked for. With rules on the second of two
features, a function as default of the first and a `ContextVar` as default of the second, it begins
with::

    øbound = øambient()
    if øbound:
        if øn0 not in øbound and ø0 is øABSENT:
            ø0 = ød0()
        if ø1 is øABSENT:
            if øn1 in øbound:
                ø1 = øbound[øn1]
            else:
                ø1 = ød1(øABSENT)
                if ø1 is øABSENT:
                    raise ømissing(øn1)
    else:
        if ø0 is øABSENT:
            ø0 = ød0()
        if ø1 is øABSENT:
            ø1 = ød1(øABSENT)
            if ø1 is øABSENT:
                raise ømissing(øn1)

Where many tiers have conditions on several features, most of them are passed over without a
look-up: the values that rules have for each feature are known, and asked for once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.settings.context import DefaultKind, bound_features
from heksher.settings.packing import is_text, texts_of
from heksher.settings.reading import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heksher.settings.context import DefaultSource

    Resolver: TypeAlias = Callable[..., Any]
    Positions: TypeAlias = tuple[int, ...]
    Tiers: TypeAlias = Sequence[tuple[Positions, dict[Any, Any]]]

MAX_SHAPES: Final = 256
"""How many shapes are generated; each takes up to 1 ms, once, and its code stays."""

MIN_PASSED_OVER: Final = 4
"""With how many tiers on several features it pays to ask for each feature's values first."""

MAX_GENERATED_TIERS: Final = 16
"""How many tiers a generated resolver has at most."""

MIN_SPARSE_TIERS: Final = 5
"""From how many tiers on it takes more than two rules each for code to be generated."""


def generated_resolver(width: int, tiers: Tiers, default: Any) -> Resolver | None:
    """Return a function of *width* feature values, by position, that returns what applies.

    Args:
        width: How many configurable features the setting has.
        tiers: For each set of features that rules have conditions on, the highest precedence
            first: the positions of the features, ascending, and the values by feature value (by a
            tuple of them where there is not exactly one).
        default: What applies when no rule does.

    Returns:
        The resolver, or `None` where none is generated for such tiers.
    """
    factory = None
    if len(tiers) < MIN_SPARSE_TIERS or _are_dense(tiers):
        factory = _factory(width, tuple([positions for positions, _ in tiers]), None)
    if factory is None:
        return None
    resolver: Resolver = factory(default, *[rules for _, rules in tiers], *_known_values(tiers))
    return resolver


def _are_dense(tiers: Tiers) -> bool:
    return sum([len(rules) for _, rules in tiers]) > 2 * len(tiers)


def tables_of(resolver: Resolver, count: int) -> tuple[dict[Any, Any], ...]:
    """Return the dicts that a generated resolver of *count* tiers holds, for it alone keeps them."""
    held: Any = resolver
    tables: tuple[dict[Any, Any], ...] = held.__defaults__[1 : 1 + count]
    return tables


def generated_filler(
    features: tuple[str, ...],
    tiers: Tiers,
    default: Any,
    *,
    sources: Sequence[DefaultSource],
    missing: Callable[[str], Exception],
) -> Resolver | None:
    """Return a function like the resolver's that first fills in each value that is `ABSENT`.

    It looks in the bound context, then at *sources*, the client's default for each feature, and
    raises what *missing* makes of the feature's name where neither has a value.
    """
    kinds = tuple([source.kind for source in sources])
    factory = _factory(len(features), tuple([positions for positions, _ in tiers]), kinds)
    if factory is None:
        return None
    names = [missing, *features, *[source.source for source in sources]]
    filler: Resolver = factory(
        default, *names, *[rules for _, rules in tiers], *_known_values(tiers)
    )
    return filler


def filler_around(
    resolver: Resolver,
    features: tuple[str, ...],
    *,
    sources: Sequence[DefaultSource],
    missing: Callable[[str], Exception],
) -> Resolver:
    """Return a filler that calls *resolver* with all values, whatever tiers that one has."""
    kinds = tuple([source.kind for source in sources])
    names = [missing, *features, *[source.source for source in sources]]
    filler: Resolver = _outer_filler_factory(kinds)(resolver, *names)
    return filler


_factories: dict[
    tuple[int, tuple[Positions, ...], tuple[DefaultKind, ...] | None], Callable[..., Resolver]
] = {}


def _factory(
    width: int, tiers: tuple[Positions, ...], kinds: tuple[DefaultKind, ...] | None
) -> Callable[..., Resolver] | None:
    shape = (width, tiers, kinds)
    known = _factories.get(shape)
    if known is not None:
        return known
    if len(_factories) >= MAX_SHAPES or len(tiers) > MAX_GENERATED_TIERS:
        return None
    source = resolver_source(width, tiers) if kinds is None else filler_source(kinds, tiers)
    return _factories.setdefault(shape, execute(source, _NAMES))


def resolver_source(width: int, tiers: tuple[Positions, ...]) -> str:
    """Return the source of a resolver's factory; the module's docstring shows one."""
    held = ["ødefault", *_rule_names(tiers)]
    return _factory_source(width, held, _look_up_lines(width, tiers))


def filler_source(kinds: tuple[DefaultKind, ...], tiers: tuple[Positions, ...]) -> str:
    """Return the source of a filler's factory; the module's docstring shows its heart."""
    width = len(kinds)
    needed = {position for positions in tiers for position in positions}
    held = ["ødefault", *_filling_names(width), *_rule_names(tiers)]
    return _factory_source(
        width, held, [*_fill_lines(kinds, needed), *_look_up_lines(width, tiers)]
    )


@lru_cache(maxsize=MAX_SHAPES)
def _outer_filler_factory(kinds: tuple[DefaultKind, ...]) -> Any:
    width = len(kinds)
    lines = _fill_lines(kinds, set(range(width)))
    lines.append(f"return øresolve({_arguments(width)})")
    source = _factory_source(width, ["øresolve", *_filling_names(width)], lines)
    return execute(source, _NAMES)


def _factory_source(width: int, held: list[str], lines: list[str]) -> str:
    """Return the source of what makes a function of *lines*, which holds what they use of *held*."""
    used = set(re.findall(r"ø\w+", " ".join(lines)))
    defaults = "".join([f", {name}={name}" for name in held if name in used])
    return "\n".join(
        [
            f"def ømake({', '.join(held)}):",
            f"    def resolve({_arguments(width)}{defaults}):",
            *(f"        {line}" for line in lines),
            "    return resolve",
        ]
    )


def _look_up_lines(width: int, tiers: tuple[Positions, ...]) -> list[str]:
    if not tiers:
        return ["return ødefault"]
    asked = _asked_first(tiers)
    lines = [f"øk{position} = ø{position} in øv{position}" for position in asked]
    for place, positions in enumerate(tiers):
        found = _tier_lines(place, positions)
        if asked and len(positions) > 1:
            known = " and ".join(f"øk{position}" for position in positions)
            found = [f"if {known}:", *(f"    {line}" for line in found)]
        lines += found
    return [
        "try:",
        *(f"    {line}" for line in lines),
        "except TypeError:",
        f"    return øsafely(({_pairs(tiers)}), ødefault, {_arguments(width)})",
        "return ødefault",
    ]


def _pairs(tiers: tuple[Positions, ...]) -> str:
    """Return the tiers as source: each one's rules, and its positions."""
    shown = ["".join(f"{position}," for position in positions) for positions in tiers]
    return "".join(f"(ør{place}, ({one})), " for place, one in enumerate(shown))


def _tier_lines(place: int, positions: Positions) -> list[str]:
    key, lines = f"ø{positions[0]}" if len(positions) == 1 else "økey", []
    if len(positions) != 1:
        lines.append(f"økey = ({' '.join(f'ø{position},' for position in positions)})")
    typed = "".join(
        f" and (type(ø{position}) is str or øis_text(ø{position}))" for position in positions
    )
    return [*lines, f"if {key} in ør{place}{typed}:", f"    return ør{place}[{key}]"]


def _asked_first(tiers: Sequence[Positions]) -> list[int]:
    """Return the positions of the features whose known values are asked for before all look-ups."""
    several = [positions for positions in tiers if len(positions) > 1]
    if len(several) < MIN_PASSED_OVER:
        return []
    return sorted({position for positions in several for position in positions})


def _known_values(tiers: Tiers) -> list[frozenset[str]]:
    if len(tiers) < MIN_PASSED_OVER:
        return []
    asked = _asked_first([positions for positions, _ in tiers])
    known: dict[int, set[str]] = {position: set() for position in asked}
    for positions, rules in tiers:
        if asked and len(positions) > 1:
            for position, values in zip(positions, zip(*rules, strict=True), strict=True):
                known[position].update(values)
    return [frozenset(values) for values in known.values()]


def _fill_lines(kinds: tuple[DefaultKind, ...], needed: set[int]) -> list[str]:
    bound, unbound = [], []
    for place, kind in enumerate(kinds):
        if kind in _ALWAYS_THERE and place not in needed:
            continue
        default = [line.replace("#", str(place)) for line in _DEFAULT_LINES[kind]]
        unbound += [f"if ø{place} is øABSENT:", *_indented(default)]
        bound += _bound_lines(place, default, needed)
    if not bound:
        return []
    if not needed:
        return ["øbound = øambient()", *bound]
    return [
        "øbound = øambient()",
        "if øbound:",
        *_indented(bound),
        "else:",
        *_indented(unbound),
    ]


def _bound_lines(place: int, default: list[str], needed: set[int]) -> list[str]:
    if place not in needed:
        return [f"if øn{place} not in øbound and ø{place} is øABSENT:", *_indented(default)]
    return [
        f"if ø{place} is øABSENT:",
        f"    if øn{place} in øbound:",
        f"        ø{place} = øbound[øn{place}]",
        "    else:",
        *_indented(_indented(default)),
    ]


_ALWAYS_THERE: Final = frozenset({DefaultKind.CONSTANT, DefaultKind.SET_VARIABLE})
"""Defaults that need not be read to know that there is a value."""


_DEFAULT_LINES: Final = {
    DefaultKind.NONE: ["raise ømissing(øn#)"],
    DefaultKind.CONSTANT: ["ø# = ød#"],
    DefaultKind.VARIABLE: ["ø# = ød#(øABSENT)", "if ø# is øABSENT:", "    raise ømissing(øn#)"],
    DefaultKind.SET_VARIABLE: ["ø# = ød#()"],
    DefaultKind.FUNCTION: ["ø# = ød#()"],
}


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _arguments(width: int) -> str:
    return ", ".join(f"ø{position}" for position in range(width))


def _rule_names(tiers: tuple[Positions, ...]) -> list[str]:
    rules = [f"ør{place}" for place in range(len(tiers))]
    return rules + [f"øv{position}" for position in _asked_first(tiers)]


def _filling_names(width: int) -> list[str]:
    places = range(width)
    return ["ømissing", *(f"øn{place}" for place in places), *(f"ød{place}" for place in places)]


def _resolve_safely(
    tiers: Sequence[tuple[dict[Any, Any], Positions]], default: Any, *values: Any
) -> Any:
    """Resolve for values of which one cannot be hashed: what is no `str` matches nothing.

    It is not handed the resolver, which would have to know itself then, and would wait for the
    collector with all its rules when it is replaced.
    """
    texts = texts_of(values)
    for rules, positions in tiers:
        key: Any = tuple([texts[position] for position in positions])
        if len(positions) == 1:
            (key,) = key
        if key in rules:
            return rules[key]
    return default


_NAMES: Final[dict[str, Any]] = {
    "øambient": bound_features.get,
    "øis_text": is_text,
    "øsafely": _resolve_safely,
}
