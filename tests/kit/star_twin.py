"""Naive twins of the kernels of the star: same faces, read from the layout of the frame word by word."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.bus.base import HEADER, HEADER_BYTES, LAST, MAGIC, topic_bytes


class NaiveRow:
    """Twin of nautilus.core.star_frames.StreamRow."""

    def __init__(self, stream: int, expected: int) -> None:
        self.stream = stream
        self.expected = expected
        self.delivered = 0
        self.latest: np.ndarray | None = None
        self.layout: tuple[int, int, int] | None = None
        self.dtype: Any = None
        self.token: object = None

    def describe(self, schema: int, version: int, dtype: np.dtype[np.void], token: object) -> None:
        self.layout = schema, version, dtype.itemsize
        self.dtype, self.token = dtype, token


class NaiveJudge:
    """Twin of nautilus.core.star_frames.FrameJudge, for frames that are handed in."""

    def __init__(self, capacity: int = 1 << 17) -> None:
        self.capacity = capacity
        self.epoch = 0
        self.delivered = self.frames = 0
        self.rows: dict[int, NaiveRow] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def enter(self, epoch: int) -> None:
        self.epoch = epoch
        self.rows = {}

    def watch(self, row: NaiveRow) -> bool:
        if row.stream not in self.rows and len(self.rows) == self.capacity:
            return False
        self.rows[row.stream] = row
        return True

    def ignore(self, row: NaiveRow) -> None:
        if self.rows.get(row.stream) is row:
            del self.rows[row.stream]

    def take(self, frame: bytes, out: list[Any]) -> bool:
        if len(frame) < HEADER_BYTES:
            return False
        _, magic, schema, version, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
        row = self.rows.get(stream)
        if row is None or magic != MAGIC or epoch != self.epoch or frame[56:64] != bytes(8):
            return False
        if row.layout != (schema, version, size) or row.expected != first:
            return False
        if count == 0 or len(frame) != HEADER_BYTES + size * count:
            return False
        row.expected += count
        row.delivered += count
        self.delivered += count
        self.frames += 1
        row.latest = np.frombuffer(frame, row.dtype, count, HEADER_BYTES)
        out.append((row.token, row.latest))
        return True


class NaiveWriter:
    """Twin of nautilus.core.star_writer.FrameWriter."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.published = self.frames = 0
        self.layouts: dict[int, tuple[int, int]] = {}
        self.last: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.last)

    def layout(self, schema: int, version: int, dtype: np.dtype[np.void]) -> None:
        self.layouts[schema] = version, dtype.itemsize

    def pack(self, records: np.ndarray, schema: int, now_ns: int, most: int = 0, flags: int = 0) -> list[bytes]:
        frames = []
        version, size = self.layouts[schema]
        for instrument in dict.fromkeys(records["instrument_id"].tolist()):
            part = records[records["instrument_id"] == instrument]
            step = most or len(part)
            for begin in range(0, len(part), step):
                piece = part[begin : begin + step]
                stream = schema << 32 | instrument
                first = self.last.get(stream, 0) + 1
                self.last[stream] = first + len(piece) - 1
                header = HEADER.pack(
                    topic_bytes(schema, instrument),
                    MAGIC,
                    schema,
                    version,
                    size,
                    len(piece),
                    self.epoch,
                    stream,
                    first,
                    now_ns,
                )
                frames.append(header[:56] + flags.to_bytes(8, "little") + piece.tobytes())
                self.published += len(piece)
                self.frames += 1
        return frames

    def lasts(self) -> bytes:
        return b"".join(LAST.pack(*pair) for pair in self.last.items())
