"""One producer thread, one consumer thread, one ring; and two rings back to back.

    producer (core A) --- 64-byte records ---> consumer (core B)        throughput
    ping (core A) ---> pong (core B) ---> ping                          round trip

Every word of every record is written by the producer and judged by the consumer: nothing lost, torn or reordered.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import perf_counter

import numpy as np

from nautilus.core.ring import Ring, ping, pong, receive_sequence, send_sequence
from perf.harness import Report, check, cores

SUMMARY = "SPSC ring, two pinned threads, 64-byte records"
RECORD_BYTES = 64
RECORDS = 20_000_000
ROUND_TRIPS = 200_000
GOAL = 100e6
# capacity in records, records to a publish and to a release
CASES = ((65_536, 256), (65_536, 1), (256, 32), (4_096, 256), (4_096, 1))


def run(report: Report) -> None:
    """Throughput of each case, then round trips."""
    check(len(cores()) >= 2, "two cores are needed, this process may run on one")
    first, second = cores()[:2]
    report.conditions["pinning"] = f"producer on core {first}, consumer on core {second}"
    for number, (capacity, batch) in enumerate(CASES):
        report.measure(
            f"ring of {capacity:,}, batches of {batch}",
            "records/s",
            lambda capacity=capacity, batch=batch: throughput(capacity, batch, first, second),  # type: ignore[misc]
            goal=GOAL if number == 0 else None,
        )
    nanos = np.concatenate([round_trips(first, second) for _ in range(3)])
    report.latency("round trip, one record at a time", nanos)
    report.checks.append("every word of every record judged: none lost, torn or reordered; every echo whole")
    report.notes.append("A batch is published with one store of the index; a batch of 1 publishes each record.")


def throughput(capacity: int, batch: int, first: int, second: int) -> float:
    """Records per second through a new ring of huge pages, where granted; its pages are touched first."""
    ring = Ring(RECORD_BYTES, capacity, huge=True)
    send_sequence(ring, capacity, capacity)
    receive_sequence(ring, capacity, capacity)
    found: dict[str, int] = {}
    start = perf_counter()
    _on_cores(
        (first, lambda: send_sequence(ring, RECORDS, batch)),
        (second, lambda: found.update(receive_sequence(ring, RECORDS, batch))),  # type: ignore[arg-type]
    )
    elapsed = perf_counter() - start
    check(found == {"received": RECORDS, "lost": 0, "torn": 0, "reordered": 0}, f"ring of {capacity}: {found}")
    return RECORDS / elapsed


def round_trips(first: int, second: int) -> np.ndarray:
    """Nanoseconds of each round trip."""
    out, back = Ring(RECORD_BYTES, 1024), Ring(RECORD_BYTES, 1024)
    nanos = np.zeros(ROUND_TRIPS, np.int64)
    wrong: list[int] = []
    _on_cores((first, lambda: wrong.append(ping(out, back, nanos))), (second, lambda: pong(out, back, ROUND_TRIPS)))
    check(wrong == [0], f"{wrong} echoes were not what was sent")
    return nanos


def _on_cores(*jobs: tuple[int, Callable[[], object]]) -> None:
    def work(core: int, job: Callable[[], object]) -> None:
        os.sched_setaffinity(0, {core})  # of this thread alone
        job()

    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
