"""One object for whoever is on the bus without being an engine: programs, the command line, the gateway.

::

    client ── market data: last values, snapshots, books ──▶ the hub, and nobody else
           ── requests, commands ──────────────────────────▶ the engine's process
           ── publish(channel, message) ───────────────────▶ every process that subscribes
           ◀─ listen(topics): what others publish

It waits only where it says so. `turn` does what is due; `request`, `get_data` and `ping` turn until they are answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
import zmq

from nautilus.bus.allowed import paths_of
from nautilus.bus.asking import ReplayClient
from nautilus.bus.base import make_context, replay_endpoint
from nautilus.bus.buffer import CAPACITY, MOST_MS, SendBuffer
from nautilus.bus.carriers import ALL, Carrier
from nautilus.bus.envelope import Delivery, MessageKind, error_fields
from nautilus.bus.market_values import MarketValues, Value
from nautilus.bus.mesh import Mesh
from nautilus.bus.routing import CLIENTS, RoutingTable, is_on_star, message_of, topic_at
from nautilus.bus.security import Security
from nautilus.bus.subscriber import Subscriber
from nautilus.core.clock import now_ns
from nautilus.model.codec import from_json, from_msgpack, to_msgpack
from nautilus.model.datasets import DataAnswer, DataKind, GetData
from nautilus.model.enums import Priority
from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.model.queries import GetBook
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TOPICS, Topic

SECOND = 1_000_000_000
ANSWER_SECONDS = 5.0
RENEW_NS = SECOND
"""Between two words that this client still listens."""
ASKED_TYPES = tuple(kind.name for kind in DataKind if kind is not DataKind.QUOTE)
"""Data types for which the hub asks a data provider, where it keeps no answer."""
DATA_TYPES = ("QUOTE", "LEVEL2", "LEVEL3", "TRADE", *ASKED_TYPES)
MOST_ANSWERS = 4_096
"""Of the hub's that are remembered, for when it is away."""
LISTEN, PING = "listen", "ping"
DIRECT = {"critical": Priority.URGENT, "priority": Priority.HIGH}
"""Channels of each engine, and how urgent is what goes there at the least."""
Published = tuple[Topic, bytes, int, tuple[str, ...]]
"""What waits: its topic, payload, priority, and the processes that it is for."""


def _no_carriers(process: str) -> Sequence[Carrier]:
    return ()


class AnswerError(BusError):
    """An engine answered with an error, whose code this has."""

    code = "bus.answer"

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> AnswerError:
        """From the fields of an ERROR."""
        kind = type(
            cls.__name__, (cls,), {"code": fields["code"], "__module__": cls.__module__, "__doc__": cls.__doc__}
        )
        error: AnswerError = kind(fields["what"], where=fields["where"], expected=fields["expected"])
        return error


class NoAnswerError(BusError, TimeoutError):
    """No answer came in time: whether it was carried out is not known."""

    code = "bus.unanswered"


class FullError(BusError):
    """The buffer has no room; nothing of this call was sent."""

    code = "bus.full"


