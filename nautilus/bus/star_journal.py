"""The journal of the star: what was published, on disk, for replays that the hub's memory is too short for.

Segments of bounded size, and no more of them than fit into the journal's bounds: the oldest go. A segment is a header
of 32 bytes (magic "NUTJ", version u32, zeros), then frames: length u32, crc32c u32 of the frame, the frame. A segment
that is finished has a second file beside it, which says what is in it. A tail that is torn or damaged is cut when the
journal is opened, and reported. Frames are in the page cache after each batch, so they survive the process, not the
machine.

A disk that is full or fails is counted and said once; frames that come meanwhile are missing in the journal, and
nothing else suffers. Writing is for one thread, which may be another one than that of `find` and `ends`.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from nautilus.bus.base import HEADER, HEADER_BYTES, HEARTBEAT_STREAM, MAGIC
from nautilus.core.crc32c import crc32c

SEGMENT_MAGIC: Final = b"NUTJ"
VERSION: Final = 1
SEGMENT_HEADER: Final = struct.pack("<4sI24x", SEGMENT_MAGIC, VERSION)
PREFIX: Final = struct.Struct("<II")
MOST_BYTES: Final = 64 << 20
"""A frame that says it is longer is none."""
CHUNK: Final = 1 << 20
SCAN: Final = 256
"""Frames between two looks at what else there is to do."""
BEAT_NS: Final = 1_000_000_000
"""One heartbeat in this time is kept: it says where streams ended."""
RETRY_BATCHES: Final = 64
"""Batches that are given up before a failed disk is tried again."""
_ABOUT = struct.Struct("<20xIQQQq8x")

Index = dict[int, dict[int, list[int]]]
"""{epoch: {stream: [first, last sequence]}} of what is there; heartbeats move the last."""


class Torn(NamedTuple):
    """What was cut off a segment when the journal was opened."""

    path: Path
    at: int
    bytes: int


class _Segment:
    """One file, and what is in it."""

    __slots__ = ("index", "path", "size")

    def __init__(self, path: Path, size: int = 0, index: Index | None = None) -> None:
        self.path = path
        self.size = size
        self.index: Index = {} if index is None else index

    def note(self, frame: bytes) -> None:
        """A frame is in it."""
        count, epoch, stream, first, _ = _ABOUT.unpack_from(frame)
        if stream == HEARTBEAT_STREAM:
            for each, last in np.frombuffer(frame, np.uint64, offset=HEADER_BYTES).reshape(-1, 2).tolist():
                self.reach(epoch, each, last + 1, last)
        else:
            self.reach(epoch, stream, first, first + count - 1)

    def reach(self, epoch: int, stream: int, first: int, last: int) -> None:
        """These records of a stream are in it."""
        known = self.index.setdefault(epoch, {}).setdefault(stream, [first, last])
        if last > known[1]:
            known[1] = last


def frames_in(data: bytes | memoryview, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset behind it, frame) of each whole and sound frame from an offset on, up to the first that is not."""
    view = memoryview(data)
    end = len(view)
    while at + PREFIX.size <= end:
        length, sum_ = PREFIX.unpack_from(view, at)
        begin = at + PREFIX.size
        if not HEADER_BYTES <= length <= MOST_BYTES or begin + length > end:
            return
        frame = bytes(view[begin : begin + length])
        if crc32c(frame) != sum_ or not _is_frame(frame):
            return
        at = begin + length
        yield at, frame


def _is_frame(frame: bytes) -> bool:
    _, magic, _, _, size, count, _, stream, _, _ = HEADER.unpack_from(frame)
    whole = magic == MAGIC and len(frame) == HEADER_BYTES + size * count
    return bool(whole and (stream != HEARTBEAT_STREAM or size == 16))


