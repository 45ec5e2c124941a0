"""Rules on header fields, in both directions, and the heads made by them.

::

    client -> engine   out: those of the connection (RFC 9110 7.6.1: Connection, what that names, Keep-Alive, TE,
                            Trailer, Transfer-Encoding, Upgrade, Proxy-*), Expect, Host, Authorization, Origin,
                            Forwarded, X-Forwarded-*, Via, Nautilus-*, and what the engine's rules name
                       in:  Host of the engine, the instance's token, Nautilus-Principal, Nautilus-Scope (the widest one
                            of who asks), Nautilus-Priority, Forwarded, X-Forwarded-For, -Host, -Proto, Via, traceparent
                            (passed on, or made), the engine's rules
    engine -> client   out: those of the connection, and what the engine's rules name
                       in:  Via, Server-Timing, the engine's rules

What a client says about the way its request came is thrown away: nobody before the gateway is trusted.
"""

from __future__ import annotations

import re

import msgspec

from nautilus.core.proxy_call import HeadsBase
from nautilus.model.errors import ConfigError
from nautilus.policy.keys import SCOPES, Principal

VIA = b"via: 1.1 nautilus\r\n"
REMEMBERED = 1024
"""Clients and principals whose lines are kept."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = ("content-length", "transfer-encoding", "connection", "host")


class HeaderRules(msgspec.Struct, frozen=True):
    """What an engine's own rules are; names are told apart without regard to case.

    Parameters
    ----------
    add_request, remove_request
        Fields of requests to it.
    add_answer, remove_answer
        Fields of its answers.
    """

    add_request: dict[str, str] = {}
    remove_request: tuple[str, ...] = ()
    add_answer: dict[str, str] = {}
    remove_answer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in [*self.add_request.items(), *self.add_answer.items()]:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ConfigError(f"header {name!r}: {value!r}", where="gateway.headers", expected="a header field")
        for name in (*self.add_request, *self.remove_request, *self.add_answer, *self.remove_answer):
            if name.lower() in _FRAMING:
                raise ConfigError(
                    f"header {name!r}", where="gateway.headers", expected="none that says where a message ends or goes"
                )


class Heads(HeadsBase):
    """Makes the heads for one engine.

    Parameters
    ----------
    prefix
        Path under which the gateway has it, with the engine's name: "/api/v1/engines/risk".
    rules
        Its own.
    token
        That the engine takes for the instance's; None: it wants none.
    """

    def __init__(self, prefix: bytes, rules: HeaderRules | None = None, token: str | None = None) -> None:
        rules = rules or HeaderRules()
        self._cut = len(prefix)
        given = lines_of(rules.add_request)
        if token is not None:
            given += b"authorization: Bearer " + token.encode() + b"\r\n"
        self._given = given + VIA
        self._drop = tuple(name.lower().encode() for name in (*rules.remove_request, *rules.add_request))
        self.answer_lines = VIA + lines_of(rules.add_answer)
        """What is added to every answer."""
        self.answer_drop = tuple(name.lower().encode() for name in (*rules.remove_answer, *rules.add_answer))
        self._from = {}
        self._who = {}

    def _came(self, place: tuple[str, bytes, bool]) -> bytes:
        """The lines that say how it came from a client."""
        return _remember(self._from, place, forwarded(*place) + self._given)

    def _whom(self, place: tuple[Principal, str]) -> bytes:
        """The lines that say who asks, what he may do, and with which priority."""
        return _remember(self._who, place, _whom(*place))


def lines_of(fields: dict[str, str]) -> bytes:
    """Fields as lines."""
    return b"".join(b"%s: %s\r\n" % (name.lower().encode(), value.encode("latin-1")) for name, value in fields.items())


def forwarded(client: str, host: bytes, tls: bool) -> bytes:
    """Who asked whom by what, in the words of RFC 7239 and in the older ones."""
    scheme = b"https" if tls else b"http"
    address = client.encode("ascii", "replace") or b"unknown"
    node = b'"[%s]"' % address if b":" in address else address
    return b'forwarded: for=%s;host="%s";proto=%s\r\n' % (
        node,
        host.replace(b'"', b""),
        scheme,
    ) + b"x-forwarded-for: %s\r\nx-forwarded-host: %s\r\nx-forwarded-proto: %s\r\n" % (address, host, scheme)


def _whom(principal: Principal, priority: str) -> bytes:
    widest = next((scope for scope in reversed(SCOPES) if scope in principal.scopes), "none")
    return b"nautilus-principal: %s\r\nnautilus-scope: %s\r\nnautilus-priority: %s\r\n" % (
        principal.name.encode(),
        widest.encode(),
        priority.encode(),
    )


def _remember(kept: dict, key: tuple, lines: bytes) -> bytes:  # type: ignore[type-arg]
    if len(kept) >= REMEMBERED:
        kept.clear()
    kept[key] = lines
    return lines
