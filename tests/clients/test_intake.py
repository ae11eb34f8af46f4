"""Taking in an answer: most of it while it is read, the rest with pauses, all of it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heksher.clients.effects import Breathe
from heksher.clients.intake import IN_ONE_GO, Intake

if TYPE_CHECKING:
    from heksher.wire import QueriedSetting

QUERIED: QueriedSetting = {"default_value": 0, "rules": []}


class Work:
    """Compiles settings, each of which takes a while, by a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.done: list[str] = []
        self._seconds = seconds

    def compile_one(self, name: str, _queried: QueriedSetting) -> None:
        self.now += self._seconds
        self.done.append(name)

    def intake(self) -> Intake:
        return Intake(self.compile_one, clock=lambda: self.now)


def test_a_small_answer_is_compiled_while_it_is_read() -> None:
    work = Work(IN_ONE_GO / 10)
    intake = work.intake()

    intake.take("a", QUERIED)
    intake.take("b", QUERIED)

    assert work.done == ["a", "b"]
    assert list(intake.finish()) == []
    assert intake.names == {"a", "b"}


def test_a_large_answer_leaves_the_rest_for_later_and_pauses() -> None:
    work = Work(IN_ONE_GO * 0.6)
    intake = work.intake()

    for place in range(6):
        intake.take(f"s{place}", QUERIED)
    at_once = list(work.done)
    pauses = list(intake.finish())

    assert at_once == ["s0", "s1"]
    assert work.done == [f"s{place}" for place in range(6)]
    assert pauses == [Breathe()] * 2
    assert intake.names == set(work.done)


def test_settings_that_each_take_too_long_are_paused_between() -> None:
    work = Work(IN_ONE_GO * 2)
    intake = work.intake()

    for place in range(3):
        intake.take(f"s{place}", QUERIED)

    assert work.done == ["s0"]
    assert len(list(intake.finish())) == 2
    assert work.done == ["s0", "s1", "s2"]


def test_an_answer_that_took_long_to_read_is_compiled_after_a_pause() -> None:
    work = Work(0.0)
    intake = work.intake()
    work.now = IN_ONE_GO * 3

    intake.take("a", QUERIED)

    assert work.done == []
    assert list(intake.finish()) == [Breathe()]
    assert work.done == ["a"]
