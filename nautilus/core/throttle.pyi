"""Python face of the shared throttle."""

from os import PathLike

ACCEPTED: int
REPLAYED: int
LATE: int
EARLY: int
FULL: int
NO_ROOM: int
LONGEST_NONCE: int
MOST_BURST: int
MOST_INTERVAL_NS: int

class Throttle:
    """Any number of processes. Nonces that were seen within the window, and how often each key has asked."""

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        nonces: int = 65536,
        keys: int = 4096,
        window_ns: int = 5_000_000_000,
        not_before_ns: int = 0,
    ) -> None: ...
    def claim(self, key: int, nonce: bytes, stamp_ns: int, now_ns: int) -> int:
        """Take a nonce of a key, once: ACCEPTED, or why not."""
    def take(self, key: int, now_ns: int, interval_ns: int, burst: int) -> int:
        """One request of a key: how many more it may have now, or below 0 the nanoseconds that it has to wait."""
    @property
    def window_ns(self) -> int:
        """How far from now a time may be."""
    @property
    def not_before_ns(self) -> int:
        """No time up to this one is taken."""
