"""Errors of the service, which need httpx."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx

from heksher.exceptions.root import HeksherError


class ServiceError(HeksherError, httpx.HTTPError):
    """The service, or the connection to it, failed; retrying later may help."""

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.HTTPError.__init__(self, message)
        self._request: httpx.Request | None = request


class ServiceUnavailable(ServiceError, httpx.TransportError):
    """There was no response: connection refused or lost, DNS failure, timeout.

    The transport's own exception is the `__cause__`, if there is one.
    """

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.TransportError.__init__(self, message, request=request)


class ServiceStatusError(ServiceError, httpx.HTTPStatusError):
    """The service responded with an error status.

    Attributes:
        response: The response, including its body.
        request: The request.
    """

    def __init__(self, message: str, *, request: httpx.Request, response: httpx.Response) -> None:
        httpx.HTTPStatusError.__init__(self, message, request=request, response=response)

    def __reduce__(self) -> tuple[Any, ...]:
        details: dict[str, Any] = {"request": self.request, "response": self.response}
        return partial(type(self), *self.args, **details), ()


class UnexpectedResponse(ServiceError):
    """A response that no Heksher service sends: invalid JSON, an unknown shape, too large."""


class DeclarationError(HeksherError):
    """A declaration was refused, by the service or because of what it holds.

    Attributes:
        setting_name: The setting's name, as declared.
        outcome: The declaration's outcome, such as `mismatch` or `rejected`.
        differences: How the service's setting differs, as `Difference` objects.
    """

    def __init__(
        self, message: str, *, setting_name: str, outcome: str, differences: Sequence[object] = ()
    ) -> None:
        super().__init__(message)
        self.setting_name: str = setting_name
        self.outcome: str = outcome
        self.differences: tuple[object, ...] = tuple(differences)

    def __reduce__(self) -> tuple[Any, ...]:
        details: dict[str, Any] = {
            "setting_name": self.setting_name,
            "outcome": self.outcome,
            "differences": self.differences,
        }
        return partial(type(self), *self.args, **details), ()
