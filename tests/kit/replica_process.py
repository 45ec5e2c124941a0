"""Processes of a core with a standby, each `python -m` this module, to be killed by tests.

Arguments: the role (core, replica, standby, follower), its directory (`data` and `shared` within), and settings as one
JSON object. A process prints ``ready`` when it is, and ends in order when its standard input closes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import zmq

from nautilus.bus.security import Doorkeeper
from nautilus.core.counters import Counters
from nautilus.core.trading_core import TradingCore
from nautilus.trading import follower, shipper, standby, stream
from nautilus.trading.compaction import Rules
from nautilus.trading.confirming import wait_for_standby
from nautilus.trading.epochs import read_epoch
from nautilus.trading.recovery import recover
from nautilus.trading.settings import Settings
from tests.kit.core import SLOTS


class Line:
    """Standard input as the line to a supervisor."""

    stop_requested = False

    def fileno(self) -> int:
        return 0

    def poll(self) -> list[str]:
        if not os.read(0, 4096):
            self.stop_requested = True
        return []

    def ready(self, ports: dict[str, int]) -> None:
        print("ready", flush=True)


def counters_of(directory: Path, role: str) -> str:
    """File of a process's counters."""
    return str(directory / "shared" / f"counters.{role}")


def run_core(directory: Path, line: Line, *, acknowledge: str = "replica", degrade: bool = False) -> None:
    settings = Settings(acknowledge, 0, 1024, 1 << 14, 1, without_standby="degrade" if degrade else "refuse")
    counters = counters_of(directory, "replica")
    found = recover(
        str(directory / "data"),
        policy=acknowledge,
        open_orders=1 << 14,
        segment_bytes=1 << 20,
        confirm=(lambda sequence: wait_for_standby(settings, line, counters, sequence))
        if acknowledge == "replica"
        else None,
    )
    core = TradingCore(
        found.kernel, found.journal, found.log, directory / "shared", SLOTS, acknowledge=acknowledge, degrade=degrade
    )
    core.start()
    line.ready({})
    while not line.stop_requested:
        line.poll()
    core.stop()
    found.log.close()


def wait_for(seconds: float) -> None:
    """Let nobody be given up as long as this: the machine may stand still, and no test is to depend on it."""
    shipper.SILENCE_NS = standby.SILENCE_NS = standby.SETTLE_NS = int(seconds * 1e9)


def run_replica(
    directory: Path, line: Line, *, address: str, allow: Any = (), announce: str = "", patience: float = 0.0
) -> None:
    if patience:
        wait_for(patience)
    context = zmq.Context()
    keys, doorkeeper = None, None
    if address.startswith("tcp://"):
        keys, doorkeeper = stream.load_keys(directory / "data"), Doorkeeper(context, allow)
    socket = stream.listen(context, address, keys)
    counters = Counters(path=counters_of(directory, "replica"))
    ship = shipper.Shipper(str(directory / "data"), str(directory / "shared"), socket, counters, doorkeeper)
    told = None
    if announce:
        epoch = read_epoch(directory / "data").epoch
        told = shipper.Announcer(context, announce, None, "", lambda: epoch)
    ship.run(line, told)
    ship.close()
    context.destroy(0)


def run_standby(
    directory: Path, line: Line, *, address: str, core_key: str = "", acknowledge: str = "memory", patience: float = 0.0
) -> None:
    if patience:
        wait_for(patience)
    context = zmq.Context()
    keys = stream.load_keys(directory / "data") if address.startswith("tcp://") else None
    orders = context.socket(zmq.ROUTER)
    orders.bind(f"ipc://{directory}/orders")
    stands = standby.Standby(
        str(directory / "data"),
        standby.Settings(address, acknowledge, 1 << 20, 1 << 14, core_key),
        context,
        orders,
        Counters(path=counters_of(directory, "standby")),
        keys,
    )
    stands.run(line)
    while not line.stop_requested:  # promoted: the answer is on its way until whoever asked lets go
        line.poll()
    stands.close()
    context.destroy(1000)


def run_follower(directory: Path, line: Line, *, snapshot_commands: int = 1, **rules: Any) -> None:
    counters = Counters(path=counters_of(directory, "follower"))
    followed = follower.Follower(
        str(directory / "data"), follower.Settings(snapshot_commands, Rules(**rules)), counters
    )
    followed.run(line)
    followed.close()


RUNS = {"core": run_core, "replica": run_replica, "standby": run_standby, "follower": run_follower}

if __name__ == "__main__":
    RUNS[sys.argv[1]](Path(sys.argv[2]), Line(), **json.loads(sys.argv[3]))
