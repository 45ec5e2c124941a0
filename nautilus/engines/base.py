"""What an engine is, and what it may do: subscriptions, handlers, and a `Context`.

Engines are pure. A handler is a plain function of a message and a `Context`; it never reads a clock, opens a socket,
waits, logs or draws a random number of its own. So the live host and the lock-step host run the same engine, and the
same input gives the same output. Handlers are called one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import Topic


class RandomSource(Protocol):
    """A seeded generator of this engine's own."""

    def random(self) -> float:
        """A number from 0 up to 1."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """A whole number from `start` up to `stop`."""
        ...

    def gauss(self, mu: float, sigma: float, /) -> float:
        """A normal variate."""
        ...


class Context(Protocol):
    """The one way from a handler to the world. A host gives each engine one, for all its life."""

    @property
    def now_ns(self) -> int:
        """Time of the message that is handled, in nanoseconds since the epoch; the same during one handler call."""
        ...

    @property
    def random(self) -> RandomSource:
        """This engine's own seeded generator."""
        ...

    def publish(self, event: Message | Records, /) -> None:
        """Publish a message or records on the topic of their type."""
        ...

    def send(self, peer: str, command: Message, /) -> None:
        """Send to the peer's `on_command`; acknowledged and retried by the bus, no answer."""
        ...

    def request(self, peer: str, message: Message, deadline_ns: int = 0, /) -> int:
        """Ask the peer's `on_request`; exactly one `on_reply` or `on_unknown` follows, by the deadline (0: none).

        Returns the number of the request.
        """
        ...

    def at(self, ns: int, key: str, /) -> None:
        """Call `on_timer` with the key at a time, not before this handler has ended. The same key arms anew."""
        ...

    def next_id(self) -> int:
        """A number that no call gave before, to any engine of this host."""
        ...

    def submit(self, job: Callable[..., Any], arguments: tuple[Any, ...], /) -> int:
        """Run a pure function of more than a millisecond elsewhere; `on_result` follows. Returns its number."""
        ...


class Work(NamedTuple):
    """Returned by `on_request` in place of a reply that takes more than a millisecond to compute.

    The host runs the job elsewhere, as with `Context.submit`; what comes of it is the reply, and what it raises is the
    error that the asker is told.

    Parameters
    ----------
    job
        A pure function of a module.
    arguments
        Plain values, tuples, arrays, messages.
    finish
        Makes the reply of the job's result, in the engine's turn; None: the result is the reply.
    background
        Where jobs of `Context.submit` are done: for what takes long and may load much.
    """

    job: Callable[..., Any]
    arguments: tuple[Any, ...]
    finish: Callable[[Any], Message] | None = None
    background: bool = False


class Core(Protocol):
    """The trading core, as engines use it: `nautilus.core.Kernel`."""

    def process(self, commands: Records, /) -> Records:
        """Apply a COMMAND array; the EVENT array that came of it."""
        ...


class DepthView(Protocol):
    """Reads the core's books."""

    def depth(self, instrument_id: int, levels: int, /) -> tuple[Records, Records]:
        """Bids and asks, best first, each with `price_ticks`, `quantity` and `orders`."""
        ...


class Caches(Protocol):
    """The answers of engines that the gateway keeps."""

    def invalidate(self, engine: str, prefix: str = "", /) -> None:
        """Forget those of an engine ("": of every one) whose path begins so."""
        ...


class FeatureSets(Protocol):
    """Writes features of histories into files for training.

    Attributes
    ----------
    places : where they go to, and where stored histories are.
    write : a job, `write(*places, request)`: its answer says what was written.
    """

    @property
    def places(self) -> tuple[str, ...]:
        """As `write` takes them."""
        ...

    @property
    def write(self) -> Callable[..., Message]:
        """A function of a module."""
        ...


class FeatureStore(Protocol):
    """Where the latest figures of something are kept for tools that read them there."""

    def put(self, name: str, values: Mapping[str, float | str], /) -> None:
        """Keep the newest figures of that name; it never waits."""
        ...


class NoFeatureStore:
    """Where none is configured."""

    def put(self, name: str, values: Mapping[str, float | str], /) -> None:
        """They are kept nowhere."""


class Operation(NamedTuple):
    """An HTTP operation: a route onto the request handler that the mesh uses too; handlers never see HTTP.

    Parameters
    ----------
    method, path
        ``GET``, ``POST`` ...; parts of the path in braces, the query and the fields of the JSON body fill the fields
        of the request by name.
    request, reply
        Message types of `on_request`.
    summary
        One line for people.
    scope
        Of the key that a caller needs: ``read``, ``trade`` or ``admin``; "": ``read`` for a GET, else ``trade``.
    scopes
        (field, value, scope): where the request has that value, it takes that scope besides.
    priority
        ``critical``, ``high``, ``normal`` or ``low``: who is turned away first where there is too much to do.
    budget_ms
        Milliseconds within which it has to be answered: a little before, the caller is told that it was not. 0: as long
        as a port waits.
    fallback
        What a caller gets in place of an answer that does not come: ``error``: that it failed; ``last``: over HTTP the
        last good answer to the same question, marked as old; ``reconcile``: that nobody knows, and has to ask. "": as
        `fallback_of` has it.
    idempotent
        Done twice it is as done once. A GET always is; an order never is.
    exempt
        Neither breaker nor limit ever refuses it: what makes the position smaller or stops the trading.
    waits
        What answers may wait for is outside the platform, and has bounds of its own: neither breaker nor limit looks at
        it, as how long that takes, and whether it fails, says nothing of the engine.
    budget_of
        The budget of one request in milliseconds, where it depends on what is asked (`budget_ms` is that of the usual
        one): one of a few values, also for a request that will be refused. None: it is `budget_ms`.
    durable
        What it changes only this engine knows: a live host gives the answer once a state that has the change is on
        disk, so that what was said to be done is not lost, whatever happens.
    """

    method: str
    path: str
    request: type[Message]
    reply: type[Message]
    summary: str
    scope: str = ""
    priority: str = "normal"
    budget_ms: float = 0.0
    fallback: str = ""
    idempotent: bool = False
    exempt: bool = False
    scopes: tuple[tuple[str, object, str], ...] = ()
    waits: bool = False
    budget_of: Callable[[Any], float] | None = None
    durable: bool = False