class BusClient:
    """A client of a running instance.

    Parameters
    ----------
    name
        Its own name; on the mesh ``client.NAME-PID``.
    routing
        Where messages go.
    endpoint
        (process, lane) -> where it listens on the mesh.
    star
        Endpoints of the star.
    instruments
        {symbol: instrument id}, for market data by symbol.
    table
        File of the hub's last values, on its host; None: the hub is asked for each.
    clock
        Platform time in nanoseconds, of what the star carries.
    buffer_interval_ms
        What is published within this time goes together, at most 25; what is urgent does not wait.
    capacity
        Messages that wait for that.
    priority_topics
        Channels that wait for nothing; further ones beside ``{engine}.critical`` and ``{engine}.priority``.
    carriers
        Makes the other paths of its mesh, by the name of its process; on Redis that names its streams, its consumer
        and its group as those of an engine's process (`nautilus.bus.redis_carrier.names_of`).
    security
        By which it proves its name to processes that are bound to TCP too.

    Attributes
    ----------
    buffer : what waits.
    values : last quotes and trades, and how many of them were at hand.
    """

    def __init__(
        self,
        name: str,
        routing: RoutingTable,
        endpoint: Callable[[str, str], str],
        star: str | Sequence[str],
        *,
        instruments: Mapping[str, int] | None = None,
        table: str | None = None,
        clock: Callable[[], int] = now_ns,
        buffer_interval_ms: int = 0,
        capacity: int = CAPACITY,
        priority_topics: Iterable[str] = (),
        carriers: Callable[[str], Sequence[Carrier]] = _no_carriers,
        security: Security | None = None,
    ) -> None:
        if not 0 <= buffer_interval_ms <= MOST_MS:
            raise BusError(f"an interval of {buffer_interval_ms} ms", where="client", expected=f"0 to {MOST_MS}")
        self.name = name
        self.process = f"{CLIENTS}{name}-{os.getpid()}"
        self.buffer: SendBuffer[Published] = SendBuffer(buffer_interval_ms * 1_000_000, capacity)
        self._routing = routing
        self._star = star
        self._clock = clock
        self._first = {
            *priority_topics,
            *(f"{engine}.{kind}" for engine in routing.engines for kind in DIRECT),
        }
        self._answers: dict[int, Message | bytes | BusError] = {}
        self._asked: set[int] = set()
        self._handlers: dict[str, list[Callable[[Topic, Any], object]]] = {}
        self._answered: dict[tuple[str, str], Value] = {}
        self._renew_ns = 0
        self._undo = ExitStack()
        try:
            self._context = make_context(security)
            self._undo.callback(self._context.destroy, 0)
            self.mesh = Mesh(
                self._context,
                self.process,
                now_ns(),
                endpoint,
                now_ns,
                peers=_Everybody(),
                fallbacks=carriers(self.process),
            )
            self._undo.callback(self.mesh.close)
        except BaseException:
            self._undo.close()
            raise
        self.subscriber: Subscriber | None = None
        first = star if isinstance(star, str) else star[0]
        self.values = MarketValues(
            instruments or {}, table, lambda: ReplayClient(self._context, replay_endpoint(first), timeout_seconds=1.0)
        )
        self._undo.callback(self.values.close)

    def __enter__(self) -> BusClient:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    # Messages.

    def request(self, engine: str, message: Message, *, timeout_seconds: float = ANSWER_SECONDS) -> Message:
        """Ask an engine, and wait for its reply.

        Raises
        ------
        AnswerError
            It answered with an error.
        NoAnswerError
            It did not answer in time.
        """
        way = self._routing.way(engine, type(message))
        payload = self.ask(
            way.process, way.to, to_msgpack(message), way.priority, timeout_seconds, paths=paths_of(message)
        )
        return _decoded(payload)

    def send(self, engine: str, command: Message) -> int:
        """Send a command: acknowledged, no answer. Returns its number."""
        way = self._routing.way(engine, type(command))
        return self._post(
            way.process, way.to, MessageKind.COMMAND, to_msgpack(command), way.priority, paths=paths_of(command)
        )

    def publish(self, channel: str, message: Message | Mapping[str, Any], priority: Priority | None = None) -> int:
        """Publish on a topic of the mesh, to every process with an engine that subscribes; returns how many.

        Parameters
        ----------
        channel
            Name of the topic; more after a dot is for people. ``{engine}.critical``, ``{engine}.priority``: to the
            process of that engine alone, at least URGENT, or HIGH, before all that waits.
        message
            One of the topic's, or its fields by name.
        priority
            None: that of the topic.

        Raises
        ------
        FullError
            The buffer is full.
        TopicError, ModelError
            No such topic; not a message of it; the engine does not subscribe to it.
        """
        engine, _, kind = channel.rpartition(".")
        if kind in DIRECT and engine in self._routing.engines:
            topic, event = self._routing.direct(engine, message)
            processes: tuple[str, ...] = (self._routing.process_of(engine),)
            least = min(int(DIRECT[kind]), int(topic.priority if priority is None else priority))
        else:
            topic, event = topic_at(channel), message_of(channel, message)
            processes = self._routing.processes(topic)
            least = int(topic.priority if priority is None else priority)
        item = topic, to_msgpack(event), least, processes
        if not self.buffer.put(item, least, now_ns(), first=channel in self._first):
            raise FullError(f"{len(self.buffer):,} messages wait", where="publish", expected="fewer")
        self._flush()
        return len(processes)

    def listen(self, topics: Iterable[Topic], handler: Callable[[Topic, Any], object]) -> None:
        """Call back with (topic, records) of the star, and (topic, message) of the mesh; `turn` does."""
        wanted = list(topics)
        for topic in wanted:
            self._handlers.setdefault(topic.name, []).append(handler)
        on_star = [topic for topic in TOPICS if topic.name in self._handlers and is_on_star(topic)]
        if any(is_on_star(topic) for topic in wanted):
            if self.subscriber is not None:
                self.subscriber.close()
            self.subscriber = Subscriber(self._context, self._star, on_star, clock=self._clock)
        self._renew_ns = 0

    def ping(
        self, process: str, priority: Priority = Priority.NORMAL, *, timeout_seconds: float = ANSWER_SECONDS
    ) -> int:
        """Nanoseconds until a process has answered; NoAnswerError where it does not."""
        begun_ns = now_ns()
        self.ask(process, PING, b"", priority, timeout_seconds)
        return now_ns() - begun_ns

    # Market data.

    def get_data(
        self, symbols: Iterable[str], data_types: Iterable[str], *, levels: int = 10, timeout_seconds: float = 1.0
    ) -> dict[str, dict[str, Value]]:
        """{symbol: {data type: value}} from the hub, or the last that is known here, marked stale, where it is away.

        Parameters
        ----------
        symbols
            Of instruments.
        data_types
            ``QUOTE``, ``TRADE``: the last of them; ``LEVEL2``, ``LEVEL3``: the book; ``BAR``, ``FUNDAMENTAL``,
            ``ECONOMIC``, ``LISTING``, ``EVENT``: what a data provider has of any symbol (`DataAnswer`).
        levels
            Of a book.

        Raises
        ------
        BusError
            Another data type; nothing is known of an instrument and the hub is away.
        """
        kinds = list(data_types)
        for kind in kinds:
            if kind not in DATA_TYPES:
                raise BusError(f"data type {kind!r}", where="get_data", expected=", ".join(DATA_TYPES))
        found: dict[str, dict[str, Value]] = {symbol: {} for symbol in symbols}
        for symbol, values in found.items():
            for kind in kinds:
                if kind.startswith("LEVEL"):
                    question: Message = GetBook(symbol, levels, int(kind[-1]))
                    values[kind] = self._asked_of_hub(symbol, kind, question, timeout_seconds)
                elif kind in ASKED_TYPES:
                    question = GetData(DataKind[kind], symbol)
                    values[kind] = self._asked_of_hub(symbol, kind, question, timeout_seconds)
                else:
                    values[kind] = self.values.get(symbol, kind)
        return found

    def _asked_of_hub(self, symbol: str, kind: str, question: Message, timeout_seconds: float) -> Value:
        try:
            answer = self.request(QUOTES.publisher, question, timeout_seconds=timeout_seconds)
        except NoAnswerError:
            known = self._answered.get((symbol, kind))
            if known is None:
                raise
            self._answered[symbol, kind] = known._replace(stale=True)
        else:
            old = isinstance(answer, DataAnswer) and answer.stale
            while len(self._answered) >= MOST_ANSWERS:
                del self._answered[next(iter(self._answered))]
            self._answered[symbol, kind] = Value(answer, old, now_ns())
        return self._answered[symbol, kind]

    # The loop.

    def turn(self, wait_seconds: float = 0.0) -> None:
        """Do what is due and take what has come; wait so long for something."""
        self._renew()
        self._flush()
        due_ns = min(self.mesh.next_due_ns, self.buffer.due_ns, self._renew_ns or 1 << 62)
        wait_ms = max(0.0, min(wait_seconds * 1e3, (due_ns - now_ns()) / 1e6))
        subscriber = self.subscriber
        sockets: list[Any] = [
            *self.mesh.sockets(),
            *self.mesh.descriptors(),
            *((subscriber.socket,) if subscriber is not None else ()),
        ]
        ready = [socket for socket, _ in zmq.zmq_poll([(each, zmq.POLLIN) for each in sockets], int(wait_ms + 0.999))]
        for delivery in self.mesh.receive(ready=ready):
            self._take(delivery)
        for number in self.mesh.tick(now_ns()):
            if number in self._asked:
                self._answers[number] = NoAnswerError("no answer came in time", where=self.process)
        self._flush()
        if subscriber is not None:
            for topic, records in subscriber.drain():
                self._hand_out(topic, records)

    def close(self) -> None:
        """Take leave and give back everything; a second time does nothing."""
        if self._context.closed:
            return
        if self._handlers:
            for process in self._publishers():
                self._post(process, LISTEN, MessageKind.REQUEST, msgspec.msgpack.encode([]), Priority.NORMAL, 0.2)
            end_ns = now_ns() + SECOND // 5
            while self.mesh.pending() and now_ns() < end_ns:
                self.turn(0.01)
        if self.subscriber is not None:
            self.subscriber.close()
            self.subscriber = None
        self._undo.close()

    def _renew(self) -> None:
        """Say anew what this client listens to."""
        moment_ns = now_ns()
        if not self._handlers or moment_ns < self._renew_ns:
            return
        self._renew_ns = moment_ns + RENEW_NS
        wanted = [name for name in self._handlers if not is_on_star(topic_at(name))]
        for process in self._publishers() if wanted else ():
            self._post(process, LISTEN, MessageKind.REQUEST, msgspec.msgpack.encode(wanted), Priority.NORMAL, 1.0)

    def _publishers(self) -> list[str]:
        """Processes that publish what this client listens to."""
        engines = {topic.publisher for topic in TOPICS if topic.name in self._handlers and not is_on_star(topic)}
        known = engines.intersection(self._routing.engines)
        return sorted({self._routing.process_of(engine) for engine in known})

    def _flush(self) -> None:
        for topic, payload, priority, processes in self.buffer.take(now_ns()):
            for process in processes:
                self._post(process, topic.name, MessageKind.EVENT, payload, priority)

    def ask(
        self,
        process: str,
        to: str,
        payload: bytes,
        priority: int,
        timeout_seconds: float = ANSWER_SECONDS,
        *,
        paths: int = ALL,
    ) -> bytes:
        """Ask a process itself, and wait for the bytes that it answers with; raises as `request`."""
        number = self._post(process, to, MessageKind.REQUEST, payload, priority, timeout_seconds, paths)
        self._asked.add(number)
        try:
            while number not in self._answers:
                self.turn(0.05)
            answer = self._answers.pop(number)
        finally:
            self._asked.discard(number)
        if isinstance(answer, BusError):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def _post(
        self,
        process: str,
        to: str,
        kind: MessageKind,
        payload: bytes,
        priority: int,
        timeout_seconds: float = 0.0,
        paths: int = ALL,
    ) -> int:
        deadline_ns = now_ns() + int(timeout_seconds * SECOND) if timeout_seconds else 0
        return self.mesh.post(
            process,
            to=to,
            sender=self.name,
            kind=kind,
            payload=payload,
            priority=priority,
            deadline_ns=deadline_ns,
            paths=paths,
        )

    def _take(self, delivery: Delivery) -> None:
        if delivery.kind is MessageKind.REPLY or delivery.kind is MessageKind.ERROR:
            if delivery.id in self._asked:
                failed = delivery.kind is MessageKind.ERROR
                self._answers[delivery.id] = (
                    AnswerError.of(error_fields(delivery.payload)) if failed else delivery.payload
                )
        elif delivery.kind is MessageKind.EVENT and delivery.to in self._handlers:
            self._hand_out(topic_at(delivery.to), _decoded(delivery.payload))
        self.mesh.done(delivery)

    def _hand_out(self, topic: Topic, what: Message | Records) -> None:
        for handler in self._handlers.get(topic.name, ()):
            handler(topic, what)


class _Everybody:
    """Whoever dials a client may speak to it: it carries nothing out."""

    def __contains__(self, name: object) -> bool:
        return True


def _decoded(payload: bytes) -> Message:
    return from_json(payload) if payload[:1] == b"[" else from_msgpack(payload)
