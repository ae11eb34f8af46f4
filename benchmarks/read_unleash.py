"""Reads with UnleashClient: a toggle with one strategy and variant for each rule, bootstrapped."""

from __future__ import annotations

from tempfile import mkdtemp
from typing import Any

from protocol import Case, serve, version_of
from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache
from workloads import DEFAULT, WORKLOADS, Workload


def strategy(place: int, conditions: dict[str, str]) -> dict[str, Any]:
    payload = {"type": "string", "value": str(place)}
    return {
        "name": "flexibleRollout",
        "parameters": {"rollout": "100", "stickiness": "default", "groupId": "bench"},
        "constraints": [
            {"contextName": feature, "operator": "IN", "values": [value]}
            for feature, value in conditions.items()
        ],
        "variants": [
            {"name": f"v{place}", "weight": 1000, "stickiness": "default", "payload": payload}
        ],
    }


def toggle(name: str, workload: Workload) -> dict[str, Any]:
    rules = workload.rules or [({}, 0)]
    strategies = [strategy(value, conditions) for conditions, value in reversed(rules)]
    return {"name": name, "type": "release", "enabled": True, "strategies": strategies}


def main() -> None:
    cache = FileCache("bench", directory=mkdtemp())
    features = [toggle(name, workload) for name, workload in WORKLOADS.items()]
    cache.bootstrap_from_dict({"version": 1, "features": features})
    client = UnleashClient(
        url="http://127.0.0.1:1/api",
        app_name="bench",
        disable_metrics=True,
        disable_registration=True,
        cache=cache,
    )
    cases = {}
    for name, workload in WORKLOADS.items():
        if name == "1,000 rules, new user":
            continue
        expected = "disabled" if workload.expected == DEFAULT else f"v{workload.expected}"
        if not workload.rules:
            expected = "v0"
        cases[name] = Case(
            "get(toggle, context)['name']",
            {
                "get": client.get_variant,
                "toggle": name,
                # Its own fields are not looked for among the properties.
                "context": {
                    "userId": "key",
                    "environment": workload.context["environment"],
                    "properties": dict(workload.context),
                },
            },
            expected,
            workload.arguments(),
            workload.features,
        )
    serve(cases, version_of("UnleashClient"))


main()
