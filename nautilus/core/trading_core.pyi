from contextlib import AbstractContextManager
from os import PathLike
from typing import Any

from nautilus.core.affinity import Grant, Machine
from nautilus.core.eventlog import EventLogWriter
from nautilus.core.histogram import Histogram
from nautilus.core.journal import Journal
from nautilus.core.kernel import Kernel

class CoreStoppedError(RuntimeError):
    code: str

class TradingCore:
    kernel: Kernel
    journal: Journal
    log: EventLogWriter
    latency: Histogram | None
    directory: str
    slots: tuple[str, ...]
    troubles: list[str]
    grants: list[Grant]
    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        log: EventLogWriter,
        directory: str | PathLike[str],
        slots: tuple[str, ...] | list[str],
        *,
        capacity: int = ...,
        epoch: int = ...,
        clock: tuple[int, int, float] | None = None,
        spin_us: float = ...,
        latency: Histogram | None = None,
        machine: Machine | None = None,
        acknowledge: str | None = None,
        degrade: bool = False,
    ) -> None: ...
    def start(self, ready: bool = True) -> None: ...
    def make_ready(self, ready: bool = True) -> None: ...
    def held(self) -> AbstractContextManager[Kernel]: ...
    def holds(self, name: str, silence_ns: int = 0) -> bool: ...
    def source_sequence(self, source_id: int) -> int: ...
    def stop(self, snapshot: bool = True) -> bool: ...
    def facts(self) -> dict[str, Any]: ...
