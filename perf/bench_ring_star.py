"""The star over shared memory: one writer, readers in processes of their own, frames in a ring; and last values.

    writer ──▶ ring ──▶ reader                        one by one: a Python call a message on both sides
    writer ══▶ ring ══▶ numpy                         a loop in C writes, Python drains into an array
    ping ──▶ ring ──▶ pong ──▶ ring ──▶ ping          round trip, both spin
    writer ══▶ ring ══▶ 13 readers                    nothing lost by those that keep up
    15 frames each millisecond ══▶ 13 readers         latency, open loop; they sleep, cores are held awake; in 13
                                                      processes, in 4 and in 2, each reader with its own cursor

Every word of every record is judged at the reader. Where nothing may be lost, the writer goes no further ahead of the
slowest reader than half the ring: the ring itself waits for nobody. Peers: iceoryx2 where it is installed, a pipe.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from nautilus.bus.base import HEADER, MAGIC, topic_bytes
from nautilus.core.affinity import LatencyHold
from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.last_values import LastValues, LastValueWriter
from nautilus.core.types import QUOTE
from nautilus.core.wake import Waiting
from perf import iceoryx
from perf.forked import Forked, Say, each_millisecond
from perf.harness import Report, check, cores, pinned
from perf.native import loops

SUMMARY = "ring of the star in shared memory: throughput, round trip, 13 readers; beside iceoryx2; last values"
MESSAGE = 64
SINGLE = 1_000_000
SINGLE_CAPACITY = 1 << 20
BATCHED = 10_000_000
BATCHED_CAPACITY = 1 << 20
BATCH = 256
SPREAD = 0x9E3779B97F4A7C15
TRIPS = 100_000
READERS = 13
FANNED = 2_000_000
FANNED_CAPACITY = 1 << 25
BURST, BURSTS = 15, 1_000
LOOKS = 1_000_000
REPEATS = 5
LONG_NS = 10_000_000_000
SHARED = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(report: Report) -> None:
    """All figures; then those of a pipe between two Python processes in the same run."""
    check(len(cores()) >= 2, "two cores are needed, this process may run on one")
    first, second = cores()[:2]
    report.conditions["pinning"] = f"one by one, drain and round trip: cores {first} and {second}; 13 readers: none"
    loops()
    with tempfile.TemporaryDirectory(dir=SHARED) as directory, ExitStack() as stack:
        place = Path(directory)
        report.measure(
            "one by one, a Python call a message on both sides", "messages/s",
            lambda: one_by_one(place / "single", first, second), goal=8e6, repeats=REPEATS,
        )  # fmt: skip
        report.measure(
            "drained into numpy", "messages/s", lambda: drained(place / "batch", first, second), goal=100e6,
            repeats=REPEATS,
        )  # fmt: skip
        report.measure(
            f"{READERS} readers, published", "messages/s", lambda: fanned(place / "fan"), goal=5e6, repeats=REPEATS
        )
        trips = [round_trips(place / "trip", first, second) for _ in range(REPEATS)]
        report.latency("round trip, both spin", np.concatenate(trips))
        for percentile, goal in ((50, 650.0), (99, 900.0), (99.9, 1_500.0)):
            add_percentile(report, f"round trip p{percentile}", trips, percentile, goal)
        hold = LatencyHold(0)
        stack.callback(hold.close)
        report.conditions["wake-up"] = hold.grant.found
        asleep(report, place, first, second)
        if iceoryx.INSTALLED:
            peers(report, place, first, second)
        else:
            report.notes.append("Without iceoryx2: its package is not installed.")
        report.measure("last value into a record", "ns", lambda: last_value(place / "last"), goal=100.0,
                       lower_is_better=True, repeats=REPEATS)  # fmt: skip
        report.latency("multiprocessing.Pipe round trip", pipe_trips(first, second))
    report.checks.append("every word of every record judged at the reader: none lost, torn, reordered or repeated")
    report.notes.append("Latency of the bursts counts from the time at which a frame was due.")
    report.notes.append(
        f"{READERS} sleeping processes on {len(cores())} cores: each costs a wake-up and two switches, and the last of "
        "them has its turn when all others had theirs. What the system takes for that alone, with nothing written and "
        "nothing read, stands beside it: processes that sleep on one word and are woken by one call."
    )


def asleep(report: Report, place: Path, first: int, second: int) -> None:
    """Readers that sleep, cores held awake: a process each, processes of several; one that spins; the system's part."""
    title = f"{READERS} readers"
    kinds: list[tuple[str, Callable[[], np.ndarray], float | None]] = [
        (f"{title}, each a process", lambda: bursts(place / "bursts"), 20_000.0),
        (f"{title}, each a process, SCHED_BATCH", lambda: bursts(place / "bursts", batch=True), None),
        (f"{title} in 4 processes", lambda: bursts(place / "bursts", 4), None),
        (f"{title} in 2 processes", lambda: bursts(place / "bursts", 2), None),
        (f"{title} in one process that spins on core {second}", lambda: spun(place / "bursts", first, second), None),
        (f"{READERS} processes asleep on one word, nothing read", lambda: sleepers(place / "word"), None),
        ("4 processes asleep on one word, nothing read", lambda: sleepers(place / "word", 4), None),
        ("2 processes asleep on one word, nothing read", lambda: sleepers(place / "word", 2), None),
    ]
    waves: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in kinds}
    for _ in range(REPEATS):
        for name, once, _ in kinds:
            waves[name].append(once())
    for name, _, goal in kinds:
        report.latency(f"{name}, bursts of {BURST} a millisecond", np.concatenate(waves[name]))
        add_percentile(report, f"{name}, p50", waves[name], 50, None)
        add_percentile(report, f"{name}, p99", waves[name], 99, goal)


