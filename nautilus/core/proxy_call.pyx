"""One thread at a time, the loop's. The way of each request through a proxy, as far as every request takes it.

What is rare - refusals, streams, HTTP/2, the cache, failures - is left to the classes that are made of these
(`nautilus.gateway.proxy`, `nautilus.gateway.forward`, `nautilus.gateway.headers`).
"""

from libc.stdint cimport int64_t

from nautilus.core.breaker import FAILURE, OVERLOADED, SUCCESS, TIMEOUT
from nautilus.core.counters cimport counter_increment
from nautilus.core.histogram cimport Histogram, histogram_record
from nautilus.core.http_link cimport ConnectionBase, ExchangeBase, monotonic_ns
from nautilus.core.proxy_head import NO_LENGTH
from nautilus.core.proxy_head cimport AnswerHead, client_head, new_trace, request_facts, upstream_head
from nautilus.core.proxy_lane cimport Aimed, GateBase, GroupBase, InstanceBase

cdef enum:
    TOO_MANY = 429
    UNAVAILABLE = 503
    NOT_IN_TIME = 504

cdef int _FAILURE = FAILURE, _OVERLOADED = OVERLOADED, _SUCCESS = SUCCESS, _TIMEOUT = TIMEOUT
cdef int64_t _NO_LENGTH = NO_LENGTH


def outcome_of(int status, bytes body not None):
    """What a whole answer says of the engine; 429, or a problem of code ``limit.*``: it has too much to do."""
    return answer_outcome(status, body)


cdef int answer_outcome(int status, bytes body) except -1:
    if status < 500:
        return _OVERLOADED if status == TOO_MANY else _SUCCESS
    if (status == UNAVAILABLE or status == NOT_IN_TIME) and b'"code":"limit.' in body:
        return _OVERLOADED
    return _FAILURE


cdef class HeadsBase:

    def request(self, str method, bytes target, list fields, *, bytes authority, str client, bytes host, bint tls,
                object principal, str priority, bytes trace, int64_t length=_NO_LENGTH, bint upgrade=False):
        return self.made(method, target, fields, authority, client, host, tls, principal, priority, trace, length, upgrade)

    cdef bytes made(self, str method, bytes target, list fields, bytes authority, str client, bytes host, bint tls,
                    object principal, str priority, bytes trace, int64_t length, bint upgrade):
        cdef tuple place = (client, host, tls)
        came = self._from.get(place)
        if came is None:
            came = self._came(place)
        place = (principal, priority)
        who = self._who.get(place)
        if who is None:
            who = self._whom(place)
        return upstream_head(
            b"".join((method.encode(), b" ", target[self._cut:], b" HTTP/1.1\r\nhost: ", authority, b"\r\n")),
            fields,
            b"".join((came, who, b"traceparent: ", trace, b"\r\n")),
            length,
            self._drop,
            upgrade,
        )


cdef class EndpointBase:
    pass


cdef class EngineBase:
    pass


