import re
from os import PathLike
from typing import NamedTuple

SNAPSHOT_NAME: re.Pattern[str]

class Snapshot(NamedTuple):
    sequence: int
    payload: bytes | None
    rules: int
    skipped: tuple[tuple[str, str], ...] = ()

def write_snapshot(path: str | bytes | PathLike[str], sequence: int, payload: bytes) -> None: ...
def latest_snapshot(path: str | bytes | PathLike[str], at_most: int | None = None) -> Snapshot: ...
