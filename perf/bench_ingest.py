"""Market data from a source's ring to a subscriber of the star, on one core of the process that takes it in.

    source ══ TICK, 64 bytes ══▶ ring ══▶ normalise, validate ──▶ books ──▶ Publisher ══▶ Subscriber
    own process                          this process, one core               own process, shared ring or ZeroMQ ipc

Two fifths of the ticks are levels, two fifths quotes, a fifth trades; one in a thousand is wrong and must not come
through. *Throughput*: the source is never more than half its ring ahead, the subscriber takes all; counted until the
last record has arrived. *Latency*: bursts at a fixed rate whatever becomes of them; from when a tick was due until its
record was handed out. Peer: the same ticks, one at a time, through plain Python checks and dictionaries.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, sleep, time_ns
from typing import Any

import numpy as np

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.ring import RingWriter
from nautilus.core.book_set import BookSet
from nautilus.core.broadcast_reader import Reader
from nautilus.core.clock import now_ns
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE, TICK
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.core.wake import Waiting
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from perf.harness import ROOT, Report, check, cores, settle_clock
from perf.tick_source import BLOCK, Block, hand_in, snapshots

SUMMARY = "ticks: ring, normaliser, books, publisher, subscriber; throughput, and latency at 200,000 a second"
INSTRUMENTS = 20
BATCH = 8_192
BLOCKS = 64
RATE, BURST, BURST_BLOCKS = 200_000, 50, 10
REPEATS = 3
ALONE = 20
STAR_RING = 1 << 27
HIGH_WATER = 200_000
PATIENCE = 60
SHARED = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(report: Report) -> None:
    """The kernels alone, the whole way by both carriers, and plain Python."""
    check(len(cores()) >= 2, "two cores are needed, this process may run on one")
    own, other = cores()[:2]
    report.conditions["pinning"] = f"ingest with all its threads on core {own}; source and subscriber on core {other}"
    os.sched_setaffinity(0, {own})
    settle_clock()
    report.measure("normalise and validate, alone", "ticks/s", _normalise_alone)
    report.measure("normalise, validate and books, alone", "ticks/s", _books_alone)
    for carrier in ("shared ring", "ZeroMQ ipc"):
        report.measure(
            f"ring to subscriber, {carrier}", "ticks/s", partial(_throughput, carrier, other),
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


class Ingest:
    """What takes ticks in: the normaliser, the books and the publisher, in one thread."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self.normaliser = Normaliser(jump_ticks=1_000)
        for number in range(1, INSTRUMENTS + 1):
            self.normaliser.add(number)
        self.books = BookSet()
        self.publisher = publisher
        self.ticks = np.zeros(BATCH, TICK)
        self.quotes, self.trades = np.zeros(BATCH, QUOTE), np.zeros(BATCH, TRADE)
        self.levels, self.refused = np.zeros(2 * BATCH, BOOK_DELTA), np.zeros(BATCH, QUARANTINE)

    def take(self, ticks: np.ndarray) -> None:
        """A batch: checked, applied, published."""
        used, quotes, trades, levels, _ = self.normaliser.process_into(
            ticks, self.quotes, self.trades, self.levels, self.refused
        )
        assert used == len(ticks)
        if levels:
            self.books.apply(self.levels[:levels])
        if quotes:
            self.books.take_quotes(self.quotes[:quotes])
        if self.publisher is not None:
            publish = self.publisher.publish
            if levels:
                publish(self.levels[:levels])
            if quotes:
                publish(self.quotes[:quotes])
            if trades:
                publish(self.trades[:trades])

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
    ingest = Ingest()
    buffers = (ingest.quotes, ingest.trades, ingest.levels, ingest.refused)
    begun = perf_counter()
    for ticks in blocks:
        for at in range(0, BLOCK, BATCH):
            ingest.normaliser.process_into(ticks[at : at + BATCH], *buffers)
    taken = perf_counter() - begun
    check(ingest.normaliser.refused == wrong, "another number of wrong ticks was refused")
    return ALONE * BLOCK / taken


def _books_alone() -> float:
    blocks, wrong = _blocks(ALONE)
    ingest = Ingest()
    first = snapshots(INSTRUMENTS, time_ns())
    ingest.take(first)
    begun = perf_counter()
    for ticks in blocks:
        for at in range(0, BLOCK, BATCH):
            ingest.take(ticks[at : at + BATCH])
    taken = perf_counter() - begun
    ingest.judge(ALONE * BLOCK + len(first), wrong)
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


