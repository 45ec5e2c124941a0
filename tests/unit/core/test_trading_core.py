"""The trading core with its threads: what it shows is what its journal gives, whoever sent it and however fast."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.eventlog import DELIVERY, EMPTY, LAST, REFUSED, EventLog
from nautilus.core.histogram import Histogram
from nautilus.core.journal_reader import JournalReader, verify
from nautilus.core.port import ALL, URGENT_SOURCE, Port, PortError, core_facts
from nautilus.core.types import EVENT, CommandKind, EventKind, Reason, Side
from tests.kit import builders, flow
from tests.kit.core import OPENING, SECOND, SLOTS, attach, carry_out, collect, running

BUY, SELL = Side.BUY, Side.SELL


def same_bytes(left: np.ndarray, right: np.ndarray) -> bool:
    return np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()


def replayed(data: Path) -> np.ndarray:
    """Every event that the journal gives."""
    parts: list[np.ndarray] = []
    Kernel.replay(data / "journal", on_events=lambda events: parts.append(events.copy()), snapshots=False)
    return np.concatenate(parts)


def logged(data: Path) -> np.ndarray:
    return np.ascontiguousarray(EventLog(data / "events").read(1, 1 << 22)["event"])


@pytest.mark.parametrize("seed", range(4))
def test_a_random_flow_gives_the_events_that_its_journal_gives(tmp_path: Path, seed: int) -> None:
    commands = np.concatenate([flow.instruments(), flow.accounts(), flow.Flow(seed, "near").draw(3000, [])])
    with running(tmp_path, open_orders=4096) as (core, _):
        port = attach(core, mode=ALL)
        found = np.concatenate([carry_out(port, part) for part in np.array_split(commands, 40)])
        with core.held() as kernel:
            state_hash, event_hash = kernel.state_hash(), kernel.event_hash()
    events = found["event"][found["event"]["sequence"] > 0]
    again = replayed(tmp_path / "data")
    assert same_bytes(events, again)
    assert same_bytes(logged(tmp_path / "data"), again)
    kernel = Kernel.replay(tmp_path / "data" / "journal", snapshots=False)
    assert (kernel.state_hash(), kernel.event_hash()) == (state_hash, event_hash)
    # Each command ends in exactly one record that says so, and every record tells what caused it.
    ends = found[((found["flags"] & LAST) != 0) & (found["slot"] == SLOTS.index("client0"))]
    assert sorted(ends["kind"].tolist()) == sorted(commands["kind"].tolist())


def test_four_producers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    each = 5_000
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "core"), OPENING)

        def produce(number: int) -> None:
            port = attach(core, f"client{number}")
            rows = np.concatenate(
                [builders.new(order, BUY + order % 2, 1, 100 + order % 2, account_id=number + 1, time_in_force=4)
                 for order in range(1, 51)]
            )  # fmt: skip
            for start in range(0, each, 50):
                rows["order_id"] = np.arange(start + 1, start + 51)
                answered = carry_out(port, rows)
                accepted = answered[answered["event"]["kind"] == EventKind.ACCEPTED]
                results.setdefault(number, []).extend(accepted["event"]["order_id"].tolist())

        results: dict[int, list[int]] = {}
        threads = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(results[number] == list(range(1, each + 1)) for number in range(4))
    events = logged(tmp_path / "data")
    assert events["sequence"].tolist() == list(range(1, len(events) + 1))
    assert same_bytes(events, replayed(tmp_path / "data"))


def test_a_restarted_core_goes_on_in_the_same_journal(tmp_path: Path) -> None:
    hashes = []
    for life in range(3):
        with running(tmp_path, epoch=life + 1) as (core, found):
            assert found.kernel.last_sequence == found.commands
            if life == 0:
                carry_out(attach(core), OPENING)
            else:
                assert hashes[-1] == found.hash
            carry_out(attach(core), builders.batch(*(builders.new(life * 10 + n, BUY, 1, 50 + n) for n in range(1, 9))))
            with core.held() as kernel:
                hashes.append(kernel.state_hash())
    assert len({*hashes}) == 3
    assert verify(tmp_path / "data" / "journal").clean


def test_the_running_hashes_are_in_the_journal_every_block(tmp_path: Path) -> None:
    with running(tmp_path, capacity=8192, segment_bytes=16 << 20) as (core, _):
        port = attach(core, "core")
        carry_out(port, OPENING)
        rows = np.concatenate([builders.cancel(1)] * 4096)
        for _ in range(17):
            carry_out(port, rows)
    marks = [item for item in JournalReader(tmp_path / "data" / "journal") if not isinstance(item, np.ndarray)]
    assert [mark.command_sequence for mark in marks] == [65_536, len(OPENING) + 17 * 4096]
    Kernel.replay(tmp_path / "data" / "journal", snapshots=False)  # compares every mark


def test_a_command_of_any_kind_is_journalled_as_it_came(tmp_path: Path) -> None:
    strange = builders.batch(*(builders.command(kind, order_id=kind) for kind in (0, 21, 200, 254, 255)))
    with running(tmp_path) as (core, _):
        answered = carry_out(attach(core), strange)
    assert answered["event"]["reason"].tolist() == [Reason.MALFORMED] * 5
    assert answered["kind"].tolist() == strange["kind"].tolist()
    assert same_bytes(logged(tmp_path / "data"), replayed(tmp_path / "data"))


def test_a_command_without_an_event_is_answered_too(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        port = attach(core)
        carry_out(port, OPENING)
        answered = carry_out(port, builders.mark(100))
    assert answered["flags"].tolist() == [LAST | EMPTY]
    assert answered["event"]["sequence"].tolist() == [0]


def test_the_timers_of_the_kernel_are_woken_by_the_sequencer(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        port = attach(core, mode=ALL)
        carry_out(port, OPENING)
        now_ns = core.facts()["now_ns"]
        carry_out(port, builders.new(1, BUY, 1, 50, time_in_force=builders.GTD, expire_ns=now_ns + SECOND))
        buffer = np.zeros(8, DELIVERY)
        assert port.receive(buffer, 60 * SECOND) == 1
    event = buffer["event"][0]
    assert (event["kind"], event["order_id"], buffer["kind"][0]) == (EventKind.EXPIRED, 1, CommandKind.TIME)
    assert event["now_ns"] == now_ns + SECOND
    commands = np.concatenate([i for i in JournalReader(tmp_path / "data" / "journal") if isinstance(i, np.ndarray)])
    assert commands["kind"].tolist().count(CommandKind.TIME) == 1


def test_a_scaled_clock_stamps_platform_time(tmp_path: Path) -> None:
    from nautilus.core.clock import now_ns

    anchor = (now_ns(), 5_000_000_000_000, 1000.0)
    with running(tmp_path, clock=anchor) as (core, _):
        answered = carry_out(attach(core), OPENING)
    elapsed_ns = answered["event"]["now_ns"][-1] - 5_000_000_000_000
    assert 0 <= elapsed_ns <= (now_ns() - anchor[0]) * 1000


def test_an_urgent_source_overtakes_what_waits(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        port = attach(core)
        carry_out(port, OPENING)
        many = np.concatenate([builders.new(n, BUY, 1, 10 + n % 50, source_id=9) for n in range(1, 513)])
        many["source_sequence"] = np.arange(1, 513)
        kill = builders.kill(source_id=9 | URGENT_SOURCE, source_sequence=513)
        with core.held():
            assert port.send(np.concatenate([many, kill])) == 513
        answered = collect(port, 513)
    first = answered[0]
    assert (first["kind"], first["event"]["kind"]) == (CommandKind.KILL, EventKind.APPLIED)
    assert set(answered["event"]["reason"][1:].tolist()) == {Reason.KILLED}


def test_a_repeat_is_answered_and_not_applied(tmp_path: Path) -> None:
    order = builders.new(1, BUY, 1, 50, source_id=9, source_sequence=1)
    with running(tmp_path) as (core, _):
        port = attach(core)
        carry_out(port, OPENING)
        assert carry_out(port, order)["event"]["kind"].tolist() == [EventKind.ACCEPTED]
        assert carry_out(port, order)["event"]["kind"].tolist() == [EventKind.DUPLICATE]
        assert core.source_sequence(9) == 1


def test_a_full_feed_cuts_its_reader_off_and_nobody_waits(tmp_path: Path) -> None:
    with running(tmp_path, capacity=64) as (core, _):
        slow, busy = attach(core, "trading", ALL), attach(core, "client1")
        carry_out(busy, OPENING)
        for first in range(1, 1000, 40):
            rows = [builders.new(n, BUY, 1, 50, time_in_force=builders.IOC) for n in range(first, first + 20)]
            carry_out(busy, np.concatenate(rows))
        assert slow.cut
        assert core.facts()["cuts"] == 1
        buffer = np.zeros(4096, DELIVERY)
        count = slow.receive(buffer)
        kept = buffer["event"]["sequence"][:count].tolist()
        assert kept == list(range(1, 65))
        slow.join()
        while slow.joined is None:
            slow.receive(buffer[:0])
        joined = slow.joined
        assert joined == core.facts()["events"] + 1
        carry_out(busy, builders.new(5000, SELL, 1, 70))
        count = slow.receive(buffer, 60 * SECOND)
        assert buffer["event"]["sequence"][:count].tolist() == [joined]
    missed = EventLog(tmp_path / "data" / "events").read(65, joined - 65)
    assert missed["event"]["sequence"].tolist() == list(range(65, joined))


def test_a_core_that_is_not_ready_refuses_orders_and_takes_cancels(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        port = attach(core)
        carry_out(port, builders.batch(OPENING, builders.new(1, BUY, 1, 50)))
        # A clock behind the journal: the time that a command carries is not looked at, so the anchor does it here.
    from nautilus.core.clock import now_ns

    with running(tmp_path, clock=(now_ns(), now_ns() - 3600 * SECOND, 1.0), epoch=2) as (core, _):
        core.make_ready(False)
        port = attach(core)
        answered = carry_out(port, builders.batch(builders.new(2, BUY, 1, 50), builders.cancel(1)))
        assert answered["event"]["reason"].tolist() == [Reason.NOT_READY, Reason.REQUESTED]
        assert answered["flags"].tolist() == [LAST | REFUSED, LAST]
        assert core.facts()["not_ready"] == 1
    journal = np.concatenate([i for i in JournalReader(tmp_path / "data" / "journal") if isinstance(i, np.ndarray)])
    assert journal["kind"].tolist()[-1] == CommandKind.CANCEL
    assert CommandKind.NEW not in journal["kind"].tolist()[-1:]


def test_a_slot_has_one_living_client(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        attach(core, "client0")
        pid = os.fork()
        if pid == 0:
            try:
                Port(core.directory, "client0")
            except PortError as error:
                os._exit(3 if error.code == "core.slot_taken" else 4)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_a_slot_whose_holder_died_is_free_however_far_it_had_come(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        pid = os.fork()
        if pid == 0:
            attach(core, "client0")
            os._exit(0)
        os.waitpid(pid, 0)
        attach(core, "client0").close()
        # A process without a start time, as one has that is gone.
        with Path(core.directory, "core.slot.client1").open("r+b") as file:
            file.seek(272)
            file.write(pid.to_bytes(8, "little"))
        carry_out(attach(core, "client1"), OPENING)


def test_of_processes_that_want_a_slot_at_once_one_gets_it(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        for _ in range(5):
            (begin, begun), (said, say), (end, ended) = os.pipe(), os.pipe(), os.pipe()
            pids = []
            for _ in range(6):
                pids.append(os.fork())
                if pids[-1] == 0:
                    os.close(begun)
                    os.close(ended)
                    os.read(begin, 1)
                    try:
                        port = Port(core.directory, "client0")
                    except PortError:
                        os.write(say, b"-")
                        os._exit(0)
                    os.write(say, b"+")
                    os.read(end, 1)
                    port.close()
                    os._exit(0)
            os.close(begun)  # all at once
            answers = b"".join(os.read(said, 1) for _ in pids)
            os.close(ended)
            for pid in pids:
                os.waitpid(pid, 0)
            for descriptor in (begin, said, say, end):
                os.close(descriptor)
            assert sorted(answers) == sorted(b"+-----")


def test_a_new_holder_of_a_slot_gets_nothing_of_the_one_before(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        first = attach(core)
        carry_out(first, OPENING)
        first.send(builders.new(11, BUY, 5, 1000))
        while first.waiting() == 0:
            pass
        first.close()
        second = attach(core)
        assert second.waiting() == 0
        assert second.receive(np.zeros(8, DELIVERY)) == 0
        assert carry_out(second, builders.new(12, BUY, 5, 1000))["event"]["order_id"].tolist() == [12]
        # Who joins again, having been cut off, keeps what it has not read yet.
        second.send(builders.new(13, BUY, 5, 1000))
        while second.waiting() == 0:
            pass
        second.join()
        assert collect(second, 1)["event"]["order_id"].tolist() == [13]


def test_a_port_without_a_core_says_so(tmp_path: Path) -> None:
    with pytest.raises(PortError) as raised:
        Port(tmp_path, "client0")
    assert raised.value.code == "core.absent"
    with running(tmp_path) as (core, _):
        port, directory = attach(core), core.directory
        with pytest.raises(PortError):
            Port(directory, "nobody")
    assert port.retired
    with pytest.raises(PortError) as raised:
        Port(directory, "client0")
    assert raised.value.code == "core.absent"
    assert not core_facts(directory)["alive"]


def test_a_new_core_retires_the_ports_of_the_old_one(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        old = attach(core)
        assert not old.retired
    with running(tmp_path, epoch=7) as (core, _):
        assert old.retired
        port = attach(core)
        assert port.epoch == 7
        assert port.state == "ready"


def test_a_poll_is_woken_by_a_delivery(tmp_path: Path) -> None:
    import select

    with running(tmp_path) as (core, _):
        watcher, sender = attach(core, "trading", ALL), attach(core, "client1")
        assert watcher.arm()
        assert select.select([watcher.fileno()], [], [], 0.01)[0] == []
        carry_out(sender, OPENING)
        assert select.select([watcher.fileno()], [], [], 60)[0] == [watcher.fileno()]
        watcher.disarm()
        assert not watcher.arm()  # there is something to read already
        assert watcher.receive(np.zeros(64, DELIVERY)) == len(OPENING)


def test_latency_is_recorded_for_each_command(tmp_path: Path) -> None:
    histogram = Histogram()
    with running(tmp_path, latency=histogram) as (core, _):
        carry_out(attach(core), OPENING)
    assert len(histogram) == len(OPENING)
    assert histogram.maximum > 0


def test_policy_disk_shows_nothing_that_is_not_durable(tmp_path: Path) -> None:
    with running(tmp_path, policy="disk") as (core, _):
        port = attach(core)
        for number in range(1, 30):
            if number == 1:
                carry_out(port, OPENING)
            answered = carry_out(port, builders.new(number, BUY, 1, 50))
            assert core.facts()["durable_sequence"] >= answered["event"]["command_sequence"][-1]


def test_a_thousand_orders_are_cancelled_in_one_command(tmp_path: Path) -> None:
    with running(tmp_path, capacity=16384, open_orders=20_000) as (core, _):
        port = attach(core, mode=ALL)
        carry_out(port, OPENING)
        rows = np.concatenate([builders.new(1, BUY, 1, 50)] * 12_000)
        rows["order_id"] = np.arange(1, 12_001)
        for part in np.array_split(rows, 4):
            carry_out(port, part)
        answered = carry_out(port, builders.mass_cancel(account_id=1))
    assert len(answered) == 12_001
    assert answered["event"]["quantity"][-1] == 12_000
    assert (answered["flags"][:-1] & LAST).sum() == 0
    assert same_bytes(logged(tmp_path / "data"), replayed(tmp_path / "data"))
    assert EVENT.itemsize == 128
