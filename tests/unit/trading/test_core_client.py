"""A client sees every event once and in order, and its commands are carried out once, whatever becomes of the core."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.eventlog import EventLog
from nautilus.core.journal_reader import JournalReader
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import EventKind, Reason, Side
from nautilus.trading.client import CoreAbsentError, CoreBusyError, CoreClient
from nautilus.trading.recovery import recover
from tests.kit import builders
from tests.kit.core import OPENING, SLOTS, attach, carry_out, running

SOURCE = 4


def client_of(directory: Path, slot: str = "marketdata", after: int = 0) -> CoreClient:
    return CoreClient(
        str(directory / "shared"), slot, source_id=SOURCE, log=str(directory / "data" / "events"), after=after
    )


def orders(first: int, count: int, price: int = 50) -> np.ndarray:
    rows = np.concatenate([builders.new(1, Side.BUY, 1, price)] * count)
    rows["order_id"] = np.arange(first, first + count)
    return rows


def pump(client: CoreClient, last: int, seen: list[int]) -> None:
    """Poll until the client's own command of this number is answered."""
    for _ in range(20_000):
        batch = client.poll(1_000_000)
        if batch is not None:
            seen.extend(batch.events["sequence"].tolist())
            if batch.completed >= last:
                return
    raise AssertionError("the core does not answer")


def catch_up(client: CoreClient, until: int, seen: list[int]) -> None:
    for _ in range(20_000):
        if client.last_sequence >= until:
            return
        batch = client.poll(1_000_000)
        if batch is not None:
            seen.extend(batch.events["sequence"].tolist())
    raise AssertionError(f"event {until} does not come")


class Victim:
    """A core in a process of its own, to be killed."""

    def __init__(self, directory: Path, epoch: int) -> None:
        shared = directory / "shared"
        shared.mkdir(exist_ok=True)
        ready, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            found = recover(str(directory / "data"), policy="memory", open_orders=1 << 15, segment_bytes=1 << 20)
            core = TradingCore(
                found.kernel, found.journal, found.log, shared, SLOTS, capacity=1024, epoch=epoch, spin_us=5
            )
            core.start()
            os.write(said, b"x")
            while True:
                signal.pause()
        os.close(said)
        assert os.read(ready, 1) == b"x"
        os.close(ready)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@pytest.mark.parametrize("seed", range(3))
def test_a_core_killed_under_load_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    seen: list[int] = []
    victim = Victim(tmp_path, 1)
    try:
        client = client_of(tmp_path)
        pump(client, client.submit(OPENING), seen)
        sent, kills = 0, 0
        for turn in range(60):
            count = int(random.integers(1, 400))
            rows = orders(sent + 1, count)
            rows["account_id"] = random.integers(1, 6, count)
            rows["side"] = random.integers(1, 3, count)
            rows["price_ticks"] = random.integers(45, 55, count)
            last = client.submit(rows)
            sent += count
            if random.random() < 0.15:
                if random.random() < 0.5 and (batch := client.poll()) is not None:
                    seen.extend(batch.events["sequence"].tolist())
                victim.kill()
                kills += 1
                victim = Victim(tmp_path, turn + 2)
            if client.completed < last:
                pump(client, last, seen)
        assert kills >= 3
        assert 1 <= client.restarts <= kills
        client.close()
    finally:
        victim.kill()
    kernel = Kernel.replay(tmp_path / "data" / "journal", snapshots=False)
    assert seen == list(range(1, kernel.last_event_sequence + 1))
    commands = np.concatenate([i for i in JournalReader(tmp_path / "data" / "journal") if isinstance(i, np.ndarray)])
    events = EventLog(tmp_path / "data" / "events").read(1, 1 << 20)["event"]
    applied = events[events["kind"] == EventKind.ACCEPTED]
    assert sorted(applied["order_id"].tolist()) == sorted({*range(1, sent + 1)})
    repeats = int((events["kind"] == EventKind.DUPLICATE).sum())
    assert len(commands) == len(OPENING) + sent + repeats


def test_a_client_that_was_cut_off_catches_up_from_the_log(tmp_path: Path) -> None:
    seen: list[int] = []
    with running(tmp_path, capacity=64) as (core, _):
        client = client_of(tmp_path)
        assert client.poll() is None
        busy = attach(core, "client1")
        carry_out(busy, OPENING)
        for first in range(1, 4000, 40):
            carry_out(busy, orders(first, 40))
        catch_up(client, core.facts()["events"], seen)
        assert client.cuts >= 1
        carry_out(busy, orders(10_000, 1))
        catch_up(client, core.facts()["events"], seen)
        assert client.current
        client.close()
    assert seen == list(range(1, len(seen) + 1))


def test_a_client_begins_behind_what_it_knows(tmp_path: Path) -> None:
    seen: list[int] = []
    with running(tmp_path) as (core, _):
        carry_out(attach(core), OPENING)
        carry_out(attach(core), orders(1, 500))
        client = client_of(tmp_path, after=300)
        catch_up(client, core.facts()["events"], seen)
        client.close()
        assert seen == list(range(301, core.facts()["events"] + 1))


def test_a_client_that_knows_more_than_the_core_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core), OPENING)
        client = client_of(tmp_path, after=10_000)
        for _ in range(1000):
            client.poll(100_000)
            if client.ahead:
                break
        assert client.ahead
        client.close()


def test_refusals_are_given_apart(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        client, seen = client_of(tmp_path), []
        pump(client, client.submit(OPENING), seen)
        core.make_ready(False)  # the clock is right, so this lasts until the kernel thread's next look
        last = client.submit(orders(1, 3))
        refusals = []
        for _ in range(1000):
            batch = client.poll(1_000_000)
            if batch is not None:
                refusals += batch.refusals["reason"].tolist()
                if batch.completed >= last:
                    break
        accepted = EventLog(tmp_path / "data" / "events").read(len(OPENING) + 1)
        assert len(refusals) + len(accepted) == 3
        assert set(refusals) <= {Reason.NOT_READY}
        client.close()


def test_what_does_not_fit_into_the_ring_is_not_sent(tmp_path: Path) -> None:
    with running(tmp_path, capacity=64) as (core, _):
        client = client_of(tmp_path)
        client.poll()
        with core.held():
            for first in range(1, 65, 16):
                client.submit(orders(first, 16))
            with pytest.raises(CoreBusyError):
                client.submit(orders(65, 1))
        client.close()


def test_without_a_core_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with pytest.raises(CoreAbsentError):
        client_of(tmp_path).submit(orders(1, 1))
