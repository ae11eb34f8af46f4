"""Mistakes in the calling code."""

from __future__ import annotations

from keyword import iskeyword

from heksher.exceptions.root import HeksherError


class UsageError(HeksherError):
    """A mistake in the calling code; retrying does not help."""


class InvalidSetting(UsageError, ValueError):
    """An invalid declaration; the message says what to write instead."""


class InvalidSettingType(InvalidSetting, TypeError):
    """A Python type without a Heksher type, or whose values cannot be made read-only."""


class InvalidValue(UsageError, ValueError):
    """A value, given by the program, that is invalid for its setting."""


class InvalidContext(UsageError, ValueError):
    """Context features with invalid or repeated names, or invalid values."""


class InvalidClient(UsageError, ValueError):
    """An invalid argument was given to a client."""


class UnknownSetting(UsageError, LookupError):
    """No living setting of this process has the name."""


class MissingContextFeature(UsageError, LookupError):
    """A setting was read without a value for one of its context features.

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
    """A setting was read as an attribute without a value for one of its context features.

    It is an `AttributeError`, so that `hasattr` and `getattr` with a default work.
    """


class ClientStateError(UsageError, RuntimeError):
    """A client was used in the wrong state: started twice, or beside another main client."""


class ClientClosed(ClientStateError):
    """The client is closed, and cannot be used again: make a new one."""
