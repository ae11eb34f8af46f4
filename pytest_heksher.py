"""The pytest plugin of heksher; it imports nothing of the package until a test uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heksher.testing import StubHeksherClient

MARKER = 'heksher({"cache.ttl": 5}): let settings read these values, or lists of Rule, in this test'


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("heksher")
    group.addoption(
        "--heksher-snapshot",
        metavar="FILE",
        help="run tests that read a setting once more for each value it has in this snapshot",
    )
    group.addoption(
        "--heksher-snapshot-max",
        metavar="N",
        type=int,
        default=20,
        help="run each test at most so many times more (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker, and load the snapshot if there is one."""
    config.addinivalue_line("markers", MARKER)
    path = config.getoption("--heksher-snapshot")
    if path is not None:
        from heksher.testing.snapshot_runs import SnapshotRuns

        most = config.getoption("--heksher-snapshot-max")
        config.pluginmanager.register(SnapshotRuns.from_file(config, path, most), "heksher-runs")


@pytest.fixture
def heksher() -> Iterator[StubHeksherClient]:
    """Say what settings read, until the end of the test: `heksher[cache_ttl].rules = 5`."""
    from heksher.testing import StubHeksherClient

    client = StubHeksherClient()
    yield client
    client.restore()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have a marked test use the fixture that reads its marks; all others are left alone."""
    names: list[str] | None = getattr(item, "fixturenames", None)
    if names is None or item.get_closest_marker("heksher") is None:
        return
    if "_heksher_marker" not in names:
        # Before the test's own fixtures, which read what the marks say.
        names.insert(0, "_heksher_marker")


@pytest.fixture
def _heksher_marker(request: pytest.FixtureRequest, heksher: StubHeksherClient) -> None:
    for mark in reversed(list(request.node.iter_markers("heksher"))):
        for setting, rules in _marked(mark).items():
            heksher[setting].rules = rules


def _marked(mark: pytest.Mark) -> dict[Any, Any]:
    if len(mark.args) != 1 or mark.kwargs or not hasattr(mark.args[0], "items"):
        raise pytest.UsageError(
            "the marker heksher takes one dict, of values by setting or name, as in"
            ' @pytest.mark.heksher({"cache.ttl": 5})'
        )
    values: dict[Any, Any] = mark.args[0]
    return values
