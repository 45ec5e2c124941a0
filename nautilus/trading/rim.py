"""What the trading engine stands on in the live platform: the core beyond shared rings, and its events of the past.

A command that this process sends is waited for, so that the engine's handlers are the same as in lock-step; what the
core says meanwhile is kept and reported right after, in order.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from select import select
from typing import Any, Protocol

import msgspec
import numpy as np

from nautilus.core.clock import now_ns
from nautilus.core.eventlog import EventLog
from nautilus.core.port import URGENT_SOURCE
from nautilus.core.types import CommandKind, Reason
from nautilus.engines.trading import TradingEngine
from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.model.phases import GetPhases, PhaseResult
from nautilus.model.queries import (
    AmendRequest,
    GetCoreState,
    GetKillSwitch,
    GetOrders,
    KillResult,
    OrderResult,
)
from nautilus.model.records import Records
from nautilus.trading.client import ABSENT, SILENT, CoreAbsentError, CoreClient, overtakes
from nautilus.trading.epochs import read_epoch

_LOG = logging.getLogger("nautilus.trading")

MOST_WAIT_NS = 400_000_000
SILENT_WAIT_NS = 20_000_000
"""The same where the core is known to be silent: more may want to be sent, a kill switch behind a cancel."""
LOOK_NS = 1_000_000
SOURCE_ID = 3
"""Orders of people and programs over HTTP, as a sender of commands."""
SLOT = "trading"
CHECK_NS = 20_000_000
PAUSE_NS = 500_000
"""Reports of what happens close together go out together; what happens alone is reported at once."""
CHUNK = 256
"""Events reported in one call of the engine's handler."""
TURN_NS = 2_000_000
MOST_WAITING = 64
"""Batches of events that may wait here; more are left to the core's feed, which cuts us off and is caught up with."""

_ENTERING = (CommandKind.NEW, CommandKind.REPLACE)
_IN_TIME = (*_ENTERING, CommandKind.RESUME, CommandKind.SESSION)
"""What must not be carried out after its sender was told that nobody knows: cancels and kill switches may."""
_READS_ORDERS = (AmendRequest, GetOrders, GetKillSwitch, GetPhases)
"""What is answered from the reports: whoever was told of an order is to find it here."""

Answer = Callable[["Message | Exception"], None]


class OutcomeUnknownError(BusError):
    """A command was sent and no answer came in time: it may have been carried out."""

    code = "bus.unknown"


class RefusedError(BusError):
    """The core cannot take it now; it was not sequenced and may be sent again."""

    code = "bus.refused"


class History:
    """The event log, as the trading engine asks for it."""

    def __init__(self, path: str) -> None:
        self._log = EventLog(path)

    def read(self, first: int, limit: int, /) -> tuple[Records, np.ndarray]:
        """See `nautilus.engines.trading.EventHistory`."""
        records = self._log.read(first, limit)
        return np.ascontiguousarray(records["event"]), np.ascontiguousarray(records["kind"])


