"""Python face of the hash map."""

class HashMap:
    """One writer, no lock. Map from keys 1 to 2^64 - 1 to values 0 to 2^32 - 2, of fixed size."""

    def __init__(self, max_entries: int) -> None: ...
    def __len__(self) -> int: ...
    def get(self, key: int) -> int | None:
        """The value of the key, or None."""
    def put(self, key: int, value: int) -> bool:
        """Store or overwrite; False where the map is full. ValueError for key 0 and value 2^32 - 1."""
    def delete(self, key: int) -> int | None:
        """Remove the key; the value it had, or None."""
    def slots(self) -> int:
        """Number of slots."""
