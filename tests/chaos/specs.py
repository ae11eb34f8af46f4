"""What the programs of the histories declare, and in which contexts they read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heksher import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.doors import Registry

TYPES: Final[dict[str, type]] = {"int": int, "str": str}

FEATURES: Final = ["environment", "user", "theme", "account_id"]
"""The client's context features. The last cannot be filtered by: its name is not of a-z."""

VALUES: Final[dict[str, list[str]]] = {
    "environment": ["prod", "prod", "dev"],
    "user": ["x", "x", "y"],
    "theme": ["dark"],
    "account_id": ["p", "p", "q", "r", "s"],
}

MANY: Final = [f"n{number}" for number in range(80)]
"""Further values of `account_id`, which a program that tracks contexts comes to track one by one."""

Context = dict[str, str | None]

CONTEXTS: Final[list[Context]] = [
    dict(zip(FEATURES, values, strict=True))
    for values in (
        (None, None, None, None),
        ("prod", None, None, None),
        ("prod", "x", None, None),
        ("prod", "x", "dark", "p"),
        (None, "y", "dark", None),
        (None, None, "dark", "q"),
        ("dev", "x", None, "r"),
        ("prod", "y", None, "s"),
    )
]

_PADDED_TO: Final = 900
"""How long names are: a query has some 3,500 bytes of them, so that few settings make several."""


def padded(name: str) -> str:
    """Return *name*, as the service knows it."""
    return f"{name}.{'x' * (_PADDED_TO - len(name))}"


@dataclass(frozen=True)
class Spec:
    """A setting as the program declares it; short names, which `padded` makes long."""

    short: str
    type: str
    default: Any
    version: str = "1.0"
    former: str | None = None
    features: tuple[str, ...] = ("environment", "user")

    @property
    def name(self) -> str:
        return padded(self.short)

    @property
    def alias(self) -> str | None:
        return None if self.former is None else padded(self.former)

    def declare(self, registry: Registry) -> Setting[Any, ...]:
        return Setting(
            self.name,
            TYPES[self.type],
            configurable_features=self.features,
            default_value=self.default,
            version=self.version,
            alias=self.alias,
            registry=registry,
        )

    def part_of(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of *context* this setting may be given."""
        return {name: context[name] for name in self.features}

    def reading(self, setting: Setting[Any, ...]) -> tuple[Any, ...]:
        """Return what *setting* reads in each of the contexts."""
        return tuple([setting.get(**self.part_of(context)) for context in CONTEXTS])


SPECS: Final = [
    Spec("a", "int", 1, features=("environment", "user", "account_id")),
    Spec("falsy", "int", 0),
    Spec("text", "str", "t", features=("theme", "user")),
    Spec("renamed", "int", 4, "2.0", "former"),
    Spec("newer", "int", 9, "1.2"),
    Spec("wide", "int", 5, features=("environment", "user", "theme", "account_id")),
    Spec("account", "str", "s", features=("account_id",)),
    Spec("b", "int", 2, features=("user", "environment")),
    Spec("c", "str", "", features=("theme", "account_id")),
    Spec("d", "int", 3, features=("user", "account_id")),
]
FRESH: Final = [Spec("fresh", "int", 11), Spec("late", "str", "l", features=("user", "account_id"))]
"""What is declared while the client runs."""

OTHERS: Final = ["other", "former", "a", "newer", "fresh"]
"""What other programs declare."""


def fits(kind: str, value: Any) -> bool:
    """Tell whether a setting of type *kind* can have *value*."""
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)
