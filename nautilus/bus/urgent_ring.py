"""Urgent messages to processes of the same host through shared memory, ahead of their copies over ZeroMQ.

Each process writes the frames of its urgent lane also into a ring of its own, which the others follow. Both ways lead
into the same streams, so what comes second is dropped there; a frame that the ring has no room for, or that a reader is
too late for, comes over ZeroMQ alone. Nobody is woken by the ring: a thread that sleeps is woken by the copy, and one
that is awake finds the message where it looks (`Mesh.glance`, `Mesh.receive`).
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

from nautilus.bus.ring import RingReader, RingWriter

CAPACITY = 1 << 20
LIMIT = 16
"""Frames that are taken from one ring at a time."""


class UrgentRing:
    """One thread. The ring of this process, and those of its peers.

    Parameters
    ----------
    place
        Name of a process -> the file of its ring.
    process
        This one's.
    epoch
        Higher than that of every earlier life of this process.

    Attributes
    ----------
    written, skipped
        Frames written; too large to be.
    """

    def __init__(
        self, place: Callable[[str], str | PathLike[str]], process: str, epoch: int, *, capacity: int = CAPACITY
    ) -> None:
        self.written = self.skipped = 0
        self._place = place
        self._to_this = _prefix(process)
        self._writer = RingWriter(place(process), capacity=capacity, epoch=epoch)
        self._prefixes: dict[str, bytes] = {}
        self._peers: dict[str, RingReader] = {}
        self._attached: list[tuple[str, RingReader]] = []

    def write(self, peer: str, frame: bytes) -> bool:
        """Write a frame for a process; False: it is too large for the ring."""
        prefix = self._prefixes.get(peer)
        if prefix is None:
            prefix = self._prefixes[peer] = _prefix(peer)
        if len(prefix) + len(frame) > self._writer.most:
            self.skipped += 1
            return False
        self._writer.write(prefix + frame)
        self.written += 1
        return True

    def follow(self, peer: str) -> None:
        """Read what a process writes from now on; its ring need not be there yet."""
        if peer not in self._peers:
            self._peers[peer] = RingReader(self._place(peer))
            self.tend()

    def forget(self, peer: str) -> None:
        """Read the ring of a process no longer."""
        reader = self._peers.pop(peer, None)
        if reader is not None:
            reader.close()
            self.tend()

    def tend(self) -> None:
        """Look for rings that were not there; to be called now and then."""
        for reader in self._peers.values():
            if reader.reader is None or not reader.reader.waiting:
                reader.attach()
        self._attached = [(peer, reader) for peer, reader in self._peers.items() if reader.reader is not None]

    def drain(self) -> list[tuple[str, bytes]]:
        """(process, frame) of what came for this one, in the order of each."""
        found: list[tuple[str, bytes]] = []
        for peer, reader in self._attached:
            records = reader.drain(LIMIT)
            if records:
                own = len(self._to_this)
                found += [(peer, record[own:]) for record in records if record.startswith(self._to_this)]
        return found

    def close(self) -> None:
        """Let go of all rings; the file of this process's own stays."""
        for reader in self._peers.values():
            reader.close()
        self._peers.clear()
        self._attached.clear()
        self._writer.close()


def _prefix(process: str) -> bytes:
    """What stands before a frame for a process: its name, and how long that is."""
    name = process.encode()
    return bytes((len(name),)) + name
