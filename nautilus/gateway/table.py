"""The gateway's table of workers: what its lead writes, and whoever looks, or leads next, reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from nautilus.core.region import start_of
from nautilus.runtime.files import write_atomically
from nautilus.runtime.plan import Plan

TABLE = "gateway.json"
"""In the instance's directory."""
MEETING = "gateway.line"
"""In the instance's directory: the socket at which workers of an earlier lead find the next one."""
WorkerState = Literal["starting", "ready", "draining", "stopping"]


class WorkerLine(msgspec.Struct, frozen=True):
    """One worker.

    Parameters
    ----------
    slot
        Which of the listening sockets it has.
    number
        Under which it counts.
    generation
        Higher than that of every worker before.
    pid, start
        Of its process; `start` in clock ticks since boot, as pids come again.
    state
        ``starting``, ``ready``, ``draining`` as another one is in its place, ``stopping``.
    """

    slot: int
    number: int
    generation: int
    pid: int
    start: int
    state: WorkerState

    @property
    def alive(self) -> bool:
        """Whether that process still runs."""
        return self.pid != 0 and start_of(self.pid) == self.start


class WorkerTable(msgspec.Struct, frozen=True):
    """All of them.

    Parameters
    ----------
    lead
        Pid of the lead.
    port
        At which they answer.
    generation
        The highest that was given.
    workers
        By slot and generation.
    """

    lead: int
    port: int
    generation: int
    workers: tuple[WorkerLine, ...]


def name_of(number: int) -> str:
    """What a worker is called: its log, its counters, its lock."""
    return f"gateway-worker-{number}"


def write_table(plan: Plan, table: WorkerTable) -> None:
    """For `read_table`."""
    write_atomically(Path(plan.directory, TABLE), msgspec.json.encode(table))


def read_table(directory: str | Path) -> WorkerTable:
    """What the lead of an instance wrote last; an empty table where there is none."""
    try:
        return msgspec.json.decode(Path(directory, TABLE).read_bytes(), type=WorkerTable)
    except (OSError, msgspec.DecodeError):
        return WorkerTable(0, 0, 0, ())
