"""Who may ask: rules on Host, Origin, content type and token, the same on every port, applied before all else.

A browser that is shown a foreign page reaches ports of this machine too. Host stops a foreign name that was made to
point here; Origin and the content type stop a foreign page's forms and scripts; the token stops other users.
"""

from __future__ import annotations

import hmac
import socket

from nautilus.runtime.http.body import Headers
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError

READ_METHODS = ("GET", "HEAD")
CHANGING_METHODS = ("POST", "PUT", "PATCH", "DELETE")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class AccessRules:
    """What a request must have to be looked at.

    Parameters
    ----------
    token
        That requests which change something must show; None: they need none.
    bind
        Address that the ports are bound to: a name of this machine too, unless it stands for all of them.
    config
        More names.
    """

    def __init__(self, token: str | None = None, bind: str = "127.0.0.1", config: HttpConfig | None = None) -> None:
        config = config or HttpConfig()
        self._token = None if token is None else f"Bearer {token}".encode()
        names = {*LOOPBACK_NAMES, socket.gethostname(), *config.hosts}
        if bind not in ("", "0.0.0.0", "::"):
            names.add(f"[{bind}]" if ":" in bind else bind)
        self.hosts = frozenset(name.lower().encode() for name in names if name)

    def check(self, method: str, headers: Headers) -> None:
        """Raise HttpError where a rule is broken; the body is left to `BodyReader`."""
        hosts, origins, types, tokens = [], [], [], []
        has_body = False
        for name, value in headers:
            if name == b"host":
                hosts.append(value.strip().lower())
            elif name == b"origin":
                origins.append(value.strip().lower())
            elif name == b"content-type":
                types.append(value)
            elif name == b"authorization":
                tokens.append(value)
            elif name == b"content-length":
                has_body = has_body or value != b"0"
            elif name == b"transfer-encoding":
                has_body = True
                if value.strip().lower() != b"chunked":
                    raise HttpError(
                        501,
                        "http.transfer_encoding",
                        f"transfer encoding {_shown([value])}",
                        where="Transfer-Encoding",
                        expected="chunked",
                        headers=((b"connection", b"close"),),
                    )
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
        if method not in CHANGING_METHODS:
            return
        # A form of a page sends no DELETE, and a script has to ask first: without a body its type says nothing.
        if (method != "DELETE" or has_body) and (
            len(types) != 1 or types[0].partition(b";")[0].strip().lower() != b"application/json"
        ):
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


def _shown(values: list[bytes]) -> str:
    if not values:
        return "is missing"
    text = ", ".join(value.decode("latin-1") for value in values)
    return repr(text if len(text) <= 100 else text[:100] + "...")
