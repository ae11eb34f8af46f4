"""Every exception that heksher raises.

    HeksherError
    ├── ServiceError                also httpx.HTTPError: the service, or the way to it; may pass
    │   ├── ServiceUnavailable      also httpx.TransportError: no answer came
    │   ├── ServiceStatusError      also httpx.HTTPStatusError: it answered with an error status
    │   └── UnexpectedResponse      the answer is not one of Heksher's
    ├── DeclarationError            the service, or its state, does not allow a declaration
    └── UsageError                  fix the calling code
        ├── InvalidSetting          also ValueError: a declaration that cannot be right
        │   └── InvalidSettingType  also TypeError: a type that has no Heksher type
        ├── InvalidValue            also ValueError: a value that a setting cannot have
        ├── InvalidContext          also ValueError: context features used wrongly
        ├── InvalidClient           also ValueError: a client made or told what cannot be right
        ├── UnknownSetting          also LookupError: no living setting of that name
        ├── MissingContextFeature   also LookupError: `get` lacks a feature's value
        │   └── MissingContextAttribute  also AttributeError: the same, through an attribute
        └── ClientStateError        also RuntimeError: a client used in the wrong state
            └── ClientClosed        the client is closed

No message holds the text of a setting's raw value, a header, or a URL beyond its path.
"""

from __future__ import annotations

from functools import partial
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ClientClosed",
    "ClientStateError",
    "DeclarationError",
    "HeksherError",
    "InvalidClient",
    "InvalidContext",
    "InvalidSetting",
    "InvalidSettingType",
    "InvalidValue",
    "MissingContextAttribute",
    "MissingContextFeature",
    "ServiceError",
    "ServiceStatusError",
    "ServiceUnavailable",
    "UnexpectedResponse",
    "UnknownSetting",
    "UsageError",
]


class HeksherError(Exception):
    """The root of everything that heksher raises."""


class ServiceError(HeksherError, httpx.HTTPError):
    """The service, or the way to it, failed; trying again later may help."""

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.HTTPError.__init__(self, message)
        self._request = request


class ServiceUnavailable(ServiceError, httpx.TransportError):
    """No answer came: connection refused or lost, a name not resolved, a timeout.

    The transport's own exception is the `__cause__`, where there is one.
    """

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.TransportError.__init__(self, message, request=request)


class ServiceStatusError(ServiceError, httpx.HTTPStatusError):
    """The service answered with a status that the request does not allow for.

    Attributes:
        response: The answer, whole.
        request: What was asked.
    """

    def __init__(self, message: str, *, request: httpx.Request, response: httpx.Response) -> None:
        httpx.HTTPStatusError.__init__(self, message, request=request, response=response)

    def __reduce__(self) -> tuple[Any, ...]:
        details: dict[str, Any] = {"request": self.request, "response": self.response}
        return partial(type(self), *self.args, **details), ()


class UnexpectedResponse(ServiceError):
    """An answer came that no Heksher service gives: no JSON, another shape, too large."""


class DeclarationError(HeksherError):
    """A declaration that the service, or what it holds, does not allow.

    Attributes:
        setting_name: The setting's name, as declared.
        outcome: The declaration's outcome, a lower-case word such as `mismatch` or `rejected`.
        differences: What the service holds otherwise, one `Difference` each.
    """

    def __init__(
        self, message: str, *, setting_name: str, outcome: str, differences: Sequence[object] = ()
    ) -> None:
        super().__init__(message)
        self.setting_name = setting_name
        self.outcome = outcome
        self.differences = tuple(differences)

    def __reduce__(self) -> tuple[Any, ...]:
        details: dict[str, Any] = {
            "setting_name": self.setting_name,
            "outcome": self.outcome,
            "differences": self.differences,
        }
        return partial(type(self), *self.args, **details), ()


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
        self.setting_name = setting_name
        self.feature = feature

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
