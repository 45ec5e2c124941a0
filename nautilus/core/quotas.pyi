"""Python face of the quotas."""

from os import PathLike

from nautilus.core.named_table import NamedTable

GO: int
BLOCKED: int
SECOND: int
MINUTE: int
HOUR: int
DAY: int
MOST: int

class Quotas(NamedTable):
    """Any process, any thread. A table of quotas, kept and shared in a file where `path` names one."""

    def __init__(self, capacity: int = 32, path: str | PathLike[str] | None = None) -> None: ...
    def quota(self, name: str, day: int = 0) -> Quota:
        """The quota of that name, made where there is none; of a day: if need be in a place long unused."""
    def sync(self) -> None:
        """Have what was taken on the disk, so that it outlives the machine too. OSError where that fails."""

class Quota:
    """Any process, any thread. One quota of a table; made by `Quotas.quota`."""

    @property
    def owner(self) -> Quotas: ...
    @property
    def name(self) -> str: ...
    def take(self, now_ns: int, second: int, minute: int, hour: int, per_day: int, day: int) -> tuple[int, int]:
        """Ask for one: why not (`GO`: it is taken), and the nanoseconds to wait."""
    def look(self, now_ns: int, second: int, minute: int, hour: int, per_day: int, day: int) -> tuple[int, int]:
        """What `take` would say, without taking anything."""
    def block(self, until_ns: int, now_ns: int) -> None:
        """None before then; at most 25 hours. An earlier word that reaches further stays."""
    def taken(self, day: int) -> int:
        """How many were taken of a day."""
