"""`ContextFeatures`: the context features of a program as a class, for type checkers and people."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from inspect import get_annotations
from keyword import iskeyword
from typing import Any, Final, dataclass_transform

from typing_extensions import ParamSpec

from heksher.exceptions import InvalidContext
from heksher.settings.context import bind_context, check_features

Q = ParamSpec("Q")


class _Provided:
    def __repr__(self) -> str:
        return "PROVIDED"


PROVIDED: Final[Any] = _Provided()
"""Says that a context feature has a default or is bound, so that a call need not give it."""


_ANNOTATIONS: Final[tuple[Any, ...]] = (
    str,
    str | None,
    "str",
    "str | None",
    "None | str",
    "Optional[str]",
)


@dataclass_transform(kw_only_default=True)
class _FeaturesType(type):
    """Makes a class of features stand for its names, wherever a list of names may stand."""

    _features: tuple[str, ...] = ()

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]
    ) -> _FeaturesType:
        made = super().__new__(cls, name, bases, namespace)
        inherited = [one for base in bases for one in getattr(base, "_features", ())]
        own = _own_features(made)
        made._features = tuple(dict.fromkeys([*inherited, *own]))
        if bases:
            check_features(made._features, whose=f"the class {name}")
        return made

    def __iter__(cls) -> Iterator[str]:
        return iter(cls._features)

    def __len__(cls) -> int:
        return len(cls._features)

    def __contains__(cls, feature: object) -> bool:
        return feature in cls._features

    def __bool__(cls) -> bool:
        return True

    def bind(
        cls: Callable[Q, object], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> AbstractContextManager[None]:
        """Give context features their values until the `with` block ends; see `bind_context`.

        The keys and values are checked by the type checker, and the keys here.

        Raises:
            InvalidContext: A feature is not one of the class.
        """
        return bind_context(**_checked(cls, kwargs))

    def set_defaults(
        cls: Callable[Q, object], client: Any, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> None:
        """Set a client's defaults of context features; see its `set_defaults`.

        The keys and values are checked by the type checker, and the keys here.

        Raises:
            InvalidContext: A feature is not one of the class.
        """
        client.set_defaults(**_checked(cls, kwargs))


def _own_features(features: _FeaturesType) -> list[str]:
    own = []
    name = features.__name__
    for feature, annotation in get_annotations(features).items():
        if iskeyword(feature) or feature == "__debug__":
            raise InvalidContext(
                f"{feature!r} in {name} is a word of Python's, so no call could give it by keyword:"
                " declare settings with a list of names instead"
            )
        if not _is_feature_value(annotation, features.__module__):
            raise InvalidContext(
                f"{feature!r} in {name} is annotated {annotation!r}: context features are str, or"
                " str | None where a call may say that there is none"
            )
        if vars(features).get(feature, PROVIDED) is not PROVIDED:
            raise InvalidContext(
                f"{feature!r} in {name} has a value: write `{feature}: str`, or `{feature}: str ="
                " PROVIDED` where a call need not give it, and set the default at the client"
            )
        if hasattr(_FeaturesType, feature):
            raise InvalidContext(
                f"{feature!r} in {name} is a method of every such class: declare settings with a"
                " list of names instead"
            )
        own.append(feature)
    return own


def _is_feature_value(annotation: Any, module: str) -> bool:
    if isinstance(annotation, str):
        names = vars(sys.modules.get(module, builtins))
        with suppress(Exception):
            # It is text under `from __future__ import annotations`; any name may stand in it.
            annotation = eval(annotation, dict(names))  # noqa: S307  # as typing does
    return annotation in _ANNOTATIONS


def _checked(features: Any, given: dict[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in features:
            raise InvalidContext(
                f"{name!r} is not a context feature of {features.__name__}: it has {list(features)}"
            )
    return given


class ContextFeatures(metaclass=_FeaturesType):
    """The context features of a program, in the order of precedence.

    To be subclassed::

        class Features(ContextFeatures):
            environment: str = PROVIDED
            user: str

    A feature that is `PROVIDED` comes from a default or from the bound context, though a call may
    give it; the others every call has to say. The class stands wherever a list of names may, and
    `Setting[int].within(Features, ...)` lets type checkers check the calls of `get`.

    Raises:
        InvalidContext: There is no feature, or one that cannot be given by keyword.
    """

    def __init__(self, /, **features: str | None) -> None:
        for name, value in _checked(type(self), features).items():
            setattr(self, name, value)
