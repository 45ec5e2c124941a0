"""Clients that listen to what this process publishes, for as long as they say so; and the answer to a ping.

A client asks with the names of topics (`LISTEN`) and asks again before its lease ends; with none it takes its leave.
What it does not take within a second is not kept for it: it is no engine, and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nautilus.bus.envelope import UNREADABLE, Delivery, MessageKind
from nautilus.bus.mesh import Mesh
from nautilus.bus.routing import CLIENTS
from nautilus.model.errors import BusError
from nautilus.model.topics import Topic
from nautilus.runtime.clock import NANOSECONDS, wall_ns

PING = "ping"
LISTEN = "listen"
LEASE_NS = 3 * NANOSECONDS
KEEP_NS = NANOSECONDS
MOST = 64
"""Clients at a time."""


class ListenError(BusError):
    """A client asks for what it cannot have."""

    code = "bus.listen"


class Listeners:
    """Of one process.

    Parameters
    ----------
    published : names of the topics whose publisher is in this process.

    Attributes
    ----------
    services : what else the process itself answers: {name: from (client, payload) to the reply}.
    topics : {topic: {client: when its lease ends}}; a topic that nobody listens to is not in it.
    """

    def __init__(self, mesh: Mesh, published: frozenset[str]) -> None:
        self.topics: dict[str, dict[str, int]] = {}
        self.services: dict[str, Callable[[str, bytes], bytes]] = {}
        self._mesh = mesh
        self._published = published

    def take(self, delivery: Delivery) -> bool:
        """Answer a request that is for no engine; False: it is for one."""
        if delivery.to == PING:
            self._mesh.done(delivery, delivery.payload)
        elif delivery.to == LISTEN or delivery.to in self.services:
            serve = self._listen if delivery.to == LISTEN else self.services[delivery.to]
            try:
                self._mesh.done(delivery, serve(delivery.peer, delivery.payload))
            except BusError as error:
                self._mesh.done(delivery, error=error)
        else:
            return False
        return True

    def tell(self, topic: Topic, payload: bytes, priority: int) -> None:
        """Send an event to who listens."""
        listening = self.topics.get(topic.name)
        if not listening:
            return
        now_ns = wall_ns()
        for client, until_ns in list(listening.items()):
            if until_ns < now_ns:
                self._leave(client)
                continue
            self._mesh.post(
                client,
                to=topic.name,
                sender=topic.publisher,
                kind=MessageKind.EVENT,
                payload=payload,
                priority=priority,
                deadline_ns=now_ns + KEEP_NS,
            )

    def expire(self) -> None:
        """Let go of those whose lease has ended; to be called now and then."""
        now_ns = wall_ns()
        ended = {client for each in self.topics.values() for client, until_ns in each.items() if until_ns < now_ns}
        for client in ended:
            self._leave(client)

    def _listen(self, client: str, payload: bytes) -> bytes:
        try:
            wanted = msgspec.msgpack.decode(payload, type=list[str])
        except UNREADABLE:
            raise ListenError("no list of topics", where=client, expected="their names") from None
        if not client.startswith(CLIENTS):
            raise ListenError(f"process {client!r}", where=LISTEN, expected=f"a client, {CLIENTS}NAME")
        if not wanted:
            self._leave(client)
            return msgspec.msgpack.encode([])
        found = [name for name in wanted if name in self._published]
        known = {each for listening in self.topics.values() for each in listening}
        if found and client not in known and len(known) >= MOST:
            raise ListenError(f"{len(known)} clients listen", where=client, expected=f"at most {MOST}")
        until_ns = wall_ns() + LEASE_NS
        for name in list(self.topics):
            if name not in found:
                self._drop(client, name)
        for name in found:
            self.topics.setdefault(name, {})[client] = until_ns
        return msgspec.msgpack.encode(found)

    def _leave(self, client: str) -> None:
        for name in list(self.topics):
            self._drop(client, name)
        self._mesh.hang_up(client)

    def _drop(self, client: str, name: str) -> None:
        listening = self.topics[name]
        listening.pop(client, None)
        if not listening:
            del self.topics[name]


__all__ = ["LEASE_NS", "LISTEN", "PING", "ListenError", "Listeners"]
