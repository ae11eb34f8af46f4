"""Make a setting's `get`: the reader, half of the one hot path (`resolving` is the other).

A reader is made once for each setting and never replaced, from a factory generated once for each
tuple of features, as `dataclasses` generates its methods. It takes one published state, the view
pinned for this task or else the registry's, and hands the feature values by position to what that
state holds for the setting; where nothing depends on them, the state holds the value itself. A
task's view is asked for only once there has been one in this process: in a task with context
variables of its own, asking costs half as much as the floor of it all, a call with as many
keywords. For the features `environment` and `user`::

    def ømake(øview, øregistry, øunexpected):
        økeywords = None
        def øof(øsetting, øindex):
            nonlocal økeywords
            def øget(*, environment=øABSENT, user=øABSENT):
                østate = øregistry.state
                if øregistry.viewed:
                    østate = øview() or østate
                try:
                    if environment is øABSENT or user is øABSENT:
                        øresolve = østate[øindex + 1] or øsetting._fill_in(østate)
                    else:
                        øresolve = østate[øindex]
                        if øresolve is None:
                            return østate[øindex + 2]
                except IndexError:
                    øresolve = øsetting._read_late(environment, user)
                return øresolve(environment, user)
            økeywords = øget.__kwdefaults__ = økeywords or øget.__kwdefaults__
            return øget
        return øof

What is the same for all settings of a registry with these features is there once; a setting adds a
function and two variables, for the collector walks through all there is. Whoever keeps only the
function keeps the setting declared and updated. All names but the parameters start with `ø`, which
no context feature can, so that a feature may be called `self`, `k` or whatever. What is no
parameter name, such as `class`, is taken from `**øothers`.
"""

from __future__ import annotations

from functools import lru_cache
from keyword import iskeyword
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from heksher.settings.context import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@lru_cache(maxsize=1024)
def reader_factory(features: tuple[str, ...]) -> Callable[..., Callable[..., Any]]:
    """Return what makes what makes a `get` with these features, from the source above."""
    factory: Callable[..., Callable[..., Any]] = execute(reader_source(features))
    return factory


def reader_source(features: tuple[str, ...]) -> str:
    """Return the source of a reader's factory; the module's docstring shows one."""
    signature, other_lines, variables = parameters_of(features)
    arguments = ", ".join(variables)
    return "\n".join(
        [
            "def ømake(øview, øregistry, øunexpected):",
            "    økeywords = None",
            "    def øof(øsetting, øindex):",
            "        nonlocal økeywords",
            f"        def øget({signature}):",
            *(f"            {line}" for line in other_lines),
            "            østate = øregistry.state",
            "            if øregistry.viewed:",
            "                østate = øview() or østate",
            "            try:",
            f"                if {' or '.join(f'{variable} is øABSENT' for variable in variables)}:",
            "                    øresolve = østate[øindex + 1] or øsetting._fill_in(østate)",
            "                else:",
            "                    øresolve = østate[øindex]",
            "                    if øresolve is None:",
            "                        return østate[øindex + 2]",
            "            except IndexError:",
            f"                øresolve = øsetting._read_late({arguments})",
            f"            return øresolve({arguments})",
            "        økeywords = øget.__kwdefaults__ = økeywords or øget.__kwdefaults__",
            "        return øget",
            "    return øof",
        ]
    )


def parameters_of(features: tuple[str, ...]) -> tuple[str, list[str], list[str]]:
    """Return how a generated `øget` takes these features.

    Returns:
        Its parameters; its first lines, which take what is no parameter name from `**øothers`; and
        the variables that hold the features' values then.
    """
    variables = [
        name if _is_parameter(name) else f"øf{place}" for place, name in enumerate(features)
    ]
    others = {
        variable: name
        for variable, name in zip(variables, features, strict=True)
        if variable != name
    }
    parameters = [f"{name}=øABSENT" for name in features if name in variables]
    signature = ["*", *parameters] if parameters else []
    signature += ["**øothers"] if others else []
    return ", ".join(signature), _other_lines(others), variables


def _other_lines(others: dict[str, str]) -> list[str]:
    if not others:
        return []
    lines = [f"{variable} = øothers.pop({name!r}, øABSENT)" for variable, name in others.items()]
    return [*lines, "if øothers:", "    raise øunexpected(øget, øothers)"]


def _is_parameter(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and name != "__debug__"


def unexpected_argument(function: Callable[..., Any], others: dict[str, Any]) -> TypeError:
    """Return Python's own error for a keyword argument that *function* does not have."""
    name = next(iter(others))
    return TypeError(f"{function.__qualname__}() got an unexpected keyword argument {name!r}")


def execute(source: str, names: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return the factory `ømake` that *source* defines; it may use *names* and `øABSENT`.

    The source holds nothing from outside but the names of context features.
    """
    scope: dict[str, Any] = {"øABSENT": ABSENT, **names}
    exec(source, scope)  # noqa: S102  # as dataclasses does; see the docstring
    return scope["ømake"]
