"""Python face of the judge of star frames."""

from typing import Any

import numpy as np

class StreamRow:
    """One thread at a time. Where a reader stands in one stream, and what the stream's records look like."""

    latest: np.ndarray | None
    def __init__(self, stream: int, expected: int) -> None: ...
    def describe(self, schema: int, version: int, dtype: np.dtype[np.void], token: object) -> None:
        """Say what the frames of this stream hold. ValueError: out of range, or a dtype with objects."""
    @property
    def stream(self) -> int: ...
    @property
    def expected(self) -> int:
        """The sequence that is due."""
    @expected.setter
    def expected(self, sequence: int) -> None: ...
    @property
    def delivered(self) -> int:
        """Records handed out."""
    @delivered.setter
    def delivered(self, records: int) -> None: ...
    @property
    def dtype(self) -> np.dtype[np.void] | None: ...
    @property
    def token(self) -> Any: ...

class FrameJudge:
    """One thread at a time. Takes the frames that are next in the streams it watches; all else is handed back."""

    def __init__(self, capacity: int = 1 << 17) -> None: ...
    @property
    def other(self) -> bytes | None:
        """The frame at which the last drain ended, that the caller is to judge; None: there was none."""
    def enter(self, epoch: int) -> None:
        """Watch nothing any more; from here on frames of this epoch are judged."""
    def watch(self, row: StreamRow) -> bool:
        """Judge the frames of a stream; False: there is no room. ValueError: it has no number or no layout."""
    def ignore(self, row: StreamRow) -> None:
        """Hand back every frame of a stream."""
    def take(self, frame: bytes, out: list[Any]) -> bool:
        """Whether this is the next frame of a known stream; (token, records) is then added to `out`."""
    def drain(self, socket: Any, out: list[Any], limit: int = 64, wait: bool = False) -> int:
        """Take at most `limit` frames out of a ZeroMQ socket; how many were taken. ZMQError: the socket is closed."""
    def drain_into(self, socket: Any, records: np.ndarray, schema: int, wait: bool = False) -> int:
        """Take frames of one schema straight into an array; how many records. ValueError: the array is another."""
    def collect(self, socket: Any, records: np.ndarray, arrivals: np.ndarray, schema: int) -> int:
        """As `drain_into`, but until the array is full or nothing has come for RCVTIMEO; when each came."""
    @property
    def epoch(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def waiting(self) -> bool:
        """A frame was received that had no room in an array; the next call begins with it."""
    def __len__(self) -> int: ...
