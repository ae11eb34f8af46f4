"""The names that forward references in annotations resolve to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from heksher.settings.types.decoder import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable


class Namespace:
    """The names available to the forward references of one declaration.

    Args:
        global_names: The module's.
        local_names: Returns those of the function or class. Called only if there is a forward
            reference, since Python 3.11 and 3.12 keep what a frame's `f_locals` holds alive.
    """

    def __init__(
        self, global_names: dict[str, Any], local_names: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self._globals = global_names
        self._locals = local_names

    def resolve(self, reference: object) -> Any:
        """Return the type that a forward reference names.

        Raises:
            Rejected: The name is not defined (yet), or is not a type.
        """
        holder = SimpleNamespace(__annotations__={"type": reference})
        try:
            hints = get_type_hints(holder, self._globals, self._locals(), include_extras=True)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001  # the reference is evaluated, so anything may be
            raise Rejected(
                f"{reference!r} cannot be resolved ({error}): define it above the setting"
            ) from None
        return hints["type"]

    def known(self) -> dict[str, Any]:
        """Return all names of this namespace."""
        return {**self._globals, **self._locals()}
