"""The shared-memory ring as a carrier of the star: frames for readers of this host, with doorbells and re-attaching.

The ring is one file by one name. A writer that starts makes a new one of a higher epoch there; readers read the old one
to its end, then go on with the new one from its first frame, and keep their doorbell all the while.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader, bell_path
from nautilus.core.wake import Waiting

CAPACITY = 1 << 24
"""Bytes of a ring that nobody gives a size: 120,000 frames of one record."""
LOOK_NS = 20_000_000
"""Between looks for a ring that is not there, where there is no doorbell."""
MOST_ASIDE = 4
"""Rings of lives that were killed before they could write down what the one before them left."""
_Taken = TypeVar("_Taken", bound=tuple[Any, ...])
_SERIALS = itertools.count(1)


class RingWriter:
    """One thread. The writer of a ring, and what its predecessor left there.

    Parameters
    ----------
    path
        The ring's file.
    capacity
        Bytes; a power of two from 65,536 on. A frame has at most an eighth of it.
    epoch
        Higher than that of every ring that had this name.

    Attributes
    ----------
    write, write2, put, flush
        Of `nautilus.core.broadcast.Writer`, without a call between.
    frames
        This ring's, by number.
    earlier, earlier_frames
        The ring that had this name before, to look at; None: there was none that can be read.

    Raises
    ------
    ValueError, OSError
        As `Writer`.
    """

    def __init__(self, path: str | PathLike[str], *, capacity: int = CAPACITY, epoch: int) -> None:
        self.path = Path(path)
        self.earlier = image_of(path)
        self.earlier_frames = RingFrames(path) if self.earlier is not None else None
        self.writer = Writer(path, capacity, epoch)
        self.frames = RingFrames(path, self.writer)
        self._own = Reader(path, image=True, oldest=True)
        self.write = self.writer.write
        self.write2 = self.writer.write2
        self.put = self.writer.put
        self.flush = self.writer.flush
        self.epoch = epoch
        self.most = self.writer.most
        """Bytes of the longest frame."""
        _call_readers(self.path)

    @property
    def position(self) -> int:
        """Bytes written since the ring was made."""
        return self.writer.position

    def find(
        self, epoch: int, stream: int, first: int, last: int, *, start: int = 0, limit: int = 256
    ) -> tuple[list[bytes], int]:
        """Frames that hold records of a stream, from this ring or the one before it, as `Reader.find`."""
        for reader in (self._own, self.earlier):
            if reader is not None and reader.epoch == epoch:
                return reader.find(epoch, stream, first, last, start=start, limit=limit)
        return [], 0

    def tend(self) -> int:
        """Free the slots and doorbells of readers that are no more; how many. To be called about every second."""
        return self.writer.tend()

    def status(self) -> dict[str, Any]:
        """What a person wants to know of the ring: epoch, sizes, how far it is, and each reader in a slot."""
        writer = self.writer
        return {
            "epoch": self.epoch,
            "capacity": writer.capacity,
            "position": writer.position,
            "frames": writer.frames,
            "wakes": writer.wakes,
            "readers": [held._asdict() for held in writer.held()],
        }

    def close(self) -> None:
        """Mark the ring as left and let go of it and of the earlier one; its file stays."""
        self.writer.close()
        self._own.close()
        self.frames.close()
        if self.earlier is not None and self.earlier_frames is not None:
            self.earlier.close()
            self.earlier_frames.close()
            self.earlier = self.earlier_frames = None


class RingFrames:
    """The frames of a ring by their numbers, as `nautilus.bus.backlog.Frames`: what a replayer sends again is there.

    Parameters
    ----------
    path
        The ring's file; its writer may be dead.
    writer
        Of that ring, where it is this process's own; None: the ring is written no more.

    Raises
    ------
    FileNotFoundError, ValueError
        As `Reader`.
    """

    def __init__(self, path: str | PathLike[str], writer: Writer | None = None) -> None:
        self._reader = Reader(path, image=True)
        self._writer = writer
        self._next = self._reader.frames
        self.epoch = self._reader.epoch

    @property
    def oldest(self) -> int:
        """Number of the first frame that is still there."""
        return self._reader.oldest

    @property
    def next(self) -> int:
        """Number that the next frame will have."""
        return self._next if self._writer is None else self._writer.frames

    def get(self, number: int) -> bytes | None:
        """The frame of that number; None where it is not there."""
        return self._reader.get(number)

    def close(self) -> None:
        """Let go of the ring."""
        self._reader.close()


class RingReader:
    """One thread. Follows the ring of a name through all its writers.

    Parameters
    ----------
    path
        The ring's file; it need not be there yet.
    oldest
        Begin with the oldest frame that is there; else with the next that is written. What begins later, or follows a
        ring that was read, is read from its first frame either way.
    doorbell
        Make a FIFO that becomes readable when a frame comes (`fileno`, `arm`), for a host's epoll.
    patient
        It lets frames gather while that is not armed: then it becomes readable where they fill a quarter of the ring.

    Attributes
    ----------
    epoch
        Of the ring that is read; 0: there was none yet.
    attached
        Rings read so far.
    refused
        Files by that name that are no ring, or one of no higher epoch.
    rings
        The doorbell is rung: there is a ring, which had a slot for this reader.
    """

    way, name = "ring", "the ring"

    def __init__(
        self, path: str | PathLike[str], *, oldest: bool = False, doorbell: bool = False, patient: bool = False
    ) -> None:
        self.path = Path(path)
        self.epoch = 0
        self.attached = 0
        self.refused = 0
        self.rings = False
        self._oldest = oldest
        self._patient = patient
        self._reader: Reader | None = None
        self._file = (0, 0)
        self._sums = dict.fromkeys(("lapped", "damaged", "missed_bytes", "missed_frames"), 0)
        self._serial = next(_SERIALS) if doorbell else 0
        self._bell = -1
        if doorbell:
            name = bell_path(self.path, self._serial)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            os.mkfifo(name, 0o600)
            self._bell = os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.attach()
        self._oldest = True

    def fileno(self) -> int:
        """The doorbell's descriptor, the same over all rings; -1: there is none."""
        return self._bell

    def attach(self) -> bool:
        """Look whether a ring of a higher epoch has the name, and go over to it; whether that was so.

        `drain` does this by itself once a ring has been left. To be called now and then while there is none.
        """
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        # A number alone may be that of a file that is gone; a time alone changes with what is written.
        before, self._file = self._file, (status.st_ino, status.st_ctime_ns)
        if self._file == before:
            return False
        try:
            reader = Reader(self.path, oldest=self._oldest, serial=self._serial)
        except OSError:  # of this moment: no descriptor, no memory, or it has gone
            self._file = before
            return False
        except ValueError:
            self.refused += self._file[0] != before[0]
            return False
        if reader.epoch <= self.epoch:
            self.refused += self._file[0] != before[0] and reader.epoch < self.epoch
            reader.close()
            return False
        self._let_go()
        self._reader, self.epoch = reader, reader.epoch
        self.rings = self._bell >= 0 and reader.slot >= 0
        if self._patient:
            reader.be_patient()
        self.attached += 1
        return True

    def drain(self, limit: int = 64) -> list[bytes]:
        """The next frames, at most `limit`; of the next ring once this one has been left and read to its end."""
        reader = self._reader
        if reader is None:
            return self.drain(limit) if self.attach() else []
        frames = reader.drain(limit)
        if not frames and reader.retired:
            # What was written between the look and the sign is read first.
            frames = reader.drain(limit)
            if not frames and self.attach():
                return self.drain(limit)
        return frames

    def take(self, by: Callable[[Reader], _Taken]) -> _Taken | None:
        """The same for who takes frames from the ring's reader itself (`nautilus.core.star_pack`); None: no ring.

        The first item of what it gives says how many they are.
        """
        reader = self._reader
        if reader is None:
            return self.take(by) if self.attach() else None
        taken = by(reader)
        if not taken[0] and reader.retired:
            taken = by(reader)
            if not taken[0] and self.attach():
                return self.take(by)
        return taken

    def arm(self) -> bool:
        """Have the doorbell rung when there is something to read. False: there is already; drain first.

        While there is no ring, or none but a left one, the next writer rings it. Where the ring had no slot for this
        reader nobody does (`rings`).
        """
        self.hush()
        reader = self._reader
        if reader is None or reader.retired:
            if reader is not None and reader.waiting:
                return False  # what the writer left is read before its ring is let go of
            if self.attach():
                return False
            reader = self._reader
            return reader is None or not reader.waiting
        return reader.arm() if self.rings else not reader.waiting

    def hush(self) -> None:
        """Empty the doorbell; to be called before reading."""
        with contextlib.suppress(BlockingIOError):
            while self._bell >= 0 and len(os.read(self._bell, 4096)) == 4096:
                pass

    def wait(self, waiting: Waiting, timeout_ns: int) -> bool:
        """Wait until there is a frame, or the time is over; whether there is. For a thread with this one ring.

        False may come before the time is over where the ring is left meanwhile.
        """
        reader = self._reader
        if reader is None or (reader.retired and not reader.waiting):
            if not self.attach():
                # Without a doorbell nobody says when there is one.
                waiting.readable(self._bell, timeout_ns if self._bell >= 0 else min(timeout_ns, LOOK_NS))
                return self.attach() and self.wait(waiting, 0)
            reader = self._reader
        assert reader is not None
        if reader.wait(waiting, timeout_ns):
            return True
        # A frame may have come before the sign; and the next ring may have none yet.
        return reader.retired and (reader.waiting or (self.attach() and self.wait(waiting, 0)))

    @property
    def reader(self) -> Reader | None:
        """The ring that is read, for what is not offered here (`drain_into`, `find`)."""
        return self._reader

    @property
    def alive(self) -> bool:
        """Whether there is a ring whose writer runs. It asks the system: not for every frame."""
        return self._reader is not None and self._reader.alive

    @property
    def lag(self) -> int:
        """Bytes between this reader and the newest frame."""
        return 0 if self._reader is None else self._reader.lag

    @property
    def lapped(self) -> int:
        """Times that it was lapped, in all rings."""
        return self._sum("lapped")

    @property
    def damaged(self) -> int:
        """Times that it found what no writer wrote."""
        return self._sum("damaged")

    @property
    def missed_bytes(self) -> int:
        """Bytes that it went past unread, in all rings."""
        return self._sum("missed_bytes")

    @property
    def missed_frames(self) -> int:
        """Frames that it went past unread, in all rings."""
        return self._sum("missed_frames")

    def close(self) -> None:
        """Let go of the ring and take the doorbell away."""
        self._let_go()
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
            with contextlib.suppress(OSError):
                os.unlink(bell_path(self.path, self._serial))

    def _sum(self, name: str) -> int:
        now: int = 0 if self._reader is None else getattr(self._reader, name)
        return self._sums[name] + now

    def _let_go(self) -> None:
        if self._reader is not None:
            for name in self._sums:
                self._sums[name] = self._sum(name)
            self._reader.close()
            self._reader = None


