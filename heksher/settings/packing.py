"""The rules of a setting in one dict: where generated code would not be worth its while.

Of many tiers with few rules each, a dict for each tier costs more than the rules. Here the key of a
rule is the number of its tier, the highest precedence first, and then the feature values, so that
all rules are in one dict. A second one says for the last feature value of each rule, as bits, in
which tiers it may be. The resolver asks it for all values, has the numbers follow the values, takes
the keys of those tiers out of both, and looks them up. With two features::

    def ømake(ødefault, ørules, øplaces, økeys, ønumbers):
        def resolve(ø0, ø1, ødefault=ødefault, ørules=ørules, ...):
            try:
                øfound = 0
                if ø0 in øplaces: øfound |= øplaces[ø0]
                if ø1 in øplaces: øfound |= øplaces[ø1]
                if øfound:
                    øvalues = (ø0, ø1,) + ønumbers
                    for øbit, økey_of in (økeys[øalone[øfound]],) if øfound in øalone else økeys:
                        if øfound & øbit:
                            økey = økey_of(øvalues)
                            øvalue = ørules.get(økey, øABSENT)
                            if øvalue is not øABSENT and (type(ø0) is str and type(ø1) is str or øare_texts(økey)):
                                return øvalue
            except TypeError:
                return øsafely(ørules, økeys, ønumbers, ødefault, ø0, ø1)
            return ødefault
        return resolve

A rule without conditions is what `ødefault` is then.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.settings.reading import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Positions: TypeAlias = tuple[int, ...]
    KeyOf: TypeAlias = tuple[int, Callable[[tuple[Any, ...]], tuple[Any, ...]]]
    Packed: TypeAlias = dict[tuple[Any, ...], Any]


def pack(tiers: Sequence[tuple[Positions, dict[Any, Any]]]) -> Packed:
    """Return the rules of *tiers* in one dict, in the same order."""
    packed: Packed = {}
    for number, (positions, rules) in enumerate(tiers):
        is_one = len(positions) == 1
        for key, value in rules.items():
            packed[(number, key) if is_one else (number, *key)] = value
    return packed


def unpack(packed: Packed, shape: Sequence[Positions]) -> tuple[dict[Any, Any], ...]:
    """Return the rules of each tier by feature value, as they were before `pack`."""
    tables: tuple[dict[Any, Any], ...] = tuple([{} for _ in shape])
    for (number, *key), value in packed.items():
        tables[number][key[0] if len(shape[number]) == 1 else tuple(key)] = value
    return tables


def packed_resolver(
    width: int, shape: Sequence[Positions], packed: Packed, default: Any
) -> Callable[..., Any]:
    """Return a function of *width* feature values, by position, that returns what applies.

    Args:
        width: How many configurable features the setting has.
        shape: The positions of each tier, the highest precedence first.
        packed: The rules, as `pack` returns them.
        default: What applies when no rule does.
    """
    keys = [_key_of(number, width, positions) for number, positions in enumerate(shape)]
    if not shape[-1]:
        # Nothing is below a rule that always matches.
        keys.pop()
        default = packed[len(shape) - 1,]
    places: dict[str, int] = {}
    for key in packed:
        if len(key) > 1:
            places[key[-1]] = places.get(key[-1], 0) | 1 << key[0]
    resolver: Callable[..., Any] = _factory(width)(
        default, packed, places, tuple(keys), _numbers(len(shape))
    )
    return resolver


def packed_source(width: int) -> str:
    """Return the source of a resolver's factory; the module's docstring shows one."""
    arguments = [f"ø{position}" for position in range(width)]
    values = ", ".join(arguments)
    typed = " and ".join([f"type({one}) is str" for one in arguments])
    names = ("ødefault", "ørules", "øplaces", "økeys", "ønumbers")
    bound = ", ".join([f"{name}={name}" for name in names])
    return "\n".join(
        [
            f"def ømake({', '.join(names)}):",
            f"    def resolve({values}, {bound}):",
            "        try:",
            "            øfound = 0",
            *(f"            if {one} in øplaces: øfound |= øplaces[{one}]" for one in arguments),
            "            if øfound:",
            f"                øvalues = ({values},) + ønumbers",
            "                for øbit, økey_of in (økeys[øalone[øfound]],) if øfound in øalone else økeys:",
            "                    if øfound & øbit:",
            "                        økey = økey_of(øvalues)",
            "                        øvalue = ørules.get(økey, øABSENT)",
            f"                        if øvalue is not øABSENT and ({typed} or øare_texts(økey)):",
            "                            return øvalue",
            "        except TypeError:",
            f"            return øsafely(ørules, økeys, ønumbers, ødefault, {values})",
            "        return ødefault",
            "    return resolve",
        ]
    )


@lru_cache(maxsize=256)
def _factory(width: int) -> Any:
    return execute(packed_source(width), _NAMES)


@lru_cache(maxsize=256)
def _numbers(count: int) -> tuple[int, ...]:
    return tuple(range(count))


@lru_cache(maxsize=4_096)
def _key_of(number: int, width: int, positions: Positions) -> KeyOf:
    """Return a tier's bit, and what takes its key out of the values and the numbers after them.

    All settings share it.
    """
    # Without positions it is never asked: it would make no tuple.
    return 1 << number, itemgetter(width + number, *positions)


def _are_texts(key: tuple[Any, ...]) -> bool:
    return all(map(is_text, key[1:]))


def is_text(value: object) -> bool:
    """Tell whether a feature value is one that a rule's condition may match."""
    return isinstance(value, str)


def texts_of(values: Sequence[Any]) -> list[str | None]:
    """Return feature values as plain `str`, which can be hashed; `None` for what matches nothing."""
    return [str.__str__(value) if isinstance(value, str) else None for value in values]


def _resolve_safely(
    packed: Packed, keys: tuple[KeyOf, ...], numbers: tuple[int, ...], default: Any, *values: Any
) -> Any:
    """Resolve for values of which one cannot be hashed."""
    texts = (*texts_of(values), *numbers)
    for _, key_of in keys:
        key = key_of(texts)
        if key in packed:
            return packed[key]
    return default


_NAMES: Final[dict[str, Any]] = {
    # The number of a tier, by its bit.
    "øalone": {1 << number: number for number in range(256)},
    "øare_texts": _are_texts,
    "øsafely": _resolve_safely,
}
