"""A star of 1,000 subscribers on one machine: each with a socket and a subscription of its own, in a few processes.

    publisher ══ a quote every 100 ms, 10 instruments by turns ══▶ 1,000 subscribers in 4 processes, over ipc

Every subscriber has every quote of every instrument, once and in order, or the bench fails. A process of subscribers
has one I/O thread of ZeroMQ and one thread that waits for all of them with epoll and reads them one after the other;
the last of them is read when all others were. Heartbeats go to each subscriber too: one a second here, as the usual
fifty would be five times as many messages as the quotes.
"""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep, time_ns
from typing import Any

import numpy as np
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.topics import QUOTES
from perf.harness import AWAKE_NS, ROOT, OtherLoad, Report, check

SUMMARY = "a star of 1,000 subscribers on one machine: all served, latency"
SUBSCRIBERS = 1_000
PROCESSES = 4
INSTRUMENTS = 10
SENT = 100
GAP_NS = 100_000_000
HEARTBEAT_NS = 1_000_000_000
PATIENCE = 120
REPEATS = 2
DESCRIPTORS = 16_384


def run(report: Report) -> None:
    """The star, twice."""
    _descriptors()
    report.conditions["pinning"] = "none"
    runs: list[np.ndarray] = []
    with OtherLoad() as load:
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as directory:
                runs.append(once(Path(directory)))
    name = f"{SUBSCRIBERS:,} subscribers in {PROCESSES} processes, one way"
    report.latency(name, np.concatenate([run.ravel() for run in runs]))
    for percentile in (50, 99):
        values = [float(np.percentile(run, percentile)) / 1e3 for run in runs]
        report.add(f"{name}, p{percentile}", "us", values, load.cores, lower_is_better=True)
    last = [float(np.percentile(run.max(axis=0), 50)) / 1e3 for run in runs]
    report.add(f"{name}, until the last has it, p50", "us", last, load.cores, lower_is_better=True)
    report.add(
        f"{SUBSCRIBERS:,} subscribers, served", "subscribers", [float(len(run)) for run in runs], load.cores,
        goal=float(SUBSCRIBERS),
    )  # fmt: skip
    report.checks.append(f"each of {SUBSCRIBERS:,} subscribers had each of {SENT} quotes once and in order")
    report.notes.append("From before it is published until the subscriber has handed it out; by the system's clock.")


def once(directory: Path) -> np.ndarray:
    """Nanoseconds, a row for each subscriber."""
    context = make_context()
    with ExitStack() as stack:
        stack.callback(context.destroy, 0)
        publisher = Publisher(
            context, f"ipc://{directory}/star", epoch=now_ns(), clock=now_ns, heartbeat_ns=HEARTBEAT_NS
        )
        stack.callback(publisher.close)
        np.zeros(PROCESSES, np.int64).tofile(directory / "words")
        words = np.memmap(directory / "words", np.int64, "r+")
        processes = []
        for number in range(PROCESSES):
            command = [sys.executable, "-m", "perf.bench_thousand", str(directory), str(number)]
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        until = perf_counter() + PATIENCE
        while publisher.subscribers < SUBSCRIBERS or not words.all():
            check(perf_counter() < until and all(each.poll() is None for each in processes), "not all have joined")
            publisher.poll(now_ns())
            sleep(0.002)
        quote = np.zeros(1, QUOTE)
        begun_ns = time_ns() + GAP_NS
        for number in range(SENT):
            _wait(begun_ns + number * GAP_NS, lambda: publisher.poll(now_ns()))
            quote["instrument_id"], quote["update_id"] = 1 + number % INSTRUMENTS, number
            quote["now_ns"] = time_ns()
            publisher.publish(quote)
        end = perf_counter() + PATIENCE
        while any(each.poll() is None for each in processes):
            check(perf_counter() < end, "a process does not come to its end")
            publisher.poll(now_ns())
            sleep(0.002)
        check(all(each.returncode == 0 for each in processes), "a process failed")
        found = np.concatenate([
            np.fromfile(directory / f"nanos{number}", np.int64).reshape(-1, SENT) for number in range(PROCESSES)
        ])  # fmt: skip
    check(found.shape == (SUBSCRIBERS, SENT) and int(found.min()) > 0, "a quote that did not come")
    return found


def _wait(due_ns: int, meanwhile: Callable[[], object]) -> None:
    while (left_ns := due_ns - time_ns()) > 0:
        if left_ns > AWAKE_NS:
            meanwhile()
            sleep(min(0.02, max(0, due_ns - time_ns() - AWAKE_NS) / 1e9))


def _descriptors() -> None:
    """Room for a descriptor or two a subscriber."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def subscribers(directory: Path, number: int) -> None:
    """The subscribers of one process."""
    _descriptors()
    count = SUBSCRIBERS // PROCESSES + (number < SUBSCRIBERS % PROCESSES)
    context: zmq.Context[Any] = make_context()
    context.set(zmq.MAX_SOCKETS, 4 * count)
    ends = [Subscriber(context, f"ipc://{directory}/star", [QUOTES], clock=now_ns) for _ in range(count)]
    nanos, seen = np.zeros((count, SENT), np.int64), [0] * count
    epoll, places = select.epoll(), {}
    for place, each in enumerate(ends):
        descriptor = int(each.socket.getsockopt(zmq.FD))
        places[descriptor] = place
        epoll.register(descriptor, select.EPOLLIN)
    words = np.memmap(directory / "words", np.int64, "r+")
    while min(seen) < SENT:
        if not words[number] and all(each.heartbeats for each in ends):
            words[number] = 1
        # What came before the wait does not wake: all are looked at when a while nothing did.
        ready = [places[descriptor] for descriptor, _ in epoll.poll(0.05)]
        for place in ready or range(count):
            for _, records in ends[place].drain():
                at_ns = time_ns()
                for now, update in zip(records["now_ns"].tolist(), records["update_id"].tolist(), strict=True):
                    check(update == seen[place], "a quote that is not next")
                    nanos[place, seen[place]] = at_ns - now
                    seen[place] += 1
    check(not any(each.lost or each.duplicates for each in ends), "quotes lost or repeated")
    nanos.tofile(directory / f"nanos{number}")


if __name__ == "__main__":
    subscribers(Path(sys.argv[1]), int(sys.argv[2]))
