"""Python face of the record pool."""

DEBUG: bool

class Pool:
    """One writer, no lock. Records of `record_bytes` bytes, at most `capacity` of them, by index from 1."""

    def __init__(
        self,
        record_bytes: int,
        capacity: int,
        huge: bool = False,
        *,
        first: int = 0,
        prefault: bool = False,
        lock: bool = False,
        node: int = -1,
    ) -> None: ...
    def take(self) -> int:
        """Index of a record that nobody holds; 0 where the pool is full (counted in `full`)."""
    def give(self, index: int) -> None:
        """Give back a record. ValueError: not of this pool; in a debug build also: not taken."""
    def read(self, index: int) -> bytes:
        """The bytes of a record."""
    def write(self, index: int, record: bytes) -> None:
        """Store the bytes of a record; their number must be `record_bytes`."""
    def lock(self) -> int:
        """Lock the pool in memory as far as RLIMIT_MEMLOCK allows; the bytes granted."""
    @property
    def used(self) -> int: ...
    @property
    def full(self) -> int: ...
    @property
    def high_water(self) -> int: ...
    @property
    def ready(self) -> int: ...
    @property
    def late(self) -> int: ...
    @property
    def locked_bytes(self) -> int: ...
