"""Python face of the audit log's chain."""

from typing_extensions import Buffer

MAGIC: bytes
ANCHOR_MAGIC: bytes
ANCHOR_BYTES: int
HEAD_BYTES: int
HASH_BYTES: int
CALL: int
BEGIN: int
END: int
GAP: int
LONGEST_NAME: int
LONGEST_TARGET: int

class Chain:
    """One writer. Appends records to a mapped file, and tells the last one in a mapped anchor."""

    sequence: int
    def __init__(self, anchor: Buffer, sequence: int = 0, hash: bytes = ...) -> None: ...
    def write_to(self, buffer: Buffer, start: int, end: int) -> None:
        """Go on in a mapped file, from `start` on, as far as `end`."""
    def leave(self) -> None:
        """Let the mapped file go; there is no room until the next one."""
    def extend(self, end: int) -> None:
        """There is more room behind, up to `end`."""
    @property
    def used(self) -> int:
        """Where the next record goes."""
    @property
    def hash(self) -> bytes:
        """Of the last record."""
    def append(
        self,
        principal: str,
        method: str,
        target: bytes,
        digest: bytes,
        status: int,
        trace: str,
        now_ns: int,
        kind: int = 0,
    ) -> bool:
        """One record; False: there is no room for it here."""

def walk(content: Buffer, sequence: int, hash: bytes, start: int = 8) -> tuple[int, int, bytes, str]:
    """Follow the records of a file: where it ends, sequence and hash of the last one, and what is wrong there."""
