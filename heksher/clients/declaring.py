"""How a setting stands with the service: what to declare, and which default to read.

The service's list says most of it without a declaration, which would cost a request each; the
table in `docs/declarations.md` is what `decide` follows. Differences are the service's: types
parsed, features as sets, Python's `==` for defaults and metadata, versions as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from heksher.clients.status import Difference, OutdatedDeclaration, RefusedDeclaration
from heksher.settings.type_strings import parse
from heksher.settings.values import Rejected
from heksher.wire import version_numbers

if TYPE_CHECKING:
    from heksher.clients.listing import Listing
    from heksher.settings.declaration import Declaration
    from heksher.wire import ListedSetting


class DeclarationOutcome(StrEnum):
    """What came of a declaration; the first six are the service's words."""

    CREATED = "created"
    UPTODATE = "uptodate"
    UPGRADED = "upgraded"
    OUTDATED = "outdated"
    MISMATCH = "mismatch"
    REJECTED = "rejected"
    REFUSED = "refused"
    """Not sent, or answered with an error: it would do harm, or cannot work."""
    DEGRADED = "degraded"
    """The service kept failing; it is tried again later."""


class DefaultRead(StrEnum):
    """Which default a setting reads."""

    OURS = "ours"
    THEIRS = "theirs"
    THEIRS_UNLESS_FALSY = "theirs unless falsy"
    """At the service's version ours counts if it is falsy: the service loses such an upgrade."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one setting stands with the service.

    Attributes:
        setting_name: The setting, as declared.
        index: The setting's index: a setting declared anew under the name has another.
        canonical_name: The service's name for it; `None` where it is not to be queried.
        outcome: What came of declaring it.
        default_read: Which default it reads.
        listed: What the service's list showed of it, where that is of use later: of a setting that
            is not declared as asked, or whose falsy default stands in for the service's.
        refusal: Why it is not declared as asked, if it is not.
        differences: What the service holds otherwise.
        latest_version: The service's version, where it is newer.
        is_unusable: Whether it has to read its declared default, whatever it read before.
        lacked_features: The context features that it waits for, if it was refused for them.
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
        """What the service's newer version differs in, if it has one."""
        if self.outcome is not DeclarationOutcome.OUTDATED or self.canonical_name is None:
            return None
        return OutdatedDeclaration(
            self.setting_name, self.canonical_name, self.latest_version, self.differences
        )

    def reads_local_default(self, setting: Declaration) -> bool:
        """Tell whether *setting* reads its declared default, whatever the service's is."""
        if self.default_read is DefaultRead.THEIRS_UNLESS_FALSY:
            return not setting.raw_default
        return self.default_read is DefaultRead.OURS


@dataclass(frozen=True, slots=True)
class Post:
    """A declaration to be sent.

    Attributes:
        bodies: What to send, one after the other.
        standing: How the setting stands if the service keeps failing.
        note: Something to be said once about it, if anything.
    """

    bodies: tuple[dict[str, Any], ...]
    standing: Standing
    note: str | None = None

    def after(self, first: Standing) -> Post:
        """Return what is left to be sent after a first step: the service knows the setting now."""
        standing = replace(self.standing, canonical_name=first.canonical_name)
        return replace(self, bodies=self.bodies[1:], standing=standing)


def decide(setting: Declaration, listing: Listing) -> Standing | Post:
    """Return how *setting* stands by what the service lists, or what to declare to find out."""
    found, former = listing.named(setting.name), _former(setting, listing)
    if found is not None:
        if former is not None and former is not found:
            return _refused(
                setting,
                found,
                f"its alias {setting.alias!r} is another setting of the service ({former.name!r}),"
                " and the service merges none: remove the alias, or one of the two settings",
                DefaultRead.THEIRS,
            )
        return _decide_known(setting, found, has_alias=former is found)
    renamed = listing.called(setting.name)
    if renamed is not None:
        return _decide_renamed(setting, renamed)
    if former is not None:
        return _decide_renaming(setting, former)
    return _new(setting)


def is_known(setting: Declaration, listing: Listing) -> bool:
    """Tell whether the service lists *setting*, by whatever name we know."""
    return bool(listing.called(setting.name) or _former(setting, listing))


def _former(setting: Declaration, listing: Listing) -> ListedSetting | None:
    return None if setting.alias is None else listing.called(setting.alias)


