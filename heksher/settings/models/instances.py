"""The instances of a `SettingsModel`, cached by their combination of values."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from heksher.exceptions import InvalidSetting
from heksher.settings.context import ABSENT
from heksher.settings.explaining import Read
from heksher.settings.types.equality import content_of
from heksher.settings.types.read_only import freeze

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry

logger: Final = logging.getLogger("heksher")

MAX_INSTANCES: Final = 1_024
"""How many combinations of values are cached for each model."""


_OWN_KEYS: Final = (str, int, bool)
"""Types whose values are cheap to hash, and distinct from all others of their field."""


class _Combination:
    """The values of all fields, compared and hashed by their content."""

    __slots__ = ("_hash", "content", "context", "values")

    def __init__(self, content: Any, values: tuple[Any, ...], context: tuple[Any, ...]) -> None:
        self.content = content
        self.values = values
        self.context = context
        self._hash = hash(content)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Combination) and bool(self.content == other.content)


class Instances:
    """A cache of instances by the values of their fields.

    It uses no lock, which a forked child could inherit locked.

    Args:
        model: The model.
        settings: The settings of its fields.
        paths: For each setting, the keys by which pydantic reads the value.
        registry: Where the settings are declared.

    Attributes:
        own_keys: For each setting, whether its values are used as keys.
        by_key: Instances with their values, by a key that is cheap to build: for each value, the
            value itself or its id. The values are kept so that no id in a key can be reused.

    Raises:
        InvalidSetting: The model rejects the declared defaults.
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
        defaults = tuple([setting.default_value for setting in settings])
        self.own_keys: tuple[bool, ...] = tuple([type(value) in _OWN_KEYS for value in defaults])
        self.by_key: dict[Any, tuple[Any, tuple[Any, ...]]] = {}
        self._kept = lru_cache(maxsize=MAX_INSTANCES)(self._instance_of)
        self._all_defaults = self._proven(defaults)
        self._default_content: Any = None
        with suppress(Exception):
            self._default_content = self._content_of(defaults)

    def _proven(self, values: tuple[Any, ...]) -> Any:
        try:
            return self._built(values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise InvalidSetting(
                f"the validators of {self._model.__name__} reject its own defaults:"
                f" {first['msg']} @ {'.'.join(map(str, first['loc'])) or 'the model'}: change the"
                " defaults"
            ) from None

    def find(self, key: Any, values: tuple[Any, ...], context: tuple[Any, ...]) -> Any:
        """Return the instance of *values*, and cache it by *key*.

        Args:
            key: The key of the values in `by_key`.
            values: The values of all fields.
            context: The feature values that were given in the call, by position.
        """
        try:
            combination = _Combination(self._content_of(values), values, context)
        except Exception:  # noqa: BLE001  # a user's class may raise anything
            # A value of a custom type is not hashable: cache it only by its id.
            instance = self._built_safely(values, context)
        else:
            self._kept(combination)
            # Two threads that miss at once each get the instance they built: get the cached one.
            instance = self._kept(combination)
        # Cleared before the LRU cache can drop any of these instances, so that equal values with
        # different keys give the same instance.
        if len(self.by_key) >= MAX_INSTANCES:
            self.by_key.clear()
        self.by_key[key] = (instance, values)
        return instance

    def _content_of(self, values: tuple[Any, ...]) -> Any:
        if all(self.own_keys):
            return values
        pairs = zip(values, self.own_keys, strict=True)
        return tuple([value if is_own_key else content_of(value) for value, is_own_key in pairs])

    def _instance_of(self, combination: _Combination) -> Any:
        if combination.content == self._default_content:
            return self._all_defaults
        return self._built_safely(combination.values, combination.context)

    def _built_safely(self, values: tuple[Any, ...], context: tuple[Any, ...]) -> Any:
        try:
            return self._built(values)
        except Exception as error:  # noqa: BLE001  # a user's validator may raise anything
            self._report(error, context)
            return self._all_defaults

    def _built(self, values: tuple[Any, ...]) -> Any:
        content: dict[str, Any] = {}
        for path, value in zip(self._paths, values, strict=True):
            inner = content
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = value
        # Fields are given by alias; by name too, for the keys of TypedDicts in the values.
        instance = self._model.model_validate(content, by_alias=True, by_name=True)
        # In place: nobody else has the instance, and a copy would cost more than all the rest.
        fields = vars(instance)
        fields.update({name: freeze(value) for name, value in fields.items()})
        return instance

    def _report(self, error: Exception, context: tuple[Any, ...]) -> None:
        """Log which rules the rejected combination of values comes from."""
        rule_ids = self._rule_ids(context)
        logger.error(
            "%s: its validators reject the combined values of rules %s (%s); using all declared"
            " defaults instead",
            self._model.__name__,
            rule_ids,
            type(error).__name__,
            extra={"model": self._model.__name__, "rules": rule_ids},
        )

    def _rule_ids(self, context: tuple[Any, ...]) -> list[int]:
        features = self._settings[0].configurable_features
        pairs = zip(features, context, strict=True)
        given = {name: value for name, value in pairs if value is not ABSENT}
        try:
            found = [Read[Any](setting, given).resolution for setting in self._settings]
        except Exception:  # noqa: BLE001  # a default's function may raise
            return []
        return sorted({one.rule_id for one in found if one.rule_id is not None})
