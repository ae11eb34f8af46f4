"""What type checkers take for clients. Only they read this; nothing here is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import httpx

from heksher import (
    AsyncClientOptions,
    AsyncHeksherClient,
    ThreadClientOptions,
    ThreadHeksherClient,
)
from heksher.testing import AsyncStubHeksherClient, StubHeksherClient, SyncStubHeksherClient

if TYPE_CHECKING:
    from heksher.settings.registry import Registry

FEATURES = ["environment", "user"]


class OwnAsync(AsyncHeksherClient):
    def __init__(self, **options: Unpack[AsyncClientOptions]) -> None:
        super().__init__("http://heksher", 60, FEATURES, **options)


class OwnThread(ThreadHeksherClient):
    def __init__(self, **options: Unpack[ThreadClientOptions]) -> None:
        super().__init__("http://heksher", 60, FEATURES, **options)


def every_option(registry: Registry) -> None:
    AsyncHeksherClient(
        "http://heksher",
        60,
        FEATURES,
        http_client_args={"headers": {}},
        start_timeout=3,
        request_timeout=3.5,
        max_response_bytes=10,
        snapshot_path=Path("snapshot"),
        max_snapshot_age=None,
        declare=False,
        http_client=httpx.AsyncClient(),
        registry=registry,
    )
    ThreadHeksherClient("http://heksher", 60, FEATURES, http_client=httpx.Client())
    OwnAsync(snapshot_path="snapshot", http_client=None)
    OwnThread(max_snapshot_age=3600.0)
    StubHeksherClient(http_client=httpx.Client(), declare=False)
    SyncStubHeksherClient("http://heksher", 60, FEATURES, http_client=httpx.Client())
    AsyncStubHeksherClient("http://heksher", 60, FEATURES, start_timeout=3)
