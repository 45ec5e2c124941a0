"""Readers of several rings that are looked at together."""

from collections.abc import Iterable

from nautilus.core.broadcast_reader import Reader
from nautilus.core.wake import Waiting

class RingGroup:
    """One thread. Readers of several rings, in their order; they are closed by whoever made them, after `set`."""

    def __init__(self, readers: Iterable[Reader] = ...) -> None: ...
    def set(self, readers: Iterable[Reader]) -> None:
        """Look at these from now on."""
    def drain(self, prefix: bytes, limit: int = ...) -> list[tuple[int, bytes]]:
        """(number of the reader, frame without its prefix) of the next frames that begin with the prefix."""
    def wait(self, waiting: Waiting, descriptor: int, timeout_ns: int) -> bool:
        """Wait until a frame is there or a descriptor can be read; whether there is a frame."""
    @property
    def waiting(self) -> bool: ...
