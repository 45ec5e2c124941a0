"""Python face of the counter table."""

from os import PathLike

class Counters:
    """One writer a counter. Named counters (which only grow) and gauges, at most `capacity` of them."""

    def __init__(self, capacity: int = 32768, path: str | PathLike[str] | None = None) -> None: ...
    @staticmethod
    def load(path: str | PathLike[str]) -> Counters:
        """A copy, apart, of the table that another process writes to a file."""
    @staticmethod
    def read(path: str | PathLike[str]) -> dict[str, int]:
        """{name: value} of the table that another process writes to a file."""
    def __len__(self) -> int: ...
    def counter(self, name: str) -> int:
        """Index of the counter of that name, which is made where there is none."""
    def gauge(self, name: str) -> int:
        """Index of the gauge of that name, which is made where there is none."""
    def increment(self, index: int) -> None:
        """Add one."""
    def add(self, index: int, amount: int) -> None:
        """Add an amount; a counter takes none below zero."""
    def set(self, index: int, value: int) -> None:
        """Set a gauge; a counter cannot be set."""
    def get(self, index: int) -> int:
        """The value now."""
    def snapshot(self) -> dict[str, int]:
        """{name: value}, in the order they were made. Each value is whole; together they are of no one moment."""
    def gauges(self) -> frozenset[str]:
        """Names of those that are gauges."""
