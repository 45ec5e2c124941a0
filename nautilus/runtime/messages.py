"""Messages between engines: within the process at once, to other processes over the mesh.

Orders and other commands to the trading core go to its process, under the name ``core``; everything else goes to the
process that hosts the engine it is meant for. An event goes once to each process with subscribers.

Length: what is sent, what comes and what is late share the numbers of requests and the routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Any

import msgspec
import numpy as np

from nautilus.bus.allowed import paths_of
from nautilus.bus.carriers import ALL, EVERY_PATH
from nautilus.bus.envelope import Delivery, MessageKind, error_fields
from nautilus.bus.mesh import Mesh
from nautilus.bus.routing import CORE, Way
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.types import EventKind, Reason
from nautilus.engines.base import Work
from nautilus.engines.trading.acknowledge import acknowledgement
from nautilus.model.commands import CommandMessage, ReplaceOrder, SubmitOrder
from nautilus.model.enums import Priority
from nautilus.model.errors import BusError, InternalError, ModelError, NautilusError
from nautilus.model.message import Message
from nautilus.model.queries import AnyReport, Reports
from nautilus.model.records import Records
from nautilus.model.topics import EXECUTION_REPORTS, TOPICS, Topic, topic_of
from nautilus.runtime.calls import Calls
from nautilus.runtime.clock import NANOSECONDS, PlatformClock, monotonic_ns, wall_ns, whole_ns
from nautilus.runtime.control import describe_error, error_from
from nautilus.runtime.durable import Answer, DurableAnswers
from nautilus.runtime.listeners import Listeners
from nautilus.runtime.live_context import HIGHEST_NS, LiveContext, Route
from nautilus.runtime.loop import Loop
from nautilus.runtime.plan import Plan
from nautilus.runtime.protection import EngineProtection, FullError
from nautilus.runtime.recovery import BehindError
from nautilus.runtime.risk_path import RiskPath
from nautilus.runtime.tracing import TRACE, say, told
from nautilus.runtime.wire import Encoded, from_wire, to_wire

ENTERING = (SubmitOrder, ReplaceOrder)
HELLO = "hello"
"""Where the first message of a process's life goes to: it says no more than that there is one."""
ANSWER_NS = 5 * NANOSECONDS
"""A request without a deadline is unknown after this time."""
ASK_NS = NANOSECONDS
"""The host's own requests are asked again after this time."""
MOST_REPORTS = 256
"""Execution reports in one message."""
LOOK_NS = 50_000
"""Between looks at the urgent lane while handlers run one after the other."""
_COMMAND, _EVENT, _REQUEST = MessageKind.COMMAND, MessageKind.EVENT, MessageKind.REQUEST
_REPLY, _ERROR = MessageKind.REPLY, MessageKind.ERROR

AGAIN_NS = 1_000_000
"""What durable answers wait for, and takes longer, is saved on so soon."""
Server = Callable[[Message, Answer], object]
"""Answers requests of an engine, now or later."""


RunJob = Callable[[Callable[..., Any], tuple[Any, ...], Callable[[Any], None], bool], None]
"""Runs a job with arguments, hands over its result, or the exception that came instead; last: in the background."""


class UnansweredError(BusError):
    """No answer came in time: whether the request was carried out is not known."""

    code = "bus.unanswered"


