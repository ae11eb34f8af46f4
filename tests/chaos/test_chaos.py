"""A fixed set of random histories, and proof that they find what they are to find."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from chaos.runner import play
from heksher.clients import thread_client
from heksher.clients.async_client import AsyncHeksherClient
from heksher.clients.query_flow import Querying
from heksher.clients.reporting import logger
from heksher.clients.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from heksher.clients.effects import Flow, Request
    from heksher.clients.querying import Batch

HISTORIES = range(100)
FOR_MUTANTS = range(30)


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.mark.parametrize("part", range(10))
def test_no_history_freezes_misreads_or_leaks(part: int) -> None:
    broken = [outcome for seed in HISTORIES[part::10] if (outcome := play(seed)).kind]

    assert not broken


def keep_etags_before_reading(patch: pytest.MonkeyPatch) -> None:
    """As heksher-py does: an ETag counts before its answer was read."""
    read_rules = Querying._read_rules

    def read(
        self: Querying, batch: Batch, request: Request, response: httpx.Response
    ) -> Flow[None]:
        self.etags[batch.query] = response.headers.get("etag", "")
        yield from read_rules(self, batch, request, response)

    patch.setattr(Querying, "_read_rules", read)


def never_declare_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("heksher.clients.query_flow.MAX_LOOKS", 0)


def forget_failures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Upkeep, "failed", lambda *_: None)
    patch.setattr(thread_client.ThreadHeksherClient, "_failed", lambda _, error: error)


def warn_every_time(patch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        logger.warning("settings update failed")

    patch.setattr("heksher.clients.upkeep.report_failure", warn)


def leave_tasks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AsyncHeksherClient, "_end", lambda _: set())


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], range] = {
    keep_etags_before_reading: FOR_MUTANTS,
    never_declare_again: FOR_MUTANTS,
    forget_failures: FOR_MUTANTS,
    warn_every_time: FOR_MUTANTS,
    leave_tasks: FOR_MUTANTS,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_client_with_this_fault_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)

    assert any(play(seed).kind for seed in MUTANTS[mutant])
