from os import PathLike

import numpy as np
import numpy.typing as npt

DELIVERY: np.dtype[np.void]
MAGIC: bytes
HEADER_BYTES: int
LAST: int
EMPTY: int
REFUSED: int

Records = npt.NDArray[np.void]

class EventLogError(ValueError):
    code: str

class DamagedHeaderError(EventLogError): ...

class EventLogWriter:
    path: str
    notes: list[str]
    def __init__(
        self, path: str | PathLike[str], *, file_bytes: int = ..., policy: str = ..., first: int = ...
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def last_sequence(self) -> int: ...
    def truncate(self, last_sequence: int) -> None: ...
    def sync(self) -> None: ...
    def append(self, records: Records) -> None: ...

def deliveries(events: Records, commands: Records) -> Records: ...

class EventLog:
    path: str
    def __init__(self, path: str | PathLike[str]) -> None: ...
    def read(self, first: int, limit: int = ...) -> Records: ...
