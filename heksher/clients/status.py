"""`ClientStatus`: a client's state, and what the service refused."""

from dataclasses import dataclass
from datetime import datetime

from heksher.settings.differences import Difference
from heksher.settings.reading.state import Source
from heksher.settings.rules.rule_set import Rejection


@dataclass(frozen=True, slots=True)
class RefusedDeclaration:
    """A setting whose declaration was refused, by the service or because of what it holds.

    If the service knows the setting, it still reads the service's rules.

    Attributes:
        setting_name: The setting's name, as declared here.
        outcome: The outcome, such as `mismatch` or `rejected`; `degraded` if the service kept
            failing.
        reason: What is wrong and what to do about it.
        differences: How the service's setting differs.
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
    """A setting that the service holds in a newer version, declared by another program.

    Attributes:
        setting_name: The setting's name, as declared here.
        canonical_name: The setting's name on the service.
        latest_version: The service's version; `None` if unknown.
        differences: How the service's setting differs.
    """

    setting_name: str
    canonical_name: str
    latest_version: str | None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """A client's state at one time.

    Attributes:
        started: Whether the client is the main one, and updates the settings.
        last_attempt: When the last update began, in UTC; `None` before the first.
        last_success: When the last successful update ended, in UTC; `None` before the first.
        age: Seconds since the service last confirmed the values; `None` if it never has.
        consecutive_failures: The number of failed updates since the last successful one.
        last_error: The message of the last failure; `None` after a success.
        source: Where the current values come from.
        rejected_rules: The service's values that were rejected.
        refused_declarations: The settings whose declaration was refused.
        outdated_declarations: The settings that the service holds in a newer version. They work
            normally, apart from the differences.
        foreign_rules: The number of rules ignored for a condition on a feature that their setting
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
