"""Commands into books of ever more resting orders: a command must not cost more the more there are.

    orders at rest (10^3 ... 10^7) ---> new, cancel, replace, trade ---> nanoseconds a command

Each book is filled to its depth, over so many prices that a price holds 100 orders at most; then the same mix of
commands (45 % new that rest, 45 % cancel, 5 % replace, 5 % that trade at once) keeps it at that depth. What grows is
what the processor needs for orders that lie in memory and in no cache: the bench shows it beside the cost of one
dependent read of the memory that the orders take, measured on the same machine in the same run.
"""

from __future__ import annotations

import gc
import os
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from nautilus.core import COMMAND, EVENT, CommandKind, EventKind, Kernel, OrderType, Side, TimeInForce
from perf.harness import Report, check, cores, pinned
from perf.native import loops

SUMMARY = "Kernel.process_into by the number of resting orders, 10^3 to 10^7"
DEPTHS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
FILL = 4_096
BATCH = 256  # less than the least depth: a batch names each order once
TIMED = 1 << 18
MIDDLE = 1 << 24
A_PRICE = 100  # orders at one price at most
LEAST_PRICES = 64
READS = 1 << 20
ORDER_BYTES = 128  # record and id of an order, roughly: what the dependent reads go over

Commands = npt.NDArray[np.void]


