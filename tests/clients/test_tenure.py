"""What an update makes is old for the collector at once; all else is collected as ever."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest

from heksher.clients.tenure import tenure

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """Something that the collector tracks, and weak references find."""

    other: Any = None


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def is_old(node: Node) -> bool:
    return any(one is node for one in gc.get_objects(generation=2))


def test_what_is_made_inside_is_old_at_once() -> None:
    with tenure():
        node = Node()

    assert is_old(node)
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_it_sets_off_no_collection_inside() -> None:
    before = [one["collections"] for one in gc.get_stats()]

    with tenure():
        kept = [Node() for _ in range(50_000)]

    after = [one["collections"] for one in gc.get_stats()]
    assert len(kept) == 50_000
    assert [now - then for now, then in zip(after, before, strict=True)] == [0, 1, 0]


def test_garbage_from_before_is_collected_first() -> None:
    node = Node()
    node.other = node
    found = ref(node)
    del node

    with tenure():
        assert found() is None


def test_garbage_that_is_made_inside_is_found_by_the_next_full_collection() -> None:
    with tenure():
        node = Node()
        node.other = node
        found = ref(node)
        del node
    assert found() is not None

    gc.collect()

    assert found() is None


def test_it_ends_whatever_is_raised_inside() -> None:
    with pytest.raises(KeyboardInterrupt), tenure():
        raise KeyboardInterrupt

    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_collector_that_is_off_stays_so() -> None:
    gc.disable()

    with tenure():
        node = Node()

    assert not gc.isenabled()
    assert not is_old(node)


def test_what_the_program_froze_stays_frozen() -> None:
    """In a process of its own: what the test run has must not be frozen."""
    source = """
import gc
from heksher.clients.tenure import tenure
gc.freeze()
before = gc.get_freeze_count()
with tenure():
    kept = [[] for _ in range(10)]
print(gc.get_freeze_count() == before > 0)
"""

    done = subprocess.run(  # noqa: S603  # our own source
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout == "True\n"
