"""What is the calling code's doing."""

from __future__ import annotations

from keyword import iskeyword

from heksher.exceptions.root import HeksherError


class UsageError(HeksherError):
    """A mistake in the calling code; trying again does not help."""


class InvalidSetting(UsageError, ValueError):
    """A declaration that cannot be right; the message says what to write instead."""


class InvalidSettingType(InvalidSetting, TypeError):
    """A Python type that has no Heksher type, or whose values cannot be kept read-only."""


class InvalidValue(UsageError, ValueError):
    """A value given by the program that its setting cannot have."""


class InvalidContext(UsageError, ValueError):
    """Context features that are misnamed, repeated, or given what they cannot have."""


class InvalidClient(UsageError, ValueError):
    """A client was made with, or told, what cannot be right."""


class UnknownSetting(UsageError, LookupError):
    """There is no living setting of that name in this process."""


class MissingContextFeature(UsageError, LookupError):
    """A value was asked for, and one context feature has no value anywhere.

    Attributes:
        setting_name: The setting that was read.
        feature: The context feature without a value.
    """

    def __init__(self, setting_name: str, feature: str) -> None:
        plain = feature.isidentifier() and not iskeyword(feature) and feature != "__debug__"
        how = f"{feature}=..." if plain else f"**{{{feature!r}: ...}}"
        super().__init__(
            f"setting {setting_name!r} needs a value for context feature {feature!r}: give it in"
            f" the call, get({how}) (None for no {feature}), bind it with bind_context({how}),"
            f" or set a default with client.set_defaults({how})"
        )
        self.setting_name: str = setting_name
        self.feature: str = feature

    def __reduce__(self) -> tuple[type[MissingContextFeature], tuple[str, str]]:
        return type(self), (self.setting_name, self.feature)


class MissingContextAttribute(MissingContextFeature, AttributeError):
    """A setting read as an attribute lacks a context feature's value.

    It is an `AttributeError`, so that `hasattr` and `getattr` with a default work.
    """


class ClientStateError(UsageError, RuntimeError):
    """A client was used in a state that does not allow it: started twice, a second main one."""


class ClientClosed(ClientStateError):
    """The client is closed and cannot be used again; make a new one."""
