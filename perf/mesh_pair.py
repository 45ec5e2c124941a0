"""Two processes on the mesh over ipc for a bench: a host's loop in small at both ends, and the same over plain sockets.

The answering end runs as ``python -m perf.mesh_pair KIND DIRECTORY`` and ends by a message.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import zmq
from zmq.backend import zmq_poll

from nautilus.bus import Delivery, Mesh, MessageKind, make_context
from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from nautilus.model.message import Message
from nautilus.runtime.wire import from_wire, to_wire
from perf.harness import ROOT, check

PAYLOAD = bytes(range(128))
IN_FLIGHT = 5_000
LOOK_EVERY = 8
"""Messages that are handled between two looks at the urgent lane."""
EVENT, REQUEST = MessageKind.EVENT, MessageKind.REQUEST
MODEL = "model"
STOP, BOOKS, STAMPED = b"stop", b"books", b"stamped:"


def node(directory: str, process: str, context: Any) -> Mesh:
    """A node of the bench; what is urgent goes through shared memory too, as between hosts of a platform."""
    epoch = now_ns()
    ring = UrgentRing(lambda name: f"{directory}/urgent.{name}.ring", process, epoch)
    return Mesh(context, process, epoch, lambda name, lane: endpoint(directory, name, lane), now_ns, urgent_ring=ring)


def endpoint(directory: str, process: str, lane: str) -> str:
    """Where a process of the bench listens."""
    return f"ipc://{directory}/{process}.{lane}"


class Asking:
    """The asking end."""

    def __init__(self, directory: str, spin_ns: int = 0) -> None:
        self.got_ns = 0
        self.context = make_context()
        self.mesh = node(directory, "asking", self.context)
        for priority in (Priority.NORMAL, Priority.URGENT):
            self.mesh.dial("answering", priority)
        self.spin_ns = spin_ns
        self.ask(PAYLOAD)

    def ask(self, payload: bytes, priority: Priority = Priority.NORMAL) -> bytes:
        """The reply to a request."""
        number = self.mesh.post("answering", to="b", sender="a", kind=REQUEST, payload=payload, priority=priority)
        found, reply = self.answer()
        check(found == number, "a reply that does not belong to its request")
        return reply

    def turn(self, seconds: float = 0.1) -> list[tuple[int, bytes]]:
        """Wait for something and take it in: (id, reply) of each answer; `got_ns` is when the last one was there."""
        mesh = self.mesh
        found = []
        for delivery in mesh.take(int(seconds * 1e9), 64, self.spin_ns):
            self.got_ns = now_ns()
            mesh.done(delivery)
            check(delivery.kind is MessageKind.REPLY, f"an answer of kind {delivery.kind!r}")
            found.append((delivery.id, delivery.payload))
        check(not mesh.tick(now_ns()), "a request without a reply")
        return found

    def answer(self) -> tuple[int, bytes]:
        """The next answer, alone."""
        while not (found := self.turn()):
            pass
        check(len(found) == 1, f"{len(found)} answers to one request")
        return found[0]

    def round_trips(self, count: int, priority: Priority = Priority.NORMAL) -> np.ndarray:
        """Nanoseconds of each."""
        nanos = np.zeros(count, np.int64)
        post, take, done, tick, spin_ns = self.mesh.post, self.mesh.take, self.mesh.done, self.mesh.tick, self.spin_ns
        for index in range(count):
            begun_ns = now_ns()
            number = post("answering", to="b", sender="a", kind=REQUEST, payload=PAYLOAD, priority=priority)
            while not (found := take(100_000_000, 64, spin_ns)):
                check(not tick(now_ns()), "a request without a reply")
            nanos[index] = now_ns() - begun_ns
            (reply,) = found
            done(reply)
            check(reply.id == number and reply.payload == PAYLOAD, "a reply that does not belong to its request")
            check(not tick(now_ns()), "a request without a reply")
        self.check_books()
        return nanos

    def throughput(self, count: int) -> float:
        """Events per second until the last one is acknowledged."""
        post, turn, mesh = self.mesh.post, self.turn, self.mesh
        begun = perf_counter()
        for index in range(count):
            post("answering", to="b", sender="a", kind=EVENT, payload=PAYLOAD)
            if index % 64 == 63:
                turn(0)
                while mesh.pending() > IN_FLIGHT:
                    turn(0.001)
        while mesh.pending():
            turn(0.001)
        elapsed = perf_counter() - begun
        self.check_books()
        return count / elapsed

    def past_a_flood(self, count: int, rate: float = 1_000.0) -> np.ndarray:
        """Nanoseconds from `post` to the handler of FLASH_CRASH messages, while the normal lane is full."""
        post, turn, mesh = self.mesh.post, self.turn, self.mesh
        self.ask(BOOKS)
        step_ns = int(1e9 / rate)
        due_ns = now_ns() + step_ns
        left = count
        while left:
            for _ in range(16):
                post("answering", to="b", sender="a", kind=EVENT, payload=PAYLOAD, priority=Priority.LOW)
                if now_ns() >= due_ns and left:
                    stamp = STAMPED + due_ns.to_bytes(8, "little") + now_ns().to_bytes(8, "little") + PAYLOAD[:104]
                    post("answering", to="b", sender="a", kind=EVENT, payload=stamp, priority=Priority.FLASH_CRASH)
                    due_ns += step_ns
                    left -= 1
            turn(0)
            while mesh.pending() > IN_FLIGHT and now_ns() < due_ns:
                turn(0.0001)
        while mesh.pending():
            turn(0.001)
        self.check_books()
        found = np.frombuffer(self.ask(BOOKS), np.int64)
        check(len(found) == count, f"{len(found)} urgent messages of {count}")
        return found

    def send_messages(
        self, make: Callable[[int], Message], count: int, priority: Priority, pause_ns: int
    ) -> np.ndarray:
        """Nanoseconds from before a message is encoded until its handler has it decoded, one at a time."""
        self.ask(BOOKS)
        due_ns = now_ns()
        for _ in range(count):
            due_ns += pause_ns
            while now_ns() < due_ns:
                self.turn(0.000_2)
            payload = to_wire(make(now_ns()))
            self.mesh.post("answering", to="b", sender=MODEL, kind=EVENT, payload=payload, priority=priority)
            while self.mesh.pending():
                self.turn(0.01)
        self.check_books()
        return np.frombuffer(self.ask(BOOKS), np.int64)

    def check_books(self) -> None:
        """Every message was acknowledged."""
        mesh = self.mesh
        check(mesh.acknowledged == mesh.sent and not mesh.dead_lettered, "messages that were not acknowledged")

    def close(self) -> None:
        """End the other process, and this end."""
        self.ask(STOP)
        self.mesh.close()
        self.context.destroy(linger=0)


@contextmanager
def peer(directory: str, kind: str) -> Iterator[None]:
    """The answering process; it ends by a message."""
    process = subprocess.Popen([sys.executable, "-m", "perf.mesh_pair", kind, directory], cwd=ROOT)
    try:
        yield
        check(process.wait(10) == 0, "the answering process failed")
    finally:
        process.kill()
        process.wait()


def _answer_mesh(directory: str, spin_ns: int) -> None:
    mesh = node(directory, "answering", make_context())
    take, receive, tick, done = mesh.take, mesh.receive, mesh.tick, mesh.done
    last: dict[int, int] = {}
    found_ns: list[int] = []
    stopping = False

    def handle(delivery: Delivery) -> None:
        nonlocal stopping
        check(last.get(delivery.priority, 0) < delivery.sequence, "a message twice or out of order")
        last[delivery.priority] = delivery.sequence
        payload = delivery.payload
        if delivery.kind is EVENT:
            if delivery.sender == MODEL:
                message: Any = from_wire(payload)
                found_ns.append(now_ns() - message.now_ns)
            elif payload[:8] == STAMPED:
                found_ns.append(now_ns() - int.from_bytes(payload[16:24], "little"))
            done(delivery)
            return
        reply = payload
        if payload == BOOKS:
            reply = np.array(found_ns, np.int64).tobytes()
            found_ns.clear()
        stopping |= payload == STOP
        done(delivery, reply)

    while not stopping:
        found = take(100_000_000, 32, spin_ns)
        for number, delivery in enumerate(found):
            handle(delivery)
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                for urgent in receive(urgent=True):
                    handle(urgent)
        tick(now_ns())
    take(100_000_000)  # the last answer needs a moment to leave


def _answer_plain(directory: str) -> None:
    """Echo, and count what begins with another byte."""
    socket = make_context().socket(zmq.ROUTER)
    socket.bind(f"ipc://{directory}/plain")
    items = [(socket, zmq.POLLIN)]
    recv = socket.recv
    counted = 0
    while True:
        zmq_poll(items, -1)
        while True:
            try:
                identity = recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            frame = recv()
            if frame[:1] == b"e":
                counted += 1
                continue
            if frame == STOP:
                return
            socket.send(identity, zmq.SNDMORE)
            socket.send(str(counted).encode() if frame == BOOKS else frame)
            break


class Plain:
    """A plain DEALER to a plain ROUTER."""

    def __init__(self, directory: str) -> None:
        self.context = make_context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 5)
        self.socket.connect(f"ipc://{directory}/plain")
        self.sent = 0

    def round_trips(self, count: int) -> np.ndarray:
        """Nanoseconds of each."""
        nanos = np.zeros(count, np.int64)
        socket, items = self.socket, [(self.socket, zmq.POLLIN)]
        for index in range(count):
            begun_ns = now_ns()
            socket.send(PAYLOAD)
            zmq_poll(items, -1)
            echo = socket.recv()
            nanos[index] = now_ns() - begun_ns
            check(echo == PAYLOAD, "a plain echo that is another")
        return nanos

    def throughput(self, count: int) -> float:
        """Messages per second, one by one in either process, until the last one is known to have come."""
        send, payload = self.socket.send, b"e" + PAYLOAD[1:]
        begun = perf_counter()
        for _ in range(count):
            send(payload)
        send(BOOKS)
        found = int(self.socket.recv())
        elapsed = perf_counter() - begun
        self.sent += count
        check(found == self.sent, "plain messages that did not come")
        return count / elapsed

    def close(self) -> None:
        """End the other process, and this end."""
        self.socket.send(STOP)
        self.context.destroy(linger=1_000)


if __name__ == "__main__":
    if sys.argv[1] == "plain":
        _answer_plain(sys.argv[2])
    else:
        _answer_mesh(sys.argv[2], int(sys.argv[1].removeprefix("mesh")) * 1_000)
