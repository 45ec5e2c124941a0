"""Python face of the broadcast ring's writer: frames for any number of readers in other processes."""

from os import PathLike
from typing import Any, NamedTuple

from numpy.typing import NDArray
from typing_extensions import Buffer

SLOTS: int

class Held(NamedTuple):
    """A slot of a ring: whose it is, up to where that reader has read, and what it was too late for."""

    slot: int
    pid: int
    position: int
    lag: int
    missed_bytes: int
    bell: int

class Writer:
    """One thread. Writes frames into a ring of its own, which readers in any process follow; it waits for none."""

    def __init__(self, path: str | PathLike[str], capacity: int, epoch: int, *, prefault: bool = ...) -> None: ...
    def write(self, frame: Buffer | NDArray[Any]) -> None:
        """Add a frame and wake who sleeps."""
    def put(self, frame: Buffer | NDArray[Any]) -> None:
        """Add a frame that readers see, and sleepers are woken for, at the next `flush` or `write`."""
    def write2(self, header: Buffer | NDArray[Any], records: Buffer | NDArray[Any]) -> None:
        """Add a frame that is made of two parts, and wake who sleeps."""
    def flush(self) -> None:
        """Show readers all frames that were `put`, and wake who sleeps."""
    def tend(self) -> int:
        """Free the slots of readers that are no more; how many."""
    def held(self) -> list[Held]:
        """Every slot that a reader holds."""
    def slowest(self) -> int:
        """Bytes between the newest frame and the reader in a slot that is furthest behind it; 0 where there is none."""
    def close(self) -> None:
        """Mark the ring as left and let go of it; its file stays."""
    @property
    def epoch(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def wakes(self) -> int: ...
