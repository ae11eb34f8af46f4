"""Encoding published values as the JSON that the service would send for them."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any, Final

from heksher.clients.conversation.declaring.outcomes import DefaultRead
from heksher.settings.rules.rule_set import Origin
from heksher.settings.types.decoder import Rejected
from heksher.settings.types.equality import identical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.snapshots.file import SavedSetting
    from heksher.settings.declaration import Declaration
    from heksher.settings.reading.state import Snapshot
    from heksher.settings.rules.rule_set import RuleSet
    from heksher.settings.types.decoder import Coercion, Json
    from heksher.wire import QueriedSetting

ENCODED_IN_ONE_GO: Final = 20
"""How many settings are encoded before other threads may run: about a millisecond."""

RawValues = dict["int | None", Any]
"""Raw values by rule id; `None` is the service's default."""


class Encoding:
    """Encodes published rule sets.

    Args:
        standings: How the settings stand, by declared name.
        raw_values: The raw values of settings with validators, by index. Validators may replace
            values, so the published ones must not pass through them a second time.

    Attributes:
        left_out: Values that cannot be encoded exactly, and why. They affect no other values.
    """

    def __init__(
        self,
        standings: Mapping[str, Standing] | None = None,
        raw_values: Mapping[int, RawValues] | None = None,
    ) -> None:
        self._standings = standings or {}
        self._raw_values = raw_values or {}
        self.left_out: list[str] = []

    def encode(
        self, settings: Iterable[Declaration], snapshot: Snapshot
    ) -> Iterator[tuple[str, SavedSetting]]:
        """Yield the declared name and the values of each of *settings* in *snapshot*."""
        for place, setting in enumerate(settings):
            if place % ENCODED_IN_ONE_GO == 0:
                sleep(0)  # an event loop may be waiting, and Python itself switches every 5 ms only
            rule_set = snapshot.rule_sets.get(setting.index, setting.declared_rules)
            yield setting.name, self._encoded(setting, rule_set)

    def _encoded(self, setting: Declaration, rule_set: RuleSet[Any]) -> SavedSetting:
        standing = self._standings.get(setting.name)
        default_read = (
            DefaultRead.THEIRS_UNLESS_FALSY if standing is None else standing.default_read
        )
        origin, default = rule_set.default_origin, setting.raw_default
        if origin is Origin.SERVICE_DEFAULT:
            try:
                default = self._raw(setting, None, rule_set.default)
            except Rejected as rejected:
                origin = Origin.LOCAL_DEFAULT
                self._leave_out(setting, "the service's default", rejected)
        saved: SavedSetting = {
            "canonical_name": None if standing is None else standing.canonical_name,
            "default_read": default_read.value,
            "default_origin": (
                "service default" if origin is Origin.SERVICE_DEFAULT else "local default"
            ),
            "default_value": default,
            "rules": [],
        }
        for rule in rule_set.rules():
            try:
                raw = self._raw(setting, rule.rule_id, rule.value)
            except Rejected as rejected:
                self._leave_out(setting, f"rule {rule.rule_id}", rejected)
                continue
            saved["rules"].append(
                {"rule_id": rule.rule_id, "context_features": [*rule.conditions], "value": raw}
            )
        return saved

    def _raw(self, setting: Declaration, rule_id: int | None, value: Any) -> Json:
        """Return the JSON that is decoded to exactly *value*.

        Raises:
            Rejected: There is none.
        """
        known = self._raw_values.get(setting.index, {})
        raw: Json = known.get(rule_id, value)
        if rule_id in known or type(value) in setting.decoder.plain:
            return raw
        coercions: list[Coercion] = []
        try:
            raw = setting.decoder.encode(value)
            read = setting.decoder.decode(raw, coercions)
        except Rejected:
            raise
        except Exception as error:  # noqa: BLE001  # a user's own type may raise anything
            raise Rejected(f"encoding it raised {type(error).__name__}") from None
        if coercions or not identical(read, value):
            raise Rejected("its JSON would be decoded to another value")
        return raw

    def _leave_out(self, setting: Declaration, what: str, rejected: Rejected) -> None:
        self.left_out.append(f"setting {setting.name!r}: {what}: {rejected}")


def raw_values_of(queried: QueriedSetting, rule_set: RuleSet[Any], former: RawValues) -> RawValues:
    """Return the raw values of a rule set by rule id, with `None` for the service's default.

    Args:
        queried: The response that it was compiled from.
        rule_set: The rule set.
        former: The former raw values, which stay in use where new ones were rejected.
    """
    raw: RawValues = {rule["rule_id"]: rule["value"] for rule in queried["rules"]}
    raw[None] = queried["default_value"]
    for rejection in rule_set.rejections:
        raw.pop(rejection.rule_id, None)
        if rejection.rule_id in former:
            raw[rejection.rule_id] = former[rejection.rule_id]
    return raw