class RemoteCore:
    """`Core` over a `CoreClient`: `process` sends, waits, and gives the events of its own commands."""

    feeds = True
    """Every event also comes by `take_feed`, in order."""

    def __init__(self, wait_ns: int = MOST_WAIT_NS) -> None:
        self.wait_ns = wait_ns
        """An answer that takes longer is not waited for: what became of the command is unknown."""
        self.client: CoreClient | None = None
        self.clock: Callable[[], int] = now_ns
        """Platform time, as this process has it."""
        self.speed = 1.0
        """Nanoseconds of platform time to one of the machine's."""
        self.note: Callable[[Records], object] | None = None
        """Called with commands before they are sent."""
        self._ahead_ns = 0  # how far the core's platform time is ahead of ours at least; negative: behind
        self._feed: list[tuple[Records, np.ndarray]] = []

    def process(self, commands: Records, /) -> Records:
        """Events of the commands. What enters the market is given a deadline: the end of the wait.

        Raises
        ------
        CoreAbsentError, CoreBusyError, RefusedError
            They were not taken.
        OutcomeUnknownError
            No answer came in time.
        """
        client = self.client
        if client is None:
            raise CoreAbsentError("no trading core yet", where="trading", expected="a running one")
        kind = int(commands["kind"][0])
        if client.silent:
            client.check()  # that may be over
        silent = client.silent
        if silent and kind in _ENTERING:
            raise RefusedError(
                f"{SILENT}: {_subject(commands)} was not sent", where="trading core", expected="to be sent again later"
            )
        urgent = overtakes(kind)
        begun_ns = now_ns()
        until_ns = begun_ns + (SILENT_WAIT_NS if silent else self.wait_ns)
        sent_ns = self.clock()
        if kind in _IN_TIME:
            self._limit(commands, sent_ns, until_ns - begun_ns)
        if self.note is not None:
            self.note(commands)
        last = client.submit(commands, urgent=urgent)
        first = last - len(commands) + 1
        source_id = client.source_id | URGENT_SOURCE if urgent else client.source_id
        own: list[Records] = []
        looked_ns = 0
        absent = 0
        while True:
            batch = client.poll(LOOK_NS)
            if batch is None:
                at_ns = now_ns()
                if at_ns - looked_ns > CHECK_NS:
                    looked_ns = at_ns
                    client.check()
                absent = absent + 1 if client.absent else 0
                # One look more for one that has gone: another may be there already.
                if at_ns > until_ns or absent > 1:
                    why = ABSENT if client.absent else SILENT
                    raise _unknown(why, commands, until_ns if kind in _IN_TIME else 0)
                if client.joining:
                    select((), (), (), LOOK_NS / 1e9)  # it has nothing to wait on yet
                continue
            if len(batch.events):
                self._feed.append((batch.events, batch.kinds))
                events = batch.events
                told = client.told(first, urgent=urgent)
                numbers = events["source_sequence"]
                mine = numbers == told if first == last else (numbers >= told) & (numbers <= told + last - first)
                mine &= events["source_id"] == source_id
                if mine.any():
                    own.append(events[mine])
            if len(batch.refusals):
                refusals = batch.refusals
                refused = refusals[(refusals["source_id"] == source_id) & (refusals["source_sequence"] >= first)]
                if len(refused):
                    raise RefusedError(
                        f"the core refused {_subject(commands)}: {Reason(int(refused['reason'][0])).name}",
                        where="trading core",
                        expected="to be sent again later",
                    )
            if own and (batch.completed_urgent if urgent else batch.completed) >= last:
                answer = own[0] if len(own) == 1 else np.concatenate(own)
                self._compare_clocks(sent_ns, int(answer["now_ns"][-1]), self.clock())
                return answer

    def _limit(self, commands: Records, sent_ns: int, wait_ns: int) -> None:
        """Let the core refuse what it sequences after the wait (LATE); a sender's own deadline may be earlier."""
        given_ns = int(commands["deadline_ns"][0])
        limit_ns = sent_ns + self._ahead_ns + int(wait_ns * self.speed)
        commands["deadline_ns"] = min(given_ns, limit_ns) if given_ns else limit_ns

    def _compare_clocks(self, sent_ns: int, sequenced_ns: int, heard_ns: int) -> None:
        """A clock that is set goes back here at once, and in the core never: without this all would be LATE there.

        Where the two agree, what was sequenced between the sending and the answer says so, and nothing is added.
        """
        self._ahead_ns = min(sequenced_ns - sent_ns, 0) or max(sequenced_ns - heard_ns, 0)

    def take_feed(self) -> list[tuple[Records, np.ndarray]]:
        """What came since, and was not taken yet."""
        feed, self._feed = self._feed, []
        return feed

    @property
    def has_feed(self) -> bool:
        """Something came that was not taken yet."""
        return bool(self._feed)

    def poll(self) -> bool:
        """Keep what the core has said; whether it has said anything."""
        batch = self.client.poll() if self.client is not None else None
        if batch is not None and len(batch.events):
            self._feed.append((batch.events, batch.kinds))
        return batch is not None


def _subject(commands: Records) -> str:
    """A command by the name that its sender can look it up by."""
    order_id = int(commands["order_id"][0])
    return f"order {order_id}" if order_id else CommandKind(int(commands["kind"][0])).name


