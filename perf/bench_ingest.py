"""Market data from a feed's ring through the platform to a subscriber of the star, all of the platform on one core.

    feed ══ TICK, 64 bytes ══▶ ring ══▶ hub: normalise, validate, books, publish ══▶ subscriber
    own process                         `nautilus up --market ticks:...`, one core    own process, shared ring or ZeroMQ

Two fifths of the ticks are levels, two fifths quotes, a fifth trades; one in a thousand is wrong and must not come
through. The platform is core, hub, gateway and the follower of its events, with the star's journal, images for late
readers and HTTP. *Throughput*: the feed is never more than half its ring ahead, the subscriber takes all; counted until
the last record has arrived. *Latency*: bursts at a fixed rate whatever becomes of them; from when a tick was due until
its record was handed out. Beside it the kernels alone, and the same ticks, one at a time, through plain Python checks
and dictionaries.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any
from urllib.request import urlopen

import numpy as np

from nautilus.bus import Subscriber, make_context
from nautilus.core.book_set import BookSet
from nautilus.core.clock import now_ns
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.core.wake import Waiting
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from perf.harness import ROOT, Report, check, cores, settle_clock
from perf.platform import platform, ports
from perf.tick_source import BLOCK, Block, hand_in, snapshots

SUMMARY = "a feed's ticks through the hub to a subscriber: throughput, and latency at 200,000 a second"
INSTRUMENTS = 20
BATCH = 8_192
BLOCKS = 64
RATE, BURST, BURST_BLOCKS = 200_000, 50, 10
REPEATS = 3
ALONE = 20
RING_MIB = 128
CARRIERS = {"shared ring": "ring", "ZeroMQ ipc": "zmq"}
UNNEEDED = ("trading", "risk", "portfolio", "strategy")
HIGH_WATER = 200_000
PATIENCE = 60
SHARED = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(report: Report) -> None:
    """The kernels alone, the whole way by both carriers, and plain Python."""
    check(len(cores()) >= 2, "two cores are needed, this process may run on one")
    own, other = cores()[:2]
    report.conditions["pinning"] = f"the platform on core {own}; feed and subscriber on core {other}"
    os.sched_setaffinity(0, {own})
    settle_clock()
    report.measure("normalise and validate, alone", "ticks/s", _normalise_alone)
    report.measure("normalise, validate and books, alone", "ticks/s", _books_alone)
    for carrier in ("shared ring", "ZeroMQ ipc"):
        report.measure(
            f"feed to subscriber, {carrier}", "ticks/s", partial(_throughput, carrier, other),
            goal=1_000_000, repeats=REPEATS,
        )  # fmt: skip
    for carrier in ("shared ring", "ZeroMQ ipc"):
        late: list[float] = []
        for _ in range(REPEATS):
            nanos = _latency(carrier, other)
            late.append(float(np.percentile(nanos, 99)) / 1e3)
        report.latency(f"{RATE:,} ticks/s in bursts of {BURST}, {carrier}", nanos)
        report.add(f"p99 at {RATE:,} ticks/s, {carrier}", "us", late, 0.0, goal=1_000, lower_is_better=True)
    report.measure("plain Python, one tick at a time, alone", "ticks/s", _plain_python, repeats=REPEATS)
    report.checks.append("each tick that is right arrives once, in its order, and none that is wrong; nothing is lost")


class Kernels:
    """The normaliser and the books alone."""

    def __init__(self) -> None:
        self.normaliser = Normaliser(jump_ticks=1_000)
        for number in range(1, INSTRUMENTS + 1):
            self.normaliser.add(number)
        self.books = BookSet()
        self.quotes, self.trades = np.zeros(BATCH, QUOTE), np.zeros(BATCH, TRADE)
        self.levels, self.refused = np.zeros(2 * BATCH, BOOK_DELTA), np.zeros(BATCH, QUARANTINE)

    def take(self, ticks: np.ndarray) -> None:
        """A batch: checked, applied."""
        used, quotes, _, levels, _ = self.normaliser.process_into(
            ticks, self.quotes, self.trades, self.levels, self.refused
        )
        assert used == len(ticks)
        if levels:
            self.books.apply(self.levels[:levels])
        if quotes:
            self.books.take_quotes(self.quotes[:quotes])

    def judge(self, sent: int, wrong: int) -> None:
        """What must hold at the end."""
        check(self.normaliser.refused == wrong, f"{self.normaliser.refused} refused of {wrong} wrong ticks")
        check(self.normaliser.passed + wrong == sent, f"{self.normaliser.passed} passed of {sent} ticks")
        check(not self.books.blind() and not self.books.crossed(), "a book is blind or crossed")
        check(len(self.books) == INSTRUMENTS, "books are missing")


def _blocks(count: int) -> tuple[list[np.ndarray], int]:
    block = Block(INSTRUMENTS)
    out = []
    for _ in range(count):
        ticks = block.next()
        ticks["receive_ns"] = ticks["venue_ns"] = time_ns()
        out.append(ticks)
    return out, block.wrong * count


def _normalise_alone() -> float:
    blocks, wrong = _blocks(ALONE)
    kernels = Kernels()
    buffers = (kernels.quotes, kernels.trades, kernels.levels, kernels.refused)
    begun = perf_counter()
    for ticks in blocks:
        for at in range(0, BLOCK, BATCH):
            kernels.normaliser.process_into(ticks[at : at + BATCH], *buffers)
    taken = perf_counter() - begun
    check(kernels.normaliser.refused == wrong, "another number of wrong ticks was refused")
    return ALONE * BLOCK / taken


def _books_alone() -> float:
    blocks, wrong = _blocks(ALONE)
    kernels = Kernels()
    first = snapshots(INSTRUMENTS, time_ns())
    kernels.take(first)
    begun = perf_counter()
    for ticks in blocks:
        for at in range(0, BLOCK, BATCH):
            kernels.take(ticks[at : at + BATCH])
    taken = perf_counter() - begun
    kernels.judge(ALONE * BLOCK + len(first), wrong)
    return ALONE * BLOCK / taken


def _plain_python() -> float:
    """What a program without kernels does for a tick: checks, exact prices, a dictionary a side, best of both."""
    [ticks, *_], _ = _blocks(1)
    books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    last: dict[tuple[int, int], int] = {}
    quotes: dict[int, tuple[int, ...]] = {}
    rows = ticks.tolist()
    begun = perf_counter()
    for venue, receive, number, price, lots, price_2, lots_2, who, kind, side, decimals, _ in rows:
        if venue > receive or lots < 0 or number <= last.get((who, kind), 0):
            continue
        if decimals > 4:
            price, rest = divmod(price, 10 ** (decimals - 4))
            if rest:
                continue
        if kind == 1:
            if price >= price_2:
                continue
            quotes[who] = (receive, venue, number, price, lots, price_2, lots_2)
        elif kind == 3:
            book = books.setdefault(who, ({}, {}))[side - 1]
            if lots:
                book[price] = lots
            else:
                book.pop(price, None)
        last[who, kind] = number
    return len(rows) / (perf_counter() - begun)


def _play(carrier: str, core: int, blocks: int, feed: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Seconds from the first tick to when the subscriber has the last record, and nanoseconds of each record."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SHARED)))
        place, results = directory / "feed", directory / "nanos"
        feed = {"core": core, "instruments": INSTRUMENTS, "place": str(place), "blocks": blocks, **feed}
        source = _child(stack, "source", feed)
        settings = [f"bus.transport={CARRIERS[carrier]}", f"bus.ring_mib={RING_MIB}", "marketdata.jump_bps=0"]
        without = [word for name in UNNEEDED for word in ("--without", name)]
        instance = stack.enter_context(
            platform("--profile", "native", "--market", f"ticks:{place}", *without, settings=settings)
        )
        plan = instance.plan()
        count = blocks * BLOCK - blocks * Block(INSTRUMENTS).wrong
        options = {
            "core": core, "endpoint": plan.star, "ring": plan.ring if carrier == "shared ring" else None,
            "results": str(results), "wanted": count,
        }  # fmt: skip
        subscriber = _child(stack, "subscribe", options)
        begun = perf_counter()
        _tell(source)
        answer = subscriber.stdout.readline()  # type: ignore[union-attr]
        seconds = perf_counter() - begun
        check(answer == b"%d\n" % count, f"{answer!r}: {count} records were expected")
        _judge(ports(instance)["marketdata"], blocks)
        return seconds, np.fromfile(results, np.int64)


def _child(stack: ExitStack, what: str, options: dict[str, Any]) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "perf.bench_ingest", what, json.dumps(options)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    check(process.stdout.readline() == b"ready\n", f"the {what} did not begin")
    return process


def _tell(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def _judge(port: int, blocks: int) -> None:
    """What must hold at the end, by what the hub says over HTTP."""
    found: dict[str, Any] = {}
    for path in ("marketdata/quarantine", "quotes"):
        with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            found[path] = json.load(answer)
    refused = sum(found["marketdata/quarantine"]["counts"].values())
    wrong = blocks * Block(INSTRUMENTS).wrong
    check(refused == wrong, f"{refused} refused of {wrong} wrong ticks")
    lines = found["quotes"]["quotes"]
    check(len(lines) == INSTRUMENTS and not any(line["blind_since_ns"] for line in lines), "a book is blind")


def _throughput(carrier: str, core: int) -> float:
    return BLOCKS * BLOCK / _play(carrier, core, BLOCKS, {})[0]


def _latency(carrier: str, core: int) -> np.ndarray:
    _, nanos = _play(carrier, core, BURST_BLOCKS, {"rate": RATE, "burst": BURST})
    # What came while the processes were still warming up is left out.
    return nanos[len(nanos) // 8 :]


def subscribe(options: dict[str, Any]) -> None:
    """Take all records; say so when as many have come as standard input tells, and write how late each was."""
    subscriber = Subscriber(
        make_context(), options["endpoint"], [QUOTES, TRADES, BOOK_DELTAS], clock=now_ns, ring=options["ring"],
        high_water=HIGH_WATER,
    )  # fmt: skip
    # Ones, so that its pages are there before: the first touch of a huge one takes milliseconds.
    stored, wanted = 0, options["wanted"]
    # Ones, so that its pages are there before: the first touch of a huge one takes milliseconds.
    nanos = np.ones(wanted + BLOCK, np.int64)
    waiting = Waiting("block")
    due_ns = until_ns = 0
    gc.disable()
    # What was lost will not come, and is named below.
    while stored + subscriber.lost < wanted:
        batches = subscriber.drain(256)
        now = now_ns()
        for _, records in batches:
            stamps = records["now_ns"]
            nanos[stored : stored + len(stamps)] = now - stamps
            stored += len(stamps)
        if now >= due_ns:
            subscriber.poll(now)
            due_ns = now + 5_000_000
            if not until_ns and subscriber.synchronised:
                stored = 0  # books that were there before
                until_ns = now + PATIENCE * 1_000_000_000
                print("ready", flush=True)
            check(now < until_ns or not until_ns, f"{stored} of {wanted} records came")
        if batches:
            continue
        if options["ring"] is None:
            subscriber.socket.poll(5)
        elif subscriber.arm():
            waiting.readable(subscriber.fileno(), 5_000_000)
    # What comes by both carriers while a reader begins is dropped once: no fault.
    faults = {name: getattr(subscriber, name) for name in ("lost", "unknown", "malformed", "gaps")}
    check(not any(faults.values()), f"{stored} of {wanted} delivered, {faults}")
    nanos[:stored].tofile(options["results"])
    print(stored, flush=True)


def main(what: str, options_text: str) -> None:
    """The source, or the subscriber."""
    options = json.loads(options_text)
    os.sched_setaffinity(0, {options["core"]})
    if what == "source":
        hand_in(options["place"], options)
    else:
        settle_clock()
        subscribe(options)


if __name__ == "__main__":
    main(*sys.argv[1:])
