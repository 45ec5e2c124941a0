"""What a core is started with: its settings, and the commands that set it up."""

from __future__ import annotations

from typing import NamedTuple

from nautilus.model.enums import CommandKind


class Settings(NamedTuple):
    """What the core is made with; the section ``core`` of the configuration has the same names."""

    acknowledge: str
    spin_us: int
    ring_capacity: int
    open_orders: int
    segment_mib: int
    pin: str = "none"
    realtime_priority: int = 0
    lock_memory: bool = False
    huge_pages: bool = False
    numa_local: bool = False
    cpu_dma_latency_us: int = -1
    without_standby: str = "refuse"


class Setup(NamedTuple):
    """A command that opens an instrument or an account, or sets a limit. `key`: its id; 0 for a limit."""

    kind: CommandKind
    key: int
    row: bytes
