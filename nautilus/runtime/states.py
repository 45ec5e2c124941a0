"""How the processes of the platform are: what the supervisor writes and `nautilus status` reads."""

from __future__ import annotations

from typing import Literal

import msgspec

ProcessCondition = Literal["waiting", "starting", "ready", "not ready", "silent", "restarting", "stopping", "stopped"]
READY, SEEN = "process.ready", "process.seen_ns"
"""Gauges in which each process says, ten times a second, whether it does all of its work, and when it last said so."""
PlatformCondition = Literal["starting", "running", "stopping", "stopped"]


class ProcessState(msgspec.Struct, frozen=True):
    """One process.

    Parameters
    ----------
    name, engines
        As in the plan.
    state
        ``waiting`` for its turn, ``starting``, ``ready``, ``restarting`` after its end, ``stopping``, ``stopped``;
        for those who look: ``not ready`` any more, ``silent`` where a ready one does not say how it is.
    pid
        0: none.
    restarts
        How often it was started again.
    started_ns
        When it was last started, on the machine's clock.
    ports
        HTTP port of each of its engines.
    ended
        How it ended last: "killed by SIGKILL", "exit code 1"; "": not yet.
    error
        What it last said about a failed start, as `NautilusError.as_dict` gives it.
    host
        Where it runs, where that is another host than this; "": here.
    """

    name: str
    engines: tuple[str, ...]
    state: ProcessCondition = "waiting"
    pid: int = 0
    restarts: int = 0
    started_ns: int = 0
    ports: dict[str, int] = {}
    ended: str = ""
    error: dict[str, str] | None = None
    host: str = ""


class PlatformState(msgspec.Struct, frozen=True):
    """All of them.

    Parameters
    ----------
    pid, template_pid
        Of the supervisor, and of the process that forks the others; 0: it is not there yet, and what dies waits for it.
    state
        ``running`` once all were ready.
    started_ns
        When the supervisor started, on the machine's clock.
    opened
        Whether the market was opened.
    finished
        Whether the recording has ended.
    processes
        In the order of the plan.
    """

    pid: int
    template_pid: int
    state: PlatformCondition
    started_ns: int
    opened: bool
    finished: bool
    processes: tuple[ProcessState, ...]


class Outcome(msgspec.Struct, frozen=True):
    """How an instance has stopped.

    Parameters
    ----------
    exit_code
        0, or 1 where a process had to be killed.
    killed
        Those processes.
    """

    exit_code: int
    killed: tuple[str, ...] = ()
