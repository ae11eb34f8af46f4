"""The instances of a `SettingsModel`: one for each combination of values, a bounded number kept."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from heksher.exceptions import InvalidSetting
from heksher.settings.comparing import content_of
from heksher.settings.explaining import Read
from heksher.settings.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry

logger: Final = logging.getLogger("heksher")

MAX_INSTANCES: Final = 1_024
"""How many combinations of values a model keeps an instance for."""

MAX_KEYS: Final = 4 * MAX_INSTANCES
"""How many keys find them: equal values may be several objects, each with an id of its own."""


class Instances:
    """Instances by the values that they are built from.

    A key is what a reader can make quickly: of each value itself where its type is simple, else of
    its id. Under a key stand the instance and the values, so that no other object can get an id
    that is in a key. What no key finds is looked for by content, so that values that are equal and
    of the same types give the same instance, whoever made them.

    No lock is taken, since a child that is forked would never see it opened: each step is one
    operation on a dict, and any order of them gives right instances.

    Args:
        model: What they are instances of.
        settings: The settings of its fields.
        paths: For each, the keys by which pydantic reads the value.
        registry: Where the settings are declared.

    Attributes:
        by_key: An instance and its values, by key.

    Raises:
        InvalidSetting: The model refuses the declared defaults.
    """

    def __init__(
        self,
        model: type[BaseModel],
        settings: Sequence[Declaration],
        paths: Sequence[Sequence[str]],
        registry: Registry,
    ) -> None:
        self._model = model
        self._settings = settings
        self._paths = paths
        self._registry = registry
        self.by_key: dict[Any, tuple[Any, tuple[Any, ...]]] = {}
        self._by_content: dict[Any, Any] = {}
        self._reported: dict[Any, None] = {}
        values = tuple([setting.default_value for setting in settings])
        self._all_defaults = self._proven(values)
        with suppress(Exception):
            self._by_content[content_of(values)] = self._all_defaults

    def _proven(self, values: tuple[Any, ...]) -> Any:
        try:
            return self._built(values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise InvalidSetting(
                f"the defaults of {self._model.__name__} are refused by its own validators:"
                f" {first['msg']} @ {'.'.join(map(str, first['loc'])) or 'the whole'}: declare"
                " defaults that go together"
            ) from None

    def find(self, key: Any, values: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        """Return the instance of *values*, and let *key* find it from now on.

        Args:
            key: The reader's key.
            values: The values of all fields.
            given: The context that was given in the call.
        """
        try:
            content = content_of(values)
            instance = self._by_content.get(content)
        except Exception:  # noqa: BLE001  # a user's class may raise anything
            # A value of a custom type without a hash: it goes by its id alone.
            instance = self._built_safely(key, values, given)
        else:
            if instance is None:
                built = self._built_safely(content, values, given)
                instance = self._by_content.setdefault(content, built)
                self._trim()
        self.by_key[key] = (instance, values)
        while len(self.by_key) > MAX_KEYS:
            _drop_oldest(self.by_key)
        return instance

    def _trim(self) -> None:
        while len(self._by_content) > MAX_INSTANCES:
            dropped = _drop_oldest(self._by_content)
            # A copy: the collector may run, and other threads with it, while this walks through.
            for key, (instance, _) in self.by_key.copy().items():
                if instance is dropped:
                    self.by_key.pop(key, None)

    def _built_safely(self, content: Any, values: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        try:
            return self._built(values)
        except Exception as error:  # noqa: BLE001  # a user's validator may raise anything
            self._report(error, content, given)
            return self._all_defaults

    def _built(self, values: tuple[Any, ...]) -> Any:
        by_key: dict[str, Any] = {}
        for path, value in zip(self._paths, values, strict=True):
            inner = by_key
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = value
        # All are there by alias; by name too, since TypedDicts in the values have names as keys.
        return freeze(self._model.model_validate(by_key, by_alias=True, by_name=True))

    def _report(self, error: Exception, content: Any, given: Mapping[str, Any]) -> None:
        """Log once that values do not go together, and which rules they are from."""
        if content in self._reported:
            return
        self._reported[content] = None
        while len(self._reported) > MAX_INSTANCES:
            _drop_oldest(self._reported)
        rule_ids = self._rule_ids(given)
        logger.error(
            "%s: its validators refuse a combination of values (%s), which reads as all declared"
            " defaults; it is of the rules %s",
            self._model.__name__,
            type(error).__name__,
            rule_ids,
            extra={"model": self._model.__name__, "rules": rule_ids},
        )

    def _rule_ids(self, given: Mapping[str, Any]) -> list[int]:
        try:
            found = [Read[Any](setting, given).resolution for setting in self._settings]
        except Exception:  # noqa: BLE001  # a default's function, called once more, may raise
            return []
        return sorted({one.rule_id for one in found if one.rule_id is not None})


def _drop_oldest(entries: dict[Any, Any]) -> Any:
    # A list first: another thread may change the dict between two steps of an iterator.
    oldest = list(entries)[:1]
    return entries.pop(oldest[0], None) if oldest else None


def is_key(value: object) -> bool:
    """Tell whether values like *value* are their own keys: cheap to hash, equal to no others."""
    return type(value) in (str, int, bool)
