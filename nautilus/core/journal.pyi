from os import PathLike
from types import TracebackType
from typing import Literal, Self

import numpy as np

from nautilus.core.journal_reader import HashRecord, JournalReader, JournalReport, verify
from nautilus.core.journal_recovery import repair
from nautilus.core.replay import Replay
from nautilus.core.segment import JournalDamage, JournalError
from nautilus.core.snapshot_file import Snapshot, latest_snapshot, write_snapshot

__all__ = [
    "HashRecord",
    "Journal",
    "JournalDamage",
    "JournalError",
    "JournalReader",
    "JournalReport",
    "Snapshot",
    "encode",
    "latest_snapshot",
    "repair",
    "verify",
    "write_snapshot",
]

class Journal:
    path: str
    recovery: JournalReport | None
    renewed: tuple[str, ...]
    def __init__(
        self,
        path: str | bytes | PathLike[str],
        *,
        policy: Literal["memory", "disk"] = "memory",
        segment_bytes: int = 67108864,
        capacity: int | None = None,
        closed_capacity: int | None = None,
        first_sequence: int | None = None,
        epoch: int | None = None,
        hashes: str | None = None,
        replay: Replay | None = None,
    ) -> None: ...
    def append(self, commands: np.ndarray) -> None: ...
    def append_hash(self, event_sequence: int, event_hash: int, journal_hash: int) -> None: ...
    def flush(self) -> None: ...
    def room(self, commands: int) -> bool: ...
    def close(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def error(self) -> int: ...
    @property
    def policy(self) -> str: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def written_sequence(self) -> int: ...
    @property
    def durable_sequence(self) -> int: ...
    @property
    def bytes_written(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def hashes(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def closed_capacity(self) -> int: ...

def encode(commands: np.ndarray, chain: int = 0, *, method: str | None = None) -> bytes: ...
