"""Urgent messages to processes of the same host through shared memory, ahead of their copies over ZeroMQ.

Each process writes the frames of its urgent lane also into a ring of its own, which the others follow. Both ways lead
into the same streams, so what comes second is dropped there; a frame that the ring has no room for, or that a reader is
too late for, comes over ZeroMQ alone. Nobody is woken by the ring: a thread that sleeps is woken by the copy, and one
that is awake finds the message where it looks (`Mesh.glance`, `Mesh.receive`, `UrgentRing.wait`).
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.ring_group import RingGroup
from nautilus.core.wake import Waiting

CAPACITY = 1 << 18
"""Bytes of a ring: an urgent frame has some 200, so a reader may be a thousand of them behind."""
LIMIT = 16
"""Frames that are taken from one ring at a time."""


class UrgentRing:
    """One thread. The ring of this process, and those of its peers.

    Parameters
    ----------
    place
        Name of a process -> the file of its ring; None: it is on another host, or has none.
    process
        This one's.
    epoch
        Higher than that of every earlier life of this process.
    capacity
        Bytes of this process's ring; a power of two from 65,536 on. A frame has at most an eighth of it.

    Attributes
    ----------
    written, skipped
        Frames written; too large to be.

    Raises
    ------
    ValueError, OSError
        This process's ring cannot be made.
    """

    def __init__(
        self, place: Callable[[str], str | PathLike[str] | None], process: str, epoch: int, *, capacity: int = CAPACITY
    ) -> None:
        self.written = self.skipped = 0
        self._place = place
        self._to_this = _prefix(process)
        own = place(process)
        if own is None:
            raise ValueError(f"urgent ring: no place for that of {process!r}; expected one")
        self._writer = RingWriter(own, capacity=capacity, epoch=epoch)
        self._prefixes: dict[str, bytes] = {}
        self._peers: dict[str, RingReader] = {}
        self._group = RingGroup()
        self._attached: list[tuple[str, RingReader]] = []

    def write(self, peer: str, frame: bytes) -> bool:
        """Write a frame for a process; False: it is too large for the ring."""
        prefix = self._prefixes.get(peer)
        if prefix is None:
            prefix = self._prefixes[peer] = _prefix(peer)
        if len(prefix) + len(frame) > self._writer.most:
            self.skipped += 1
            return False
        self._writer.write2(prefix, frame)
        self.written += 1
        return True

    def follow(self, peer: str) -> None:
        """Read what a process writes from now on; its ring need not be there yet."""
        if peer not in self._peers:
            place = self._place(peer)
            if place is not None:
                self._peers[peer] = RingReader(place)
                self.tend()

    def forget(self, peer: str) -> None:
        """Read the ring of a process no longer."""
        reader = self._peers.pop(peer, None)
        if reader is not None:
            self.tend()
            reader.close()

    def tend(self) -> None:
        """Look for rings that were not there, and for those of new lives; to be called now and then."""
        changed = False
        for reader in self._peers.values():
            if reader.reader is None or not reader.reader.waiting:
                changed |= reader.attach()
        if changed or len(self._attached) != len(self._peers):
            self._attached = [(peer, reader) for peer, reader in self._peers.items() if reader.reader is not None]
            self._group.set(reader.reader for _, reader in self._attached if reader.reader is not None)

    @property
    def followed(self) -> tuple[str, ...]:
        """The processes whose rings are read."""
        return tuple(peer for peer, _ in self._attached)

    @property
    def waiting(self) -> bool:
        """Whether something was written that was not looked at yet, for this process or another."""
        return self._group.waiting

    @property
    def missed(self) -> int:
        """Frames that this process was too late for, whomever they were for: they came over ZeroMQ alone."""
        return sum(reader.missed_frames for reader in self._peers.values())

    def wait(self, waiting: Waiting, descriptor: int, timeout_ns: int) -> bool:
        """Wait for a frame, or for a descriptor (an epoll's) that can be read; whether there is a frame.

        As long as the policy has the thread look, it looks at both; once it sleeps, the descriptor alone wakes it.
        """
        return self._group.wait(waiting, descriptor, timeout_ns)

    def drain(self) -> list[tuple[str, bytes]]:
        """(process, frame) of what came for this one, in the order of each."""
        found = self._group.drain(self._to_this, LIMIT)
        return [(self._attached[place][0], frame) for place, frame in found] if found else []

    def close(self) -> None:
        """Let go of all rings; the file of this process's own stays."""
        self._group.set(())
        self._attached.clear()
        for reader in self._peers.values():
            reader.close()
        self._peers.clear()
        self._writer.close()


def _prefix(process: str) -> bytes:
    """What stands before a frame for a process: its name, and how long that is."""
    name = process.encode()
    return bytes((len(name),)) + name
