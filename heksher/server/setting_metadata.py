"""The metadata of settings, as a whole and key by key; each change needs a higher version."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from heksher.server.bodies import (
    MetadataKey,
    NewVersion,
    RequestBody,
    SettingMetadata,
    SettingMetadataValue,
)
from heksher.server.responses import Refusal, empty_response, json_response, text_response
from heksher.server.storage.setting_rows import change_setting, get_setting
from heksher.server.storage.store import Store, StoreOfApp
from heksher.server.versions import Version
from heksher.settings.types.type_strings import Json

router: Final = APIRouter(prefix="/settings/{name}/metadata")


@router.get("")
def show(name: str, store: StoreOfApp) -> Response:
    """Show the metadata of a setting."""
    with store.reading() as connection:
        return json_response({"metadata": get_setting(connection, name).metadata})


@router.post("")
def merge(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Merge into the metadata of a setting, replacing existing keys."""
    new = body.read(SettingMetadata)
    with _changing(store, name, new.version) as metadata:
        metadata.update(new.metadata)
    return empty_response()


@router.put("")
def replace(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Replace the metadata of a setting."""
    new = body.read(SettingMetadata)
    with _changing(store, name, new.version) as metadata:
        metadata.clear()
        metadata.update(new.metadata)
    return empty_response()


@router.delete("")
def clear(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Remove the metadata of a setting."""
    with _changing(store, name, body.read(NewVersion).version) as metadata:
        metadata.clear()
    return empty_response()


@router.put("/{key}")
def put_key(name: str, key: MetadataKey, body: RequestBody, store: StoreOfApp) -> Response:
    """Set one key of the metadata of a setting."""
    new = body.read(SettingMetadataValue)
    with _changing(store, name, new.version) as metadata:
        metadata[key] = new.value
    return empty_response()


@router.delete("/{key}")
def delete_key(name: str, key: MetadataKey, body: RequestBody, store: StoreOfApp) -> Response:
    """Remove one key of the metadata of a setting, if it exists."""
    with _changing(store, name, body.read(NewVersion).version) as metadata:
        metadata.pop(key, None)
    return empty_response()


@contextmanager
def _changing(store: Store, name: str, version: str) -> Iterator[dict[str, Json]]:
    """Yield the metadata of a setting to be modified, and store it with the version afterwards."""
    with store.writing() as connection:
        setting = get_setting(connection, name)
        if Version.parse(version) <= setting.version:
            text = f"The setting {name} already has a newer version ({setting.version_text})"
            raise Refusal(text_response(text, 409))
        metadata = dict(setting.metadata)
        yield metadata
        change_setting(connection, setting, metadata=metadata, version=version)
