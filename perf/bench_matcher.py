"""The matching alone: from Python in batches over numpy, and through the C interface of `make kernel-so`.

The flow is made beforehand: half new limit orders, one in seven of them immediate or cancel, the rest cancels and
replaces of recent orders; prices lie on both sides of a middle that wanders, a tenth of them across it. Both get 4,096
messages a call: Python's reports go into a numpy array, the shared object's into its ring, which is emptied between the
calls. Only the calls are timed. Both in turn, each with a book of its own.
"""

from __future__ import annotations

import ctypes
import subprocess
import time
from pathlib import Path

import numpy as np

from nautilus.core.market import MESSAGE, REPORT, Matcher
from nautilus.core.types import CommandKind, OrderType, Side, TimeInForce
from perf.harness import ROOT, OtherLoad, Report, check, cores, pinned

SUMMARY = "matching without money or journal: Python in batches, beside the shared object's C interface"
MESSAGES, BATCH, TURNS = 1 << 20, 4_096, 9
RECENT = 4_096  # orders that a cancel or replace may name
RING = 1 << 14


class Options(ctypes.Structure):
    """nautilus_options of nautilus_kernel.h."""

    _fields_ = (
        ("instruments", ctypes.c_uint32), ("orders", ctypes.c_uint32), ("pages", ctypes.c_uint32),
        ("prefetch", ctypes.c_uint32), ("reports", ctypes.c_uint64),
    )  # fmt: skip


def flow(count: int, seed: int) -> np.ndarray:
    """MESSAGE array; ids are a shuffled permutation, as a venue with many gateways sees them."""
    chance = np.random.default_rng(seed)
    messages = np.zeros(count, MESSAGE)
    kinds = chance.choice([CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE], count, p=[0.5, 0.41, 0.09])
    kinds[:64] = CommandKind.NEW
    new = kinds == CommandKind.NEW
    ids = np.zeros(count, np.uint64)
    ids[new] = chance.permutation(np.arange(1, int(new.sum()) + 1, dtype=np.uint64))
    born = np.flatnonzero(new)
    before = np.cumsum(new)[~new]  # orders that came before each of the others
    ids[~new] = ids[born[before - 1 - np.minimum(chance.integers(0, RECENT, before.size), before - 1)]]
    side = chance.integers(Side.BUY, Side.SELL + 1, count)
    middle = 30_000 + np.cumsum(chance.integers(-1, 2, count))
    away = chance.integers(-20, 180, count)
    messages["order_id"], messages["kind"], messages["side"] = ids, kinds, side
    messages["price"] = middle + np.where(side == Side.BUY, -away, away)
    messages["quantity"] = chance.integers(1, 100, count)
    messages["order_type"] = OrderType.LIMIT
    messages["time_in_force"] = np.where(chance.random(count) < 0.15, TimeInForce.IOC, TimeInForce.GTC)
    return messages


def from_python(messages: np.ndarray, prefetch: bool) -> tuple[float, np.ndarray]:
    """Seconds in batches of BATCH, and the reports by kind."""
    matcher, out = Matcher(prefetch=prefetch), np.zeros(4 * BATCH, REPORT)
    kinds = np.zeros(256, np.int64)
    seconds = 0.0
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        start = time.perf_counter()
        done, written = matcher.process(batch, out)
        seconds += time.perf_counter() - start
        check(done == len(batch), "a batch is done in one call")
        kinds += np.bincount(out["kind"][:written], minlength=256)
    return seconds, kinds


def from_c(library: ctypes.CDLL, messages: np.ndarray, prefetch: bool) -> tuple[float, np.ndarray]:
    """The same through the shared object."""
    engine = library.engine_create(ctypes.byref(Options(1, 1 << 20, 1 << 14, prefetch, RING)))
    check(bool(engine), "the engine is there")
    out, kinds, seconds = np.zeros(RING, REPORT), np.zeros(256, np.int64), 0.0
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        place, count = batch.ctypes.data, len(batch)
        start = time.perf_counter()
        library.engine_process(engine, place, count)
        seconds += time.perf_counter() - start
        kinds += np.bincount(out["kind"][: library.engine_read(engine, out.ctypes.data, RING)], minlength=256)
    library.engine_destroy(engine)
    return seconds, kinds


def shared_object() -> ctypes.CDLL:
    """The library of `make kernel-so`, made where it is not up to date."""
    subprocess.run(["make", "--no-print-directory", "kernel-so"], cwd=ROOT, check=True, capture_output=True)
    library = ctypes.CDLL(str(Path(ROOT, "build", "libnautilus_kernel.so")))
    library.engine_create.restype = ctypes.c_void_p
    library.engine_process.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    library.engine_process.restype = None
    library.engine_read.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    library.engine_destroy.argtypes = [ctypes.c_void_p]
    library.engine_destroy.restype = None
    return library


def run(report: Report) -> None:
    """Both interfaces, with and without fetching ahead."""
    messages, library = flow(MESSAGES, seed=1), shared_object()
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    report.notes.append(f"{MESSAGES:,} messages in turn through both, {TURNS} times; the ratio is of each turn")
    with pinned(core):
        for name, prefetch in (("fetched ahead", True), ("nothing fetched", False)):
            python, c = [], []
            with OtherLoad() as load:
                for _ in range(TURNS):
                    ours, theirs = from_python(messages, prefetch), from_c(library, messages, prefetch)
                    check(bool((ours[1] == theirs[1]).all()), "both give the same reports, kind by kind")
                    python.append(ours[0])
                    c.append(theirs[0])
            for what, seconds in ((f"from Python, 4,096 a call, {name}", python), (f"shared object, {name}", c)):
                report.add(what, "messages/s", [len(messages) / each for each in seconds], load.cores)
            ratios = [100 * there / here for here, there in zip(python, c, strict=True)]
            report.add(f"from Python, of the shared object's, {name}", "%", ratios, load.cores, goal=90.0)
    report.checks.append("both interfaces give the same number of reports of each kind")
