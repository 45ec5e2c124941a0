"""Core, venue session and a venue that is wrong in every way, each a process of its own, killed while they trade.

`NAUTILUS_SEEDS=N` takes N seeds (`make soak`).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from nautilus.core.eventlog import EventLog
from nautilus.core.types import CommandKind, EventKind, OrderState
from nautilus.model.records import Records
from nautilus.runtime.clock import pause
from nautilus.trading.client import CoreAbsentError, CoreBusyError, CoreClient
from nautilus.trading.recovery import recover
from nautilus.trading.venue_orders import VenueOrders
from tests.kit.venue import Message
from tests.kit.venue_checks import Traders, check_end, check_history

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "1"))
MS = 1_000_000
PATIENCE_SECONDS = 240


class Processes:
    """The three, and a line of a test to the venue."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.epoch = 0
        self.start("venue", seed)
        self.start("core")
        self.start("session")
        self._line = socket.socket(socket.AF_UNIX)
        self._until(lambda: not self._line.connect_ex(str(directory / "venue")), "the venue's socket")
        self._file = self._line.makefile("rwb")

    def start(self, role: str, number: int = 0) -> None:
        """Begin a process; a core under the next epoch."""
        if role == "core":
            self.epoch += 1
            number = self.epoch
        self.running[role] = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.venue_process", role, str(self.directory), str(number)]
        )

    def kill(self, role: str) -> None:
        """kill -9, and a new one."""
        self.running[role].kill()
        self.running[role].wait()
        self.start(role)

    def say(self, what: str) -> None:
        """Tell the venue."""
        self._file.write(json.dumps({"do": what}).encode() + b"\n")
        self._file.flush()

    def truth(self) -> Message:
        """What the venue knows."""
        self.say("truth")
        return json.loads(self._file.readline())

    def stop(self) -> None:
        """The core ends its journal; the others are killed."""
        if self.running["core"].poll() is None:
            self.running["core"].send_signal(signal.SIGTERM)
            assert self.running["core"].wait(PATIENCE_SECONDS) == 0

    def end(self) -> None:
        """Whatever still runs."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self._file.close()
        self._line.close()

    @staticmethod
    def _until(done, what: str) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < end, f"waited for {what}"
            pause(0.01)


class Watch:
    """A trader's line to the core, and what the core's events say of the venue's orders."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.client = CoreClient(
            str(directory / "shared"), "client0", source_id=77, log=str(directory / "data" / "events")
        )
        self.orders = VenueOrders((1, 2))
        self.traders = Traders(seed)
        self.fills = self.routed = self.opened = 0

    def send(self, commands: Records) -> None:
        """Hand over, or leave it where no core is there."""
        if len(commands):
            with suppress(CoreAbsentError, CoreBusyError):
                self.client.submit(commands)

    def read(self, wait_ns: int) -> None:
        """What the core has said."""
        batch = self.client.poll(wait_ns)
        self.client.check()
        if batch is None:
            return
        self.traders.read(batch.events)
        self.fills += int(((batch.events["kind"] == EventKind.FILLED) & (batch.kinds == CommandKind.VENUE_FILL)).sum())
        self.routed += int((batch.events["kind"] == EventKind.ROUTED).sum())
        opened = (batch.kinds == CommandKind.VENUE_ACCEPTED) & (batch.events["order_id"] == 0)
        self.opened += int((opened & (batch.events["kind"] == EventKind.APPLIED)).sum())
        which = self.orders.concerns(batch.events, batch.kinds)
        for event, cause in zip(batch.events[which].tolist(), batch.kinds[which].tolist(), strict=True):
            self.orders.take(event, cause, 0)

    def settled(self, truth: Message) -> bool:
        """Nothing is under way, and both know the same."""
        ours = {
            key.client_id: [order.price_ticks, order.quantity, order.filled]
            for key, order in self.orders.orders.items()
        }
        quiet = all(order.state == OrderState.OPEN for order in self.orders.orders.values())
        return quiet and ours == truth["working"] and self.fills == truth["executions"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_positions_and_orders_are_the_venues_after_kills(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    processes = Processes(tmp_path, seed)
    try:
        watch = Watch(tmp_path, seed)
        end = time.monotonic() + PATIENCE_SECONDS
        while watch.client.absent:
            watch.send(watch.traders.opening())
            assert time.monotonic() < end, "no core"
        kills = [*("session", "core", "session", "core", "cut", "cut")]
        random.shuffle(kills)
        for victim in [*kills, ""]:
            routed, opened, end = watch.routed, watch.opened, time.monotonic() + PATIENCE_SECONDS
            while watch.routed < routed + 25 or watch.opened == opened:  # the session is there, and orders come through
                assert time.monotonic() < end, f"{watch.routed - routed} requests, not ready for {victim or 'the end'}"
                watch.send(watch.traders.draw())
                watch.read(3 * MS)
            if victim:
                processes.say("cut") if victim == "cut" else processes.kill(victim)
        processes.say("calm")
        end = time.monotonic() + PATIENCE_SECONDS
        while not watch.settled(truth := processes.truth()):
            assert time.monotonic() < end, (truth, watch.orders.orders)
            watch.read(20 * MS)
        settled = watch.client.last_sequence
        processes.stop()
        truth = processes.truth()
        found = recover(str(tmp_path / "data"), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
        try:
            records = EventLog(str(tmp_path / "data" / "events")).read(1, 1 << 20)
            check_history(records["event"], records["kind"])
            # A session that lost its line behind that says so, and the core may end before it hears how it went on.
            known = records[records["event"]["sequence"] <= settled]
            assert not check_history(known["event"], known["kind"]), "unknown in the end"
            venue = SimpleNamespace(
                submits=truth["submits"],
                positions=lambda: {(account, key): lots for account, key, lots in truth["positions"]},
                working=lambda: {key: tuple(value) for key, value in truth["working"].items()},
            )
            check_end(found.kernel, watch.orders, venue)
            assert truth["executions"] > 20
            assert truth["sessions"] >= 1 + len(kills)
        finally:
            found.log.close()
            found.journal.close()
    finally:
        processes.end()
