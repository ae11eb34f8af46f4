"""Mistakes with clients that type checkers find. Each line is an error."""

from __future__ import annotations

import httpx

from heksher import AsyncHeksherClient, ThreadHeksherClient
from heksher.testing import AsyncStubHeksherClient, SyncStubHeksherClient

URL, FEATURES = "http://heksher", ["environment", "user"]

AsyncHeksherClient(URL, 60, FEATURES, start_timout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
AsyncHeksherClient(URL, 60, FEATURES, start_timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsyncHeksherClient(URL, 60, FEATURES, http_client=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsyncHeksherClient(URL, 60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ThreadHeksherClient(URL, 60, FEATURES, http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ThreadHeksherClient(URL, 60, FEATURES, declare="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ThreadHeksherClient(URL, 60, FEATURES, snapshot_path=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SyncStubHeksherClient(URL, 60, FEATURES, start_timout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
AsyncStubHeksherClient(URL, 60, FEATURES, http_client=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
