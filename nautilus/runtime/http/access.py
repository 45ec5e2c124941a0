"""Who may ask: rules on Host, Origin, content type, token and body, the same on every port, applied before all else.

A browser that is shown a foreign page reaches ports of this machine too. Host stops a foreign name that was made to
point here; Origin and the content type stop a foreign page's forms and scripts; the token stops other users.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

READ_METHODS = ("GET", "HEAD")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
DRAINED_BYTES = 8 << 20
"""So much of a body that is too large is read and thrown away, so that its sender gets to read the answer."""


class AccessRules:
    """What a request must have to be looked at.

    Parameters
    ----------
    token
        That requests which change something must show; None: they need none.
    bind
        Address that the ports are bound to: a name of this machine too, unless it stands for all of them.
    config
        Limits, and more names.
    """

    def __init__(self, token: str | None = None, bind: str = "127.0.0.1", config: HttpConfig | None = None) -> None:
        config = config or HttpConfig()
        self._token = None if token is None else f"Bearer {token}".encode()
        names = {*LOOPBACK_NAMES, socket.gethostname(), *config.hosts}
        if bind not in ("", "0.0.0.0", "::"):
            names.add(f"[{bind}]" if ":" in bind else bind)
        self.hosts = frozenset(name.lower().encode() for name in names if name)
        self.limit_bytes = config.body_kib << 10
        self._body_seconds = config.body_seconds

    def check(self, method: str, headers: Headers) -> None:
        """Raise HttpError where a rule is broken; the body is left to `read_json`."""
        hosts, origins, types, tokens = [], [], [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.strip().lower())
            elif name == b"origin":
                origins.append(value.strip().lower())
            elif name == b"content-type":
                types.append(value)
            elif name == b"authorization":
                tokens.append(value)
        if len(hosts) != 1 or _split(hosts[0])[0] not in self.hosts:
            raise HttpError(
                403, "http.host", f"host {_shown(hosts)}", where="Host", expected="one name of this machine"
            )
        if method in READ_METHODS:
            return
        if origins and (len(origins) != 1 or not _same_origin(origins[0], hosts[0])):
            raise HttpError(
                403, "http.origin", f"origin {_shown(origins)}", where="Origin", expected="none, or this host and port"
            )
        if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != b"application/json":
            raise HttpError(
                415,
                "http.content_type",
                f"content type {_shown(types)}",
                where="Content-Type",
                expected="application/json",
            )
        if self._token is not None and not (len(tokens) == 1 and _same_token(tokens[0], self._token)):
            raise HttpError(
                401,
                "http.token",
                "the token is wrong" if tokens else "no token",
                where="Authorization",
                expected="Bearer and the token of this instance",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    async def read_json(self, headers: Headers, receive: Receive) -> tuple[bytes, Any]:
        """The body, as it is and decoded; None where there is none. Raises HttpError."""
        declared, expects, chunked = _body_headers(headers)
        if not declared and not chunked:
            return b"", None
        if declared > self.limit_bytes and (expects or declared > DRAINED_BYTES):
            raise self._too_large(closing=True)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read(receive)
        except TimeoutError:
            raise HttpError(
                408,
                "http.slow",
                f"no whole body within {self._body_seconds:g} s",
                where="body",
                headers=((b"connection", b"close"),),
            ) from None
        if not body:
            return b"", None
        try:
            return body, msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(400, "http.body", f"body is no JSON: {error}", where="body", expected="JSON") from None

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "http.body", "the sender left before the body was whole", where="body")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= self.limit_bytes:
                chunks.append(chunk)
            elif size > DRAINED_BYTES:
                raise self._too_large(closing=True)
            if not message.get("more_body", False):
                break
        if size > self.limit_bytes:
            raise self._too_large(closing=False)
        return b"".join(chunks)

    def _too_large(self, *, closing: bool) -> HttpError:
        return HttpError(
            413,
            "http.body_size",
            "the body is too large",
            where="body",
            expected=f"at most {self.limit_bytes} bytes",
            headers=((b"connection", b"close"),) if closing else (),
        )


def _split(host: bytes) -> tuple[bytes, bytes]:
    """Name and port (empty: none) of a Host header."""
    if host.startswith(b"["):
        name, bracket, rest = host.partition(b"]")
        name, rest = name + bracket, rest or b":"
        if not rest.startswith(b":"):
            return b"", b""
        port = rest[1:]
    else:
        name, _, port = host.partition(b":")
    if port and not port.isdigit():
        return b"", b""
    return name, port


def _same_origin(origin: bytes, host: bytes) -> bool:
    scheme, _, authority = origin.partition(b"://")
    if scheme != b"http":
        return False
    name, port = _split(authority)
    own_name, own_port = _split(host)
    return (name, port or b"80") == (own_name, own_port or b"80")


def _same_token(shown: bytes, token: bytes) -> bool:
    scheme, _, rest = shown.strip().partition(b" ")
    # Scheme names are told apart without regard to case; of the token every byte counts, in constant time.
    return scheme.lower() == b"bearer" and hmac.compare_digest(b"Bearer " + rest.strip(), token)


def _body_headers(headers: Headers) -> tuple[int, bool, bool]:
    """Declared length (0: none), whether the sender waits to be told to go on, and whether it sends in chunks."""
    declared, expects, chunked = 0, False, False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            declared = int(value)
        elif name == b"expect":
            expects = True
        elif name == b"transfer-encoding":
            chunked = True
    return declared, expects, chunked


def _shown(values: list[bytes]) -> str:
    if not values:
        return "is missing"
    text = ", ".join(value.decode("latin-1") for value in values)
    return repr(text if len(text) <= 100 else text[:100] + "...")
