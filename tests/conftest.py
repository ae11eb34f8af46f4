"""Fixtures that any test may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from heksher.settings.reading.state import Snapshot, Source
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heksher import Setting
    from heksher.settings.rules.rule_set import RuleSet

RawRule = tuple[int, list[list[str]], Any]


class Publish(Protocol):
    """Compiles the raw rules of one setting, publishes them, and returns the rule set."""

    def __call__(
        self,
        setting: Setting[Any, ...],
        rules: Sequence[RawRule] = (),
        *,
        default: Any = ...,
        order: Sequence[str] | None = None,
        **options: Any,
    ) -> RuleSet[Any]: ...


@pytest.fixture
def registry() -> Registry:
    """A registry of its own, so that no test sees the settings of another."""
    return Registry()


@pytest.fixture
def publish(registry: Registry) -> Publish:
    def publish_rules(
        setting: Setting[Any, ...],
        rules: Sequence[RawRule] = (),
        *,
        default: Any = ...,
        order: Sequence[str] | None = None,
        **options: Any,
    ) -> RuleSet[Any]:
        feature_order = tuple(order or setting.configurable_features)
        before = dict(registry.snapshot.rule_sets)
        rule_set = compile_rule_set(
            declaration_of(setting),
            setting.raw_default if default is ... else default,
            rules,
            previous=before.get(declaration_of(setting).index),
            options=CompileOptions(feature_order=feature_order, **options),
        )
        registry.publish(
            Snapshot(
                rule_sets={**before, declaration_of(setting).index: rule_set},
                feature_order=feature_order,
                source=Source.SERVICE,
            )
        )
        return rule_set

    return publish_rules
