"""Reads with heksher-py 0.2.2, the predecessor: its own client, fed by a transport in memory."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from typing import Any

import heksher.main_client
import httpx
from heksher.heksher_client import TemporaryClient
from protocol import Case, serve, version_of
from workloads import DEFAULT, FIVE, WORKLOADS, Workload

from heksher import TRACK_ALL, AsyncHeksherClient, Setting


def service(settings: dict[str, Workload]) -> httpx.MockTransport:
    content = {
        name: {
            "default_value": DEFAULT,
            "rules": [
                {
                    "value": value,
                    "rule_id": place,
                    "context_features": [
                        [feature, conditions[feature]]
                        for feature in workload.features
                        if feature in conditions
                    ],
                }
                for place, (conditions, value) in enumerate(workload.rules)
            ],
        }
        for name, workload in settings.items()
    }

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/context_features"):
            return httpx.Response(200, json={"context_features": FIVE})
        if request.url.path.endswith("/declare"):
            return httpx.Response(200, json={"outcome": "uptodate"})
        return httpx.Response(200, content=json.dumps({"settings": content}))

    return httpx.MockTransport(handle)


async def filled(defaults: dict[str, Any]) -> tuple[Any, dict[str, Setting[int]]]:
    """Return a client with these defaults, and the settings of all workloads, filled."""
    heksher.main_client.Main = TemporaryClient()
    settings = {
        name: Setting(f"s{place}", int, workload.features, DEFAULT)
        for place, (name, workload) in enumerate(WORKLOADS.items())
    }
    transport = service({f"s{place}": one for place, one in enumerate(WORKLOADS.values())})
    client = AsyncHeksherClient(
        "http://bench", 10_000, FIVE, http_client_args={"transport": transport}
    )
    client.track_contexts(**dict.fromkeys(FIVE, TRACK_ALL))
    client.set_defaults(**defaults)
    await client.set_as_main()
    await client.aclose()
    return client, settings


def main() -> None:
    cases: dict[str, Case] = {}
    kept = []
    for name, workload in WORKLOADS.items():
        constants = dict(workload.context)
        variables = {one: ContextVar(one, default=value) for one, value in constants.items()}
        forms: dict[str, tuple[dict[str, Any], str]] = {"explicit": ({}, workload.arguments())}
        if not workload.new_user:
            forms |= {"defaults": (constants, ""), "variables": (variables, "")}
        for form, (defaults, arguments) in forms.items():
            client, settings = asyncio.run(filled(defaults))
            kept.append(client)
            cases[name if form == "explicit" else f"{name} ({form})"] = Case(
                f"setting.get({arguments})",
                {"setting": settings[name]},
                workload.expected,
                workload.arguments(),
                workload.features,
            )
    serve(cases, version_of("heksher"))


main()
