from collections.abc import Iterator
from os import PathLike
from typing import NamedTuple

import numpy as np

from nautilus.core.segment import JournalDamage

class HashRecord(NamedTuple):
    command_sequence: int
    event_sequence: int
    event_hash: int
    journal_hash: int

class JournalReport(NamedTuple):
    segments: int
    records: int
    first_sequence: int
    last_sequence: int
    valid: bool
    damage: JournalDamage | None
    dropped_bytes: int
    clean: bool
    rules: int
    epoch: int
    capacity: int
    closed_capacity: int
    hashes: str

class JournalReader(Iterator[np.ndarray | HashRecord]):
    path: str
    damage: JournalDamage | None
    def __init__(
        self,
        path: str | bytes | PathLike[str],
        *,
        start: int | None = None,
        batch: int = 4096,
        strict: bool = True,
        any_rules: bool = False,
    ) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def closed_capacity(self) -> int: ...
    @property
    def hashes(self) -> str: ...
    def __next__(self) -> np.ndarray | HashRecord: ...

def verify(path: str | bytes | PathLike[str]) -> JournalReport: ...
