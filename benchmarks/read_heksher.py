"""Reads with heksher, in every form: what is given, where the rest comes from, and how it is read."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from protocol import Case, serve, version_of
from workloads import DEFAULT, WORKLOADS, Workload

from heksher import Setting, SettingsModel, bind_context
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.settings.rules.rule_set import RuleSet

MODEL_FIELDS = 3


def rule_set(setting: Setting[Any, ...], workload: Workload) -> RuleSet[Any]:
    raw = [
        (place, list(conditions.items()), value)
        for place, (conditions, value) in enumerate(workload.rules)
    ]
    options = CompileOptions(feature_order=workload.features)
    return compile_rule_set(declaration_of(setting), DEFAULT, raw, previous=None, options=options)


class Filled:
    """A registry of its own with one setting in it, whose rules have been published."""

    def __init__(self, workload: Workload, defaults: Mapping[str, Any] | None = None) -> None:
        self.workload = workload
        self.registry = Registry()
        self.setting = Setting[int](
            "bench",
            configurable_features=workload.features,
            default_value=DEFAULT,
            registry=self.registry,
        )
        self.kept_get = self.setting.get
        self.publish([self.setting], defaults or {})

    def publish(self, settings: list[Setting[Any, ...]], defaults: Mapping[str, Any]) -> None:
        rule_sets = {declaration_of(one).index: rule_set(one, self.workload) for one in settings}
        self.registry.publish(Snapshot(rule_sets=rule_sets))
        sources = {name: default_source(name, default) for name, default in defaults.items()}
        self.registry.set_defaults(sources)

    def model(self) -> type[SettingsModel]:
        """Return a model of a few fields, all of which have the rules."""
        names = [f"field{number}" for number in range(MODEL_FIELDS)]
        make: Any = type(SettingsModel)
        model: type[SettingsModel] = make(
            "Model",
            (SettingsModel,),
            {**dict.fromkeys(names, DEFAULT), "__annotations__": dict.fromkeys(names, int)},
            prefix="model",
            configurable_features=self.workload.features,
            registry=self.registry,
        )
        self.publish([self.setting, *model.settings.values()], {})
        return model

    def case(self, expression: str, names: dict[str, Any], **others: Any) -> Case:
        workload = self.workload
        return Case(
            expression,
            names,
            workload.expected,
            workload.arguments(),
            workload.features,
            **others,
        )


def explicit_cases(workload: Workload) -> dict[str, Case]:
    given = workload.arguments()
    plain, pinned, modelled = Filled(workload), Filled(workload), Filled(workload)
    model = modelled.model()
    return {
        "explicit": plain.case(f"setting.get({given})", {"setting": plain.setting}),
        "kept get": plain.case(f"get({given})", {"get": plain.kept_get}),
        "pinned": pinned.case(
            f"setting.get({given})",
            {"setting": pinned.setting},
            inside=(pinned.registry.pinned,),
        ),
        "model": modelled.case(f"model.get({given}).field0", {"model": model}),
    }


def ambient_cases(workload: Workload) -> dict[str, Case]:
    context = workload.context
    with_default = {name: ContextVar(name, default=value) for name, value in context.items()}
    without = {name: ContextVar[str](name) for name in context}
    for name, variable in without.items():
        variable.set(context[name])
    constants, variables = Filled(workload, context), Filled(workload, with_default)
    unset, bound = Filled(workload, without), Filled(workload)
    attributes = type("Config", (), {"value": bound.setting})()

    def binding() -> Any:
        return bind_context(**context)

    return {
        "defaults": constants.case("setting.get()", {"setting": constants.setting}),
        "variables": variables.case("setting.get()", {"setting": variables.setting}),
        "set variables": unset.case("setting.get()", {"setting": unset.setting}),
        "bound": bound.case("setting.get()", {"setting": bound.setting}, inside=(binding,)),
        "descriptor": bound.case("config.value", {"config": attributes}, inside=(binding,)),
    }


def cases() -> dict[str, Case]:
    """Return all cases, by the workload's name and the form in brackets."""
    found = {}
    for name, workload in WORKLOADS.items():
        forms = explicit_cases(workload)
        if not workload.new_user:
            forms |= ambient_cases(workload)
        for form, case in forms.items():
            found[name if form == "explicit" else f"{name} ({form})"] = case
    return found


if __name__ == "__main__":
    serve(cases(), version_of("heksher"))