class Messages:
    """Carries messages between this process's engines and all others.

    Parameters
    ----------
    contexts
        Engines of this process, by name.
    records
        Publishes records on the star; None: this process does not.
    keep
        Saves an engine's state: what it was told urgently is acknowledged only then.
    """

    def __init__(
        self,
        plan: Plan,
        process: str,
        clock: PlatformClock,
        loop: Loop,
        calls: Calls,
        mesh: Mesh,
        contexts: Mapping[str, LiveContext],
        counters: Counters,
        records: Callable[[Records], object] | None,
        keep: Callable[[LiveContext], object],
    ) -> None:
        self._plan = plan
        self._process = process
        self._clock = clock
        self._loop = loop
        self._calls = calls
        self._tracing = calls.tracing
        self._mesh = mesh
        self._ring = mesh.urgent_ring
        self._contexts = contexts
        self._counters = counters
        self._records = records
        self._servers: dict[str, Server] = {}
        self._listening: dict[str, Callable[[Any], object]] = {}
        self.guards: Mapping[str, EngineProtection] = {}  # none: the engines of this process run plain
        self._routing = plan.routing
        self._ways: dict[tuple[str, type], Way] = {}
        self.listeners = Listeners(mesh, frozenset(topic.name for topic in TOPICS if topic.publisher in contexts))
        self._keep = keep
        self._durable = DurableAnswers(calls, lambda: loop.call_at_wall(wall_ns() + AGAIN_NS, _nothing))
        self._inbox: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._reports: list[AnyReport] = []
        self._order = 0
        # Never given twice by any process of any life: microseconds of the epoch, then the process, then a count.
        self._next_id = (mesh.epoch // 1000 << 6) | plan.processes.index(plan.process(process))
        self._over_mesh: dict[int, Answer] = {}
        self._in_process: dict[int, Answer] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._early: list[Delivery] = []
        self._looked_ns = 0
        self._behind = False
        """Urgent messages that were received wait for the one that is handled."""
        self.run_job: RunJob = _no_jobs
        """Runs a job where jobs run; a host that has such a place sets it."""
        self.working = 0
        """Requests whose jobs are not done."""
        self.started = False
        self.asker = ""
        """Who asks what is served now; "": a person, over HTTP."""
        self.risk_path = RiskPath(plan, process, mesh, [context.engine for context in contexts.values()])
        self._unknown = counters.counter("host.unknown")
        self._refused = counters.counter("host.refused")
        self._busy = counters.counter("host.orders_busy")
        self.round_trips = Histogram(HIGHEST_NS, f"{plan.shared}/latency.{process}.order_round_trip")
        self.route()

    def route(self) -> None:
        """Resolve who takes what; again after an engine was put in another's place."""
        engines = list(self._contexts.values())
        self.routes = {topic.name: Route(topic, engines, self._plan, self._process) for topic in TOPICS}
        for topic, listener in self._listening.items():
            self.routes[topic].listener = listener
        self._by_type = {message: self.routes[topic.name] for topic in TOPICS for message in topic.messages}
        self._by_record = [(route.topic.record, route) for route in self.routes.values() if route.topic.record]

    def set_server(self, engine: str, server: Server) -> None:
        """Let something around an engine answer its requests."""
        self._servers[engine] = server

    def listen(self, topic: str, listener: Callable[[Any], object]) -> None:
        """Hand what engines of this process publish on a topic to somebody beside the subscribers."""
        self._listening[topic] = listener
        self.routes[topic].listener = listener

    # What contexts ask for.

    def publish(self, context: LiveContext, event: Message | Records) -> None:
        """Hand an event to every subscriber."""
        route = self._by_type.get(type(event))  # type: ignore[arg-type]
        if route is None:
            dtype = event.dtype if isinstance(event, np.ndarray) else None
            for record, route in self._by_record:  # noqa: B007
                if record is dtype:
                    break
            else:
                route = self.routes[topic_of(event).name]
        if route.topic.publisher != context.name:
            raise InternalError(
                f"{context.name} publishes on {route.topic.name}", expected=f"only {route.topic.publisher} to"
            )
        trace = self._tracing.onward
        if route.reports:
            trace = self._tracing.of_report(event) if self._tracing.orders else 0  # type: ignore[arg-type]
        if route.listener is not None:
            route.listener(event)
        if route.takers or route.array_takers:
            self._post(route.priority, self._deliver, (route, event), trace)
        if isinstance(event, np.ndarray):
            if self._records is not None and route.on_star:
                self._records(event)
        elif trace and route.reports:
            self._send_traced_report(route, event, trace)  # type: ignore[arg-type]
        elif route.reports:
            # Many come of one handler call: they go out together, right after it.
            self._reports.append(event)  # type: ignore[arg-type]
            if len(self._reports) >= MOST_REPORTS:
                self._send_reports()
        elif route.processes or route.topic.name in self.listeners.topics:
            self._send_event(route, event, route.processes, trace)

    def _send_event(self, route: Route, event: Message, processes: Iterable[str], trace: int = 0) -> None:
        payload = to_wire(event)
        if self.listeners.topics:
            self.listeners.tell(route.topic, payload, route.priority)
        for process in processes:
            self._mesh.post(
                process,
                to=route.topic.name,
                sender=route.topic.publisher,
                kind=_EVENT,
                payload=payload,
                priority=route.priority,
                trace_id=trace,
                paths=EVERY_PATH if route.priority <= Priority.URGENT else ALL,
            )

    def _send_traced_report(self, route: Route, report: AnyReport, trace: int) -> None:
        """Send a report of an order that belongs to a trace: by itself, as an envelope has one trace."""
        if self._reports:
            self._send_reports()
        say(trace, "execution report", engine=route.topic.publisher, **told(report))
        self._reports.append(report)
        self._send_reports(trace)
        if self._process != CORE and report.sequence:
            payload = msgspec.msgpack.encode((report.sequence, report.sequence))
            self._mesh.post(
                CORE, to=TRACE, sender=self._process, kind=_EVENT, payload=payload, trace_id=trace,
                deadline_ns=wall_ns() + ANSWER_NS,
            )  # fmt: skip

    def _send_reports(self, trace: int = 0) -> None:
        reports, self._reports = self._reports, []
        route = self.routes[EXECUTION_REPORTS.name]
        processes: Iterable[str] = route.processes
        if route.selective and not any(report.strategy_id for report in reports):
            processes = [process for process in processes if process not in route.selective]
        event = reports[0] if len(reports) == 1 else Reports(tuple(reports), reports[-1].sequence, False)
        self._send_event(route, event, processes, trace)

    def send(self, context: LiveContext, peer: str, command: Message) -> None:
        """Deliver a command to a peer's `on_command`."""
        process, to, priority = self._ways.get((peer, type(command))) or self._find_way(peer, command)
        if process == self._process:
            target = self._contexts[to]
            self._post(priority, self._calls.call, (target, target.engine.on_command, command), self._tracing.onward)
            return
        if self._tracing.onward:
            self._tell_of_order(process, command)
        self._mesh.post(
            process,
            to=to,
            sender=context.name,
            kind=_COMMAND,
            payload=to_wire(command),
            priority=priority,
            trace_id=self._tracing.onward,
            paths=paths_of(command),
        )

    def _tell_of_order(self, process: str, command: Message) -> None:
        """Let the process that reports of an order know that it belongs to the present trace."""
        trace = self._tracing.onward
        account_id, order_id = getattr(command, "account_id", 0), getattr(command, "order_id", 0)
        if process != CORE or not order_id or not isinstance(command, CommandMessage):
            return
        reporter = self._routing.process_of("trading")  # who sends orders knows who reports of them
        say(trace, "an order for the core", **told(command))
        if reporter == self._process:
            self._tracing.note_order(account_id, order_id, trace)
            return
        self._mesh.post(
            reporter, to=TRACE, sender=self._process, kind=_EVENT, trace_id=trace, priority=Priority.HIGH,
            payload=msgspec.msgpack.encode((account_id, order_id)), deadline_ns=wall_ns() + ANSWER_NS,
        )  # fmt: skip

    def request(self, context: LiveContext, peer: str, message: Message, deadline_ns: int = 0) -> int:
        """Deliver a request to a peer's `on_request`, and its reply, or that there was none by the deadline."""
        # Nothing is waited for without end: an engine is to hear of it.
        until_ns = self._clock.wall_of(whole_ns(deadline_ns)) if deadline_ns else wall_ns() + ANSWER_NS
        number = self._next_id = self._next_id + 64
        sent_ns = monotonic_ns()

        def answered(result: Message | Exception) -> None:
            engine, call = context.engine, self._calls.call
            if isinstance(result, Exception):
                self._counters.increment(self._unknown)
                call(context, engine.on_unknown, number, message)
                return
            if isinstance(message, CommandMessage):
                self.round_trips.record(monotonic_ns() - sent_ns)
            call(context, engine.on_reply, number, result)

        self._ask(context.name, peer, message, answered, until_ns, True)
        return number

    def ask(self, peer: str, message: Message, answered: Answer, wait_ns: int = ASK_NS, trace: int = 0) -> None:
        """Ask in the host's own name; `trace`: within it."""
        arguments = self._process, peer, message, answered, wall_ns() + wait_ns, False
        if trace:
            say(trace, "a request", engine=peer, **told(message))
            self._tracing.run(trace, self._ask, arguments)
        else:
            self._ask(*arguments)

    def next_id(self) -> int:
        """A number that nobody had before."""
        self._next_id += 64
        return self._next_id

    # Within the process.

    def _post(self, priority: int, function: Callable[..., object], arguments: tuple[Any, ...], trace: int = 0) -> None:
        self._order += 1
        if trace:
            ends = function == self._deliver and arguments[0].reports
            function, arguments = self._run_traced, (trace, function, arguments, ends)
        heappush(self._inbox, (priority, self._order, function, arguments))

    def _run_traced(self, trace: int, function: Callable[..., object], arguments: tuple[Any, ...], ends: bool) -> None:
        self._tracing.run(trace, function, arguments, ends=ends)

    def drain(self, least: int = Priority.LOW) -> None:
        """Deliver what waits here, of this priority and above."""
        if self._tracing.now:  # of another trace, or of none
            self._tracing.run(0, self.drain, (least,))
            return
        inbox = self._inbox
        while inbox and inbox[0][0] <= least:
            _, _, function, arguments = heappop(inbox)
            function(*arguments)

    def settle(self) -> None:
        """After whatever may have said something: deliver it, then see to what is urgent."""
        if self._inbox:
            self.drain()
        if self._reports:
            self._send_reports()
        self.between()

    def conclude(self) -> None:
        """After all that came together: settle, and save what durable answers wait for."""
        self.settle()
        if self._durable:
            self._durable.settle()
            self.settle()

    def between(self) -> None:
        """Between two handlers: what is urgent, here and on the mesh."""
        if self._tracing.now:
            self._tracing.run(0, self.between, ())
            return
        if self._inbox:
            self.drain(Priority.URGENT)
        if self._behind:
            return
        if self._ring is not None and self._ring.waiting:
            self.take_all(self._mesh.glance())
        now_ns = monotonic_ns()
        if now_ns - self._looked_ns > LOOK_NS and now_ns - self._loop.woken_ns > LOOK_NS:
            self._looked_ns = now_ns
            self.take_all(self._mesh.receive(urgent=True))

    def _deliver(self, route: Route, event: Any) -> None:
        """Hand an event to the takers of this process; what one of them says urgently goes before the next one."""
        call = self._calls.call
        for handler, context in route.array_takers:
            call(context, handler, event)
            if self._inbox:
                self.drain(Priority.URGENT)
        if not route.takers:
            return
        for item in route.structs(event) if route.structs is not None else (event,):
            for handler, context in route.takers:
                if not route.reports or context.recovery is None or context.recovery.take(item):
                    call(context, handler, item)
                    if self._inbox:
                        self.drain(Priority.URGENT)

    def takes_arrays(self, topic: Topic) -> bool:
        """Whether whoever takes a topic here takes whole arrays of records."""
        return not self.routes[topic.name].takers

    def deliver_records(self, route: Route, records: Records) -> None:
        """Hand records of the star to the engines that take them."""
        call, takers = self._calls.call, route.takers
        for handler, context in route.array_takers:
            call(context, handler, records)
            self.between()
        if not takers:
            return
        for item in route.structs(records) if route.structs is not None else (records,):
            for handler, context in takers:
                call(context, handler, item)
                self.between()
            if self._inbox:
                self.drain()

    def _ask(self, sender: str, peer: str, message: Message, answered: Answer, until_ns: int, guarded: bool) -> None:
        process, to, priority = self._ways.get((peer, type(message))) or self._find_way(peer, message)
        if process == self._process:
            number = self.next_id()
            self._in_process[number] = answered
            heappush(self._deadlines, (until_ns, number))
            answer = partial(self._answer_here, number)
            self._post(priority, self.serve, (to, message, answer, guarded, sender), self._tracing.onward)
            return
        refusal = self.risk_path.refuses(message)
        if refusal is not None and not isinstance(message, ENTERING):
            self._post(Priority.NORMAL, answered, (refusal,))
            return
        if self._tracing.onward:
            self._tell_of_order(process, message)
        if isinstance(message, ENTERING):
            # It was not sent: no doubt is left, as by a cut or a deadline.
            reason = Reason.NONE if refusal is None else Reason.NOT_READY
            if refusal is None and self._mesh.is_pressed(process, priority):  # there is to be room for cancels
                self._counters.increment(self._busy)
                reason = Reason.BUSY
            if reason:
                refused = acknowledgement(message, EventKind.REJECTED, reason, 0, self._clock.now_ns())
                self._post(Priority.NORMAL, answered, (refused,), self._tracing.onward)
                return
        number = self._mesh.post(
            process,
            to=to,
            sender=sender,
            kind=_REQUEST,
            payload=to_wire(message),
            priority=priority,
            deadline_ns=until_ns,
            trace_id=self._tracing.onward,
            paths=paths_of(message),
        )
        self._over_mesh[number] = answered

    def _answer_here(self, number: int, result: Message | Exception) -> None:
        answered = self._in_process.pop(number, None)
        if answered is not None:
            found = result.message() if isinstance(result, Encoded) else result
            self._post(Priority.NORMAL, answered, (found,))

    def serve(self, engine: str, message: Message, answer: Answer, guarded: bool = False, asker: str = "") -> None:
        """Have an engine of this process answer a request; `guarded`: one that no guard has seen, as HTTP's have."""
        context = self._contexts[engine]
        self._counters.increment(context.requests)
        refusal: BusError | None = self.risk_path.refuses_here(engine, message)
        if isinstance(message, context.engine.present_only) and not (context.recovery is None or context.recovery.live):
            refusal = BehindError(f"{engine} is not up to the present yet", where=engine, expected="to be asked again")
        if refusal is not None:
            answer(refusal)
            return
        if guarded and engine in self.guards:
            entered = self.guards[engine].enter(message, answer)
            if entered is None:
                return
            answer = entered
        server = self._servers.get(engine)
        if server is not None:
            self.asker = asker
            self._serve_by(server, engine, message, answer)
            return
        self.serve_by_engine(context, message, answer)

    def serve_by_engine(self, context: LiveContext, message: Message, answer: Answer) -> None:
        """Have the engine's own handler answer, now or by a job."""
        if type(message) in context.durable:
            answer = partial(self._durable.hold, context, answer)
        try:
            reply: Message | Work | Exception = self._calls.serve(context, message)
        except Exception as error:
            reply = error
        if isinstance(reply, Work):
            self._begin_work(context, reply, answer)
        else:
            answer(reply)

    def _begin_work(self, context: LiveContext, work: Work, answer: Answer) -> None:
        """Have a job run whose result is, or makes, the answer."""

        def done(result: Any) -> None:
            self.working -= 1
            if not isinstance(result, Exception) and work.finish is not None:
                try:
                    result = self._calls.finish(context, work.finish, result)
                except Exception as error:
                    result = error
            if not isinstance(result, Message | Exception):
                result = InternalError(f"a {type(result).__name__} came of a job", expected="a message")
                self._calls.errors.add(f"{context.name} work", result)
            answer(result)
            self.settle()

        try:
            self.run_job(work.job, work.arguments, done, work.background)
        except FullError as error:  # counted where it was refused
            answer(error)
        except Exception as error:
            self._calls.errors.add(f"{context.name} work", error)
            answer(error)
        else:
            self.working += 1

    def _serve_by(self, server: Server, engine: str, message: Message, answer: Answer) -> None:
        answered = False

        def once(result: Message | Exception) -> None:
            nonlocal answered
            answer(result)
            answered = True

        try:
            server(message, once)
        except Exception as error:  # of one question: the process has others
            self._calls.errors.add(f"{type(message).__name__} for {engine}", error)
            if not answered:
                answer(error)

    # From other processes.

    def take_all(self, deliveries: Sequence[Delivery]) -> None:
        """Handle what came over the mesh in order; what is urgent meanwhile goes before what is not."""
        last = len(deliveries) - 1
        urgent = last
        while urgent >= 0 and deliveries[urgent].priority > Priority.URGENT:
            urgent -= 1
        for place, delivery in enumerate(deliveries):
            # What is urgent and waits here was sent before what would be found now.
            self._behind = place < urgent
            self.take(delivery)
            if urgent <= place < last:
                self.between()

    def take(self, delivery: Delivery) -> None:
        """Handle what came over the mesh, and say so."""
        if delivery.trace_id:
            self._take_traced(delivery)
        else:
            self._take(delivery)
        if self._inbox:
            self.drain()

    def _take_traced(self, delivery: Delivery) -> None:
        kind = delivery.kind
        if kind is _EVENT and self._tracing.take(delivery):
            self._mesh.done(delivery)
            return
        answer = kind is _REPLY or kind is _ERROR
        report = kind is _EVENT and delivery.to == EXECUTION_REPORTS.name
        if self.started or answer or report:
            try:
                known = told(from_wire(delivery.payload))
            except NautilusError:
                known = {}
            text = f"{kind.name.lower()} of {delivery.sender} for {delivery.to}"
            say(delivery.trace_id, text, peer=delivery.peer, **known)
        self._tracing.run(delivery.trace_id, self._take, (delivery,), ends=answer or report)

    def _take(self, delivery: Delivery) -> None:
        kind = delivery.kind
        if kind is _REPLY or kind is _ERROR:
            self._take_answer(delivery)
        elif kind is _EVENT and delivery.to == HELLO:
            self._mesh.done(delivery)
        elif kind is _EVENT and delivery.to == EXECUTION_REPORTS.name:
            # Never kept from its acknowledgement: what is lost with this process is fetched anew by its next life.
            self._take_event(delivery)
        elif kind is _REQUEST and self.listeners.take(delivery):
            pass
        elif not self.started:
            self._early.append(delivery)
        elif kind is _REQUEST:
            self._take_request(delivery)
        elif kind is _EVENT:
            self._take_event(delivery)
        else:
            self._take_command(delivery)

    def start(self) -> None:
        """Engines have started: they take what has waited."""
        self.started = True
        self.risk_path.start()
        subscribers = {(process, route.priority) for route in self.routes.values() for process in route.processes}
        for process, priority in subscribers:
            self._mesh.dial(process, priority)  # the first event is not to wait for it
        # The first word of this life: whoever knew an earlier one looks for what that did not deliver.
        for process in {process for process, _ in subscribers}:
            self._mesh.post(process, to=HELLO, sender=self._process, kind=_EVENT, payload=b"", priority=Priority.HIGH)
        early, self._early = self._early, []
        for delivery in early:
            if delivery.deadline_ns and delivery.deadline_ns <= wall_ns():
                self._mesh.refuse_late(delivery)
            else:
                self.take(delivery)
        self.drain()

    def _take_answer(self, delivery: Delivery) -> None:
        answered = self._over_mesh.pop(delivery.id, None)
        if answered is not None:
            answered(self._result(delivery))
        self._mesh.done(delivery)

    def _result(self, delivery: Delivery) -> Message | Exception:
        if delivery.kind is _REPLY:
            try:
                return from_wire(delivery.payload)
            except ModelError as error:
                self._calls.errors.add(f"reply of {delivery.sender}", error)
                return error
        refusal = error_from(error_fields(delivery.payload))
        self._counters.increment(self._refused)
        self._calls.errors.add(f"{delivery.to} asked {delivery.sender}", refusal)
        return refusal

    def _take_request(self, delivery: Delivery) -> None:
        def answer(result: Message | Exception) -> None:
            if isinstance(result, Exception):
                self._mesh.done(delivery, error=describe_error(result))
            else:
                self._mesh.done(delivery, to_wire(result))

        try:
            message = from_wire(delivery.payload)
            if delivery.to not in self._contexts:
                raise BusError(f"no engine {delivery.to!r}", where=self._process, expected=", ".join(self._contexts))
        except NautilusError as error:
            self._calls.errors.add(f"request of {delivery.sender}", error)
            answer(error)
            return
        self.serve(delivery.to, message, answer, guarded=True, asker=delivery.sender)

    def _take_event(self, delivery: Delivery) -> None:
        try:
            event = from_wire(delivery.payload)
            events = event.reports if isinstance(event, Reports) else (event,)
            route = self._by_type.get(type(events[0])) if events else None
            if route is None:
                raise BusError(f"event {type(event).__name__}", where=delivery.sender, expected="one of a topic")
        except NautilusError as error:
            self._calls.errors.add(f"event of {delivery.sender}", error)
        else:
            for each in events:
                self._deliver(route, each)
                if each is not events[-1]:
                    self.between()
            if route.priority <= Priority.URGENT:
                for _, context in route.takers:
                    self._keep(context)
        self._mesh.done(delivery)

    def _take_command(self, delivery: Delivery) -> None:
        context = self._contexts.get(delivery.to)
        try:
            if context is None:
                raise BusError(f"no engine {delivery.to!r}", where=self._process, expected=", ".join(self._contexts))
            command = from_wire(delivery.payload)
        except NautilusError as error:
            self._calls.errors.add(f"command of {delivery.sender}", error)
        else:
            self._counters.increment(context.requests)
            self._calls.call(context, context.engine.on_command, command)
        self._mesh.done(delivery)

    # Deadlines.

    def tick(self, now_ns: int) -> None:
        """Have the mesh send what is due, and tell engines of requests that got no answer in time."""
        for number in self._mesh.tick(now_ns):
            self._unanswered(self._over_mesh.pop(number, None))
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_ns:
            self._unanswered(self._in_process.pop(heappop(deadlines)[1], None))
        if self._inbox:
            self.drain()
        if self._reports:
            self._send_reports()

    def _unanswered(self, answered: Answer | None) -> None:
        if answered is not None:
            answered(UnansweredError("no answer came in time", where=self._process))

    @property
    def due_ns(self) -> int:
        """When `tick` has something to do, on the machine's clock."""
        due_ns = self._mesh.next_due_ns
        return min(due_ns, self._deadlines[0][0]) if self._deadlines else due_ns

    @property
    def waiting(self) -> int:
        """Requests of engines that have no answer yet, and what runs for those that were asked here."""
        return len(self._over_mesh) + len(self._in_process) + self.working + len(self._durable)

    def _find_way(self, peer: str, message: Message) -> Way:
        way = self._ways[peer, type(message)] = self._routing.way(peer, type(message))
        return way


def _nothing() -> None:
    """Wakes the loop, which concludes."""


def _no_jobs(
    job: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[Any], None], background: bool
) -> None:
    raise InternalError("no place where jobs run")


__all__ = ["ANSWER_NS", "CORE", "Messages", "Server", "UnansweredError"]
