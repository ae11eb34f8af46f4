"""Dynamic, context-dependent settings, typed by pydantic and resolved in memory.

The clients are imported when they are first asked for, and httpx with them: a program that only
declares and reads settings, or tests them, does not pay for either.
"""

import typing

from heksher import exceptions, lazy_imports
from heksher.exceptions import (
    ClientClosed,
    ClientStateError,
    HeksherError,
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
from heksher.settings.context import bind_context
from heksher.settings.context_features import PROVIDED, ContextFeatures
from heksher.settings.explaining import FeatureSource, FeatureValue, Outranked, Read, Resolution
from heksher.settings.observing import observe_reads
from heksher.settings.reading.state import Source
from heksher.settings.registry import Registry, pinned
from heksher.settings.rules.rule_set import Origin, Rejection, ServiceRule
from heksher.settings.setting import Setting
from heksher.settings.types.custom import Conversion, SettingType
from heksher.settings.types.decoder import Coercion
from heksher.settings.types.explicit import (
    HeksherEnum,
    HeksherFlags,
    HeksherMapping,
    HeksherSequence,
)

if typing.TYPE_CHECKING:
    from heksher.clients.async_client import AsyncHeksherClient
    from heksher.clients.conversation.tracking import TRACK_ALL
    from heksher.clients.options import AsyncClientOptions, ClientOptions, ThreadClientOptions
    from heksher.clients.setting_data import SettingData
    from heksher.clients.status import ClientStatus, OutdatedDeclaration, RefusedDeclaration
    from heksher.clients.thread_client import ThreadHeksherClient
    from heksher.exceptions import (
        DeclarationError,
        ServiceError,
        ServiceStatusError,
        ServiceUnavailable,
        UnexpectedResponse,
    )
    from heksher.settings.differences import Difference
    from heksher.settings.models.settings_model import SettingsModel
else:
    __getattr__, __dir__ = lazy_imports.imported_late(
        globals(),
        {
            "heksher.clients.async_client": ["AsyncHeksherClient"],
            "heksher.clients.options": [
                "AsyncClientOptions",
                "ClientOptions",
                "ThreadClientOptions",
            ],
            "heksher.clients.setting_data": ["SettingData"],
            "heksher.clients.status": ["ClientStatus", "OutdatedDeclaration", "RefusedDeclaration"],
            "heksher.settings.differences": ["Difference"],
            "heksher.clients.thread_client": ["ThreadHeksherClient"],
            "heksher.clients.conversation.tracking": ["TRACK_ALL"],
            "heksher.exceptions": exceptions.SERVICE_ERRORS,
            "heksher.settings.models.settings_model": ["SettingsModel"],
        },
    )

__all__ = [
    "PROVIDED",
    "TRACK_ALL",
    "AsyncClientOptions",
    "AsyncHeksherClient",
    "ClientClosed",
    "ClientOptions",
    "ClientStateError",
    "ClientStatus",
    "Coercion",
    "ContextFeatures",
    "Conversion",
    "DeclarationError",
    "Difference",
    "FeatureSource",
    "FeatureValue",
    "HeksherEnum",
    "HeksherError",
    "HeksherFlags",
    "HeksherMapping",
    "HeksherSequence",
    "InvalidClient",
    "InvalidContext",
    "InvalidSetting",
    "InvalidSettingType",
    "InvalidValue",
    "MissingContextAttribute",
    "MissingContextFeature",
    "Origin",
    "OutdatedDeclaration",
    "Outranked",
    "Read",
    "RefusedDeclaration",
    "Registry",
    "Rejection",
    "Resolution",
    "ServiceError",
    "ServiceRule",
    "ServiceStatusError",
    "ServiceUnavailable",
    "Setting",
    "SettingData",
    "SettingType",
    "SettingsModel",
    "Source",
    "ThreadClientOptions",
    "ThreadHeksherClient",
    "UnexpectedResponse",
    "UnknownSetting",
    "UsageError",
    "bind_context",
    "observe_reads",
    "pinned",
]
