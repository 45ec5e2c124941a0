"""One publisher, and subscribers in processes of their own; what else carries the same bytes beside it in the same run.

    publisher ══ frames of 64 quotes of 64 bytes ══▶ subscriber                     packed records
    publisher ══ messages of 256 bytes, 64 of them the header ══▶ subscriber        messages, also with CURVE
    publisher ══ 15 quotes each millisecond ══▶ 13 subscribers                      latency, open loop

The sequence of each frame is checked in every run, the content of each record in one of each kind. The publisher goes
no further ahead than its queue is long, so nothing is lost. Peers: plain sockets of pyzmq, Redis pub/sub and streams,
NATS; the last three only where their packages are installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from nautilus.bus.native_sockets import keep_memory
from nautilus.core.affinity import LatencyHold
from nautilus.core.clock import now_ns, synchronise
from nautilus.core.types import QUOTE
from perf.harness import AWAKE_NS, REPEATS, ROOT, OtherLoad, Report, check, cores, pinned, settle_clock
from perf.star_readers import DELIVERED, HEADER_BYTES, MESSAGE_KIND, READY, STOP, Board
from perf.star_sources import Bus, Kernels, Nats, Plain, Redis, Source, nats_binary, redis_binary

SUMMARY = "star: packed records, messages, CURVE, 13 subscribers; beside plain sockets, Redis, NATS"
TCP, QUOTES = "tcp://127.0.0.1:*", 1
RECORDS_A_FRAME = 64
PACKED_BYTES = HEADER_BYTES + RECORDS_A_FRAME * QUOTE.itemsize
MESSAGE_BYTES = 256
SECONDS = 0.35
"""Of one repeat, about."""
AHEAD_BYTES = 8 << 20
SUBSCRIBERS = 13
PROCESSES = 4
"""Of the profile `compact`."""
BURST = 15
BURSTS = 2_000
LATENCY_REPEATS = 3
PATIENCE = 60
PLACES = cores()


class Line:
    """A source, and the processes that read it; `each` has what differs between their options."""

    def __init__(
        self,
        directory: Path,
        source: Source,
        how: str,
        readers: int = 1,
        *,
        each: Sequence[dict[str, int]] = (),
        **options: object,
    ) -> None:
        self.source = source
        self.boards = []
        self.processes = []
        self.sent = 0
        try:
            for number in range(readers):
                board = Board(directory / f"{how}-{number}-{id(self)}")
                core = PLACES[(number + 1) % len(PLACES)]
                words = {**source.options, "content": False, "core": core, **options, **(each[number] if each else {})}
                command = [sys.executable, "-m", "perf.star_readers", how, str(board.path), json.dumps(words)]
                environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
                self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
                self.boards.append(board)
            source.joined(sum(its.get("subscribers", 1) for its in each) if each else readers)
            self._wait(lambda: all(board.words[READY] for board in self.boards), "no reader is ready")
        except BaseException:
            self.kill()
            raise

    def throughput(self, seconds: float = SECONDS, *, content: bool = False) -> float:
        """Records a second, from the first that is sent to the last that has arrived."""
        source, delivered = self.source, self.boards[0].words
        message_bytes = PACKED_BYTES if source.records > 1 else MESSAGE_BYTES
        ahead = AHEAD_BYTES // message_bytes * source.records
        begun, before = perf_counter(), self.sent
        while perf_counter() - begun < seconds:
            while self.sent - int(delivered[DELIVERED]) > ahead:
                check(perf_counter() < begun + PATIENCE, "the reader does not read")
                sleep(0.0001)
            self.sent += source.block(content=content)
        self._wait(lambda: int(delivered[DELIVERED]) >= self.sent, "records are missing", 0.0001)
        check(int(delivered[DELIVERED]) == self.sent, f"{delivered[DELIVERED]:,} of {self.sent:,} records arrived")
        return (self.sent - before) / (perf_counter() - begun)

    def latencies(self, bursts: int) -> np.ndarray:
        """Nanoseconds from when each burst was due, whatever becomes of the one before it."""
        synchronise()
        begun_ns = now_ns() + 1_000_000
        for number in range(bursts):
            due_ns = begun_ns + number * 1_000_000
            # To be woken takes a while, so the last part of the wait is spent awake.
            while (left_ns := due_ns - now_ns()) > 0:
                if left_ns > AWAKE_NS:
                    sleep((left_ns - AWAKE_NS) / 1e9)
            self.source.burst(due_ns)
        self.stop()
        return np.concatenate([np.fromfile(board.results, np.int64) for board in self.boards])

    def stop(self) -> None:
        """Let the readers end when they have read all."""
        for board in self.boards:
            board.words[STOP] = 1
        for process in self.processes:
            check(process.wait(PATIENCE) == 0, "a reader failed")
        self.processes.clear()

    def kill(self) -> None:
        """End readers and source, whatever happened."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.source.close()

    def _wait(self, true: Callable[[], bool], message: str, seconds: float = 0.01) -> None:
        until = perf_counter() + PATIENCE
        while not true():
            check(perf_counter() < until and all(process.poll() is None for process in self.processes), message)
            sleep(seconds)


