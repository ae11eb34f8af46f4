"""`Setting[int]`: keeping the type for the constructor, which Python would not."""

from __future__ import annotations

from functools import partial
from types import GenericAlias
from typing import Any, TypeVar

from heksher.exceptions import InvalidSetting


class SubscriptedSetting(GenericAlias):
    """A `Setting` class with its value type, as in `Setting[int]`; calling it declares one."""

    def __new__(cls, origin: Any, parameters: Any) -> SubscriptedSetting:
        """Make one of *origin*, a setting class, and of the subscript."""
        arguments = parameters if isinstance(parameters, tuple) else (parameters,)
        if not arguments:
            raise InvalidSetting(f"{origin.__name__}[()] has no type: write {origin.__name__}[int]")
        return super().__new__(cls, origin, arguments)

    def __getitem__(self, parameters: Any) -> SubscriptedSetting:
        """Fill in the type variables of the subscript, as in `Setting[list[T]][int]`."""
        return SubscriptedSetting(self.__origin__, super().__getitem__(parameters).__args__)

    def __getattribute__(self, name: str) -> Any:
        # An alias gives away the attributes of its origin, which knows no type.
        if name == "within":
            return partial(_within, self)
        return super().__getattribute__(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Declare a setting of this value type."""
        setting_class: Any = self.__origin__
        value_type = self.__args__[0]
        if isinstance(value_type, TypeVar):
            return setting_class(*args, **kwargs)
        if "type" in kwargs or len(args) > 1:
            raise InvalidSetting(
                "the type is given by the subscript already: after the name, give everything by"
                " keyword, as in Setting[int]('name', configurable_features=..., default_value=...)"
            )
        return setting_class(*args, type=value_type, **kwargs)


def _within(
    alias: SubscriptedSetting, context: Any, name: str | None = None, **details: Any
) -> Any:
    """Declare a setting of the alias's type in a context; see `Setting.within`."""
    if isinstance(context, type) and not hasattr(type(context), "__iter__"):
        raise InvalidSetting(
            f"the context of setting {name!r} is {context.__name__}, a class without features: give"
            " a ContextFeatures class"
        )
    if name is None:
        return alias(configurable_features=context, **details)
    return alias(name, configurable_features=context, **details)
