"""Processes on the mesh for the bench of the urgent lane, each with the host's own loop (`nautilus.runtime.loop`).

The other ends run as ``python -m perf.urgent_pair OPTIONS`` (JSON) and end by a message.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import zmq

from nautilus.bus import Delivery, Mesh, MessageKind, make_context
from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core import affinity
from nautilus.core.clock import now_ns
from nautilus.core.wake import Waiting
from nautilus.model.enums import Priority
from nautilus.runtime.clock import ClockAnchor, PlatformClock
from nautilus.runtime.loop import Loop, Rank
from nautilus.runtime.urgent import prefer_urgent
from perf.harness import ROOT, check

BULK = bytes(range(128))
PAD = bytes(104)
IN_FLIGHT = 5_000
LOOK_NS = 50_000
STOP, BOOKS = b"stop", b"books"
EVENT, REQUEST, REPLY = MessageKind.EVENT, MessageKind.REQUEST, MessageKind.REPLY
URGENT = Priority.FLASH_CRASH


class Options(msgspec.Struct, frozen=True):
    """How an end runs.

    Parameters
    ----------
    wake
        A policy of `Waiting`.
    io_cores, own_core
        Where its I/O threads run, and its own thread; none: anywhere.
    nice, fifo
        Of its own thread: how it is weighed among others; SCHED_FIFO priority, 0: the usual scheduling.
    io_fifo
        Of the I/O thread of its urgent lane.
    """

    directory: str
    name: str
    ring: bool = True
    wake: str = "block"
    spin_us: int = 50
    io_cores: tuple[int, ...] = ()
    own_core: int = -1
    nice: int = 0
    fifo: int = 0
    io_fifo: int = 0


class End:
    """A node of the mesh in the loop of a host, as `nautilus.runtime.live` has it."""

    def __init__(self, options: Options) -> None:
        if options.io_cores:
            os.sched_setaffinity(0, options.io_cores)
        epoch, directory = now_ns(), options.directory
        self.waiting = Waiting(options.wake, spin_ns=options.spin_us * 1_000)
        self.loop = Loop(
            PlatformClock(ClockAnchor(epoch, epoch)), self.waiting if options.wake.startswith("spin") else None
        )
        self.ring: UrgentRing | None = None
        if options.ring:
            self.ring = UrgentRing(lambda process: f"{directory}/urgent.{process}.ring", options.name, epoch)
            self.loop.set_ring(self.ring, self._on_ring)
        self.context = make_context()
        self.mesh = Mesh(
            self.context,
            options.name,
            epoch,
            lambda process, lane: f"ipc://{directory}/{process}.{lane}",
            now_ns,
            urgent_ring=self.ring,
        )
        self._generation = -1
        self._looked_ns = 0
        self.stopping = False
        if options.io_fifo:
            grant = prefer_urgent(options.io_fifo)
            check(grant.granted, grant.found)
        if options.own_core >= 0:
            os.sched_setaffinity(0, {options.own_core})
        if options.nice:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), options.nice)
        if options.fifo:
            grant = affinity.fifo(options.fifo)
            check(grant.granted, grant.found)

    def turn(self, most_ns: int = 100_000_000) -> None:
        """Wait for something, and do it."""
        if self.mesh.generation != self._generation:
            self._generation = self.mesh.generation
            sockets = self.mesh.sockets()
            urgent = {socket for socket in sockets if socket.getsockopt(zmq.AFFINITY) == 1}
            self.loop.set_group(urgent, self._on_urgent, Rank.URGENT, self.mesh.touched)
            self.loop.set_group([each for each in sockets if each not in urgent], self._on_mesh, Rank.MESH)
        begun_ns = now_ns()
        self.loop.turn(min(self.mesh.next_due_ns, begun_ns + most_ns), self.between)
        check(not self.mesh.tick(now_ns()), "a request without a reply")

    def between(self) -> None:
        """Between two handlers: what is urgent."""
        if self.ring is not None and self.ring.waiting:
            self._on_ring()
        at_ns = perf_counter_ns()
        if at_ns - self._looked_ns > LOOK_NS and at_ns - self.loop.woken_ns > LOOK_NS:
            self._looked_ns = at_ns
            for delivery in self.mesh.receive(urgent=True):
                self.handle(delivery)

    def _on_ring(self) -> None:
        for delivery in self.mesh.glance():
            self.handle(delivery)

    def _on_urgent(self) -> None:
        for delivery in self.mesh.receive(ready=self.loop.ready, urgent=True):
            self.handle(delivery)

    def _on_mesh(self) -> None:
        # Bulk alone: what is urgent is received by itself.
        for delivery in self.mesh.receive(ready=self.loop.ready):
            self.handle(delivery)
            if delivery.priority > Priority.URGENT:
                self.between()

    def handle(self, delivery: Delivery) -> None:
        """What comes."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""
        self.mesh.close()
        self.loop.close()
        self.context.destroy(linger=0)
        self.waiting.close()


