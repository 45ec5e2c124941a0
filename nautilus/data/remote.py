"""Stored data of a running hub, over the routes of its port as Arrow IPC (docs/marketdata.md)."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from nautilus.data.questions import Names, Questions
from nautilus.data.times import Time, nanoseconds
from nautilus.model.errors import BusError
from nautilus.store.catalog_encode import ARROW_TYPE, decode_arrow
from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_parts import arrow

if TYPE_CHECKING:
    import pyarrow as pa

TIMEOUT_SECONDS = 120.0
BASE = "/marketdata/catalog"
SQL = "/marketdata/sql"


class RemoteError(BusError):
    """The hub cannot be reached, or did not answer a question as it should."""

    code = "bus.data"


class Remote(Questions):
    """A hub. One connection, which is opened again where it was closed; one thread at a time.

    Parameters
    ----------
    url
        ``http://127.0.0.1:8800``.
    token
        That of the instance, or of a session.
    """

    def __init__(self, url: str, token: str = "", *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        arrow()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise QueryError(f"url {url!r}", expected="http://host:port")
        self._url = url
        self._base = parts.path.rstrip("/")
        self._headers = {"Accept": ARROW_TYPE}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if parts.scheme == "https":
            self._lines: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_seconds, context=ssl.create_default_context()
            )
        else:
            self._lines = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)

    def instruments(self) -> pa.Table:
        return self._ask(f"{BASE}/instruments")

    def ranges(self) -> pa.Table:
        return self._ask(BASE)

    def query(
        self,
        kind: str,
        instruments: Names = None,
        begin: Time = None,
        end: Time = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> pa.Table:
        chosen = [] if instruments is None else [instruments] if isinstance(instruments, str) else list(instruments)
        if not kind or (instruments is not None and not chosen):
            raise QueryError(f"kind {kind!r} of instruments {chosen}", expected="a kind, and at least one instrument")
        begin_ns, end_ns = nanoseconds(begin), nanoseconds(end)
        words = [("instrument", each) for each in chosen] + [("columns", each) for each in columns]
        words += [] if begin_ns is None else [("begin", f"{begin_ns:010d}")]
        words += [] if end_ns is None else [("end", f"{end_ns:010d}")]
        words += [("limit", str(limit))] if limit else []
        return self._ask(f"{BASE}/{quote(kind, safe='')}?{urlencode([*words, ('order', order)])}")

    def sql(self, text: str) -> pa.Table:
        return self._ask(SQL, json.dumps({"sql": text}).encode())

    def close(self) -> None:
        self._lines.close()

    def _ask(self, path: str, body: bytes | None = None) -> pa.Table:
        status, kind, content = self._exchange(self._base + path, body)
        if status != 200:
            raise _refused(status, content, self._url)
        if not kind.startswith(ARROW_TYPE):
            raise RemoteError(f"an answer of type {kind!r}", where=self._url, expected=ARROW_TYPE)
        try:
            return decode_arrow(content)
        except (OSError, ValueError) as error:
            raise RemoteError(f"an answer that is no Arrow stream: {error}", where=self._url) from None

    def _exchange(self, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        """Of a question that changes nothing, so that it may be sent twice."""
        method, headers = "GET", self._headers
        if body is not None:
            method, headers = "POST", headers | {"Content-Type": "application/json"}
        again = self._lines.sock is not None  # one that was kept may have been closed meanwhile
        while True:
            try:
                self._lines.request(method, path, body, headers)
                answer = self._lines.getresponse()
                return answer.status, answer.getheader("Content-Type", ""), answer.read()
            except (http.client.HTTPException, OSError) as error:
                self._lines.close()
                if not again or isinstance(error, TimeoutError | http.client.IncompleteRead):
                    what = str(error) or type(error).__name__
                    raise RemoteError(f"the hub does not answer: {what}", where=self._url) from None
                again = False


def connect(url: str, token: str = "", *, timeout_seconds: float = TIMEOUT_SECONDS) -> Remote:
    """Stored data of the hub at a URL."""
    return Remote(url, token, timeout_seconds=timeout_seconds)


def _refused(status: int, content: bytes, url: str) -> QueryError | RemoteError:
    said = expected = ""
    try:
        problem: Any = json.loads(content)
        said = str(problem.get("detail") or problem.get("title") or "")
        expected = str(problem.get("expected") or "")
    except (ValueError, AttributeError):
        pass
    words = said or content[:200].decode("utf-8", "replace")
    if status in (400, 404, 422):
        return QueryError(words or f"status {status}", where=url, expected=expected)
    return RemoteError(f"status {status}: {words}", where=url, expected=expected)
