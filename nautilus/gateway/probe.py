"""Asks one instance of an engine how it is, over a connection that it keeps.

The connection is a pool's, as all of the gateway's are. Kept open it tells by itself when the instance goes: its end is
seen at once, long before the next question is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_upstream import Call, Upstream
from nautilus.gateway.endpoints import Address
from nautilus.gateway.pool import Pool, PoolSettings
from nautilus.policy.health import Check, Seen
from nautilus.runtime.clock import monotonic_ns

BODY_BYTES = 1 << 20
KEEP_SECONDS = 3600.0
CONNECT_SECONDS = 1.0
INSTANCE_CHARACTERS = 64
_STATUS = {"healthy": Seen.GOOD, "degraded": Seen.POOR, "unhealthy": Seen.BAD}

_decode = msgspec.json.Decoder().decode


class Prober:
    """Of one instance.

    Parameters
    ----------
    address
        Where it is.
    counters
        Of the process.
    on_lost
        Called when a connection to it ends that nobody here has closed.
    """

    def __init__(self, address: Address, counters: Counters, on_lost: Callable[[], None]) -> None:
        self.address = address
        self._counters = counters
        self._on_lost = on_lost
        self._pool = self._connect(address)

    async def ask(self, timeout_seconds: float) -> Check:
        """What it says of itself now; no answer within the time is BAD, and nobody there is DOWN."""
        begun_ns = monotonic_ns()
        answer = await self._ask(timeout_seconds)
        if answer.failure == "broken" and not answer.heard:
            # The kept connection may have been closed just then; a new one tells what is the matter.
            answer = await self._ask(timeout_seconds - (monotonic_ns() - begun_ns) / 1e9)
        now_ns = monotonic_ns()
        return _check_of(answer, now_ns, now_ns - begun_ns)

    def move(self, address: Address) -> None:
        """It is somewhere else now."""
        self.close()
        self.address = address
        self._pool = self._connect(address)

    def close(self) -> None:
        """End the connection."""
        self._pool.close()

    def _connect(self, address: Address) -> Pool:
        settings = PoolSettings(1, KEEP_SECONDS, CONNECT_SECONDS, 4)
        place = (address.host, address.port)
        return _WatchedPool(f"{address.name}.health", place, settings, self._counters, self._on_lost)

    async def _ask(self, timeout_seconds: float) -> _Answer:
        pool = self._pool
        call = _Question(self.address)
        pool.request(call, monotonic_ns())
        try:
            async with asyncio.timeout(max(timeout_seconds, 0.0)):
                await call.ended
        except TimeoutError:
            call.failure, call.what = "late", f"no answer within {timeout_seconds * 1e3:.0f} ms"
        finally:
            if not call.done:
                pool.cancel(call)
        return call


class _WatchedPool(Pool):
    """Says when a connection ends by the other end's doing."""

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        settings: PoolSettings,
        counters: Counters,
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(name, address, settings, counters)
        self._lost = on_lost

    def leave(self, upstream: Upstream) -> None:
        ended = upstream in self.connections and upstream.transport is None and upstream.call is None
        super().leave(upstream)
        if ended and not self._closed:
            self._lost()


class _Question(Call):
    """``GET /health``, and what became of it."""

    __slots__ = ("body", "done", "ended", "failure", "status", "what")

    def __init__(self, address: Address) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.payload = b"GET /health HTTP/1.1\r\nhost: %s:%d\r\naccept: application/json\r\n\r\n" % (
            host.encode(),
            address.port,
        )
        self.safe = True
        # The time is kept by whoever waits, to the millisecond.
        self.wait_until_ns = self.deadline_ns = 1 << 62
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done = False
        self.status = 0
        self.body = bytearray()
        self.failure = self.what = ""

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self.status = head.status
        self.body += body
        self._end()

    def on_head(self, head: AnswerHead) -> None:
        self.status = head.status

    def on_data(self, data: bytes) -> None:
        self.body += data
        if len(self.body) > BODY_BYTES and self.upstream is not None:
            self.upstream.give_up()
            self.on_failure("malformed", f"more than {BODY_BYTES} bytes", sent=True)

    def on_end(self) -> None:
        self._end()

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        self.failure, self.what = code, what
        self._end()

    def _end(self) -> None:
        self.done = True
        if not self.ended.done():
            self.ended.set_result(None)


_Answer = _Question


def _check_of(answer: _Answer, now_ns: int, latency_ns: int) -> Check:
    if answer.failure:
        refused = answer.failure == "connect" and "in time" not in answer.what
        return Check(now_ns, latency_ns, Seen.DOWN if refused else Seen.BAD, answer.what)
    try:
        said: Any = _decode(answer.body)
        status = said["status"]
        seen = _STATUS[status]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return Check(now_ns, latency_ns, Seen.BAD, f"status {answer.status}, and no report of its health")
    if answer.status != 200 and seen < Seen.BAD:
        return Check(now_ns, latency_ns, Seen.BAD, f"status {answer.status}")
    reasons = said.get("reasons")
    why = f": {reasons[0]}" if isinstance(reasons, list) and reasons else ""
    cause = "" if seen == Seen.GOOD else f"it says that it is {status}{why}"[:200]
    instance = said.get("instance")
    return Check(
        now_ns,
        latency_ns,
        seen,
        cause,
        load_percent=_number(said.get("load_percent")),
        uptime_seconds=_number(said.get("uptime_seconds")),
        instance=instance[:INSTANCE_CHARACTERS] if isinstance(instance, str) else "",
    )


def _number(value: Any) -> float:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else -1.0
    )
