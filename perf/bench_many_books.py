"""Level-2 books of ten thousand instruments in one process: what they take, and what an update costs among so many.

    10,000 x (200 bids + 200 offers) ──▶ BookSet ──▶ updates at random ──▶ best and depth

The memory is what the system counts as resident for a process of its own, numpy and all. Each book is compared at the
end with one `DepthBook` that had the same records.
"""

from __future__ import annotations

import gc
import resource
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.core.book_set import BookSet
from nautilus.core.depth import DepthBook
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag, Side
from perf.forked import Forked, Say
from perf.harness import Report, check, cores, pinned

SUMMARY = "level-2 books of 10,000 instruments: memory, updates, bests"
INSTRUMENTS = 10_000
LEVELS = 200
UPDATES = 1 << 20
BATCH = 1 << 12
COMPARED = 20
LAST, SNAPSHOT = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)
Deltas = npt.NDArray[np.void]


def image(instrument: int, chance: np.random.Generator) -> Deltas:
    """A snapshot, its levels in no order."""
    rows: Deltas = np.zeros(2 + 2 * LEVELS, BOOK_DELTA)
    rows["instrument_id"], rows["now_ns"], rows["flags"] = instrument, 1, SNAPSHOT
    rows["flags"][-1] |= LAST
    rows["action"], rows["action"][:2] = BookAction.SET, BookAction.CLEAR
    rows["side"][:2] = Side.BUY, Side.SELL
    rows["side"][2:] = np.repeat([Side.BUY, Side.SELL], LEVELS)
    rows["price_ticks"][2 : 2 + LEVELS] = 10_000 - chance.permutation(LEVELS)
    rows["price_ticks"][2 + LEVELS :] = 10_001 + chance.permutation(LEVELS)
    rows["quantity"][2:] = chance.integers(1, 1_000, 2 * LEVELS)
    return rows


def updates(instruments: int, count: int, chance: np.random.Generator) -> Deltas:
    """Changes of levels near the best ones; one in ten takes a level away."""
    rows: Deltas = np.zeros(count, BOOK_DELTA)
    rows["instrument_id"] = chance.integers(1, instruments + 1, count)
    rows["now_ns"], rows["flags"], rows["action"] = 2, LAST, BookAction.SET
    rows["side"] = chance.integers(1, 3, count)
    far = chance.geometric(0.05, count) % LEVELS
    rows["price_ticks"] = np.where(rows["side"] == Side.BUY, 10_000 - far, 10_001 + far)
    rows["quantity"] = np.where(chance.random(count) < 0.1, 0, chance.integers(1, 1_000, count))
    return rows


def filled(instruments: int) -> BookSet:
    """Books with all their levels."""
    books = BookSet()
    chance = np.random.default_rng(3)
    for instrument in range(1, instruments + 1):
        books.apply(image(instrument, chance))
    return books


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _memory(say: Say) -> dict[str, Any]:
    say()
    before = _resident_bytes()
    books = filled(INSTRUMENTS)
    chance = np.random.default_rng(5)
    for _ in range(4):
        books.apply(updates(INSTRUMENTS, UPDATES // 4, chance))
    gc.collect()
    return {"resident": _resident_bytes(), "before": before, "own": books.memory_bytes, "books": len(books)}


def _updates_per_second(books: BookSet, rows: Deltas, *, best: bool = False) -> float:
    apply = books.apply_best if best else books.apply
    begun = perf_counter()
    for at in range(0, len(rows), BATCH):
        apply(rows[at : at + BATCH])
    return len(rows) / (perf_counter() - begun)


def run(report: Report) -> None:
    """Memory in a process of its own, then updates of one book and of ten thousand."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    process = Forked(_memory)
    told = process.result()
    check(told["books"] == INSTRUMENTS, "books are missing")
    mebibyte = 1 << 20
    report.add(f"{INSTRUMENTS:,} books of {LEVELS} levels a side, resident in all", "MiB",
               [told["resident"] / mebibyte], 0.0, goal=1024, lower_is_better=True)  # fmt: skip
    report.add("of it the books", "MiB", [(told["resident"] - told["before"]) / mebibyte], 0.0, lower_is_better=True)
    report.add("16 bytes a level, alone", "MiB", [INSTRUMENTS * 2 * LEVELS * 16 / mebibyte], 0.0, lower_is_better=True)
    with pinned(core):
        chance = np.random.default_rng(9)
        for instruments in (1, INSTRUMENTS):
            books, rows = filled(instruments), updates(instruments, UPDATES, chance)
            name = f"{instruments:,} book{'s' if instruments > 1 else ''}"
            report.measure(f"{name}, updates", "updates/s", partial(_updates_per_second, books, rows), repeats=5)
            report.measure(f"{name}, updates, each best told", "updates/s",
                           partial(_updates_per_second, books, rows, best=True), repeats=5)  # fmt: skip
            _compare(instruments, books, rows)
    report.checks.append(f"{COMPARED} books have the levels of a DepthBook that had the same records")


def _compare(instruments: int, books: BookSet, rows: Deltas) -> None:
    chance = np.random.default_rng(3)
    for instrument in range(1, min(instruments, COMPARED) + 1):
        single = DepthBook()
        single.apply(image(instrument, chance))
        single.apply(np.ascontiguousarray(rows[rows["instrument_id"] == instrument]))
        for found, expected in zip(books.depth(instrument, LEVELS), single.depth(LEVELS), strict=True):
            check(found.tolist() == expected.tolist(), f"the book of instrument {instrument} is another")


__all__ = ["SUMMARY", "run"]