class StarJournal:
    """Frames on disk.

    Parameters
    ----------
    directory
        Of the journal alone; made where it is not there.
    segment_bytes, total_bytes
        Of one segment; of all together.
    on_trouble
        Called with an OSError when writing begins to fail, and with None when it works again.

    Attributes
    ----------
    torn : what was cut off when it was opened.
    written, missing : frames that are in it; frames that could not be written, or came too late to be read.
    failing : the last batch could not be written.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        segment_bytes: int = 16 << 20,
        total_bytes: int = 512 << 20,
        on_trouble: Callable[[OSError | None], object] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.torn: list[Torn] = []
        self.written = self.missing = 0
        self.failing = False
        self._segment_bytes, self._total_bytes = segment_bytes, max(total_bytes, 2 * segment_bytes)
        self._on_trouble = on_trouble
        self._segments: list[_Segment] = []
        self._fd = -1
        self._number = 0
        self._beat_ns = 0
        self._skip = 0
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.directory.glob("star-*.log")):
            self._number = max(self._number, int(path.stem.rpartition("-")[2]))
            segment = self._open(path)
            if segment is not None:
                self._segments.append(segment)
        self._trim()

    # Writing.

    def append(self, frames: Sequence[bytes]) -> bool:
        """Write frames; whether they are there now."""
        if self.failing and self._skip and frames:
            self._skip -= 1
            self.missing += len(frames)
            return False
        kept = [frame for frame in frames if self._is_kept(frame)]
        data = b"".join([part for frame in kept for part in (PREFIX.pack(len(frame), crc32c(frame)), frame)])
        return self._append(data, (), kept, len(kept))

    def append_packed(
        self, data: bytes, said: Sequence[tuple[int, int, int, int]], beats: Sequence[bytes], count: int
    ) -> bool:
        """The same for what `nautilus.core.star_pack.FramePacker.journal` gave, and how many frames it kept."""
        if self.failing and self._skip and count:
            self._skip -= 1
            self.missing += count
            return False
        return self._append(data, said, beats, count)

    def _append(
        self, data: bytes, said: Sequence[tuple[int, int, int, int]], frames: Sequence[bytes], count: int
    ) -> bool:
        """Write frames that are whole; of these streams, and of some frames themselves, it is noted what they say."""
        if not data:
            return True
        try:
            segment = self._current(len(data))
            _write(self._fd, data, segment.size)
        except OSError as error:
            self.missing += count
            self._skip = RETRY_BATCHES
            if self._fd >= 0:
                with contextlib.suppress(OSError):  # otherwise it is written over, or cut when it is opened
                    os.ftruncate(self._fd, self._segments[-1].size)
            if not self.failing:
                self.failing = True
                if self._on_trouble is not None:
                    self._on_trouble(error)
            return False
        segment.size += len(data)
        for epoch, stream, first, last in said:
            segment.reach(epoch, stream, first, last)
        for frame in frames:
            segment.note(frame)
        self.written += count
        if self.failing:
            self.failing = False
            if self._on_trouble is not None:
                self._on_trouble(None)
        return True

    def close(self) -> None:
        """Finish the last segment."""
        self._finish()

    def _is_kept(self, frame: bytes) -> bool:
        if len(frame) < HEADER_BYTES or len(frame) > MOST_BYTES:
            return False
        _, _, stream, _, publish_ns = _ABOUT.unpack_from(frame)
        if stream != HEARTBEAT_STREAM:
            return True
        if abs(publish_ns - self._beat_ns) < BEAT_NS:
            return False
        self._beat_ns = publish_ns
        return True

    def _current(self, more: int) -> _Segment:
        if self._fd >= 0:
            segment = self._segments[-1]
            if segment.size + more <= self._segment_bytes or segment.size == len(SEGMENT_HEADER):
                return segment
            self._finish()
        self._number += 1
        path = self.directory / f"star-{self._number:010d}.log"
        self._trim(more)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write(self._fd, SEGMENT_HEADER, 0)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._segments.append(_Segment(path, len(SEGMENT_HEADER)))
        return self._segments[-1]

    def _finish(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1  # it is gone, whatever the system says
        os.close(fd)
        segment = self._segments[-1]
        with contextlib.suppress(OSError):  # it is read instead
            _index_path(segment.path).write_bytes(msgspec.msgpack.encode([segment.size, segment.index]))

    def _trim(self, more: int = 0) -> None:
        """Make room: the oldest go."""
        room = self._total_bytes - max(more, self._segment_bytes)
        while len(self._segments) > 1 and sum(segment.size for segment in self._segments) > room:
            gone = self._segments.pop(0)
            for path in (gone.path, _index_path(gone.path)):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _open(self, path: Path) -> _Segment | None:
        """A segment of an earlier life; what is torn of it is cut."""
        try:
            size = path.stat().st_size
            known = _known(path, size)
            if known is not None:
                return _Segment(path, size, known)
            segment = _Segment(path, len(SEGMENT_HEADER))
            data = path.read_bytes()
            if data[: len(SEGMENT_HEADER)] != SEGMENT_HEADER:
                self.torn.append(Torn(path, 0, size))
                path.unlink()
                return None
            for at, frame in frames_in(data, len(SEGMENT_HEADER)):
                segment.note(frame)
                segment.size = at
            if segment.size < size:
                self.torn.append(Torn(path, segment.size, size - segment.size))
                os.truncate(path, segment.size)
        except OSError:
            return None
        return segment

    # Reading.

    def find(self, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames of a stream that hold something of these records; now and then None, where other work may be done."""
        for segment in list(self._segments):
            known = segment.index.get(epoch, {}).get(stream)
            if known is None or known[0] > last or known[1] < first:
                continue
            try:
                yield from self._scan(segment, epoch, stream, first, last)
            except OSError:  # trimmed meanwhile, or not readable
                continue

    def ends(self) -> dict[int, dict[int, int]]:
        """{epoch: {stream: last sequence}} of all that it knows of."""
        found: dict[int, dict[int, int]] = {}
        for segment in list(self._segments):
            for epoch, streams in list(segment.index.items()):
                lasts = found.setdefault(epoch, {})
                for stream, (_, last) in list(streams.items()):
                    lasts[stream] = max(last, lasts.get(stream, 0))
        return found

    @staticmethod
    def _scan(segment: _Segment, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        size, at, looked = segment.size, len(SEGMENT_HEADER), 0
        with segment.path.open("rb", buffering=0) as file:
            data, base = b"", at
            while at < size:
                if at + PREFIX.size + HEADER_BYTES > base + len(data):
                    data, base = os.pread(file.fileno(), CHUNK, at), at
                    if len(data) < PREFIX.size + HEADER_BYTES:
                        return
                begin = at - base
                length, sum_ = PREFIX.unpack_from(data, begin)
                if not HEADER_BYTES <= length <= MOST_BYTES:
                    return
                count, its_epoch, its_stream, begins, _ = _ABOUT.unpack_from(data, begin + PREFIX.size)
                if its_stream == stream and its_epoch == epoch:
                    if begins > last:
                        return
                    if begins + count > first:
                        frame = os.pread(file.fileno(), length, at + PREFIX.size)
                        if len(frame) != length or crc32c(frame) != sum_:
                            return
                        yield frame
                at += PREFIX.size + length
                looked += 1
                if looked % SCAN == 0:
                    yield None


def _index_path(path: Path) -> Path:
    return path.with_suffix(".idx")


def _known(path: Path, size: int) -> Index | None:
    """What a finished segment holds, as its second file says; None where that does not fit it."""
    try:
        said, index = msgspec.msgpack.decode(_index_path(path).read_bytes(), type=tuple[int, Index])
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return index if said == size else None


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
