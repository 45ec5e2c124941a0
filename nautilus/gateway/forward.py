"""One request of a client on its way through: from its exchange to an instance, and the answer back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nautilus.core.breaker import CANCELLED, FAILURE, IGNORED, SUCCESS, TIMEOUT
from nautilus.core.proxy_call import ForwardBase
from nautilus.core.proxy_head import CHUNKED, IN_CHUNKS, LENGTH, AnswerHead, client_head
from nautilus.core.proxy_lane import Aimed
from nautilus.core.proxy_upstream import Upstream
from nautilus.gateway.cache import TEMPORARY
from nautilus.gateway.endpoints import Endpoint
from nautilus.gateway.failover import MOST_PAUSE_NS, PAUSE_NS, Instance
from nautilus.policy.retry import may_hedge
from nautilus.policy.shedding import PRIORITIES
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.exchange import CLOSE
from nautilus.runtime.http.problems import RETRY, HttpError

if TYPE_CHECKING:
    from nautilus.gateway.cache import Fill
    from nautilus.gateway.proxy import Engine, Proxy
    from nautilus.runtime.auditing import PassedOn
    from nautilus.runtime.http.exchange import Exchange

UNAVAILABLE = 503
_LEFT = HttpError(499, "http.left", "the client has gone before the answer")
_FAILED = {
    "broken": (502, "gateway.broken"),
    "malformed": (502, "gateway.malformed"),
    "late": (504, "gateway.timeout"),
    "connect": (503, "gateway.unreachable"),
    "down": (503, "gateway.unreachable"),
    "full": (503, "gateway.full"),
    "wait": (503, "gateway.full"),
}


class Forward(ForwardBase):
    """A request under way. Its methods are called by the connection that it is on.

    Parameters
    ----------
    proxy, engine, endpoint
        What it belongs to.
    exchange
        The client's side of it.
    """

    __slots__ = ()
    priorities = PRIORITIES
    pause_ns = PAUSE_NS
    proxy: Proxy
    engine: Engine
    endpoint: Endpoint
    exchange: Exchange
    instance: Instance | None
    fill: Fill | None
    _twin: Twin | None

    # The way there.

    @property
    def _audited(self) -> PassedOn | None:
        """Takes its body for the audit log, until it is answered."""
        return cast("PassedOn | None", self.exchange.on_answer)

    def begin_stream(self) -> None:
        """Send it; the body follows as it comes, once there is a connection."""
        self.streams = True
        self.exchange.on_abort = self.on_abort
        self.engine.group.dispatch(self, monotonic_ns())

    @property
    def length(self) -> int:
        """Of its body, as `request_facts` has it."""
        return self._facts[0]

    @property
    def asks_upgrade(self) -> bool:
        """It asks for a WebSocket."""
        return self._facts[4]

    def drop_upgrade(self) -> None:
        """The engine is not asked for another protocol."""
        length, trace, host, asked, _ = self._facts
        self._facts = (length, trace, host, asked, False)

    def has_body(self, size: int) -> None:
        """All of its body is there: it goes with its length, however it came, and asks for no other protocol."""
        _, trace, host, asked, _ = self._facts
        self._facts = (size, trace, host, asked, False)

    def refuse(self, error: HttpError) -> None:
        """It is not sent."""
        if self.fill is not None:
            self.fill.failed(error)
        self.exchange.problem(error)
        self.settle(IGNORED, monotonic_ns())

    def on_sent(self) -> None:
        # What has been streamed once is gone: it cannot be sent again.
        self.safe = False
        self._left = self._facts[0]
        self.exchange.stream(self._on_piece, self._on_body_end)

    def on_room(self, room: bool) -> None:
        if self.streams and self.body_open:
            if room:
                self.exchange.resume()
            else:
                self.exchange.pause()

    def _on_piece(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None or self.done or not data:
            return
        self._size += len(data)
        if self._size > self.proxy.body_bytes:
            upstream.give_up()
            if self.begun:
                self.exchange.abort()
                self.settle(IGNORED, monotonic_ns())
            else:
                self.refuse(self.proxy.too_much())
            return
        audited = self._audited
        if audited is not None:
            audited.piece(data)
        upstream.write(b"%x\r\n%b\r\n" % (len(data), data) if self._left == IN_CHUNKS else data)

    def _on_body_end(self) -> None:
        self.body_open = False
        audited = self._audited
        if audited is not None:
            audited.end()
        if self._left == IN_CHUNKS and self.upstream is not None:
            self.upstream.write(b"0\r\n\r\n")

    def on_trouble(self) -> None:
        if self.engine.gate is not None:
            self.engine.gate.wait(self, monotonic_ns())

    def on_again(self, now_ns: int) -> None:
        if self.engine.gate is not None:
            self.engine.gate.again(self, now_ns)

    def may_double(self) -> bool:
        path = self.endpoint.name.partition(" ")[2]
        return self._twin is None and not (self.streams or self.begun) and may_hedge(self.exchange.method, path)

    def double(self) -> Aimed:
        self._twin = Twin(self)
        return self._twin

    # The way back.

    def _gives_kept(self, head: AnswerHead, outcome: int, now_ns: int) -> bool:
        """Whether something that is kept was given instead of an answer that says that the engine is in trouble."""
        if self.fill is None or head.status not in TEMPORARY or not self.proxy.gives_anyhow(self, self.fill):
            return False
        self.settle(outcome, now_ns)
        return True

    def _answer_stream(self, head: AnswerHead, body: bytes) -> None:
        """Answer over HTTP/2."""
        self.exchange.start(head.status, [*head.fields(), *self.engine.answer_fields])
        if body:
            self.exchange.write(body)
        self.exchange.end()

    def on_head(self, head: AnswerHead) -> None:
        self.own_time(monotonic_ns())
        self._leave_twin()
        exchange = self.exchange
        self.begun = True
        self._failure = None
        self.proxy.answered(self, head)
        exchange.on_writable = self._on_writable
        if exchange.http2 or head.body != LENGTH:
            fields = head.fields()
            if head.body == CHUNKED:
                fields = [field for field in fields if field[0] != b"content-length"]
            fields += self.engine.answer_fields
            fields.append(self._timing())
            exchange.start(head.status, fields)
        else:
            keep = exchange.may_keep_alive()
            own_us, there_us = self.own_ns // 1000, (self.heard_ns - self.sent_ns) // 1000
            exchange.start_raw(client_head(head, self.engine.answer_lines, own_us, there_us, not keep), keep_alive=keep)

        if self.fill is not None and not self.fill.begin(head.status, head.lines, head.fields()):
            self._keep_no_more()

    def on_data(self, data: bytes) -> None:
        self.exchange.write(data)
        fill = self.fill
        if fill is not None:
            fill.data(data)
            if fill.over:
                self._keep_no_more()

    def _keep_no_more(self) -> None:
        """Nobody but the client wants the rest of the answer: it comes as fast as that one takes it."""
        self.fill = None
        if not self.room and self.upstream is not None:
            self.upstream.pause()

    def on_end(self) -> None:
        self.exchange.end()
        if self.fill is not None:
            self.fill.end()
        self.settle(SUCCESS, monotonic_ns())

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        if self.done:
            return
        now_ns = monotonic_ns()
        if self.begun:
            # Its reader must not take a part of an answer for all of it.
            self.proxy.cut(self)
            if self.fill is not None:
                self.fill.left()
            self.exchange.abort()
            self.settle(FAILURE, now_ns)
            return
        twin = self._twin
        if twin is not None and not twin.failed:
            self._failure = (code, what)
            return
        group = self.engine.group
        if code in ("broken", "connect"):
            group.outage(now_ns)
        if (
            code in ("broken", "connect", "malformed")
            and now_ns < self.deadline_ns
            and group.again(self, now_ns, sent=sent, broken=code == "broken")
        ):
            return
        self._tell(code, what, sent=sent, now_ns=now_ns)

    def on_twin_failed(self) -> None:
        """The second call came to nothing; the first may have before."""
        failure, self._failure = self._failure, None
        self._twin = None
        if failure is not None:
            self.on_failure(failure[0], failure[1], sent=True)

    def on_upgrade(self, head: AnswerHead, upstream: Upstream, rest: bytes) -> None:
        self.proxy.tunnel(self, head, upstream, rest)
        self.settle(SUCCESS, monotonic_ns())

    def _timing(self) -> tuple[bytes, bytes]:
        own, there = self.own_ns / 1e6, (self.heard_ns - self.sent_ns) / 1e6
        return (b"server-timing", b"gateway;dur=%.3f, upstream;dur=%.3f" % (own, there))

    def _again_later(self, now_ns: int) -> bool:
        """Whether an engine that has just come back may be asked again in a while: it said that it is not ready."""
        group = self.engine.group
        if (
            not self.endpoint.safe
            or self.streams
            or not group.returning(self.endpoint, now_ns)
            or now_ns + self._pause_ns >= self.deadline_ns
        ):
            return False
        pause_ns = self._pause_ns
        self._pause_ns = min(2 * pause_ns, MOST_PAUSE_NS)
        group.park(self, now_ns, pause_ns)
        return True

    def _tell(self, code: str, what: str, *, sent: bool, now_ns: int) -> None:
        status, name = _FAILED[code]
        headers = RETRY if status == UNAVAILABLE else ()
        if sent and not self.endpoint.safe:
            status, name, what = 504, "gateway.unknown", f"{what}; whether it was carried out is not known"
        self.proxy.failed(self, name)
        error = HttpError(status, name, what, where=self.engine.name, headers=headers)
        if self.fill is None:
            self.exchange.problem(error)
        elif not self.proxy.gives_anyhow(self, self.fill):
            self.fill.failed(error)
            self.exchange.problem(error)
        if not sent:
            self.settle(IGNORED, now_ns)
        else:
            self.settle(TIMEOUT if code == "late" else FAILURE, now_ns)

    def _on_writable(self, writable: bool) -> None:
        self.room = writable
        upstream = self.upstream
        if upstream is not None:
            if writable:
                upstream.resume()
            elif self.fill is None:
                # What is being kept is held anyway, up to its largest size: others wait for it who are not slow.
                upstream.pause()

    def on_abort(self) -> None:
        """The client has gone."""
        if not self.done:
            self._leave_twin()
            if self.fill is not None:
                self.fill.left()
            if self.sent_ns:
                self.exchange.problem(_LEFT)  # for the audit log: the engine may carry it out
            self.engine.group.cancel(self)
            self.settle(CANCELLED, monotonic_ns())

    def leave(self) -> None:
        """The gateway ends before the answer is there: nobody is to send again what may have been carried out."""
        if self.done or self.begun or self.endpoint.safe:
            return
        self.proxy.failed(self, "gateway.unknown")
        what = "the gateway ends; whether it was carried out is not known"
        self.exchange.problem(HttpError(504, "gateway.unknown", what, where=self.engine.name, headers=(CLOSE,)))
        self.settle(CANCELLED, monotonic_ns())

    def _leave_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None and not twin.failed:
            twin.failed = True
            self.engine.group.cancel(twin)
            self.engine.group.drop(twin)


class Twin(Aimed):
    """The same request, sent to a second instance: whoever answers first answers."""

    __slots__ = ("_first", "failed")

    def __init__(self, first: Forward) -> None:
        self._first = first
        self.failed = False
        self.safe, self.head_only = True, first.head_only
        self.priority = first.priority
        self.wait_until_ns = self.deadline_ns = self.watch_ns = first.deadline_ns

    def aim(self, instance: Instance) -> None:
        self.payload = self._first.payload_for(instance)

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self._take_over()
        self._first.on_whole(head, body)

    def on_head(self, head: AnswerHead) -> None:
        self._take_over()
        # From here on this connection is the request's.
        upstream = cast(Upstream, self.upstream)
        upstream.hand_to(self._first)
        self._first.on_head(head)

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        if not self.failed:
            self.failed = True
            self._first.engine.group.drop(self)
            self._first.on_twin_failed()

    def _take_over(self) -> None:
        first = self._first
        group = first.engine.group
        self.failed = True
        group.cancel(first)  # wherever it is: it may wait for another connection by now
        first.sent_ns, first.heard_ns = self.sent_ns, self.heard_ns
        group.drop(self)  # one that has left a silent instance counts by itself
        group.change(first, self.instance)
