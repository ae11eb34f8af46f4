"""How calls of heksher-py are spelled now: expressions in, expressions out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from heksher.moving.tables import CLIENT_ARGUMENTS, SETTING_ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIGHT: Final = cst.AssignEqual(
    whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace("")
)
_BUILT_IN: Final = ("int", "float", "str", "bool")


def named(arguments: Sequence[cst.Arg], names: Sequence[str]) -> dict[str, cst.Arg] | None:
    """Return *arguments* by the names of their parameters; `None` where that cannot be told."""
    found: dict[str, cst.Arg] = {}
    for place, argument in enumerate(arguments):
        if argument.star or (argument.keyword is None and place >= len(names)):
            return None
        found[argument.keyword.value if argument.keyword else names[place]] = argument
    return found


def subscripted(call: cst.Call) -> cst.Call:
    """Return `Setting("a", int, [...], 60)` as `Setting[int]("a", configurable_features=...)`.

    A call stays as it is where its type is not an annotation, such as `HeksherEnum(Colour)`: that
    spelling works as before.
    """
    arguments = named(call.args, SETTING_ARGUMENTS)
    if arguments is None or "type" not in arguments or not _is_annotation(arguments["type"].value):
        return call
    kept: list[cst.Arg] = []
    for name, argument in arguments.items():
        if name != "type":
            kept.append(argument if name == "name" else _with_keyword(argument, name))
        elif kept and _has_comment(argument.comma):
            kept[-1] = kept[-1].with_changes(comma=argument.comma)
    if kept and not isinstance(call.args[-1].comma, cst.Comma):
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    index = cst.Index(arguments["type"].value)
    func = cst.Subscript(value=call.func, slice=[cst.SubscriptElement(slice=index)])
    return call.with_changes(func=func, args=kept)


def _is_annotation(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.Subscript):
        return True
    last = (get_full_name_for_node(node) or "").rpartition(".")[2]
    return not isinstance(node, cst.Call) and (last in _BUILT_IN or last[:1].isupper())


def _has_comment(comma: cst.Comma | cst.MaybeSentinel) -> bool:
    if not isinstance(comma, cst.Comma):
        return False
    blank = comma.whitespace_after
    return isinstance(blank, cst.ParenthesizedWhitespace) and blank.first_line.comment is not None


def _with_keyword(argument: cst.Arg, name: str) -> cst.Arg:
    if argument.keyword is not None:
        return argument
    return argument.with_changes(keyword=cst.Name(name), equal=_TIGHT)


def with_listed_features(call: cst.Call, parameter: str) -> cst.Call:
    """Return the call with features that were the letters of a string as a list of them."""
    names = SETTING_ARGUMENTS if parameter in SETTING_ARGUMENTS else CLIENT_ARGUMENTS
    argument = (named(call.args, names) or {}).get(parameter)
    if argument is None or not isinstance(argument.value, cst.SimpleString):
        return call
    letters = [cst.Element(cst.SimpleString(f'"{one}"')) for one in _text(argument.value)]
    listed = argument.with_changes(value=cst.List(letters))
    return call.with_changes(args=[listed if one is argument else one for one in call.args])


def tracking_all(call: cst.Call) -> cst.Call:
    """Return `track_contexts(user="*")` with `TRACK_ALL` for each star."""
    changed = [
        one.with_changes(value=cst.Name("TRACK_ALL"))
        if isinstance(one.value, cst.SimpleString) and _text(one.value) == "*"
        else one
        for one in call.args
    ]
    if all(new is old for new, old in zip(changed, call.args, strict=True)):
        return call
    return call.with_changes(args=changed)


def without_open_conditions(call: cst.Call) -> cst.Call:
    """Return a stub's `Rule({"user": None}, 5)` without the conditions that say nothing."""
    if not call.args or not isinstance(call.args[0].value, cst.Dict):
        return call
    conditions = call.args[0].value
    kept = [one for one in conditions.elements if not _is_none(one.value)]
    if len(kept) == len(conditions.elements):
        return call
    if kept:
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    first = call.args[0].with_changes(value=conditions.with_changes(elements=kept))
    return call.with_changes(args=[first, *call.args[1:]])


def _is_none(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Name) and node.value == "None"


def _text(node: cst.SimpleString) -> str:
    value = node.evaluated_value
    return value if isinstance(value, str) else value.decode("latin-1")
