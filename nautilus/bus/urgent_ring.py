"""Urgent messages to processes of the same host through shared memory, ahead of their copies over ZeroMQ.

Each process writes the frames of its urgent lane also into a ring of its own, which the others follow. Both ways lead
into the same streams, so what comes second is dropped there; a frame that the ring has no room for, or that a reader is
too late for, comes over ZeroMQ alone. A thread that is awake finds the message where it looks (`Mesh.glance`,
`Mesh.receive`, `UrgentRing.wait`). One that sleeps is woken by its bell, a FIFO beside its ring, which the sender rings
itself: ZeroMQ wakes two threads before it gets to this one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from os import PathLike

from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.ring_group import RingGroup
from nautilus.core.wake import Waiting

_NO_BELL = -1
CAPACITY = 1 << 18
"""Bytes of a ring: an urgent frame has some 200, so a reader may be a thousand of them behind."""


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
    prefix
        What frames for this process begin with.
    group
        The rings that are there, in the order of `followed`.
    generation
        Moves when `group` changes.

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
        self.prefix = _prefix(process)
        own = place(process)
        if own is None:
            raise ValueError(f"urgent ring: no place for that of {process!r}; expected one")
        self._writer = RingWriter(own, capacity=capacity, epoch=epoch)
        self._prefixes: dict[str, bytes] = {}
        self._own = os.fspath(own)
        self._bell = _NO_BELL
        self._bells: dict[str, int] = {}
        self._peers: dict[str, RingReader] = {}
        self._changed = False
        self.group = RingGroup()
        self.generation = 0
        self.followed: tuple[str, ...] = ()
        """The processes whose rings are there."""

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
        bell = self._bells.get(peer)
        if bell is None:
            bell = self._bells[peer] = self._bell_of(peer)
        if bell != _NO_BELL:
            _ring(bell)
        return True

    def fileno(self) -> int:
        """Of the bell: readable when a peer wrote something for this process. Whoever waits for it calls `hush` first.

        Raises
        ------
        OSError
            It cannot be had.
        """
        if self._bell == _NO_BELL:
            name = _bell_name(self._own)
            # It outlives this process: peers that have it open need not look for another one.
            with suppress(FileExistsError):
                os.mkfifo(name, 0o600)
            self._bell = _open_bell(name)
            self.hush()
        return self._bell

    def hush(self) -> None:
        """Empty the bell; to be called before looking at the rings."""
        with suppress(BlockingIOError):
            while self._bell != _NO_BELL and len(os.read(self._bell, 4096)) == 4096:
                pass

    def _bell_of(self, peer: str) -> int:
        """The bell of a peer, to ring; `tend` has it looked for again where it is not there."""
        place = self._place(peer)
        try:
            return _NO_BELL if place is None else _open_bell(_bell_name(os.fspath(place)))
        except OSError:
            return _NO_BELL

    def _drop_bell(self, peer: str) -> None:
        bell = self._bells.pop(peer, _NO_BELL)
        if bell != _NO_BELL:
            os.close(bell)

    def follow(self, peer: str) -> None:
        """Read what a process writes from now on; its ring need not be there yet."""
        if peer not in self._peers:
            place = self._place(peer)
            if place is not None:
                self._peers[peer] = RingReader(place)
                self._changed = True
                self.tend()

    def forget(self, peer: str) -> None:
        """Read the ring of a process no longer."""
        self._drop_bell(peer)
        reader = self._peers.pop(peer, None)
        if reader is not None:
            self._changed = True
            self.tend()
            reader.close()

    def tend(self) -> None:
        """Look for rings that were not there, and for those of new lives; to be called now and then."""
        for peer in [peer for peer, bell in self._bells.items() if bell == _NO_BELL]:
            del self._bells[peer]
        for reader in self._peers.values():
            if reader.reader is None or not reader.reader.waiting:
                self._changed |= reader.attach()
        if self._changed:
            self._changed = False
            there = {peer: reader.reader for peer, reader in self._peers.items() if reader.reader is not None}
            self.followed = tuple(there)
            self.group.set(there.values())
            self.generation += 1

    @property
    def waiting(self) -> bool:
        """Whether something was written that was not looked at yet, for this process or another."""
        return self.group.waiting

    @property
    def missed(self) -> int:
        """Frames that this process was too late for, whomever they were for: they came over ZeroMQ alone."""
        return sum(reader.missed_frames for reader in self._peers.values())

    def wait(self, waiting: Waiting, descriptor: int, timeout_ns: int) -> bool:
        """Wait for a frame, or for a descriptor (an epoll's) that can be read; whether there is a frame.

        As long as the policy has the thread look, it looks at both; once it sleeps, the descriptor alone wakes it.
        """
        return self.group.wait(waiting, descriptor, timeout_ns)

    def close(self) -> None:
        """Let go of all rings; the file of this process's own stays."""
        self.group.set(())
        self.followed = ()
        self.generation += 1
        for reader in self._peers.values():
            reader.close()
        self._peers.clear()
        for peer in tuple(self._bells):
            self._drop_bell(peer)
        if self._bell != _NO_BELL:
            os.close(self._bell)
            self._bell = _NO_BELL
        self._writer.close()


def _bell_name(ring: str) -> str:
    return f"{ring}.call"


def _open_bell(name: str) -> int:
    """For both ways: who rings gets no SIGPIPE where nobody listens, and who listens no end where nobody rings."""
    descriptor = os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{name} is no FIFO")
    return descriptor


def _ring(bell: int) -> None:
    with suppress(BlockingIOError):  # it is full: it has been rung
        os.write(bell, b"\0")


def _prefix(process: str) -> bytes:
    """What stands before a frame for a process: its name, and how long that is."""
    name = process.encode()
    return bytes((len(name),)) + name
