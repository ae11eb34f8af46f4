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

import typing

from heksher import late_names
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
    # Only a client can meet the service's errors, and they load httpx, half of the cost of a start.
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
