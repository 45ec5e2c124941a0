"""The thread that writes the star's journal: one more reader of what the publisher writes, off its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from nautilus.bus.backlog import PARTS
from nautilus.bus.base import HEADER_BYTES, HEARTBEAT
from nautilus.bus.ring import RingReader, image_of
from nautilus.bus.star_journal import BEAT_NS, StarJournal
from nautilus.core.broadcast_reader import Reader
from nautilus.core.star_pack import FramePacker

BATCH = 1_024
"""Frames written at a time."""
MOST_BYTES = 1 << 20
"""And about so many bytes."""
PAUSE_SECONDS = 0.005
"""Between looks at a source that nobody can wait for."""
IDLE_SECONDS = 0.02
"""The same where nothing but heartbeats has come for some time."""
IDLE_LOOKS = 20
"""So many looks without anything else are some time."""


class Source(Protocol):
    """Where frames come from: a `BufferReader` or a `RingReader`."""

    @property
    def missed_frames(self) -> int:
        """Frames that it went past unread."""
        ...

    def drain(self, limit: int = ...) -> list[bytes]:
        """The next frames."""
        ...


class Recorder:
    """Writes all that a source gives into a journal, in a thread of its own.

    Parameters
    ----------
    journal
        This thread's alone from here on, but for its `find` and `ends`.
    source
        Opened in the thread that makes the recorder, and read in its own.
    wait
        Waits for the source, some milliseconds at most; None: it is looked at every 5 ms.
    idle_seconds
        Between looks at a source that is idle: what may come meanwhile must have room in it.
    left
        Rings that earlier lives left (`nautilus.bus.ring.set_aside`): what the journal lacks of them is written first,
        and each is taken away once it is there.

    Attributes
    ----------
    rescued : frames of an earlier life that it wrote.
    """

    def __init__(
        self,
        journal: StarJournal,
        source: Source,
        wait: Callable[[], object] | None = None,
        left: Sequence[Path] = (),
        idle_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self.journal = journal
        self.rescued = 0
        self._source = source
        # Frames of a ring are packed without the interpreter's lock: the publisher is not to wait for it.
        self._packer = FramePacker(BATCH)
        self._left = tuple(left)
        self._idle_seconds = idle_seconds
        self._idle_looks = 0
        self._stop = threading.Event()
        self._wait = wait or self._pause
        self._thread = threading.Thread(target=self._run, name="star-journal", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it writes."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write what is there, and end."""
        self._stop.set()
        self._thread.join()
        self.journal.close()

    def _rescue(self, path: Path) -> None:
        earlier = image_of(path)
        if earlier is None:
            return
        known = self.journal.ends().get(earlier.epoch, {})
        whole = True
        while frames := earlier.drain(BATCH):
            lacking = []
            for frame in frames:
                if len(frame) >= HEADER_BYTES:
                    count, epoch, stream, first = PARTS.unpack_from(frame)
                    if epoch == earlier.epoch and first + count - 1 > known.get(stream, 0):
                        lacking.append(frame)
            if self.journal.append(lacking):
                self.rescued += len(lacking)
            else:
                whole = False
        earlier.close()
        if whole:
            path.unlink(missing_ok=True)

    def _run(self) -> None:
        missed = 0
        for path in self._left:
            self._rescue(path)
        while True:
            stopping = self._stop.is_set()
            frames = self._write()
            lapped = self._source.missed_frames
            if lapped != missed:
                self.journal.missing += lapped - missed
                missed = lapped
            if not frames:
                if stopping:
                    return
                self._wait()

    def _write(self) -> int:
        """Write what is there, as far as a batch goes; how many frames that was."""
        if not isinstance(self._source, RingReader):
            frames = self._source.drain(BATCH)
            self.journal.append(frames)
            if any(frame[0] != HEARTBEAT for frame in frames):
                self._idle_looks = 0
            return len(frames)
        packed = self._source.take(self._pack)
        if packed is None:
            return 0
        taken, data, said, beats = packed
        self.journal.append_packed(data, said, beats, self._packer.kept)
        if said:
            self._idle_looks = 0
        return taken

    def _pack(self, reader: Reader) -> tuple[int, bytes, list[tuple[int, int, int, int]], list[bytes]]:
        return self._packer.journal(reader, BATCH, MOST_BYTES, BEAT_NS)

    def _pause(self) -> None:
        self._idle_looks += 1
        self._stop.wait(PAUSE_SECONDS if self._idle_looks <= IDLE_LOOKS else self._idle_seconds)
