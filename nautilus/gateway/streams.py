"""Streams that engines declare: however many listen at a worker, the engine sends each of them once.

::

    listener, listener, ...  ◀── FanOut ◀── Subscription ── one WebSocket ──▶ the engine's stream
    (same engine, path and query, same scopes)

Every client is let in by the access rules before it joins. What the engine sends is read strictly, put into one frame
and written to all. Where the engine's side is lost, everybody is told so, by a text frame, and again once it is back::

    {"type": "lost", "cause": "..."}        from here on events may be missing
    {"type": "resumed", "seconds": 0.4}     what follows is new; what was published in between has not come

Nothing that a client says is passed on. All other WebSockets go through as they are (`nautilus.gateway.tunnel`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from nautilus.core.breaker import CANCELLED, FAILURE, SUCCESS
from nautilus.core.counters import Counters
from nautilus.core.proxy_call import outcome_of
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_upstream import Upstream
from nautilus.gateway.endpoints import Endpoint
from nautilus.gateway.failover import Instance
from nautilus.gateway.own_call import OwnCall, outcome_of_failure
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.exchange import OPEN, Exchange, Response
from nautilus.runtime.http.fan_out import Audience, AudienceSettings, FanOut
from nautilus.runtime.http.problems import RETRY, HttpError
from nautilus.runtime.http.websocket import (
    CLOSE,
    GOING,
    LATER,
    NO_STATUS,
    NORMAL,
    PING,
    PONG,
    RESTARTS,
    TEXT,
    FrameError,
    MessageReader,
    accept_of,
    accepted,
    close_code,
    close_frame,
    frame_of,
    new_key,
)

if TYPE_CHECKING:
    from nautilus.gateway.proxy import Engine, Proxy

MOST_STREAMS = 1024
"""Different ones at once, in a worker: each takes a connection to its engine."""
MESSAGE_BYTES = 1 << 20
LINGER_SECONDS = 5.0
"""So long a stream is kept that nobody listens to: who has lost a connection is back soon."""
FIRST_PAUSE, MOST_PAUSE = 0.1, 2.0
"""Seconds between two attempts to have a stream again that was lost."""
LOST_SECONDS = 60.0
"""A stream that cannot be had again for so long is given up, and its listeners closed."""


class Streams:
    """Those of one worker.

    Parameters
    ----------
    proxy
        Reaches the engines.
    """

    def __init__(self, proxy: Proxy, counters: Counters, settings: AudienceSettings | None = None) -> None:
        self.proxy = proxy
        self.audience = Audience(counters, "gateway.listeners", settings)
        self.audience.on_sweep.append(self._sweep)
        self.by_key: dict[tuple[str, bytes, frozenset[str]], Subscription] = {}
        self._counters = counters
        self._counts = {
            what: counters.counter(f"gateway.streams.{what}")
            for what in ("opened", "refused", "lost", "resumed", "given_up")
        }
        self._pending = 0

    def count(self, what: str) -> None:
        """One more of that."""
        self._counters.increment(self._counts[what])

    def join(self, engine: Engine, endpoint: Endpoint, exchange: Exchange) -> None:
        """Let a request that was let in listen. HttpError where it may not."""
        accept = accepted(exchange)
        self.audience.check_room(self._pending)
        path = exchange.target[engine.prefix_size :]
        key = (engine.name, path, exchange.principal.scopes)
        found = self.by_key.get(key)
        if found is None:
            if len(self.by_key) >= MOST_STREAMS:
                self.count("refused")
                raise HttpError(
                    503, "gateway.streams", f"{MOST_STREAMS} streams are open", expected="fewer", headers=RETRY
                )
            found = self.by_key[key] = Subscription(self, engine, endpoint, exchange.target, key)
            found.join(exchange, accept)
            found.subscribe()
        else:
            found.join(exchange, accept)

    def leave(self, code: int = RESTARTS, reason: str = "") -> None:
        """The worker ends."""
        for each in list(self.by_key.values()):
            each.end(code, reason)

    def close(self) -> None:
        """Look after nothing any more."""
        self.audience.close()

    def pending(self, more: int) -> None:
        """So many more requests wait for their engine."""
        self._pending += more

    def _sweep(self, now: float) -> None:
        for each in list(self.by_key.values()):
            each.look(now)


class Subscription:
    """One stream of an engine, and who listens to it here.

    Attributes
    ----------
    fan : its listeners.
    source : what the engine sends; None: it is asked for, or lost.
    """

    def __init__(
        self,
        streams: Streams,
        engine: Engine,
        endpoint: Endpoint,
        target: bytes,
        key: tuple[str, bytes, frozenset[str]],
    ) -> None:
        self._streams = streams
        self._engine = engine
        self.endpoint = endpoint
        self.target = target
        self._key = key
        self.fan: FanOut = streams.audience.fan_out()
        self.source: Source | None = None
        self._waiting: dict[Exchange, bytes] = {}
        self._asking: Subscribe | None = None
        self._begun = self._ended = False
        self._lost_seconds = self._idle_seconds = 0.0
        self._lost_frame = b""
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """That it works in."""
        return self._streams.audience.loop

    def join(self, exchange: Exchange, accept: bytes) -> None:
        """One more listens, at once or as soon as the engine has said yes."""
        if self._begun:
            self.fan.join(exchange, accept, self._engine.answer_lines, self._lost_frame)
            return
        self._waiting[exchange] = accept
        self._streams.pending(1)
        exchange.on_abort = lambda: self._gone(exchange)

    def subscribe(self) -> None:
        """Ask the engine."""
        self._timer = None
        if not self._ended:
            self._asking = Subscribe(self, self._engine)
            self._asking.begin(self._streams.proxy)

    def opened(self, upstream: Upstream, rest: bytes) -> None:
        """The engine has switched."""
        self._asking = None
        transport = upstream.transport
        if self._ended or transport is None:
            upstream.close()
            if not self._ended:
                self.refused(None, HttpError(502, "gateway.broken", "the connection ended", where=self._engine.name))
            return
        source = self.source = Source(self, transport)
        transport.set_protocol(source)
        self._pause = FIRST_PAUSE
        self._streams.count("opened")
        if self._begun:
            seconds = round(self.loop.time() - self._lost_seconds, 3)
            self._lost_frame = b""
            self._streams.count("resumed")
            self.fan.send(_told({"type": "resumed", "seconds": seconds}))
        else:
            self._begun = True
            waiting, self._waiting = self._waiting, {}
            self._streams.pending(-len(waiting))
            for exchange, accept in waiting.items():
                exchange.on_abort = None
                if exchange.state == OPEN:
                    self.fan.join(exchange, accept, self._engine.answer_lines)
        if rest:
            source.data_received(rest)

    def refused(self, answer: Response | None, error: HttpError) -> None:
        """It has not."""
        self._asking = None
        if self._begun:
            self._again()
            return
        self._forget()
        waiting, self._waiting = self._waiting, {}
        self._streams.pending(-len(waiting))
        if waiting:
            self._streams.count("refused")
        for exchange in waiting:
            exchange.on_abort = None
            if answer is not None:
                exchange.respond(answer)
            else:
                exchange.problem(error)

    def message(self, opcode: int, payload: bytes) -> None:
        """The engine has sent something."""
        self.fan.send(frame_of(opcode, payload))

    def lost(self, cause: str) -> None:
        """The engine's side has ended."""
        self.source = None
        if self._ended:
            return
        self._streams.count("lost")
        self._lost_seconds = self.loop.time()
        self._lost_frame = _told({"type": "lost", "cause": cause})
        self.fan.send(self._lost_frame)
        self._again()

    def end(self, code: int, reason: str = "") -> None:
        """Close all that listen, and let go of the engine."""
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            self._engine.group.cancel(self._asking)
            self._asking.settled(CANCELLED)
            self._asking = None
        if self.source is not None:
            self.source.leave()
            self.source = None
        if self._waiting:
            self.refused(None, HttpError(503, "http.stopping", "the process is about to end", headers=RETRY))
        self.fan.leave(code, reason)

    def look(self, now: float) -> None:
        """Every second: end what nobody wants, or what cannot be had; ask whether the engine lives."""
        if self.fan.listeners or self._waiting:
            self._idle_seconds = now
        elif now - self._idle_seconds > LINGER_SECONDS:
            self.end(NORMAL)
            return
        if self.source is not None:
            self.source.look(now)
        elif self._begun and now - self._lost_seconds > LOST_SECONDS:
            self._streams.count("given_up")
            self.end(LATER, "the engine is away")

    def _gone(self, exchange: Exchange) -> None:
        if self._waiting.pop(exchange, None) is not None:
            self._streams.pending(-1)

    def _again(self) -> None:
        if not self._ended and self._timer is None:
            self._timer = self.loop.call_later(self._pause, self.subscribe)
            self._pause = min(2 * self._pause, MOST_PAUSE)

    def _forget(self) -> None:
        if not self._ended:
            self._ended = True
            del self._streams.by_key[self._key]
            self._streams.audience.drop(self.fan)

    @property
    def ping_seconds(self) -> float:
        """Between two looks at whether the engine lives."""
        return self._streams.audience.settings.ping_seconds


