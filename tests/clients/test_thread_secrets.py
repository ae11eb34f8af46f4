"""Canaries in all that is secret, through every fault of sockets: the threaded client, the snapshot."""

from __future__ import annotations

import dataclasses
import logging
import stat
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from clients.faulty import FAULTS, GREATEST, FaultyServer
from heksher import HeksherError, ServiceError, Setting, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clients.conftest import Canned
    from heksher.settings.registry import Registry

CANARY = "canary7f3a"


class Ears(logging.Handler):
    """Keeps everything that is said, whoever says it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += [record.getMessage(), *[repr(value) for value in vars(record).values()]]
        if record.exc_info and record.exc_info[1]:
            self.listen(record.exc_info[1])

    def listen(self, error: BaseException) -> None:
        lines = traceback.format_exception(type(error), error, None)
        self.heard += [str(error), repr(error), repr(error.args), *lines]

    def look(self, client: ThreadHeksherClient) -> None:
        status = client.status
        self.heard += [str(status), repr(client), repr(client._driver), repr(client._upkeep)]
        self.heard += [str(getattr(status, one.name)) for one in dataclasses.fields(status)]


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears, root = Ears(), logging.getLogger()
    root.addHandler(ears)
    yield ears
    root.removeHandler(ears)


@pytest.fixture
def server(canned: Canned) -> Iterator[FaultyServer]:
    canned.features = ["user"]
    canned.add("n", f"{CANARY} default", type="str")
    canned.rule("n", 1, f"{CANARY} value", user="x")
    canned.rule("n", 2, [CANARY], user="y")
    with FaultyServer(canned) as server:
        yield server


def make(server: FaultyServer, registry: Registry, path: Path) -> ThreadHeksherClient:
    arguments: dict[str, Any] = {"headers": {"x-token": CANARY}}
    return ThreadHeksherClient(
        server.url.replace("//", f"//me:{CANARY}@"),
        3600,
        ["user"],
        http_client_args=arguments,
        request_timeout=0.5,
        max_response_bytes=GREATEST,
        snapshot_path=path,
        registry=registry,
    )


def declare(registry: Registry) -> Setting[str]:
    return Setting[str](
        "n",
        configurable_features=["user"],
        default_value=f"{CANARY} ours",
        metadata={"note": CANARY},
        registry=registry,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_says_anything_that_is_secret(
    server: FaultyServer, registry: Registry, tmp_path: Path, ears: Ears, fault: str
) -> None:
    setting, path = declare(registry), tmp_path / "snapshot"
    server.fail(fault)
    failing = make(server, registry, path)
    with pytest.raises(HeksherError) as caught:
        failing.set_as_main()
    ears.listen(caught.value)
    server.recover()
    with make(server, registry, path) as client:
        server.fail(fault)
        with pytest.raises(ServiceError) as raised:
            client.reload()
        ears.listen(raised.value)
        ears.look(client)
    with make(server, registry, path) as client:
        assert setting.get(user="x") == f"{CANARY} value"
        ears.look(client)

    ears.heard += [repr(setting), repr(registry)]
    assert [text for text in ears.heard if CANARY in text] == []
    assert any("snapshot" in text for text in ears.heard)


@pytest.mark.parametrize("what", ["cut", "shape", "unwritable"])
def test_no_trouble_with_the_snapshot_says_anything_that_is_secret(
    server: FaultyServer, registry: Registry, tmp_path: Path, ears: Ears, what: str
) -> None:
    from heksher.clients.snapshots.file import SnapshotFile

    setting, path = declare(registry), tmp_path / "snapshot"
    with make(server, registry, path):
        mode = stat.S_IMODE(path.stat().st_mode)
        whole = path.read_bytes()
    if what == "cut":
        path.write_bytes(whole[:-3])
    elif what == "shape":
        SnapshotFile(path, None).save(f'{{"saved_at": "{CANARY}"}}'.encode())
    else:
        path = tmp_path / "nowhere" / "snapshot"
        with make(server, registry, path):
            pass
    server.fail("500")
    with pytest.raises(ServiceError) as caught:
        make(server, registry, path).set_as_main()
    ears.listen(caught.value)

    assert setting.get(user="x") == f"{CANARY} value"
    # The file itself holds values: that is what it is for, and why nobody else may read it.
    assert CANARY.encode() in whole
    assert mode == 0o600
    assert any("snapshot file" in text for text in ears.heard)
    assert [text for text in ears.heard if CANARY in text] == []
