"""Who may do what on the bus of an instance: its keys, where it has some, and what each process may send."""

from __future__ import annotations

from pathlib import Path

from nautilus.bus.keys import key_place
from nautilus.bus.permissions import Permissions
from nautilus.bus.security import Security
from nautilus.bus.sockets import LOOPBACK
from nautilus.core.counters import Counters
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.plan import Plan

BENCHES = ("client0", "client1", "client2", "client3")
"""Places at the core for strategies and benches of one's own: they send what the trading engine may."""


def security_of(plan: Plan, process: str, counters: Counters | None) -> Security:
    """The keys of a process of a plan; without a pair of its own it is on ipc alone, which is plain.

    Raises
    ------
    KeyFileError
        There is a pair, or a list, that cannot be read; or none, and other hosts are to reach the process.
    """
    settings = plan.config("bus", BusConfig)
    directory = Path(settings.keys or Path(plan.data, "keys"))
    token = token_at(plan.directory)
    if plan.host and not (settings.plain_loopback and plan.host in LOOPBACK):
        # Others are to reach it over TCP: without a pair it could not even listen.
        return Security.load(process, directory, counters=counters, token=token)
    if key_place(directory, process).exists():
        return Security.load(process, directory, plain_loopback=settings.plain_loopback, counters=counters, token=token)
    return Security(process, plain_loopback=settings.plain_loopback, counters=counters, token=token)


def token_at(directory: str) -> str:
    """The token of the instance in a directory; "": there is none."""
    try:
        return Path(directory, "token").read_text().strip()
    except OSError:
        return ""


def permissions_of(plan: Plan, security: Security) -> Permissions:
    """What each process of a plan may send: what the grants of its key say, else what its engines do."""
    engines = {spec.name: spec.engines for spec in plan.processes}
    return Permissions({**dict.fromkeys(BENCHES, ("trading", "bench")), **engines}, security)