@contextmanager
def lines() -> Iterator[Callable[..., Line]]:
    """Makes lines in a directory of their own, and ends them."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:

        def made(source: Callable[[Path], Source], how: str, readers: int = 1, **options: Any) -> Line:
            place = Path(directory) / str(len(os.listdir(directory)))
            place.mkdir()
            line = Line(place, source(place), how, readers, **options)
            stack.callback(line.kill)
            return line

        yield made


def alternate(report: Report, named: Sequence[tuple[str, Line, float | None]], unit: str) -> dict[str, list[float]]:
    """One figure for each line, measured in turn, so that all have the same weather."""
    found: dict[str, list[float]] = {name: [] for name, _, _ in named}
    for _, line, _ in named:
        line.throughput(SECONDS / 4)
    with OtherLoad() as load:
        for _ in range(REPEATS):
            for name, line, _ in named:
                found[name].append(line.throughput())
        for _, line, _ in named:
            line.stop()  # what they took is no load of others
    for name, _, goal in named:
        report.add(name, unit, found[name], load.cores, goal=goal)
    return found


def ratio(report: Report, name: str, of: list[float], to: list[float]) -> None:
    """What the guarantees leave of plain throughput, repeat by repeat."""
    report.add(name, "x plain", [a / b for a, b in zip(of, to, strict=True)], 0.0, goal=0.7)


def run(report: Report) -> None:
    """Packed records; messages; latency; each with its peers."""
    keep_memory()
    report.conditions["pinning"] = (
        f"publisher and its I/O thread on core {PLACES[0]}, reader and its on core {PLACES[1 % len(PLACES)]}; "
        "of 13 every other; latencies: publisher on any"
    )
    with pinned(PLACES[0]):
        check_content()
        packed(report)
        messages(report)
    hold = LatencyHold(0)
    try:
        report.conditions["hold_awake"] = hold.grant.found
        timed(report)
    finally:
        hold.close()
    report.checks.append("every sequence without a gap at every reader; every record's content judged once a kind")
    report.notes.append(
        "Plain: send and recv of pyzmq, the same bytes, nothing looked at; measured in turn with the others."
    )
    report.notes.append(f"A publisher keeps at most {AHEAD_BYTES >> 20} MiB ahead of its reader, so that none is lost.")
    report.notes.append("For throughput a reader that has emptied its socket looks again after 0.3 ms.")
    report.notes.append("Latency counts from the time at which a burst was due, not from that at which it was sent.")
    for name, found in (("redis-server", redis_binary()), ("nats-server", nats_binary())):
        if found is None:
            report.notes.append(f"Without {name}: it, or its client, is not installed.")


def check_content() -> None:
    """What arrives is what was sent, record by record; the others check sequences alone."""
    for kind, records in ((QUOTES, RECORDS_A_FRAME), (MESSAGE_KIND, 1)):
        with lines() as line:
            judged = line(lambda place, k=kind, r=records: Kernels(TCP, k, r), "into", content=True)
            judged.throughput(SECONDS / 4, content=True)
            judged.stop()


def packed(report: Report) -> None:
    """Frames of 64 quotes: straight into an array; as an engine gets them; plain."""
    with lines() as line:
        named: list[tuple[str, Line, float | None]] = []
        for carrier, endpoint in (("tcp", lambda place: TCP), ("ipc", lambda place: f"ipc://{place}/star")):
            into = line(lambda place, e=endpoint: Kernels(e(place), QUOTES, RECORDS_A_FRAME), "into")
            bus = line(lambda place, e=endpoint: Bus(e(place), RECORDS_A_FRAME), "subscriber")
            plain = line(lambda place, e=endpoint: Plain(e(place), PACKED_BYTES, RECORDS_A_FRAME), "plain")
            goal = 20e6 if carrier == "tcp" else None
            named.append((f"packed, {carrier}: 64 x 64 B into an array", into, goal))
            named.append((f"packed, {carrier}: 64 x 64 B, Publisher to Subscriber", bus, None))
            named.append((f"packed, {carrier}: 64 x 64 B, plain", plain, None))
        found = alternate(report, named, "records/s")
    for carrier in ("tcp", "ipc"):
        name = f"packed, {carrier}: 64 x 64 B"
        ratio(
            report, f"guarantees, packed, {carrier}", found[f"{name}, Publisher to Subscriber"], found[f"{name}, plain"]
        )


def messages(report: Report) -> None:
    """Messages of 256 bytes, each of its own: with all that the star promises; plain; encrypted; of the peers."""
    with lines() as line:
        named: list[tuple[str, Line, float | None]] = []
        for carrier, endpoint, goal in (
            ("tcp", lambda place: TCP, 4e6),
            ("ipc", lambda place: f"ipc://{place}/star", 2.3e6),
        ):
            into = line(lambda place, e=endpoint: Kernels(e(place), MESSAGE_KIND, 1), "into")
            plain = line(lambda place, e=endpoint: Plain(e(place), MESSAGE_BYTES, 1), "plain")
            named.append((f"256 B messages, {carrier}", into, goal))
            named.append((f"256 B messages, {carrier}, plain", plain, None))
        curve = line(lambda place: Kernels(TCP, MESSAGE_KIND, 1, curve=True), "into")
        named.append(("256 B messages, tcp, CURVE", curve, 0.8e6))
        found = alternate(report, named, "messages/s")
    for carrier in ("tcp", "ipc"):
        name = f"256 B messages, {carrier}"
        ratio(report, f"guarantees, 256 B messages, {carrier}", found[name], found[f"{name}, plain"])
    with lines() as line:
        peers: list[tuple[str, Line, float | None]] = []
        if redis_binary():
            redis = line(lambda place: Redis(place, MESSAGE_BYTES, 1), "redis")
            streams = line(lambda place: Redis(place, MESSAGE_BYTES, 1, stream=True), "streams")
            peers.append(("256 B messages, Redis pub/sub", redis, None))
            peers.append(("256 B messages, Redis streams", streams, None))
        if nats_binary():
            peers.append(("256 B messages, NATS", line(lambda place: Nats(place, MESSAGE_BYTES, 1), "nats"), None))
        alternate(report, peers, "messages/s")


def timed(report: Report) -> None:
    """Bursts of 15 quotes a millisecond to 13 subscribers, and to one."""
    settle_clock()
    burst_bytes = HEADER_BYTES + BURST * QUOTE.itemsize
    most = BURSTS * BURST
    for readers in (SUBSCRIBERS, 1):
        kinds: list[tuple[str, Callable[[Path], Source], str, int]] = [
            (
                "into an array",
                lambda place: Kernels(f"ipc://{place}/star", QUOTES, 1, burst=BURST),
                "time_collected",
                most,
            ),
            (
                "handed to Python",
                lambda place: Kernels(f"ipc://{place}/star", QUOTES, 1, burst=BURST),
                "time_handed",
                BURSTS,
            ),
            (
                "15 instruments, into an array",
                lambda place: Kernels(f"ipc://{place}/star", QUOTES, 1, burst=BURST, instruments=BURST),
                "time_collected",
                most,
            ),
            ("plain", lambda place: Plain(f"ipc://{place}/star", burst_bytes, BURST), "time_plain", BURSTS),
        ]
        if redis_binary():
            kinds.append(("Redis pub/sub", lambda place: Redis(place, burst_bytes, BURST), "redis", BURSTS))
        if nats_binary():
            kinds.append(("NATS", lambda place: Nats(place, burst_bytes, BURST), "nats", BURSTS))
        for name, source, how, expected in kinds:
            title = f"{readers} subscriber{'s' * (readers > 1)}, {name}"
            with lines() as line:
                nanos = line(source, how, readers, most=most, settle=True).latencies(BURSTS)
            check(len(nanos) == readers * expected, f"{title}: {len(nanos):,} of {readers * expected:,} arrived")
            check(int(nanos.min()) >= 0, f"{title}: a latency of {nanos.min():,} ns")
            report.latency(title, nanos)
    layouts(report)


def layouts(report: Report) -> None:
    """To 13, by turns: a process each; plain; where those that are woken let others finish; in shared processes."""
    most = BURSTS * BURST
    shares = [SUBSCRIBERS // PROCESSES + (number < SUBSCRIBERS % PROCESSES) for number in range(PROCESSES)]
    several = [{"subscribers": share} for share in shares]
    engines = [{"engines": share} for share in shares]
    title = f"{SUBSCRIBERS} subscribers, into an array"
    kinds: list[tuple[str, str, int, dict[str, Any]]] = [
        (title, "time_collected", SUBSCRIBERS, {}),
        (f"{SUBSCRIBERS} subscribers, plain", "time_plain", SUBSCRIBERS, {}),
        (f"{title}, SCHED_BATCH", "time_collected", SUBSCRIBERS, {"batch": True}),
        (f"{title}, in {PROCESSES} processes", "time_several", PROCESSES, {"each": several}),
        (f"{SUBSCRIBERS} engines in {PROCESSES} processes, a subscriber each process", "time_shared", PROCESSES,
         {"each": engines}),
    ]  # fmt: skip
    found: dict[str, list[np.ndarray]] = {name: [] for name, *_ in kinds}
    with OtherLoad() as load:
        for _ in range(LATENCY_REPEATS):
            for name, how, processes, options in kinds:
                expected = SUBSCRIBERS * (BURSTS if how == "time_plain" else most)
                with lines() as line:
                    made = line(plain if how == "time_plain" else kernels, how, processes, most=most, settle=True,
                                **options)  # fmt: skip
                    nanos = made.latencies(BURSTS)
                check(len(nanos) == expected, f"{name}: {len(nanos):,} of {expected:,} arrived")
                check(int(nanos.min()) >= 0, f"{name}: a latency of {nanos.min():,} ns")
                found[name].append(nanos)
    for name, runs in found.items():
        report.latency(f"{name}, {LATENCY_REPEATS} runs by turns", np.concatenate(runs))
        for percent, asked in ((50, 60.0), (99, 250.0)):
            report.add(
                f"{name}, p{percent}", "us", [float(np.percentile(run, percent)) / 1e3 for run in runs], load.cores,
                goal=asked if name == title else None, lower_is_better=True,
            )  # fmt: skip


def kernels(place: Path) -> Source:
    """Of bursts of one instrument."""
    return Kernels(f"ipc://{place}/star", QUOTES, 1, burst=BURST)


def plain(place: Path) -> Source:
    """The same bytes through pyzmq."""
    return Plain(f"ipc://{place}/star", HEADER_BYTES + BURST * QUOTE.itemsize, BURST)