def _unknown(why: str, commands: Records, until_ns: int) -> OutcomeUnknownError:
    """`until_ns`: the core does not carry it out after that; 0: it does whenever it can."""
    known = f"{why}: what became of {_subject(commands)} is not known"
    end = "it is carried out as soon as the core can"
    if until_ns:
        time = datetime.fromtimestamp(until_ns / 1e9, UTC)
        end = f"after {time:%H:%M:%S}.{time.microsecond // 1000:03d} UTC it is not carried out any more"
    path = "/orders" if commands["order_id"][0] else "/kill-switch"
    return OutcomeUnknownError(f"{known}; {end}", where="trading core", expected=f"GET {path} to say so")


class PlatformTime(Protocol):
    """The host's clock."""

    anchor: Any  # its `speed`: nanoseconds of platform time to one of the machine's
    now_ns: Callable[[], int]


class Served(Protocol):
    """A host's context of the trading engine."""

    engine: Any


class Host(Protocol):
    """What is asked of the live host."""

    @property
    def clock(self) -> PlatformTime:
        """Platform time."""
        ...

    def add_source(self, item: Any, callback: Callable[[], object], *, arm: Callable[[], bool] | None = None) -> None:
        """Call back when the descriptor can be read; `arm` before each wait, False: there is something already."""
        ...

    def remove_source(self, item: Any) -> None:
        """Wait for it no longer."""
        ...

    def later(self, wait_ns: int, callback: Callable[[], object], /) -> None:
        """Call back once, after so much of the machine's time."""
        ...

    def ask(self, peer: str, message: Message, answered: Callable[[Message | Exception], None], /) -> None:
        """Ask another process; an exception says why there is no answer."""
        ...

    def set_server(self, engine: str, server: Callable[[Message, Answer], None], /) -> None:
        """Let `server` answer the engine's requests."""
        ...

    def call(self, context: Any, handler: Callable[..., Any], /, *arguments: Any) -> object:
        """Run ``handler(*arguments, context)``; its errors are counted and logged."""
        ...

    def serve(self, context: Any, message: Message, /) -> Any:
        """The reply of the engine's own request handler."""
        ...

    def renew(self, context: Any, /) -> None:
        """Put a new engine in the place of the one that is there."""
        ...


