"""The data path: requests to ``/api/v1/engines/{engine}/{path}`` on their way to the engines.

::

    exchange -> engine, operation -> access -> guard (breaker, limits) -> body -> group -> pool -> upstream
             <- heads rewritten   <------------------------------------------------------- answer, as it comes

No task and no coroutine of its own for a request; one clock reading at its start, one as it is sent, one as its
answer comes. A tick of a few milliseconds, while anything is under way, is all the timers there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.hit_lane import HitLane
from nautilus.core.http_access import RulesAccessBase
from nautilus.core.proxy_call import EngineBase, ProxyBase
from nautilus.core.proxy_head import NO_LENGTH, AnswerHead
from nautilus.core.proxy_upstream import Upstream
from nautilus.gateway.endpoints import BASE, Endpoint, EndpointTable, EngineSpec
from nautilus.gateway.failover import Allowance, Group, Instance
from nautilus.gateway.forward import Forward
from nautilus.gateway.gate import Gate
from nautilus.gateway.headers import Heads
from nautilus.gateway.spin import Spin
from nautilus.gateway.streams import Streams
from nautilus.gateway.tunnel import End, open_tunnel
from nautilus.policy.shedding import PRIORITIES, asked_for
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.access import CHANGING_METHODS, Admitted
from nautilus.runtime.http.body import too_large
from nautilus.runtime.http.fan_out import AudienceSettings
from nautilus.runtime.http.problems import RETRY, HttpError

if TYPE_CHECKING:
    from nautilus.gateway.cache import Fill
    from nautilus.gateway.cache_door import Door
    from nautilus.runtime.auditing import PassedOn
    from nautilus.runtime.http.exchange import Exchange

TICK_SECONDS = 0.005
SLOW_TICK_SECONDS = 0.25
BUFFERED_BYTES = 64 << 10
"""A body up to this is read whole before it is sent on; a larger one is streamed."""
WATCHES_NS = 1_000_000_000
MOST_WATCH_NS, LEAST_WATCH_NS, WATCHED = 40_000_000, 10_000_000, 200
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Access(Protocol):
    """Who may ask."""

    def admit(self, exchange: Exchange, scope: str) -> Admitted:
        """Let a request in; HttpError where not."""
        ...

    def verify_body(self, admitted: Admitted, body: bytes) -> None:
        """Hold a signed request to the body that it signed; HttpError where it is another."""
        ...


class Engine(EngineBase):
    """An engine as the proxy sees it."""

    __slots__ = ()
    group: Group
    gate: Gate | None
    heads: Heads
    table: EndpointTable

    def __init__(
        self, spec: EngineSpec, counters: Counters, token: str | None, retries: Allowance, hedges: Allowance
    ) -> None:
        prefix = BASE + spec.name.encode()
        self.name = spec.name
        self.prefix_size = len(prefix)
        self.table = EndpointTable(spec)
        self.known = self.table.known
        self.heads = Heads(prefix, spec.rules, token)
        self.answer_lines = self.heads.answer_lines
        self.answer_fields = [
            (name, value.strip())
            for name, _, value in (line.partition(b":") for line in self.answer_lines.split(b"\r\n") if line)
        ]
        self.timeout_ns = int(spec.timeout_seconds * 1e9)
        self.group = Group(spec, counters, drop=self.heads.answer_drop, retries=retries, hedges=hedges)
        head = f"gateway.engine.{spec.name}."
        self.requests = counters.counter(head + "requests")
        self.cut = counters.counter(head + "answers_cut")
        self.by_status = [counters.counter(f"{head}status_{digit}xx") for digit in range(6)]
        self.gate = None


class Budgets(NamedTuple):
    """How much more may be sent for an engine than was asked for."""

    retries: Allowance
    hedges: Allowance


class Proxy(ProxyBase):
    """An application that passes requests on.

    Parameters
    ----------
    specs
        The engines.
    access
        Who may ask.
    counters
        Of the process.
    token
        That engines take for the instance's own.
    budgets
        Of each engine, by name.
    body_bytes
        Largest body of a request.
    listeners
        How those are treated who listen to streams; `most` counts for all WebSockets together.
    """

    makes = Forward
    refuses = HttpError
    base_size = len(BASE)
    engines: dict[bytes, Engine]
    door: Door | None
    spin: Spin | None
    streams: Streams
    audit: Callable[[Exchange, Admitted], PassedOn] | None

    def __init__(
        self,
        specs: Iterable[EngineSpec],
        access: Access,
        counters: Counters,
        *,
        token: str | None = None,
        budgets: Mapping[str, Budgets],
        body_bytes: int = 1 << 20,
        listeners: AudienceSettings | None = None,
    ) -> None:
        self._access = access
        self._counters = counters
        self._body_bytes = body_bytes
        self._requests = counters.counter("engine.gateway.requests")
        self.engines = {spec.name.encode(): Engine(spec, counters, token, *budgets[spec.name]) for spec in specs}
        rules = access if isinstance(access, RulesAccessBase) else None
        self.lane = HitLane(counters, self._requests, rules, HttpError)
        self.spin = None
        """Told of each request, where a worker is to look for the next one before it sleeps."""
        self.door = None
        """The cache, where there is one."""
        self.latency = Histogram(2)
        """Nanoseconds from a request (with its body, where that is read first) to the end of its answer."""
        self.own = Histogram(2)
        """Nanoseconds of that which the gateway took: until it was sent on, and for the answer on its way back."""
        self.audit = None
        """What is to be told of the answer to what changes something."""
        self.tunnels: set[End] = set()
        """Clients' sides of the WebSockets that are passed through."""
        self.streams = Streams(self, counters, listeners)
        self.files_left: Callable[[], int] = lambda: 1 << 20
        """That this process may still open for clients: a WebSocket that is passed through takes one more."""
        self._tunnels_refused = counters.counter("gateway.websockets_refused")
        self._failures: dict[str, int] = {}
        self._errors = counters.counter("engine.gateway.errors")
        self._timer: asyncio.TimerHandle | None = None
        self._slow = True
        self._watches_ns = 0

    def instance(self, engine: str, number: int) -> Instance:
        """One instance of an engine."""
        return self.engines[engine.encode()].group.instances[number]

    def close(self) -> None:
        """Let go of idle connections; what is under way goes on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.streams.close()
        for engine in self.engines.values():
            engine.group.close()

    def _find(self, engine: Engine, exchange: Exchange, rest: bytes) -> Endpoint:
        """The operation of a path that has not been asked for before."""
        method = exchange.method
        if method not in METHODS:
            raise HttpError(405, "http.method", method, expected=", ".join(sorted(METHODS)))
        return engine.table.find(method, rest, exchange.path_text[engine.prefix_size :])

    def _audited(self, exchange: Exchange, admitted: Admitted) -> None:
        if self.audit is not None and exchange.method in CHANGING_METHODS:
            exchange.on_answer = self.audit(exchange, admitted)

    def _through(self, call: Forward, admitted: Admitted, path: bytes) -> None:
        """Ask the cache first."""

        waited = False

        def forward(fill: Fill | None) -> None:
            call.fill = fill
            if waited:
                call.has_come(monotonic_ns())  # what another one took has not been its own time
            try:
                self._send(call, admitted)
            except HttpError as error:
                call.refuse(error)

        engine = call.engine
        assert self.door is not None
        self.door.enter(call.exchange, engine.name, call.endpoint.name, path, engine.answer_lines, forward)
        waited = True

    def _send_more(self, call: Forward, admitted: Admitted, length: int) -> None:
        """Send what has a body, or asks for another protocol."""
        exchange, upgrade = call.exchange, call.asks_upgrade
        if length == NO_LENGTH or length == 0:
            if upgrade and exchange.method == "GET" and not exchange.http2:
                try:
                    self._check_tunnel()
                except HttpError as error:
                    call.refuse(error)
                    return
                call.upgrade = True
                call.safe = False
            elif upgrade:
                call.drop_upgrade()
            self.let_in(call, call.ready_ns)
            call.begin(b"")
        elif admitted.digest is not None or 0 < length <= BUFFERED_BYTES:
            exchange.on_abort = call.on_abort
            exchange.read(self._body_bytes, self._with_body(call, admitted))
        else:
            if upgrade:
                call.drop_upgrade()
            self.let_in(call, call.ready_ns)
            call.begin_stream()

    def _with_body(self, call: Forward, admitted: Admitted) -> Callable[[bytes], None]:
        audited = cast("PassedOn | None", call.exchange.on_answer)

        def begin(body: bytes) -> None:
            # Only now: who sends a body slowly is to take no place from others meanwhile.
            now_ns = monotonic_ns()
            call.has_come(now_ns)
            try:
                if admitted.digest is not None:
                    self._access.verify_body(admitted, body)
                if audited is not None:
                    audited.body(body)
                self.let_in(call, now_ns)
            except HttpError as error:
                call.refuse(error)
                return
            call.has_body(len(body))
            call.begin(body)

        return begin

    def too_much(self) -> HttpError:
        """A streamed body is larger than it may be."""
        return too_large(self._body_bytes, closing=True)

    @property
    def body_bytes(self) -> int:
        """Largest body of a request."""
        return self._body_bytes

    # What calls tell.

    def failed(self, call: Forward, code: str) -> None:
        """A request is answered with a problem of the gateway's own."""
        name = f"gateway.engine.{call.engine.name}.{code.rpartition('.')[2]}"
        index = self._failures.get(name)
        if index is None:
            index = self._failures[name] = self._counters.counter(name)
        self._counters.increment(index)
        self._counters.increment(self._errors)

    def gives_anyhow(self, call: Forward, fill: Fill) -> bool:
        """Whether something that is kept was given instead of an error."""
        return self.door is not None and self.door.anyhow(call.exchange, fill, call.engine.answer_lines)

    def cut(self, call: Forward) -> None:
        """An answer that had begun could not be completed."""
        self._counters.increment(call.engine.cut)

    def tunnel(self, call: Forward, head: AnswerHead, upstream: Upstream, rest: bytes) -> None:
        """An engine has switched to a WebSocket."""
        open_tunnel(call.exchange, head, call.engine.answer_lines, upstream, rest, self.tunnels)

    def give_up(self) -> None:
        """The process ends: tell who waits for what may have been carried out, and whose WebSocket ends (1012)."""
        for engine in self.engines.values():
            for instance in engine.group.instances:
                for upstream in list(instance.pool.connections):
                    if isinstance(upstream.call, Forward):
                        upstream.call.leave()
        self.streams.leave()
        for end in list(self.tunnels):
            end.leave()

    def _check_tunnel(self) -> None:
        """HttpError where a WebSocket may not be passed through."""
        most = self.streams.audience.settings.most
        if len(self.tunnels) + len(self.streams.audience) >= most or self.files_left() <= 0:
            self._counters.increment(self._tunnels_refused)
            what = "as many WebSockets are open as there may be"
            raise HttpError(503, "gateway.websockets", what, expected="fewer", headers=RETRY)

    # Time.

    def hurry(self) -> None:
        """Something is under way: look after it."""
        if self._slow:
            self._hurry()

    def _hurry(self) -> None:
        self._slow = False
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        # Before anything else: what goes wrong with one engine is not to take the time-outs of all others.
        self._timer = loop.call_later(TICK_SECONDS, self._tick)
        now_ns = monotonic_ns()
        busy = alive = False
        for engine in self.engines.values():
            group = engine.group
            group.tick(now_ns)
            busy = busy or group.busy
            alive = alive or group.alive
        if now_ns - self._watches_ns > WATCHES_NS:
            self._watches_ns = now_ns
            self._renew_watches()
        self._slow = not busy
        if not busy and self._timer is not None:
            self._timer.cancel()
            self._timer = loop.call_later(SLOW_TICK_SECONDS, self._tick) if alive else None

    def _renew_watches(self) -> None:
        """Where nearly all answers come quickly, one that does not is noticed sooner."""
        for engine in self.engines.values():
            for endpoint in engine.table.endpoints:
                latency = endpoint.latency
                if len(latency) >= WATCHED:
                    slow = 4 * int(latency.percentile(99))
                    endpoint.watch_ns = min(max(slow, LEAST_WATCH_NS), MOST_WATCH_NS)

    @staticmethod
    def _priority(own: int, asked: bytes, principal: Any) -> int:
        """The one that a client asked for: lower than the operation's, or a higher one with scope admin."""
        text = asked.decode("latin-1")
        try:
            return asked_for(own, text, may_rise="admin" in principal.scopes)
        except KeyError:
            raise HttpError(
                400, "gateway.priority", f"priority {text[:50]!r}", where="Nautilus-Priority",
                expected=", ".join(PRIORITIES),
            ) from None  # fmt: skip

    def _unknown_engine(self, exchange: Exchange) -> HttpError:
        path = exchange.path_text[:200]
        return HttpError(
            404, "gateway.engine", f"no engine at {path!r}", where="path",
            expected=f"{BASE.decode()}ENGINE/..., of {', '.join(sorted(name.decode() for name in self.engines))}",
        )  # fmt: skip


__all__ = ["Access", "Budgets", "Engine", "Proxy"]
