from os import PathLike
from typing import NamedTuple

class Base(NamedTuple):
    first_sequence: int
    snapshot_sequence: int
    chain: int
    digest: int
    epoch: int

class SegmentHead(NamedTuple):
    name: str
    first_sequence: int
    epoch: int
    chain: int
    digest: int

def read_base(path: str | bytes | PathLike[str]) -> Base | None: ...
def write_base(path: str | bytes | PathLike[str], base: Base) -> None: ...
def segment_heads(path: str | bytes | PathLike[str]) -> list[SegmentHead]: ...
