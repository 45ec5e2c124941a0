"""What one sends to all: a live stream to interfaces, and the health of every engine to all others; real processes.

    publisher ══ a quote each millisecond ══▶ 4 interfaces, each a subscriber           the star, by ring and over ipc
    engine ══ its health, a message to each ══▶ 12 other engines, each acknowledges     the mesh over ipc, each in turn

They are the rows of the platform's table that no pair of processes shows. What an interface puts before a person, and
what an engine says of its health, belong to later parts: here they are a quote, and as many bytes as a state has. The
cores are kept awake (`/dev/cpu_dma_latency`) where that is permitted.
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

from nautilus.bus import Mesh, MessageKind, Publisher, Subscriber, make_context
from nautilus.bus.ring import RingWriter
from nautilus.core.affinity import LatencyHold, batch
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.topics import QUOTES
from perf.harness import AWAKE_NS, ROOT, OtherLoad, Report, check
from perf.mesh_pair import endpoint

SUMMARY = "one to all: a live stream to interfaces, the health of every engine to all others"
INTERFACES = 4
QUOTES_SENT = 3_000
RING_BYTES = 1 << 20
ENGINES = tuple(f"engine{number}" for number in range(13))
ROUNDS = 60
MILLISECOND = 1_000_000
STEP_NS = 4 * MILLISECOND
STATE = bytes(range(120))
STREAM_GOAL_US, HEALTH_GOAL_US = 130, 500
PATIENCE = 60
REPEATS = 3


def run(report: Report) -> None:
    """Both, several times, by turns."""
    report.conditions["pinning"] = "none"
    hold = LatencyHold(0)
    report.conditions["wake-up"] = hold.grant.found
    rows: tuple[tuple[str, Callable[[Path], np.ndarray], float | None], ...] = (
        (f"websocket to {INTERFACES} interfaces, live stream", partial(_stream, way="ring"), STREAM_GOAL_US),
        (f"websocket to {INTERFACES} interfaces, live stream over ZeroMQ", partial(_stream, way="zmq"), STREAM_GOAL_US),
        (f"every engine to all {len(ENGINES) - 1} others, health", _health, HEALTH_GOAL_US),
        (f"every engine to all {len(ENGINES) - 1} others, health, SCHED_BATCH", partial(_health, yielding=True), None),
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in rows}
    try:
        with OtherLoad() as load:
            for _ in range(REPEATS):
                for name, once, _ in rows:
                    found[name].append(_measured(once))
    finally:
        hold.close()
    for name, _, goal in rows:
        runs = found[name]
        report.latency(f"{name}, one way", np.concatenate(runs).ravel())
        report.add(
            f"{name}, one way, p50", "us", [float(np.percentile(run, 50)) / 1e3 for run in runs], load.cores,
            goal=goal, lower_is_better=True,
        )  # fmt: skip
        last = [float(np.percentile(run.max(axis=0), 50)) / 1e3 for run in runs]
        report.add(f"{name}, until the last has it, p50", "us", last, load.cores, lower_is_better=True)
    report.checks.append("every quote at every interface, every message at every engine, once and in order")
    report.notes.append(
        f"Health: a message to each of {len(ENGINES) - 1} processes and {len(ENGINES) - 1} acknowledgements back; for "
        f"each of these 24 ways an I/O thread at both ends and a turn of Python at the last. Of {len(ENGINES)} engines "
        "each has its turn alone, every 52 ms."
    )
    report.notes.append("From before it is published, or encoded, until Python has it decoded; by the system's clock.")


def _measured(once: Callable[[Path], np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as directory:
        return once(Path(directory))


class Words:
    """Numbers in a file that all processes share: when to begin, then who is ready."""

    def __init__(self, directory: Path, readers: int) -> None:
        path = directory / "words"
        if not path.exists():
            np.zeros(1 + readers, np.int64).tofile(path)
        self._words = np.memmap(path, np.int64, "r+")

    def ready(self, number: int) -> None:
        """Say that this one is."""
        self._words[1 + number] = 1

    def begun(self) -> int:
        """When it begins; 0: that is not known yet."""
        return int(self._words[0])

    def begin(self, processes: list[subprocess.Popen[bytes]], soon_ns: int, meanwhile: Callable[[], object]) -> int:
        """Once all are ready: begin soon; when."""
        until = perf_counter() + PATIENCE
        while not self._words[1:].all():
            check(perf_counter() < until and all(each.poll() is None for each in processes), "a process is not ready")
            meanwhile()
            sleep(0.001)
        self._words[0] = time_ns() + soon_ns
        return self.begun()


@contextmanager
def _processes(kind: str, directory: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:
        processes = []
        for number in range(count):
            command = [sys.executable, "-m", "perf.bench_one_to_all", kind, str(directory), str(number)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def _stream(directory: Path, way: str) -> np.ndarray:
    """Nanoseconds, a row for each interface; by the ring, as on one host, or without one."""
    context = make_context()
    with ExitStack() as stack:
        stack.callback(context.destroy, 0)
        epoch = now_ns()
        ring = RingWriter(directory / "ring", capacity=RING_BYTES, epoch=epoch) if way == "ring" else None
        if ring is not None:
            stack.callback(ring.close)
        publisher = Publisher(context, f"ipc://{directory}/star", epoch=epoch, clock=now_ns, ring=ring)
        stack.callback(publisher.close)
        words = Words(directory, INTERFACES)
        quote = np.zeros(1, QUOTE)
        quote["instrument_id"] = 1
        processes = stack.enter_context(_processes(way, directory, INTERFACES))
        begun_ns = words.begin(processes, 20 * MILLISECOND, lambda: publisher.poll(now_ns()))
        for number in range(QUOTES_SENT):
            due_ns = begun_ns + number * MILLISECOND
            while (left_ns := due_ns - time_ns()) > 0:
                if left_ns > AWAKE_NS:
                    publisher.poll(now_ns())
                    sleep(max(0, due_ns - time_ns() - AWAKE_NS) / 1e9)
            quote["now_ns"], quote["update_id"] = time_ns(), number
            publisher.publish(quote)
        return _results(processes, directory, INTERFACES)


def _interface(directory: Path, number: int) -> None:
    ring = directory / "ring"
    star = f"ipc://{directory}/star"
    subscriber = Subscriber(make_context(), star, [QUOTES], clock=now_ns, ring=ring if ring.exists() else None)
    words, nanos = Words(directory, INTERFACES), np.ones(QUOTES_SENT, np.int64)
    epoll, seen = select.epoll(), 0
    for descriptor in (subscriber.fileno(), int(subscriber.socket.getsockopt(zmq.FD))):
        if descriptor >= 0:
            epoll.register(descriptor, select.EPOLLIN)
    while seen < QUOTES_SENT:
        if subscriber.heartbeats:
            words.ready(number)
        if not subscriber.touched and subscriber.arm():
            epoll.poll(0.02)
        for _, records in subscriber.drain():
            at_ns = time_ns()
            for record in records:
                check(int(record["update_id"]) == seen, "a quote that is not next")
                nanos[seen] = at_ns - int(record["now_ns"])
                seen += 1
    check(subscriber.lost == 0, "quotes lost")
    nanos.tofile(directory / f"nanos{number}")


def _health(directory: Path, *, yielding: bool = False) -> np.ndarray:
    """Nanoseconds, a row for each of the others: which engines those are depends on whose health it is."""
    words = Words(directory, len(ENGINES))
    with _processes("batch" if yielding else "engine", directory, len(ENGINES)) as processes:
        words.begin(processes, 50 * MILLISECOND, lambda: None)
        found = _results(processes, directory, len(ENGINES)).reshape(-1, len(ENGINES), ROUNDS)
    # By sender: each message is with all engines but that which sent it.
    return np.concatenate([np.delete(found[:, sender], sender, axis=0) for sender in range(len(ENGINES))], axis=1)


def _engine(directory: Path, number: int) -> None:
    name, words, count = ENGINES[number], Words(directory, len(ENGINES)), len(ENGINES)
    mesh = Mesh(make_context(), name, now_ns(), lambda process, lane: endpoint(str(directory), process, lane), now_ns)
    others = [other for other in ENGINES if other != name]
    for other in others:
        mesh.dial(other)
    nanos, seen = np.ones((count, ROUNDS), np.int64), [0] * count
    greeted = 0

    def say(text: bytes) -> None:
        mesh.post_all(others, to="all", sender=name, kind=MessageKind.EVENT, payload=text)

    def turn(most_ns: int) -> None:
        nonlocal greeted
        for delivery in mesh.take(max(0, most_ns)):
            at_ns, text = time_ns(), delivery.payload
            if len(text) == len(STATE):
                greeted += 1
            else:
                sender, sent_ns = text[8], int.from_bytes(text[:8], "little")
                nanos[sender, seen[sender]] = at_ns - sent_ns
                check(text[9] == seen[sender], "a message that is not next")
                seen[sender] += 1
            mesh.done(delivery)
        mesh.tick(now_ns())

    say(STATE)
    while greeted < len(others) or mesh.pending():
        turn(50 * MILLISECOND)
    words.ready(number)
    while not words.begun():
        turn(MILLISECOND)
    for round_ in range(ROUNDS):
        due_ns = words.begun() + (round_ * count + number) * STEP_NS
        while (left_ns := due_ns - time_ns()) > 0:
            if left_ns > 2 * MILLISECOND:
                turn(left_ns - 2 * MILLISECOND)
            elif left_ns > AWAKE_NS:
                sleep((left_ns - AWAKE_NS) / 1e9)  # an epoll waits whole milliseconds
        say(time_ns().to_bytes(8, "little") + bytes((number, round_)) + STATE)
    seen[number] = ROUNDS
    while min(seen) < ROUNDS or mesh.pending():
        turn(50 * MILLISECOND)
    check(mesh.acknowledged == mesh.sent and not mesh.dead_lettered, "messages that were not acknowledged")
    nanos.tofile(directory / f"nanos{number}")
    # The last answers of this one still have a way to go.
    end_ns = time_ns() + 200 * MILLISECOND
    while time_ns() < end_ns:
        turn(20 * MILLISECOND)


def _results(processes: list[subprocess.Popen[bytes]], directory: Path, count: int) -> np.ndarray:
    for process in processes:
        check(process.wait(PATIENCE) == 0, "a process failed")
    found = np.stack([np.fromfile(directory / f"nanos{number}", np.int64) for number in range(count)])
    check(int(found.min()) >= 0, "a latency below zero")
    return found


def _batch_engine(directory: Path, number: int) -> None:
    """With `bus.schedule = "batch"`."""
    batch()
    _engine(directory, number)


if __name__ == "__main__":
    kinds = {"ring": _interface, "zmq": _interface, "engine": _engine, "batch": _batch_engine}
    kinds[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