def _decide_known(
    setting: Declaration, found: ListedSetting, *, has_alias: bool
) -> Standing | Post:
    ours, theirs = version_numbers(setting.version), found.version_numbers
    if ours > theirs:
        alias = setting.alias if has_alias else None
        return _upgrade(setting, found, alias)
    return _compared(setting, found)


def _decide_renamed(setting: Declaration, renamed: ListedSetting) -> Standing | Post:
    """Decide for a name that is only an alias by now."""
    if version_numbers(setting.version) <= renamed.version_numbers:
        return _compared(setting, renamed)
    if setting.alias == renamed.name:
        return _upgrade(setting, renamed, renamed.name)
    return _refused(
        setting,
        renamed,
        f"the service calls it {renamed.name!r} by now, and would silently rename it back: declare"
        f" it as {renamed.name!r}, or give alias={renamed.name!r} if it is to be renamed",
        DefaultRead.OURS,
    )


def _decide_renaming(setting: Declaration, former: ListedSetting) -> Standing | Post:
    """Decide for a name that is new, with an alias that the service knows."""
    if version_numbers(setting.version) > former.version_numbers:
        return _upgrade(setting, former, former.name)
    return _refused(
        setting,
        former,
        f"a rename needs a version newer than the service's {former.version}, and this one is"
        f" {setting.version}: raise it",
        DefaultRead.THEIRS_UNLESS_FALSY
        if version_numbers(setting.version) == former.version_numbers
        else DefaultRead.THEIRS,
    )


def _compared(setting: Declaration, listed: ListedSetting) -> Standing:
    """Return how a setting stands whose version is the service's, or older."""
    outdated = version_numbers(setting.version) < listed.version_numbers
    found = differences(setting, listed, outdated=outdated)
    standing = Standing(
        setting.name,
        setting.index,
        listed.name,
        DeclarationOutcome.UPTODATE,
        DefaultRead.THEIRS_UNLESS_FALSY,
        # Kept for few: a listed setting is a kilobyte.
        None if setting.raw_default else listed,
        differences=found,
    )
    if outdated:
        return replace(
            standing,
            outcome=DeclarationOutcome.OUTDATED,
            default_read=DefaultRead.THEIRS,
            latest_version=listed.version,
        )
    differing = [one for one in found if one.attribute != "name"]
    if not differing:
        return standing
    refusal = RefusedDeclaration(
        setting.name,
        DeclarationOutcome.MISMATCH,
        f"the service holds version {listed.version} otherwise: raise the version to change it, or"
        " declare what it holds",
        found,
    )
    return replace(standing, outcome=DeclarationOutcome.MISMATCH, listed=listed, refusal=refusal)


def _upgrade(setting: Declaration, listed: ListedSetting, alias: str | None) -> Post:
    body = declaration_body(setting, alias=alias)
    if not body["metadata"] and listed.metadata:
        # Dropping all metadata is a 500 of the real service, and nothing is upgraded.
        body["metadata"] = listed.metadata
    if same_default(setting, listed.default_value):
        # The order of a set may differ, which the service would take for another default.
        body["default_value"] = listed.default_value
    return Post((body,), _degraded(setting, listed))


def _new(setting: Declaration) -> Post:
    body = declaration_body(setting, alias=None, version="1.0")
    notes = []
    if setting.alias is not None:
        notes.append(f"its alias {setting.alias!r} is unknown to the service and was left out")
    bodies = [body]
    if version_numbers(setting.version) != (1, 0):
        notes.append("it is new to the service, so it was declared at 1.0 first")
        bodies.append(declaration_body(setting, alias=None))
    return Post(tuple(bodies), _degraded(setting, None), "; ".join(notes) or None)


def _degraded(setting: Declaration, listed: ListedSetting | None) -> Standing:
    refusal = RefusedDeclaration(
        setting.name,
        DeclarationOutcome.DEGRADED,
        "the service kept failing when it was declared; it is tried again later",
    )
    return Standing(
        setting.name,
        setting.index,
        listed.name if listed else None,
        DeclarationOutcome.DEGRADED,
        DefaultRead.OURS,
        listed,
        refusal,
    )


def _refused(
    setting: Declaration, listed: ListedSetting | None, reason: str, default_read: DefaultRead
) -> Standing:
    found = differences(setting, listed, outdated=False) if listed else ()
    return Standing(
        setting.name,
        setting.index,
        listed.name if listed else None,
        DeclarationOutcome.REFUSED,
        default_read,
        listed,
        RefusedDeclaration(setting.name, DeclarationOutcome.REFUSED, reason, found),
        found,
    )


