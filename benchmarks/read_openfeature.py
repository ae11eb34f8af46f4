"""Reads with openfeature-sdk: its in-memory provider, with one dict look-up as the evaluation."""

from __future__ import annotations

from typing import Any

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from protocol import Case, serve, version_of
from workloads import DEFAULT, WORKLOADS

SHOWN = ("no rule", "10 rules", "1,000 rules, hit", "1,000 rules, miss")
"""Those that are one dict; the SDK itself knows no rules."""


def flag(table: dict[str, int]) -> InMemoryFlag[int]:
    if not table:
        return InMemoryFlag("default", {"default": DEFAULT})

    def evaluate(_flag: Any, context: EvaluationContext) -> FlagResolutionDetails[int]:
        value = table.get(context.attributes["user"], DEFAULT)
        return FlagResolutionDetails(value=value, reason=Reason.TARGETING_MATCH)

    return InMemoryFlag("default", {"default": DEFAULT}, context_evaluator=evaluate)


def main() -> None:
    flags = {
        name: flag({conditions["user"]: value for conditions, value in WORKLOADS[name].rules})
        for name in SHOWN
    }
    api.set_provider(InMemoryProvider(flags))
    client = api.get_client()
    cases = {
        name: Case(
            "get(flag, 0, context)",
            {
                "get": client.get_integer_value,
                "flag": name,
                "context": EvaluationContext("key", dict(WORKLOADS[name].context)),
            },
            WORKLOADS[name].expected,
            WORKLOADS[name].arguments(),
            WORKLOADS[name].features,
        )
        for name in SHOWN
    }
    serve(cases, version_of("openfeature-sdk"))


main()
