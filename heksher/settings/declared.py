"""What the rest of the core knows of a setting: the side that `Setting` shows downwards.

`Setting` is built on the registry, on states and on explanations; they are handed settings all
the same. This protocol stands below them all, so that no module needs one that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context

    from heksher.exceptions import MissingContextFeature
    from heksher.settings.declaration import Location
    from heksher.settings.rules import RuleSet
    from heksher.settings.values import Decoder, Json


class DeclaredSetting(Protocol):
    """A setting, as declared.

    Attributes:
        name: See `Setting` for this and what follows.
        configurable_features: In the order of its `get`.
        default_value: Read-only.
        raw_default: As JSON.
        metadata: Read-only.
        alias: The former name.
        version: The version.
        on_coerce: As given.
        validators: In the order in which they are called.
        location: Where it is declared.
        index: Where a state holds its resolver.
        decoder: Its type.
        type_string: Its type, as the service writes it.
        listeners: Each with the context to run it in.
        declared_rules: What it reads until there is another rule set.
    """

    index: int

    @property
    def name(self) -> str: ...  # noqa: D102  # an attribute, described above

    @property
    def location(self) -> Location: ...  # noqa: D102  # an attribute, described above

    @property
    def decoder(self) -> Decoder: ...  # noqa: D102  # an attribute, described above

    @property
    def type_string(self) -> str: ...  # noqa: D102  # an attribute, described above

    @property
    def configurable_features(self) -> tuple[str, ...]: ...  # noqa: D102  # an attribute, described above

    @property
    def default_value(self) -> Any: ...  # noqa: D102  # an attribute, described above

    @property
    def raw_default(self) -> Json: ...  # noqa: D102  # an attribute, described above

    @property
    def metadata(self) -> Mapping[str, Json]: ...  # noqa: D102  # an attribute, described above

    @property
    def alias(self) -> str | None: ...  # noqa: D102  # an attribute, described above

    @property
    def version(self) -> str: ...  # noqa: D102  # an attribute, described above

    @property
    def on_coerce(self) -> Callable[..., Any] | None: ...  # noqa: D102  # an attribute, described above

    @property
    def validators(self) -> tuple[Callable[..., Any], ...]: ...  # noqa: D102  # an attribute, described above

    @property
    def listeners(self) -> tuple[tuple[Context, Callable[..., object]], ...]: ...  # noqa: D102  # an attribute, described above

    @property
    def declared_rules(self) -> RuleSet[Any]: ...  # noqa: D102  # an attribute, described above

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return the value for a context."""

    def missing(self, feature: str) -> MissingContextFeature:
        """Return the error that *feature* has no value."""
        ...
