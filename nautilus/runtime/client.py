"""HTTP client of a running instance, for the command line: one request, one answer or one clear error.

The standard library's `http.client`: no pool, no retry. An order is never sent twice to find out what became of it.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nautilus.model.errors import BusError, ConfigError

if TYPE_CHECKING:
    from nautilus.engines.base import Operation
    from nautilus.model.message import Message

TIMEOUT_SECONDS = 5.0
HOST = "127.0.0.1"
READ_METHODS = ("GET", "HEAD")
TIMED_OUT = 504
DOUBT = "; whether it was carried out is unknown"


class NotReachableError(BusError):
    """An engine is not there, or went away during a request."""

    code = "bus.not_reachable"


class EngineError(BusError):
    """An engine answered with a problem; `code` is the engine's own, such as ``model`` or ``http.token``.

    Attributes
    ----------
    status : HTTP status of the answer.
    trace_id : under which the engine's log names the request.
    """

    code = "bus.engine"
    status = 0
    trace_id = ""

    @classmethod
    def of(cls, code: str, what: str, *, where: str = "", expected: str = "", status: int = 0) -> EngineError:
        """An error with a code of its own."""
        kind = type(cls.__name__, (cls,), {"code": code, "__module__": cls.__module__, "__doc__": cls.__doc__})
        error: EngineError = kind(what, where=where, expected=expected)
        error.status = status
        return error

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.code})"


class LateAnswerError(EngineError, TimeoutError):
    """An engine says that it has no answer in time: what was asked for may have been carried out."""


class Client:
    """Asks the engines of an instance over HTTP.

    Parameters
    ----------
    ports
        HTTP port of each engine that runs.
    token
        Shown with requests that change something; empty: none.
    host
        Where the engines listen.
    """

    def __init__(
        self,
        ports: Mapping[str, int],
        *,
        token: str = "",
        host: str = HOST,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.ports = ports
        self._token = token.strip()  # a file ends with a line
        if not (self._token.isascii() and self._token.isprintable()):
            # http.client would say so too, and what it says has the token in it.
            raise ConfigError("the token holds what no header can carry", where="token", expected="one line of ASCII")
        self._host = host
        self._timeout_seconds = timeout_seconds

    def ask(self, engine: str, message: Message, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Send a request message over the operation that the engine declares for it; the reply's fields."""
        method, target, body = encode(operation_of(engine, type(message)), message)
        return self.call(engine, method, target, body, timeout_seconds=timeout_seconds)

    def call(
        self,
        engine: str,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        """One request with a JSON answer.

        Raises
        ------
        EngineError
            The engine answered with a problem, is not there, or did not answer in JSON.
        TimeoutError
            No answer in time, as the engine (`LateAnswerError`) or this end says: of a request that changes something
            nobody knows whether it was carried out.
        """
        status, kind, content = self.fetch(engine, method, target, body, timeout_seconds=timeout_seconds)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if status >= 400 or not isinstance(answer, dict):
            raise _problem(engine, method, target, status, kind, answer)
        return answer

    def fetch(
        self,
        engine: str,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> tuple[int, str, bytes]:
        """One request; status, content type and content of whatever came back."""
        port = self.ports.get(engine)
        if not port:
            raise NotReachableError("has no HTTP port", where=engine, expected="a running engine")
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        headers = {"Accept": "application/json", "Connection": "close"}
        content = None
        if method not in READ_METHODS:
            # Content-Type also without a body: what changes something must not come from a plain form of a page.
            headers["Content-Type"] = "application/json"
            content = json.dumps(body or {})
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPConnection(self._host, port, timeout=seconds)
        try:
            connection.request(method, target, body=content, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers.get_content_type(), response.read()
        except TimeoutError:
            raise TimeoutError(_late(engine, method, target, f"within {seconds:g} s")) from None
        except (OSError, http.client.HTTPException) as error:
            doubt = ""
            if method not in READ_METHODS and not isinstance(error, ConnectionRefusedError | socket.gaierror):
                doubt = DOUBT
            cause = getattr(error, "strerror", "") or str(error) or type(error).__name__
            raise NotReachableError(
                f"no connection to port {port}: {cause}{doubt}",
                where=engine,
                expected="a running engine; `nautilus status` shows which are",
            ) from None
        finally:
            connection.close()


def operation_of(engine: str, request: type[Message]) -> Operation:
    """The declared operation of an engine that takes this request."""
    from nautilus.engines import CATALOGUE

    for operation in CATALOGUE[engine].load().operations:
        if operation.request is request:
            return operation
    raise EngineError.of("http.not_found", f"no operation for {request.__name__}", where=engine, status=404)


def encode(operation: Operation, message: Message) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path with query, and body of a request: fields named in the path go there, the rest where it fits."""
    fields = _plain(message)
    path = operation.path
    for name in [name for name in fields if f"{{{name}}}" in path]:
        path = path.replace(f"{{{name}}}", quote(str(fields.pop(name)), safe=""))
    if operation.method not in READ_METHODS:
        return operation.method, path, fields
    query = {name: _query(value) for name, value in fields.items() if value not in ("", [], None)}
    return operation.method, f"{path}?{urlencode(query, doseq=True)}" if query else path, None


def _late(engine: str, method: str, target: str, when: str) -> str:
    return f"{engine}: no answer to {method} {target} {when}{'' if method in READ_METHODS else DOUBT}"


def _plain(message: Message) -> dict[str, Any]:
    """Fields by name, enumerations by their names."""
    import msgspec

    return {name: _plain_value(value) for name, value in msgspec.structs.asdict(message).items()}


def _plain_value(value: Any) -> Any:
    """As HTTP has it: messages within messages by the names of their fields too, not in their order."""
    import enum

    import msgspec

    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, msgspec.Struct):
        return {name: _plain_value(each) for name, each in msgspec.structs.asdict(value).items()}
    if isinstance(value, tuple | list) and value and isinstance(value[0], msgspec.Struct):
        return [_plain_value(each) for each in value]
    return msgspec.to_builtins(value)


def _query(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _problem(engine: str, method: str, target: str, status: int, kind: str, answer: Any) -> EngineError:
    if not (isinstance(answer, dict) and ("code" in answer or "title" in answer)):
        what = f"answered {method} {target} with status {status} and {kind}"
        return EngineError.of(f"http.{status}", what, where=engine, expected="JSON", status=status)
    error = (LateAnswerError if status == TIMED_OUT else EngineError).of(
        str(answer.get("code") or f"http.{status}"),
        str(answer.get("detail") or answer.get("title") or f"status {status}"),
        where=str(answer.get("where") or engine),
        expected=str(answer.get("expected") or ""),
        status=status,
    )
    error.trace_id = str(answer.get("trace_id") or "")
    return error


__all__ = ["Client", "EngineError", "NotReachableError", "encode", "operation_of"]
