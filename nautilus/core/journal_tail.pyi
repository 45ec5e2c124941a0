from os import PathLike

import numpy as np

from nautilus.core.journal_reader import HashRecord

class JournalTail:
    path: str
    last_sequence: int
    epoch: int
    capacity: int
    closed_capacity: int
    hashes: str | None
    def __init__(self, path: str | bytes | PathLike[str], start: int = 1, *, batch: int = 4096) -> None: ...
    def next(self) -> np.ndarray | HashRecord | None: ...
    def close(self) -> None: ...
