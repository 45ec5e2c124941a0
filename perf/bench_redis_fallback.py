"""What the mesh does where ZeroMQ is gone: the step to Redis and back, and what goes over that path.

    asking process ══ ZeroMQ, through a relay that is killed and started ══▶ answering process
                   ══ Redis Streams ═══════════════════════════════════════▶

A request each millisecond, before, during and after the steps: each gets its one reply. Processes are real, the server
is a redis-server on a unix socket; `/dev/cpu_dma_latency` is held at 0 where that is allowed.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import redis
import zmq
from zmq.backend import zmq_poll

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.bus.redis_binary import find_redis
from nautilus.bus.redis_carrier import RedisCarrier
from nautilus.core.clock import now_ns
from perf.harness import REPEATS, ROOT, Report, check

SUMMARY = "mesh over Redis: steps down and up without loss, messages a second, round trips"
ROUND_TRIPS = 3_000
MESSAGES = 30_000
FRAMES = 100_000
IN_FLIGHT = 4_000
PAYLOAD = bytes(range(128))
EVERY_NS = 1_000_000
STOP = b"stop"
PATIENCE_SECONDS = 60
SWITCH_GOAL_MS, RATE_GOAL, P50_GOAL_US = 100, 100_000, 250


def run(report: Report) -> None:
    """Steps, throughput and round trips over Redis; plain Streams beside them."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        report.conditions["wake"] = "hold-awake" if _hold_awake(stack) else "block: /dev/cpu_dma_latency is not allowed"
        report.conditions["redis"] = stack.enter_context(_redis(directory))
        relay = _Relay(directory)
        stack.callback(relay.cut)
        relay.begin()
        stack.enter_context(_process(directory, "answer"))
        asking = _Asking(directory)
        asking.until(lambda: asking.path == "zmq" and asking.mesh.paths["answering"].healthy("redis"))
        steps = [asking.step(relay) for _ in range(REPEATS)]
        for at, name in enumerate(("step to Redis: from the cut to the first reply", "step back: from the mending")):
            values = [step[at] for step in steps]
            report.add(name, "ms", values, 0.0, goal=SWITCH_GOAL_MS, lower_is_better=True)
        report.add("step back: longest wait for a reply", "ms", [step[2] for step in steps], 0.0)
        relay.cut()
        asking.until(lambda: asking.path == "redis")
        trips: list[np.ndarray] = []

        def p50() -> float:
            trips.append(asking.round_trips(ROUND_TRIPS))
            return float(np.percentile(trips[-1], 50)) / 1e3

        report.measure("request/reply over Redis, p50", "us", p50, goal=P50_GOAL_US, lower_is_better=True)
        report.measure("events of 128 B, acknowledged after their handler", "messages/s", asking.throughput)
        report.latency("request/reply over Redis", np.concatenate(trips))
        asking.check_books()
        asking.close()
        report.measure(
            "frames of 256 B through the carrier, in order", "frames/s", lambda: _frames(directory), goal=RATE_GOAL
        )
        report.measure("plain Streams (redis-py, hiredis), XADD and XREAD, p50", "us", lambda: _plain(directory))
    report.checks.append("over all steps every request got its one reply, in order; every frame came once, in order")
    report.notes.append("A request each millisecond during the steps; a step is told by the first reply past the cut.")


