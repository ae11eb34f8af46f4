"""A small model of the service, in memory, true to what a client can see of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any
from urllib.parse import parse_qs

Reply = tuple[int, Any, dict[str, str]]
"""Status, body (JSON, or text), headers."""


@dataclass
class Held:
    """A setting, as the service holds it."""

    name: str
    type: str
    default: Any
    version: str
    features: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    rules: dict[int, tuple[dict[str, str], Any]] = field(default_factory=dict)

    def listed(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "configurable_features": self.features,
            "type": self.type,
            "default_value": self.default,
            "metadata": self.metadata,
            "aliases": self.aliases,
            "version": self.version,
        }


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class Service:
    """What the service holds, and how it answers."""

    def __init__(self, features: list[str]) -> None:
        self.features = features
        self.settings: dict[str, Held] = {}
        self.rule_ids = 0
        self.edition = 0
        """Another number whenever what it holds may have changed."""

    def find(self, name: str) -> Held | None:
        held = self.settings.get(name)
        return held or next((one for one in self.settings.values() if name in one.aliases), None)

    def add_rule(self, name: str, value: Any, conditions: dict[str, str]) -> None:
        held = self.settings[name]
        for rule_id, (others, _) in list(held.rules.items()):
            if others == conditions:
                del held.rules[rule_id]
        self.rule_ids += 1
        self.edition += 1
        held.rules[self.rule_ids] = (conditions, value)

    def rename(self, name: str, new: str, version: str) -> None:
        self.edition += 1
        held = self.settings.pop(name)
        held.aliases = [one for one in [*held.aliases, name] if one != new]
        held.name, held.version = new, version
        self.settings[new] = held

    def answer(self, method: str, path: str, query: str, body: Any, etag: str | None) -> Reply:
        if path.endswith("/health"):
            return 200, {"version": "0.5.7"}, {}
        if path.endswith("/context_features"):
            return 200, {"context_features": self.features}, {}
        if path.endswith("/settings"):
            listed = [self.settings[name].listed() for name in sorted(self.settings)]
            return 200, {"settings": listed}, {}
        if path.endswith("/declare"):
            return self.declare(body)
        return self.query(parse_qs(query), etag)

    def query(self, parameters: dict[str, list[str]], etag: str | None) -> Reply:
        names = parameters["settings"][0].split(",")
        unknown = [name for name in names if self.find(name) is None]
        if unknown:
            return 404, f"the following are not setting names: {unknown}", {}
        found = [held for held in map(self.find, names) if held is not None]
        body = {"settings": {held.name: self._queried(held) for held in found}}
        new = f'"{md5(json.dumps(body).encode(), usedforsecurity=False).hexdigest()}"'
        if etag == new:
            return 304, "", {"etag": new}
        return 200, body, {"etag": new}

    def _queried(self, held: Held) -> dict[str, Any]:
        rules = [
            {
                "value": value,
                "context_features": [
                    [name, conditions[name]] for name in self.features if name in conditions
                ],
                "rule_id": rule_id,
            }
            for rule_id, (conditions, value) in held.rules.items()
        ]
        return {"default_value": held.default, "rules": rules}

    def declare(self, body: dict[str, Any]) -> Reply:
        self.edition += 1
        alias = body["alias"]
        if alias and self.find(alias) is None:
            return 404, {"detail": f"alias {alias} does not exist"}, {}
        held = self.find(body["name"]) or (self.find(alias) if alias else None)
        if held is None:
            return self._create(body)
        ours, theirs = numbers(body["version"]), numbers(held.version)
        differences = self._differences(body, held)
        if ours == theirs:
            if differences:
                return 409, {"outcome": "mismatch", "differences": differences}, {}
            return 200, {"outcome": "uptodate"}, {}
        if ours < theirs:
            answer = {"outcome": "outdated", "latest_version": held.version}
            return 200, {**answer, "differences": differences}, {}
        return self._upgrade(body, held, differences)

    def _create(self, body: dict[str, Any]) -> Reply:
        if body["version"] != "1.0":
            return 400, "newly created settings must have version 1.0", {}
        self.settings[body["name"]] = Held(
            body["name"],
            body["type"],
            body["default_value"],
            body["version"],
            body["configurable_features"],
            body["metadata"],
        )
        return 200, {"outcome": "created"}, {}

    def _upgrade(
        self, body: dict[str, Any], held: Held, differences: list[dict[str, Any]]
    ) -> Reply:
        previous = held.version
        if held.name != body["name"]:
            self.rename(held.name, body["name"], body["version"])
        held.version, held.type = body["version"], body["type"]
        held.features, held.metadata = body["configurable_features"], body["metadata"]
        if body["default_value"]:
            # The real service loses an upgrade to a falsy default.
            held.default = body["default_value"]
        answer = {"outcome": "upgraded", "previous_version": previous}
        return 200, {**answer, "differences": differences}, {}

    def _differences(self, body: dict[str, Any], held: Held) -> list[dict[str, Any]]:
        pairs = [
            ("type", body["type"], held.type),
            ("name", body["name"], held.name),
            ("default_value", body["default_value"], held.default),
        ]
        return [
            {"level": "minor", "attribute": attribute, "latest_value": theirs}
            for attribute, ours, theirs in pairs
            if ours != theirs
        ]
