"""The clock of the process and clocks of one's own."""

def now_ns() -> int:
    """Nanoseconds since the epoch (UTC), of the clock of this process."""

def adjust() -> int:
    """Steer the clock of this process towards CLOCK_REALTIME; the nanoseconds by which that was ahead."""

def synchronise() -> int:
    """Set the clock of this process to CLOCK_REALTIME at once; the nanoseconds by which that was ahead."""

def source() -> str:
    """What the clock of this process counts: "tsc" or "monotonic"."""

class Clock:
    """A clock apart from that of the process; source "tsc", "monotonic" or "auto"."""

    def __init__(self, source: str = "auto") -> None: ...
    def now_ns(self) -> int:
        """Nanoseconds since the epoch (UTC)."""
    def adjust(self) -> int:
        """Steer towards CLOCK_REALTIME; the nanoseconds by which that was ahead."""
    def set(self) -> int:
        """Set to CLOCK_REALTIME at once, back too; the nanoseconds by which that was ahead."""
    @property
    def source(self) -> str: ...
    @property
    def ticks_per_second(self) -> float: ...
