"""A setting as it was declared: the one value that registry, rules and clients pass round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heksher.exceptions import MissingContextFeature
from heksher.settings.rules.rule_set import Origin, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context

    from heksher.settings.listeners import Attached
    from heksher.settings.location import Location
    from heksher.settings.types.decoder import Decoder, Json

UNDECLARED: Final = 0
"""The index of a setting that waits for its name: that of its attribute in a class."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, kw_only=True)
class Declaration:
    """A setting, as declared.

    A `Setting` and its `get` hold the declaration, which holds neither, and the registry holds it
    weakly. So there is no cycle: whoever drops a setting frees its name at once.

    Attributes:
        name: See `Setting` for this and what follows.
        configurable_features: In the order of its `get`.
        decoder: Its type.
        default_value: Read-only.
        raw_default: As JSON.
        metadata: Read-only.
        alias: The former name.
        version: The version.
        on_coerce: As given.
        location: Where it is declared.
        registry: The `Registry` that it is declared in.
        attached: What users add to it later, and the way to its `Setting`.
        index: Its number, which no other declaration of the process's life gets again.
        place: Where a state of its registry holds its resolver; another one may get it later.
    """

    name: str
    configurable_features: tuple[str, ...]
    decoder: Decoder
    default_value: Any
    raw_default: Json
    metadata: Mapping[str, Json]
    alias: str | None
    version: str
    on_coerce: Callable[..., Any] | None
    location: Location
    registry: Any
    attached: Attached
    index: int = UNDECLARED
    place: int = UNDECLARED

    @property
    def setting(self) -> Any:
        """The `Setting`; made again if only its `get` is in use."""
        return self.attached.setting() or self.registry.setting_of(self)

    @property
    def type_string(self) -> str:
        """The Heksher type, as the service writes it."""
        return str(self.decoder.type)

    @property
    def validators(self) -> tuple[Callable[..., Any], ...]:
        """The validators, in the order in which they are called."""
        return self.attached.validators

    @property
    def listeners(self) -> tuple[tuple[Context, Callable[..., object]], ...]:
        """The listeners, each with the context to run it in."""
        return self.attached.entries

    @property
    def declared_rules(self) -> RuleSet[Any]:
        """What it reads until there is another rule set."""
        return RuleSet(self.configurable_features, (), self.default_value, Origin.LOCAL_DEFAULT)

    def missing(self, feature: str) -> MissingContextFeature:
        """Return the error that *feature* has no value."""
        return MissingContextFeature(self.name, feature)

    def __repr__(self) -> str:
        return f"<Declaration {self.name!r}: {self.type_string}>"
