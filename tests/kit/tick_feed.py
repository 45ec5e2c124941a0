"""A feed: a process that writes ticks into shared memory, as many blocks as it is told; and what becomes of them."""

from __future__ import annotations

import sys

import numpy as np

from nautilus.core.normalise import Normaliser
from nautilus.model.instrument import Instrument
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.tick_ring import TickWriter
from perf.tick_source import Block, snapshots

INSTRUMENTS = 5
BLOCK_TICKS = 20_000
FRAME = 512
CAPACITY = 1 << 22


def instruments_of_feed() -> tuple[Instrument, ...]:
    """Those whose ids the ticks have; prices and quantities of the ticks are whole steps."""
    return tuple(
        Instrument(
            instrument_id=number, symbol=f"FEED{number}", venue="FEED", product="spot", base_currency=f"F{number}",
            quote_currency="USD", tick_table=(("0", "0.0001"),), lot_size="0.01",
        )
        for number in range(1, INSTRUMENTS + 1)
    )  # fmt: skip


class Twin:
    """What becomes of the same ticks: the normaliser alone, block by block."""

    def __init__(self) -> None:
        self._normaliser = Normaliser(instruments_of_feed(), jump_bps=0, future_ns=5_000_000_000, locked=True)
        self._block = Block(INSTRUMENTS, BLOCK_TICKS)
        self._records: list[np.ndarray] = []
        self.refused = 0
        self._take(snapshots(INSTRUMENTS, wall_ns()))

    @property
    def published(self) -> int:
        """Records of all kinds."""
        return sum(map(len, self._records))

    def write(self, blocks: int) -> None:
        """Take so many blocks."""
        for _ in range(blocks):
            ticks = self._block.next()
            ticks["receive_ns"] = ticks["venue_ns"] = wall_ns()
            self._take(ticks)

    def of(self, kind: np.dtype) -> np.ndarray:
        """The records of one kind."""
        return np.concatenate([records for records in self._records if records.dtype == kind])

    def _take(self, ticks: np.ndarray) -> None:
        *records, refused = self._normaliser.process(ticks)
        self._records += [each for each in records if len(each)]
        self.refused += len(refused)


def feed(directory: str) -> None:
    """Write snapshots, then as many blocks as each line of standard input says."""
    writer = TickWriter(directory, instruments_of_feed(), epoch=wall_ns(), capacity=CAPACITY)
    block = Block(INSTRUMENTS, BLOCK_TICKS)
    writer.write(snapshots(INSTRUMENTS, wall_ns()))
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            ticks = block.next()
            ticks["receive_ns"] = ticks["venue_ns"] = wall_ns()
            for at in range(0, len(ticks), FRAME):
                writer.write(np.ascontiguousarray(ticks[at : at + FRAME]))
        print("written", flush=True)


if __name__ == "__main__":
    feed(sys.argv[1])