class Whole:
    """The three processes. This one takes ticks in; `arrived` is how many records the subscriber had."""

    def __init__(self, carrier: str, core: int, stack: ExitStack, source: dict[str, Any]) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SHARED)))
        self.results = directory / "nanos"
        ring = RingWriter(directory / "star", capacity=STAR_RING, epoch=now_ns()) if carrier == "shared ring" else None
        self.context = make_context()
        stack.callback(self.context.destroy, 0)
        self.publisher = Publisher(
            self.context, f"ipc://{directory}/ipc", epoch=now_ns(), clock=now_ns, high_water=HIGH_WATER, ring=ring
        )
        stack.callback(self.publisher.close)
        options = {
            "core": core,
            "endpoint": self.publisher.endpoints[0],
            "ring": str(directory / "star") if ring is not None else None,
            "results": str(self.results),
        }
        self.subscriber = self._child(stack, "subscribe", options)
        self.publisher.poll(now_ns())
        source = {"core": core, "instruments": INSTRUMENTS, **source}
        self.source = self._child(stack, "source", {**source, "place": str(directory / "ticks")})
        self.reader = Reader(directory / "ticks", slot=True, oldest=True)
        stack.callback(self.reader.close)
        self.ingest = Ingest(self.publisher)
        self.waiting = Waiting("spin-then-block")
        stack.callback(self.waiting.close)

    @staticmethod
    def _child(stack: ExitStack, what: str, options: dict[str, Any]) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "perf.bench_ingest", what, json.dumps(options)]
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        check(process.stdout.readline() == b"ready\n", f"the {what} did not begin")
        return process

    def run(self, ticks: int) -> float:
        """Take in so many ticks; seconds from the first to when the subscriber has the last."""
        ingest, reader, publisher, room = self.ingest, self.reader, self.publisher, self.ingest.ticks
        taken, due_ns, begun = 0, 0, 0.0
        until = monotonic() + PATIENCE
        gc.disable()
        while taken < ticks:
            now = now_ns()
            if now >= due_ns:
                due_ns = publisher.poll(now)
                check(monotonic() < until, f"{taken} of {ticks} ticks came in")
            count = reader.drain_into(room)
            if count:
                begun = begun or perf_counter()
                ingest.take(room[:count])
                taken += count
            else:
                reader.wait(self.waiting, 10_000_000)
        gc.enable()
        publisher.heartbeat()
        self.subscriber.stdin.write(b"%d\n" % publisher.published)  # type: ignore[union-attr]
        self.subscriber.stdin.flush()  # type: ignore[union-attr]
        os.set_blocking(self.subscriber.stdout.fileno(), False)  # type: ignore[union-attr]
        answer = b""
        while not answer.endswith(b"\n"):
            publisher.poll(now_ns())
            check(self.subscriber.poll() is None and monotonic() < until, "the subscriber does not have all records")
            answer += self.subscriber.stdout.read() or b""  # type: ignore[union-attr]
            sleep(0.0002)
        check(reader.lapped == reader.missed_frames == 0, "ticks were lost before they were taken in")
        return perf_counter() - begun


def _throughput(carrier: str, core: int) -> float:
    with ExitStack() as stack:
        whole = Whole(carrier, core, stack, {"blocks": BLOCKS})
        count = BLOCKS * BLOCK + len(snapshots(INSTRUMENTS, 1))
        seconds = whole.run(count)
        whole.ingest.judge(count, BLOCKS * Block(INSTRUMENTS).wrong)
        return count / seconds


def _latency(carrier: str, core: int) -> np.ndarray:
    with ExitStack() as stack:
        whole = Whole(carrier, core, stack, {"blocks": BURST_BLOCKS, "rate": RATE, "burst": BURST})
        count = BURST_BLOCKS * BLOCK + len(snapshots(INSTRUMENTS, 1))
        whole.run(count)
        whole.ingest.judge(count, BURST_BLOCKS * Block(INSTRUMENTS).wrong)
        nanos = np.fromfile(whole.results, np.int64)
        # What came while the processes were still warming up is left out.
        return nanos[len(nanos) // 8 :]


def subscribe(options: dict[str, Any]) -> None:
    """Take all records; say so when as many have come as standard input tells, and write how late each was."""
    subscriber = Subscriber(
        make_context(), options["endpoint"], [QUOTES, TRADES, BOOK_DELTAS], clock=now_ns, ring=options["ring"],
        high_water=HIGH_WATER,
    )  # fmt: skip
    # Ones, so that its pages are there before: the first touch of a huge one takes milliseconds.
    nanos = np.ones(BLOCK * max(BLOCKS, BURST_BLOCKS) + 2 * INSTRUMENTS * 100, np.int64)
    stored, wanted = 0, -1
    os.set_blocking(0, False)
    waiting = Waiting("block")
    print("ready", flush=True)
    gc.disable()
    due_ns = 0
    # What was lost will not come, and is named below.
    while stored + subscriber.lost != wanted:
        batches = subscriber.drain(256)
        if batches:
            now = now_ns()
            for _, records in batches:
                stamps = records["now_ns"]
                nanos[stored : stored + len(stamps)] = now - stamps
                stored += len(stamps)
            continue
        now = now_ns()
        if now >= due_ns:
            subscriber.poll(now)
            due_ns = now + 5_000_000
            if wanted < 0:
                with contextlib.suppress(BlockingIOError):  # nothing was said yet
                    wanted = int(os.read(0, 64) or b"-1")
                continue
        if options["ring"] is None:
            subscriber.socket.poll(5)
        elif subscriber.arm():
            waiting.readable(subscriber.fileno(), 5_000_000)
    # What comes by both carriers while a reader begins is dropped once: no fault.
    faults = {name: getattr(subscriber, name) for name in ("lost", "unknown", "malformed", "gaps")}
    check(
        not any(faults.values()) and subscriber.delivered == wanted,
        f"{subscriber.delivered} of {wanted} delivered, {faults}",
    )
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
