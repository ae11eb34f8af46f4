"""Sending the queries of the last refresh again, or making them anew: the same in whatever happens.

Two programs live through the same random history, each with a service of its own. One of them
forgets before each refresh which queries the last one had sent, and so looks at all settings anew.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from clients.conftest import Canned, Conversation
from heksher.exceptions import HeksherError, UsageError
from heksher.settings.context import default_source
from heksher.settings.registry import Registry
from heksher.settings.setting import Setting, declaration_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.conversation.effects import Request
    from heksher.clients.conversation.rule_compiler import Refreshed

NAMES = [f"s{place}" for place in range(8)]
FEATURES = ["environment", "user"]
CONTEXTS = [(one, other) for one in ("e", "x", None) for other in ("x", "y", None)]
STEPS = 120


class Program:
    """A program and its service; *forgets* tells whether queries are always made anew."""

    def __init__(self, *, forgets: bool) -> None:
        self.talk = Conversation(Canned(features=[*FEATURES]), Registry())
        self.settings: dict[str, Setting[int]] = {}
        self.forgets = forgets

    def declare(self, name: str, **options: Any) -> None:
        self.settings.pop(name, None)
        gc.collect()
        self.settings[name] = Setting[int](
            name,
            **{"configurable_features": FEATURES, "default_value": 1, **options},
            registry=self.talk.registry,
        )

    def plans(self) -> bool:
        session = self.talk.session
        return session.plan_for(self.talk.registry.revision, session.tracking) is not None

    def refresh(self, *, thorough: bool) -> Any:
        """Refresh once, and return all that anybody can see of it."""
        if self.forgets:
            self.talk.session.plan = None
        self.talk.session.randomness.seed(1)
        try:
            refreshed = self.talk.refresh(thorough=thorough)
        except HeksherError as error:
            requests, self.talk.service.requests = self.talk.service.requests, []
            return type(error), str(error), self.seen(), requests
        return self.found(refreshed), self.seen(), self.talk.last_requests

    def found(self, refreshed: Refreshed) -> Any:
        return (
            sorted(one.name for one in refreshed.changed),
            [str(one) for one in refreshed.errors],
            refreshed.missing_features,
            {
                name: (one.outcome, one.canonical_name, one.default_read, str(one.refusal))
                for name, one in refreshed.standings.items()
                if name in self.settings
            },
            refreshed.malformed,
            refreshed.etags,
        )

    def seen(self) -> Any:
        state = self.talk.registry.snapshot
        return {
            name: (
                [setting.get(environment=one, user=two) for one, two in CONTEXTS],
                _tried(setting.get),
                [str(one) for one in _rejections(state, setting)],
            )
            for name, setting in self.settings.items()
        }


def _rejections(state: Any, setting: Setting[int]) -> tuple[Any, ...]:
    rule_set = state.rule_sets.get(declaration_of(setting).index)
    return () if rule_set is None else rule_set.rejections


def _tried(get: Callable[[], int]) -> Any:
    try:
        return get()
    except LookupError as error:
        return str(error)


def change(chance: random.Random) -> Callable[[Program], None]:
    """Return something that happens to a program or to its service, the same to both."""
    name, number = chance.choice(NAMES), chance.randint(0, 9)
    conditions = dict(chance.choice([[("user", "x")], [("environment", "e")], [("user", "y")]]))
    return chance.choice(
        [
            *[lambda one: one.talk.service.rule(name, number, number, **conditions)] * 4,
            *[lambda one: _drop_rules(one.talk.service, name)] * 2,
            lambda one: one.talk.service.rule(name, number, "no number", **conditions),
            lambda one: _change_default(one.talk.service, name, number),
            lambda one: _upgrade(one.talk.service, name, number),
            lambda one: _rename(one.talk.service, name, f"{name}.new"),
            lambda one: _remove(one.talk.service, name),
            lambda one: one.talk.service.features.reverse(),
            lambda one: _toggle(one.talk.service.features, "environment"),
            lambda one: one.talk.service.instead.append(_once(number)),
            *[lambda one: one.declare(name)] * 3,
            lambda one: one.declare(name, version="1.1", default_value=number),
            lambda one: one.declare(name, default_value=0),
            *[lambda one: _forget(one, name)] * 2,
            lambda one: _add_validator(one, name, number),
            lambda one: one.talk.session.track({"user": ["x", "y"][: number % 2 + 1]}),
            lambda one: one.talk.registry.set_defaults(
                {"user": default_source("user", "xy"[number % 2])}
            ),
            lambda one: one.talk.session.start_afresh(),
        ]
    )


def _drop_rules(service: Canned, name: str) -> None:
    service.rules.pop(name, None)
    service.generation += 1


def _change_default(service: Canned, name: str, default: int) -> None:
    if name in service.settings:
        service.settings[name]["default_value"] = default
        service.generation += 1


def _upgrade(service: Canned, name: str, default: int) -> None:
    _change_default(service, name, default)
    if name in service.settings:
        service.settings[name]["version"] = "1.2"


def _rename(service: Canned, old: str, new: str) -> None:
    if old in service.settings and new not in service.settings:
        service.rename(old, new)


def _remove(service: Canned, name: str) -> None:
    service.settings.pop(name, None)
    service.rules.pop(name, None)
    service.generation += 1


def _toggle(features: list[str], name: str) -> None:
    if name in features:
        features.remove(name)
    else:
        features.append(name)


def _once(number: int) -> Callable[[Request], Any]:
    """Return what answers one request wrongly, and then no more."""
    path = ["query", "query", "context_features", "settings", "settings/declare"][number % 5]
    answers = [
        httpx.Response(500, request=httpx.Request("GET", "http://x")),
        httpx.ConnectError("gone"),
        httpx.Response(
            200, json={"settings": {"s1": {}}}, request=httpx.Request("GET", "http://x")
        ),
    ]
    left = [answers[number % 3]]

    def answer(request: Request) -> Any:
        return left.pop() if left and request.path == f"/api/v1/{path}" else None

    return answer


def _forget(program: Program, name: str) -> None:
    program.settings.pop(name, None)
    gc.collect()


def _add_validator(program: Program, name: str, number: int) -> None:
    if name in program.settings:
        program.settings[name].add_validator(lambda value, _rule, _setting: value + number)


def live(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a history, no secret
    short, long = Program(forgets=False), Program(forgets=True)
    both = (short, long)
    planned = 0
    for program in both:
        for name in NAMES[:4]:
            program.declare(name)
        program.refresh(thorough=True)
    for step in range(STEPS):
        if chance.random() < 0.6:
            happens = change(chance)
            raised = []
            for program in both:
                try:
                    happens(program)
                except UsageError as error:
                    raised.append(str(error))
            assert len(raised) in (0, 2)
        thorough = chance.random() < 0.15
        planned += short.plans()
        assert short.refresh(thorough=thorough) == long.refresh(thorough=thorough), (seed, step)
    assert planned > STEPS / 10


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_the_short_way_and_the_long_way_are_the_same(first: int) -> None:
    """In a process of its own: each setting dropped has the collector walk through all there is."""
    source = f"""
from clients.test_shortcut import live
for seed in range({first}, {first + 4}):
    live(seed)
"""

    done = subprocess.run(  # noqa: S603  # our own source
        [sys.executable, "-c", source],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stderr
