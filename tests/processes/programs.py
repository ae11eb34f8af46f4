"""Programs that fork, spawn, and run event loops; `test_processes` runs each in its own process.

`python programs.py NAME URL` runs one against the service at URL, where the setting of that name is
its own, and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx

from heksher import AsyncHeksherClient, ClientClosed, ClientStateError, Setting, ThreadHeksherClient
from heksher.settings.registry import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM, URL = sys.argv[1:3]
BOUND = 20.0
EVERY = 3600.0
"""Seconds between updates: none comes by itself while a program runs."""

setting = Setting[int](f"processes.{PROGRAM}", configurable_features=["user"], default_value=1)
# Made at import time, before any event loop, in every process that imports this.
client = ThreadHeksherClient(URL, EVERY, ["user"])
async_client = AsyncHeksherClient(URL, EVERY, ["user"])


class Records(logging.Handler):
    """Keeps what heksher logs in this process."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def forks(self) -> list[str]:
        return [message for message in self.messages if "forked" in message]


records = Records()
logging.getLogger("heksher").addHandler(records)
changed = threading.Event()
setting.on_change(lambda _: changed.set())


def set_rule(value: int) -> None:
    """Give user x a value on the service."""
    api = f"{URL}/api/v1"
    found = httpx.get(
        f"{api}/rules/search", params={"setting": setting.name, "feature_values": "user:x"}
    )
    if found.is_success:
        httpx.put(f"{api}/rules/{found.json()['rule_id']}/value", json={"value": value})
        return
    body = {"setting": setting.name, "feature_values": {"user": "x"}, "value": value}
    httpx.post(f"{api}/rules", json=body).raise_for_status()


def value() -> int:
    return setting.get(user="x")


def in_child(function: Callable[[], Any]) -> Any:
    """Fork, run *function* in the child, and return what it does there."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  # the parent shows it
            result = repr(error)
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def woken() -> dict[str, Any]:
    """Read in a forked child, and tell what comes of it."""
    changed.clear()
    at_first = value()
    age = client.status.age
    came = changed.wait(BOUND)
    return {
        "at first": at_first,
        "told of a change": came,
        "then": value(),
        "age is known": age is not None,
        "started": client.status.started,
        "said": len(records.forks()),
        "threads": sorted(one.name for one in threading.enumerate())[:2],
    }


def preload() -> Any:
    """The parent starts the client, and forks workers that serve; gunicorn --preload does so."""
    with client:
        set_rule(7)
        workers = [in_child(woken) for _ in range(3)]
        return {"workers": workers, "parent": value(), "said": len(records.forks())}


def _given_connections(**options: Any) -> Any:
    """A client with connections of the program's: parent and child must not share them."""
    given = ThreadHeksherClient(URL, EVERY, ["user"], **options)

    def child() -> Any:
        status = given.status
        seen: list[Any] = [value(), value(), status.started, status.age is not None]
        seen.append(["http_client" in said for said in records.forks()])
        seen.append("belong to the parent process" in str(given.status.last_error))
        try:
            given.reload()
        except ClientClosed as error:
            seen.append("belong to the parent process" in str(error))
        seen.append(len(list(given.changes())))
        with client:
            return [*seen, value()]

    with given:
        set_rule(7)
        own = in_child(child)
        given.reload()
        return {"child": own, "parent": [value(), len(records.forks())]}


def given_http_client() -> Any:
    with httpx.Client() as http:
        return _given_connections(http_client=http)


def given_transport() -> Any:
    return _given_connections(http_client_args={"transport": httpx.HTTPTransport()})


def grandchild_of_a_child_with_a_client_of_its_own() -> Any:
    """The copy that ended in the child keeps nothing from waking the child's client in its child."""

    def child() -> Any:
        value()
        with client:
            set_rule(7)
            return in_child(lambda: woken()["then"])

    with httpx.Client() as http, ThreadHeksherClient(URL, EVERY, ["user"], http_client=http):
        return in_child(child)


def grandchild() -> Any:
    with client:
        set_rule(7)
        return in_child(lambda: in_child(woken))


def grandchild_of_a_reader() -> Any:
    with client:

        def child() -> Any:
            value()
            client.reload()
            set_rule(7)
            return in_child(woken)

        return in_child(child)


def reload_in_a_child() -> Any:
    with client:
        set_rule(7)

        def child() -> Any:
            client.reload()
            return [value(), len(records.forks()), threading.active_count()]

        return in_child(child)


def changes_in_a_child() -> Any:
    with client:
        set_rule(7)
        return in_child(lambda: [[one.name for one in next(client.changes())], value()])


def close_in_a_child() -> Any:
    """The child closes its copy; the parent's goes on."""
    with client:

        def child() -> Any:
            client.close()
            return [value(), client.status.started]

        closed = in_child(child)
        set_rule(7)
        client.reload()
        return {"child": closed, "parent": value()}


def fork_while_starting() -> Any:
    """Another thread forks while the client is starting: the child starts it by itself."""
    seen: list[Any] = []

    def fork(_: httpx.Request) -> None:
        if not seen:
            seen.append(None)
            thread = threading.Thread(
                target=lambda: seen.append(in_child(woken)), name="MainThread"
            )
            thread.start()
            thread.join()

    with ThreadHeksherClient(URL, EVERY, ["user"]):
        set_rule(7)
    hooked = ThreadHeksherClient(
        URL, EVERY, ["user"], http_client_args={"event_hooks": {"request": [fork]}}
    )
    global client
    client = hooked
    changed.clear()
    set_rule(8)
    with hooked:
        return {"child": seen[1], "parent": value()}


