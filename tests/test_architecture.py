"""The layers of the package: who may import whom, counting every import statement there is."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import heksher

PACKAGE = Path(heksher.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
CORE = sorted(name for name in MODULES if name.startswith("heksher.settings."))
OUTERMOST = ("server", "testing", "moving", "cli", "integrations")
ALLOWED = {("heksher.testing", "server")}
"""The one package on top of another: tests are given the embedded service."""


def imports(module: str) -> set[str]:
    """Return all that *module* imports: at its top, in functions, and for type checkers only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import module` is about the module, not about the package.
            found |= members if members <= MODULES.keys() else {*members, str(node.module)}
    return found


def own_imports(module: str) -> set[str]:
    """Return the modules of heksher that *module* imports; a package counts by its modules."""
    return (imports(module) & MODULES.keys()) - {module}


@pytest.mark.parametrize("module", CORE)
def test_core_imports_nothing_of_the_shell_but_exceptions(module: str) -> None:
    shell = {name for name in own_imports(module) if not name.startswith("heksher.settings")}

    assert shell <= {"heksher.exceptions"}


@pytest.mark.parametrize("module", CORE)
def test_core_knows_neither_network_nor_event_loop_nor_files(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports(module)}

    assert not roots & {"httpx", "asyncio", "anyio", "socket", "io", "pathlib", "tempfile"}


@pytest.mark.parametrize("module", CORE)
def test_core_opens_no_file(module: str) -> None:
    names = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert "open" not in names


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_the_outermost_packages_from_outside(module: str) -> None:
    for package in OUTERMOST:
        inside = f"heksher.{package}"
        if any(module.startswith(above) and package == below for above, below in ALLOWED):
            continue
        if module != inside and not module.startswith(f"{inside}."):
            assert not any(f"{name}.".startswith(f"{inside}.") for name in own_imports(module))


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: own_imports(module) for module in MODULES}

    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))

    assert len(order) == len(MODULES)


MOST_MODULES = 15
ROOMS = sorted({path.parent for path in MODULES.values()} - {PACKAGE})


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_room_is_small_and_says_what_belongs_there(room: Path) -> None:
    modules = [path for path in room.glob("*.py") if not path.name.startswith("__")]
    doc = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))

    assert len(modules) <= MOST_MODULES
    assert doc


CONVERSATION = sorted(name for name in MODULES if name.startswith("heksher.clients.conversation"))


@pytest.mark.parametrize("module", CONVERSATION)
def test_conversation_does_no_io_and_knows_no_transport(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports(module)}
    own = own_imports(module)

    assert not roots & {"anyio", "socket", "io", "pathlib", "tempfile", "queue", "select", "ssl"}
    assert not [name for name in own if name.startswith("heksher.clients.transport")]
    assert not [name for name in own if name.startswith("heksher.clients.snapshots")]


TYPES = sorted(name for name in MODULES if name.startswith("heksher.settings.types."))


@pytest.mark.parametrize("module", TYPES)
def test_types_know_nothing_of_rules_reading_and_models(module: str) -> None:
    rooms = ("heksher.settings.rules", "heksher.settings.reading", "heksher.settings.models")

    assert not [name for name in own_imports(module) if name.startswith(rooms)]


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {module.rpartition(".")[2] for module in MODULES}

    assert not names & {"utils", "util", "helpers", "base", "common", "manager"}
