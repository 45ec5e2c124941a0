"""Sockets of the mesh: a router for each lane, which peers dial, and a dealer to each peer that is dialled.

Each knows its socket's methods below the Python layer of pyzmq: those take only what is needed here, and each
exception or option saved is a microsecond.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import zmq
from zmq.backend import Socket as BackendSocket

from nautilus.bus.base import checked_endpoints, new_socket
from nautilus.bus.envelope import URGENT
from nautilus.bus.sockets import monitored
from nautilus.core.mesh_ends import Contact, Inlet, Outlet, Port, Reader
from nautilus.core.receive_stream import ReceiveStream
from nautilus.core.send_stream import SendStream

NOBLOCK = int(zmq.NOBLOCK)
SNDMORE_NOBLOCK = int(zmq.SNDMORE) | NOBLOCK
EVENTS = int(zmq.EVENTS)
RCVMORE = int(zmq.RCVMORE)
POLLIN = int(zmq.POLLIN)
URGENT_RANK = 1
UP = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
DOWN = int(zmq.EVENT_DISCONNECTED)
ACCEPTED = int(zmq.EVENT_CONNECTED)
CONNECT_MS = 100
"""Until an attempt to connect is given up: a lost one would be repeated by the kernel only a second later."""
HANDSHAKE_MS = 2_000
"""Until a connection over a network on which nothing is said is given up."""


class Inbound(Inlet):
    """What comes from one peer in one priority."""

    __slots__ = ()

    def __init__(self, router: Router, peer: Contact, priority: int) -> None:
        self.router = router
        self.peer = peer
        self.priority = priority
        self.stream = ReceiveStream()
        self.replies = []


class Router(Port):
    """The socket that peers dial in one lane."""

    __slots__ = ("get", "lane", "recv", "send")

    def __init__(self, context: zmq.Context[Any], lane: str, endpoint: str, high_water: int) -> None:
        self.lane = lane
        self.rank = URGENT_RANK if lane == URGENT else 3
        self.socket = new_socket(context, zmq.ROUTER, urgent=lane == URGENT)
        self.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.RCVHWM, high_water)
        self.socket.setsockopt(zmq.SNDHWM, 4 * high_water)
        self.recv = BackendSocket.recv.__get__(self.socket)
        self.send = BackendSocket.send.__get__(self.socket)
        self.get = BackendSocket.get.__get__(self.socket)
        self.inbound = {}
        try:
            for each in checked_endpoints(endpoint):
                self.socket.bind(each)
        except BaseException:
            self.socket.close()
            raise

    def skip_rest(self) -> None:
        """Drop the frames of a message that has more of them than it should."""
        while self.get(RCVMORE):
            self.recv(NOBLOCK)


_numbers = count()


class Monitor(Reader):
    """Tells of the connections of a dealer."""

    __slots__ = ("_get", "accepted")

    def __init__(self, context: zmq.Context[Any], watched: zmq.Socket[bytes]) -> None:
        self.rank = 4
        self.accepted = False
        """The peer's kernel has taken a connection, and nothing was said on it yet."""
        # Never one that was there before: a socket closes a moment after it was told to.
        address = f"inproc://monitor.{next(_numbers)}"
        watched.monitor(address, UP | DOWN | ACCEPTED)
        self.socket = context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        # An I/O thread that tells of a change waits for room: there is always some.
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(address)
        self._get = BackendSocket.get.__get__(self.socket)

    def changes(self) -> list[bool]:
        """What became of the connection since the last call: True up, False down, in order."""
        found = []
        while self._get(EVENTS) & POLLIN:
            event, _ = monitored(self.socket.recv_multipart(NOBLOCK))
            self.accepted = event == ACCEPTED
            if not self.accepted:
                found.append(event == UP)
        return found


class Dealer(Outlet):
    """The connection to one peer in one lane, with the streams that go over it."""

    __slots__ = (
        "forced",
        "lane",
        "lost",
        "monitor",
        "recv",
        "send",
        "since_ns",
        "up",
    )

    def __init__(
        self,
        context: zmq.Context[Any],
        lane: str,
        process: str,
        peer: str,
        endpoint: str,
        streams: dict[int, SendStream],
        *,
        high_water: int,
        heartbeat_ms: int,
        silence_ms: int,
    ) -> None:
        self.rank = 0 if lane == URGENT else 2
        """Order of reading: the urgent lane first, answers before messages."""
        self.lane = lane
        self.peer = peer
        self.streams = streams
        self.since_ns = 0
        """When the connection came up, went down, or was first tried."""
        self.forced = False
        """The host said that what waits is to go over other carriers."""
        # Inside one process there is nothing that could break, and no event that says that it stands.
        self.up = endpoint.startswith("inproc:")
        self.open = self.up
        self.urgent = lane == URGENT
        self.heard = False
        """Something was read from it since its peer was looked at last."""
        self.lost = False
        """It stood, and does no longer."""
        self.socket = new_socket(context, zmq.DEALER, urgent=lane == URGENT)
        self.socket.setsockopt(zmq.ROUTING_ID, process.encode())
        self.socket.setsockopt(zmq.SNDHWM, high_water)
        # Answers to what was sent: a full queue and ZeroMQ's heartbeats end the process (libzmq issue 3937).
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, heartbeat_ms)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, silence_ms)
        self.socket.setsockopt(zmq.HEARTBEAT_TTL, 10 * silence_ms)
        if endpoint.startswith("tcp:"):
            self.socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
            self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self.recv = BackendSocket.recv.__get__(self.socket)
        self.send = BackendSocket.send.__get__(self.socket)
        self.monitor = Monitor(context, self.socket)
        try:
            for each in checked_endpoints(endpoint):
                self.socket.connect(each)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket and its monitor; what was not sent is dropped."""
        self.socket.monitor(None, 0)
        self.monitor.socket.close()
        self.socket.close()
