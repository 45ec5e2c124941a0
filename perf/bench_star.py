"""One publisher, and subscribers in processes of their own, over ipc.

    publisher ══ frames of 64 quotes of 64 bytes ══▶ subscriber                     throughput, nothing lost
    publisher ══ 15 frames of one quote each millisecond ══▶ 13 subscribers         latency, open loop

Every record's sequence is checked; the publisher goes no further ahead than its queue is long, so nothing is lost.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from time import perf_counter

import numpy as np
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.base import HEADER_BYTES, HEARTBEAT
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, Topic
from perf.harness import ROOT, Report, check

SUMMARY = "star over ipc: packed frames to one subscriber, latency of 13 subscribers"
RECORDS_A_FRAME = 64
FRAMES = 100_000
AHEAD = 4_000
HIGH_WATER = 10_000
GOAL = 10e6
SUBSCRIBERS = 13
BURST = 15
BURSTS = 2_000
INSTRUMENT = 1
LOOK_SECONDS = 0.0005
"""Between looks of a subscriber measured for throughput: to be woken for each frame would cost as much again."""
PLAIN = 254
"""First byte of frames that are none of the star."""


def run(report: Report) -> None:
    """Throughput to one subscriber; latency of one and of thirteen."""
    report.conditions["pinning"] = "none: each process has one Python thread and two I/O threads"
    with tempfile.TemporaryDirectory() as directory, _Hub(Path(directory)) as hub:
        hub.start("count", 1)
        hub.throughput(FRAMES // 10)
        report.measure(
            f"one subscriber, frames of {RECORDS_A_FRAME} x 64 B",
            "records/s",
            lambda: hub.throughput(FRAMES),
            goal=GOAL,
        )
        hub.stop()
        hub.start("judge", 1)
        hub.throughput(FRAMES // 4, content=True)
        hub.stop()
        hub.start("plain", 1)
        report.measure("plain XPUB/SUB, same bytes", "records/s", lambda: hub.throughput(FRAMES, plain=True), repeats=3)
        hub.stop()
        for count in (1, SUBSCRIBERS):
            hub.start("time", count)
            hub.pace(BURSTS)
            name = f"{count} subscriber{'s' * (count > 1)}, bursts of {BURST} a millisecond"
            nanos = np.concatenate([np.fromfile(path, np.int64) for path in hub.stop()])
            check(len(nanos) == count * BURSTS * BURST, f"{name}: {len(nanos):,} frames arrived")
            check(int(nanos.min()) >= 0, f"{name}: a latency of {nanos.min():,} ns")
            report.latency(name, nanos)
    report.checks.append(
        "sequences without a gap at every subscriber, nothing lost; every record's content judged once"
    )
    report.notes.append(f"The publisher keeps at most {AHEAD:,} frames ahead of the subscriber, so that none is lost.")
    report.notes.append("For throughput the subscriber looks every half millisecond; for latency each frame wakes it.")
    report.notes.append("Latency counts from the time at which a frame was due, not from that at which it was sent.")


class _Hub:
    """The publisher, and the processes that read it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stack = ExitStack()
        self.readers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.started = 0

    def __enter__(self) -> _Hub:
        context = make_context()
        self.stack.callback(context.destroy, 0)
        self.publisher = Publisher(
            context, f"ipc://{self.directory}/star", epoch=now_ns(), clock=now_ns, high_water=HIGH_WATER
        )
        self.stack.callback(self.publisher.close)
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def start(self, mode: str, count: int) -> None:
        """Start subscribers, until all have joined."""
        for _ in range(count):
            self.started += 1
            path = self.directory / f"{self.started}"
            np.zeros(1, np.int64).tofile(path)
            process = subprocess.Popen(
                [sys.executable, "-m", "perf.bench_star", mode, self.publisher.endpoints[0], str(path)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
            )
            self.stack.callback(process.wait)
            self.stack.callback(process.kill)
            self.readers.append((process, path))
        until = perf_counter() + 60
        while self.publisher.subscribers < count:
            check(perf_counter() < until, "the subscribers did not join")
            self.publisher.socket.poll(10)
            self.publisher.poll(now_ns())

    def stop(self) -> list[Path]:
        """Let the subscribers end; where they left their results."""
        paths = []
        for process, path in self.readers:
            assert process.stdin is not None
            process.stdin.close()
            check(process.wait(20) == 0, "a subscriber failed")
            paths.append(path)
        self.readers.clear()
        while self.publisher.subscribers:
            self.publisher.socket.poll(10)
            self.publisher.poll(now_ns())
        return paths

    def throughput(self, frames: int, *, content: bool = False, plain: bool = False) -> float:
        """Records per second, until the subscriber has the last one."""
        publisher = self.publisher
        publish, poll = publisher.publish, publisher.poll
        frame = bytes((PLAIN,)) + bytes(HEADER_BYTES - 1 + RECORDS_A_FRAME * QUOTE.itemsize)
        records = np.zeros(RECORDS_A_FRAME, QUOTE)
        records["instrument_id"] = INSTRUMENT
        numbers = records["update_id"]
        numbers[:] = np.arange(1 - RECORDS_A_FRAME, 1, dtype=np.int64).astype(np.uint64)
        delivered = np.memmap(self.readers[0][1], np.int64, "r", shape=(1,))
        before = int(delivered[0])
        published = publisher.published
        begun = perf_counter()
        for number in range(frames):
            if number % 64 == 0:
                poll(now_ns())
                while (number - AHEAD) * RECORDS_A_FRAME > int(delivered[0]) - before:
                    publisher.socket.poll(1)
                    poll(now_ns())
            if content:
                numbers += RECORDS_A_FRAME
            if plain:
                publisher.socket.send(frame, zmq.NOBLOCK)
            else:
                publish(records)
        sent = frames * RECORDS_A_FRAME if plain else publisher.published - published
        while (arrived := int(delivered[0]) - before) < sent:
            check(perf_counter() < begun + 60, f"{arrived:,} of {sent:,} records arrived")
            publisher.socket.poll(1)
            poll(now_ns())
        elapsed = perf_counter() - begun
        check(arrived == sent == frames * RECORDS_A_FRAME, f"{arrived:,} of {sent:,} records arrived")
        return sent / elapsed

    def pace(self, bursts: int) -> None:
        """Publish a burst of frames of one quote each millisecond, whatever becomes of them."""
        publisher = self.publisher
        record = np.zeros(1, QUOTE)
        record["instrument_id"] = INSTRUMENT
        begun_ns = now_ns() + 1_000_000
        for number in range(bursts):
            due_ns = begun_ns + number * 1_000_000
            while (left_ns := due_ns - now_ns()) > 0:
                select.select([], [], [], left_ns / 1e9)
            record["now_ns"] = due_ns
            for _ in range(BURST):
                publisher.publish(record)
            publisher.poll(due_ns)
        publisher.heartbeat()
        until = perf_counter() + 0.5
        while perf_counter() < until:
            publisher.socket.poll(5)
            publisher.poll(now_ns())


def _subscribe_plain(endpoint: str, path: str) -> None:
    """Read frames without looking into them."""
    socket = make_context().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.SUBSCRIBE, bytes((PLAIN,)))
    socket.setsockopt(zmq.SUBSCRIBE, bytes((HEARTBEAT,)))  # by which subscribers are counted
    socket.connect(endpoint)
    delivered = np.memmap(path, np.int64, "r+", shape=(1,))
    frames = 0
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        with suppress(zmq.Again):
            for _ in range(AHEAD):
                frames += socket.recv(zmq.NOBLOCK)[0] == PLAIN
        delivered[0] = frames * RECORDS_A_FRAME