def peers(report: Report, place: Path, first: int, second: int) -> None:
    """The same between Python processes through iceoryx2."""
    report.measure(
        "iceoryx2: one by one, a Python call a message on both sides", "messages/s",
        lambda: iceoryx.one_by_one(first, second), repeats=REPEATS,
    )  # fmt: skip
    trips = [iceoryx.round_trips(first, second) for _ in range(REPEATS)]
    waves = [iceoryx.bursts(place / "bursts", READERS, BURSTS) for _ in range(REPEATS)]
    report.latency("iceoryx2: round trip, both spin", np.concatenate(trips))
    report.latency(
        f"iceoryx2: {READERS} readers, each a process, bursts of {BURST} a millisecond", np.concatenate(waves)
    )
    for percentile in (50, 99):
        add_percentile(report, f"iceoryx2: round trip p{percentile}", trips, percentile, None)
        add_percentile(report, f"iceoryx2: {READERS} readers, each a process, p{percentile}", waves, percentile, None)


def add_percentile(report: Report, name: str, runs: list[np.ndarray], percentile: float, goal: float | None) -> None:
    """A percentile of each run; the figure is their median."""
    values = [float(np.percentile(run, percentile)) for run in runs]
    report.add(name, "ns", values, 0.0, goal=goal, lower_is_better=True)


def records(first: int, count: int) -> np.ndarray:
    """Words of records as `loops.broadcast_send` writes them."""
    numbers = np.arange(first, first + count, dtype=np.uint64).reshape(-1, 1)
    return numbers + np.arange(8, dtype=np.uint64) * np.uint64(SPREAD)


def one_by_one(path: Path, first: int, second: int) -> float:
    """Messages a second: each is a call of `write` there and of `next` here."""
    part = 1 << 12
    writer = Writer(path, SINGLE_CAPACITY, 1)
    words = records(0, SINGLE)
    frames = [row.tobytes() for row in words]

    def work(ready: Say) -> tuple[int, float]:
        reader = Reader(path)
        take = reader.next
        ready()
        number = wrong = 0
        while number < SINGLE:
            got: list[bytes] = []
            add = got.append
            while len(got) < part and number + len(got) < SINGLE:
                for _ in range(64):
                    frame = take()
                    if frame is not None:
                        add(frame)
            found = np.frombuffer(b"".join(got), np.uint64).reshape(-1, 8)
            wrong += loops().broadcast_wrong(found, len(found), number)
            number += len(got)
        return wrong + reader.missed_frames + reader.damaged, perf_counter()

    reading = Forked(work, second)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    write, slowest = writer.write, writer.slowest
    begun = perf_counter()
    for at in range(0, SINGLE, 1024):
        for frame in frames[at : at + 1024]:
            write(frame)
        while slowest() > SINGLE_CAPACITY // 2:
            pass
    wrong, ended = reading.result()
    os.sched_setaffinity(0, before)
    check(wrong == 0, f"one by one: {wrong} messages lost or wrong")
    writer.close()
    return SINGLE / float(ended - begun)


