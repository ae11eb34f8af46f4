"""What a client can say of itself: `ClientStatus`, and what was refused."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from heksher.settings.rules import Rejection
from heksher.settings.state import Source


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
class RefusedDeclaration:
    """A setting whose declaration the service, or what it holds, does not allow.

    The setting still reads the service's rules where the service knows it.

    Attributes:
        setting_name: The setting, as declared here.
        outcome: `mismatch`, `rejected` and so on; `degraded` if the service kept failing.
        reason: What is wrong and what to do, in words.
        differences: What the service holds otherwise.
    """

    setting_name: str
    outcome: str
    reason: str
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        listed = f" ({', '.join(str(one) for one in self.differences)})" if self.differences else ""
        return f"setting {self.setting_name!r}: {self.outcome}: {self.reason}{listed}"


@dataclass(frozen=True, slots=True)
class OutdatedDeclaration:
    """A setting of which the service has a newer version, declared by another program.

    Attributes:
        setting_name: The setting, as declared here.
        canonical_name: The service's name for it.
        latest_version: The service's version; `None` where it did not say.
        differences: What the service holds otherwise.
    """

    setting_name: str
    canonical_name: str
    latest_version: str | None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """A client's state at one time.

    Attributes:
        started: Whether it is the main client, keeping values fresh.
        last_attempt: When the last update was begun, in UTC; `None` before the first.
        last_success: When the last update that worked ended, in UTC; `None` before the first.
        age: Seconds since the service last confirmed the values; `None` if it never has.
        consecutive_failures: Updates that failed since the last that worked.
        last_error: What the last failure was, in words; `None` after a success.
        source: Where the values that are read come from.
        rejected_rules: The service's values that were not taken.
        refused_declarations: The settings that are not declared as asked.
        outdated_declarations: The settings of which the service has a newer version; all is well
            with them, but for what differs.
        foreign_rules: How many rules were left out for a condition on a feature that their setting
            is not configurable by.
        missing_features: The client's context features that the service no longer has.
    """

    started: bool
    last_attempt: datetime | None
    last_success: datetime | None
    age: float | None
    consecutive_failures: int
    last_error: str | None
    source: Source
    rejected_rules: tuple[Rejection, ...]
    refused_declarations: tuple[RefusedDeclaration, ...]
    outdated_declarations: tuple[OutdatedDeclaration, ...]
    foreign_rules: int
    missing_features: tuple[str, ...]
