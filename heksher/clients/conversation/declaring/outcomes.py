"""How a setting stands with the service: the outcome of its declaration, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from heksher.clients.status import OutdatedDeclaration, RefusedDeclaration

if TYPE_CHECKING:
    from heksher.settings.declaration import Declaration
    from heksher.settings.differences import Difference
    from heksher.wire import ListedSetting


class DeclarationOutcome(StrEnum):
    """The outcome of a declaration; the first six are the service's terms."""

    CREATED = "created"
    UPTODATE = "uptodate"
    UPGRADED = "upgraded"
    OUTDATED = "outdated"
    MISMATCH = "mismatch"
    REJECTED = "rejected"
    REFUSED = "refused"
    """Not sent because it would do harm or cannot work, or rejected with an error status."""
    DEGRADED = "degraded"
    """The service kept failing; the declaration is tried again later."""


class DefaultRead(StrEnum):
    """Which default a setting reads."""

    OURS = "ours"
    THEIRS = "theirs"
    THEIRS_UNLESS_FALSY = "theirs unless falsy"
    """At the service's version, a falsy default of ours wins: the service loses such an upgrade."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one setting stands with the service.

    Attributes:
        setting_name: The setting, as declared.
        index: The setting's index; a setting that is declared again under the name has another.
        canonical_name: The service's name for it; `None` if it must not be queried.
        outcome: The outcome of its declaration.
        default_read: Which default it reads.
        listed: The setting as the service listed it. Kept only where it is needed later: for a
            setting that is not declared as requested, or one whose falsy default wins.
        refusal: Why it is not declared as requested, if it is not.
        differences: What differs on the service.
        latest_version: The service's version, if that is newer.
        is_unusable: Whether it must read its declared default, whatever it read before.
        lacked_features: The context features that it waits for, if it was refused without them.
    """

    setting_name: str
    index: int
    canonical_name: str | None
    outcome: DeclarationOutcome
    default_read: DefaultRead
    listed: ListedSetting | None = None
    refusal: RefusedDeclaration | None = None
    differences: tuple[Difference, ...] = ()
    latest_version: str | None = None
    is_unusable: bool = False
    lacked_features: tuple[str, ...] = ()

    @property
    def outdated(self) -> OutdatedDeclaration | None:
        """What differs in the service's newer version, if it has one."""
        if self.outcome is not DeclarationOutcome.OUTDATED or self.canonical_name is None:
            return None
        return OutdatedDeclaration(
            self.setting_name, self.canonical_name, self.latest_version, self.differences
        )

    def reads_local_default(self, setting: Declaration) -> bool:
        """Return whether *setting* reads its declared default, whatever the service's is."""
        if self.default_read is DefaultRead.THEIRS_UNLESS_FALSY:
            return not setting.raw_default
        return self.default_read is DefaultRead.OURS
