"""Deciding how a setting stands: whether to declare it, and which default it reads.

The service's list answers most of this without a declaration, which would cost a request each.
`decide` implements the table in `docs/declarations.md`. Differences are those that the service
would find; versions are compared as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from heksher.clients.conversation.declaring.outcomes import (
    DeclarationOutcome,
    DefaultRead,
    Standing,
)
from heksher.clients.status import RefusedDeclaration
from heksher.settings.differences import Terms
from heksher.settings.differences import differences as find_differences
from heksher.settings.types.decoder import Rejected
from heksher.settings.types.type_strings import parse
from heksher.wire import version_numbers

if TYPE_CHECKING:
    from heksher.clients.conversation.service_settings import Listing
    from heksher.settings.declaration import Declaration
    from heksher.settings.differences import Difference
    from heksher.settings.types.type_strings import HeksherType
    from heksher.wire import ListedSetting


@dataclass(frozen=True, slots=True)
class Post:
    """A declaration to send.

    Attributes:
        bodies: The request bodies, to be sent one after the other.
        standing: How the setting stands if the service keeps failing.
        note: A remark to log once, if there is one.
    """

    bodies: tuple[dict[str, Any], ...]
    standing: Standing
    note: str | None = None

    def after(self, first: Standing) -> Post:
        """Return what remains to be sent after the first step, now that the service knows it."""
        standing = replace(self.standing, canonical_name=first.canonical_name)
        return replace(self, bodies=self.bodies[1:], standing=standing)


def decide(setting: Declaration, listing: Listing) -> Standing | Post:
    """Return how *setting* stands according to *listing*, or the declaration to send."""
    found, former = listing.named(setting.name), _former(setting, listing)
    if found is not None:
        if former is not None and former is not found:
            return _refused(
                setting,
                found,
                f"its alias {setting.alias!r} belongs to another setting of the service"
                f" ({former.name!r}), and the service cannot merge settings: remove the alias, or one"
                " of the two settings",
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
    """Return whether the service lists *setting*, under its name or its alias."""
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
    """Decide for a name that is now only an alias on the service."""
    if version_numbers(setting.version) <= renamed.version_numbers:
        return _compared(setting, renamed)
    if setting.alias == renamed.name:
        return _upgrade(setting, renamed, renamed.name)
    return _refused(
        setting,
        renamed,
        f"the service has renamed it to {renamed.name!r}, and this declaration would silently rename"
        f" it back: declare it as {renamed.name!r}, or add alias={renamed.name!r} to rename it",
        DefaultRead.OURS,
    )


def _decide_renaming(setting: Declaration, former: ListedSetting) -> Standing | Post:
    """Decide for a name that is new to the service, with an alias that it knows."""
    if version_numbers(setting.version) > former.version_numbers:
        return _upgrade(setting, former, former.name)
    return _refused(
        setting,
        former,
        f"a rename needs a version above the service's {former.version}, but the declared version is"
        f" {setting.version}: raise it",
        DefaultRead.THEIRS_UNLESS_FALSY
        if version_numbers(setting.version) == former.version_numbers
        else DefaultRead.THEIRS,
    )


def _compared(setting: Declaration, listed: ListedSetting) -> Standing:
    """Return how a setting stands whose version is not above the service's."""
    outdated = version_numbers(setting.version) < listed.version_numbers
    found = differences(setting, listed, outdated=outdated)
    standing = Standing(
        setting.name,
        setting.index,
        listed.name,
        DeclarationOutcome.UPTODATE,
        DefaultRead.THEIRS_UNLESS_FALSY,
        # Kept for few settings only: a listed setting takes about a kilobyte.
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
        f"version {listed.version} on the service differs: raise the version to change the setting, or"
        " declare what the service holds",
        found,
    )
    return replace(standing, outcome=DeclarationOutcome.MISMATCH, listed=listed, refusal=refusal)


