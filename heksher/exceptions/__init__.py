"""Every exception that heksher raises.

    HeksherError
    ├── ServiceError                also httpx.HTTPError: the service failed; retrying may help
    │   ├── ServiceUnavailable      also httpx.TransportError: there was no response
    │   ├── ServiceStatusError      also httpx.HTTPStatusError: a response with an error status
    │   └── UnexpectedResponse      a response that does not come from a Heksher service
    ├── DeclarationError            a declaration was refused
    └── UsageError                  a mistake in the calling code
        ├── InvalidSetting          also ValueError: an invalid declaration
        │   └── InvalidSettingType  also TypeError: a type without a Heksher type
        ├── InvalidValue            also ValueError: an invalid value for a setting
        ├── InvalidContext          also ValueError: invalid context features
        ├── InvalidClient           also ValueError: an invalid argument of a client
        ├── UnknownSetting          also LookupError: no living setting has the name
        ├── MissingContextFeature   also LookupError: a context feature has no value
        │   └── MissingContextAttribute  also AttributeError: the same, through an attribute
        └── ClientStateError        also RuntimeError: a client used in the wrong state
            └── ClientClosed        the client is closed

No message holds a setting's raw value, a header, or a URL beyond its path.
"""

import typing

from heksher import lazy_imports as late_names
from heksher.exceptions.root import HeksherError
from heksher.exceptions.usage import (
    ClientClosed,
    ClientStateError,
    InvalidClient,
    InvalidContext,
    InvalidSetting,
    InvalidSettingType,
    InvalidValue,
    MissingContextAttribute,
    MissingContextFeature,
    UnknownSetting,
    UsageError,
)

SERVICE_ERRORS = (
    "DeclarationError",
    "ServiceError",
    "ServiceStatusError",
    "ServiceUnavailable",
    "UnexpectedResponse",
)
"""The names that are imported late, here and in `heksher`."""

if typing.TYPE_CHECKING:
    from heksher.exceptions.service import (
        DeclarationError,
        ServiceError,
        ServiceStatusError,
        ServiceUnavailable,
        UnexpectedResponse,
    )
else:
    # Only clients raise the service's errors, and they import httpx, half of the start-up cost.
    __getattr__, __dir__ = late_names.imported_late(
        globals(), {"heksher.exceptions.service": SERVICE_ERRORS}
    )

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
