"""Python face of the shared cache of answers."""

from os import PathLike
from typing import NamedTuple

STORED: int
TOO_LARGE: int
BUSY: int
OUTDATED: int
MINE: int
OTHERS: int
NO_ROOM: int
MOST_KEY: int
WAYS: int
RECORD_BYTES: int

class Kept(NamedTuple):
    """An answer as it was stored; times as given to `Answers.put`."""

    value: bytes
    engine: int
    number: int
    stored_ns: int
    fresh_ns: int
    stale_ns: int
    error_ns: int
    age: float

class Answers:
    """Any number of processes, one thread each. Answers by key, in a region of fixed size that never grows."""

    def __init__(self, path: str | PathLike[str] | None = None, *, kib: int = 16384, epoch: int = 0) -> None: ...
    def forked(self) -> None:
        """To be called in a process that was forked with it: from now on it speaks for itself."""
    def engine(self, name: str) -> int:
        """Number of an engine, which is made where there is none."""
    def number(self, engine: int) -> int:
        """How often answers of an engine were forgotten: to be asked for before the answer is."""
    def valid(self, engine: int, number: int, path: bytes) -> bool:
        """Whether nothing that was forgotten since that number concerns a path of the engine."""
    def forget(self, engine: int, prefix: bytes = b"") -> None:
        """From now on no answer of an engine counts whose path begins so; more than 112 bytes stand for all."""
    def put(
        self,
        key: bytes,
        path_bytes: int,
        value: bytes,
        engine: int,
        number: int,
        stored_ns: int,
        fresh_ns: int,
        stale_ns: int = 0,
        error_ns: int = 0,
    ) -> int:
        """Keep an answer: STORED, TOO_LARGE, BUSY or OUTDATED."""
    def get(self, key: bytes) -> Kept | None:
        """The answer of a key, as it was kept last; None: there is none any more. It need not be `valid`."""
    def claim(self, key: bytes, now_ns: int, most_ns: int) -> int:
        """Say that this process is about to ask for an answer: MINE, OTHERS or NO_ROOM."""
    def leave(self, key: bytes) -> None:
        """It has asked, or gave up."""
    def claimed(self, key: bytes, now_ns: int, most_ns: int) -> bool:
        """Whether another living process has claimed a key, at most `most_ns` ago."""
    @property
    def counts(self) -> dict[str, int]:
        """Of all processes: `stored`, `evicted`, `stolen` (locks of dead writers), `bytes`."""
    @property
    def capacity(self) -> int:
        """Bytes for records."""

def hold_lock(answers: Answers) -> bool:
    """For tests: take the lock of writers and keep it."""

def release_lock(answers: Answers) -> None:
    """For tests: let go of it."""

def reserve(answers: Answers, span: int) -> bool:
    """For tests: as a writer that is killed in the middle of a record, which it has begun."""
