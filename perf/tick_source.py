"""Ticks of a made-up market for `bench_ingest`, and the process that hands them in through shared memory."""

from __future__ import annotations

import time
from time import time_ns
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nautilus.core.ticks import TICK, TickKind
from nautilus.core.types import RecordFlag, Side
from nautilus.model.instrument import Instrument
from nautilus.runtime.tick_ring import TickWriter

Ticks = npt.NDArray[np.void]
BLOCK: Final = 1 << 16
FRAME: Final = 256
"""Ticks handed in at once where throughput is measured."""
CAPACITY: Final = 1 << 24
WRONG: Final = 64
"""Crossed quotes and trades off the increment in a block, of which none may come through."""
LEVELS: Final = 20
MIDDLE: Final = 100_0000
LAST, SNAPSHOT = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)


def snapshots(instruments: int, now_ns: int) -> Ticks:
    """Whole books: both sides cleared, then levels."""
    rows: Ticks = np.zeros((instruments, 1 + 2 * LEVELS), TICK)
    rows["kind"], rows["price_decimals"], rows["quantity_decimals"] = TickKind.LEVEL, 4, 2
    rows["kind"][:, 0] = TickKind.CLEAR
    rows["instrument_id"] = np.arange(1, instruments + 1)[:, None]
    rows["receive_ns"], rows["quantity_2"], rows["quantity"] = now_ns, SNAPSHOT, 500
    rows["quantity_2"][:, -1] = SNAPSHOT | LAST
    rows["side"][:, 1:] = np.repeat([Side.BUY, Side.SELL], LEVELS)
    rows["price"][:, 1 : 1 + LEVELS] = MIDDLE - 1 - np.arange(LEVELS)
    rows["price"][:, 1 + LEVELS :] = MIDDLE + 1 + np.arange(LEVELS)
    return rows.reshape(-1)


class Block:
    """A block of ticks that follows itself: two fifths levels, two fifths quotes, a fifth trades; a few are wrong."""

    def __init__(self, instruments: int, count: int = BLOCK) -> None:
        chance = np.random.default_rng(7)
        self.ticks: Ticks = np.zeros(count, TICK)
        ticks = self.ticks
        ticks["instrument_id"] = chance.integers(1, instruments + 1, count)
        kinds = [TickKind.LEVEL, TickKind.QUOTE, TickKind.LEVEL, TickKind.QUOTE, TickKind.TRADE]
        ticks["kind"] = np.array(kinds)[chance.integers(0, 5, count)]
        ticks["side"] = chance.integers(1, 3, count)
        ticks["price_decimals"], ticks["quantity_decimals"] = 4, 2
        far = chance.integers(1, LEVELS + 1, count)
        ticks["price"] = np.where(ticks["side"] == Side.BUY, MIDDLE - far, MIDDLE + far)
        ticks["quantity"] = chance.integers(1, 1_000, count)
        quotes, levels = ticks["kind"] == TickKind.QUOTE, ticks["kind"] == TickKind.LEVEL
        ticks["price"][quotes] = MIDDLE - far[quotes]
        ticks["price_2"][quotes] = MIDDLE + chance.integers(1, LEVELS + 1, count)[quotes]
        ticks["quantity_2"][quotes] = chance.integers(1, 1_000, count)[quotes]
        ticks["quantity_2"][levels] = LAST
        # No level: behind one that is refused a book is blind.
        others = np.flatnonzero(~levels)
        wrong = others[:: max(1, len(others) // WRONG)] if count >= WRONG else np.arange(0)
        self.wrong = len(wrong)
        ticks["price"][wrong] += np.where(quotes[wrong], 3 * LEVELS, 0)
        for at in wrong[~quotes[wrong]]:
            ticks["price"][at] = ticks["price"][at] * 10 + 5
            ticks["price_decimals"][at] = 5
        right = np.ones(count, bool)
        right[wrong] = False
        self._steps = np.zeros(count, np.uint64)
        for instrument in range(1, instruments + 1):
            for kind in kinds[:2] + kinds[4:]:
                own = (ticks["instrument_id"] == instrument) & (ticks["kind"] == kind)
                passed = int((own & right).sum())
                ticks["sequence"][own] = np.maximum(np.cumsum(right[own]), 1)
                self._steps[own] = passed
        # The book may be numbered as its snapshot, which has no number.
        self.count = count

    def next(self) -> Ticks:
        """The block, numbered on."""
        ticks = self.ticks.copy()
        self.ticks["sequence"] += self._steps
        return ticks


def instruments(count: int) -> tuple[Instrument, ...]:
    """Those of the ticks."""
    return tuple(
        Instrument(number, f"FEED{number}", "FEED", f"F{number}", "USD", (("0", "0.0001"),), "0.01")
        for number in range(1, count + 1)
    )


def hand_in(place: str, options: dict[str, Any]) -> None:
    """A feed: whole books at once; at a word, blocks as fast as its reader takes them, or in bursts at a rate."""
    count = options["instruments"]
    writer = TickWriter(place, instruments(count), epoch=time_ns(), capacity=CAPACITY)
    block = Block(count)
    writer.write(snapshots(count, time_ns()))
    print("ready", flush=True)
    input()
    if options.get("rate"):
        _bursts(writer, block, options)
    else:
        _stream(writer, block, options)
    input()  # until it is ended


def _stream(writer: TickWriter, block: Block, options: dict[str, Any]) -> None:
    half = CAPACITY // 2
    for _ in range(options["blocks"]):
        ticks = block.next()
        for at in range(0, block.count, FRAME):
            while writer.slowest() > half:
                time.sleep(0.0005)
            frame = ticks[at : at + FRAME]
            frame["receive_ns"] = frame["venue_ns"] = time_ns()
            writer.write(frame)


def _bursts(writer: TickWriter, block: Block, options: dict[str, Any]) -> None:
    size = options["burst"]
    every_ns = int(size * 1e9 / options["rate"])
    # Made before the first is due: a burst is late by what becomes of it, not by the making of the next block.
    blocks = [block.next() for _ in range(options["blocks"])]
    due_ns = time_ns() + 200_000_000
    for ticks in blocks:
        for at in range(0, block.count, size):
            while (left_ns := due_ns - time_ns()) > 0:
                time.sleep(left_ns / 1e9)
            burst = ticks[at : at + size]
            burst["receive_ns"] = burst["venue_ns"] = due_ns
            writer.write(burst)
            due_ns += every_ns
