"""Python face of what numbers and sends frames of the star."""

from typing import Any

import numpy as np

from nautilus.core.broadcast import Writer
from nautilus.core.last_values import LastValueWriter

class FrameWriter:
    """One thread at a time. Numbers records per stream from 1, and sends them as frames of the star."""

    def __init__(self, epoch: int, capacity: int = 1 << 20) -> None: ...
    @property
    def epoch(self) -> int: ...
    @property
    def published(self) -> int: ...
    @property
    def frames(self) -> int: ...
    def layout(self, schema: int, version: int, dtype: np.dtype[np.void]) -> None:
        """Records of this dtype have this number and version. ValueError: out of range, or no ``instrument_id``."""
    def keep_in(self, ring: Writer | None = None, values: LastValueWriter | None = None) -> None:
        """What `publish` sends is written to this ring before, and its last records to this table."""
    def publish(self, socket: Any, records: np.ndarray, schema: int, now_ns: int, most: int = 0, flags: int = 0) -> int:
        """Number records and send them: a frame for each instrument; how many. ZMQError: the socket is closed."""
    def pack(self, records: np.ndarray, schema: int, now_ns: int, most: int = 0, flags: int = 0) -> list[bytes]:
        """The same frames as `publish` would send, numbered alike, as bytes."""
    def lasts(self) -> bytes:
        """The body of a heartbeat: for each stream its number and its last sequence, u64 each."""
    def __len__(self) -> int: ...
