"""Rewriting one module of a program: what is mechanical is done, the rest is told in notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, PositionProvider
from typing_extensions import override

from heksher.moving import calls
from heksher.moving.program import NameFinder, Names
from heksher.moving.tables import CLIENTS, GONE_ATTRIBUTES, GONE_NAMES, MOVED, OLD_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, order=True)
class Note:
    """What a person has to look at."""

    line: int
    text: str


@dataclass(frozen=True)
class Moved:
    """A module in its new spelling."""

    source: str
    notes: tuple[Note, ...]


def rewrite(source: str) -> Moved:
    """Return a module of heksher-py 0.2 in this library's spelling.

    What is in the new spelling already stays as it is, so that it may be done twice.

    Raises:
        libcst.ParserSyntaxError: The source is not Python.
    """
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = NameFinder()
    wrapper.module.visit(finder)
    if not finder.names.imported:
        return Moved(source, ())
    rewriter = _Rewriter(finder.names)
    module = wrapper.visit(rewriter)
    if rewriter.needs_track_all:
        context = CodemodContext()
        AddImportsVisitor.add_needed_import(context, "heksher", "TRACK_ALL")
        module = AddImportsVisitor(context).transform_module(module)
    return Moved(module.code, tuple(sorted(set(rewriter.notes))))


class _Rewriter(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, names: Names) -> None:
        super().__init__()
        self.names = names
        self.notes: list[Note] = []
        self.needs_track_all = False

    def note(self, node: cst.CSTNode, text: str) -> None:
        self.notes.append(Note(self.get_metadata(PositionProvider, node).start.line, text))

    @override
    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        """Split imports when one of their names has another address now."""
        if len(updated_node.body) != 1:
            return updated_node
        statement = updated_node.body[0]
        if isinstance(statement, cst.ImportFrom):
            parts = self._split(original_node, statement)
            first = updated_node.with_changes(body=[parts[0]])
            rest = [cst.SimpleStatementLine(body=[part]) for part in parts[1:]]
            return cst.FlattenSentinel([first, *rest]) if rest else first
        return updated_node

    @override
    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import:
        """Import the package instead of modules that are no more."""
        kept: dict[str, cst.ImportAlias] = {}
        for alias in updated_node.names:
            name = alias.evaluated_name
            if name in GONE_NAMES:
                self.note(original_node, f"{name}: {GONE_NAMES[name]}")
            elif name in OLD_MODULES and alias.asname is None:
                alias = alias.with_changes(name=cst.Name("heksher"))
            elif name in OLD_MODULES:
                self.note(original_node, f"{name} is no more: import names from heksher")
            kept.setdefault(alias.evaluated_alias or alias.evaluated_name, alias)
        if len(kept) == len(updated_node.names):
            return updated_node.with_changes(names=list(kept.values()))
        return updated_node.with_changes(names=_without_last_comma(kept.values()))

    @override
    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        """Spell calls of settings, clients and stubs as they are now."""
        kind = self.names.full(original_node.func)
        if kind == "heksher.Setting":
            listed = self._listed(original_node, updated_node, "configurable_features")
            return calls.subscripted(listed)
        if kind.removeprefix("heksher.") in CLIENTS:
            return self._listed(original_node, updated_node, "context_features")
        if kind == "heksher.clients.stub.Rule":
            return calls.without_open_conditions(updated_node)
        if isinstance(original_node.func, cst.Attribute):
            return self._method(original_node, updated_node, original_node.func)
        return updated_node

    @override
    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        """Give attributes their present names; tell of those that are no more."""
        dotted = _dotted(original_node)
        first = dotted.partition(".")[0]
        address = f"{self.names.imported.get(first, '')}{dotted[len(first) :]}"
        if address in MOVED:
            return cst.parse_expression(MOVED[address])
        name = original_node.attr.value
        if name == "version_str":
            return updated_node.with_changes(attr=cst.Name("version"))
        if address in OLD_MODULES:
            return updated_node
        if address in GONE_NAMES:
            self.note(original_node, f"{address}: {GONE_NAMES[address]}")
        elif name in GONE_ATTRIBUTES:
            self.note(original_node, f".{name}: {GONE_ATTRIBUTES[name]}")
        elif name == "version" and self._is_setting(original_node.value):
            self.note(original_node, ".version is text now, and was a tuple of two numbers")
        return updated_node

    @override
    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
        """Tell of what `get` raised."""
        caught = get_full_name_for_node(node.type) if node.type else None
        if caught in ("RuntimeError", "ValueError") and self.names.settings:
            new = "MissingContextFeature" if caught == "RuntimeError" else "TypeError"
            self.note(node, f"except {caught}: where get() raised it, it raises {new} now")

    def _method(
        self, original: cst.Call, updated: cst.Call, func: cst.Attribute
    ) -> cst.BaseExpression:
        owner, name = func.value, func.attr.value
        if name == "track_contexts":
            tracked = calls.tracking_all(updated)
            self.needs_track_all |= tracked is not updated
            return tracked
        if name == "close" and self._client(owner) == "AsyncHeksherClient":
            return updated.with_deep_changes(updated.func, attr=cst.Name("aclose"))
        if name == "update" and self._is_setting(owner):
            self.note(original, ".update: clients publish all settings at once; use override")
        if name == "heksher_string" and self._is_type_of_setting(owner):
            return cst.parse_expression(f"{_dotted(owner).removesuffix('.type')}.type_string")
        return updated

    def _is_type_of_setting(self, node: cst.BaseExpression) -> bool:
        owner, _, name = _dotted(node).rpartition(".")
        return name == "type" and owner in self.names.settings

    def _is_setting(self, node: cst.BaseExpression) -> bool:
        return _dotted(node) in self.names.settings

    def _client(self, node: cst.BaseExpression) -> str | None:
        return self.names.clients.get(_dotted(node))

    def _listed(self, original: cst.Call, updated: cst.Call, parameter: str) -> cst.Call:
        listed = calls.with_listed_features(updated, parameter)
        if listed is not updated:
            self.note(original, f"{parameter} was a string, which stood for its letters")
        return listed

    def _split(self, line: cst.CSTNode, statement: cst.ImportFrom) -> list[cst.ImportFrom]:
        module = get_full_name_for_node(statement.module) if statement.module else ""
        if isinstance(statement.names, cst.ImportStar) or statement.relative:
            return [statement]
        moved: list[cst.ImportAlias] = []
        kept: list[cst.ImportAlias] = []
        for alias in statement.names:
            address = f"{module}.{alias.evaluated_name}"
            if address in GONE_NAMES:
                self.note(line, f"{address}: {GONE_NAMES[address]}")
            (moved if address in MOVED else kept).append(alias)
        if not moved:
            return [statement]
        root: dict[str, Any] = {"module": cst.Name("heksher")}
        if not kept:
            return [statement.with_changes(**root)]
        return [
            statement.with_changes(names=_without_last_comma(moved), **root),
            statement.with_changes(names=_without_last_comma(kept)),
        ]


def _dotted(node: cst.CSTNode) -> str:
    """Return a dotted name as text; an empty one for anything else."""
    return get_full_name_for_node(node) or ""


def _without_last_comma(aliases: Iterable[cst.ImportAlias]) -> list[cst.ImportAlias]:
    listed = list(aliases)
    listed[-1] = listed[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return listed
