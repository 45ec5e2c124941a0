"""Naive twins of the kernels of the star: same faces, read from the layout of the frame word by word."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.bus.base import HEADER, HEADER_BYTES, LAST, MAGIC, topic_bytes


class NaiveJudge:
    """Twin of nautilus.core.star_frames.FrameJudge, for frames that are handed in."""

    def __init__(self, capacity: int = 1 << 16) -> None:
        self.capacity = capacity
        self.epoch = 0
        self.delivered = self.frames = 0
        self.streams: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.streams)

    def enter(self, epoch: int) -> None:
        self.epoch = epoch
        self.streams = []

    def join(
        self, stream: int, expected: int, schema: int, version: int, dtype: np.dtype[np.void], token: object
    ) -> int:
        if len(self.streams) == self.capacity:
            return -1
        self.streams.append(
            {
                "stream": stream,
                "expected": expected,
                "layout": (schema, version, dtype.itemsize),
                "dtype": dtype,
                "token": token,
                "delivered": 0,
                "held": False,
            }
        )
        return len(self.streams) - 1

    def expect(self, index: int, sequence: int) -> None:
        self.streams[index]["expected"] = sequence

    def hold(self, index: int, held: bool) -> None:
        self.streams[index]["held"] = held

    def expected(self, index: int) -> int:
        return self.streams[index]["expected"]

    def delivered_of(self, index: int) -> int:
        return self.streams[index]["delivered"]

    def take(self, frame: bytes, out: list[Any]) -> bool:
        if len(frame) < HEADER_BYTES:
            return False
        _, magic, schema, version, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
        if magic != MAGIC or epoch != self.epoch or frame[56:64] != bytes(8):
            return False
        if count == 0 or len(frame) != HEADER_BYTES + size * count:
            return False
        for row in self.streams:
            if row["stream"] == stream:
                if row["held"] or row["layout"] != (schema, version, size) or row["expected"] != first:
                    return False
                row["expected"] += count
                row["delivered"] += count
                self.delivered += count
                self.frames += 1
                out.append((row["token"], np.frombuffer(frame, row["dtype"], count, HEADER_BYTES)))
                return True
        return False


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

    def pack(self, records: np.ndarray, schema: int, now_ns: int, most: int = 0) -> list[bytes]:
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
                frames.append(header + piece.tobytes())
                self.published += len(piece)
                self.frames += 1
        return frames

    def lasts(self) -> bytes:
        return b"".join(LAST.pack(*pair) for pair in self.last.items())
