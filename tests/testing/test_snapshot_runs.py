"""`--heksher-snapshot`: tests run again with the values that settings have in production."""

from __future__ import annotations

import json
import re
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from heksher import Setting, UsageError
from heksher.settings.setting import declaration_of
from heksher.testing import LocalService, export_snapshot
from heksher.testing.exporting import read_snapshot
from heksher.testing.snapshot_values import ProductionValues

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Publish

    from heksher.settings.registry import Registry

    Run = Callable[..., pytest.RunResult]

pytest_plugins = ["pytester"]

SHOP = """
    from typing import Literal
    from heksher import Setting, SettingsModel

    ttl = Setting[int]("cache.ttl", configurable_features=["user"], default_value=60)
    theme = Setting[Literal["light", "dark"]](
        "ui.theme", configurable_features=["user"], default_value="light"
    )

    class Limits(SettingsModel, prefix="limits", configurable_features=["user"]):
        low: int = 1
        high: int = 9
"""

TTL_RULES = [(11, 60), (12, 0), (13, 0), (14, -1)]
THEME_RULES = [(21, "dark"), (22, "blue")]


def queried(default: Any, *rules: tuple[int, Any]) -> dict[str, Any]:
    return {
        "default_value": default,
        "rules": [
            {"rule_id": rule_id, "context_features": [["user", str(rule_id)]], "value": value}
            for rule_id, value in rules
        ],
    }


PRODUCTION = {
    "cache.ttl": queried(300, *TTL_RULES),
    "ui.theme": queried("light", *THEME_RULES),
    "limits.low": queried(1, (31, 3)),
    "unknown": queried("x"),
}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run tests, given as source, against `PRODUCTION`, in a process of their own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(shop=dedent(SHOP))
    export_snapshot(pytester.path / "production.snapshot", json.dumps({"settings": PRODUCTION}))

    def run_tests(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_shop=f"import pytest\nfrom shop import *\n{dedent(source)}")
        options = ("-p", "pytest_heksher", "-v", "--heksher-snapshot", "production.snapshot")
        return pytester.runpytest_subprocess(*options, *arguments)

    return run_tests


def runs(result: pytest.RunResult) -> list[str]:
    """Return the runs with values of production, and how each ended."""
    lines = [re.search(r"\[heksher: (.*)\] ([A-Z]+) ", line) for line in result.outlines]
    return [f"{found[1]}: {found[2]}" for found in lines if found]


def test_test_runs_once_more_for_each_value_of_what_it_reads(run: Run) -> None:
    result = run(
        """
        def test_reads_one():
            assert ttl.get(user="x") < 1_000

        def test_reads_none():
            pass
        """
    )

    assert runs(result) == [
        "cache.ttl, the service's default: PASSED",
        "cache.ttl, rules 12, 13: PASSED",
        "cache.ttl, rule 14: PASSED",
    ]
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*3 runs with a value of production; 0 left out*"])


def test_failure_is_reported_by_setting_and_rule_id(run: Run) -> None:
    result = run(
        """
        def test_reads_both():
            assert ttl.get(user="x") >= 0
            assert theme.get(user="x") == "light"
        """
    )

    assert runs(result) == [
        "cache.ttl, the service's default: PASSED",
        "ui.theme, rule 21: FAILED",
        "cache.ttl, rules 12, 13: PASSED",
        "cache.ttl, rule 14: FAILED",
    ]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*__ test_reads_both?heksher: ui.theme, rule 21? __*",
            "ui.theme read what it has in production: ui.theme, rule 21",
            "FAILED test_shop.py::test_reads_both?heksher: cache.ttl, rule 14? - *",
        ]
    )


def test_runs_of_a_test_are_bounded_and_taken_from_all_its_settings(run: Run) -> None:
    result = run(
        """
        def test_reads_both():
            ttl.get(user="x"), theme.get(user="x")
        """,
        "--heksher-snapshot-max=2",
    )

    assert [one.partition(",")[0] for one in runs(result)] == ["cache.ttl", "ui.theme"]
    result.stdout.fnmatch_lines(["*2 runs with a value of production; 2 left out by *-max=2"])


def test_value_that_the_program_cannot_read_is_reported_not_run(run: Run) -> None:
    result = run("def test_theme():\n    theme.get(user='x')\n")

    assert runs(result) == ["ui.theme, rule 21: PASSED"]
    result.stdout.fnmatch_lines(["not run, *cannot read it: ui.theme, rule 22: *"])
    assert "blue" not in result.stdout.str()


def test_reads_are_noticed_wherever_they_happen(run: Run) -> None:
    result = run(
        """
        import threading, unittest
        from heksher import bind_context, pinned

        @pytest.fixture
        def from_fixture():
            return theme.get(user="x")

        def test_fixture(from_fixture): ...

        def test_thread():
            thread = threading.Thread(target=lambda: theme.get(user="x"))
            thread.start()
            thread.join()

        def test_pinned_and_overridden():
            with pinned(), ttl.override(3), bind_context(user="x"):
                theme.get(), ttl.get()

        def test_explained():
            theme.explain(user="x")

        def test_model():
            Limits.get(user="x")

        class Case(unittest.TestCase):
            def test_method(self):
                theme.get(user="x")

        @pytest.mark.asyncio
        async def test_asyncio():
            theme.get(user="x")
        """,
        "-p",
        "asyncio",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    )

    theme, limits = "ui.theme, rule 21: PASSED", "limits.low, rule 31: PASSED"
    assert runs(result) == [theme, theme, theme, theme, limits, theme, theme]


