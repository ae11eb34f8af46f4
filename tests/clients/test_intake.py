"""Taking in an answer: most of it while it is read, the rest with pauses, all of it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heksher.clients.effects import Breathe
from heksher.clients.intake import TAKEN_IN_ONE_GO, TAKEN_WHILE_READING, Intake

if TYPE_CHECKING:
    from heksher.wire import QueriedSetting


def queried(rules: int) -> QueriedSetting:
    one = {"value": 1, "context_features": [("user", "john")], "rule_id": 1}
    return {"default_value": 0, "rules": [one] * rules}  # type: ignore[list-item]  # a rule


def test_a_small_answer_is_compiled_while_it_is_read() -> None:
    taken: list[str] = []
    intake = Intake(lambda name, _: taken.append(name))

    intake.take("a", queried(1))
    intake.take("b", queried(0))

    assert taken == ["a", "b"]
    assert list(intake.finish()) == []
    assert intake.names == {"a", "b"}


def test_a_large_answer_leaves_the_rest_for_later_and_pauses() -> None:
    taken: list[str] = []
    intake = Intake(lambda name, _: taken.append(name))

    for place in range(5):
        intake.take(f"s{place}", queried(TAKEN_WHILE_READING // 2))
    at_once = len(taken)
    pauses = list(intake.finish())

    assert 0 < at_once < 5
    assert taken == [f"s{place}" for place in range(5)]
    assert pauses == [Breathe()] * (5 - at_once)


def test_small_settings_share_a_pause() -> None:
    taken: list[str] = []
    intake = Intake(lambda name, _: taken.append(name))

    intake.take("large", queried(TAKEN_WHILE_READING))
    for place in range(10):
        intake.take(f"s{place}", queried(TAKEN_IN_ONE_GO // 10))

    assert len(list(intake.finish())) == 2
    assert len(taken) == 11


def test_an_answer_that_is_one_huge_setting_is_compiled_at_once() -> None:
    taken: list[str] = []
    intake = Intake(lambda name, _: taken.append(name))

    intake.take("huge", queried(TAKEN_WHILE_READING * 2))

    assert taken == ["huge"]
    assert list(intake.finish()) == []
