"""Make a setting's `get`: the reader, half of the one hot path (`resolving` is the other).

A reader is made once for each setting and never replaced, by a function generated once for each
tuple of features, as `dataclasses` generates its methods. It takes one published state, the view
pinned for this task or else the registry's, and hands the feature values by position to what that
state holds for the setting; where nothing depends on them, the state holds the value itself. A
task's view is asked for only once there has been one in this process: in a task with context
variables of its own, asking costs half as much as the floor of it all, a call with as many
keywords. For the features `environment` and `user`::

    def ømake(ødeclaration, øplace, øname):
        def øget(*, environment=øABSENT, user=øABSENT):
            østate = øregistry.state
            if øregistry.viewed:
                østate = øregistry.look() or østate
            try:
                if environment is øABSENT or user is øABSENT:
                    øresolve = østate[øplace + 1] or øfill(østate, ødeclaration)
                else:
                    øresolve = østate[øplace]
                    if øresolve is None:
                        return østate[øplace + 2]
            except IndexError:
                øresolve = øaside(ødeclaration)
            return øresolve(environment, user)
        return øget

Nothing of the program's runs where an `IndexError` is taken for a state that is too short. Whoever
keeps only the function keeps the setting declared and updated. All names but the parameters start
with `ø`, which no context feature can, so that a feature may be called `self`, `k` or whatever. What
is not a parameter name, such as `class`, is taken from `**øothers`.
"""

from __future__ import annotations

from functools import lru_cache
from keyword import iskeyword
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from heksher.settings.context import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType


@lru_cache(maxsize=1024)
def reader_code(features: tuple[str, ...]) -> CodeType:
    """Return the compiled source of what makes a reader with these features."""
    return compile(reader_source(features), "<heksher>", "exec")


def reader_source(features: tuple[str, ...]) -> str:
    """Return the source of what makes a reader; the module's docstring shows one."""
    signature, other_lines, variables = parameters_of(features)
    return "\n".join(
        [
            "def ømake(ødeclaration, øplace, øname):",
            f"    def øget({signature}):",
            *(f"        {line}" for line in other_lines),
            "        østate = øregistry.state",
            "        if øregistry.viewed:",
            "            østate = øregistry.look() or østate",
            "        try:",
            f"            if {' or '.join(f'{variable} is øABSENT' for variable in variables)}:",
            "                øresolve = østate[øplace + 1] or øfill(østate, ødeclaration)",
            "            else:",
            "                øresolve = østate[øplace]",
            "                if øresolve is None:",
            "                    return østate[øplace + 2]",
            "        except IndexError:",
            "            øresolve = øaside(ødeclaration)",
            f"        return øresolve({', '.join(variables)})",
            "    return øget",
        ]
    )


def parameters_of(features: tuple[str, ...]) -> tuple[str, list[str], list[str]]:
    """Return how a generated `øget` takes these features.

    Returns:
        Its parameters; its first lines, which take what is not a parameter name from `**øothers`; and
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
    return [*lines, "if øothers:", "    raise øunexpected(øname, øothers)"]


def _is_parameter(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and name != "__debug__"


def unexpected_argument(function: str, others: dict[str, Any]) -> TypeError:
    """Return Python's own error for a keyword argument that a function of that name lacks."""
    return TypeError(f"{function}() got an unexpected keyword argument {next(iter(others))!r}")


def execute(source: str | CodeType, names: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return the factory `ømake` that *source* defines; it may use *names* and `øABSENT`.

    The source holds nothing from outside but the names of context features.
    """
    scope: dict[str, Any] = {"øABSENT": ABSENT, **names}
    exec(source, scope)  # noqa: S102  # as dataclasses does; see the docstring
    return scope["ømake"]
