"""The pytest plugin: its fixture and its marker, in test runs of their own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., pytest.RunResult]

pytest_plugins = ["pytester"]

SETTINGS = """
    from typing import Literal
    from heksher import Setting, bind_context
    from heksher.testing import Rule

    ttl = Setting[int]("cache.ttl", configurable_features=["environment", "user"], default_value=60)
    theme = Setting[Literal["light", "dark"]](
        "ui.theme", configurable_features=["user"], default_value="light"
    )

    def read(user="x"):
        return ttl.get(environment="e", user=user), theme.get(user=user)
"""


ASYNCIO = ("-p", "asyncio", "-p", "anyio", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run tests, given as source, in a process of their own."""
    pytester.makepyfile(shop=dedent(SETTINGS))
    pytester.makeini(
        """
        [pytest]
        filterwarnings = error
        addopts = --strict-markers
        """
    )
    # No other plugins than those named: it is faster, and needs no installed entry point.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_tests(source: str, *arguments: str) -> pytest.RunResult:
        lines = f"import pytest\nfrom shop import *\n{dedent(source)}"
        pytester.makepyfile(test_shop=lines)
        return pytester.runpytest_subprocess("-q", "-p", "pytest_heksher", *arguments)

    return run_tests


def test_fixture_sets_values_and_rules_and_restores_them(run: Run) -> None:
    result = run(
        """
        def test_one(heksher):
            heksher[ttl].rules = 5
            heksher["ui.theme"].rules = [Rule({"user": "john"}, "dark")]
            heksher.set_defaults(environment="e")
            with bind_context(user="john"):
                assert (ttl.get(), theme.get()) == (5, "dark")
            assert read() == (5, "light")

        def test_two():
            assert read("john") == (60, "light")
            with pytest.raises(LookupError):
                ttl.get(user="x")
        """
    )

    result.assert_outcomes(passed=2)


def test_failing_test_leaves_nothing_behind(run: Run) -> None:
    result = run(
        """
        def test_fails(heksher):
            heksher[ttl].rules = 5
            heksher.set_defaults(user="x", environment="e")
            assert False

        @pytest.mark.heksher({"cache.ttl": 7})
        def test_fails_too(heksher):
            assert ttl.get(environment="e", user="x") == 7
            heksher[theme].rules = "blue"

        def test_nothing_is_left():
            from heksher.settings.registry import DEFAULT
            from heksher.settings.reading.state import Source
            assert read() == (60, "light")
            assert not DEFAULT.snapshot.rule_sets
            assert DEFAULT.snapshot.source is Source.DECLARED_DEFAULTS
            assert not DEFAULT.defaults
            assert DEFAULT.main is None
        """
    )

    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*InvalidValue: stub value of setting 'ui.theme' must be *"])


def test_marker_of_the_test_outranks_those_around_it(run: Run) -> None:
    result = run(
        """
        @pytest.mark.heksher({"cache.ttl": 5, theme: [Rule({"user": "x"}, "dark")]})
        class TestShop:
            def test_class(self):
                assert read() == (5, "dark")
                assert read("y") == (5, "light")

            @pytest.mark.heksher({"cache.ttl": 6})
            def test_method(self, heksher):
                assert read() == (6, "dark")
                heksher[ttl].rules = 7
                assert read() == (7, "dark")

        @pytest.mark.heksher({"cache.ttl": 5})
        @pytest.mark.parametrize("user", ["a", "b"])
        def test_each(user):
            assert ttl.get(environment="e", user=user) == 5
        """
    )

    result.assert_outcomes(passed=4)


def test_marker_works_for_unittest(run: Run) -> None:
    result = run(
        """
        import unittest

        class ShopTest(unittest.TestCase):
            @pytest.mark.heksher({"cache.ttl": 5})
            def test_method(self):
                self.assertEqual(read(), (5, "light"))
        """
    )

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ('"cache.ttl"', "*the marker heksher takes one dict*"),
        ("", "*the marker heksher takes one dict*"),
        ("ttl=5", "*the marker heksher takes one dict*"),
        ('{"cache.tll": 5}', "*UnknownSetting: no living setting is called 'cache.tll'*"),
        ('{"cache.ttl": "5"}', "*InvalidValue: stub value of setting 'cache.ttl' must be an int*"),
    ],
)
def test_wrong_marker_is_an_error_of_its_test(marker: str, error: str, run: Run) -> None:
    result = run(
        f"""
        @pytest.mark.heksher({marker})
        def test_marked(): ...

        def test_other(): ...
        """
    )

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([error])


