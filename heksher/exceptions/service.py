"""What is the service's doing, or its state's: these classes need httpx."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx

from heksher.exceptions.root import HeksherError


class ServiceError(HeksherError, httpx.HTTPError):
    """The service, or the way to it, failed; trying again later may help."""

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.HTTPError.__init__(self, message)
        self._request: httpx.Request | None = request


class ServiceUnavailable(ServiceError, httpx.TransportError):
    """No answer came: connection refused or lost, a name not resolved, a timeout.

    The transport's own exception is the `__cause__`, where there is one.
    """

    def __init__(self, message: str, *, request: httpx.Request | None = None) -> None:
        httpx.TransportError.__init__(self, message, request=request)


class ServiceStatusError(ServiceError, httpx.HTTPStatusError):
    """The service answered with a status that the request does not allow for.

    Attributes:
        response: The answer, whole.
        request: What was asked.
    """

    def __init__(self, message: str, *, request: httpx.Request, response: httpx.Response) -> None:
        httpx.HTTPStatusError.__init__(self, message, request=request, response=response)

    def __reduce__(self) -> tuple[Any, ...]:
        details: dict[str, Any] = {"request": self.request, "response": self.response}
        return partial(type(self), *self.args, **details), ()


class UnexpectedResponse(ServiceError):
    """An answer came that no Heksher service gives: no JSON, another shape, too large."""


class DeclarationError(HeksherError):
    """A declaration that the service, or what it holds, does not allow.

    Attributes:
        setting_name: The setting's name, as declared.
        outcome: The declaration's outcome, a lower-case word such as `mismatch` or `rejected`.
        differences: What the service holds otherwise, one `Difference` each.
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