def fork_under_locks() -> Any:
    """Threads hold every lock there is when the process is forked."""
    stopped = threading.Event()

    def busy(worker: int) -> None:
        while not stopped.is_set():
            with client.modification_lock:
                Setting[int](f"{PROGRAM}.{worker}", configurable_features=["user"], default_value=1)
            client.set_defaults(user="x")
            client.ping()

    with client:
        workers = [threading.Thread(target=busy, args=[number]) for number in range(3)]
        for worker in workers:
            worker.start()

        def child() -> Any:
            with client.modification_lock:
                Setting[int](f"{PROGRAM}.child", configurable_features=["user"], default_value=1)
            client.reload()
            return value()

        set_rule(7)
        values = [in_child(child) for _ in range(20)]
        stopped.set()
        for worker in workers:
            worker.join()
        return values


def child_that_reads_nothing() -> Any:
    """A child that becomes another program, or only writes a file, is not disturbed."""
    with client:
        silent = in_child(lambda: [threading.active_count(), records.forks()])
        ran = subprocess.run(
            [sys.executable, "-c", "print(1)"],
            capture_output=True,
            check=True,
            preexec_fn=os.getpid,
        )
        return {"child": silent, "printed": ran.stdout.decode(), "parent": len(records.forks())}


def parent_is_as_fast_as_before() -> Any:
    with client:
        in_child(value)
        return type(DEFAULT.state).__name__


def work(queue: Any) -> None:
    queue.put(woken())


def work_on_its_own(queue: Any) -> None:
    with client:
        queue.put([value(), len(records.forks())])


def _multiprocessing(method: str, target: Any) -> Any:
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    with client:
        set_rule(7)
        process = context.Process(target=target, args=[queue])
        process.start()
        result = queue.get(timeout=BOUND)
        process.join(BOUND)
        return {"child": result, "exit code": process.exitcode}


def multiprocessing_fork() -> Any:
    return _multiprocessing("fork", work)


def multiprocessing_forkserver() -> Any:
    return _multiprocessing("forkserver", work_on_its_own)


def multiprocessing_spawn() -> Any:
    return _multiprocessing("spawn", work_on_its_own)


def multiprocessing_pool() -> Any:
    with client:
        set_rule(7)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(_reloaded, range(4))


def _reloaded(_: int) -> int:
    client.reload()
    return value()


async def _child_of_async(own: AsyncHeksherClient) -> Any:
    def child() -> Any:
        status = own.status
        seen = [value(), value(), status.started, status.age is not None, len(records.forks())]
        asyncio.set_event_loop(None)
        asyncio.events._set_running_loop(None)

        async def anew() -> int:
            async with AsyncHeksherClient(URL, EVERY, ["user"]):
                return value()

        return {"before": seen, "with a client of its own": asyncio.run(anew())}

    return in_child(child)


def async_before_fork() -> Any:
    async def main() -> Any:
        async with async_client:
            await asyncio.to_thread(set_rule, 7)
            return await _child_of_async(async_client)

    return asyncio.run(main())


def asyncio_run_twice() -> Any:
    async def once(new: int) -> int:
        async with AsyncHeksherClient(URL, EVERY, ["user"]) as own:
            await asyncio.to_thread(set_rule, new)
            await own.reload()
            return value()

    return [asyncio.run(once(7)), asyncio.run(once(8))]


def asyncio_run_twice_without_closing() -> Any:
    """The first run ends with its client started: that is said, and it can be closed in the next."""

    async def first() -> None:
        await async_client.set_as_main()

    async def second() -> Any:
        try:
            await async_client.reload()
        except ClientStateError as error:
            refused = "close the client" in str(error)
        await async_client.aclose()
        async with AsyncHeksherClient(URL, EVERY, ["user"]):
            return [refused, value()]

    asyncio.run(first())
    set_rule(7)
    return asyncio.run(second())


def two_loops_in_turn() -> Any:
    seen = []
    for new in (7, 8):
        loop = asyncio.new_event_loop()
        own = AsyncHeksherClient(URL, EVERY, ["user"])
        loop.run_until_complete(own.set_as_main())
        set_rule(new)
        loop.run_until_complete(own.reload())
        seen.append(value())
        loop.run_until_complete(own.aclose())
        loop.close()
    return seen


def built_at_import_time() -> Any:
    """A client that was made before any loop serves one."""

    async def main() -> int:
        async with async_client:
            await asyncio.to_thread(set_rule, 7)
            await async_client.reload()
            return value()

    return asyncio.run(main())


async def _subprocesses(own: Any) -> Any:
    async def run() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", "print(1)", stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode().strip()

    printed = await asyncio.gather(*[run() for _ in range(5)])
    await asyncio.to_thread(set_rule, 7)
    if isinstance(own, AsyncHeksherClient):
        await own.reload()
    else:
        await asyncio.to_thread(own.reload)
    return {"printed": printed, "value": value(), "said": len(records.forks())}


def uvloop_with_subprocesses() -> Any:
    """Uvloop runs at-fork hooks in every subprocess that it starts."""
    import uvloop

    async def main() -> Any:
        async with async_client:
            return await _subprocesses(async_client)

    return uvloop.run(main())


def uvloop_with_subprocesses_and_threads() -> Any:
    import uvloop

    async def main() -> Any:
        with client:
            return await _subprocesses(client)

    return uvloop.run(main())


if __name__ == "__main__":
    print(json.dumps(globals()[PROGRAM]()))  # noqa: T201  # that is what it is for
