"""A real trading core in this process: native threads, shared memory, journal and event log in a test's directories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nautilus.core.eventlog import DELIVERY, LAST
from nautilus.core.port import OWN, Port
from nautilus.core.trading_core import TradingCore
from nautilus.trading.recovery import Recovered, recover
from tests.kit import builders

SLOTS = ("core", "trading", "marketdata", "client0", "client1", "client2", "client3", "venue0")
SECOND = 1_000_000_000
OPENING = builders.batch(builders.instrument(1), *(builders.account(number) for number in range(1, 6)))


@contextmanager
def running(
    directory: Path,
    *,
    policy: str = "memory",
    segment_bytes: int = 1 << 20,
    open_orders: int = 1 << 14,
    slots: tuple[str, ...] = SLOTS,
    **options,
) -> Iterator[tuple[TradingCore, Recovered]]:
    """A core that runs over `directory`/data, new or as it was left; stopped at the end."""
    shared = directory / "shared"
    shared.mkdir(exist_ok=True)
    found = recover(str(directory / "data"), policy=policy, open_orders=open_orders, segment_bytes=segment_bytes)
    core = TradingCore(found.kernel, found.journal, found.log, shared, slots, **{"capacity": 1024, **options})
    core.start()
    try:
        yield core, found
    finally:
        core.stop()
        found.log.close()


def attach(core: TradingCore, slot: str = "client0", mode: int = OWN) -> Port:
    """A port that the egress feeds."""
    port = Port(core.directory, slot, mode)
    empty = np.zeros(0, DELIVERY)
    while port.joined is None:
        port.receive(empty)
    return port


def carry_out(port: Port, commands: np.ndarray) -> np.ndarray:
    """Send commands, all of which find room; the deliveries that came of them."""
    assert port.send(commands) == len(commands)
    return collect(port, len(commands))


def collect(port: Port, commands: int) -> np.ndarray:
    """Deliveries up to the last one of so many commands."""
    buffer, parts, done = np.zeros(4096, DELIVERY), [], 0
    while done < commands:
        count = port.receive(buffer, 60 * SECOND)
        assert count, f"the core answered for {done} of {commands} commands, then no more"
        parts.append(buffer[:count].copy())
        done += int(((buffer["flags"][:count] & LAST) != 0).sum())
    return np.concatenate(parts) if parts else buffer[:0]
