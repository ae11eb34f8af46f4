"""`--heksher-snapshot`: tests meet the values of production before production's users do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from heksher.exceptions import UsageError
from heksher.settings.observing import observe_reads
from heksher.settings.registry import DEFAULT
from heksher.settings.rules.rule_set import Origin
from heksher.settings.setting import declaration_of
from heksher.settings.stubs import is_stubbed
from heksher.testing.exporting import read_snapshot
from heksher.testing.snapshot_values import ProductionValues

if TYPE_CHECKING:
    from collections.abc import Generator

    from heksher.settings.declaration import Declaration
    from heksher.settings.explaining import Read
    from heksher.testing.snapshot_values import ProductionValue

_OUTPUT: Final = "heksher_snapshot_runs"
_SUFFIX: Final = "heksher_run"


class SnapshotRuns:
    """Runs each test once more for each value of production that it could have read.

    A test is run as always first. If it passes, it is run again with one setting that it has read,
    and not given a value itself, on one value that this setting has in the snapshot.

    Args:
        config: Pytest's.
        values: The values of the snapshot.
        most: How many times a test is run again at most.
    """

    def __init__(self, config: pytest.Config, values: ProductionValues, most: int) -> None:
        self._config = config
        self._values = values
        self._most = most
        self._counts = {"runs": 0, "left out": 0}
        self._rejected: set[str] = set()
        self._value: ProductionValue | None = None
        self._has_passed = True
        self._read: dict[int, Declaration] = {}

    @classmethod
    def from_file(cls, config: pytest.Config, path: str, most: int) -> SnapshotRuns:
        """Return those for an exported snapshot.

        Raises:
            pytest.UsageError: The file is none, or cannot be read.
        """
        try:
            settings = read_snapshot(path)
        except (OSError, UsageError) as error:
            raise pytest.UsageError(f"--heksher-snapshot: {error}") from None
        return cls(config, ProductionValues(settings, DEFAULT), most)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Run a test, and then run it again."""
        if self._value is not None:
            # It is this hook that runs it again.
            return (yield)
        self._has_passed, self._read = True, {}
        stop = observe_reads(self._note)
        try:
            ran = yield
        finally:
            stop()
        if self._has_passed:
            self._run_again(item, nextitem)
        return ran

    def _note(self, read: Read[Any]) -> None:
        """Note a read, unless the test itself says what is read."""
        declaration = declaration_of(read.setting)
        if declaration.index in self._read or is_stubbed(DEFAULT.snapshot, declaration.index):
            return
        if read.resolution.origin is not Origin.OVERRIDE:
            self._read[declaration.index] = declaration

    def _run_again(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        values, left_out = self._values.of(self._read.values(), self._most)
        self._counts["left out"] += left_out
        for value in values:
            if item.session.shouldstop or item.session.shouldfail:
                break
            self._counts["runs"] += 1
            self._value, stubs = value, value.stub(DEFAULT)
            try:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            finally:
                self._value = None
                stubs.restore()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say in the report of another run which value was read."""
        report = yield
        self._has_passed = self._has_passed and report.passed
        if self._value is not None:
            suffix = f"[heksher: {self._value}]"
            file, line, domain = report.location
            report.location = (file, line, domain + suffix)
            setattr(report, _SUFFIX, suffix)
            if report.failed:
                name = self._value.declaration.name
                report.sections.append(
                    ("heksher", f"{name} read what it has in production: {self._value}")
                )
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Give the report of another run a name of its own, before anybody sees it."""
        # A worker of pytest-xdist demands the item's own name; the main process does this then.
        suffix = getattr(report, _SUFFIX, None)
        if suffix is not None and not hasattr(self._config, "workerinput"):
            report.nodeid += suffix

    def pytest_sessionfinish(self) -> None:
        """Hand over what a worker of pytest-xdist has to say."""
        output = getattr(self._config, "workeroutput", None)
        self._rejected.update(self._values.rejected)
        if output is not None:
            output[_OUTPUT] = {"counts": self._counts, "rejected": sorted(self._rejected)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of pytest-xdist has to say."""
        output = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if output is not None:
            for name, count in output["counts"].items():
                self._counts[name] += count
            self._rejected.update(output["rejected"])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many runs there were, and what could not be run."""
        terminalreporter.section("heksher snapshot")
        terminalreporter.line(
            f"{self._counts['runs']} runs with a value of production;"
            f" {self._counts['left out']} left out by --heksher-snapshot-max={self._most}"
        )
        for line in sorted(self._rejected):
            terminalreporter.line(f"not run, since this program cannot read it: {line}")