def _upgrade(setting: Declaration, listed: ListedSetting, alias: str | None) -> Post:
    body = declaration_body(setting, alias=alias)
    if not body["metadata"] and listed.metadata:
        # The real service fails with a 500 on dropping all metadata, and upgrades nothing.
        body["metadata"] = listed.metadata
    if same_default(setting, listed.default_value):
        # The order of a set may differ, which the service would treat as another default.
        body["default_value"] = listed.default_value
    return Post((body,), _degraded(setting, listed))


def _new(setting: Declaration) -> Post:
    body = declaration_body(setting, alias=None, version="1.0")
    notes = []
    if setting.alias is not None:
        notes.append(f"its alias {setting.alias!r} is unknown to the service and was not sent")
    bodies = [body]
    if version_numbers(setting.version) != (1, 0):
        notes.append("it is new to the service, so it was declared at version 1.0 first")
        bodies.append(declaration_body(setting, alias=None))
    return Post(tuple(bodies), _degraded(setting, None), "; ".join(notes) or None)


def _degraded(setting: Declaration, listed: ListedSetting | None) -> Standing:
    refusal = RefusedDeclaration(
        setting.name,
        DeclarationOutcome.DEGRADED,
        "the service kept failing when it was declared; another attempt is scheduled",
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
    """Return how *setting* stands for a client with `declare=False`."""
    listed = listing.called(setting.name)
    if listed is None and setting.alias is not None:
        listed = listing.called(setting.alias)
    if listed is None:
        reason = "the service does not know it, and the client was created with declare=False"
        return _refused(setting, None, reason, DefaultRead.OURS)
    if version_numbers(setting.version) < listed.version_numbers:
        return _compared(setting, listed)
    if version_numbers(setting.version) == listed.version_numbers:
        return _as_if_declared(setting, listed)
    reason = (
        f"the service has version {listed.version}, this program version {setting.version}, and the"
        " client was created with declare=False"
    )
    return _refused(setting, listed, reason, DefaultRead.THEIRS)


def _as_if_declared(setting: Declaration, listed: ListedSetting) -> Standing:
    """Return how a setting at the service's version stands."""
    if setting.name == listed.name or setting.name in listed.aliases:
        return _compared(setting, listed)
    reason = f"the service calls it {listed.name!r}, and the client was created with declare=False"
    return _refused(setting, listed, reason, DefaultRead.THEIRS_UNLESS_FALSY)


def lacking_features(setting: Declaration, features: list[str], whose: str) -> Standing:
    """Return how a setting stands whose context features are not all available."""
    reason = (
        f"its configurable features {features} are unknown to {whose}: add them there, or remove them"
        " from the setting; until then it reads its declared default"
    )
    refused = _refused(setting, None, reason, DefaultRead.OURS)
    return replace(refused, is_unusable=True, lacked_features=tuple(features))


def declaration_body(
    setting: Declaration, *, alias: str | None, version: str | None = None
) -> dict[str, Any]:
    """Return the request body that declares *setting*."""
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
    """Return whether *raw* is the declared default, ignoring the order of sets in it."""
    if raw == setting.raw_default:
        return True
    try:
        return bool(setting.decoder.canonical(raw) == setting.raw_default)
    except Rejected:
        return False


def differences(
    setting: Declaration, listed: ListedSetting, *, outdated: bool
) -> tuple[Difference, ...]:
    """Return what differs on the service, in the service's order.

    Args:
        setting: The setting as declared here.
        listed: The setting on the service.
        outdated: Whether the service has the newer version; levels are then seen from its side.
    """
    declared = Terms(
        setting.name,
        setting.configurable_features,
        setting.decoder.type,
        setting.raw_default,
        dict(setting.metadata),
    )
    is_same = same_default(setting, listed.default_value)
    held = Terms(
        listed.name,
        listed.configurable_features,
        _type_of(listed),
        setting.raw_default if is_same else listed.default_value,
        listed.metadata,
    )
    return find_differences(held, declared, outdated=outdated)


def _type_of(listed: ListedSetting) -> HeksherType | str:
    try:
        return parse(listed.type)
    except ValueError:
        return listed.type
