"""Core, replica's process, standby and follower as real processes, killed at any time: nothing acknowledged is lost."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest

from nautilus.core.journal import JournalReader, latest_snapshot, verify
from nautilus.core.kernel import Kernel
from nautilus.core.port import core_facts
from nautilus.core.types import Reason
from nautilus.trading.epochs import FencedError, read_epoch
from nautilus.trading.recovery import recover
from nautilus.trading.stream import load_keys
from tests.kit.effort import one_of
from tests.kit.ports import held_port
from tests.kit.replicas import Client, Machine, eventually, is_prefix, no_fill_twice, two_machines


def state_at(journal: Path, sequence: int) -> int:
    """State hash of a kernel that was given a journal's commands up to one of them."""
    reader = JournalReader(journal, strict=False)
    kernel = Kernel(accounts=(), capacity=reader.capacity, closed_capacity=reader.closed_capacity, huge_pages=False)
    for item in reader:
        if isinstance(item, np.ndarray):
            kernel.process(np.ascontiguousarray(item[item["sequence"] <= sequence]))
    assert kernel.last_sequence == sequence
    return kernel.state_hash()


PATIENCE = 120.0
ON_THE_WAY = 200


def begin(core: Machine, standby: Machine, address: str, *, patience: float = 0.0) -> Client:
    """Everything up, the standby current, the core open. `patience`: seconds in which neither gives the other up."""
    core.start("replica", address=address, patience=patience)
    core.start("core")
    standby.start("standby", address=address, patience=patience)
    eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")
    client = Client(core)
    client.open()
    client.settle()
    return client


def trade(client: Client, orders: int, at_least: int = 0) -> None:
    """Send orders; return when so many commands more were answered, the rest being on its way."""
    goal = client.answered + at_least
    while orders > 0 or client.answered < goal:
        # Not more than fit on the way back, whenever this process is given time to take them.
        if orders > 0 and client.sent - client.answered < ON_THE_WAY:
            orders -= client.orders(min(orders, 50))
        client.poll(1_000_000)


def orders_that_no_standby_has(client: Client, core: Machine, standby: Machine, address: str) -> None:
    """Orders in the core's journal from after the end of its standby, of which it has not heard yet.

    Where it has, as the machine stood still in between, it refuses them: all is done once more.
    """
    while True:
        before = verify(core.journal).last_sequence
        standby.kill("standby")
        client.orders(40)
        eventually(
            lambda before=before: (
                client.poll() >= 0 and (verify(core.journal).last_sequence > before or client.answered == client.sent)
            ),
            "the orders in the journal",
        )
        if verify(core.journal).last_sequence > before:
            return
        standby.start("standby", address=address)
        eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")


