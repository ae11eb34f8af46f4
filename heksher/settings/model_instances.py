"""The instances of a `SettingsModel`: one for each combination of values, a bounded number kept."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from heksher.exceptions import InvalidSetting
from heksher.settings.comparing import content_of
from heksher.settings.context import ABSENT
from heksher.settings.explaining import Read
from heksher.settings.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry

logger: Final = logging.getLogger("heksher")

MAX_INSTANCES: Final = 1_024
"""How many combinations of values a model keeps an instance for."""


_OWN_KEYS: Final = (str, int, bool)
"""Types of which values are cheap to hash, and equal to no others of their field."""


class _Combination:
    """The values of all fields; two of one content are equal, and are one key of a cache."""

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
    """Instances by the values that they are built from.

    No lock is taken, since a child that is forked would never see it opened.

    Args:
        model: What they are instances of.
        settings: The settings of its fields.
        paths: For each, the keys by which pydantic reads the value.
        registry: Where the settings are declared.

    Attributes:
        own_keys: For each setting, whether its values are their own keys.
        by_key: An instance and its values, by what a reader can make quickly: of each value itself
            where it is its own key, else of its id. The values are there so that no other object can
            get an id that is in a key.

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
        defaults = tuple([setting.default_value for setting in settings])
        self.own_keys = tuple([type(value) in _OWN_KEYS for value in defaults])
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
                f"the defaults of {self._model.__name__} are refused by its own validators:"
                f" {first['msg']} @ {'.'.join(map(str, first['loc'])) or 'the whole'}: declare"
                " defaults that go together"
            ) from None

    def find(self, key: Any, values: tuple[Any, ...], context: tuple[Any, ...]) -> Any:
        """Return the instance of *values*, and let *key* find it from now on.

        Args:
            key: The reader's key.
            values: The values of all fields.
            context: The values of the context features that were given in the call, by position.
        """
        try:
            combination = _Combination(self._content_of(values), values, context)
        except Exception:  # noqa: BLE001  # a user's class may raise anything
            # A value of a custom type without a hash: it goes by its id alone.
            instance = self._built_safely(values, context)
        else:
            self._kept(combination)
            # Of two threads that meet in a cache, each is given what it has built: ask for the kept one.
            instance = self._kept(combination)
        # Emptied before as many others have been found as are kept: so what a key finds is kept, and
        # equal values under other keys find the same instance.
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
        # All are there by alias; by name too, since TypedDicts in the values have names as keys.
        instance = self._model.model_validate(content, by_alias=True, by_name=True)
        # Not a frozen copy, which would cost more than all else: nobody else has it.
        fields = vars(instance)
        fields.update({name: freeze(value) for name, value in fields.items()})
        return instance

    def _report(self, error: Exception, context: tuple[Any, ...]) -> None:
        """Log that values do not go together, and which rules they are from."""
        rule_ids = self._rule_ids(context)
        logger.error(
            "%s: its validators refuse a combination of values (%s), which reads as all declared"
            " defaults; it is of the rules %s",
            self._model.__name__,
            type(error).__name__,
            rule_ids,
            extra={"model": self._model.__name__, "rules": rule_ids},
        )

    def _rule_ids(self, context: tuple[Any, ...]) -> list[int]:
        features = self._settings[0].configurable_features
        pairs = zip(features, context, strict=True)
        given = {name: value for name, value in pairs if value is not ABSENT}
        try:
            found = [Read[Any](setting, given).resolution for setting in self._settings]
        except Exception:  # noqa: BLE001  # a default's function, called once more, may raise
            return []
        return sorted({one.rule_id for one in found if one.rule_id is not None})
