"""A fixed set of random histories, and proof that they find what they are to find."""

from __future__ import annotations

import logging
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from chaos import doors
from chaos.commands import find
from chaos.planted import FAULTS
from chaos.planting import Fault, NotPlanted
from chaos.runner import play

if TYPE_CHECKING:
    from pathlib import Path

HISTORIES = range(150)
PARTS = 10
QUICKLY_FOUND = {"half-a-refresh-published", "age-of-a-failure", "backoff-without-jitter"}


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_history_freezes_misreads_or_leaks(part: int) -> None:
    broken = [outcome for seed in HISTORIES[part::PARTS] if (outcome := play(seed)).kind]

    assert not broken


def test_history_is_the_same_each_time() -> None:
    """A seed that failed has to fail again, with its threads in the same order."""
    logger, told = logging.getLogger("heksher"), []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # The folder of a history has a new name each time.
            told.append(re.sub(r"\S*/snapshot\b", "snapshot", record.getMessage()))

    logger.addHandler(listener := Listener(logging.INFO))
    try:
        both = []
        for _ in range(2):
            told.clear()
            for seed in (3, 5, 6, 11):
                play(seed)
            both.append(list(told))
    finally:
        logger.removeHandler(listener)

    assert both[0] == both[1] != []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_can_be_planted(fault: Fault, tmp_path: Path) -> None:
    """The table has to follow the code: a fault that cannot be planted proves nothing."""
    package = shutil.copytree(
        doors.PACKAGE, tmp_path / "heksher", ignore=shutil.ignore_patterns("__pycache__", "server")
    )

    fault.plant(package)

    with pytest.raises(NotPlanted):
        Fault("nowhere", "", (("there is no such text", ""),)).plant(package)


@pytest.mark.parametrize("name", sorted(QUICKLY_FOUND))
def test_planted_fault_is_found(name: str) -> None:
    (fault,) = [one for one in FAULTS if one.name == name]

    assert find(fault, most=20) is not None


def test_history_that_hangs_is_ended_and_named() -> None:
    (fault,) = [one for one in FAULTS if one.name == "loop-without-end"]

    found = find(fault, most=10, limit=3.0)

    assert found is not None
    assert "hang" in found.what
    assert "heksher/clients" in found.what
