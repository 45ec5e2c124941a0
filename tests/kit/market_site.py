"""Core, hub and a reader of the star in one process, each of which can be ended and begun again."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.bus import Subscriber, make_context
from nautilus.core import BOOK_DELTA
from nautilus.core.depth import DepthBook
from nautilus.core.eventlog import EventLog
from nautilus.core.types import COMMAND, EventKind
from nautilus.model.topics import BARS, BOOK_DELTAS, QUOTES, TRADES
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.market import market_part, setup_commands
from nautilus.runtime.market_driver import MarketDriver, Phase
from nautilus.runtime.process import EngineBuilder
from nautilus.trading.process import event_log
from tests.kit import core as native
from tests.kit.live_host import RunningHost, eventually, make_plan

ENGINES = {"marketdata": ("marketdata",)}
SHOWN = (QUOTES, TRADES, BOOK_DELTAS, BARS)


class Site:
    """Core, hub and one reader of the star, each of which can be ended and begun again."""

    def __init__(self, directory: Path, undo: ExitStack, **changes: Any) -> None:
        self.directory = directory
        self.plan = make_plan(directory, ENGINES, **changes)
        self.ended: list[str] = []
        self.records: list[np.ndarray] = []
        self._undo = undo
        self._core: Any = None
        self._zmq = make_context()
        undo.callback(self._zmq.destroy, 0)
        self.begin_core()
        self.begin_hub()
        self.reader = Subscriber(self._zmq, self.plan.star, SHOWN, clock=wall_ns, high_water=0)
        undo.callback(self.reader.close)
        eventually(lambda: self.read() is None and self.reader.synchronised)

    def begin_core(self) -> None:
        """A core over the plan's journal; set up where the journal is new."""
        clock = self.plan.clock
        self._core = native.running(
            self.directory,
            capacity=8_192,
            segment_bytes=16 << 20,
            clock=(clock.wall_ns, clock.platform_ns, clock.speed),
            epoch=wall_ns(),
        )
        self.core, found = self._core.__enter__()
        self._undo.callback(self.end_core)
        if not found.commands:
            rows = np.frombuffer(bytearray(b"".join(each.row for each in setup_commands(self.plan))), COMMAND)
            deliveries = native.carry_out(native.attach(self.core, "core"), rows)
            assert EventKind.REJECTED not in deliveries["event"]["kind"]

    def end_core(self) -> None:
        """Stop the core, if it runs."""
        core, self._core = self._core, None
        if core is not None:
            core.__exit__(None, None, None)

    def begin_hub(self) -> None:
        """A hub with its market; `ready` waits until it has caught up with the core."""
        builder = EngineBuilder(self.plan)
        self.hub = RunningHost(
            self.plan,
            "marketdata",
            {"marketdata": lambda: builder.build("marketdata")},
            lambda host: host.parts.append(market_part(host, self.plan, self.ended.append)),
        )
        self._undo.callback(self.hub.stop)
        self.hub.ready()

    @property
    def driver(self) -> MarketDriver:
        [found] = self.hub.host.parts
        assert isinstance(found, MarketDriver)
        return found

    def open(self) -> None:
        self.hub.do(self.hub.host.open)

    def ask(self, message: Any) -> Any:
        return self.hub.host.ask_engine("marketdata", message).result(60)

    def read(self) -> None:
        """Take in what the star has brought."""
        for _, records in self.reader.drain(4_096):
            self.records.append(records)

    def of(self, kind: np.dtype) -> np.ndarray:
        """Everything of one kind that was read, in order."""
        self.read()
        parts = [records for records in self.records if records.dtype == kind]
        return np.concatenate(parts) if parts else np.zeros(0, kind)

    def until(self, condition: Any, seconds: float = 120.0) -> None:
        """Read on until the condition holds."""
        eventually(lambda: self.read() is None and condition(), seconds=seconds)

    def pause(self) -> None:
        """Play no further; the hub follows the core all the same."""
        self.hub.do(partial(setattr, self.driver, "phase", Phase.ENDED))

    def read_all(self) -> None:
        """Read everything that was published so far."""
        published = self.hub.do(self.hub.host.hub.star.last_sequences)
        self.until(lambda: all(self._last_of(stream) >= last for stream, last in published.items()))

    def _last_of(self, stream: int) -> int:
        return self.reader.positions().get(stream, (0, 0, 0))[2]

    def agrees(self) -> bool:
        """Whether a subscriber's book is the core's, which may be about to change."""
        self.read()
        return plain(self.replica().depth(1_000)) == plain(self.core_depth())

    def replica(self) -> DepthBook:
        """The book that a subscriber has."""
        book = DepthBook()
        for records in (records for records in self.records if records.dtype == BOOK_DELTA):
            book.apply(records)
        return book

    def core_depth(self) -> Any:
        """The book that the core has."""
        with self.core.held() as kernel:
            return kernel.depth(1, 1_000)

    def events(self) -> np.ndarray:
        """The event log."""
        log, parts, first = EventLog(event_log(self.plan.data)), [], 1
        while len(part := log.read(first, 1 << 16)):
            parts.append(part)
            first += len(part)
        return np.ascontiguousarray(np.concatenate(parts)["event"])


def plain(sides: Any) -> list[list[tuple[int, int]]]:
    return [[(int(level["price_ticks"]), int(level["quantity"])) for level in side] for side in sides]