class Rim:
    """Feeds the trading engine of a process with the core's events, and answers its requests.

    Parameters
    ----------
    context
        Of the trading engine.
    core
        That the engine was made with.
    shared, log
        Shared memory of the instance; directory of the event log.
    """

    def __init__(self, host: Host, context: Served, core: RemoteCore, shared: str, log: str) -> None:
        self._host = host
        self._context = context
        self._core = core
        core.clock, core.speed = host.clock.now_ns, host.clock.anchor.speed
        self._shared = shared
        self._log = log
        self._descriptor = -1
        self._restarts = 0
        self._closed = False
        self._live = False
        self._feed: deque[tuple[Records, np.ndarray]] = deque()
        self._put_off = False
        self._pumped_ns = 0
        self._pausing = False

    @property
    def ready(self) -> bool:
        """Every event of the past is known."""
        return self._live

    @property
    def refuses(self) -> str:
        """See `Part.refuses`."""
        client = self._core.client
        return client.refuses if client is not None else ""

    def start(self) -> None:
        """Begin once the engine has its saved state."""
        self._host.set_server("trading", self.serve)
        self._host.later(0, self._begin)

    def open(self) -> None:
        """Nothing waits for the market here."""

    def stop(self) -> None:
        """Report what has come, and let go of the core."""
        self._closed = True
        if self._core.client is not None:
            self.pump()
            self._unwatch()
            self._core.client.close()

    def serve(self, message: Message, answer: Answer) -> None:
        """Answer a request, then report what the core said meanwhile."""
        started_ns = now_ns()
        try:
            if isinstance(message, GetCoreState):
                self._host.ask("core", message, answer)
                return
            if isinstance(message, _READS_ORDERS):
                self.flush(None)
            reply = self._host.serve(self._context, message)
            if isinstance(reply, OrderResult | KillResult | PhaseResult):
                reply = msgspec.structs.replace(reply, latency_us=(now_ns() - started_ns) / 1000)
        except Exception as error:
            answer(error)
        else:
            answer(reply)
        # A little later: who asked is to have the answer before the reports are made.
        self._put_off_flush(PAUSE_NS)

    def pump(self) -> None:
        """Report what the core has said."""
        client = self._core.client
        assert client is not None
        client.disarm()
        # Where it had nothing to say, nor has, the host sleeps until it does.
        if len(self._feed) >= MOST_WAITING or self._core.poll() or not client.current:
            self._pumped_ns = now_ns()
        self.flush()
        if not self._live and client.current and not self._feed:
            # From here on reports are published; what came before is there for those who ask.
            self._live = True
        self._renew()

    def flush(self, turn_ns: int | None = TURN_NS) -> None:
        """Report what came in, `turn_ns` at a time so that requests are answered in between; None: all of it."""
        self._feed.extend(self._core.take_feed())
        until_ns = None if turn_ns is None else now_ns() + turn_ns
        while self._feed:
            events, kinds = self._feed[0]
            engine = self._context.engine
            if not self._live:
                engine.catch_up(events, kinds)
                self._feed.popleft()
                continue
            self._host.call(self._context, engine.on_feed, events[:CHUNK], kinds[:CHUNK])
            if len(events) > CHUNK:
                self._feed[0] = (events[CHUNK:], kinds[CHUNK:])
            else:
                self._feed.popleft()
            if self._feed and until_ns is not None and now_ns() > until_ns:
                self._put_off_flush(0)
                return

    def _put_off_flush(self, wait_ns: int) -> None:
        if not self._put_off:
            self._put_off = True
            self._host.later(wait_ns, self._go_on)

    def _go_on(self) -> None:
        self._put_off = False
        self.flush()

    def _arm(self) -> bool:
        """Before the host sleeps. While much happens the feed is not looked at more than once in PAUSE_NS."""
        client = self._core.client
        if client is None:
            return True
        pause_ns = self._pumped_ns + PAUSE_NS - now_ns()
        if pause_ns <= 0:
            return client.arm()
        if not self._pausing:
            self._pausing = True
            self._host.later(pause_ns, self._resume)
        return True

    def _resume(self) -> None:
        self._pausing = False
        if not self._closed and self._core.client is not None:
            self.pump()

    def _begin(self) -> None:
        engine: TradingEngine = self._context.engine
        engine.history = History(self._log)
        engine.settle = partial(self.flush, None)
        self._core.client = CoreClient(
            self._shared,
            SLOT,
            source_id=SOURCE_ID,
            log=self._log,
            after=engine.last_sequence,
            least_epoch=read_epoch(Path(self._log).parent).epoch,
            silence_ns=self._core.wait_ns // 2,
        )
        self._watch()

    def _watch(self) -> None:
        """Now and then: whether there is a core, another one, or one that died without a word."""
        client = self._core.client
        if self._closed or client is None:
            return
        client.check()
        if client.ahead:
            _LOG.error("saved state of the trading engine is ahead of the core's events: it starts anew")
            client.close()
            self._unwatch()
            self._core.client = None
            self._host.renew(self._context)
            self._host.later(0, self._begin)
            return
        if self._live and client.current and not self._feed and not self._core.has_feed:
            self._renew()  # what it says from now on wakes the host
        else:
            self.pump()
        at_rest = client.current or client.absent or client.silent
        self._host.later(CHECK_NS if at_rest else 0, self._watch)

    def _renew(self) -> None:
        client = self._core.client
        descriptor, restarts = (client.fileno(), client.restarts) if client is not None else (-1, 0)
        # After a restart of the core a new descriptor may have the number of the old one.
        if (descriptor, restarts) != (self._descriptor, self._restarts):
            self._unwatch()
            self._restarts = restarts
            if descriptor >= 0:
                self._host.add_source(descriptor, self.pump, arm=self._arm)
                self._descriptor = descriptor

    def _unwatch(self) -> None:
        if self._descriptor >= 0:
            self._host.remove_source(self._descriptor)
            self._descriptor = -1
