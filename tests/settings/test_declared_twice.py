"""Two settings of one name: a mistake, unless the first is dropped or its code is executed anew."""

from __future__ import annotations

import doctest
import gc
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from heksher import InvalidSetting, Setting, SettingsModel
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Publish

    from heksher.settings.registry import Registry

    Module = Callable[..., ModuleType]

SETTING = 'Setting("a", int, ["user"], 1, registry=registry)'


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Whatever is dropped here has to be gone by its reference count alone."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> Module:
    """Write a module and import it: again, and into the same namespace, if it is there already."""

    def execute(source: str, name: str = "declares", *, fresh: bool = False) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text("from heksher import Setting, SettingsModel\n" + dedent(source))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        made = None if fresh else sys.modules.get(name)
        made = made or importlib.util.module_from_spec(spec)
        vars(made)["registry"] = registry
        monkeypatch.setitem(sys.modules, name, made)
        # As after an edit: what was compiled within the same second would be taken for current.
        code = compile(path.read_text(), path, "exec", dont_inherit=True)
        exec(code, vars(made))  # noqa: S102  # a module of our own
        return made

    return execute


def declare(registry: Registry, default: int = 1) -> Setting[int, ...]:
    return Setting("a", int, ["user"], default, registry=registry)


@pytest.mark.parametrize(
    "source",
    [
        f"one = {SETTING}\ntwo = {SETTING}\n",
        f"both = [{SETTING} for _ in range(2)]\n",
        f"kept = []\nfor _ in range(2):\n    kept.append({SETTING})\n",
        f"one, two = (lambda: {SETTING})(), (lambda: {SETTING})()\n",
        f"def make():\n    return {SETTING}\n\none = make()\ntwo = make()\n",
        f"def f():\n    return {SETTING}\n\none = f()\n\nclass Config:\n    a = {SETTING}\n",
        f"class One:\n    a = {SETTING}\n\nclass Two:\n    a = {SETTING}\n",
        f"""
        class Model(SettingsModel, prefix="", configurable_features=["user"], registry=registry):
            a: int = 1

        two = {SETTING}
        """,
        """
        for _ in range(2):
            class Model(SettingsModel, prefix="", configurable_features=["user"], registry=registry):
                a: int = 1
            kept = [Model]
        """,
    ],
    ids=["lines", "comprehension", "loop", "lambdas", "factory", "class", "classes", "model", "models"],
)  # fmt: skip
def test_one_execution_of_a_module_declares_a_name_once(source: str, module: Module) -> None:
    with pytest.raises(InvalidSetting, match=r"'a' is declared twice, .*declares\.py:\d+"):
        module(source)


def test_other_module_is_a_mistake_that_names_both_places(module: Module) -> None:
    module(f"one = {SETTING}\n", "first")

    with pytest.raises(InvalidSetting, match=r"twice, at .*first\.py:2 and at .*second\.py:3: "):
        module(f"\ntwo = {SETTING}\n", "second")


def test_factory_that_makes_one_twice_is_a_mistake_until_the_first_is_dropped(
    registry: Registry,
) -> None:
    first = declare(registry)
    with pytest.raises(InvalidSetting, match=r"declared twice, by one line, .*: give one of them"):
        declare(registry)

    del first

    assert declare(registry, 2).get(user="x") == 2


def test_threads_that_declare_one_name_leave_one_setting(registry: Registry) -> None:
    def attempt(_number: int) -> object:
        try:
            return declare(registry)
        except InvalidSetting:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(attempt, range(100)) if one is not None]

    assert [one.setting for one in registry.declared()] == made


@pytest.mark.parametrize("moved", ["", "\n\n\n"], ids=["unchanged", "moved"])
@pytest.mark.parametrize(
    "source",
    [
        f"a = {SETTING}\n",
        f"class Config:\n    a = {SETTING}\n\na = Config.a\n",
        f"def make():\n    return {SETTING}\n\na = make()\n",
        f"settings = [{SETTING} for _ in range(1)]\na = settings[0]\n",
        """
        class Model(SettingsModel, prefix="", configurable_features=["user"], registry=registry):
            a: int = 1

        a = Model.settings["a"]
        """,
    ],
    ids=["setting", "class", "function", "comprehension", "model"],
)
def test_module_that_is_executed_anew_replaces_its_settings(
    source: str, moved: str, module: Module, registry: Registry, publish: Publish
) -> None:
    old = module(source).a

    new = module(moved + dedent(source)).a

    assert new is not old
    assert [one.setting for one in registry.declared()] == [new]
    publish(old, default=7)
    assert (old.get(user="x"), new.get(user="x")) == (7, 1)


def test_reload_of_a_module_whose_settings_another_module_makes(module: Module) -> None:
    module(f"def make(registry):\n    return {SETTING}\n", "helper")
    old = module("import helper\na = helper.make(registry)\n").a
    with pytest.raises(InvalidSetting, match="declared twice"):
        module("import helper\nagain = helper.make(registry)\n", "other")

    assert module("import helper\n\n\na = helper.make(registry)\n").a is not old


