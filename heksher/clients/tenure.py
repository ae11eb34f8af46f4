"""Keeping updates from setting off full collections of Python's garbage collector.

Once the objects that survived its young collections are a quarter as many as there were at the last
full one, the collector walks through all that the program holds: some 100 ms for 10,000 settings, in
which nothing else runs. Those that went meanwhile it does not subtract. An update leaves as many
behind as it replaces, and they have no cycles, so it is no reason to look for any.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_was_frozen = False


def _has_frozen() -> bool:
    """Tell whether the program has ever been seen to have frozen objects.

    Asked again, Python would walk through all of them again, to count them.
    """
    global _was_frozen
    _was_frozen = _was_frozen or gc.get_freeze_count() > 0
    return _was_frozen


@contextmanager
def tenure() -> Iterator[None]:
    """Put what is made inside with the old objects at once, uncounted.

    What the program made before goes through a young collection first, so that it is counted as
    ever. Nothing is done where the collector is off, or, from then on, where it has been told to
    leave objects alone by `gc.freeze()`: that would be undone.
    """
    if not gc.isenabled() or _has_frozen():
        yield
        return
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        # Together they move all young objects to the oldest generation, without a look at any.
        gc.freeze()
        gc.unfreeze()
