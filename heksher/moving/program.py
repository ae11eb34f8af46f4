"""What a program calls the things of heksher-py: its imports, its settings, its clients."""

from __future__ import annotations

from dataclasses import dataclass, field

import libcst as cst
from libcst.helpers import get_full_name_for_node
from typing_extensions import override

from heksher.moving.tables import CLIENTS, MOVED


@dataclass
class Names:
    """The names of one module that have to do with heksher."""

    imported: dict[str, str] = field(default_factory=dict)
    """What a name, or a dotted name, was imported as: local name -> full name."""

    settings: set[str] = field(default_factory=set)
    clients: dict[str, str] = field(default_factory=dict)
    """Dotted names that hold a client, and its class."""

    def full(self, node: cst.CSTNode) -> str:
        """Return the name that *node* stands for, by its present address; else an empty string."""
        dotted = get_full_name_for_node(node)
        if dotted is None:
            return ""
        first, _, rest = dotted.partition(".")
        if first not in self.imported:
            return ""
        found = f"{self.imported[first]}.{rest}" if rest else self.imported[first]
        return MOVED.get(found, found)


class NameFinder(cst.CSTVisitor):
    """Collects the names of a module."""

    def __init__(self) -> None:
        self.names: Names = Names()

    @override
    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            name = alias.evaluated_name
            if name.partition(".")[0] == "heksher":
                local = alias.evaluated_alias
                self.names.imported[local or "heksher"] = name if local else "heksher"

    @override
    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = get_full_name_for_node(node.module) if node.module else None
        if not module or module.partition(".")[0] != "heksher" or node.relative:
            return
        if isinstance(node.names, cst.ImportStar):
            return
        for alias in node.names:
            local = alias.evaluated_alias or alias.evaluated_name
            self.names.imported[local] = f"{module}.{alias.evaluated_name}"

    @override
    def visit_Assign(self, node: cst.Assign) -> None:
        for target in node.targets:
            self._remember(target.target, node.value)

    @override
    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        if node.value is not None:
            self._remember(node.target, node.value)

    @override
    def visit_WithItem(self, node: cst.WithItem) -> None:
        if node.asname is not None:
            self._remember(node.asname.name, node.item)

    def _remember(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        name = get_full_name_for_node(target)
        if name is None or not isinstance(value, cst.Call):
            return
        callee = value.func.value if isinstance(value.func, cst.Subscript) else value.func
        kind = self.names.full(callee).removeprefix("heksher.")
        if kind == "Setting":
            self.names.settings.add(name)
        elif kind in CLIENTS:
            self.names.clients[name] = kind
