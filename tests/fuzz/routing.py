"""Arbitrary bytes as rules of routing, as the life of a table of routes beside its twin, and as its file."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from functools import cache
from pathlib import Path

from nautilus.core import route
from nautilus.core.route import Routes
from nautilus.policy.rules import NAMES, RuleError, parse_rule
from tests.fuzz.reader import Reader
from tests.kit.naive_route import NaiveRoutes

STRATEGIES = frozenset({"direct_only", "gateway_only"})
FACTS = {name: "x" if kind == "text" else 1.0 for name, kind in NAMES.items()}
RULES = (
    'engine == "risk" and method == "GET" and p95_ms > 20 -> gateway_only',
    'engine in ["factor", "features"] and not (priority == "critical") or p50_ms <= -1.5 -> direct_only',
    "((((p95_ms >= gateway_p95_ms)))) -> gateway_only",
)
HEADER = 128
"""Of the region, which says whose it is."""


def rule(data: bytes) -> None:
    """A rule is taken or refused with its place; one that is taken can be worked out, and read again means the same."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_rule(text, STRATEGIES)
    except RuleError:
        return
    assert found.uses <= NAMES.keys()
    again = parse_rule(found.text, STRATEGIES)
    assert found.holds(FACTS) == again.holds(FACTS)


def table(data: bytes) -> None:
    """Requests, outcomes, health and times of all sizes: the table and its twin decide alike."""
    reader = Reader(data)
    region, seed = reader.choose(("", "eu")), 1 + reader.number(2)
    routes, twin = Routes(16, region=region, seed=seed), NaiveRoutes(region=region, seed=seed)
    now_ns = 10**15
    while reader.left:
        what = reader.number(1) % 8
        if what == 0:
            asked = reader.choose(("risk", "ml")), "", reader.choose("abcdefgh"), reader.number(1) & 1
            with contextlib.suppress(ValueError):  # full: the twin never is
                assert routes.target(*asked) == twin.target(*asked)
        elif what == 1:
            now_ns = min(max(now_ns + reader.wide() % (1 << 45), 1), 1 << 61)
        elif what == 2 and twin.instances:
            number, state = reader.number(1) % len(twin.instances), reader.number(1) % 5
            routes.set_health(number, state, now_ns)
            twin.set_health(number, state, now_ns)
        elif what == 3 and len(routes):
            number = reader.number(1) % len(routes)
            for each in (routes, twin):
                (each.begin if reader.left % 3 else each.end)(number)  # type: ignore[attr-defined]
        elif what in (4, 5) and len(routes):
            number, latency_ns, ok = reader.number(1) % len(routes), reader.wide(), reader.number(1) % 4 > 0
            routes.record(number, latency_ns, ok, now_ns)
            twin.record(number, latency_ns, ok, now_ns)
        elif twin.groups:
            number, flags = reader.number(1) % len(twin.groups), reader.number(1) & 63
            if flags & 3 != 3:
                assert routes.decide(number, now_ns, flags) == twin.decide(number, now_ns, flags)


@cache
def _sound() -> bytes:
    path = Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"), "sound")
    routes = Routes(8, path)
    for name in "abc":
        for way in (0, 1):
            target = routes.target("risk", "read", name, way)
            for number in range(20):
                routes.record(target, 1000 * number, True, 10**9 + number)
    return path.read_bytes()


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"), "routes")


def file(data: bytes) -> None:
    """A table's file with changes: it is refused, or what it holds can be used without going astray."""
    reader = Reader(data)
    content = bytearray(_sound())
    for _ in range(1 + reader.number(1) % 6):
        at = HEADER + reader.number(3) % (len(content) - HEADER - 8)
        if reader.number(1) & 1:
            struct.pack_into("<q", content, at & ~7, reader.wide())
        else:
            part = reader.take(1 + reader.number(1) % 8)
            content[at : at + len(part)] = part
    # Nobody is left who holds its locks: a living process by chance would be waited for.
    struct.pack_into("<i", content, HEADER, 0)
    path = _place()
    path.write_bytes(content)
    routes = Routes(8, path, seed=1)
    for group in range(8):
        with contextlib.suppress(ValueError):
            for flags in (0, route.IDEMPOTENT, route.ROUND_ROBIN, route.LEAST_CONNECTIONS, route.GATEWAY):
                found = routes.decide(group, 10**10, flags)
                assert found == route.NO_TARGET or found & route.TARGET_MASK < 8
    for target in range(len(routes)):
        routes.record(target, 5000, True, 10**10)
        routes.read(target)
    routes.sweep()


def rules() -> list[bytes]:
    """Sound ones."""
    return [text.encode() for text in RULES]