cdef class ForwardBase(Aimed):

    def __init__(self, ProxyBase proxy not None, EngineBase engine not None, EndpointBase endpoint not None, ExchangeBase exchange not None,
                 tuple facts not None, principal, int priority, fill=None):
        cdef int64_t now_ns = exchange.started_ns
        self.proxy = proxy
        self.engine = engine
        self.endpoint = endpoint
        self.exchange = exchange
        self.safe = endpoint.safe
        self.careful = self.write = not endpoint.safe
        self.priority = priority
        self.be_ready(now_ns)
        self.watch_ns = endpoint.watch_ns
        self.head_only = exchange.method == "HEAD"
        self.room = True
        self.sends = 1
        self._facts = facts
        self._principal = principal
        self.fill = fill
        self._body = b""
        self._pause_ns = self.pause_ns

    cdef int be_ready(self, int64_t now_ns) except -1:
        self.ready_ns = now_ns
        self.wait_until_ns = now_ns + self.endpoint.budget_ns
        self.deadline_ns = now_ns + (<EngineBase>self.engine).timeout_ns
        return 0

    def has_come(self, int64_t now_ns):
        self.be_ready(now_ns)

    def begin(self, bytes body not None):
        self._body = body
        self.exchange.on_abort = self.on_abort
        (<EngineBase>self.engine).group.send(self, monotonic_ns(), None)

    def aim(self, InstanceBase instance not None):
        self.aim_at(instance)

    cdef int aim_at(self, InstanceBase instance) except -1:
        self.payload = self.payload_of(instance)
        self.body_open = self.streams
        self.heard = False
        return 0

    def payload_for(self, InstanceBase instance not None):
        return self.payload_of(instance)

    cdef bytes payload_of(self, InstanceBase instance):
        cdef ExchangeBase exchange = self.exchange
        cdef object connection = exchange._connection, client = None
        cdef bytes head
        if isinstance(connection, ConnectionBase):
            client = (<ConnectionBase>connection)._client
        if client is None:
            client = exchange.client
        head = (<EngineBase>self.engine).heads.made(
            exchange.method, exchange.target, exchange.headers, instance.authority, client, self._facts[2],
            exchange.secured(), self._principal, self.priorities[self.priority], self._facts[1], self._facts[0], self._facts[4],
        )
        return head + self._body if self._body else head

    def on_whole(self, AnswerHead head not None, bytes body not None):
        cdef int64_t heard_ns = self.heard_ns, sent_ns = self.sent_ns, now_ns
        cdef ExchangeBase exchange = self.exchange
        cdef EngineBase engine = self.engine
        cdef int outcome = answer_outcome(head.status, body)
        cdef bint keep
        cdef bytes first
        if self._twin is not None:
            self._leave_twin()
        if head.status == UNAVAILABLE or head.status == NOT_IN_TIME:
            # What is kept is given at once; only where there is nothing it waits for better.
            if self.fill is not None and self._gives_kept(head, outcome, heard_ns):
                self.proxy.answered(self, head)
                return
            if self._again_later(heard_ns):
                return
        elif engine.group._outage_ns:
            self.endpoint.answered_ns = heard_ns
        self.proxy.answered(self, head)
        if self.fill is not None and self._gives_kept(head, outcome, heard_ns):
            return
        if exchange.http2:
            self._answer_stream(head, body)
        else:
            keep = exchange.may_keep()
            first = client_head(
                head, engine.answer_lines, self.own_until(monotonic_ns()) // 1000, (heard_ns - sent_ns) // 1000, not keep
            )
            exchange.raw(first + body, keep)
            exchange.complete()
        now_ns = monotonic_ns()
        self.own_until(now_ns)
        if self.fill is not None:
            self.fill.whole(head.status, head.lines, head.fields(), body)
        self.ended(outcome, now_ns)

    cdef int64_t own_until(self, int64_t now_ns) noexcept:
        self.own_ns = self.sent_ns - self.ready_ns + now_ns - self.heard_ns
        return self.own_ns

    def own_time(self, int64_t now_ns):
        return self.own_until(now_ns)

    def settle(self, int outcome, int64_t now_ns):
        self.ended(outcome, now_ns)

    cdef int ended(self, int outcome, int64_t now_ns) except -1:
        if self.done:
            return 0
        self.done = True
        self.exchange.on_abort = self.exchange.on_writable = None
        return self.proxy.settle(self, outcome, now_ns)


