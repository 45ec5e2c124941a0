"""Python face of what takes frames of the star from a ring for who keeps them."""

from nautilus.core.broadcast_reader import Reader

class FramePacker:
    """One thread. Takes the next frames of a ring, many at a time."""

    def __init__(self, frames: int = 1024) -> None: ...
    @property
    def kept(self) -> int:
        """Frames of the last call that are in what it gave."""
    def streams(
        self, reader: Reader, limit: int, most_bytes: int = 1 << 20
    ) -> tuple[int, list[tuple[int, int, int, bytes]]]:
        """How many were taken; (stream, first sequence, records, frame), one frame for those that follow each other."""
    def journal(
        self, reader: Reader, limit: int, most_bytes: int, beat_ns: int
    ) -> tuple[int, bytes, list[tuple[int, int, int, int]], list[bytes]]:
        """How many were taken; the journal's bytes; (epoch, stream, first, last sequence); heartbeats among them."""
