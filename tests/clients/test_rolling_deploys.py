"""Two versions of a program against one service, through every change, in every order.

The table of `docs/reliability.md` is `CHANGES`: what each version reads once both were started.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from heksher import Setting
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from clients.conftest import Embedded
    from heksher import AsyncHeksherClient

ORDERS = [
    "old+ old- new+ new-",
    "old+ new+ old- new-",
    "old+ new+ new- old-",
    "new+ old+ old- new-",
    "new+ old+ new- old-",
    "new+ new- old+ old-",
]


@dataclass(frozen=True)
class Change:
    """What a deploy changes.

    Attributes:
        old: The arguments of the old declaration, where they are not the usual ones.
        new: Those of the new one.
        reads: The default that the old and the new version read once the new one was declared.
        rule: A rule's value that fits the service's type then.
        rule_reads: What the two versions read where it matches.
        before: A rule's value that fits before the new version was declared; none, no rule.
        splits: Whether the old version makes a setting of its own if it is started last, on a
            service that had none: nothing there tells of the former name.
    """

    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    reads: tuple[Any, Any] = (5, 5)
    rule: Any = 7
    rule_reads: tuple[Any, Any] = (7, 7)
    before: Any = 7
    splits: bool = False


CHANGES = {
    "a new default": Change(new={"default_value": 6, "version": "1.1"}, reads=(6, 6)),
    "a falsy default": Change(new={"default_value": 0, "version": "1.1"}, reads=(0, 0)),
    "a default that was falsy": Change(
        old={"default_value": 0}, new={"default_value": 6, "version": "1.1"}, reads=(6, 6)
    ),
    "an empty text": Change(
        old={"type": str, "default_value": "a"},
        new={"type": str, "default_value": "", "version": "1.1"},
        reads=("", ""),
        rule="r",
        rule_reads=("r", "r"),
        before="r",
    ),
    "a rename": Change(new={"name": "n.new", "alias": "n", "version": "1.1"}, splits=True),
    "a rename, and a new default": Change(
        new={"name": "n.new", "alias": "n", "version": "1.1", "default_value": 6},
        reads=(6, 6),
        splits=True,
    ),
    "a subtype": Change(
        old={"type": float, "default_value": 5.0}, new={"version": "1.1"}, reads=(5.0, 5)
    ),
    "another type": Change(
        new={"type": str, "default_value": "a", "version": "2.0"},
        reads=(5, "a"),
        rule="r",
        rule_reads=(5, "r"),
        before=None,
    ),
    "a feature added": Change(
        new={"configurable_features": ["user", "environment"], "version": "2.0"}
    ),
    "a feature removed": Change(
        old={"configurable_features": ["user", "environment"]}, new={"version": "1.1"}
    ),
    "metadata": Change(new={"metadata": {"team": "a"}, "version": "1.1"}),
}


class Reader:
    """One version of the program."""

    def __init__(self, service: Embedded, options: dict[str, Any]) -> None:
        arguments: dict[str, Any] = {
            "name": "n",
            "type": int,
            "configurable_features": ["user"],
            "default_value": 5,
            **options,
        }
        self.registry = Registry()
        self.setting = Setting(
            arguments.pop("name"), arguments.pop("type"), registry=self.registry, **arguments
        )
        self.client: AsyncHeksherClient = service.client(registry=self.registry)

    def get(self, **context: Any) -> Any:
        features = self.setting.configurable_features
        return self.setting.get(**{name: context.get(name) for name in features})


class Deploy:
    """A deploy under way: which versions run, and whether the new one was declared yet."""

    def __init__(self, service: Embedded, change: Change) -> None:
        self.service = service
        self.change = change
        self.running: dict[str, Reader] = {}
        self.is_upgraded = False
        self.rules = 0
        self.is_split = False

    async def step(self, event: str) -> None:
        version, is_start = event[:-1], event.endswith("+")
        if is_start:
            options = self.change.old if version == "old" else self.change.new
            reader = self.running[version] = Reader(self.service, options)
            await reader.client.set_as_main()
            if version == "new" and not self.rules:
                self.is_split = self.change.splits
            self.is_upgraded = self.is_upgraded or version == "new"
        else:
            await self.running.pop(version).client.aclose()
        await self._set_rule()
        for version, reader in self.running.items():
            await reader.client.reload()
            self._check(version, reader)

    async def _set_rule(self) -> None:
        """Give a new user a rule, as a console would: under the service's present name."""
        value = self.change.rule if self.is_upgraded else self.change.before
        if value is None:
            return
        name = self.change.new.get("name", "n") if self.is_upgraded else "n"
        self.rules += 1
        await self.service.rule(name, value, user=f"u{self.rules}")
        if self.is_upgraded and "environment" in self.change.new.get("configurable_features", ()):
            await self.service.rule(name, value, user=f"e{self.rules}", environment="prod")

    def _check(self, version: str, reader: Reader) -> None:
        place = 0 if version == "old" else 1
        default = self.change.old.get("default_value", 5)
        status = reader.client.status
        reads = self.change.reads[place] if self.is_upgraded else default
        rule_reads = self.change.rule_reads[place] if self.is_upgraded else self.change.before
        if self.is_split and version == "old":
            reads = rule_reads = default

        assert reader.get() == reads
        assert type(reader.get()) is type(reader.setting.default_value)
        assert status.consecutive_failures == 0
        assert not status.refused_declarations
        if self.rules:
            assert reader.get(user=f"u{self.rules}") == rule_reads
            unread = self.is_upgraded and self.change.rule_reads[place] != self.change.rule
            assert bool(status.rejected_rules) == unread
        if "environment" in self.change.new.get("configurable_features", ()) and self.is_upgraded:
            assert bool(status.foreign_rules) == (version == "old")
            wanted = self.change.rule if version == "new" else reads
            assert reader.get(user=f"e{self.rules}", environment="prod") == wanted


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CHANGES)
async def test_each_version_reads_what_its_declaration_promises(
    service: Embedded, name: str, order: str
) -> None:
    deploy = Deploy(service, CHANGES[name])

    for event in order.split():
        await deploy.step(event)