class Source(asyncio.Protocol):
    """The engine's WebSocket, as its client: every frame that goes there is masked."""

    __slots__ = ("_asked", "_heard", "_looked", "_reader", "_subscription", "_transport")

    def __init__(self, subscription: Subscription, transport: asyncio.Transport) -> None:
        self._subscription: Subscription | None = subscription
        self._transport = transport
        self._reader = MessageReader(MESSAGE_BYTES)
        self._looked = subscription.loop.time()
        self._heard = True

    def data_received(self, data: bytes) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        self._heard = True
        try:
            for opcode, payload in self._reader.feed(data):
                if opcode == PING:
                    self._transport.write(frame_of(PONG, payload, masked=True))
                elif opcode == CLOSE:
                    code = close_code(payload)
                    self._transport.write(close_frame(code, masked=True))
                    self._end(f"the engine closed ({'no code' if code == NO_STATUS else code})")
                    return
                elif opcode != PONG:
                    subscription.message(opcode, payload)
        except FrameError as error:
            self._transport.write(close_frame(error.code, masked=True))
            self._end(f"the engine broke the protocol: {error.what}")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lose("the engine's connection broke")

    def look(self, now: float) -> None:
        """Ask whether the engine lives, or give up one that has said nothing since it was asked."""
        subscription = self._subscription
        if subscription is None or now - self._looked < subscription.ping_seconds:
            return
        self._looked = now
        if not self._heard:
            self._transport.abort()
            self._lose("the engine is silent")
            return
        self._heard = False
        self._transport.write(frame_of(PING, b"", masked=True))

    def leave(self) -> None:
        """Nobody listens any more."""
        self._subscription = None
        if not self._transport.is_closing():
            self._transport.write(close_frame(GOING, masked=True))
            self._transport.close()

    def _end(self, cause: str) -> None:
        self._transport.close()
        self._lose(cause)

    def _lose(self, cause: str) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.lost(cause)