class Taking(End):
    """Handles bulk, and notes how long ago each urgent message was posted."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._nanos: list[int] = []
        self._last = {int(priority): 0 for priority in Priority}
        self._urgent = 0

    def handle(self, delivery: Delivery) -> None:
        """Note it, and acknowledge it."""
        payload = delivery.payload
        if delivery.priority == URGENT:
            self._nanos.append(perf_counter_ns() - int.from_bytes(payload[:8], "little"))
            number = int.from_bytes(payload[8:16], "little")
            check(number == self._urgent + 1, f"urgent message {number} after {self._urgent}")
            self._urgent = number
        check(self._last[delivery.priority] < delivery.sequence, "a message twice or out of order")
        self._last[delivery.priority] = delivery.sequence
        if delivery.kind is EVENT:
            self.mesh.done(delivery)
            return
        reply = payload
        if payload == BOOKS:
            counts = [self.mesh.urgent_by_ring, self.mesh.urgent_by_zmq, self.mesh.urgent_copies]
            reply = np.array([*counts, *self._nanos], np.int64).tobytes()
            self._nanos.clear()
        self.stopping |= payload == STOP
        self.mesh.done(delivery, reply)


class Sending(End):
    """Floods one peer over ZeroMQ, and now and then sends an urgent message to one."""

    def __init__(self, options: Options, *peers: str) -> None:
        super().__init__(options)
        self._answers: dict[int, bytes] = {}
        self._numbers = dict.fromkeys(peers, 0)
        for peer in peers:
            for priority in (Priority.NORMAL, URGENT):
                self.mesh.dial(peer, priority)
            self.ask(peer, BULK)

    def handle(self, delivery: Delivery) -> None:
        """An answer."""
        check(delivery.kind is REPLY, f"an answer of kind {delivery.kind!r}")
        self._answers[delivery.id] = delivery.payload
        self.mesh.done(delivery)

    def ask(self, peer: str, payload: bytes) -> bytes:
        """The reply to a request."""
        number = self.mesh.post(peer, to=peer, sender="a", kind=REQUEST, payload=payload)
        while number not in self._answers:
            self.turn(1_000_000)
        return self._answers.pop(number)

    def urgent(self, peer: str) -> None:
        """Send one urgent message; it says when."""
        number = self._numbers[peer] = self._numbers[peer] + 1
        payload = number.to_bytes(8, "little") + PAD
        self.mesh.post(
            peer,
            to=peer,
            sender="a",
            kind=EVENT,
            payload=perf_counter_ns().to_bytes(8, "little") + payload,
            priority=URGENT,
        )

    def past_a_flood(self, flooded: str, peer: str, count: int, rate: float) -> tuple[np.ndarray, float, list[int]]:
        """Urgent messages to `peer` at `rate` a second while bulk goes to `flooded` as fast as that takes it.

        Returns
        -------
        nanos : from just before `post` to the handler, of each.
        bulk : messages of the flood a second.
        counts : urgent messages delivered by ring, by ZeroMQ, and copies dropped, meanwhile.
        """
        post, turn, mesh = self.mesh.post, self.turn, self.mesh
        before = self._books(peer)[:3]
        step_ns, left, bulk = int(1e9 / rate), count, 0
        begun_ns = perf_counter_ns()
        due_ns = begun_ns + step_ns
        while left:
            for _ in range(16):
                post(flooded, to="b", sender="a", kind=EVENT, payload=BULK, priority=Priority.LOW)
                if perf_counter_ns() >= due_ns and left:
                    self.urgent(peer)
                    due_ns += step_ns
                    left -= 1
            bulk += 16
            turn(0)
            while mesh.pending() > IN_FLIGHT and perf_counter_ns() < due_ns:
                turn(100_000)
        seconds = (perf_counter_ns() - begun_ns) / 1e9
        while mesh.pending():
            turn(1_000_000)
        check(mesh.acknowledged == mesh.sent and not mesh.dead_lettered, "messages that were not acknowledged")
        found = self._books(peer)
        check(len(found) - 3 == count, f"{len(found) - 3} urgent messages of {count}")
        return found[3:], bulk / seconds, [int(each) for each in found[:3] - before]

    def alone(self, peer: str, count: int, rate: float) -> np.ndarray:
        """Urgent messages at `rate` a second and nothing else: nanoseconds of each, as above."""
        self._books(peer)
        due_ns = perf_counter_ns()
        for _ in range(count):
            due_ns += int(1e9 / rate)
            while (left_ns := due_ns - perf_counter_ns()) > 0:
                self.turn(left_ns)
            self.urgent(peer)
        while self.mesh.pending():
            self.turn(1_000_000)
        found = self._books(peer)
        check(len(found) - 3 == count, f"{len(found) - 3} urgent messages of {count}")
        return found[3:]

    def _books(self, peer: str) -> np.ndarray:
        return np.frombuffer(self.ask(peer, BOOKS), np.int64)

    def stop(self, *peers: str) -> None:
        """End the others, and this end."""
        for peer in peers:
            self.ask(peer, STOP)
        self.close()


@contextmanager
def taking(options: Options) -> Iterator[None]:
    """A process that takes; it ends by a message."""
    words = json.dumps(msgspec.to_builtins(options))
    process = subprocess.Popen([sys.executable, "-m", "perf.urgent_pair", words], cwd=ROOT)
    try:
        yield
        check(process.wait(10) == 0, f"the process {options.name} failed")
    finally:
        process.kill()
        process.wait()


def _take(options: Options) -> None:
    end: Any = Taking(options)
    while not end.stopping:
        end.turn()
    end.loop.turn(now_ns() + 100_000_000, lambda: None)  # the last answer needs a moment to leave
    end.close()


if __name__ == "__main__":
    _take(msgspec.convert(json.loads(sys.argv[1]), Options))
