"""What two declarations of one setting have different, and how much that matters.

The rules are the service's, so that a program can tell by itself what the service would answer:
types are compared parsed, features as sets, names, defaults and metadata by Python's `==` (to
which 1, 1.0 and true are no differences).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from heksher.settings.type_strings import HeksherType

LEVELS: Final = ("minor", "major", "mismatch")
"""How much a difference matters: a minor or a major upgrade makes up for it, or none does."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the service holds otherwise than a declaration says.

    Attributes:
        level: `minor`, `major` or `mismatch`, in the service's words.
        attribute: What differs, as in `default_value`; `None` where only a message says.
        latest_value: What the service holds, raw; not part of the `repr`.
        message: The service's own words, where there is no attribute.
    """

    level: str
    attribute: str | None = None
    latest_value: Any = field(default=None, repr=False)
    message: str | None = None

    def __str__(self) -> str:
        return f"{self.attribute or self.message} ({self.level})"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a declaration says of a setting.

    Attributes:
        name: The name.
        configurable_features: The features that its rules may use.
        type: The type; a text if it is none that is known here.
        default_value: The default, raw.
        metadata: The metadata.
    """

    name: str
    configurable_features: Sequence[str]
    type: HeksherType | str
    default_value: Any
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What of the rules stands in the way of an upgrade.

    Attributes:
        removed_features_in_use: Rule ids by feature, of features that the declaration lacks.
        misfits: Ids of the rules whose values are not of the declared type.
    """

    removed_features_in_use: Mapping[str, Sequence[int]] = field(default_factory=dict)
    misfits: Sequence[int] = ()


def differing(held: Terms, declared: Terms) -> frozenset[str]:
    """Return the attributes of *declared* that *held* has otherwise."""
    equal = {
        "name": held.name == declared.name,
        "configurable_features": set(held.configurable_features)
        == set(declared.configurable_features),
        "type": held.type == declared.type,
        "default_value": held.default_value == declared.default_value,
        "metadata": held.metadata == declared.metadata,
    }
    return frozenset([attribute for attribute, is_equal in equal.items() if not is_equal])


def differences(
    held: Terms,
    declared: Terms,
    *,
    outdated: bool = False,
    obstacles: Obstacles = Obstacles(),
) -> tuple[Difference, ...]:
    """Return what the service holds otherwise than it is declared, in the service's order.

    Args:
        held: What the service holds.
        declared: What the program declares.
        outdated: Whether the service's is the newer one, so that levels are seen from there.
        obstacles: What of the rules stands in the way; only the service knows that.
    """
    attributes = differing(held, declared)
    older, newer = (declared, held) if outdated else (held, declared)
    found = []
    if "configurable_features" in attributes:
        in_use = obstacles.removed_features_in_use
        found.append(_of_features(held, set(older.configurable_features), newer, in_use))
    if "type" in attributes:
        found.append(_of_type(held, older, newer, obstacles.misfits))
    found += [
        Difference("minor", attribute, getattr(held, attribute))
        for attribute in ("name", "default_value", "metadata")
        if attribute in attributes
    ]
    return tuple(sorted(found, key=lambda one: LEVELS.index(one.level)))


def _of_features(
    held: Terms, older: set[str], newer: Terms, in_use: Mapping[str, Sequence[int]]
) -> Difference:
    removed = sorted(older.difference(newer.configurable_features))
    if in_use:
        ids = [rule_id for rule_ids in in_use.values() for rule_id in rule_ids]
        text = f"configurable features {removed} are still in use by rules {ids}"
        return Difference("mismatch", message=text)
    if older.issuperset(newer.configurable_features):
        return Difference("minor", message=f"removal of configurable features {removed}")
    return Difference("major", "configurable_features", [*held.configurable_features])


def _of_type(held: Terms, older: Terms, newer: Terms, misfits: Sequence[int]) -> Difference:
    if misfits:
        text = f"setting type incompatible with values for rules: {[*misfits]}"
        return Difference("mismatch", message=text)
    is_subtype = (
        not isinstance(older.type, str)
        and not isinstance(newer.type, str)
        and newer.type.is_subtype_of(older.type)
    )
    return Difference("minor" if is_subtype else "major", "type", str(held.type))
