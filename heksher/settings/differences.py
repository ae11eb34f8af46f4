"""The differences between two declarations of one setting, and how much they matter.

The rules are the service's, so that a program can predict its response: types are parsed, features
are compared as sets, and names, defaults and metadata with Python's `==` (under which 1, 1.0 and
true are equal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from heksher.settings.types.type_strings import HeksherType

LEVELS: Final = ("minor", "major", "mismatch")
"""The levels of differences: resolved by a minor upgrade, by a major one, or by none."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a declaration and the setting on the service.

    Attributes:
        level: `minor`, `major` or `mismatch`, in the service's terms.
        attribute: The attribute that differs, such as `default_value`; `None` if there is a message.
        latest_value: The service's raw value; not part of the `repr`.
        message: The service's description, if there is no attribute.
    """

    level: str
    attribute: str | None = None
    latest_value: Any = field(default=None, repr=False)
    message: str | None = None

    def __str__(self) -> str:
        return f"{self.attribute or self.message} ({self.level})"


@dataclass(frozen=True, slots=True)
class Terms:
    """The attributes of a declaration that are compared.

    Attributes:
        name: The name.
        configurable_features: The features that its rules may use.
        type: The type; a string if it cannot be parsed.
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
    """Rules that prevent an upgrade.

    Attributes:
        removed_features_in_use: By feature that the declaration lacks, the ids of rules that use it.
        misfits: The ids of rules whose values do not have the declared type.
    """

    removed_features_in_use: Mapping[str, Sequence[int]] = field(default_factory=dict)
    misfits: Sequence[int] = ()


def differing(held: Terms, declared: Terms) -> frozenset[str]:
    """Return the names of the attributes in which *held* and *declared* differ."""
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
    """Return the differences between two declarations, in the service's order.

    Args:
        held: The setting on the service.
        declared: The declaration of the program.
        outdated: Whether the service has the newer version; levels are then seen from its side.
        obstacles: Rules that prevent an upgrade, which only the service knows.
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
