"""Checks of what a setting is declared with; each error names the setting and the way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from heksher.exceptions import InvalidContext, InvalidSetting, InvalidSettingType
from heksher.settings.context import check_features
from heksher.settings.types.annotations import decoder_of
from heksher.settings.types.decoder import Rejected, check_json
from heksher.settings.types.namespace import Namespace
from heksher.settings.types.read_only import FrozenDict, freeze

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from heksher.settings.types.decoder import Coercion, Decoder, Json

_NAME: Final = re.compile(r"[A-Za-z0-9_.]+")
_METADATA_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")
_NO_METADATA: Final[FrozenDict[str, Json]] = FrozenDict()


def check_name(name: object, *, what: str = "a setting's name") -> str:
    """Return *name* if it is one that the service takes.

    Raises:
        InvalidSetting: It is not.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidSetting(
            f"{name!r} is not {what}: use ASCII letters, digits, _ and . only, as in"
            " 'billing.cache_ttl'"
        )
    if name in (".", ".."):
        raise InvalidSetting(
            f"{name!r} is not {what}: no URL can hold it as a part of its path, so give it letters"
        )
    return str.__str__(name)


def check_alias(setting_name: str, alias: object) -> str | None:
    """Return *alias*, the former name, if it may be one.

    Raises:
        InvalidSetting: It is not a valid name, or is the setting's own.
    """
    if alias is None:
        return None
    checked = check_name(alias, what=f"an alias of setting {setting_name!r}")
    if checked == setting_name:
        raise InvalidSetting(
            f"setting {setting_name!r} has its own name as alias: give the name it had before,"
            " or leave the alias out"
        )
    return checked


def check_version(setting_name: str, version: object) -> str:
    """Return *version* if it is `MAJOR.MINOR` in its one spelling.

    Raises:
        InvalidSetting: It is not. (The service takes `1.00` for an upgrade of `1.0`.)
    """
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise InvalidSetting(
            f"setting {setting_name!r} has the version {version!r}: write it as a string of two"
            ' numbers without leading zeros, such as "1.0"'
        )
    return str.__str__(version)


def check_configurable_features(setting_name: str, features: object) -> tuple[str, ...]:
    """Return the names of a setting's configurable features.

    Raises:
        InvalidSetting: There is none, or one is misnamed or named twice.
    """
    try:
        return check_features(features, whose=f"setting {setting_name!r}")
    except InvalidContext as error:
        raise InvalidSetting(str(error)) from None


def check_metadata(
    setting_name: str, metadata: Mapping[str, Any] | None, description: str | None
) -> FrozenDict[str, Json]:
    """Return the metadata to declare, read-only, with *description* in it.

    Raises:
        InvalidSetting: A key is not one that the service takes, or a value is no JSON.
    """
    if metadata is not None and not hasattr(metadata, "items"):
        raise InvalidSetting(
            f"the metadata of setting {setting_name!r} is {type(metadata).__name__}: give a dict"
        )
    if not metadata and description is None:
        return _NO_METADATA
    merged: dict[Any, Any] = dict(metadata or {})
    if description is not None:
        if not isinstance(description, str):
            raise InvalidSetting(
                f"the description of setting {setting_name!r} is {type(description).__name__}:"
                " give a str"
            )
        merged["description"] = description
    for key in merged:
        if not isinstance(key, str) or _METADATA_KEY.fullmatch(key) is None:
            raise InvalidSetting(
                f"{key!r} in the metadata of setting {setting_name!r} is not a valid key: use ASCII"
                " letters, digits, _ and - only"
            )
    try:
        return FrozenDict(
            {key: freeze(check_json(value, f".{key}")) for key, value in merged.items()}
        )
    except Rejected as rejected:
        raise InvalidSetting(rejected.about("metadata", f"of setting {setting_name!r}")) from None
    except RecursionError:
        raise InvalidSetting(
            f"the metadata of setting {setting_name!r} is nested too deeply, or in itself"
        ) from None


def check_type(setting_name: str, annotation: Any, frame: FrameType) -> Decoder:
    """Return the decoder of a setting's type.

    Args:
        setting_name: Whose type it is.
        annotation: The type.
        frame: Where forward references in it may be resolved.

    Raises:
        InvalidSettingType: It has no Heksher type.
    """
    namespace = Namespace(frame.f_globals, lambda: dict(frame.f_locals))
    try:
        return decoder_of(annotation, namespace)
    except Rejected as rejected:
        raise InvalidSettingType(
            f"setting {setting_name!r}: {_shown(annotation)} has no Heksher type: {rejected.reason}"
        ) from None
    except RecursionError:
        raise InvalidSettingType(
            f"setting {setting_name!r}: {_shown(annotation)} is nested too deeply, or in itself"
        ) from None


def check_value(setting_name: str, decoder: Decoder, value: Any, *, what: str) -> tuple[Any, Json]:
    """Return a value of the program's own, read-only, and its raw JSON.

    Args:
        setting_name: Whose value it is.
        decoder: The setting's type.
        value: The value.
        what: Which value it is, for the message, as in `default_value`.

    Raises:
        Rejected: The setting cannot have it; the reason names it all.
    """
    coercions: list[Coercion] = []
    try:
        raw = decoder.encode(value)
        frozen = decoder.decode(raw, coercions)
        if coercions:
            raise Rejected(coercions[0].reason, coercions[0].path[1:])
        read = decoder.encode(frozen)
        if decoder.encode(decoder.decode(read, [])) != read:
            raise Rejected(
                "must survive a round trip through JSON: its validators, or what its JSON omits, change"
                " it at every read"
            )
    except Rejected as rejected:
        raise Rejected(rejected.about(what, f"of setting {setting_name!r}")) from None
    except RecursionError:
        raise Rejected(f"{what} of setting {setting_name!r} is nested too deeply") from None
    except Exception as error:  # noqa: BLE001  # a user's class may raise anything
        raise Rejected(
            f"{what} of setting {setting_name!r} must be {decoder.python}: reading it raised"
            f" {type(error).__name__}"
        ) from None
    return frozen, raw


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def check_callback(setting_name: str, what: str, callback: Any) -> Any:
    """Return *callback* if it can be called.

    Raises:
        InvalidSetting: It cannot.
    """
    if not callable(callback):
        raise InvalidSetting(
            f"{what} of setting {setting_name!r} is {type(callback).__name__}: give a function"
        )
    return callback
