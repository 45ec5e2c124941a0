"""A feed's ticks as a market: checked, made records of, published. A million of them a second is one hub's work.

The feed is a process of its own (`nautilus.runtime.tick_ring`). Nothing of it acts in the core: its records go to the
star, and orders in its instruments to where the plan routes them. Refused ticks go to the hub's quarantine.

Books are not right where ticks may be missing: the feed has ended, the hub was too late for its ring, or numbers are
missing. They are emptied, marked STALE, and right again with the next snapshot that the feed writes of them.

How far the ring was taken is noted in a file: a hub that begins again makes books of what it had before, tells them
once, whole, and goes on behind that. What a hub took in the last two seconds before it was killed may come twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.core.book_set import BookSet
from nautilus.core.broadcast_reader import Reader
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import GAP_FLAG, QUARANTINE, TICK, TickReason
from nautilus.core.types import BOOK_DELTA, COMMAND, QUOTE, TRADE, BookAction, RecordFlag, Side
from nautilus.engines.marketdata import MarketDataConfig
from nautilus.model.errors import VenueError
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.tick_ring import MOST_TICKS, follow, listed_in
from nautilus.simulation.source import CoreView, Step

LOOK_NS = 100_000_000
"""Between looks whether the feed lives, while it writes nothing."""
NOTE_NS = 1_000_000_000
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
    noted
        File of how far the ring was taken.
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
        noted: str | Path,
        clock: Callable[[], int],
        *,
        timer: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._directory = directory
        self._instruments = tuple(instruments)
        self._clock = clock
        self._timer = timer
        self._ring = follow(directory)
        self._attached = self._ring.attached
        self._hub: Any = None
        self._config = config
        self._normaliser = self._new_normaliser()
        self._quarantined: Counter[str] = Counter()
        self._ticks = np.zeros(MOST_TICKS, TICK)
        # A CLEAR of both sides is two records.
        self._rooms = np.zeros(MOST_TICKS, QUOTE), np.zeros(MOST_TICKS, TRADE), np.zeros(2 * MOST_TICKS, BOOK_DELTA)
        # As bytes: a copy of records would look at every field of every one.
        self._bytes = tuple(room.view(np.uint8) for room in self._rooms)
        self._refused = np.zeros(MOST_TICKS, QUARANTINE)
        self._noted = _note_at(Path(noted))
        self._told: Records | None = None  # books of before, to be told whole
        self._older, self._older_ns = (0, 0), 0
        self._filled = 0
        self._emptied_ring = False
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
        """Refused ticks go to the gate of this hub, where it has one. Takes in what the hub of before has published.

        Raises
        ------
        VenueError
            The feed's instruments are others.
        """
        self._hub = core
        self._compare()
        reader = self._ring.reader
        if reader is not None and self._noted[0] == reader.epoch:
            self._told = self._books_until(reader, self._noted[1])

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
        if self._filled or self._broken or self._told is not None:
            return False
        self._note(self._position)  # who waits has published all
        return self._ring.arm()

    def next_ns(self) -> int | None:
        """Now, where ticks are there, else when to look again.

        Behind a step that emptied the ring this says so without another look: what came meanwhile is better taken
        together, once that step is published, than a few ticks at a time in the same turn.
        """
        if self._emptied_ring:
            self._emptied_ring = False
            return self._clock() + LOOK_NS
        if not self._filled and not self._broken:
            self._note_older()
            self._fill()
            self._tend()
        if self._filled or self._broken or self._told is not None:
            self._now_ns = max(self._clock(), self._now_ns)
            return self._now_ns
        return self._clock() + LOOK_NS

    def step(self) -> Step:
        """What the ticks that are there become, or the end of all books where some are missing."""
        if self._told is not None:
            told, self._told = self._told, None
            return Step(self._now_ns, None, (told,) if len(told) else ())
        if self._broken:
            self._broken = False
            self._losses += 1
            return Step(self._now_ns, None, (self._emptied(self._now_ns),))
        quotes, trades, levels = self._rooms
        used, *counts, refused = self._normaliser.process_into(
            self._ticks[: self._filled], quotes, trades, levels, self._refused
        )
        assert used == self._filled
        self._emptied_ring = used < MOST_TICKS // 2
        self._filled = 0
        gate = getattr(self._hub, "gate", None)
        if refused:
            for reason, count in Counter(self._refused["reason"][:refused].tolist()).items():
                self._quarantined[TickReason(reason).name] += count
            if gate is not None:
                gate.note(self._refused[:refused])
        given = []
        for name, room, octets, count in zip(
            ("quotes", "trades", "levels"), self._rooms, self._bytes, counts, strict=True
        ):
            if count:
                self._records[name] += count
                given.append(np.frombuffer(octets[: count * room.itemsize].copy(), room.dtype))
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
        ring = self._ring
        if ring.attached != self._attached:
            self._note_ring()
        reader = ring.reader
        if reader is not None:
            self._filled = reader.drain_into(self._ticks)
            if ring.missed_frames != self._missed:  # before those that were just taken
                self._missed = ring.missed_frames
                self._broken = True
        if not self._filled and (reader is None or (reader.retired and not reader.waiting)):
            self._note_end()
            if ring.attach():
                self._fill()

    def _tend(self) -> None:
        """Look now and then whether the feed lives."""
        now_ns = self._timer()
        if self._filled or now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_NS
        if not self._ring.alive:
            self._note_end()

    def _note_ring(self) -> None:
        """There is another ring, whose ticks are numbered anew; waiting for the old one may have found it."""
        self._note_end()
        self._attached, self._lives = self._ring.attached, True
        self._compare()
        self._normaliser = self._new_normaliser()

    def _note_end(self) -> None:
        if self._lives and self._attached:
            self._lives = False
            self._broken = True

    def _compare(self) -> None:
        """Another feed may mean others by the same ids."""
        found = listed_in(self._directory)
        if found != self._instruments:
            raise VenueError(
                f"the feed lists {', '.join(f'{each.instrument_id} {each.symbol}' for each in found[:5])}",
                where=self._directory,
                expected="the instruments with which the platform began; start it anew for others",
            )

    @property
    def _position(self) -> tuple[int, int]:
        """Epoch of the ring, and up to where it was taken."""
        reader = self._ring.reader
        return (0, 0) if reader is None else (reader.epoch, reader.position)

    def _note_older(self) -> None:
        """Note what was taken a second ago: that was published, whatever the host still holds."""
        now_ns = self._timer()
        if now_ns >= self._older_ns:
            self._note(self._older)
            self._older, self._older_ns = self._position, now_ns + NOTE_NS

    def _note(self, taken: tuple[int, int]) -> None:
        epoch, position = taken
        if epoch and self._noted[0] != epoch:
            self._noted[1], self._noted[0] = 0, epoch
        if epoch:
            self._noted[1] = max(position, self._noted[1])

    def _books_until(self, reader: Reader, position: int) -> Records:
        """Whole books of what stands in the ring up to a position; what was missed is not known."""
        books = BookSet(each.instrument_id for each in self._instruments)
        while reader.position < position and (frames := reader.drain(1)):
            if len(frames[0]) % TICK.itemsize:
                continue
            *_, levels, _ = self._normaliser.process(np.frombuffer(frames[0], TICK).copy())
            books.apply(levels)
        self._missed = self._ring.missed_frames
        known = [number for number in books.instruments if books.state(number).now_ns]
        told = np.concatenate([np.zeros(0, BOOK_DELTA), *(books.snapshot(number) for number in known)])
        told["now_ns"] = self._clock()
        return told

    def _new_normaliser(self) -> Normaliser:
        config = self._config
        return Normaliser(
            self._instruments, jump_bps=config.jump_bps, future_ns=round(config.skew_ms * 1e6), locked=True
        )

    def _emptied(self, now_ns: int) -> Records:
        """Both sides of every book emptied, and not to be trusted."""
        records = np.zeros(2 * len(self._instruments), BOOK_DELTA)
        records["now_ns"], records["action"] = now_ns, BookAction.CLEAR
        # A gap: this is no whole snapshot, and what comes before the next one changes nothing that is known.
        records["flags"] = SNAPSHOT | STALE | GAP_FLAG
        records["instrument_id"] = np.repeat([each.instrument_id for each in self._instruments], 2)
        records["side"][0::2], records["side"][1::2] = Side.BUY, Side.SELL
        records["flags"][1::2] |= LAST
        return records


def _note_at(path: Path) -> memoryview:
    """Two words of a file: epoch of a ring, and up to where it was taken; an array would be slow to ask for one."""
    if not path.exists() or path.stat().st_size != 16:
        path.write_bytes(bytes(16))
    return np.memmap(path, np.uint64, "r+").data
