"""A carrier for frames of the mesh between two nodes of one process: a pair of sockets that keep messages apart."""

from __future__ import annotations

import socket
from contextlib import suppress

MOST_BYTES = 60_000


class SocketCarrier:
    """One end; `broken` while nothing gets through in either direction, as where a wire is cut."""

    on_demand = False
    most_bytes = MOST_BYTES

    def __init__(self, peer: str, end: socket.socket, name: str, path: int) -> None:
        self.peer = peer
        self.name = name
        self.path = path
        self.broken = False
        self.sent: list[bytes] = []
        self.closed = False
        self._end = end
        end.setblocking(False)

    def usable(self, peer: str) -> bool:
        """It reaches the one at the other end alone."""
        return peer == self.peer and not self.broken

    def send(self, peer: str, lane: str, frame: bytes) -> bool:
        """One message: the letter of the lane, then the frame."""
        if not self.usable(peer) or len(frame) > MOST_BYTES:
            return False
        try:
            self._end.send(lane.encode() + frame)
        except OSError:
            return False
        self.sent.append(frame)
        return True

    def receive(self, limit: int) -> list[tuple[str, str, bytes]]:
        """What came; a broken wire loses it."""
        found = []
        with suppress(BlockingIOError):
            while len(found) < limit:
                data = self._end.recv(MOST_BYTES + 1)
                if not data:
                    break
                if not self.broken:
                    found.append((self.peer, data[:1].decode(), data[1:]))
        return found

    def forget(self, peer: str) -> None:
        """It knows one alone."""

    def fileno(self) -> int:
        """Of this end."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self.closed = True
        self._end.close()


def carrier_pair(first: str, second: str, name: str, path: int) -> tuple[SocketCarrier, SocketCarrier]:
    """The ends for the nodes named `first` and `second`."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return SocketCarrier(second, one, name, path), SocketCarrier(first, other, name, path)