def test_without_a_standby_new_orders_are_refused_and_say_why(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        core.start("replica", address=address)
        core.start("core")
        client = Client(core)
        assert "no standby has the journal" in client.port.refuses
        client.orders(3)
        client.settle()
        assert set(np.concatenate(client.refused)["reason"]) == {Reason.NOT_READY}
        standby.start("standby", address=address)
        eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")
        client.open()
        client.settle()
        eventually(lambda: client.port.refuses == "", "a core that takes orders")
        trade(client, 20, 20)
        standby.kill("standby")
        eventually(lambda: client.port.refuses, "a refusal once the standby is gone")
        facts = eventually(
            lambda: (found := core_facts(core.directory / "shared"))["replica"] == "none" and found, "a core alone"
        )
        assert facts["acknowledge"] == "replica"
        client.close()


def test_what_is_shown_is_in_the_standbys_journal(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address)
        for _ in range(20):
            client.orders(25)
            client.poll(10_000_000)
            shown = client.events()
            assert verify(standby.journal).last_sequence >= shown["command_sequence"][-1]
        client.settle()
        client.close()


def test_degraded_the_core_goes_on_alone_and_says_so(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        core.start("replica", address=address)
        core.start("core", degrade=True)
        client = Client(core)
        client.open()
        client.settle()
        standby.start("standby", address=address)
        eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")
        trade(client, 50, 50)
        before = core_facts(core.directory / "shared")["degraded"]
        standby.kill("standby")
        trade(client, 50)
        client.settle()
        assert core_facts(core.directory / "shared")["degraded"] > before
        client.close()


@pytest.mark.parametrize("seed", one_of(1, 0, 2))
def test_a_core_killed_under_load_has_lost_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address, patience=PATIENCE)
        trade(client, Random(seed).randrange(200, 900))
        core.kill("core")
        while client.poll():
            pass
        shown = client.events()
        client.close()
        promoted = standby.promote()
        assert promoted["epoch"] == 2
        # The replica's process of the old core was still there, and knows.
        assert promoted["fenced"]
        standby.stop("standby")
        logged = standby.events()
        assert is_prefix(shown, logged)
        no_fill_twice(logged)
        assert int(promoted["state_hash"], 16) == state_at(standby.journal, promoted["last_sequence"])
        assert int(promoted["state_hash"], 16) == state_at(core.journal, promoted["last_sequence"])
        with pytest.raises(FencedError, match="replaced by one of epoch 2"):
            recover(str(core.data), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
        # The new one trades on, in the new epoch.
        standby.start("core", acknowledge="memory")
        after = Client(standby, first_order=1_000_000)
        trade(after, 100)
        after.settle()
        assert after.port.journal_epoch == 2
        after.close()
        assert standby.stop("core") == 0
        report = verify(standby.journal)
        assert (report.valid, report.epoch) == (True, 2)
        no_fill_twice(standby.events())


@pytest.mark.parametrize("seed", one_of(0, 1, 2))
def test_a_promotion_under_load_ends_the_core_and_loses_nothing(tmp_path: Path, seed: int) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address, patience=PATIENCE)
        trade(client, Random(seed).randrange(200, 900))
        promoted = standby.promote()
        assert promoted["fenced"]
        eventually(lambda: core_facts(core.directory / "shared")["state"] == "failed", "the end of the old core")
        while client.poll(1_000_000):
            pass
        assert "replaced by one of epoch 2" in client.port.refuses
        shown = client.events()
        client.close()
        standby.stop("standby")
        logged = standby.events()
        assert is_prefix(shown, logged)
        assert is_prefix(core.events(), logged)
        no_fill_twice(logged)
        assert int(promoted["state_hash"], 16) == state_at(standby.journal, promoted["last_sequence"])


@pytest.mark.long
def test_a_standby_killed_while_it_catches_up_goes_on_where_it_was(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        core.start("replica", address=address)
        core.start("core", degrade=True)
        client = Client(core)
        client.open()
        trade(client, 6000)
        client.settle()
        chance = Random(5)
        for _ in range(4):
            standby.begin("standby", address=address)
            goal = standby.count("standby", "standby.sequence") + chance.randrange(1, 3000)
            eventually(
                lambda goal=goal: standby.count("standby", "standby.sequence") >= min(goal, 6000),
                "a standby on its way",
            )
            standby.kill("standby")
        standby.start("standby", address=address)
        eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")
        trade(client, 200, 200)
        client.settle()
        eventually(lambda: standby.count("standby", "standby.sequence") == client.taken, "the last command")
        client.close()
        core.stop("core")
        core.stop("replica")
        standby.stop("standby")
        assert standby.events().tobytes() == core.events().tobytes()
        last = verify(standby.journal).last_sequence
        assert state_at(standby.journal, last) == state_at(core.journal, last)


@pytest.mark.long
def test_the_replicas_process_killed_under_load_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address)
        for _ in range(3):
            trade(client, 200)
            core.kill("replica")
            eventually(lambda: client.port.refuses, "a refusal without it")
            core.start("replica", address=address)
            eventually(lambda: not client.port.refuses, "a standby that is attached again")
        client.settle()
        client.close()
        assert core.stop("core") == 0
        core.stop("replica")
        standby.stop("standby")
        no_fill_twice(core.events())
        assert standby.events().tobytes() == core.events().tobytes()


def test_a_core_that_is_started_again_shows_nothing_that_no_standby_has(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address)
        trade(client, 100, 100)
        client.settle()
        # Before the core finds out, orders are taken whose events nobody may see.
        orders_that_no_standby_has(client, core, standby, address)
        logged = len(core.events())
        core.kill("core")
        client.close()
        core.begin("core")
        eventually(lambda: core.count("replica", "replica.state") == 0, "a core without a standby")
        assert len(core.events()) == logged
        standby.start("standby", address=address)
        again = Client(core, first_order=1_000_000)
        eventually(lambda: len(core.events()) > logged, "the events, now that a standby has them")
        again.close()


@pytest.mark.long
def test_an_old_core_becomes_a_standby_of_the_new_one_and_sets_its_own_commands_aside(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        client = begin(core, standby, address)
        trade(client, 100, 100)
        client.settle()
        orders_that_no_standby_has(client, core, standby, address)
        core.kill("core")
        core.kill("replica")
        client.close()
        standby.start("standby", address=address)
        promoted = standby.promote()
        assert not promoted["fenced"]  # it was not there to hear it
        standby.stop("standby")
        other = address.replace("stream", "other")
        standby.start("core", acknowledge="memory")
        # The old core comes back; the new one's announcement reaches it.
        core.start("core", acknowledge="memory")
        core.start("replica", address=address)
        standby.start("replica", address=other, announce=address, patience=PATIENCE)
        eventually(lambda: core_facts(core.directory / "shared")["state"] == "failed", "the end of the old core")
        assert (read_epoch(core.data).epoch, read_epoch(core.data).own) == (2, False)
        core.kill("core")
        core.kill("replica")
        after = Client(standby, first_order=1_000_000)
        trade(after, 60)
        after.settle()
        core.start("standby", address=other, patience=PATIENCE)
        eventually(lambda: standby.count("replica", "replica.state") == 2, "the old core as a standby that is current")
        assert (core.data / "journal.before.1").is_dir()
        trade(after, 60, 60)
        after.settle()
        after.close()
        standby.stop("core")
        standby.stop("replica")
        core.stop("standby")
        assert core.events().tobytes() == standby.events().tobytes()
        assert verify(core.journal).last_sequence == verify(standby.journal).last_sequence


@pytest.mark.long
@pytest.mark.parametrize("policy", ["archive", "drop"])
def test_a_follower_that_is_killed_leaves_sound_snapshots_and_the_core_recovers_from_them(
    tmp_path: Path, policy: str
) -> None:
    with two_machines(tmp_path) as (core, _, _):
        core.start("core", acknowledge="memory")
        client = Client(core)
        client.open()
        chance = Random(3)
        for _ in range(4):
            core.start("follower", snapshot_commands=1, policy=policy, keep_segments=1)
            trade(client, 45_000)
            client.settle()
            sequence = core.count("follower", "follower.sequence")
            eventually(
                lambda before=sequence: core.count("follower", "follower.sequence") > before or before == client.taken,
                "a follower that follows",
            )
            if chance.random() < 0.8:
                core.kill("follower")
            else:
                core.stop("follower")
        core.start("follower", snapshot_commands=1, policy=policy, keep_segments=1)
        eventually(lambda: core.count("follower", "follower.segments_removed") > 0, "a journal that is compacted")
        eventually(lambda: core.count("follower", "follower.sequence") == client.taken, "a follower at the end")
        client.close()
        core.kill("core")
        core.kill("follower")
        snapshot = latest_snapshot(core.journal)
        assert not snapshot.skipped
        report = verify(core.journal)
        assert report.valid
        assert report.first_sequence > 1
        found = recover(str(core.data), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
        assert found.commands - found.replayed == snapshot.sequence
        assert found.commands == client.taken
        assert not [note for note in found.notes if not re.search("torn|cut", note)]
        no_fill_twice(core.events())
        found.journal.close()
        found.log.close()
        if policy == "archive":
            # With what was archived put back, the whole journal gives the same state.
            for path in (core.data / "archive").glob("*.journal"):
                shutil.move(path, core.journal / path.name)
            assert state_at(core.journal, found.commands) == found.hash


@pytest.mark.long
def test_a_new_standby_of_a_compacted_journal_begins_with_a_snapshot(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, address):
        core.start("replica", address=address)
        core.start("core", acknowledge="memory")
        core.start("follower", snapshot_commands=1, policy="drop", keep_segments=0, keep_snapshots=1)
        client = Client(core)
        client.open()
        while not core.count("follower", "follower.segments_removed"):
            trade(client, 2000)
        client.settle()
        standby.start("standby", address=address)
        eventually(lambda: core.count("replica", "replica.state") == 2, "a standby that is current")
        assert core.count("replica", "replica.snapshots_sent") >= 1
        trade(client, 500, 500)
        client.settle()
        eventually(lambda: standby.count("standby", "standby.sequence") == client.taken, "the last command")
        client.close()
        core.stop("core")
        core.stop("replica")
        # Killed or stopped, it goes on from its own files.
        standby.kill("standby")
        found = recover(str(standby.data), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
        again = recover(str(core.data), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
        assert (found.commands, found.hash) == (again.commands, again.hash)
        assert found.log.last_sequence == again.log.last_sequence
        for each in (found, again):
            each.journal.close()
            each.log.close()


def test_over_tcp_only_a_standby_with_an_allowed_key_gets_the_journal(tmp_path: Path) -> None:
    with two_machines(tmp_path) as (core, standby, _), held_port() as port:
        address = f"tcp://127.0.0.1:{port}"
        core_key, allowed = load_keys(core.data).public, load_keys(standby.data).public
        stranger = Machine(tmp_path / "c")
        try:
            core.start("replica", address=address, allow=[allowed])
            core.start("core")
            stranger.start("standby", address=address, core_key=core_key)
            standby.start("standby", address=address, core_key=core_key)
            eventually(lambda: core.count("replica", "replica.state") == 2, "the standby that may")
            client = Client(core)
            client.open()
            trade(client, 50, 50)
            client.settle()
            client.close()
            assert stranger.count("standby", "standby.sessions") == 0
            assert not list(stranger.data.glob("journal/*"))
        finally:
            stranger.close()