def test_what_a_test_sets_itself_is_left_to_it(run: Run) -> None:
    result = run(
        """
        def test_stub(heksher):
            heksher[ttl].rules = 5
            assert ttl.get(user="x") == 5

        @pytest.mark.heksher({"cache.ttl": 6})
        def test_marked():
            assert ttl.get(user="x") == 6

        def test_overridden():
            with ttl.override(7):
                assert ttl.get(user="x") == 7
        """
    )

    assert not runs(result)
    result.assert_outcomes(passed=3)


def test_fixtures_are_made_anew_and_failing_or_skipped_tests_not_repeated(run: Run) -> None:
    result = run(
        """
        made = []

        @pytest.fixture(scope="module")
        def module_wide():
            made.append("module")
            yield
            made.append("end")

        @pytest.fixture
        def own(module_wide):
            made.append(theme.get(user="x"))

        def test_own(own):
            assert made.count("light") + made.count("dark") == len(made) - made.count("module")

        def test_fails():
            assert theme.get(user="x") == "dark"

        def test_skipped():
            theme.get(user="x")
            pytest.skip()

        @pytest.mark.xfail(strict=True)
        def test_expected_to_fail():
            assert theme.get(user="x") == "dark"
        """
    )

    assert runs(result) == ["ui.theme, rule 21: PASSED"]
    result.assert_outcomes(passed=2, failed=1, skipped=1, xfailed=1)


def test_runs_end_at_the_first_failure_if_told_so(run: Run) -> None:
    result = run("def test_ttl():\n    assert ttl.get(user='x') == 60\n", "-x")

    assert runs(result) == ["cache.ttl, the service's default: FAILED"]


def test_workers_of_xdist_report_all_of_it(run: Run) -> None:
    source = """
        @pytest.mark.parametrize("number", range(6))
        def test_ttl(number):
            assert ttl.get(user="x") < 1_000 and theme.get(user="x")
    """

    result = run(source, "-p", "xdist", "-n", "2")

    result.assert_outcomes(passed=6 * 5)
    result.stdout.fnmatch_lines(
        ["*24 runs with a value of production; 0 left out*", "not run, *ui.theme, rule 22: *"]
    )


def test_nothing_is_left_behind(run: Run) -> None:
    result = run(
        """
        def test_one():
            theme.get(user="x")

        def test_two():
            from heksher.settings.registry import DEFAULT
            from heksher.settings.stubs import is_stubbed
            assert not DEFAULT.snapshot.rule_sets
            assert ttl.get(user="x") == 60
        """,
        "--heksher-snapshot-max=0",
    )

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("content", [None, "", "[]", '{"settings": {"a": 1}}'])
def test_file_that_is_no_snapshot_is_an_error_at_the_start(
    content: str | None, run: Run, pytester: pytest.Pytester
) -> None:
    path = pytester.path / "production.snapshot"
    path.unlink()
    if content is not None:
        path.write_text(content)

    result = run("def test_one(): ...")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --heksher-snapshot: *production.snapshot*"])


def test_export_of_a_registry_reads_as_what_the_service_answers(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=[1], registry=registry
    )
    other = Setting("c", str, ["user"], "é", registry=registry)
    publish(setting, [(7, [["user", "x"]], [2, 3])], default=[4])

    export_snapshot(tmp_path / "values.snapshot", registry=registry)

    found = read_snapshot(tmp_path / "values.snapshot")
    assert found["a"]["default_value"] == [4]
    assert found["c"]["default_value"] == other.default_value
    assert found["a"]["rules"] == [
        {"rule_id": 7, "context_features": [("user", "x")], "value": [2, 3]}
    ]
    assert found["c"]["rules"] == []


def test_export_takes_the_answer_of_a_service(tmp_path: Path, registry: Registry) -> None:
    setting = Setting("ttl", int, ["user"], 60, registry=registry)
    with LocalService(["user"]) as service, service.http_client() as http:
        rule_id = service.add_rule(setting, 5, user="x")
        answer = http.get("/api/v1/query", params={"settings": "ttl", "context_filters": "*"})

    export_snapshot(tmp_path / "values.snapshot", answer.content)

    found = read_snapshot(tmp_path / "values.snapshot")["ttl"]
    assert [(one["rule_id"], one["value"]) for one in found["rules"]] == [(rule_id, 5)]
    export_snapshot(tmp_path / "values.snapshot", answer.text)
    with pytest.raises(UsageError, match="not a response to a query"):
        export_snapshot(tmp_path / "values.snapshot", b'{"detail": "no"}')


def test_values_of_a_renamed_setting_are_found_by_its_alias(registry: Registry) -> None:
    setting = Setting("new", int, ["user"], 1, alias="old", registry=registry)
    settings: Any = {"old": queried(1, (5, 2), (6, 1))}

    values, left_out = ProductionValues(settings, registry).of([declaration_of(setting)], 10)

    assert [(one.value, one.sources, str(one)) for one in values] == [(2, (5,), "new, rule 5")]
    assert left_out == 0


def test_equal_values_are_one(registry: Registry) -> None:
    setting = Setting[list[float]](
        "a", configurable_features=["user"], default_value=[], registry=registry
    )
    settings: Any = {"a": queried([], *[(number, [float(number % 7)]) for number in range(1, 30)])}

    values, _ = ProductionValues(settings, registry).of([declaration_of(setting)], 100)

    assert len(values) == 7
    assert str(values[0]) == "a, rules 1, 8, 15 and 2 more"


def test_value_that_a_validator_refuses_is_reported(registry: Registry) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)

    @setting.add_validator
    def small(value: int, rule: Any, setting: Any) -> int:
        if value > 5:
            raise ValueError
        return value

    settings: Any = {"a": queried(1, (5, 2), (6, 10))}
    values = ProductionValues(settings, registry)

    assert [one.value for one in values.of([declaration_of(setting)], 10)[0]] == [2]
    assert len(values.rejected) == 1
    assert values.rejected[0].startswith("a, rule 6: ")
