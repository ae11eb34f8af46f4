"""`SettingData`: a setting of the service, as `get_settings()` returns it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from heksher.settings.types.decoder import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heksher.settings.declaration import Declaration
    from heksher.wire import ListedSetting


class SettingData(BaseModel):
    """A setting of the service, whoever declared it.

    Attributes:
        name: The name that the service uses now.
        configurable_features: The context features that its rules may use.
        type: The type string.
        default_value: The service's default, raw.
        metadata: The metadata.
        aliases: Its former names.
        version: The version.
        setting: The setting of this process with this name or one of the aliases, if there is one.
        default: The default decoded to the type of that setting. It is raw if there is no such
            setting, or if it does not fit the type.
    """

    # Built when it is first used: few programs list settings.
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, defer_build=True)

    name: str
    configurable_features: list[str]
    type: str
    default_value: Any
    metadata: dict[str, Any]
    aliases: list[str]
    version: str
    setting: Any = Field(default=None, exclude=True, repr=False)
    default: Any = Field(default=None, exclude=True)


def settings_data(
    listed: Iterable[ListedSetting], declared: Iterable[Declaration]
) -> dict[str, SettingData]:
    """Return the service's settings by name, each with its setting of this process."""
    by_name = {setting.name: setting for setting in declared}
    return {one.name: _setting_data(one, by_name) for one in listed}


def _setting_data(listed: ListedSetting, by_name: dict[str, Declaration]) -> SettingData:
    names = (listed.name, *listed.aliases)
    setting = next((by_name[name] for name in names if name in by_name), None)
    default = listed.default_value
    if setting is not None:
        try:
            default = setting.decoder.decode(default, [])
        except Rejected:
            default = listed.default_value
    known = {one.name: getattr(listed, one.name) for one in fields(listed)}
    return SettingData(**known, setting=setting and setting.setting, default=default)
