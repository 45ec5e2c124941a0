"""A raw Binance log to a book, end to end from the file, beside a straightforward reader in Python on the same file.

::

    file ──▶ BlockReader ──▶ BinanceDecoder ──▶ DepthBook   │   file ──▶ orjson.loads ──▶ a dict and a heap a side

Both read the same bytes, plain and gzip, follow the venue's rules of snapshot and diff, and give the best bid and ask
after every diff; these are compared. The reader in Python is what one writes by hand: `orjson`, floats, a dict a side,
and a heap of prices whose removed levels are dropped when they come to the top.
"""

from __future__ import annotations

import gzip
import heapq
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.sync import FuturesSync, Verdict
from nautilus.core.binance import LINE_DIFF, LINE_SNAPSHOT, BinanceDecoder
from nautilus.core.depth import DepthBook
from perf.harness import REPEATS, ROOT, OtherLoad, Report, check

SUMMARY = "a raw Binance log to a book, beside a reader in Python with orjson"
RECORDING = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "l2_binance/btcusdt_20240808.gz"
INCREMENT, LOT = "0.1", "0.001"
GOAL_RATIO = 4.0
GOAL_LEVELS = 300_000.0


def run(report: Report) -> None:
    """Add level updates a second of both readers, plain and gzip, and their ratio turn by turn."""
    packed = RECORDING
    if not packed.is_file():
        report.notes.append("the recording was not found, see NAUTILUS_DATA")
        return
    with tempfile.TemporaryDirectory() as directory:
        plain = Path(directory, "btcusdt.log")
        with gzip.open(packed) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
        report.notes.append(f"{packed.name}: {plain.stat().st_size / 1e6:.1f} MB; time of the thread, increments given")
        _compare(report, plain)
        for name, path in (("plain", plain), ("gzip", packed)):
            _beside(report, name, path)


def _compare(report: Report, path: Path) -> None:
    levels, best = ours(path)
    others, other_best = theirs(path)
    check(levels == others, f"both apply {levels} levels, not {others}")
    check(
        len(best) == len(other_best) and bool(np.all(best == np.array(other_best))),
        "both give the same best after each diff",
    )
    recording = BinanceRecording(path)
    for _ in recording.updates():
        pass
    facts = recording.check.summary()
    check(facts["compared"] == facts["equal"] > 0, f"the book equals the venue's bookTicker: {facts}")
    report.checks.append(
        f"{levels} level updates, {len(best)} diffs: same best in both; "
        f"{facts['equal']} of {facts['compared']} equal the venue's bookTicker"
    )


def _beside(report: Report, name: str, path: Path) -> None:
    mine, other = [], []
    with OtherLoad() as load:
        for _ in range(REPEATS):
            mine.append(_rate(ours, path))
            other.append(_rate(theirs, path))
    report.add(f"log to book, {name}", "level updates/s", mine, load.cores, goal=GOAL_LEVELS)
    report.add(f"orjson reader, {name}", "level updates/s", other, load.cores)
    ratios = [a / b for a, b in zip(mine, other, strict=True)]
    report.add(f"ratio to the orjson reader, {name}", "times", ratios, load.cores, goal=GOAL_RATIO)
    report.notes.append(f"{name}: {statistics.median(ratios):.1f} times the orjson reader, turn by turn")


def _rate(reader: Any, path: Path) -> float:
    begun = time.thread_time()
    levels, _ = reader(path)
    return float(levels / (time.thread_time() - begun))


def ours(path: Path) -> tuple[int, Any]:
    """Levels applied, and the best after each diff in ticks and lots, by the compiled decoder and book."""
    decoder = BinanceDecoder(INCREMENT, LOT, "BTCUSDT")
    book, sync = DepthBook(), FuturesSync()
    levels = 0
    held: list[tuple[int, int, int, Any]] = []
    best = []
    for block in BlockReader(path):
        batch = decoder.decode(block)
        lines = batch.lines
        lines = lines[lines["kind"] >= LINE_DIFF]
        columns = (lines[field].tolist() for field in ("kind", "first_id", "last_id", "previous_id", "first", "count"))
        changes = []
        for kind, first_id, last_id, previous_id, first, count in zip(*columns, strict=True):
            records = batch.deltas[first : first + count]
            if kind == LINE_SNAPSHOT:
                sync.on_snapshot(last_id)
                book.apply(records)
                waiting, held = held, []
            else:
                waiting = [(first_id, last_id, previous_id, records)]
            for diff in waiting:
                verdict = sync.on_diff(*diff[:3])
                if verdict is Verdict.HOLD:
                    held.append((*diff[:3], diff[3].copy()))
                elif verdict is not Verdict.DROP:
                    changes.append(diff[3])
        if changes:
            best.append(book.apply_each(changes))
            levels += sum(map(len, changes))
    quotes = np.concatenate(best)
    fields = "bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity"
    return levels, np.stack([quotes[field] for field in fields], axis=1)


class PythonSide:
    """One side of a book: quantity by price, and a heap of prices, the best at the top."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[float, float] = {}
        self.heap: list[float] = []

    def apply(self, changes: list[list[str]]) -> None:
        """Set levels; quantity 0 removes one."""
        levels, heap, sign = self.levels, self.heap, self.sign
        for price_text, quantity_text in changes:
            price, quantity = float(price_text), float(quantity_text)
            if quantity:
                if price not in levels:
                    heapq.heappush(heap, sign * price)
                levels[price] = quantity
            else:
                levels.pop(price, None)

    def best(self) -> tuple[float, float]:
        """Best price and its quantity."""
        heap, levels, sign = self.heap, self.levels, self.sign
        while heap and sign * heap[0] not in levels:
            heapq.heappop(heap)
        price = sign * heap[0]
        return price, levels[price]


def theirs(path: Path) -> tuple[int, list[tuple[int, int, int, int]]]:
    """The same, line by line with `orjson`."""
    bids, asks = PythonSide(-1), PythonSide(1)
    sync = FuturesSync()
    levels = 0
    best = []
    held: list[dict[str, Any]] = []
    open_log = gzip.open if path.suffix == ".gz" else open
    with open_log(path, "rb") as file:
        for line in file:
            message = orjson.loads(line[line.index(b" ") :])
            data = message.get("data", message)
            if "lastUpdateId" in data:
                sync.on_snapshot(data["lastUpdateId"])
                bids.apply(data["bids"])
                asks.apply(data["asks"])
                waiting, held = held, []
            elif data.get("e") == "depthUpdate":
                waiting = [data]
            else:
                continue
            for diff in waiting:
                verdict = sync.on_diff(diff["U"], diff["u"], diff["pu"])
                if verdict is Verdict.HOLD:
                    held.append(diff)
                elif verdict is not Verdict.DROP:
                    bids.apply(diff["b"])
                    asks.apply(diff["a"])
                    levels += len(diff["b"]) + len(diff["a"])
                    (bid, bid_quantity), (ask, ask_quantity) = bids.best(), asks.best()
                    best.append(
                        (round(bid * 10), round(bid_quantity * 1000), round(ask * 10), round(ask_quantity * 1000))
                    )
    return levels, best
