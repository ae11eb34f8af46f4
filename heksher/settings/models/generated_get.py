"""Generate a model's `get`, which reads all settings from one state and looks up the instance.

It is generated like a setting's (see `reading`), once for each tuple of features and of fields whose
values are keys. For one feature and two fields, the second a list::

    def ømake(øregistry, øplaces, øfilling, ølate, øinstances, øfind, øunexpected, øname):
        (øi0, øi1,) = øplaces
        øj0, øc0 = øi0 + 1, øi0 + 2
        øj1, øc1 = øi1 + 1, øi1 + 2
        ølast = max(øplaces)
        def øget(*, user=øABSENT):
            østate = øregistry.state
            if øregistry.viewed:
                østate = øsettled(øregistry.look() or østate)
            try:
                østate[ølast]
            except IndexError:
                østate = None
            if østate is None:
                øvalues = ølate(user)
            elif user is øABSENT:
                øvalues = ((østate[øj0] or øfilling(østate, 0))(user), ...,)
            else:
                øvalues = (
                    østate[øc0] if østate[øi0] is None else østate[øi0](user),
                    ...,
                )
            økey = (øvalues[0], id(øvalues[1]),)
            try:
                return øinstances[økey][0]
            except KeyError:
                return øfind(økey, øvalues, (user,))
        return øget
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from heksher.settings.reading.generated_get import execute, parameters_of
from heksher.settings.reading.state import settled

if TYPE_CHECKING:
    from collections.abc import Callable


@lru_cache(maxsize=256)
def model_reader_factory(
    features: tuple[str, ...], own_keys: tuple[bool, ...]
) -> Callable[..., object]:
    """Return the factory of a model's `get`."""
    factory: Callable[..., object] = execute(
        model_reader_source(features, own_keys), {"øsettled": settled}
    )
    return factory


def model_reader_source(features: tuple[str, ...], own_keys: tuple[bool, ...]) -> str:
    """Return the source of the factory; see the module's docstring."""
    signature, other_lines, variables = parameters_of(features)
    arguments = ", ".join(variables)
    places = range(len(own_keys))
    filled = "".join(
        f"(østate[øj{place}] or øfilling(østate, {place}))({arguments}), " for place in places
    )
    complete = "".join(
        f"østate[øc{place}] if østate[øi{place}] is None else østate[øi{place}]({arguments}), "
        for place in places
    )
    return "\n".join(
        [
            "def ømake(øregistry, øplaces, øfilling, ølate, øinstances, øfind, øunexpected, øname):",
            f"    ({''.join(f'øi{place}, ' for place in places)}) = øplaces",
            *(f"    øj{place}, øc{place} = øi{place} + 1, øi{place} + 2" for place in places),
            "    ølast = max(øplaces)",
            f"    def øget({signature}):",
            *(f"        {line}" for line in other_lines),
            "        østate = øregistry.state",
            "        if øregistry.viewed:",
            "            østate = øsettled(øregistry.look() or østate)",
            "        try:",
            "            østate[ølast]",
            "        except IndexError:",
            "            østate = None",
            "        if østate is None:",
            f"            øvalues = ølate({arguments})",
            f"        elif {' or '.join(f'{variable} is øABSENT' for variable in variables)}:",
            f"            øvalues = ({filled})",
            "        else:",
            f"            øvalues = ({complete})",
            f"        økey = {_key_source(own_keys)}",
            "        try:",
            "            return øinstances[økey][0]",
            "        except KeyError:",
            f"            return øfind(økey, øvalues, ({arguments},))",
            "    return øget",
        ]
    )


def _key_source(own_keys: tuple[bool, ...]) -> str:
    if all(own_keys):
        return "øvalues"
    parts = [f"øvalues[{place}]" for place in range(len(own_keys))]
    pairs = zip(parts, own_keys, strict=True)
    return f"({''.join([f'{part}, ' if is_own_key else f'id({part}), ' for part, is_own_key in pairs])})"