def test_asynchronous_tests_of_both_kinds_see_stubs_in_all_their_tasks(run: Run) -> None:
    result = run(
        """
        import asyncio, anyio

        @pytest.mark.asyncio
        @pytest.mark.heksher({"cache.ttl": 5})
        async def test_asyncio(heksher):
            heksher[theme].rules = "dark"
            assert await asyncio.gather(asyncio.to_thread(read), asyncio.to_thread(read)) == [
                (5, "dark"), (5, "dark")
            ]

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def dark(heksher):
            heksher[theme].rules = "dark"
            yield
            assert read() == (5, "dark")

        @pytest.mark.anyio
        @pytest.mark.heksher({"cache.ttl": 5})
        async def test_anyio(dark):
            async with anyio.create_task_group() as group:
                group.start_soon(check)
            await check()

        async def check():
            await anyio.sleep(0)
            assert read() == (5, "dark")

        def test_after():
            assert read() == (60, "light")
        """,
        *ASYNCIO,
    )

    result.assert_outcomes(passed=3)


def test_overrides_hold_in_their_task_alone(run: Run) -> None:
    result = run(
        """
        import asyncio

        @pytest.mark.asyncio
        async def test_tasks():
            async def one(value):
                with ttl.override(value):
                    await asyncio.sleep(0)
                    return read()[0]
            assert await asyncio.gather(one(1), one(2), one(3)) == [1, 2, 3]
            assert read()[0] == 60
        """,
        *ASYNCIO,
    )

    result.assert_outcomes(passed=1)


PARALLEL = """
    @pytest.mark.parametrize("value", range(12))
    def test_stubbed(value, heksher):
        assert read() == (60, "light")
        heksher[ttl].rules = value
        for _ in range(200):
            assert read() == (value, "light")

    @pytest.mark.parametrize("value", range(12))
    def test_not_stubbed(value):
        for _ in range(200):
            assert read() == (60, "light")
"""


def test_parallel_workers_do_not_see_each_other(run: Run) -> None:
    result = run(PARALLEL, "-p", "xdist", "-n", "2", "--dist", "load")

    result.assert_outcomes(passed=24)


def test_order_of_tests_does_not_matter(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import random

        def pytest_collection_modifyitems(items):
            random.Random(7).shuffle(items)
        """
    )

    run(PARALLEL).assert_outcomes(passed=24)


def test_module_scoped_stub_of_the_user_stays_under_that_of_a_test(run: Run) -> None:
    result = run(
        """
        from heksher.testing import StubHeksherClient

        @pytest.fixture(scope="module", autouse=True)
        def module_stub():
            client = StubHeksherClient()
            client[ttl].rules = 3
            yield
            client.restore()

        def test_one(heksher):
            heksher[ttl].rules = 5
            assert read()[0] == 5

        def test_two():
            assert read()[0] == 3
        """
    )

    result.assert_outcomes(passed=2)


def test_plugin_imports_nothing_of_the_package_until_used(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_other="""
        import sys

        def test_nothing_is_imported(request):
            assert "pytest_heksher" in sys.modules
            assert not [one for one in sys.modules if one.partition(".")[0] == "heksher"]
            assert "httpx" not in sys.modules
        """
    )

    pytester.runpytest_subprocess("-p", "pytest_heksher").assert_outcomes(passed=1)


def test_plugin_names_its_options_and_marker(run: Run, pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_subprocess("-p", "pytest_heksher", "--help", "--markers").stdout

    shown.fnmatch_lines(["heksher:", "*--heksher-snapshot=FILE*", "*--heksher-snapshot-max=N*"])
    shown = pytester.runpytest_subprocess("-p", "pytest_heksher", "--markers").stdout
    shown.fnmatch_lines(["@pytest.mark.heksher(*"])


def test_plugin_is_an_entry_point_and_part_of_the_wheel() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))

    assert project["project"]["entry-points"]["pytest11"] == {"heksher": "pytest_heksher"}
    assert "pytest_heksher.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_tests_that_do_not_use_the_plugin_pay_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys, unittest

        def test_fixtures(request):
            assert request.fixturenames == ["request"]
            assert not [name for name in sys.modules if name.partition(".")[0] == "heksher"]
            assert not {"httpx", "pydantic"} & sys.modules.keys()

        class Case(unittest.TestCase):
            def test_method(self):
                assert "heksher" not in sys.modules
        """
    )

    result = pytester.runpytest_subprocess("-p", "pytest_heksher", "--setup-show")

    result.assert_outcomes(passed=2)
    assert "_heksher_marker" not in result.stdout.str()


def test_marker_stands_before_the_tests_own_fixtures_and_on_classes_and_parameters(
    run: Run,
) -> None:
    result = run(
        """
        import unittest

        @pytest.fixture
        def from_fixture():
            return ttl.get(environment="e", user="x")

        @pytest.mark.heksher({"cache.ttl": 1})
        def test_fixture(from_fixture):
            assert from_fixture == 1

        @pytest.mark.parametrize("expected", [60, pytest.param(2, marks=pytest.mark.heksher({"cache.ttl": 2}))])
        def test_parameters(expected):
            assert read()[0] == expected

        @pytest.mark.heksher({"cache.ttl": 3})
        class TestClass:
            def test_method(self):
                assert read()[0] == 3

        @pytest.mark.heksher({"cache.ttl": 4})
        class Case(unittest.TestCase):
            def test_method(self):
                assert read()[0] == 4
        """
    )

    result.assert_outcomes(passed=5)
