"""Endurance: very many commands through one kernel, its memory sampled, so that what grows slowly is seen.

`python -m tests.endurance 100000000` (`make endurance`). Flat means: in the second half, the resident
set grows by less than `ALLOWED_BYTES`, and neither the open orders nor the positions' lots drift.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nautilus.core import EVENT, Kernel
from tests.kit import stream

BATCH = 4_096
BLOCK = 1 << 17
ALLOWED_BYTES = 4 << 20
SIZES = {"capacity": 1 << 14, "closed_capacity": 1 << 14}


class Sample(NamedTuple):
    """What the kernel held after so many commands."""

    commands: int
    events: int
    resident_bytes: int
    open_orders: int
    lots: int
    snapshot_bytes: int
    seconds: float


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def endure(commands: int, *, samples: int = 40, tell: Callable[[Sample], object] = lambda sample: None) -> list[Sample]:
    """Send so many commands of every kind; what was held, at equal distances."""
    flow = stream.Stream(11, BLOCK)
    kernel = Kernel(accounts=(), huge_pages=False, **SIZES)
    kernel.process(stream.opening())
    out = np.zeros(16 * BATCH, EVENT)
    found: list[Sample] = []
    taken, events, number, begun = 0, 0, 0, time.monotonic()
    step = max(BLOCK, commands // samples)
    while taken < commands:
        block = flow.block(number)
        number += 1
        for at in range(0, len(block), BATCH):
            consumed, produced = kernel.process_into(block[at : at + BATCH], out)
            taken += consumed
            events += produced
            assert produced < len(out), "more events than there is room for"
        if taken >= step * (len(found) + 1):
            lots = sum(len(kernel.lots(key, each)) for key in stream.ACCOUNTS for each in stream.INSTRUMENTS)
            size = len(kernel.snapshot())
            held = (resident_bytes(), kernel.open_orders, lots, size)
            found.append(Sample(taken, events, *held, time.monotonic() - begun))
            tell(found[-1])
    return found


def growth(samples: list[Sample]) -> int:
    """Bytes by which the resident set grew in the second half, by a straight line through the samples."""
    rest = [sample for sample in samples if sample.commands >= samples[-1].commands // 2]
    slope = np.polyfit([sample.commands for sample in rest], [sample.resident_bytes for sample in rest], 1)[0]
    return round(float(slope) * (rest[-1].commands - rest[0].commands))


def main() -> None:
    """Print the samples and judge them."""
    commands = int(sys.argv[1])
    print(f"{'commands':>12} {'events':>12} {'resident MiB':>12} {'open':>6} {'lots':>5} {'snapshot':>9} {'M/s':>6}")

    def tell(sample: Sample) -> None:
        print(
            f"{sample.commands:12,} {sample.events:12,} {sample.resident_bytes / 2**20:12.2f} {sample.open_orders:6}"
            f" {sample.lots:5} {sample.snapshot_bytes:9,} {sample.commands / sample.seconds / 1e6:6.2f}",
            flush=True,
        )

    grown = growth(endure(commands, tell=tell))
    print(f"grown by {grown / 2**10:,.0f} KiB in the second half; at most {ALLOWED_BYTES >> 10:,} KiB are flat")
    sys.exit(grown > ALLOWED_BYTES)


if __name__ == "__main__":
    main()
