"""The source of look-ups, generated once for each `Shape`, as `dataclasses` generates methods.

A setting's rules are bound to its function as defaults of parameters that no caller passes. With
rules on both of two features, and others on the second::

    def resolve(ø0, ø1, ødefault, ør0, ør1):
        try:
            økey = (ø0, ø1,)
            if økey in ør0 and isinstance(ø0, str) and isinstance(ø1, str):
                return ør0[økey]
            if ø1 in ør1 and isinstance(ø1, str):
                return ør1[ø1]
        except TypeError:
            return ølook_through(((ør0, (0,1,)), (ør1, (1,)), ), ødefault, ø0, ø1)
        return ødefault
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from heksher.settings.context import DefaultKind

Positions: TypeAlias = tuple[int, ...]
"""Ascending positions among the configurable features."""

MANY_TIERS: Final = 5
"""From this many tiers on, it pays to check first whether any rule has a feature's value."""


class Shape(NamedTuple):
    """Everything that the code of a look-up depends on.

    Attributes:
        width: How many configurable features there are.
        tiers: For each tier, the positions of the features in its conditions, the highest precedence
            first; `None` for a filler that calls a resolver.
        kinds: How each feature's default is read; `None` for a resolver.
    """

    width: int
    tiers: tuple[Positions, ...] | None
    kinds: tuple[DefaultKind, ...] | None


def source_of(shape: Shape) -> str:
    """Return the source of a look-up; the module's docstring shows one."""
    width, tiers, kinds = shape
    places = range(width)
    held = ["øresolve"] if tiers is None else ["ødefault", *_rule_names(tiers)]
    lines = []
    if kinds is not None:
        held += [
            "ømissing",
            *[f"øn{place}" for place in places],
            *[f"ød{place}" for place in places],
        ]
        needed = set(places) if tiers is None else {one for tier in tiers for one in tier}
        lines += _fill_lines(kinds, needed)
    values = ", ".join([f"ø{place}" for place in places])
    lines += [f"return øresolve({values})"] if tiers is None else _look_up_lines(tiers, values)
    return "\n".join([f"def resolve({values}, {', '.join(held)}):", *_indented(lines)])


def _rule_names(tiers: tuple[Positions, ...]) -> list[str]:
    rules = [f"ør{place}" for place in range(len(tiers))]
    return rules + [f"øv{position}" for position in checked_first(tiers)]


def _look_up_lines(tiers: tuple[Positions, ...], values: str) -> list[str]:
    if not tiers:
        return ["return ødefault"]
    asked = checked_first(tiers)
    lines = [f"øk{position} = ø{position} in øv{position}" for position in asked]
    for place, positions in enumerate(tiers):
        found = _tier_lines(place, positions)
        if asked and len(positions) > 1:
            known = " and ".join([f"øk{position}" for position in positions])
            found = [f"if {known}:", *_indented(found)]
        lines += found
    shown = ["".join([f"{position}," for position in positions]) for positions in tiers]
    pairs = "".join([f"(ør{place}, ({one})), " for place, one in enumerate(shown)])
    return [
        "try:",
        *_indented(lines),
        # One of the values is not hashable.
        "except TypeError:",
        f"    return ølook_through(({pairs}), ødefault, {values})",
        "return ødefault",
    ]


def _tier_lines(place: int, positions: Positions) -> list[str]:
    key, lines = f"ø{positions[0]}" if len(positions) == 1 else "økey", []
    if len(positions) != 1:
        lines.append(f"økey = ({' '.join([f'ø{position},' for position in positions])})")
    # A key that is found may have another type: objects can be equal to a `str`.
    typed = "".join([f" and isinstance(ø{position}, str)" for position in positions])
    return [*lines, f"if {key} in ør{place}{typed}:", f"    return ør{place}[{key}]"]


def checked_first(tiers: tuple[Positions, ...]) -> list[int]:
    """Return the positions for which to check first whether any rule has the feature's value.

    This skips most tiers with conditions on several features without a look-up.
    """
    if len(tiers) < MANY_TIERS:
        return []
    return sorted({one for positions in tiers if len(positions) > 1 for one in positions})


def _fill_lines(kinds: tuple[DefaultKind, ...], needed: set[int]) -> list[str]:
    """Return the lines that fill in values that are `ABSENT`.

    With rules on the second of two features, a function as default of the first, and a `ContextVar`
    as default of the second::

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
    """
    bound, unbound = [], []
    for place, kind in enumerate(kinds):
        if kind in _ALWAYS_THERE and place not in needed:
            continue
        default = [line.replace("#", str(place)) for line in _DEFAULT_LINES[kind]]
        unbound += [f"if ø{place} is øABSENT:", *_indented(default)]
        bound += _bound_lines(place, default, is_needed=place in needed)
    if not bound:
        return []
    return ["øbound = øambient()", "if øbound:", *_indented(bound), "else:", *_indented(unbound)]


def _bound_lines(place: int, default: list[str], *, is_needed: bool) -> list[str]:
    if not is_needed:
        return [f"if øn{place} not in øbound and ø{place} is øABSENT:", *_indented(default)]
    return [
        f"if ø{place} is øABSENT:",
        f"    if øn{place} in øbound:",
        f"        ø{place} = øbound[øn{place}]",
        "    else:",
        *_indented(_indented(default)),
    ]


_ALWAYS_THERE: Final = frozenset({DefaultKind.CONSTANT, DefaultKind.SET_VARIABLE})
"""Kinds of defaults that always have a value."""

_DEFAULT_LINES: Final = {
    DefaultKind.NONE: ["raise ømissing(øn#)"],
    DefaultKind.CONSTANT: ["ø# = ød#"],
    DefaultKind.VARIABLE: ["ø# = ød#(øABSENT)", "if ø# is øABSENT:", "    raise ømissing(øn#)"],
    DefaultKind.SET_VARIABLE: ["ø# = ød#()"],
    DefaultKind.FUNCTION: ["ø# = ød#()"],
}


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
