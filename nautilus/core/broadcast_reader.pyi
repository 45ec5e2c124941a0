"""Python face of the broadcast ring's readers: each at its own place, lapped rather than waited for."""

from os import PathLike
from typing import Any

from numpy.typing import NDArray

from nautilus.core.broadcast import Held
from nautilus.core.wake import Waiting

class Reader:
    """One thread. Follows the frames of a ring from its own place in it; many may, and none holds up the writer."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        oldest: bool = ...,
        slot: bool = ...,
        serial: int = ...,
        image: bool = ...,
    ) -> None: ...
    def next(self) -> bytes | None:
        """The next frame, a copy; None: there is none."""
    def take(self, waiting: Waiting, timeout_ns: int) -> bytes | None:
        """The next frame, a copy, as soon as there is one; None: not within the time, or the ring has been left."""
    def drain(self, limit: int = ...) -> list[bytes]:
        """The next frames, copies, at most `limit`."""
    def drain_into(self, out: NDArray[Any], skip: int = ..., kind: int = ...) -> int:
        """Copy the records of the next frames to the front of an array, one behind the other; how many."""
    def get(self, number: int) -> bytes | None:
        """The frame of a number (the first of a ring is 0), a copy; None: it is not there."""
    def find(
        self,
        epoch: int,
        stream: int,
        first: int,
        last: int,
        *,
        start: int = ...,
        limit: int = ...,
        most_bytes: int = ...,
    ) -> tuple[list[bytes], int]:
        """Frames of the star that hold records of a stream, and the position to go on from (0: all was looked at)."""
    def seek(self, position: int) -> None:
        """Go to the first whole frame that begins a block at or behind a position; 0: to the oldest."""
    def wait(self, waiting: Waiting, timeout_ns: int) -> bool:
        """Wait until a frame is there (True), the ring has been left or replaced, or the time is over."""
    def arm(self) -> bool:
        """Have the doorbell rung at the next frame. False: a frame is there already, or there is no doorbell."""
    def be_patient(self) -> bool:
        """Have the doorbell rung, armed or not, while it is a quarter of the ring behind; False: it has none."""
    def held(self) -> list[Held]:
        """Every slot that a reader holds."""
    def close(self) -> None:
        """Give the slot back and let go of the ring."""
    @property
    def image(self) -> bool: ...
    @property
    def passed_over(self) -> int: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def alive(self) -> bool: ...
    @property
    def retired(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def lapped(self) -> int: ...
    @property
    def damaged(self) -> int: ...
    @property
    def missed_bytes(self) -> int: ...
    @property
    def missed_frames(self) -> int: ...
    @property
    def slot(self) -> int: ...

def bell_path(path: str | PathLike[str], serial: int) -> str:
    """Where a doorbell of this process lies, for readers of a ring (`Reader(serial=...)`)."""