def drained(path: Path, first: int, second: int) -> float:
    """Messages a second: a loop in C writes, Python drains into an array."""
    writer = Writer(path, BATCHED_CAPACITY, 1)

    def work(ready: Say) -> tuple[int, float]:
        reader, out = Reader(path), np.zeros((2_048, 8), np.uint64)
        rows = out.reshape(-1).view(np.dtype((np.void, MESSAGE)))
        wrongs, drain = loops().broadcast_wrong, reader.drain_into
        ready()
        number = wrong = 0
        while number < BATCHED:
            count = drain(rows)
            if count:
                wrong += wrongs(out, count, number)
                number += count
        return wrong + reader.missed_frames + reader.damaged, perf_counter()

    reading = Forked(work, second)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    begun = perf_counter()
    loops().broadcast_send(writer, 0, BATCHED, BATCH, BATCHED_CAPACITY // 2)
    wrong, ended = reading.result()
    os.sched_setaffinity(0, before)
    check(wrong == 0, f"drained: {wrong} messages lost or wrong")
    writer.close()
    return BATCHED / float(ended - begun)


def fanned(path: Path) -> float:
    """Messages published a second, with all of them read by each of the readers."""
    writer = Writer(path, FANNED_CAPACITY, 1)

    def work(ready: Say) -> tuple[int, float]:
        reader, out, waiting = Reader(path), np.zeros((4_096, 8), np.uint64), Waiting("block")
        rows = out.reshape(-1).view(np.dtype((np.void, MESSAGE)))
        wrongs, drain = loops().broadcast_wrong, reader.drain_into
        ready()
        number = wrong = 0
        while number < FANNED:
            count = drain(rows)
            if count:
                wrong += wrongs(out, count, number)
                number += count
            else:
                reader.wait(waiting, 1_000_000_000)
        return wrong + reader.missed_frames + reader.damaged, perf_counter()

    reading = [Forked(work) for _ in range(READERS)]
    begun = perf_counter()
    loops().broadcast_send(writer, 0, FANNED, BATCH, FANNED_CAPACITY // 2)
    wrong, ended = zip(*(each.result() for each in reading), strict=True)
    check(not any(wrong), f"{READERS} readers: {wrong} messages lost or wrong")
    writer.close()
    return FANNED / float(max(ended) - begun)


def round_trips(path: Path, first: int, second: int) -> np.ndarray:
    """Nanoseconds of each round trip through two rings, Python on both sides."""
    there, back = path.with_name("there"), path.with_name("back")
    out, other = Writer(there, 1 << 16, 1), Writer(back, 1 << 16, 1)

    def work(ready: Say) -> int:
        take, write = Reader(there).take, other.write
        ready()
        for _ in range(TRIPS):
            write(take(spinning, LONG_NS) or b"")
        return 0

    spinning = Waiting("spin")
    take, write, now = Reader(back).take, out.write, perf_counter_ns
    frames = [row.tobytes() for row in records(0, 1_000)]
    pong = Forked(work, second)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    nanos = np.zeros(TRIPS, np.int64)
    wrong = 0
    gc.disable()
    for trip in range(TRIPS):
        sent = frames[trip % 1_000]
        begun = now()
        write(sent)
        frame = take(spinning, LONG_NS)
        nanos[trip] = now() - begun
        wrong += frame != sent
    gc.enable()
    check(pong.result() == 0, "pong failed")
    os.sched_setaffinity(0, before)
    check(wrong == 0, f"{wrong} echoes were not what was sent")
    return nanos


def shares(processes: int) -> list[int]:
    """How many of the readers each of so many processes has."""
    return [READERS // processes + (number < READERS % processes) for number in range(processes)]


def bursts(path: Path, processes: int = READERS, *, batch: bool = False, core: int | None = None) -> np.ndarray:
    """Nanoseconds from when a frame was due until each of the readers, all asleep before, had a copy of it.

    Each reader has its own cursor; those of one process are read by one thread, which sleeps once. `batch`: these
    processes are scheduled as SCHED_BATCH, so that one that is woken does not take the core from one that reads.
    `core`: they have it, and spin there instead.
    """
    writer = Writer(path, 1 << 20, 1)
    header = HEADER.pack(topic_bytes(1, 1), MAGIC, 1, 1, QUOTE.itemsize, 1, 1, 1 << 32 | 1, 1, 0)
    frame = np.frombuffer(header + np.ones(1, QUOTE).tobytes(), np.uint64).copy()

    def work(number: int, readers: int, ready: Say) -> int:
        if batch:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        rings, nanos = [Reader(path) for _ in range(readers)], np.ones((readers, BURST * BURSTS), np.int64)
        ready()
        wrong: int = loops().broadcast_timed(rings, nanos, frame, 0 if core is None else LONG_NS)
        nanos.tofile(path.with_name(f"nanos{number}"))
        return wrong + sum(reader.missed_frames for reader in rings)

    reading = [
        Forked(lambda ready, number=number, readers=readers: work(number, readers, ready), core)  # type: ignore[misc]
        for number, readers in enumerate(shares(processes))
    ]
    number = 0
    for due_ns in each_millisecond(BURSTS):
        frame[8] = due_ns
        for _ in range(BURST):
            frame[9] = number
            number += 1
            writer.put(frame)
        writer.flush()
    wrong = [each.result() for each in reading]
    check(wrong == [0] * processes, f"bursts: {wrong} frames lost or wrong")
    writer.close()
    found = [np.fromfile(path.with_name(f"nanos{number}"), np.int64) for number in range(processes)]
    nanos = np.concatenate(found)
    check(len(nanos) == READERS * BURST * BURSTS, f"bursts: {len(nanos):,} frames read")
    return nanos


def spun(path: Path, first: int, second: int) -> np.ndarray:
    """As `bursts`, to readers of one process that never sleeps and has a core of its own."""
    with pinned(first):
        return bursts(path, 1, core=second)


def sleepers(path: Path, processes: int = READERS) -> np.ndarray:
    """Nanoseconds from when a word was due until each process that slept on it ran, and no more than that."""
    np.zeros(BURSTS + 1, np.int64).tofile(path)
    shared = np.memmap(path, np.int64, "r+")
    word, dues = shared[:1].view(np.uint32)[:1], shared[1:]

    def work(number: int, ready: Say) -> int:
        nanos = np.ones(BURSTS, np.int64)
        ready()
        loops().futex_timed(word, dues, nanos)
        nanos.tofile(path.with_name(f"nanos{number}"))
        return 0

    sleeping = [
        Forked(lambda ready, number=number: work(number, ready))  # type: ignore[misc]
        for number in range(processes)
    ]
    for number, due_ns in enumerate(each_millisecond(BURSTS)):
        dues[number] = due_ns
        loops().futex_call(word)
    for each in sleeping:
        each.result()
    return np.concatenate([np.fromfile(path.with_name(f"nanos{number}"), np.int64) for number in range(processes)])


def last_value(path: Path) -> float:
    """Nanoseconds of one read into a record, the loop among them; streams by turns."""
    writer = LastValueWriter(path, 1 << 12, 1, keep=False)
    record = np.zeros(1, QUOTE)
    for stream in range(1_000):
        record["update_id"] = stream
        writer.put(stream, record, 1, 0)
    values, out = LastValues(path), np.zeros(1, QUOTE)
    reads = [values.bind(stream, out).read for stream in range(1_000)]
    for stream, read in enumerate(reads):
        check(read() == 1 and int(out["update_id"][0]) == stream, f"stream {stream}: another's value")
    begun = perf_counter()
    for _ in range(LOOKS // len(reads)):
        for read in reads:
            read()
    elapsed = perf_counter() - begun
    writer.close()
    return elapsed / LOOKS * 1e9


def pipe_trips(first: int, second: int) -> np.ndarray:
    """Nanoseconds of each round trip through a pipe of the standard library."""
    near, far = multiprocessing.Pipe()
    trips = 5_000

    def work(ready: Say) -> int:
        ready()
        for _ in range(trips):
            far.send_bytes(near_bytes(far))
        return 0

    def near_bytes(end: Any) -> bytes:
        found: bytes = end.recv_bytes()
        return found

    pong = Forked(work, second)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    nanos, frame = np.zeros(trips, np.int64), bytes(MESSAGE)
    for trip in range(trips):
        begun = perf_counter_ns()
        near.send_bytes(frame)
        check(near.recv_bytes() == frame, "an echo was not what was sent")
        nanos[trip] = perf_counter_ns() - begun
    pong.result()
    os.sched_setaffinity(0, before)
    return nanos
