"""What one refresh has found out that the next ones need not, as long as nothing changes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from heksher.clients.declaring import Standing
    from heksher.clients.querying import Batch
    from heksher.clients.tracking import Tracking
    from heksher.settings.declaration import Declaration
    from heksher.settings.rules import RuleSet


@dataclass(frozen=True, slots=True)
class Overview:
    """How all settings stand, in short.

    Attributes:
        has_refusals: Whether any is not declared as asked.
        reads_local_defaults: Whether any reads its declared default, whatever the service's is.
        has_unusable: Whether any has to read its declared default, whatever it read before.
    """

    has_refusals: bool
    reads_local_defaults: bool
    has_unusable: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What a refresh found out that the next ones need not, until something changes here.

    Attributes:
        revision: The registry's, when the refresh began.
        tracking: What was tracked then.
        rule_sets: What was published then.
        overview: How all settings stand.
        batches: The queries for all of them.
    """

    revision: int
    tracking: Tracking
    rule_sets: Mapping[int, RuleSet[Any]]
    overview: Overview
    batches: tuple[Batch, ...]


def overview_of(
    declared: Collection[Declaration], standings: Mapping[str, Standing]
) -> Overview | None:
    """Return how all of *declared* stand; `None` if that is not known of one."""
    found = [(setting, standings.get(setting.name)) for setting in declared]
    known = [(one, standing) for one, standing in found if standing is not None]
    if len(known) < len(found) or any(one.index != standing.index for one, standing in known):
        return None
    return Overview(
        has_refusals=any(standing.refusal for _, standing in known),
        reads_local_defaults=any(standing.reads_local_default(one) for one, standing in known),
        has_unusable=any(standing.is_unusable for _, standing in known),
    )
