"""From the hub to 13 engines: real publisher, real subscribers; ring and ZeroMQ, ways to be woken, shared processes.

    hub ══ a quote each millisecond ══▶ ring ──▶ 13 engines: epoll on a doorbell, or asleep on the ring itself
                                    ══▶ ipc  ──▶ 13 engines

From before the hub publishes until Python in each engine has the decoded record. What limits it on few cores is the
system: 13 processes that sleep are woken one after the other, and the last has its turn when all others had theirs
(`bench_ring_star` shows that alone, with nothing read). SCHED_BATCH (`bus.schedule = "batch"`) lets the hub go on
waking instead of losing its core to the first that is awake. Engines that share a process share its subscriber, and
have a record one after the other; a process that never sleeps (`bus.wake = "spin"`) needs a core of its own.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, sleep, time_ns

import numpy as np
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.base import HEADER_BYTES
from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.affinity import LatencyHold, batch
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.core.wake import Waiting
from nautilus.model.topics import QUOTES
from perf.harness import AWAKE_NS, ROOT, OtherLoad, Report, check

SUMMARY = "distribution from the hub to 13 engines: ring and ZeroMQ, ways to be woken, shared processes"
ENGINES = 13
COMPACT, COLOCATED = 4, 1
SENT = 1_500
RING_BYTES = 1 << 20
MILLISECOND = 1_000_000
P50_GOAL_US, P99_GOAL_US = 60, 250
PATIENCE = 60
REPEATS = 3


def run(report: Report) -> None:
    """All ways, several times, by turns."""
    report.conditions["pinning"] = "none"
    hold = LatencyHold(0)
    report.conditions["wake-up"] = hold.grant.found
    rows: tuple[tuple[str, Callable[[Path], np.ndarray], bool], ...] = (
        (f"{ENGINES} engines by ring", partial(once, way="ring"), False),
        (f"{ENGINES} engines by ring, SCHED_BATCH", partial(once, way="ring-batch"), True),
        (f"{ENGINES} engines asleep on the ring, SCHED_BATCH", partial(once, way="sleep-batch"), False),
        (f"{ENGINES} engines by ZeroMQ, SCHED_BATCH", partial(once, way="zmq-batch"), False),
        (
            f"{ENGINES} engines in {COMPACT} processes by ring, SCHED_BATCH",
            partial(once, way="ring-batch", hosts=COMPACT),
            False,
        ),
        (
            f"{ENGINES} engines in one process that spins, by ring",
            partial(once, way="ring-spin", hosts=COLOCATED),
            True,
        ),
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in rows}
    try:
        with OtherLoad() as load:
            for _ in range(REPEATS):
                for name, play, _ in rows:
                    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
                        found[name].append(play(Path(place)))
    finally:
        hold.close()
    for name, _, asked in rows:
        runs = found[name]
        report.latency(f"{name}, one way", np.concatenate([run.ravel() for run in runs]))
        for percentile, goal in ((50, P50_GOAL_US), (99, P99_GOAL_US)):
            values = [float(np.percentile(run, percentile)) / 1e3 for run in runs]
            report.add(
                f"{name}, one way, p{percentile}", "us", values, load.cores, goal=goal if asked else None,
                lower_is_better=True,
            )  # fmt: skip
        last = [float(np.percentile(run.max(axis=0), 50)) / 1e3 for run in runs]
        report.add(f"{name}, until the last has it, p50", "us", last, load.cores, lower_is_better=True)
    report.checks.append("every quote at every engine, once and in order")
    report.notes.append("From before it is published until Python has the decoded record; by the system's clock.")


def once(directory: Path, way: str, hosts: int = ENGINES) -> np.ndarray:
    """Nanoseconds, a row for each engine; `hosts`: processes that the engines share."""
    context = make_context()
    with ExitStack() as stack:
        stack.callback(context.destroy, 0)
        epoch = now_ns()
        ring = None
        if not way.startswith("zmq"):
            ring = RingWriter(directory / "ring", capacity=RING_BYTES, epoch=epoch)
            stack.callback(ring.close)
        publisher = Publisher(context, f"ipc://{directory}/star", epoch=epoch, clock=now_ns, ring=ring)
        stack.callback(publisher.close)
        words = np.zeros(1 + hosts, np.int64)
        words.tofile(directory / "words")
        words = np.memmap(directory / "words", np.int64, "r+")
        processes = stack.enter_context(started(way, directory, hosts))
        until = perf_counter() + PATIENCE
        while not words[1:].all():
            check(perf_counter() < until and all(each.poll() is None for each in processes), "an engine is not ready")
            publisher.poll(now_ns())
            sleep(0.001)
        words[0] = begun_ns = time_ns() + 20 * MILLISECOND
        quote = np.zeros(1, QUOTE)
        quote["instrument_id"] = 1
        for number in range(SENT):
            due_ns = begun_ns + number * MILLISECOND
            while (left_ns := due_ns - time_ns()) > 0:
                if left_ns > AWAKE_NS:
                    publisher.poll(now_ns())
                    sleep(max(0, due_ns - time_ns() - AWAKE_NS) / 1e9)
            quote["now_ns"], quote["update_id"] = time_ns(), number
            publisher.publish(quote)
        for each in processes:
            check(each.wait(PATIENCE) == 0, "an engine failed")
        found = np.concatenate([
            np.fromfile(directory / f"nanos{number}", np.int64).reshape(-1, SENT) for number in range(hosts)
        ])  # fmt: skip
    check(len(found) == ENGINES and int(found.min()) >= 0, "an engine without its records, or a latency below zero")
    return found


@contextmanager
def started(way: str, directory: Path, hosts: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes of the engines."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:
        processes = []
        for number in range(hosts):
            engines = ENGINES // hosts + (number < ENGINES % hosts)
            command = [sys.executable, "-m", "perf.bench_distribution", way, str(directory), str(number), str(engines)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def host(way: str, directory: Path, number: int, engines: int) -> None:
    """A process of engines: as a host waits, or asleep on the ring itself."""
    if way.endswith("-batch"):
        batch()
    words, nanos = np.memmap(directory / "words", np.int64, "r+"), np.ones((engines, SENT), np.int64)
    if way.startswith("sleep"):
        sleeping(directory, number, words, nanos)
    else:
        waiting(way, directory, number, words, nanos)
    nanos.tofile(directory / f"nanos{number}")


def waiting(way: str, directory: Path, number: int, words: np.ndarray, nanos: np.ndarray) -> None:
    """A subscriber of the bus behind an epoll, as the host of an engine has it."""
    ring = directory / "ring" if way.startswith("ring") else None
    subscriber = Subscriber(make_context(), f"ipc://{directory}/star", [QUOTES], clock=now_ns, ring=ring)
    epoll, seen = select.epoll(), 0
    spinning = Waiting("spin") if way.endswith("-spin") else None
    for descriptor in (subscriber.fileno(), int(subscriber.socket.getsockopt(zmq.FD))):
        if descriptor >= 0:
            epoll.register(descriptor, select.EPOLLIN)
    while seen < SENT:
        if subscriber.heartbeats:
            words[1 + number] = 1
        if not subscriber.touched and subscriber.arm():
            if spinning is not None:
                spinning.readable(epoll.fileno(), 20 * MILLISECOND)
            epoll.poll(0 if spinning is not None else 0.02)
        for _, records in subscriber.drain():
            for now, update in zip(records["now_ns"].tolist(), records["update_id"].tolist(), strict=True):
                check(update == seen, "a quote that is not next")
                for each in nanos:
                    each[seen] = time_ns() - now
                seen += 1
    check(subscriber.lost == 0, "quotes lost")


def sleeping(directory: Path, number: int, words: np.ndarray, nanos: np.ndarray) -> None:
    """A thread with this one ring: it sleeps on a word of it, and one call of the hub wakes all."""
    reader, asleep, seen = RingReader(directory / "ring"), Waiting("block"), 0
    words[1 + number] = 1
    while seen < SENT:
        reader.wait(asleep, 100 * MILLISECOND)
        for frame in reader.drain():
            if frame[0] != 1:
                continue
            at_ns = time_ns()
            records = np.frombuffer(frame, QUOTE, offset=HEADER_BYTES)
            check(int(records["update_id"][0]) == seen, "a quote that is not next")
            nanos[0, seen] = at_ns - int(records["now_ns"][0])
            seen += 1
    check(reader.missed_frames == 0, "quotes lost")
    reader.close()


if __name__ == "__main__":
    host(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
