"""Reads with growthbook: a feature with one forced value for each rule, in an instance made before."""

from __future__ import annotations

from typing import Any

from growthbook import GrowthBook
from protocol import Case, serve, version_of
from workloads import DEFAULT, WORKLOADS, Workload


def feature(workload: Workload) -> dict[str, Any]:
    rules = [
        {"condition": conditions, "force": value} for conditions, value in reversed(workload.rules)
    ]
    return {"defaultValue": DEFAULT, "rules": rules}


def main() -> None:
    cases = {}
    for name, workload in WORKLOADS.items():
        if name == "1,000 rules, new user":
            continue
        instance = GrowthBook(
            attributes=dict(workload.context), features={"bench": feature(workload)}
        )
        cases[name] = Case(
            "get('bench', 0)",
            {"get": instance.get_feature_value},
            workload.expected,
            workload.arguments(),
            workload.features,
        )
    serve(cases, version_of("growthbook"))


main()
