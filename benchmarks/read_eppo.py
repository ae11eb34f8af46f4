"""Reads with eppo-server-sdk (an evaluator in Rust): a flag with one allocation for each rule."""

from __future__ import annotations

import json
from typing import Any

from eppo_client import AssignmentLogger, ClientConfig, Configuration, init
from protocol import Case, serve, version_of
from workloads import DEFAULT, WORKLOADS, Workload


def allocation(key: str, conditions: dict[str, str], value: int) -> dict[str, Any]:
    asked = [
        {"attribute": feature, "operator": "ONE_OF", "value": [one]}
        for feature, one in conditions.items()
    ]
    return {
        "key": key,
        "rules": [{"conditions": asked}] if asked else [],
        "splits": [{"variationKey": str(value), "shards": []}],
        "doLog": False,
    }


def flag(name: str, workload: Workload) -> dict[str, Any]:
    rules = [*reversed(workload.rules), ({}, DEFAULT)]
    return {
        "key": name,
        "enabled": True,
        "variationType": "INTEGER",
        "variations": {str(value): {"key": str(value), "value": value} for _, value in rules},
        "allocations": [
            allocation(f"a{place}", conditions, value)
            for place, (conditions, value) in enumerate(rules)
        ],
        "totalShards": 10000,
    }


def main() -> None:
    content = {
        "createdAt": "2024-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "bench"},
        "flags": {name: flag(name, workload) for name, workload in WORKLOADS.items()},
    }
    client = init(
        ClientConfig(
            api_key="none",
            assignment_logger=AssignmentLogger(),
            initial_configuration=Configuration(flags_configuration=json.dumps(content).encode()),
            poll_interval_seconds=None,
            base_url="http://127.0.0.1:1",
        )
    )
    cases = {
        name: Case(
            "get(flag, 'key', context, 0)",
            {
                "get": client.get_integer_assignment,
                "flag": name,
                "context": dict(workload.context),
            },
            workload.expected,
            workload.arguments(),
            workload.features,
        )
        for name, workload in WORKLOADS.items()
        if name != "1,000 rules, new user"
    }
    serve(cases, version_of("eppo-server-sdk"))


main()
