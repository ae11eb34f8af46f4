"""Context features: where the value of one comes from when a call does not give it.

Given in the call, else bound by `bind_context`, else the client's default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ContextDecorator, suppress
from contextvars import Context, ContextVar, Token
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from heksher.exceptions import InvalidContext, UsageError

FeatureDefault: TypeAlias = "str | ContextVar[str] | Callable[[], str | None]"
"""What a client's default for a context feature may be."""

_FEATURE_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


class Absent(Enum):
    """The type of `ABSENT`, so that type checkers can tell it from `None`."""

    ABSENT = "not given"

    def __repr__(self) -> str:
        return "<not given>"


ABSENT: Final = Absent.ABSENT
"""Stands for "not given", where `None` says "explicitly none"."""

NOTHING_BOUND: Final[Mapping[str, str | None]] = {}

bound_features: Final[ContextVar[Mapping[str, str | None]]] = ContextVar(
    "heksher.bound_features", default=NOTHING_BOUND
)
"""The features that `bind_context` has bound for the current task or thread."""


class Scope(ContextDecorator, AbstractContextManager[None]):
    """Gives a context variable another value until its `with` block ends; also a decorator.

    The block may be left in another context than it was entered in, as the `yield` dependencies of
    web frameworks and the clean-up of async generators do. The other context never had the value
    from here, so nothing is changed in it.

    Args:
        variable: The context variable.
        value: Returns the value, when the block is entered.
    """

    def __init__(self, variable: ContextVar[Any], value: Callable[[], Any]) -> None:
        self._variable = variable
        self._value = value
        self._token: Token[Any] | None = None

    def _recreate_cm(self) -> Scope:
        return Scope(self._variable, self._value)

    def __enter__(self) -> None:
        if self._token is not None:
            raise UsageError(
                "this context manager is in use already: call bind_context(), pinned() or"
                " override() again for each `with` block"
            )
        self._token = self._variable.set(self._value())

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            # Python's words for "in another context".
            with suppress(ValueError):
                self._variable.reset(token)


def bind_context(**features: str | None) -> Scope:
    """Give context features their values until the `with` block ends.

    Binds for the current task or thread only; tasks started inside inherit it. Nested blocks add
    up, the inner one wins. A call's own arguments win over both. `None` says "no such thing", so
    that rules with a condition on the feature do not match. A block that is left in another context
    than it was entered in changes nothing there.

    Args:
        **features: Values by context feature.
    """
    return Scope(bound_features, lambda: {**bound_features.get(), **features})


class DefaultKind(Enum):
    """How a client's default for a context feature is read."""

    NONE = "none"
    CONSTANT = "constant"
    VARIABLE = "variable"
    SET_VARIABLE = "variable with a default of its own"
    FUNCTION = "function"


class DefaultSource(NamedTuple):
    """One context feature's default, and how it is read."""

    kind: DefaultKind
    source: object


NO_DEFAULT: Final = DefaultSource(DefaultKind.NONE, None)


def default_source(feature: str, default: object) -> DefaultSource:
    """Describe how *default*, a client's default for *feature*, is read.

    Raises:
        InvalidContext: It is neither a string, a `ContextVar`, nor a function.
    """
    if isinstance(default, str):
        return DefaultSource(DefaultKind.CONSTANT, default)
    if isinstance(default, ContextVar):
        if _has_default(default):
            return DefaultSource(DefaultKind.SET_VARIABLE, default.get)
        return DefaultSource(DefaultKind.VARIABLE, default.get)
    if callable(default):
        return DefaultSource(DefaultKind.FUNCTION, default)
    raise InvalidContext(
        f"the default of context feature {feature!r} is {type(default).__name__}: give a str,"
        " a ContextVar, or a function of no argument that returns one"
    )


def _has_default(variable: ContextVar[str]) -> bool:
    # In an empty context, a variable has a value only by its own default.
    try:
        Context().run(variable.get)
    except LookupError:
        return False
    return True


def read_default(default: DefaultSource) -> object:
    """Return the value of a client's default now, or `ABSENT` if it has none."""
    if default.kind is DefaultKind.NONE:
        return ABSENT
    if default.kind is DefaultKind.CONSTANT:
        return default.source
    read: Callable[..., object] = default.source  # type: ignore[assignment]  # the kind says so
    return read(ABSENT) if default.kind is DefaultKind.VARIABLE else read()


def check_features(features: object, *, whose: str) -> tuple[str, ...]:
    """Return *features* as a tuple, checked.

    Args:
        features: Names of context features.
        whose: Whom they belong to, in words, for the message.

    Raises:
        InvalidContext: There is none, or one is misnamed or named twice.
    """
    if isinstance(features, (str, bytes)) or not hasattr(features, "__iter__"):
        raise InvalidContext(
            f"the context features of {whose} are {type(features).__name__}: give a list of"
            ' names, such as ["environment", "user"]'
        )
    names: tuple[Any, ...] = tuple(features)
    if not names:
        raise InvalidContext(f'{whose} has no context feature: name at least one, such as ["user"]')
    for name in names:
        if not isinstance(name, str) or _FEATURE_NAME.fullmatch(name) is None:
            raise InvalidContext(
                f"{name!r} in the context features of {whose} is not a feature name: use letters,"
                " digits and _ only"
            )
    repeated = sorted({str.__str__(name) for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidContext(
            f"the context features of {whose} name {repeated} twice: once is enough"
        )
    return tuple([str.__str__(name) for name in names])
