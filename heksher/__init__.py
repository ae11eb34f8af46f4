"""Dynamic, context-dependent settings, typed by pydantic and resolved in memory."""

from heksher.clients.async_client import AsyncHeksherClient
from heksher.clients.setting_data import SettingData
from heksher.clients.status import ClientStatus
from heksher.clients.thread_client import ThreadHeksherClient
from heksher.clients.tracking import TRACK_ALL
from heksher.exceptions import (
    ClientClosed,
    ClientStateError,
    DeclarationError,
    HeksherError,
    InvalidClient,
    InvalidContext,
    InvalidSetting,
    InvalidSettingType,
    InvalidValue,
    MissingContextAttribute,
    MissingContextFeature,
    ServiceError,
    ServiceStatusError,
    ServiceUnavailable,
    UnexpectedResponse,
    UnknownSetting,
    UsageError,
)
from heksher.settings.context import bind_context
from heksher.settings.context_features import PROVIDED, ContextFeatures
from heksher.settings.explaining import Resolution
from heksher.settings.explicit_types import (
    HeksherEnum,
    HeksherFlags,
    HeksherMapping,
    HeksherSequence,
)
from heksher.settings.model import SettingsModel
from heksher.settings.registry import pinned
from heksher.settings.setting import Setting
from heksher.settings.setting_type import Conversion, SettingType

__all__ = [
    "PROVIDED",
    "TRACK_ALL",
    "AsyncHeksherClient",
    "ClientClosed",
    "ClientStateError",
    "ClientStatus",
    "ContextFeatures",
    "Conversion",
    "DeclarationError",
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
    "Resolution",
    "ServiceError",
    "ServiceStatusError",
    "ServiceUnavailable",
    "Setting",
    "SettingData",
    "SettingType",
    "SettingsModel",
    "ThreadHeksherClient",
    "UnexpectedResponse",
    "UnknownSetting",
    "UsageError",
    "bind_context",
    "pinned",
]