def fallback_of(operation: Operation) -> str:
    """What an operation falls back to: where it says nothing, ``reconcile`` if it changes something, else ``error``."""
    if operation.fallback:
        return operation.fallback
    return "error" if operation.method == "GET" or operation.scope == "read" else "reconcile"


class Stream(NamedTuple):
    """What an engine publishes on a topic, over WebSockets: everybody who listens gets the same, and says nothing.

    Parameters
    ----------
    path
        Without parts in braces: all of the topic.
    topic
        One of messages, which the engine publishes.
    summary
        One line for people.
    scope
        Of the key that a caller needs.
    """

    path: str
    topic: Topic
    summary: str
    scope: str = "read"


class Engine:
    """Base of every engine: override what is needed, the rest does nothing.

    A topic names the handler that takes what arrives on it (`on_quote`, `on_trade`, `on_book`, `on_events`,
    `on_report`, `on_alert`, `on_position`); a subscriber defines it.
    """

    name: ClassVar[str]
    source_id: ClassVar[int] = 0
    """Names this engine to the trading core as a sender of commands; 0: it sends none."""
    publishes: ClassVar[tuple[Topic, ...]] = ()
    subscribes: tuple[Topic, ...] = ()
    takes_arrays: ClassVar[bool] = False
    """Its handlers of market data take whole arrays of records, not one message for each."""
    patience_ns: ClassVar[int] = 0
    """A live host may let market data gather for so long before it hands them over; 0: each is wanted at once."""
    warms: ClassVar[tuple[Callable[[], object], ...]] = ()
    """Functions of modules that a live host calls where `Work` is done, before the engine counts as ready: they load or
    compile what no request is to wait for. Jobs of `Context.submit` are done in another process, which is there only
    while it has some."""
    warms_here: ClassVar[tuple[Callable[[], object], ...]] = ()
    """The same, in the engine's own process."""
    present_only: ClassVar[tuple[type[Message], ...]] = ()
    """Questions that a live host refuses while the engine still takes in the execution reports that it has missed: what
    it knows then is of the past, and an answer would be a wrong one."""
    strategies_only: ClassVar[bool] = False
    """Of execution reports it needs those of strategies' orders alone; a host may keep the others from it."""
    operations: ClassVar[tuple[Operation, ...]] = ()
    """What it answers over HTTP."""
    streams: ClassVar[tuple[Stream, ...]] = ()
    """What of it may be listened to over WebSockets."""

    def on_start(self, ctx: Context) -> None:
        """Before the first message."""

    def on_stop(self, ctx: Context) -> None:
        """After the last message; what is sent here is still delivered."""

    def on_command(self, command: Message, ctx: Context) -> None:
        """A peer sent this."""
        raise ModelError(f"command {type(command).__name__}", where=self.name, expected="a command that it takes")

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """A peer asks this; the returned message is the reply, or what comes of the returned work."""
        raise ModelError(f"request {type(message).__name__}", where=self.name, expected="a request that it answers")

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """The answer to a request."""

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """No answer came in time: whether the request was carried out is not known."""

    def on_timer(self, key: str, ctx: Context) -> None:
        """A timer set with `Context.at` is due."""

    def on_result(self, number: int, result: Any, ctx: Context) -> None:
        """A job given to `Context.submit` is done."""

    def state(self) -> dict[str, Any]:
        """All that the engine must know to go on, in plain values (str, int, float, bool, None, list, dict)."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave, in a new engine before its `on_start`."""

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """The large parts of the state that change seldom: by name a version, and what gives the part.

        A part is of plain values and numpy arrays. A live host writes each to a file of its own when its version is
        another one than before, a few at a time; what is no longer named is removed.
        """
        return {}

    def restore_bulk(self, name: str, part: Any) -> None:
        """Take over a part that `bulk()` gave, before `restore`."""

    def resume(self, source_sequence: int, ctx: Context) -> None:
        """After a restart and before `on_start`: the last of its commands that the core has taken (0: none)."""


__all__ = [
    "Caches",
    "Context",
    "Core",
    "DepthView",
    "Engine",
    "FeatureSets",
    "FeatureStore",
    "NoFeatureStore",
    "Operation",
    "RandomSource",
    "Stream",
    "Work",
    "fallback_of",
]