def image_of(path: str | PathLike[str]) -> Reader | None:
    """The ring in a file, to look at from its oldest frame on, whether its writer lives or not; None: there is none."""
    try:
        return Reader(path, image=True, oldest=True)
    except (OSError, ValueError):
        return None


def set_aside(path: str | PathLike[str]) -> tuple[Path, ...]:
    """Give what an earlier life left in a ring another name, before a writer takes this one.

    So a life that is killed before it has written that down leaves it to the next one. A `Recorder` takes each away
    once it is in the journal.

    Returns
    -------
    tuple of Path
        All that was set aside and not taken away, oldest first; more than `MOST_ASIDE` are not kept.
    """
    path = Path(path)
    earlier = image_of(path)
    if earlier is not None:
        epoch = earlier.epoch
        earlier.close()
        with contextlib.suppress(OSError):  # it has the name already, or can have none: the ring itself is still there
            os.link(path, path.with_name(f"{path.name}.left-{epoch:020d}"))
    found = sorted(path.parent.glob(f"{path.name}.left-*"))
    for each in found[:-MOST_ASIDE]:
        each.unlink(missing_ok=True)
    return tuple(found[-MOST_ASIDE:])


def _call_readers(path: Path) -> None:
    """Ring the doorbell of everybody who waits for a ring of this name; take away those of the dead."""
    for bell in path.parent.glob(f"{path.name}.bell-*"):
        pid = bell.name.rpartition(".bell-")[2].partition("-")[0]
        try:
            if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
                bell.unlink()
                continue
            descriptor = os.open(bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\0")
        os.close(descriptor)
