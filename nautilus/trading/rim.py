"""What the trading engine stands on in the live platform: the core beyond shared rings, and its events of the past.

A command that this process sends is waited for, so that the engine's handlers are the same as in lock-step; what the
core says meanwhile is kept and reported right after, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from nautilus.core.eventlog import EventLog
from nautilus.core.types import CommandKind
from nautilus.engines.base import Context
from nautilus.engines.trading import TradingEngine
from nautilus.model.errors import BusError
from nautilus.model.records import Records
from nautilus.trading.client import CoreClient

MOST_WAIT_NS = 400_000_000
"""An answer of the core that takes longer is not waited for: what became of the command is unknown."""
SOURCE_ID = 3
"""Orders of people and programs over HTTP, as a sender of commands."""
SLOT = "trading"
CHECK_NS = 20_000_000


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

    def __init__(self, client: CoreClient) -> None:
        self._client = client
        self._feed: list[tuple[Records, np.ndarray]] = []

    def process(self, commands: Records, /) -> Records:
        """Events of the commands.

        Raises
        ------
        CoreAbsentError, CoreBusyError, RefusedError
            They were not taken.
        OutcomeUnknownError
            No answer came in time.
        """
        client = self._client
        urgent = bool(len(commands)) and int(commands["kind"][0]) in (CommandKind.KILL, CommandKind.MASS_CANCEL)
        last = client.submit(commands, urgent=urgent)
        first = last - len(commands) + 1
        source_id = client.source_id | 0x8000 if urgent else client.source_id
        own: list[Records] = []
        waited_ns = 0
        while True:
            batch = client.poll(1_000_000)
            if batch is None:
                waited_ns += 1_000_000
                if waited_ns > MOST_WAIT_NS:
                    raise OutcomeUnknownError(
                        "the core has not answered in time: whether it was carried out is not known",
                        where="trading core",
                        expected="a report or GET /orders to say so",
                    )
                continue
            if len(batch.events):
                self._feed.append((batch.events, batch.kinds))
                events = batch.events
                mine = (events["source_id"] == source_id) & (events["source_sequence"] >= first)
                if mine.any():
                    own.append(events[mine])
            if len(batch.refusals):
                refused = batch.refusals[batch.refusals["source_sequence"] >= first]
                if len(refused):
                    raise RefusedError(
                        f"the core refused it: {_reason(int(refused['reason'][0]))}",
                        where="trading core",
                        expected="to be sent again later",
                    )
            if (batch.completed_urgent if urgent else batch.completed) >= last:
                return own[0] if len(own) == 1 else np.concatenate(own)

    def take_feed(self) -> list[tuple[Records, np.ndarray]]:
        """What came since, and was not taken yet."""
        feed, self._feed = self._feed, []
        return feed

    def poll(self) -> None:
        """Keep what the core has said."""
        batch = self._client.poll()
        if batch is not None and len(batch.events):
            self._feed.append((batch.events, batch.kinds))


class Host(Protocol):
    """What is asked of the live host."""

    def add_source(self, item: Any, callback: Callable[[], object], *, arm: Callable[[], bool] | None = None) -> None:
        """Call back when the descriptor can be read; `arm` before each wait, False: there is something already."""
        ...

    def remove_source(self, item: Any) -> None:
        """Wait for it no longer."""
        ...

    def call_in(self, ns: int, callback: Callable[[], object]) -> None:
        """Call back once, after so much of the machine's time."""
        ...


class Rim:
    """Feeds the trading engine of this process with the core's events, for as long as the process lives.

    Parameters
    ----------
    call
        Calls a function with arguments as a handler of the engine: its errors are counted and logged.
    """

    def __init__(
        self,
        host: Host,
        client: CoreClient,
        core: RemoteCore,
        engine: TradingEngine,
        ctx: Context,
        call: Callable[..., None],
    ) -> None:
        self._host = host
        self._client = client
        self._core = core
        self._engine = engine
        self._ctx = ctx
        self._call = call
        self._descriptor = -1
        self._closed = False
        self._watch()

    @property
    def is_ready(self) -> bool:
        """A core is there, and every event of the past has been reported."""
        return self._client.current

    def pump(self) -> None:
        """Report what the core has said."""
        self._client.disarm()
        self._core.poll()
        self.flush()
        self._renew()

    def flush(self) -> None:
        """Report what came in while a command was waited for."""
        for events, kinds in self._core.take_feed():
            self._call(self._engine.on_feed, events, kinds, self._ctx)

    def close(self) -> None:
        """Let go of the core."""
        self._closed = True
        if self._descriptor >= 0:
            self._host.remove_source(self._descriptor)
            self._descriptor = -1
        self._client.close()

    def _watch(self) -> None:
        """Now and then: whether there is a core, another one, or one that died without a word."""
        if self._closed:
            return
        self._client.check()
        self.pump()
        self._host.call_in(CHECK_NS, self._watch)

    def _renew(self) -> None:
        descriptor = self._client.fileno()
        if descriptor == self._descriptor:
            return
        if self._descriptor >= 0:
            self._host.remove_source(self._descriptor)
        if descriptor >= 0:
            self._host.add_source(descriptor, self.pump, arm=self._client.arm)
        self._descriptor = descriptor


def _reason(number: int) -> str:
    from nautilus.core.types import Reason

    return Reason(number).name
