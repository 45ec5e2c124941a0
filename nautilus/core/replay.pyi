from collections.abc import Callable
from os import PathLike

import numpy as np
import numpy.typing as npt

from nautilus.core.eventlog import EventLogWriter
from nautilus.core.journal import Journal
from nautilus.core.journal_reader import JournalReader
from nautilus.core.kernel import Kernel

class Replay:
    kernel: Kernel | None
    begun: int
    notes: list[str]
    def __init__(
        self,
        make: Callable[..., Kernel],
        *,
        snapshots: bool = True,
        on_events: Callable[[npt.NDArray[np.void]], object] | None = None,
        open_log: Callable[[], EventLogWriter] | None = None,
    ) -> None: ...
    @property
    def log(self) -> EventLogWriter | None: ...
    @property
    def logged(self) -> int: ...
    def walk(self, path: str | bytes | PathLike[str]) -> JournalReader: ...
    def check(self) -> None: ...
    def finish(self, journal: Journal, confirm: Callable[[int], None] | None = None) -> Kernel: ...