def _subscribe(mode: str, endpoint: str, path: str) -> None:
    """Read until standard input is closed. Judge, time or merely count what comes."""
    if mode == "plain":
        _subscribe_plain(endpoint, path)
        return
    subscriber = Subscriber(make_context(), endpoint, [QUOTES], clock=now_ns, high_water=HIGH_WATER)
    waited, seconds = [sys.stdin.fileno()], LOOK_SECONDS
    if mode == "time":
        waited, seconds = [*waited, int(subscriber.socket.getsockopt(zmq.FD))], 0.1
    delivered = np.memmap(path, np.int64, "r+", shape=(1,))
    nanos: list[int] = []
    expected = 1

    def take(found: list[tuple[Topic, Records]]) -> None:
        nonlocal expected
        if mode == "time":
            nanos.extend(now_ns() - int(records["now_ns"][0]) for _, records in found)
        elif mode == "judge":
            for _, records in found:
                wanted = np.arange(expected, expected + len(records), dtype=np.uint64)
                check(bool((records["update_id"] == wanted).all()), "records that are not what was sent")
                expected += len(records)

    while sys.stdin.fileno() not in select.select(waited, [], [], seconds)[0]:
        take(subscriber.drain())
        while subscriber.touched:  # not emptied yet
            take(subscriber.drain())
        delivered[0] = subscriber.delivered
    check(subscriber.lost == subscriber.duplicates == subscriber.unknown == subscriber.malformed == 0, "records lost")
    known = sum(last - joined + 1 for joined, _, last in subscriber.positions().values())
    check(known == subscriber.delivered > 0, f"{subscriber.delivered:,} of {known:,} records delivered")
    if mode == "time":
        np.array(nanos, np.int64).tofile(path)


if __name__ == "__main__":
    _subscribe(*sys.argv[1:])
