"""WebSockets end with the key or the session by which they were opened; others do not."""

from __future__ import annotations

import asyncio

import msgspec

from nautilus.core.counters import Counters
from nautilus.policy.keys import INSTANCE
from nautilus.policy.sessions import Session, session_token
from nautilus.runtime.http import leases as module
from nautilus.runtime.http.leases import Leases
from tests.kit.access import NOW_NS, SECOND, SECRETS, held_keys, rules


class Transport:
    def __init__(self):
        self.closing = False

    def is_closing(self):
        return self.closing


class Socket:
    """A WebSocket that notes how it was closed."""

    def __init__(self):
        self.transport = Transport()
        self.left = []

    def leave(self, code, reason):
        self.left.append((code, reason))
        self.transport.closing = True


class Audit:
    def __init__(self):
        self.said = []

    def say(self, *words):
        self.said.append(words)


def principal_of(rule, token):
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    return rule.admit("GET", b"/streams/alerts", headers, NOW_NS).principal


def scene(monkeypatch, act):
    """What `act(keys, rules, leases, look)` gives; `look` looks at a time."""
    keys, audit, counters = held_keys(), Audit(), Counters(64)
    rule = rules(keys)

    def look(now_ns):
        monkeypatch.setattr(module, "wall_ns", lambda: now_ns)
        leases._look()

    async def whole():
        found = act(keys, rule, leases, look)
        leases.close()
        return found

    leases = Leases(rule, counters, audit)
    return asyncio.run(whole()), audit.said, counters.snapshot()["access.websockets_ended"]


def test_a_revoked_key_ends_its_websockets_and_no_others(monkeypatch):
    def act(keys, rule, leases, look):
        trader, reader = (principal_of(rule, f"nk_{name}0_{SECRETS[name]}") for name in ("trader", "reader"))
        sockets = [Socket() for _ in range(5)]
        for each in sockets[:3]:
            leases.hold(trader, each)
        leases.hold(reader, sockets[3])
        leases.hold(INSTANCE, sockets[4])
        sockets[2].transport = None  # it has ended by itself
        look(NOW_NS)
        before = [len(each.left) for each in sockets]
        keys.put(*(key for key in keys.keys if key.name != "trader"))
        look(NOW_NS + SECOND)
        return before, [each.left for each in sockets]

    (before, after), said, ended = scene(monkeypatch, act)
    closed = [(1008, "access.revoked")]
    assert before == [0] * 5
    assert after == [closed, closed, [], [], []]
    assert said == [("trader", "CLOSE", b"websockets=2", 1008)]
    assert ended == 2


def test_a_key_that_expires_and_a_session_that_ends_do_so_too(monkeypatch):
    def act(keys, rule, leases, look):
        keys.put(*(msgspec.structs.replace(key, expires_ns=NOW_NS + 9 * SECOND) for key in keys.keys))
        token = session_token(keys.sessions, Session("trader0", frozenset(("read",)), NOW_NS + 4 * SECOND), b"12345678")
        by_session, by_key = Socket(), Socket()
        leases.hold(principal_of(rule, token), by_session)
        leases.hold(principal_of(rule, f"nk_trader0_{SECRETS['trader']}"), by_key)
        found = []
        for seconds in (3, 4, 8, 9):
            look(NOW_NS + seconds * SECOND)
            found.append((len(by_session.left), len(by_key.left)))
        return found

    found, said, ended = scene(monkeypatch, act)
    assert found == [(0, 0), (1, 0), (1, 0), (1, 1)]
    assert [each[0] for each in said] == ["trader", "trader"]
    assert ended == 2


def test_websockets_that_have_ended_are_not_kept(monkeypatch):
    def act(keys, rule, leases, look):
        trader = principal_of(rule, f"nk_trader0_{SECRETS['trader']}")
        for _ in range(10_000):
            held = Socket()
            leases.hold(trader, held)
            held.transport = None
        [lot] = leases._lots.values()
        return len(lot.open)

    most, _, ended = scene(monkeypatch, act)
    assert most <= 32
    assert ended == 0
