"""`--heksher-snapshot`: tests meet the values of production before production's users do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest.runner import runtestprotocol

from heksher.exceptions import UsageError
from heksher.settings.registry import DEFAULT
from heksher.settings.state import Overlay
from heksher.settings.stubbing import is_stubbed
from heksher.testing.exporting import read_snapshot
from heksher.testing.snapshot_values import ProductionValues

if TYPE_CHECKING:
    from heksher.settings.state import State, StateContent
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test, and then run it again."""
        read: set[int] = set()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        with DEFAULT.recorded(lambda state, index: _note(read, state, index)):
            reports = runtestprotocol(item, nextitem=nextitem, log=True)
        if all(report.passed for report in reports):
            values, left_out = self._values.of(read, self._most)
            self._counts["left out"] += left_out
            for value in values:
                if item.session.shouldstop or item.session.shouldfail:
                    break
                self._run_again(item, nextitem, value)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run_again(
        self, item: pytest.Item, nextitem: pytest.Item | None, value: ProductionValue
    ) -> None:
        self._counts["runs"] += 1
        suffix, stubs = f"[heksher: {value}]", value.stub(DEFAULT)
        try:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        finally:
            stubs.restore()
        for report in reports:
            file, line, domain = report.location
            report.location = (file, line, domain + suffix)
            setattr(report, _SUFFIX, suffix)
            if report.failed:
                read = f"{value.setting.name} read what it has in production: {value}"
                report.sections.append(("heksher", read))
            item.ihook.pytest_runtest_logreport(report=report)

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


def _note(read: set[int], state: State, index: int) -> None:
    """Note a read, unless the test itself says what is read."""
    content: StateContent = state[0]
    view = DEFAULT.view.get()
    if index in read or is_stubbed(content.snapshot, index):
        return
    if not (isinstance(view, Overlay) and index in view.values):
        read.add(index)
