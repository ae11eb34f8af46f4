"""Where a setting is declared, and whether that is a new execution of where another one was.

A second declaration of a name is a mistake, unless the code that made the first has been executed
anew: a reloaded module, a re-run notebook cell, a script that is also imported by its own name.
What tells these apart are code objects: each execution of a module's source has a new one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from inspect import CO_OPTIMIZED
from typing import TYPE_CHECKING, Final
from weakref import ref

if TYPE_CHECKING:
    from types import CodeType, FrameType, ModuleType

_PASSED_OVER: Final = (__name__.rpartition(".")[0] + ".", "pydantic.", "abc.")
"""Modules whose lines declare nothing: they do it for others."""

_BODY: Final = "<module>"
"""What Python calls the code of a module's body, of a notebook's cell, and of what `exec` runs."""

_SCOPE_OF_TYPE_PARAMETERS: Final = "<generic parameters of "
"""How Python 3.12 and later call the scope that a generic class statement runs in."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The execution of a module's body that declares a setting, itself or through functions.

    Attributes:
        code: Its code, which is gone soon after it has run.
        module: Its file, or the module's name where it has no file, as in a notebook.
        namespace: The module object, if it is an imported one.
    """

    code: ref[CodeType]
    module: str
    namespace: ref[ModuleType] | None

    def is_reexecuted_by(self, other: Body) -> bool:
        """Return whether *other* is another execution of the same module."""
        is_same = self.code() is other.code() and self.namespace == other.namespace
        return self.module == other.module and not is_same


@dataclass(frozen=True, slots=True, eq=False)
class Location:
    """Where a setting is declared: a file and a line of it."""

    file: str
    line: int
    code: ref[CodeType] = field(repr=False)
    function: str = field(repr=False)
    body: Body | None = field(repr=False)
    is_fleeting: bool = field(repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def may_be_replaced_by(self, other: Location) -> bool:
        """Return whether a setting declared here gives way to one of the same name from *other*."""
        if self.is_fleeting:
            # Only the garbage collector knows whether a class is still in use, since each refers to
            # itself: the setting of one that was made in a function may be dropped already.
            return True
        first, second = self.body, other.body
        if first is not None and second is not None and first.is_reexecuted_by(second):
            return True
        # The same function, defined anew by a reload; a lambda's name says nothing.
        is_named_alike = self.file == other.file and self.function == other.function
        is_same_code = self.code() is other.code()
        return is_named_alike and not is_same_code and not self.function.endswith(">")


def declaring_frame(setting: object = None) -> FrameType:
    """Return the frame of the line that declares a setting or a model of settings.

    Frames of heksher's core and of pydantic are passed over, and constructors of *setting*'s own
    class, so that a subclass does not make all its settings seem declared at one line.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        f"{frame.f_globals.get('__name__')}.".startswith(_PASSED_OVER)
        or _is_constructor(frame, setting)
    ):
        frame = frame.f_back
    return frame


def _is_constructor(frame: FrameType, setting: object) -> bool:
    code = frame.f_code
    if code.co_name != "__init__" or not code.co_argcount:
        return False
    return frame.f_locals.get(code.co_varnames[0]) is setting


def location_of(frame: FrameType, *, of_class: bool = False) -> Location:
    """Return the location of what *frame* is about to declare.

    Args:
        frame: As returned by `declaring_frame`.
        of_class: Whether it is the statement of a class that declares.
    """
    code = frame.f_code
    is_in_class, is_fleeting = of_class, False
    above: FrameType | None = frame
    while above is not None and above.f_code.co_name != _BODY:
        if not above.f_code.co_flags & CO_OPTIMIZED:
            is_in_class = True
        elif is_in_class and not above.f_code.co_name.startswith(_SCOPE_OF_TYPE_PARAMETERS):
            is_fleeting = True
        above = above.f_back
    body = None if above is None else _body_of(above)
    return Location(
        code.co_filename, frame.f_lineno, ref(code), code.co_qualname, body, is_fleeting
    )


_latest: Body | None = None
"""What was made last: the many settings of one module share it."""


def _body_of(frame: FrameType) -> Body:
    global _latest
    latest = _latest
    names = frame.f_globals
    name = str(names.get("__name__"))
    module = sys.modules.get(name)
    if module is not None and vars(module) is not names:
        module = None
    namespace = None if module is None else ref(module)
    if latest is None or latest.code() is not frame.f_code or latest.namespace != namespace:
        module_name = str(names.get("__file__") or name)
        latest = _latest = Body(ref(frame.f_code), module_name, namespace)
    return latest
