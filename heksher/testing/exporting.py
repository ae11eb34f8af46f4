"""An exported snapshot: the values that production has, in a file for tests to meet.

The file is the answer of a service to a query, as it is: `{"settings": {name: {"default_value":
..., "rules": [{"rule_id": ..., "context_features": [[feature, value], ...], "value": ...}]}}}`. So
it can come from `export_snapshot` in a running program, or from the service itself::

    curl "http://heksher/api/v1/query?settings=cache.ttl,ui.theme" > snapshot.json
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from heksher import wire
from heksher.exceptions import UsageError
from heksher.settings import registry as registries
from heksher.settings.declaration import Declaration
from heksher.settings.registry import Registry
from heksher.settings.rules import RuleSet
from heksher.wire import QueriedSetting


def export_snapshot(
    path: str | os.PathLike[str],
    answer: bytes | str | None = None,
    *,
    registry: Registry = registries.DEFAULT,
) -> None:
    """Write the values that settings have now to *path*, for `--heksher-snapshot`.

    Args:
        path: The file; one that is there is replaced.
        answer: What the service answered to a query, to be checked and written; without one, what
            is published in this process, under the names that settings are declared by.
        registry: Whose settings, if not those of the process.

    Raises:
        UsageError: *answer* is not what a service answers to a query.
        OSError: The file cannot be written.
    """
    settings = _published(registry) if answer is None else _answered(answer)
    text = json.dumps({"settings": settings}, ensure_ascii=False, indent=1, sort_keys=True)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_snapshot(path: str | os.PathLike[str]) -> dict[str, QueriedSetting]:
    """Return the settings of an exported snapshot by name.

    Raises:
        UsageError: The file is none.
        OSError: It cannot be read.
    """
    try:
        return _answered(Path(path).read_bytes())
    except UsageError as error:
        raise UsageError(f"{path} is no exported snapshot: {error}") from None


def _answered(answer: bytes | str) -> dict[str, QueriedSetting]:
    body = answer.encode() if isinstance(answer, str) else answer
    try:
        return wire.read(wire.QUERY_ANSWER, body)["settings"]
    except wire.WrongShape as wrong:
        raise UsageError(f"this is not what a service answers to a query: {wrong}") from None


def _published(registry: Registry) -> dict[str, dict[str, Any]]:
    snapshot = registry.snapshot
    return {
        setting.name: _exported(
            setting, snapshot.rule_sets.get(setting.index, setting.declared_rules)
        )
        for setting in registry.declared()
    }


def _exported(setting: Declaration, rule_set: RuleSet[Any]) -> dict[str, Any]:
    encode = setting.decoder.encode
    return {
        "default_value": encode(rule_set.default),
        "rules": [
            {
                "rule_id": rule.rule_id,
                "context_features": [list(condition) for condition in rule.conditions],
                "value": encode(rule.value),
            }
            for rule in rule_set.rules()
        ],
    }
