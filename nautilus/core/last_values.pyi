"""Python face of the table of last values: written by one process, read by any on the host."""

from os import PathLike
from typing import Any, NamedTuple

from numpy.typing import NDArray
from typing_extensions import Buffer

MOST_BYTES: int

class Last(NamedTuple):
    """A stream's last value: of which sequence and life of the publisher, and when it was."""

    record: bytes
    sequence: int
    epoch: int
    at_ns: int

class LastValueWriter:
    """One thread. Keeps the last value of each stream where readers in other processes find it."""

    def __init__(self, path: str | PathLike[str], capacity: int, epoch: int, *, keep: bool = ...) -> None: ...
    def put(self, stream: int, record: Buffer | NDArray[Any], sequence: int, at_ns: int) -> bool:
        """Set the last value of a stream; False: the table is full."""
    def put_frame(self, frame: Buffer) -> bool:
        """Set the last value of a frame's stream to its last record; False: the table is full."""
    def close(self) -> None:
        """Mark the table as left and let go of it; its file stays."""
    def __len__(self) -> int: ...
    @property
    def stale(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def refused(self) -> int: ...

class LastValues:
    """One thread. Reads the last value of each stream from the table that another process keeps."""

    def __init__(self, path: str | PathLike[str]) -> None: ...
    def read(self, stream: int) -> Last | None:
        """The last value of a stream; None: it has none."""
    def bind(self, stream: int, out: NDArray[Any]) -> LastView:
        """A view that copies the last value of a stream into this array each time that it is read."""
    def streams(self) -> list[int]:
        """Numbers of the streams that have a value."""
    def __len__(self) -> int: ...
    @property
    def attached(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def capacity(self) -> int: ...

class LastView:
    """One thread. The last value of one stream, copied into one array: made once, read often."""

    def __init__(self, values: LastValues, stream: int, out: NDArray[Any]) -> None: ...
    def read(self) -> int:
        """Copy the last value to the front of the array, with zeros behind it; its sequence, 0: there is none."""
    @property
    def stream(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def at_ns(self) -> int: ...
    @property
    def current(self) -> bool: ...