def undeclared(setting: Declaration, listing: Listing) -> Standing:
    """Return how *setting* stands for a client that declares nothing."""
    listed = listing.called(setting.name)
    if listed is None and setting.alias is not None:
        listed = listing.called(setting.alias)
    if listed is None:
        reason = "the service does not know it, and this client has declare=False"
        return _refused(setting, None, reason, DefaultRead.OURS)
    if version_numbers(setting.version) < listed.version_numbers:
        return _compared(setting, listed)
    if version_numbers(setting.version) == listed.version_numbers:
        return _as_if_declared(setting, listed)
    reason = (
        f"the service holds version {listed.version}, this program has {setting.version}, and this"
        " client has declare=False"
    )
    return _refused(setting, listed, reason, DefaultRead.THEIRS)


def _as_if_declared(setting: Declaration, listed: ListedSetting) -> Standing:
    """Return how a setting of the service's version stands, known by its name or its alias."""
    if setting.name == listed.name or setting.name in listed.aliases:
        return _compared(setting, listed)
    reason = f"the service calls it {listed.name!r}, and this client has declare=False"
    return _refused(setting, listed, reason, DefaultRead.THEIRS_UNLESS_FALSY)


def lacking_features(setting: Declaration, features: list[str], whose: str) -> Standing:
    """Return how a setting stands that uses context features which *whose* list lacks."""
    reason = (
        f"it is configurable by {features}, which {whose} not have: add them there, or leave them"
        " out here; until then it reads its declared default"
    )
    refused = _refused(setting, None, reason, DefaultRead.OURS)
    return replace(refused, is_unusable=True, lacked_features=tuple(features))


def declaration_body(
    setting: Declaration, *, alias: str | None, version: str | None = None
) -> dict[str, Any]:
    """Return the JSON that declares *setting*."""
    return {
        "name": setting.name,
        "configurable_features": list(setting.configurable_features),
        "type": setting.type_string,
        "default_value": setting.raw_default,
        "metadata": dict(setting.metadata),
        "alias": alias,
        "version": version or setting.version,
    }


def same_default(setting: Declaration, raw: Any) -> bool:
    """Tell whether *raw* is the declared default, whatever the order of a set in it."""
    if raw == setting.raw_default:
        return True
    try:
        return bool(setting.decoder.canonical(raw) == setting.raw_default)
    except Rejected:
        return False


def differences(
    setting: Declaration, listed: ListedSetting, *, outdated: bool
) -> tuple[Difference, ...]:
    """Return what the service holds otherwise, minor differences first.

    Args:
        setting: What is declared here.
        listed: What the service holds.
        outdated: Whether the service's is the newer one, so that levels are seen from there.
    """
    found = []
    if setting.name != listed.name:
        found.append(Difference("minor", "name", listed.name))
    if not same_default(setting, listed.default_value):
        found.append(Difference("minor", "default_value", listed.default_value))
    if dict(setting.metadata) != listed.metadata:
        found.append(Difference("minor", "metadata", listed.metadata))
    found += _feature_differences(setting, listed, outdated=outdated)
    found += _type_differences(setting, listed, outdated=outdated)
    return tuple(sorted(found, key=lambda one: one.level == "major"))


def _feature_differences(
    setting: Declaration, listed: ListedSetting, *, outdated: bool
) -> list[Difference]:
    ours, theirs = set(setting.configurable_features), set(listed.configurable_features)
    if ours == theirs:
        return []
    newer, older = (theirs, ours) if outdated else (ours, theirs)
    if newer < older:
        removed = sorted(older - newer)
        return [Difference("minor", message=f"removal of configurable features {removed}")]
    return [Difference("major", "configurable_features", listed.configurable_features)]


def _type_differences(
    setting: Declaration, listed: ListedSetting, *, outdated: bool
) -> list[Difference]:
    try:
        theirs = parse(listed.type)
    except ValueError:
        return [Difference("major", "type", listed.type)]
    ours = setting.decoder.type
    if ours == theirs:
        return []
    newer, older = (theirs, ours) if outdated else (ours, theirs)
    level = "minor" if newer.is_subtype_of(older) else "major"
    return [Difference(level, "type", listed.type)]