cdef class ProxyBase:

    def __call__(self, ExchangeBase exchange not None):
        try:
            self._begin(exchange)
        except self.refuses as error:
            exchange.problem(error)

    def _begin(self, ExchangeBase exchange not None):
        cdef bytes path = exchange.path, rest, trace
        cdef Py_ssize_t base = self.base_size, end = path.find(b"/", base)
        cdef EngineBase engine = self.engines.get(path[base:end]) if end > 0 else None
        cdef str method = exchange.method
        cdef EndpointBase endpoint
        cdef tuple facts
        cdef int64_t length
        cdef int priority
        cdef bint named
        cdef ForwardBase call
        if engine is None:
            raise self._unknown_engine(exchange)
        if self.spin is not None:
            self.spin(exchange.started_ns)
        rest = path[end:]
        endpoint = engine.known.get((method, rest))
        if endpoint is None:
            endpoint = self._find(engine, exchange, rest)
        counter_increment(self._counters.at(engine.requests))
        counter_increment(self._counters.at(self._requests))
        admitted = self._access.admit(exchange, endpoint.scope)
        principal = admitted.principal
        exchange._principal = principal
        facts = request_facts(exchange.headers)
        length, trace, host, asked, upgrade = facts
        named = bool(trace)
        if not named:
            trace = new_trace()
            facts = (length, trace, host, asked, upgrade)
        exchange._trace = trace[3:35].decode("ascii")
        if self.audit is not None and method not in ("GET", "HEAD"):
            self._audited(exchange, admitted)
        priority = endpoint.priority
        if asked:
            priority = self._priority(priority, asked, principal)
        if upgrade and endpoint.joined:
            self.streams.join(engine, endpoint, exchange)
            return
        if length > self._body_bytes:
            raise self.too_much()
        if self.door is not None and not upgrade and self.door.gave(
            exchange, engine.name, endpoint.name, exchange.target[end:], engine.answer_lines
        ):
            if not (asked or named) and (length == _NO_LENGTH or length == 0):
                self.lane.offer(
                    exchange, self.door, engine.name, endpoint.name, endpoint.scope, exchange.target[end:], engine.answer_lines,
                    engine.requests,
                )
            return
        call = self.makes(self, engine, endpoint, exchange, facts, principal, priority)
        if self.door is None or upgrade:
            self._send(call, admitted)
        else:
            self._through(call, admitted, exchange.target[end:])

    def _send(self, ForwardBase call not None, admitted):
        cdef int64_t length = call._facts[0]
        if (length == _NO_LENGTH or length == 0) and not call._facts[4]:
            self.enter(call, call.ready_ns)
            call.begin(b"")
        else:
            self._send_more(call, admitted, length)

    def let_in(self, ForwardBase call not None, int64_t now_ns):
        self.enter(call, now_ns)

    cdef int enter(self, ForwardBase call, int64_t now_ns) except -1:
        cdef EngineBase engine = call.engine
        if engine.gate is not None and not call.endpoint.exempt:
            engine.gate.let_in(call, now_ns)
        engine.group.came_in(call, now_ns)
        if self._slow:
            self._hurry()
        return 0

    def answered(self, ForwardBase call not None, AnswerHead head not None):
        counter_increment(self._counters.at((<EngineBase>call.engine).by_status[head.status // 100]))
        if head.status >= 500:
            counter_increment(self._counters.at(self._errors))

    def settled(self, ForwardBase call not None, int outcome, int64_t now_ns):
        self.settle(call, outcome, now_ns)

    cdef int settle(self, ForwardBase call, int outcome, int64_t now_ns) except -1:
        cdef int64_t ready_ns = call.ready_ns, sent_ns = call.sent_ns
        cdef EngineBase engine = call.engine
        cdef Histogram latency = call.endpoint.latency
        histogram_record(latency.data, now_ns - ready_ns)
        histogram_record(self.latency.data, now_ns - ready_ns)
        if sent_ns:
            histogram_record(self.own.data, call.own_ns if call.own_ns else sent_ns - ready_ns)
        if call.target >= 0:
            if outcome <= _TIMEOUT:
                engine.group.settled(call, now_ns - sent_ns, outcome == _SUCCESS, now_ns)
            else:
                engine.group.drop(call)
        if engine.gate is not None:
            engine.gate.let_out(call, now_ns, outcome)
        if self.door is not None and sent_ns and call.exchange.method not in ("GET", "HEAD", "OPTIONS"):
            self.door.changed(engine.name)
        return 0
