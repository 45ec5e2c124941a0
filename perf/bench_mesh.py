"""Two processes on the mesh over ipc, each with one thread that polls, receives, handles and answers.

    asking process ══ request ══▶ answering process ══ reply ══▶ asking process      round trip, one at a time
    asking process ══ events, acknowledged ══▶ answering process                     throughput
    the same, beside urgent requests                                                 round trip past a flood

Plain DEALER/ROUTER sockets with the same bytes run beside it: what is above them is what the guarantees cost.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import zmq
from zmq.backend import Socket as BackendSocket
from zmq.backend import zmq_poll

from nautilus.bus import Delivery, Mesh, MessageKind, make_context
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from perf.harness import REPEATS, ROOT, OtherLoad, Report, check

SUMMARY = "mesh over ipc: request/reply, acknowledged events, urgent requests past a flood"
ROUND_TRIPS = 5_000
WARM_UP = 500
MESSAGES = 50_000
FLOOD_ROUND_TRIPS = 1_000
IN_FLIGHT = 5_000
LOOK_EVERY = 8
"""Messages that are handled between two looks at the urgent lane."""
PAYLOAD = bytes(range(128))
P50_GOAL_US, P99_GOAL_US = 120, 400
EVENTS, POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
STOP = b"stop"


def run(report: Report) -> None:
    """Round trips, throughput, round trips beside a flood; plain sockets beside them."""
    report.conditions["pinning"] = "none: each process has one Python thread and two I/O threads, blocked in poll"
    with tempfile.TemporaryDirectory() as directory, _peer(directory, "mesh"):
        mesh = _Asking(directory)
        mesh.round_trips(WARM_UP)

        with OtherLoad() as load:
            trips = [mesh.round_trips(ROUND_TRIPS) for _ in range(REPEATS)]
        for percent, goal in ((50, P50_GOAL_US), (99, P99_GOAL_US)):
            values = [float(np.percentile(nanos, percent)) / 1e3 for nanos in trips]
            report.add(f"request/reply, p{percent}", "us", values, load.cores, goal=goal, lower_is_better=True)
        report.measure("events of 128 B, acknowledged after their handler", "messages/s", mesh.throughput)
        flood: list[np.ndarray] = []

        def urgent() -> float:
            flood.append(mesh.past_a_flood(FLOOD_ROUND_TRIPS))
            return float(np.percentile(flood[-1], 99)) / 1e3

        report.measure("urgent request/reply past a flood of events, p99", "us", urgent, repeats=3)
        mesh.close()
    plain: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as directory, _peer(directory, "plain"), _plain(directory) as socket:
        _plain_trips(socket, WARM_UP)

        def plain_once() -> float:
            plain.append(_plain_trips(socket, ROUND_TRIPS))
            return float(np.percentile(plain[-1], 50)) / 1e3

        report.measure("plain DEALER/ROUTER, same bytes, p50", "us", plain_once)
        socket.send(STOP)
    report.latency("request/reply", np.concatenate(trips))
    report.latency("urgent request/reply past a flood", np.concatenate(flood))
    report.latency("plain DEALER/ROUTER", np.concatenate(plain))
    report.checks.append("every request got the one reply that belongs to it; every event was acknowledged; none twice")
    report.notes.append("One request under way at a time, sent once the reply to the last is in.")


class _Wait:
    """Waits for the descriptors of sockets; those that the mesh names as touched are looked at themselves."""

    def __init__(self, mesh: Mesh) -> None:
        self.touched = mesh.touched
        self.epoll = select.epoll()
        self.sockets = {}
        self.look = {socket: BackendSocket.get.__get__(socket) for socket in mesh.sockets()}
        for socket in mesh.sockets():
            descriptor = int(socket.getsockopt(zmq.FD))
            self.sockets[descriptor] = socket
            self.epoll.register(descriptor, select.EPOLLIN)

    def __call__(self, seconds: float) -> set[zmq.Socket[bytes]]:
        """Sockets that may be readable."""
        ready = {socket for socket in self.touched if self.look[socket](EVENTS) & POLLIN}
        self.touched.clear()
        for descriptor, _ in self.epoll.poll(0 if ready else seconds):
            ready.add(self.sockets[descriptor])
        return ready


class _Asking:
    """The asking end: a host's loop in small."""

    def __init__(self, directory: str) -> None:
        self.got_ns = 0
        self.context = make_context()
        self.mesh = Mesh(
            self.context, "asking", now_ns(), lambda process, lane: _endpoint(directory, process, lane), now_ns
        )
        for priority in (Priority.NORMAL, Priority.URGENT):
            self.mesh.dial("answering", priority)
        self.wait = _Wait(self.mesh)
        self.mesh.post("answering", to="b", sender="a", kind=MessageKind.REQUEST, payload=PAYLOAD)
        self.answer()

    def turn(self, seconds: float = 0.1) -> list[tuple[int, bytes]]:
        """Wait for something and take it in: (id, reply) of each answer; `got_ns` is when the last one was there."""
        mesh = self.mesh
        # While the peer is not there yet, `tick` is what finds it.
        ready = self.wait(min(seconds, max(0.0, (mesh.next_due_ns - now_ns()) / 1e9)))
        found = []
        for delivery in mesh.receive(ready=ready):
            self.got_ns = now_ns()
            mesh.done(delivery)
            check(delivery.kind is MessageKind.REPLY, f"an answer of kind {delivery.kind!r}")
            found.append((delivery.id, delivery.payload))
        check(not mesh.tick(now_ns()), "a request without a reply")
        return found

    def answer(self) -> tuple[int, bytes]:
        while not (found := self.turn()):
            pass
        check(len(found) == 1, f"{len(found)} answers to one request")
        return found[0]

    def round_trips(self, count: int, priority: Priority = Priority.NORMAL) -> np.ndarray:
        """Nanoseconds of each."""
        nanos = np.zeros(count, np.int64)
        post, answer = self.mesh.post, self.answer
        for index in range(count):
            begun_ns = now_ns()
            number = post("answering", to="b", sender="a", kind=MessageKind.REQUEST, payload=PAYLOAD, priority=priority)
            got, payload = answer()
            nanos[index] = self.got_ns - begun_ns
            check(got == number and payload == PAYLOAD, "a reply that does not belong to its request")
        self.check_books()
        return nanos

    def throughput(self) -> float:
        """Events per second until the last one is acknowledged."""
        post, turn, mesh = self.mesh.post, self.turn, self.mesh
        begun = perf_counter()
        for index in range(MESSAGES):
            post("answering", to="b", sender="a", kind=MessageKind.EVENT, payload=PAYLOAD)
            if index % 64 == 63:
                turn(0)
                while mesh.pending() > IN_FLIGHT:
                    turn(0.001)
        while mesh.pending():
            turn(0.001)
        elapsed = perf_counter() - begun
        self.check_books()
        return MESSAGES / elapsed

    def past_a_flood(self, count: int) -> np.ndarray:
        """Nanoseconds of urgent round trips while the normal lane always has more to do."""
        nanos = np.zeros(count, np.int64)
        mesh = self.mesh
        for index in range(count):
            for _ in range(max(0, IN_FLIGHT - mesh.pending())):
                mesh.post(
                    "answering", to="b", sender="a", kind=MessageKind.EVENT, payload=PAYLOAD, priority=Priority.LOW
                )
            begun_ns = now_ns()
            number = mesh.post(
                "answering", to="b", sender="a", kind=MessageKind.REQUEST, payload=PAYLOAD, priority=Priority.URGENT
            )
            check(self.answer() == (number, PAYLOAD), "a reply that does not belong to its request")
            nanos[index] = self.got_ns - begun_ns
        while mesh.pending():
            self.turn(0.001)
        self.check_books()
        return nanos

    def check_books(self) -> None:
        mesh = self.mesh
        check(mesh.acknowledged == mesh.sent and not mesh.dead_lettered, "messages that were not acknowledged")

    def close(self) -> None:
        self.mesh.post("answering", to="b", sender="a", kind=MessageKind.REQUEST, payload=STOP)
        self.answer()
        self.mesh.close()
        self.context.destroy(linger=0)


