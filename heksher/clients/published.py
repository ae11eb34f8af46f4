"""The values that are published, as the JSON that the service would send for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heksher.clients.declaring import DefaultRead
from heksher.settings.comparing import identical
from heksher.settings.rules import Origin
from heksher.settings.values import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heksher.clients.declaring import Standing
    from heksher.clients.snapshot_file import SavedSetting
    from heksher.settings.declaration import Declaration
    from heksher.settings.rules import RuleSet
    from heksher.settings.state import Snapshot
    from heksher.settings.values import Coercion, Json
    from heksher.wire import QueriedSetting

RawValues = dict["int | None", Any]
"""Raw values by rule id; `None` is the service's default."""


class Encoding:
    """Encodes published rule sets.

    Args:
        standings: How the settings stand, by declared name.
        raw_values: Raw values by the setting's index, of settings with validators: those may make
            another value of each, and would do so again of what they have made.

    Attributes:
        left_out: The values that no JSON stands for exactly, in words. They harm no others.
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
        """Yield what each of *settings* has in *snapshot*, with its name as declared."""
        for setting in settings:
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
        """Return the JSON that *value* was read from, or would be read from.

        Raises:
            Rejected: None is read as exactly this value.
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
            raise Rejected("it would be read as another value")
        return raw

    def _leave_out(self, setting: Declaration, what: str, rejected: Rejected) -> None:
        self.left_out.append(f"setting {setting.name!r}: {what}: {rejected}")


def raw_values_of(queried: QueriedSetting, rule_set: RuleSet[Any], former: RawValues) -> RawValues:
    """Return the raw values of a rule set by rule id, with `None` for the service's default.

    Args:
        queried: What it was compiled from.
        rule_set: What came of that.
        former: The raw values before; those of values that were rejected still count.
    """
    raw: RawValues = {rule["rule_id"]: rule["value"] for rule in queried["rules"]}
    raw[None] = queried["default_value"]
    for rejection in rule_set.rejections:
        raw.pop(rejection.rule_id, None)
        if rejection.rule_id in former:
            raw[rejection.rule_id] = former[rejection.rule_id]
    return raw