class _Asking:
    """The asking end: a host's loop in small."""

    def __init__(self, directory: str) -> None:
        self.context = make_context()
        self.mesh = Mesh(
            self.context,
            "asking",
            now_ns(),
            lambda process, lane: f"ipc://{directory}/{process}.{lane}{'' if process == 'asking' else '.wire'}",
            now_ns,
            fallbacks=[RedisCarrier(f"unix://{directory}/redis", "asking", now_ns)],
        )
        self.mesh.dial("answering")
        self.asked: dict[int, int] = {}
        self.waits: list[int] = []
        self.last_reply_ns = 0

    @property
    def path(self) -> str:
        return self.mesh.paths["answering"].path

    def ask(self, kind: MessageKind = MessageKind.REQUEST) -> int:
        number = self.mesh.post("answering", to="b", sender="a", kind=kind, payload=PAYLOAD)
        if kind is MessageKind.REQUEST:
            self.asked[number] = now_ns()
        return number

    def turn(self, milliseconds: int = 1) -> None:
        mesh = self.mesh
        due_ms = max(0, min(milliseconds, (mesh.next_due_ns - now_ns()) // 1_000_000 + 1))
        ready = [item for item, _ in zmq_poll([(item, zmq.POLLIN) for item in self.items()], due_ms)]
        for delivery in mesh.receive(256, ready=ready):
            self.last_reply_ns = now_ns()
            check(delivery.payload == PAYLOAD, "a reply that is another")
            self.waits.append(self.last_reply_ns - self.asked.pop(delivery.id))  # a second one raises
            mesh.done(delivery)
        check(not mesh.tick(now_ns()), "a request without a reply")

    def items(self) -> list[Any]:
        return [*self.mesh.sockets(), *self.mesh.descriptors()]

    def until(self, so: Callable[[], object]) -> None:
        end_ns = now_ns() + PATIENCE_SECONDS * 1_000_000_000
        while not so():
            check(now_ns() < end_ns, f"it does not come about; path {self.path}")
            self.turn()

    def flow(self, so: Callable[[], object]) -> None:
        """A request each millisecond until something is so."""
        due_ns = 0

        def look() -> bool:
            nonlocal due_ns
            if now_ns() >= due_ns:
                due_ns = now_ns() + EVERY_NS
                self.ask()
            return bool(so())

        self.until(look)

    def step(self, relay: _Relay) -> tuple[float, float, float]:
        """Milliseconds: from the cut to the first reply, from the mending to the step back; longest wait at that."""
        end_ns = now_ns() + 200_000_000
        self.flow(lambda: now_ns() > end_ns)
        cut_ns = now_ns()
        relay.cut()
        self.flow(lambda: self.path == "redis" and self.last_reply_ns > self.mesh.paths["answering"].since_ns)
        down_ms = (self.last_reply_ns - cut_ns) / 1e6
        end_ns = now_ns() + 200_000_000
        self.flow(lambda: now_ns() > end_ns)
        relay.begin()
        self.flow(relay.listens)
        mended_ns = now_ns()
        self.waits.clear()
        self.flow(lambda: self.path == "zmq")
        up_ms = (self.mesh.paths["answering"].since_ns - mended_ns) / 1e6
        end_ns = now_ns() + 100_000_000
        self.flow(lambda: now_ns() > end_ns)
        self.until(lambda: not self.asked)
        self.check_books()
        return down_ms, up_ms, max(self.waits) / 1e6

    def round_trips(self, count: int) -> np.ndarray:
        """Nanoseconds of each, one at a time."""
        self.until(lambda: not self.asked)
        self.waits.clear()
        for _ in range(count):
            self.ask()
            while self.asked:
                self.turn()
        return np.array(self.waits, np.int64)

    def throughput(self) -> float:
        """Events per second until the last one is acknowledged."""
        begun = perf_counter()
        for index in range(MESSAGES):
            self.ask(MessageKind.EVENT)
            if index % 64 == 63:
                self.turn(0)
                while self.mesh.pending() > IN_FLIGHT:
                    self.turn()
        self.until(lambda: not self.mesh.pending())
        return MESSAGES / (perf_counter() - begun)

    def check_books(self) -> None:
        mesh = self.mesh
        check(not mesh.dead_lettered, "messages that were given up")
        check(mesh.acknowledged == mesh.sent - mesh.pending(), "messages that were not acknowledged")

    def close(self) -> None:
        self.mesh.post("answering", to="b", sender="a", kind=MessageKind.REQUEST, payload=STOP)
        with suppress(Exception):
            for _ in range(50):
                self.turn()
        self.mesh.close()
        self.context.destroy(linger=0)


class _Relay:
    """The wire between the sockets, as a process that is killed and started."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it."""
        self.process = _start(self.directory, "relay", stdout=subprocess.PIPE)

    def listens(self) -> bool:
        """Whether it has said so since it was started."""
        assert self.process is not None
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], 0)[0]:
            return False
        check(self.process.stdout.readline() == b"listens\n", "the relay did not start")
        return True

    def cut(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


def _hold_awake(stack: ExitStack) -> bool:
    try:
        stack.callback(os.close, held := os.open("/dev/cpu_dma_latency", os.O_WRONLY))
        os.write(held, bytes(4))
    except OSError:
        return False
    return True


def _start(directory: str, role: str, *more: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "perf.bench_redis_fallback", role, directory, *more]
    return subprocess.Popen(command, cwd=ROOT, **options)  # type: ignore[call-overload,no-any-return]


@contextmanager
def _process(directory: str, role: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(directory, role, *more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _redis(directory: str) -> Iterator[str]:
    binary = find_redis()
    process = subprocess.Popen(
        [
            *(binary, "--port", "0", "--unixsocket", f"{directory}/redis", "--save", "", "--appendonly", "no"),
            *("--dir", directory, "--loglevel", "warning"),
        ]
    )
    try:
        end = perf_counter() + PATIENCE_SECONDS
        while not Path(directory, "redis").exists():
            check(perf_counter() < end and process.poll() is None, "redis-server did not start")
            select.select([], [], [], 0.01)
        yield binary
    finally:
        process.kill()
        process.wait()


def _frames(directory: str) -> float:
    """Frames per second from this process to another, through two carriers."""
    # Another name each time: what one that was killed had not acknowledged, the next one of its name would get.
    name = f"drain{now_ns()}"
    sender = RedisCarrier(f"unix://{directory}/redis", "source", now_ns)
    frame = bytearray(256)
    with _process(directory, "drain", name) as process:
        while not sender.usable(name):
            select.select([sender], [], [], 0.01)
            sender.receive(16)
        begun = perf_counter()
        sent = taken = 0
        while taken < FRAMES:
            check(process.poll() is None, "the reading process failed")
            while sent < FRAMES and sent - taken < IN_FLIGHT:
                frame[8:16] = sent.to_bytes(8, "little")
                if not sender.send(name, "n", bytes(frame)):
                    break
                sent += 1
            select.select([sender], [], [], 0.01)
            for _, _, answer in sender.receive(64):
                taken = int.from_bytes(answer, "little")
        elapsed = perf_counter() - begun
    sender.close()
    return FRAMES / elapsed


def _drain(directory: str, name: str) -> None:
    carrier = RedisCarrier(f"unix://{directory}/redis", name, now_ns)
    taken = told = 0
    while True:
        select.select([carrier], [], [], 1)
        for peer, _, frame in carrier.receive(1024):
            number = int.from_bytes(frame[8:16], "little")
            check(number == taken, f"frame {number} in place of {taken}")
            taken += 1
            if taken - told >= 256 or taken == FRAMES:
                told = taken
                carrier.send(peer, "n", taken.to_bytes(8, "little"))


def _plain(directory: str) -> float:
    """Median round trip in microseconds: XADD and a blocking XREAD on each side, with redis-py."""
    client: Any = redis.Redis(unix_socket_path=f"{directory}/redis")
    client.delete("ping", "pong")
    with _process(directory, "plain"):
        nanos = np.zeros(1_000, np.int64)
        last: object = "0"
        for index in range(len(nanos)):
            begun_ns = now_ns()
            client.xadd("ping", {b"f": PAYLOAD}, maxlen=1_000, approximate=True)
            found = client.xread({"pong": last}, block=0)
            last = found[0][1][-1][0] if isinstance(found, list) else found[b"pong"][0][-1][0]
            nanos[index] = now_ns() - begun_ns
    client.close()
    return float(np.percentile(nanos, 50)) / 1e3


def _answer_plain(directory: str) -> None:
    client: Any = redis.Redis(unix_socket_path=f"{directory}/redis")
    last: object = "0"
    while True:
        found = client.xread({"ping": last}, block=0)
        entries = found[0][1] if isinstance(found, list) else found[b"ping"][0]
        for identity, fields in entries:
            last = identity
            client.xadd("pong", fields, maxlen=1_000, approximate=True)


def _answer(directory: str) -> None:
    mesh = Mesh(
        make_context(),
        "answering",
        now_ns(),
        lambda process, lane: f"ipc://{directory}/{process}.{lane}",
        now_ns,
        fallbacks=[RedisCarrier(f"unix://{directory}/redis", "answering", now_ns)],
    )
    items: list[Any] = [(item, zmq.POLLIN) for item in (*mesh.sockets(), *mesh.descriptors())]
    last = 0
    while True:
        ready = [item for item, _ in zmq_poll(items, 50)]
        for delivery in mesh.receive(256, ready=ready):
            check(delivery.sequence > last, "a message twice or out of order")
            last = delivery.sequence
            mesh.done(delivery, delivery.payload)
            if delivery.payload == STOP:
                return
        mesh.tick(now_ns())


def _relay(directory: str) -> None:
    """Pass on what comes for the answering process, until killed."""
    pairs: dict[socket.socket, socket.socket] = {}
    listeners: dict[socket.socket, str] = {}
    for lane in "un":
        path = Path(directory, f"answering.{lane}.wire")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(16)
        listeners[listener] = f"{directory}/answering.{lane}"
    print("listens", flush=True)
    while True:
        for end in select.select([*listeners, *pairs], [], [])[0]:
            if end in listeners:
                dialled, other = end.accept()[0], socket.socket(socket.AF_UNIX)
                try:
                    other.connect(listeners[end])
                except OSError:
                    dialled.close()
                    continue
                pairs[dialled], pairs[other] = other, dialled
            elif end in pairs:
                data = b""
                with suppress(OSError):
                    data = end.recv(1 << 16)
                if data:
                    pairs[end].sendall(data)
                else:
                    other = pairs.pop(end)
                    pairs.pop(other, None)
                    end.close()
                    other.close()


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {
        "answer": _answer,
        "relay": _relay,
        "drain": _drain,
        "plain": _answer_plain,
    }
    roles[sys.argv[1]](*sys.argv[2:])
