"""`LocalService`: the embedded service inside a test."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from heksher.clients.conversation.declaring.decisions import declaration_body
from heksher.exceptions import InvalidValue
from heksher.server import MISSING_EXTRA
from heksher.settings.checks import check_value
from heksher.settings.setting import Setting, declaration_of
from heksher.settings.types.decoder import Rejected
from heksher.testing.failures import Failure, Failures
from heksher.testing.loop_thread import LoopThread

_IN_PROCESS: Final = "http://heksher.local"


class LocalService:
    """A Heksher service for one test: in this process, in memory, gone at the end of the block.

    Its methods are synchronous and take milliseconds, so tests with and without asyncio may call
    them::

        with LocalService(["environment", "user"]) as service:
            service.add_rule(cache_ttl, 5, user="john")
            with ThreadHeksherClient(service.url, 60, ["environment", "user"]):
                assert cache_ttl.get(environment="test", user="john") == 5

    Clients reach it by its `url`, or without a socket through `http_client()` and
    `async_http_client()`.

    Args:
        context_features: Its context features, least specific first.

    Raises:
        ModuleNotFoundError: The extra `server` is not installed.
        ValueError: The context features are malformed.
    """

    def __init__(self, context_features: Iterable[str]) -> None:
        # Imported here, since the stubs in this package do not need the extra.
        from heksher.server import create_app

        self._app = create_app(context_features=context_features)
        self._failures = Failures(self._app)
        self._thread = LoopThread()
        self._url: str | None = None
        self._admin = httpx.Client(
            transport=_SyncTransport(httpx.ASGITransport(self._app), self._thread),
            base_url=_IN_PROCESS,
        )

    @property
    def url(self) -> str:
        """A real URL, on a free port of the loopback interface; the service listens from now on."""
        if self._url is None:
            try:
                from heksher.testing.loopback import listen_on_loopback
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(MISSING_EXTRA, name=error.name) from error
            self._url, serving = listen_on_loopback(self._failures)
            self._thread.start(serving)
        return self._url

    def http_client(self, **options: Any) -> httpx.Client:
        """Return an httpx client that reaches this service without a socket.

        Args:
            **options: Arguments of `httpx.Client`.
        """
        transport = _SyncTransport(httpx.ASGITransport(self._failures), self._thread)
        return httpx.Client(**{"transport": transport, "base_url": _IN_PROCESS, **options})

    def async_http_client(self, **options: Any) -> httpx.AsyncClient:
        """Return an asynchronous httpx client that reaches this service without a socket.

        Args:
            **options: Arguments of `httpx.AsyncClient`.
        """
        transport = httpx.ASGITransport(self._failures)
        return httpx.AsyncClient(**{"transport": transport, "base_url": _IN_PROCESS, **options})

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request of the test's own, which `fail_with` does not affect.

        Args:
            method: The HTTP method, such as `POST`.
            path: The path below `/api/v1/`.
            body: The JSON body, if any.

        Returns:
            The JSON of the response; `None` if it is empty.

        Raises:
            httpx.HTTPStatusError: The service refused the request; the message says why.
        """
        sent = {} if body is None else {"json": body}
        response = self._admin.request(method, f"/api/v1/{path}", **sent)
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {response.status_code}: {response.text}",
                request=response.request,
                response=response,
            )
        return response.json() if response.content else None

    def declare(self, setting: Setting[Any, ...]) -> None:
        """Declare a setting, as a client of another process would."""
        versions = ["1.0"] if setting.version == "1.0" else ["1.0", setting.version]
        for version in versions:
            body = declaration_body(declaration_of(setting), alias=None, version=version)
            self.request("POST", "settings/declare", body)

    def add_rule(self, setting: Setting[Any, ...] | str, value: Any, /, **conditions: str) -> int:
        """Add a rule and return its id; clients see it with their next update.

        Args:
            setting: The setting, which is declared if the service does not have it; or a name.
            value: The value, of the setting's type; JSON if the setting is given by name.
            **conditions: Values by context feature, at least one.

        Raises:
            InvalidValue: The value is invalid for the setting.
            httpx.HTTPStatusError: The service refused the rule.
        """
        raw = value
        if not isinstance(setting, str):
            raw = _raw(setting, value)
            if not self._knows(setting.name):
                self.declare(setting)
        body = {"setting": _name(setting), "value": raw, "feature_values": conditions}
        rule_id: int = self.request("POST", "rules", body)["rule_id"]
        return rule_id

    def change_rule(self, rule_id: int, value: Any) -> None:
        """Change a rule's value, given as JSON."""
        self.request("PUT", f"rules/{rule_id}/value", {"value": value})

    def delete_rule(self, rule_id: int) -> None:
        """Delete a rule."""
        self.request("DELETE", f"rules/{rule_id}")

    def rename(self, setting: Setting[Any, ...] | str, name: str) -> None:
        """Rename a setting, with its next minor version; the former name becomes an alias."""
        place = f"settings/{_quoted(setting)}"
        major, _, minor = self.request("GET", place)["version"].partition(".")
        version = f"{major}.{int(minor) + 1}"
        self.request("PUT", f"{place}/name", {"name": name, "version": version})

    def delete(self, setting: Setting[Any, ...] | str) -> None:
        """Delete a setting and its rules."""
        self.request("DELETE", f"settings/{_quoted(setting)}")

    def fail_with(
        self, outcome: int | Exception, *, times: int | None = None, path: str = ""
    ) -> Failure:
        """Make requests of clients fail, until `recover` or the end of the `with` block.

        Args:
            outcome: The status to respond with; or an exception, such as
                `httpx.ConnectError("refused")`, which in-process clients get as it is, and clients
                that use `url` as status 500.
            times: The number of requests that fail; all by default.
            path: The beginning of the paths of those requests, such as `/api/v1/query`.
        """
        return self._failures.add(Failure(self._failures, outcome, times=times, path=path))

    def recover(self) -> None:
        """Stop all failures."""
        self._failures.end()

    def _knows(self, name: str) -> bool:
        return self._admin.get(f"/api/v1/settings/{quote(name, safe='')}").is_success

    def close(self) -> None:
        """End the service; calling this again does nothing."""
        self._admin.close()
        self._thread.close()
        self._app.state.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _SyncTransport(httpx.BaseTransport):
    """Reaches an ASGI application from synchronous code, by an event loop in another thread."""

    def __init__(self, transport: httpx.ASGITransport, thread: LoopThread) -> None:
        self._transport = transport
        self._thread = thread

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._thread.run(self._answer(request, request.read()))

    async def _answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        passed_on = httpx.Request(
            request.method, request.url, headers=request.headers, content=content
        )
        response = await self._transport.handle_async_request(passed_on)
        body = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=body)


def _name(setting: Setting[Any, ...] | str) -> str:
    return setting if isinstance(setting, str) else setting.name


def _quoted(setting: Setting[Any, ...] | str) -> str:
    return quote(_name(setting), safe="")


def _raw(setting: Setting[Any, ...], value: Any) -> Any:
    try:
        return check_value(setting.name, declaration_of(setting).decoder, value, what="rule value")[
            1
        ]
    except Rejected as rejected:
        raise InvalidValue(rejected.reason) from None