class Subscribe(OwnCall):
    """Asks an engine for a stream: a read, which waits for an engine that is away and may be sent again."""

    __slots__ = ("_done", "_key", "_subscription")

    def __init__(self, subscription: Subscription, engine: Engine) -> None:
        super().__init__(engine, "gateway-streams", "normal", monotonic_ns())
        self._subscription = subscription
        self._done = False
        self._key = new_key()
        self.upgrade = True

    def refused(self, error: HttpError) -> None:
        self._done = True
        self._subscription.refused(None, error)

    def aim(self, instance: Instance) -> None:
        self.heard = False
        fields = [(b"sec-websocket-key", self._key), (b"sec-websocket-version", b"13")]
        self.payload = self.head_for(instance, self._subscription.target, fields, upgrade=True)

    def on_upgrade(self, head: AnswerHead, upstream: Upstream, rest: bytes) -> None:
        self.settled(SUCCESS)
        if head.field(b"sec-websocket-accept") != accept_of(self._key) or head.field(b"sec-websocket-extensions"):
            upstream.close()
            self._refuse(502, "gateway.malformed", "the engine did not agree to a WebSocket as asked for")
        else:
            self._subscription.opened(upstream, rest)

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self.settled(outcome_of(head.status, body))
        if head.status < 400:
            self._refuse(502, "gateway.malformed", f"the engine answers {head.status} instead of a stream")
            return
        kind = head.field(b"content-type").decode("latin-1") or "application/octet-stream"
        error = HttpError(502, "gateway.malformed", f"the engine answers {head.status}", where=self.engine.name)
        self._subscription.refused(Response(body, head.status, kind), error)

    def on_head(self, head: AnswerHead) -> None:
        # No engine of the platform answers so large to this; its end is not waited for.
        upstream = cast(Upstream, self.upstream)
        upstream.give_up()
        self.settled(FAILURE)
        self._refuse(502, "gateway.malformed", f"the engine answers {head.status} instead of a stream")

    def on_data(self, data: bytes) -> None:
        pass

    def on_end(self) -> None:
        pass

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        if self._done or self.sent_again(code, sent=sent):
            return
        self.settled(outcome_of_failure(code, sent=sent))
        status, name = (504, "gateway.timeout") if code == "late" else (503, "gateway.unreachable")
        self._refuse(status, name, what)

    def settled(self, outcome: int) -> None:
        """It is over: what stands before the engine is told."""
        if self._done:
            return
        self._done = True
        self.leave(outcome)

    def _refuse(self, status: int, code: str, what: str) -> None:
        headers = RETRY if status == 503 else ()
        self._subscription.refused(None, HttpError(status, code, what, where=self.engine.name, headers=headers))


def _told(fields: dict[str, object]) -> bytes:
    return frame_of(TEXT, msgspec.json.encode(fields))


__all__ = ["Streams", "Subscription"]