def test_module_that_is_imported_under_two_names_declares_once_each(module: Module) -> None:
    old = module(f"a = {SETTING}\n", fresh=True).a
    new = module(f"a = {SETTING}\n", fresh=True).a

    assert new is not old


def test_function_that_a_reload_defines_anew_replaces_what_it_made(module: Module) -> None:
    source = f"def make():\n    return {SETTING}\n"
    old = module(source).make()

    assert module("\n\n" + source).make() is not old


def test_same_code_in_a_namespace_of_its_own_is_a_new_execution(registry: Registry) -> None:
    """As where a framework compiles a script once, and runs it for each session."""
    code = compile(f"a = {SETTING}", "script.py", "exec")
    made = []
    for _ in range(2):
        session = ModuleType("script")
        vars(session).update(Setting=Setting, registry=registry)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "script", session)
            exec(code, vars(session))  # noqa: S102  # our own
        made.append(session)

    assert made[0].a is not made[1].a


def test_notebook_cell_that_is_run_again_replaces_its_settings(registry: Registry) -> None:
    notebook: dict[str, Any] = {"__name__": "__main__", "Setting": Setting, "registry": registry}
    for number, cell in enumerate([f"a = {SETTING}", f"\n\na = {SETTING}\nb = 1"]):
        exec(compile(cell, f"<cell {number}>", "exec"), notebook)  # noqa: S102  # as IPython does

    with pytest.raises(InvalidSetting, match="declared twice"):
        exec(compile(f"a = {SETTING}\nc = {SETTING}", "<cell 2>", "exec"), notebook)  # noqa: S102


def test_examples_of_a_docstring_may_declare_anew(registry: Registry) -> None:
    text = f">>> a = {SETTING}\n>>> a.get(user='x')\n1\n>>> a = {SETTING}\n"
    for name in ("one", "two"):
        found = doctest.DocTestParser().get_doctest(
            text, {"Setting": Setting, "registry": registry}, name, f"{name}.py", 0
        )
        assert doctest.DocTestRunner(verbose=False).run(found).failed == 0


def test_class_that_is_made_in_a_function_replaces_the_one_before(registry: Registry) -> None:
    """Only the collector knows whether the first class is still in use."""

    def make() -> Any:
        class Config:
            a = Setting[int](configurable_features=["user"], default_value=1, registry=registry)

        class Model(SettingsModel, prefix="m", context=["user"], registry=registry):
            b: int = 1

        return Config, Model

    (config, model), (_, _) = make(), make()

    assert (config.a.get(user="x"), model.get(user="x").b) == (1, 1)
    assert len(registry.declared()) == 2


def test_constructor_of_a_subclass_is_not_where_its_settings_are_declared(
    registry: Registry,
) -> None:
    class Own(Setting[int]):
        def __init__(self, name: str) -> None:
            super().__init__(
                name, configurable_features=["user"], default_value=1, registry=registry
            )

    one = Own("a")

    with pytest.raises(InvalidSetting, match="declared twice") as caught:
        Own("a")
    assert str(caught.value).count(f"{__file__}:") == 2
    assert declaration_of(one).location.file == __file__


def test_dropped_setting_with_all_that_it_can_have_frees_its_name_at_once(
    registry: Registry, publish: Publish
) -> None:
    features = ["user", "class"]
    setting = Setting("a", list[int], features, [1], registry=registry)
    setting.add_validator(lambda value, rule, setting: value)
    setting.on_change(print)
    publish(setting, [(1, [["user", "x"]], [2])])
    with setting.override([3]), registry.pinned():
        setting.get(user="x", **{"class": "y"})
    setting.explain(user="x", **{"class": "y"})

    del setting

    assert registry.declared() == []
    assert Setting("a", str, ["user"], "x", registry=registry).get(user="x") == "x"


def test_setting_whose_get_alone_is_kept_lives_on(registry: Registry, publish: Publish) -> None:
    told: list[Any] = []
    setting = declare(registry)
    setting.on_change(told.append)
    get = setting.get

    del setting
    with pytest.raises(InvalidSetting, match="declared twice"):
        declare(registry)
    publish(registry.find("a").setting, default=5)
    for context, listener in registry.find("a").listeners:
        context.copy().run(listener, registry.find("a").setting)

    assert get(user="x") == 5
    assert (told[0].name, told[0].get) == ("a", get)


def test_script_that_is_also_imported_declares_its_settings_in_both(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "from heksher import Setting\n"
        "a = Setting('a', int, ['user'], 1)\n"
        "if __name__ == '__main__':\n"
        "    import app\n"
        "    assert app.a is not a\n"
    )
    for arguments in (["app.py"], ["-m", "app"]):
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=True)  # noqa: S603