def run(report: Report) -> None:
    """Nanoseconds of a command by depth, and of a dependent read of as much memory."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    most = int(os.environ.get("NAUTILUS_DEPTH", DEPTHS[-1]))
    depths = [depth for depth in DEPTHS if depth <= most]
    mixes: list[float] = []
    with pinned(core):
        for depth in depths:
            kernel, ids = _filled(depth)
            generator = np.random.default_rng(depth)
            book = _Book(depth, ids, generator)
            _timed(kernel, book, 1 << 16)
            once = partial(_timed, kernel, book, TIMED)
            figure = report.measure(f"{depth:,} resting", "ns/command", once, lower_is_better=True, repeats=5)
            check(abs(kernel.open_orders - depth) < 0.1 * depth + 200, f"{depth}: {kernel.open_orders} orders are open")
            mixes.append(figure.minimum)
            del kernel, book, once
            gc.collect()
            report.add(
                f"{depth:,} x {ORDER_BYTES} B, one dependent read", "ns", [_read_ns(depth)], 0.0, lower_is_better=True
            )
    report.curves["a command of the mix"] = list(zip(depths, mixes, strict=True))
    report.curves["one dependent read"] = [
        (depth, figure.median) for depth, figure in zip(depths, report.figures[1::2], strict=True)
    ]
    lines = (mixes[-1] - mixes[0]) / max(0.1, report.figures[-1].median - report.figures[1].median)
    report.add("growth of a command from the least to the deepest book, in dependent reads", "reads", [lines], 0.0)
    report.notes.append(
        "The best of five repeats is drawn. A cancel of a random order has to fetch its cache lines: from 10^5 orders "
        "on these are misses of the caches, whose cost the second line shows; nothing in the kernel walks."
    )


def _filled(depth: int) -> tuple[Kernel, npt.NDArray[np.uint64]]:
    """A kernel with so many orders at rest, and their ids."""
    kernel = Kernel(accounts=(1, 2), capacity=depth + (1 << 17), closed_capacity=1 << 20)
    setting = np.zeros(1, COMMAND)
    setting["kind"], setting["instrument_id"], setting["quantity"] = CommandKind.INSTRUMENT, 1, 1
    kernel.process(setting)
    ids = np.arange(1, depth + 1, dtype=np.uint64)
    out = np.zeros(2 * FILL, EVENT)
    generator = np.random.default_rng(1)
    for at in range(0, depth, FILL):
        commands = _resting(ids[at : at + FILL], depth, generator)
        consumed, produced = kernel.process_into(commands, out)
        check(consumed == produced == len(commands), "an order was not taken, or traded")
    return kernel, ids


def _resting(ids: npt.NDArray[np.uint64], depth: int, generator: np.random.Generator) -> Commands:
    """Limit orders of account 1 behind the middle."""
    prices = max(LEAST_PRICES, depth // A_PRICE)
    out = np.zeros(len(ids), COMMAND)
    out["kind"], out["order_id"], out["account_id"], out["instrument_id"] = CommandKind.NEW, ids, 1, 1
    out["order_type"], out["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    out["side"] = Side.BUY + (ids & np.uint64(1)).astype(np.uint8)
    away = generator.integers(1, prices // 2 + 1, len(ids))
    out["price_ticks"] = MIDDLE + np.where(out["side"] == Side.BUY, -away, away)
    out["quantity"] = 10
    return out


class _Book:
    """Which orders are open, so that cancels and replaces name any of them with equal chance."""

    def __init__(self, depth: int, ids: npt.NDArray[np.uint64], generator: np.random.Generator) -> None:
        self.depth = depth
        self._ids = ids.copy()
        self._next = len(ids) + 1
        self._generator = generator

    def draw(self, count: int) -> Commands:
        """As many new orders as leave: 45 % new and 45 % cancels about, 5 % replaces, 5 % that trade."""
        generator = self._generator
        news = count // 2
        fresh = np.arange(self._next, self._next + news, dtype=np.uint64)
        self._next += news
        out = np.zeros(count, COMMAND)
        kinds = np.zeros(count, np.uint8)
        kinds[:news] = CommandKind.NEW
        kinds[news : news + count * 45 // 100] = CommandKind.CANCEL
        kinds[news + count * 45 // 100 :] = CommandKind.REPLACE
        generator.shuffle(kinds)
        new = np.flatnonzero(kinds == CommandKind.NEW)
        out[new] = _resting(fresh, self.depth, generator)
        trades = new[:: max(1, len(new) * 20 // count)]  # a twentieth of all
        out["account_id"][trades], out["time_in_force"][trades] = 2, TimeInForce.IOC
        out["price_ticks"][trades] = np.where(out["side"][trades] == Side.BUY, MIDDLE + 4, MIDDLE - 4)
        out["quantity"][trades] = 1
        stays = np.setdiff1d(out["order_id"][new], out["order_id"][trades], assume_unique=True)
        cancels = np.flatnonzero(kinds == CommandKind.CANCEL)
        gone = generator.permutation(np.unique(generator.integers(0, len(self._ids), 2 * len(cancels))))[: len(cancels)]
        out["kind"], out["account_id"][cancels] = kinds, 1
        out["order_id"][cancels] = self._ids[gone]
        filled = min(len(gone), len(stays))
        self._ids[gone[:filled]] = stays[:filled]
        replaces = np.flatnonzero(kinds == CommandKind.REPLACE)
        moved = generator.integers(0, len(self._ids), len(replaces))
        out["order_id"][replaces], out["account_id"][replaces] = self._ids[moved], 1
        buys = self._ids[moved] & np.uint64(1) == 0
        away = generator.integers(1, max(LEAST_PRICES, self.depth // A_PRICE) // 2 + 1, len(replaces))
        out["price_ticks"][replaces], out["quantity"][replaces] = MIDDLE + np.where(buys, -away, away), 10
        return out


def _timed(kernel: Kernel, book: _Book, count: int) -> float:
    """Nanoseconds a command, drawing left out."""
    out = np.zeros(4 * BATCH, EVENT)
    spent, kinds = 0.0, np.zeros(max(EventKind) + 1, np.int64)
    for _ in range(count // BATCH):
        commands = book.draw(BATCH)
        start = perf_counter()
        consumed, produced = kernel.process_into(commands, out)
        spent += perf_counter() - start
        check(consumed == len(commands), "not all commands were taken")
        kinds += np.bincount(out["kind"][:produced], minlength=len(kinds))
    refused = kinds[EventKind.REJECTED] / count
    check(refused < 0.1, f"{refused:.1%} of the commands were refused, expected less than 10 %")
    return spent / (count // BATCH * BATCH) * 1e9


def _read_ns(depth: int) -> float:
    """Nanoseconds of one read that depends on the one before, at random over the memory that the orders take."""
    words = max(1 << 12, depth * ORDER_BYTES // 8)
    chain = np.zeros(words, np.int64)
    places = np.random.default_rng(2).permutation(words // 8)[: 1 << 20] * 8  # a place of each cache line
    chain[places] = np.roll(places, -1)
    nanos, _ = loops().chase(chain, int(places[0]), READS)
    return float(nanos) / READS