def _endpoint(directory: str, process: str, lane: str) -> str:
    return f"ipc://{directory}/{process}.{lane}"


@contextmanager
def _peer(directory: str, kind: str) -> Iterator[None]:
    """The answering process; it ends by a message."""
    process = subprocess.Popen([sys.executable, "-m", "perf.bench_mesh", kind, directory], cwd=ROOT)
    try:
        yield
        check(process.wait(10) == 0, "the answering process failed")
    finally:
        process.kill()
        process.wait()


def _answer_mesh(directory: str) -> None:
    mesh = Mesh(
        make_context(), "answering", now_ns(), lambda process, lane: _endpoint(directory, process, lane), now_ns
    )
    wait = _Wait(mesh)
    receive, tick = mesh.receive, mesh.tick
    last: dict[int, int] = {}
    stopping = False

    def handle(delivery: Delivery) -> None:
        nonlocal stopping
        check(last.get(delivery.priority, 0) < delivery.sequence, "a message twice or out of order")
        last[delivery.priority] = delivery.sequence
        stopping |= delivery.payload == STOP
        mesh.done(delivery, delivery.payload)

    while not stopping:
        found = receive(32, ready=wait(0.1))
        for number, delivery in enumerate(found):
            handle(delivery)
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                for urgent in receive(urgent=True):
                    handle(urgent)
        tick(now_ns())
    wait(0.1)  # the last answer needs a moment to leave


def _answer_plain(directory: str) -> None:
    socket = make_context().socket(zmq.ROUTER)
    socket.bind(f"ipc://{directory}/plain")
    items = [(socket, zmq.POLLIN)]
    while True:
        zmq_poll(items, -1)
        identity, frame = socket.recv(), socket.recv()
        if frame == STOP:
            return
        socket.send(identity, zmq.SNDMORE)
        socket.send(frame)


@contextmanager
def _plain(directory: str) -> Iterator[zmq.Socket[bytes]]:
    context = make_context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RECONNECT_IVL, 5)
    socket.connect(f"ipc://{directory}/plain")
    yield socket
    context.destroy(linger=1_000)


def _plain_trips(socket: zmq.Socket[bytes], count: int) -> np.ndarray:
    nanos = np.zeros(count, np.int64)
    items = [(socket, zmq.POLLIN)]
    for index in range(count):
        begun_ns = now_ns()
        socket.send(PAYLOAD)
        zmq_poll(items, -1)
        echo = socket.recv()
        nanos[index] = now_ns() - begun_ns
        check(echo == PAYLOAD, "a plain echo that is another")
    return nanos


if __name__ == "__main__":
    (_answer_mesh if sys.argv[1] == "mesh" else _answer_plain)(sys.argv[2])
