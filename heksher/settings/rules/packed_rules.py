"""All rules of a setting in one dict, for tiers so sparse that a dict for each would cost more.

The key of a rule is the number of its tier, the highest precedence first, and its feature values. A
second dict maps the last feature value of each rule to a bit set of tiers, so that only those tiers
are looked up. With two features::

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
                            if økey in ørules and (... or øare_texts(økey)):
                                return ørules[økey]
            except TypeError:
                return øsafely(ørules, økeys, ønumbers, ødefault, ø0, ø1)
            return ødefault
        return resolve
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.settings.reading.generated_get import execute
from heksher.settings.rules.generated_rules import MAX_GENERATED_TIERS, texts_of
from heksher.settings.rules.look_up_source import MANY_TIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heksher.settings.rules.generated_rules import Resolver, Table
    from heksher.settings.rules.look_up_source import Positions

    KeyOf: TypeAlias = tuple[int, Callable[[tuple[Any, ...]], tuple[Any, ...]]]
    Packed: TypeAlias = dict[tuple[Any, ...], Any]


def is_worth_packing(tables: Sequence[Table]) -> bool:
    """Return whether to pack rules: if there are many tiers with few rules each, or too many tiers."""
    rules = sum([len(table) for table in tables])
    is_sparse = len(tables) >= MANY_TIERS and rules <= 2 * len(tables)
    return is_sparse or len(tables) > MAX_GENERATED_TIERS


def pack(tiers: Sequence[Positions], tables: Sequence[Table]) -> Packed:
    """Return the rules of *tables* in one dict, in the same order."""
    packed: Packed = {}
    for number, (positions, rules) in enumerate(zip(tiers, tables, strict=True)):
        is_one = len(positions) == 1
        for key, value in rules.items():
            packed[(number, key) if is_one else (number, *key)] = value
    return packed


def unpack(packed: Packed, tiers: Sequence[Positions]) -> tuple[Table, ...]:
    """Return the rules of each tier by feature value: the reverse of `pack`."""
    tables: tuple[Table, ...] = tuple([{} for _ in tiers])
    for (number, *key), value in packed.items():
        tables[number][key[0] if len(tiers[number]) == 1 else tuple(key)] = value
    return tables


def packed_resolver(
    width: int, tiers: Sequence[Positions], packed: Packed, default: Any
) -> Resolver:
    """Return a function from *width* feature values, by position, to the value that applies.

    Args:
        width: How many configurable features the setting has.
        tiers: The positions of each tier, the highest precedence first.
        packed: The rules, as `pack` returns them.
        default: The value if no rule matches.
    """
    keys = [_key_of(number, width, positions) for number, positions in enumerate(tiers)]
    if not tiers[-1]:
        # A rule without conditions always matches, so it is the default.
        keys.pop()
        default = packed[len(tiers) - 1,]
    places: dict[str, int] = {}
    for number, *values in packed:
        if values:
            places[values[-1]] = places.get(values[-1], 0) | 1 << number
    resolver: Resolver = _factory(width)(default, packed, places, tuple(keys), _numbers(len(tiers)))
    return resolver


@lru_cache(maxsize=256)
def _factory(width: int) -> Any:
    arguments = [f"ø{position}" for position in range(width)]
    values = ", ".join(arguments)
    names = ("ødefault", "ørules", "øplaces", "økeys", "ønumbers")
    bound = ", ".join([f"{name}={name}" for name in names])
    source = [
        f"def ømake({', '.join(names)}):",
        f"    def resolve({values}, {bound}):",
        "        try:",
        "            øfound = 0",
        *[f"            if {one} in øplaces: øfound |= øplaces[{one}]" for one in arguments],
        "            if øfound:",
        f"                øvalues = ({values},) + ønumbers",
        # Usually it is a single tier; otherwise, the highest precedence comes first.
        "                for øbit, økey_of in (økeys[øalone[øfound]],) if øfound in øalone else økeys:",
        "                    if øfound & øbit:",
        "                        økey = økey_of(øvalues)",
        # A key that is found may have another type: objects can be equal to a `str`.
        f"                        if økey in ørules and ({_typed(arguments)} or øare_texts(økey)):",
        "                            return ørules[økey]",
        "        except TypeError:",
        f"            return øsafely(ørules, økeys, ønumbers, ødefault, {values})",
        "        return ødefault",
        "    return resolve",
    ]
    return execute("\n".join(source), _NAMES)


def _typed(arguments: list[str]) -> str:
    return " and ".join([f"type({one}) is str" for one in arguments])


@lru_cache(maxsize=256)
def _numbers(count: int) -> tuple[int, ...]:
    return tuple(range(count))


@lru_cache(maxsize=4_096)
def _key_of(number: int, width: int, positions: Positions) -> KeyOf:
    """Return a tier's bit, and a getter of its key from the values and the numbers after them."""
    # Never called for a tier without positions, whose key would not be a tuple.
    return 1 << number, itemgetter(width + number, *positions)


def _are_texts(key: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) for value in key[1:])


def _resolve_safely(
    packed: Packed, keys: tuple[KeyOf, ...], numbers: tuple[int, ...], default: Any, *values: Any
) -> Any:
    """Return the value that applies if a feature value is not hashable."""
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
