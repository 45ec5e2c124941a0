"""Python face of the judge of star frames."""

from typing import Any

import numpy as np

class FrameJudge:
    """One thread at a time. Takes the frames that are next in their streams; whatever else comes is handed back."""

    def __init__(self, capacity: int = 1 << 16) -> None: ...
    @property
    def other(self) -> bytes | None:
        """The frame at which the last drain ended, that the caller is to judge; None: there was none."""
    def enter(self, epoch: int) -> None:
        """Forget every stream: from here on frames of this epoch are judged."""
    def join(
        self, stream: int, expected: int, schema: int, version: int, dtype: np.dtype[np.void], token: object
    ) -> int:
        """Judge a stream from here on; its index, or -1 where there is no room. ValueError: known, or out of range."""
    def expect(self, index: int, sequence: int) -> None:
        """The stream goes on with this sequence. ValueError: no such stream."""
    def hold(self, index: int, held: bool) -> None:
        """While a stream is held every frame of it is handed back. ValueError: no such stream."""
    def expected(self, index: int) -> int:
        """The sequence that is due. ValueError: no such stream."""
    def delivered_of(self, index: int) -> int:
        """Records of a stream that were taken here. ValueError: no such stream."""
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
