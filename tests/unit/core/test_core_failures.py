"""A trading core whose disk is full or failing, or whose threads cannot be had; how it stops then."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nautilus.core.clock import now_ns
from nautilus.core.egress import recorded_latency
from nautilus.core.eventlog import DELIVERY, HEADER_BYTES
from nautilus.core.port import Port
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import EventKind, Reason, Side
from nautilus.trading.recovery import recover
from tests.kit import builders, preload
from tests.kit.core import OPENING, SECOND, attach, carry_out, running
from tests.kit.full_disk import largest_file
from tests.unit.core.test_trading_core import logged, replayed, same_bytes

BUY, SELL = Side.BUY, Side.SELL
SEGMENT = 1 << 20


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """With next to no room on it."""
    status = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(status.f_bavail * status.f_frsize - 65_536))
    yield
    (disk / "filler").unlink()


def fill(port: Port) -> None:
    """New orders until one is refused for want of room."""
    rows = np.concatenate([builders.new(1, BUY, 1, 1000, account_id=2, time_in_force=builders.IOC)] * 200)
    for first in range(1000, 10_000_000, 200):
        rows["order_id"] = np.arange(first, first + 200)
        if carry_out(port, rows)["event"]["reason"][-1] == Reason.JOURNAL_FULL:
            return


def wait_for(core: TradingCore, port: Port, state: str) -> None:
    for _ in range(2_000):
        if core.facts()["state"] == state:
            return
        port.receive(np.zeros(64, DELIVERY), SECOND // 20)
    raise AssertionError(f"expected a core that is {state}, found {core.facts()}")


def test_what_the_journal_takes_on_a_full_disk_is_logged_and_answered_to_the_end(tmp_path: Path) -> None:
    resting = np.concatenate([builders.new(order, BUY, 1, 50, account_id=3) for order in range(1, 301)])
    with small_disk(tmp_path / "disk") as disk, running(disk, segment_bytes=SEGMENT) as (core, _):
        port = attach(core)
        carry_out(port, OPENING)
        carry_out(port, resting)
        with filled(disk):
            fill(port)
            taken, cancels = 0, np.concatenate([builders.cancel(5, account_id=1)] * 500)
            for _ in range(100):
                answered = carry_out(port, cancels)["event"]["reason"]
                taken += int((answered != Reason.JOURNAL_FULL).sum())
            refused = answered[-1]
            # A kill switch finds room where a cancel does not any more, for every order that there is.
            killed = carry_out(port, builders.kill(account_id=3))["event"]
            assert core.facts()["state"] == "ready"
        order, end_ns = builders.new(9_999_999, BUY, 1, 50, account_id=2), now_ns() + 60 * SECOND
        while carry_out(port, order)["event"]["reason"][-1] == Reason.JOURNAL_FULL:
            assert now_ns() < end_ns
        core.stop()
        whole = same_bytes(logged(disk / "data"), replayed(disk / "data"))
    assert refused == Reason.JOURNAL_FULL
    assert taken > 3 * SEGMENT // 4 // 136
    assert killed["kind"].tolist().count(EventKind.CANCELLED) == len(resting)
    assert whole


def test_a_stop_does_not_wait_for_a_disk_without_room(tmp_path: Path) -> None:
    with running(tmp_path, segment_bytes=SEGMENT) as (core, found):
        port = attach(core)
        carry_out(port, OPENING)
        carry_out(port, np.concatenate([builders.cancel(5, account_id=1)] * 500))
        # The log cannot be written to any more, the journal, whose records are shorter, can.
        with largest_file(HEADER_BYTES + found.log.last_sequence * DELIVERY.itemsize):
            assert port.send(np.concatenate([builders.cancel(5, account_id=1)] * 50)) == 50
            while not core.facts()["log_waits"]:
                assert port.receive(np.zeros(64, DELIVERY), SECOND // 100) == 0
            assert core.facts()["log_error"] == errno.EFBIG
            stopping = threading.Thread(target=core.stop, daemon=True)
            stopping.start()
            stopping.join(120)
            assert not stopping.is_alive()
        assert port.retired
        assert core.facts()["state"] == "stopped"
        assert ["event log" in trouble for trouble in core.troubles] == [True]
        assert not core.stop()
        found.log.close()
    again = recover(str(tmp_path / "data"), policy="memory", open_orders=1 << 14, segment_bytes=SEGMENT)
    assert again.logged == 50
    again.journal.close()
    assert same_bytes(logged(tmp_path / "data"), replayed(tmp_path / "data"))


def test_a_core_whose_snapshot_cannot_be_written_stops_in_order_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as (core, found):
        port = attach(core)
        carry_out(port, OPENING)
        Path(found.journal.path, f"{len(OPENING):016x}.snapshot.new").mkdir()
        assert not core.stop()
        assert core.facts()["state"] == "stopped"
        assert port.retired
        assert "snapshot: not written" in core.troubles[0]


def test_an_error_of_the_event_log_ends_the_core_and_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as (core, found):
        port = attach(core)
        carry_out(port, OPENING)
        found.log.close()
        # Nobody else's file may get its number: the log would go on there.
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
        port.send(builders.cancel(1))
        wait_for(core, port, "failed")
        facts = core.facts()
        assert (facts["error"], facts["error_in"]) == (errno.EBADF, "event log")
        # It stays so, whatever is asked of it.
        core.make_ready()
        core.make_ready(False)
        assert core.facts()["state"] == "failed"
        assert not core.stop()
        assert core.facts()["state"] == "failed"
        assert core.troubles == [f"event log: errno {errno.EBADF}: Bad file descriptor"]
        for number in taken:
            os.close(number)
        found.journal.close()
    again = recover(str(tmp_path / "data"), policy="memory", open_orders=1 << 14, segment_bytes=SEGMENT)
    assert again.commands == len(OPENING) + 1
    again.journal.close()
    again.log.close()


def test_the_log_is_on_disk_before_a_snapshot_says_that_it_need_not_be_compared(tmp_path: Path) -> None:
    script = f"""
    from pathlib import Path
    from tests.kit.core import OPENING, attach, carry_out, running
    with running(Path({str(tmp_path)!r})) as (core, _):
        carry_out(attach(core), OPENING)
    """
    calls = [f"{call} {Path(path).suffix or Path(path).name}" for call, path in preload.traced(tmp_path, script)]
    assert calls.index("fsync .events") < calls.index("fsync events") < calls.index("fsync .new")


@pytest.mark.parametrize("which", [1, 2, 3])
def test_where_a_thread_cannot_be_had_none_is_left(tmp_path: Path, which: int) -> None:
    script = f"""
    import os
    from pathlib import Path
    from tests.kit.core import OPENING, SLOTS, attach, carry_out
    from nautilus.core.trading_core import TradingCore
    from nautilus.trading.recovery import recover
    place = Path({str(tmp_path)!r})
    found = recover(str(place / "data"), policy="memory", open_orders=1024, segment_bytes=1 << 20)
    core = TradingCore(found.kernel, found.journal, found.log, place, SLOTS, capacity=64)
    before = len(os.listdir("/proc/self/task"))
    try:
        core.start()
    except OSError as error:
        print(error.errno, len(os.listdir("/proc/self/task")) - before)
    print(core.stop(), found.kernel.open_orders)        # it belongs to nobody
    core.start()
    carry_out(attach(core), OPENING)
    print(core.stop())
    """
    words = preload.run(tmp_path, script, fail=f"pthread_create:{which},{errno.EAGAIN}")
    assert words == [str(errno.EAGAIN), "0", "True", "0", "True"]


def test_senders_that_never_pause_hold_up_neither_a_look_at_the_kernel_nor_a_stop(tmp_path: Path) -> None:
    with running(tmp_path, segment_bytes=16 << 20, capacity=4096) as (core, _):
        carry_out(attach(core, "core"), OPENING)
        ended, rows = threading.Event(), np.concatenate([builders.cancel(5, account_id=1)] * 512)

        def send(slot: str) -> None:
            port, out = attach(core, slot), np.zeros(4096, DELIVERY)
            while not ended.is_set():
                port.send(rows)
                port.receive(out)

        senders = [threading.Thread(target=send, args=(f"client{number}",)) for number in range(2)]
        for sender in senders:
            sender.start()
        looks = [core.source_sequence(1) for _ in range(20)]
        stopping = threading.Thread(target=core.stop, daemon=True)
        stopping.start()
        stopping.join(120)
        stopped = not stopping.is_alive()
        ended.set()
        for sender in senders:
            sender.join()
        assert looks == [0] * 20
        assert stopped


def test_a_latency_that_is_too_long_is_recorded_as_the_longest() -> None:
    assert recorded_latency(5 * SECOND, 5 * SECOND + 7) == 7
    assert recorded_latency(0, 4 * SECOND) == 4 * SECOND
    assert recorded_latency(0, 5 * SECOND) == recorded_latency(0, 3600 * SECOND) == (1 << 32) - 1
    assert recorded_latency(5, 4) == 0  # a clock that was set back
