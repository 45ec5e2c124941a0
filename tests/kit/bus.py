"""Real sockets of the bus for tests: a star's raw reader, nodes of the mesh, and waiting without sleeping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq

from nautilus.bus import Delivery, Mesh, MessageKind, Publisher, Subscriber, make_context
from nautilus.bus.security import Security
from nautilus.core.clock import now_ns

SECOND = 1_000_000_000


def star_socket(context: zmq.Context[Any], publisher: Publisher, prefix: bytes) -> zmq.Socket[bytes]:
    """A plain SUB socket that the publisher has taken in."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, prefix)
    if prefix:
        socket.setsockopt(zmq.SUBSCRIBE, b"\xff")
    socket.connect(publisher.endpoints[0])
    end_ns = now_ns() + 60 * SECOND
    while not socket.poll(1):
        assert now_ns() < end_ns, "the publisher takes no subscription in"
        publisher.poll(now_ns())
        publisher.heartbeat()
    return socket


def received(socket: zmq.Socket[bytes]) -> list[bytes]:
    """All that comes until there is a pause."""
    frames = []
    while socket.poll(200 if not frames else 20):
        frames.append(socket.recv())
    return frames


def synchronise(publisher: Publisher, *subscribers: Subscriber) -> None:
    """Until every subscriber has had a heartbeat of the publisher's epoch."""
    end_ns = now_ns() + 60 * SECOND
    while not all(each.synchronised and each.epoch == publisher.epoch for each in subscribers):
        assert now_ns() < end_ns, "no heartbeat"
        publisher.poll(now_ns())
        for each in subscribers:
            each.socket.poll(1)
            each.drain()


def settle(publisher: Publisher, *subscribers: Subscriber) -> list[list[Any]]:
    """What each subscriber gets until it has seen a heartbeat that was sent after all else."""
    publisher.heartbeat()
    wanted = publisher.heartbeats
    found: list[list[Any]] = [[] for _ in subscribers]
    end_ns, again_ns = now_ns() + 60 * SECOND, 0
    while any(each.heartbeats < wanted for each in subscribers):
        for each, records in zip(subscribers, found, strict=True):
            each.socket.poll(1)
            records += each.drain()
        if now_ns() > again_ns:  # one that is lost like other frames is not waited for
            publisher.heartbeat()
            again_ns = now_ns() + SECOND // 20
        assert now_ns() < end_ns, "no heartbeat"
    return found


class Node:
    """A mesh of its own context and what came to it; `handle` takes each message and gives the reply."""

    def __init__(
        self,
        directory: Path,
        name: str,
        epoch: int = 0,
        handle: Callable[[Delivery], bytes | None] | None = None,
        *,
        scheme: Callable[[str, str], str] | None = None,
        security: Security | None = None,
        **options: Any,
    ) -> None:
        self.name = name
        self.handle = handle or (lambda delivery: b"re:" + delivery.payload)
        self.deliveries: list[Delivery] = []
        self.answers: list[Delivery] = []
        self.unknown: list[int] = []
        self.gaps: list[tuple[str, int, int, int]] = []
        self.changes: list[tuple[str, bool]] = []
        self.standings: list[Any] = []
        self.restarts: list[tuple[str, int]] = []
        self.letters: list[Any] = []
        self.context = make_context(security)
        try:
            self.mesh = Mesh(
                self.context,
                name,
                epoch or now_ns(),
                scheme or (lambda process, lane: f"ipc://{directory}/{process}.{lane}"),
                now_ns,
                on_gap=lambda *gap: self.gaps.append(gap),
                on_peer=lambda *change: self.changes.append(change),
                on_standing=self.standings.append,
                on_restart=lambda *restart: self.restarts.append(restart),
                on_dead_letters=self.letters.extend,
                **options,
            )
        except BaseException:
            self.context.term()  # waits for ever where a socket was left open
            raise

    def post(self, process: str, payload: bytes = b"", kind: MessageKind = MessageKind.COMMAND, **options: Any) -> int:
        """Post a message between engines named as their processes."""
        return self.mesh.post(process, to=process, sender=self.name, kind=kind, payload=payload, **options)

    def request(self, process: str, payload: bytes = b"", **options: Any) -> int:
        """Post a request."""
        return self.post(process, payload, MessageKind.REQUEST, **options)

    def turn(self, limit: int = 256) -> None:
        """One round of a host."""
        for delivery in self.mesh.receive(limit):
            if delivery.kind in (MessageKind.REPLY, MessageKind.ERROR):
                self.answers.append(delivery)
                self.mesh.done(delivery)
            else:
                self.deliveries.append(delivery)
                self.mesh.done(delivery, self.handle(delivery))
        self.unknown += self.mesh.tick(now_ns())

    @property
    def payloads(self) -> list[bytes]:
        """Payloads of what was delivered, in order."""
        return [delivery.payload for delivery in self.deliveries]

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if not self.context.closed:
            self.mesh.close()
            self.context.destroy(linger=0)


def run(nodes: Iterable[Node], until: Callable[[], object], seconds: float = 240.0) -> None:
    """Let nodes turn until something is so."""
    nodes = list(nodes)
    end_ns = now_ns() + int(seconds * SECOND)
    while not until():
        assert now_ns() < end_ns, "it did not come about"
        for node in nodes:
            node.turn()
        if until():
            return
        found = [item for node in nodes for item in (*node.mesh.sockets(), *node.mesh.descriptors())]
        zmq.zmq_poll([(item, zmq.POLLIN) for item in found], 1)


def run_for(nodes: Iterable[Node], milliseconds: int) -> None:
    """Let nodes turn for a time."""
    end_ns = now_ns() + milliseconds * 1_000_000
    with suppress(AssertionError):
        run(nodes, lambda: now_ns() > end_ns, milliseconds / 1000 + 1)
