"""Reads with launchdarkly-server-sdk: a flag with one target rule for each of ours, from memory."""

from __future__ import annotations

from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData
from protocol import Case, serve, version_of
from workloads import DEFAULT, WORKLOADS, Workload


def flag(source: TestData, name: str, workload: Workload) -> None:
    values = [DEFAULT, *[value for _, value in workload.rules]]
    built = source.flag(name).variations(*values).fallthrough_variation(0)
    # The first rule that matches wins there, and the last of equals here.
    for place, (conditions, _) in reversed(list(enumerate(workload.rules, 1))):
        (first, first_value), *others = conditions.items()
        rule = built.if_match(first, first_value)
        for feature, value in others:
            rule = rule.and_match(feature, value)
        built = rule.then_return(place)
    source.update(built)


def main() -> None:
    source = TestData.data_source()
    for name, workload in WORKLOADS.items():
        flag(source, name.replace(" ", "-").replace(",", ""), workload)
    client = LDClient(Config("sdk-none", update_processor_class=source, send_events=False))
    cases = {}
    for name, workload in WORKLOADS.items():
        if name == "1,000 rules, new user":
            continue
        builder = Context.builder("key")
        for feature, value in workload.context.items():
            builder.set(feature, value)
        cases[name] = Case(
            "variation(flag, context, 0)",
            {
                "variation": client.variation,
                "flag": name.replace(" ", "-").replace(",", ""),
                "context": builder.build(),
            },
            workload.expected,
            workload.arguments(),
            workload.features,
        )
    serve(cases, version_of("launchdarkly-server-sdk"))


main()
