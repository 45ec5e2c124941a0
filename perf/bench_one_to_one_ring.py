"""One producer thread, one consumer thread, one ring; and two rings back to back.

    producer (core A) --- 64-byte records ---> consumer (core B)        throughput
    ping (core A) ---> pong (core B) ---> ping                          round trip

Every word of every record is written by the producer and judged by the consumer: nothing lost, torn or reordered.

`--peer PATH` measures another ring in turn with this one: a program that is called as

    PATH CAPACITY RECORDS ROUND_TRIPS PRODUCER_CORE CONSUMER_CORE

does the same work (word w of record s is s + w * 0x9E3779B97F4A7C15, modulo 2^64) and prints one JSON object: `name`,
`records_per_second`, `p50_ns`, `p99_ns` and `wrong`, the number of records that were not what they had to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nautilus.core.ring import Ring, ping, pong, receive_sequence, send_sequence
from perf.harness import REPEATS, OtherLoad, Report, check, cores

SUMMARY = "SPSC ring, two pinned threads, 64-byte records"
RECORD_BYTES = 64
RECORDS = 20_000_000
ROUND_TRIPS = 200_000
GOAL = 100e6
# capacity in records, records to a publish and to a release
PAIR_RECORDS = 5_000_000
PAIR_CAPACITIES = (16_384, 65_536)
PAIR_TRIPS = 100_000
CASES = ((65_536, 256), (65_536, 1), (256, 32), (4_096, 256), (4_096, 1))


def run(report: Report, peer: Path | None = None) -> None:
    """Throughput of each case, then round trips; then those of another ring in turn with ours."""
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
    if peer is not None:
        for capacity in PAIR_CAPACITIES:
            beside(report, peer, capacity, first, second)


def beside(report: Report, peer: Path, capacity: int, first: int, second: int) -> None:
    """Another ring and ours in turn, once each a repeat, so that what the machine does meets both; their ratios."""
    theirs: list[float] = []
    ours: dict[int, list[float]] = {1: [], 32: []}
    trips: dict[str, list[float]] = {"p50_ns": [], "p99_ns": []}
    name = peer.name
    with OtherLoad() as load:
        for _ in range(REPEATS):
            found = ask(peer, capacity, first, second)
            name = found["name"]
            theirs.append(found["records_per_second"])
            for batch, rates in ours.items():
                rates.append(throughput(capacity, batch, first, second, PAIR_RECORDS) / theirs[-1])
            nanos = round_trips(first, second, PAIR_TRIPS)
            for percentile, ratios in trips.items():
                ratios.append(float(np.percentile(nanos, int(percentile[1:3]))) / found[percentile])
    report.add(f"{name}, ring of {capacity:,}", "records/s", theirs, load.cores)
    for batch, rates in ours.items():
        report.add(f"batches of {batch} / {name}, ring of {capacity:,}", "x", rates, load.cores, goal=2.0)
    for percentile, ratios in trips.items():
        what = f"round trip {percentile[:3]} / {name}, beside the ring of {capacity:,}"
        report.add(what, "x", ratios, load.cores, goal=1.0, lower_is_better=True)


def ask(peer: Path, capacity: int, first: int, second: int) -> dict[str, Any]:
    """One run of another ring; CheckError where it fails or its records were wrong."""
    words = [str(peer), *map(str, (capacity, PAIR_RECORDS, PAIR_TRIPS, first, second))]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    check(result.returncode == 0, f"{' '.join(words)}: exit code {result.returncode}: {result.stderr.strip()}")
    found: dict[str, Any] = json.loads(result.stdout)
    check(found["wrong"] == 0, f"{peer}: {found['wrong']} records were wrong")
    return found


def throughput(capacity: int, batch: int, first: int, second: int, records: int = RECORDS) -> float:
    """Records per second through a new ring on huge pages, where granted, all committed beforehand."""
    ring = Ring(RECORD_BYTES, capacity, huge=True, prefault=True)
    found: dict[str, int] = {}
    start = perf_counter()
    _on_cores(
        (first, lambda: send_sequence(ring, records, batch)),
        (second, lambda: found.update(receive_sequence(ring, records, batch))),  # type: ignore[arg-type]
    )
    elapsed = perf_counter() - start
    check(found == {"received": records, "lost": 0, "torn": 0, "reordered": 0}, f"ring of {capacity}: {found}")
    return records / elapsed


def round_trips(first: int, second: int, trips: int = ROUND_TRIPS) -> np.ndarray:
    """Nanoseconds of each round trip."""
    out, back = (Ring(RECORD_BYTES, 1024, prefault=True) for _ in range(2))
    nanos = np.zeros(trips, np.int64)
    wrong: list[int] = []
    _on_cores((first, lambda: wrong.append(ping(out, back, nanos))), (second, lambda: pong(out, back, trips)))
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
