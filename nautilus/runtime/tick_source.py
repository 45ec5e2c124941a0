"""A feed's ticks as a market: checked, made records of, published. A million of them a second is one hub's work.

The feed is a process of its own (`nautilus.runtime.tick_ring`). Nothing of it acts in the core: its records go to the
star, and orders in its instruments to where the plan routes them. Refused ticks go to the hub's quarantine.

Books are not right where ticks may be missing: the feed has ended, the hub was too late for its ring, or numbers are
missing. They are emptied, marked STALE, and right again with the next snapshot that the feed writes of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE, TICK, TickReason
from nautilus.core.types import BOOK_DELTA, COMMAND, QUOTE, TRADE, BookAction, RecordFlag, Side
from nautilus.engines.marketdata import MarketDataConfig
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.tick_ring import follow
from nautilus.simulation.source import CoreView, Step

BATCH = 8_192
LOOK_NS = 100_000_000
"""Between looks whether the feed lives, while it writes nothing."""
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
_NO_COMMANDS = np.zeros(0, COMMAND)


class TickSource:
    """The ticks of one feed. It comes to no end, and goes on with the next writer of its ring.

    Parameters
    ----------
    directory
        Where the feed is.
    instruments
        Those of its ids; ticks of others are refused.
    config
        Of the hub: what is refused.
    clock
        Platform time.
    timer
        Time of the machine, by which the feed is looked at.
    """

    derives = False
    resumes = True
    waits = False
    progress: float | None = None
    check: Callable[[Records], Records] | None = None
    """Not asked: the normaliser checks the same, and books too."""

    def __init__(
        self,
        directory: str,
        instruments: Sequence[Instrument],
        config: MarketDataConfig,
        clock: Callable[[], int],
        *,
        timer: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._directory = directory
        self._instruments = tuple(instruments)
        self._clock = clock
        self._timer = timer
        self._ring = follow(directory)
        self._hub: Any = None
        self._config = config
        self._normaliser = self._new_normaliser()
        self._quarantined: Counter[str] = Counter()
        self._ticks = np.zeros(BATCH, TICK)
        # A CLEAR of both sides is two records.
        self._rooms = np.zeros(BATCH, QUOTE), np.zeros(BATCH, TRADE), np.zeros(2 * BATCH, BOOK_DELTA)
        self._refused = np.zeros(BATCH, QUARANTINE)
        self._filled = 0
        self._now_ns = 0
        self._look_ns = 0
        self._missed = 0
        self._broken = False
        self._lives = True  # until it was looked at
        self._losses = 0
        self._records: Counter[str] = Counter()

    def instruments(self) -> tuple[Instrument, ...]:
        """Return those of the feed."""
        return self._instruments

    def attach(self, core: CoreView) -> None:
        """Refused ticks go to the gate of this hub, where it has one."""
        self._hub = core

    def setup(self) -> Records:
        """No account: nothing of the feed acts in the core."""
        return _NO_COMMANDS

    def begin(self, now_ns: int) -> Records:
        """Nothing was left resting."""
        return _NO_COMMANDS

    def fileno(self) -> int:
        """Readable when the feed has written, once it was asked for (`arm`)."""
        return self._ring.fileno()

    def arm(self) -> bool:
        """Have the feed ring. False: there is something to take already."""
        return not self._filled and not self._broken and self._ring.arm()

    def next_ns(self) -> int | None:
        """Now, where ticks are there, else when to look again."""
        if not self._filled and not self._broken:
            self._fill()
            self._tend()
        if self._filled or self._broken:
            self._now_ns = max(self._clock(), self._now_ns)
            return self._now_ns
        return self._clock() + LOOK_NS

    def step(self) -> Step:
        """What the ticks that are there become, or the end of all books where some are missing."""
        if self._broken:
            self._broken = False
            self._losses += 1
            return Step(self._now_ns, None, (self._emptied(self._now_ns),))
        quotes, trades, levels = self._rooms
        used, *counts, refused = self._normaliser.process_into(
            self._ticks[: self._filled], quotes, trades, levels, self._refused
        )
        assert used == self._filled
        self._filled = 0
        gate = getattr(self._hub, "gate", None)
        if refused:
            for reason, count in zip(*np.unique(self._refused["reason"][:refused], return_counts=True), strict=True):
                self._quarantined[TickReason(int(reason)).name] += int(count)
            if gate is not None:
                gate.note(self._refused[:refused])
        given = []
        for name, room, count in zip(("quotes", "trades", "levels"), self._rooms, counts, strict=True):
            if count:
                self._records[name] += count
                given.append(room[:count].copy())
        return Step(self._now_ns, None, tuple(given))

    def on_events(self, events: Records) -> None:
        """Nothing of the core concerns it."""

    def summary(self) -> dict[str, Any]:
        """Records by kind, refusals by reason, frames that the hub was too late for, and how often books ended."""
        return {
            "format": "ticks",
            "records": dict(self._records),
            "quarantined": dict(self._quarantined),
            "missed_frames": self._ring.missed_frames,
            "losses": self._losses,
            "feeds": self._ring.attached,
        }

    def close(self) -> None:
        """Let go of the ring."""
        self._ring.close()

    def _fill(self) -> None:
        ring, reader = self._ring, self._ring.reader
        if reader is not None:
            self._filled = reader.drain_into(self._ticks)
            if ring.missed_frames != self._missed:  # before those that were just taken
                self._missed = ring.missed_frames
                self._broken = True
        if not self._filled and (reader is None or (reader.retired and not reader.waiting)):
            self._note_end()
            if ring.attach():
                self._lives = True
                self._normaliser = self._new_normaliser()  # its ticks are numbered anew
                self._fill()

    def _tend(self) -> None:
        """Look now and then whether the feed lives."""
        now_ns = self._timer()
        if self._filled or now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_NS
        if not self._ring.alive:
            self._note_end()

    def _note_end(self) -> None:
        if self._lives and self._ring.attached:
            self._lives = False
            self._broken = True

    def _new_normaliser(self) -> Normaliser:
        config = self._config
        return Normaliser(
            self._instruments, jump_bps=config.jump_bps, future_ns=round(config.skew_ms * 1e6), locked=True
        )

    def _emptied(self, now_ns: int) -> Records:
        """Both sides of every book emptied, and not to be trusted."""
        records = np.zeros(2 * len(self._instruments), BOOK_DELTA)
        records["now_ns"], records["action"], records["flags"] = now_ns, BookAction.CLEAR, SNAPSHOT | STALE
        records["instrument_id"] = np.repeat([each.instrument_id for each in self._instruments], 2)
        records["side"][0::2], records["side"][1::2] = Side.BUY, Side.SELL
        records["flags"][1::2] |= LAST
        return records
