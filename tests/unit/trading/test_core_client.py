"""A client sees every event once and in order, and its commands are carried out once, whatever becomes of the core."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.clock import now_ns
from nautilus.core.eventlog import EventLog
from nautilus.core.journal_reader import JournalReader
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import EventKind, Reason, Side
from nautilus.trading.client import ABSENT, SILENCE_NS, SILENT, CoreAbsentError, CoreBusyError, CoreClient
from nautilus.trading.recovery import recover
from nautilus.trading.rim import MOST_WAIT_NS, OutcomeUnknownError, RefusedError, RemoteCore
from tests.kit import builders
from tests.kit.core import OPENING, SLOTS, attach, carry_out, running

SOURCE = 4
PATIENCE_NS = 60_000_000_000


def client_of(directory: Path, slot: str = "marketdata", after: int = 0) -> CoreClient:
    return CoreClient(
        str(directory / "shared"), slot, source_id=SOURCE, log=str(directory / "data" / "events"), after=after
    )


def orders(first: int, count: int, price: int = 50) -> np.ndarray:
    rows = np.concatenate([builders.new(1, Side.BUY, 1, price)] * count)
    rows["order_id"] = np.arange(first, first + count)
    return dated(rows)


def dated(commands: np.ndarray) -> np.ndarray:
    """Commands as the trading engine gives them."""
    commands["now_ns"] = now_ns()
    return commands


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
        for _ in range(1_000_000):  # it does not wait while it joins
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


def watch(client: CoreClient, until: Callable[[], bool]) -> None:
    """Look after the core as a process does, until it is so."""
    begun_ns = now_ns()
    while now_ns() - begun_ns < 60_000_000_000:
        client.poll(1_000_000)
        client.check()
        if until():
            return
    raise AssertionError("the client does not notice")


@contextmanager
def stopped(victim: Victim) -> Iterator[None]:
    os.kill(victim.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, victim.pid, os.WSTOPPED)  # all of its threads
    try:
        yield
    finally:
        os.kill(victim.pid, signal.SIGCONT)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path, 1)
    try:
        yield made
    finally:
        made.kill()


def remote_of(directory: Path) -> RemoteCore:
    """The trading engine's core, opened."""
    remote = RemoteCore(PATIENCE_NS)
    remote.client = client_of(directory, "trading")
    watch(remote.client, lambda: remote.client is not None and remote.client.current)
    for row in range(len(OPENING)):
        remote.process(dated(OPENING[row : row + 1].copy()))
    remote.wait_ns = MOST_WAIT_NS
    return remote


def test_a_core_that_hangs_is_silent_and_one_that_idles_is_not(tmp_path: Path, victim: Victim) -> None:
    client = client_of(tmp_path)
    watch(client, lambda: client.current)
    begun_ns = now_ns()
    watch(client, lambda: now_ns() - begun_ns > 2 * SILENCE_NS and not client.refuses)
    with stopped(victim):
        watch(client, lambda: client.silent)
        assert client.refuses == SILENT
    watch(client, lambda: not client.refuses)


def test_a_core_that_has_gone_is_said_to_be_after_a_while(tmp_path: Path, victim: Victim) -> None:
    client = client_of(tmp_path)
    watch(client, lambda: client.current)
    victim.kill()
    watch(client, lambda: client.absent)
    assert not client.refuses
    watch(client, lambda: bool(client.refuses))
    assert client.refuses == ABSENT
    again = Victim(tmp_path, 2)
    try:
        watch(client, lambda: not client.refuses)
    finally:
        again.kill()


def test_a_silent_core_is_asked_once_then_orders_are_refused_and_a_kill_goes_on(tmp_path: Path, victim: Victim) -> None:
    remote = remote_of(tmp_path)
    client = remote.client
    assert client is not None
    with stopped(victim):
        with pytest.raises(OutcomeUnknownError, match="order 7 ") as doubt:
            remote.process(orders(7, 1))
        assert doubt.value.code == "bus.unknown"
        for number in range(8, 108):
            with pytest.raises(RefusedError, match=f"order {number} was not sent"):
                remote.process(orders(number, 1))
        for command in (builders.cancel(7), builders.kill()):
            with pytest.raises(OutcomeUnknownError):
                remote.process(dated(command))
    watch(client, lambda: not client.silent)
    events = np.concatenate([batch[0] for batch in remote.take_feed()])
    # The kill switch overtook the order that was in doubt; nothing of what was refused came.
    own = events[events["order_id"] > 0]
    assert (own["order_id"] == 7).all()
    killed = remote.process(orders(200, 1))
    assert killed["reason"].tolist() == [Reason.KILLED]
    client.close()


def test_an_order_under_way_while_the_core_dies_is_in_doubt_and_carried_out_by_the_next(
    tmp_path: Path, victim: Victim
) -> None:
    remote = remote_of(tmp_path)
    client = remote.client
    assert client is not None
    with stopped(victim):
        client.submit(orders(7, 1))
    victim.kill()
    with pytest.raises((CoreAbsentError, OutcomeUnknownError)):
        remote.process(orders(8, 1))
    again = Victim(tmp_path, 2)
    try:
        watch(client, lambda: client.current and not client.refuses)
        events = remote.process(orders(9, 1))
        assert events["order_id"].tolist() == [9]
    finally:
        again.kill()
    client.close()


@contextmanager
def clock_back(monkeypatch: pytest.MonkeyPatch, by_ns: int) -> Iterator[None]:
    """What is made meanwhile reads a clock that went back."""
    with monkeypatch.context() as patch:
        patch.setattr("nautilus.trading.client.now_ns", lambda: now_ns() - by_ns)
        yield


@pytest.mark.parametrize("by_ns", [1_000, 3_600 * 10**9, 10**17])
def test_commands_are_carried_out_after_the_clock_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_ns: int
) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "client0"), OPENING)
        ahead = RemoteCore(PATIENCE_NS)
        ahead.client = client_of(tmp_path, "trading")
        for command in (orders(1, 1), builders.kill(2), builders.resume(2)):
            assert EventKind.DUPLICATE not in ahead.process(dated(command))["kind"]
        ahead.client.close()
        with clock_back(monkeypatch, by_ns):
            for after in (0, core.facts()["events"]):
                remote = RemoteCore(PATIENCE_NS)
                remote.client = client_of(tmp_path, "trading", after)
                killed = remote.process(dated(builders.kill(1)))
                assert killed["kind"].tolist()[-1] == EventKind.APPLIED
                assert remote.process(orders(3, 1))["reason"].tolist() == [Reason.KILLED]
                assert remote.process(dated(builders.resume(1)))["kind"].tolist() == [EventKind.APPLIED]
                entered = remote.process(orders(10 + after, 1))
                assert entered["kind"].tolist() == [EventKind.ACCEPTED]
                remote.client.close()


def test_a_market_is_played_after_the_clock_went_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "client0"), OPENING)
        seen: list[int] = []
        before = client_of(tmp_path)
        pump(before, before.submit(orders(1, 5)), seen)
        before.close()
        with clock_back(monkeypatch, 10**12):
            client = client_of(tmp_path, after=seen[-1])
            seen = []
            first, last = client.submit(orders(11, 20)), client.submit(orders(31, 20))
            assert last == first + 20
            pump(client, last, seen)
            core.make_ready(False)  # what is refused has the numbers that it was sent under
            refused: list[int] = []
            third = client.submit(orders(51, 2))
            while client.completed < third:
                batch = client.poll(1_000_000)
                refused += batch.refusals["source_sequence"].tolist() if batch is not None else []
            assert set(refused) <= {third - 1, third}
            client.close()
        events = EventLog(tmp_path / "data" / "events").read(1, 1 << 16)["event"]
        entered = events[events["kind"] == EventKind.ACCEPTED]["order_id"].tolist()
        assert entered[:45] == [*range(1, 6), *range(11, 51)]
        # The first one alone asks whether the numbers are high enough.
        repeats = events[events["kind"] == EventKind.DUPLICATE]
        assert set(repeats["order_id"].tolist()) == {11}


def test_an_order_that_nobody_knows_of_is_not_carried_out_later(tmp_path: Path, victim: Victim) -> None:
    remote = remote_of(tmp_path)
    client = remote.client
    assert client is not None
    remote.process(orders(5, 1))
    remote.process(dated(builders.kill(3)))
    begun_ns = now_ns()
    with stopped(victim):
        with pytest.raises(
            OutcomeUnknownError, match=r"after \d\d:\d\d:\d\d\.\d{3} UTC it is not carried out any more"
        ):
            remote.process(orders(7, 1))
        assert now_ns() - begun_ns >= MOST_WAIT_NS
        with pytest.raises(OutcomeUnknownError, match="as soon as the core can"):
            remote.process(dated(builders.cancel(5)))
        with pytest.raises(OutcomeUnknownError, match="is not carried out any more"):
            remote.process(dated(builders.resume(3)))
    watch(client, lambda: client.current and not client.silent)
    log = EventLog(tmp_path / "data" / "events").read(1, 1 << 12)["event"]
    assert [(EventKind(row["kind"]), Reason(row["reason"])) for row in log[-3:]] == [
        (EventKind.REJECTED, Reason.LATE),
        (EventKind.CANCELLED, Reason.REQUESTED),
        (EventKind.REJECTED, Reason.LATE),
    ]
    client.close()


@pytest.mark.parametrize("ahead_ns", [-3_600 * 10**9, 3_600 * 10**9])
def test_a_clock_that_was_set_makes_at_most_one_order_late(tmp_path: Path, ahead_ns: int) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "client0"), OPENING)
        remote = RemoteCore(PATIENCE_NS)
        remote.client = client_of(tmp_path, "trading")
        remote.clock = lambda: now_ns() + ahead_ns
        found, took_ns = [], []
        for number in range(1, 6):
            row = orders(number, 1)
            begun_ns = now_ns()
            found.append(remote.process(row)["reason"].tolist())
            took_ns.append(now_ns() - begun_ns)
        assert found[1:] == [[Reason.NONE]] * 4
        limit = row["deadline_ns"][0] - begun_ns
        assert abs(limit - PATIENCE_NS) <= max(took_ns), "as the core counts time"
        remote.client.close()


def test_a_senders_own_deadline_is_kept_where_it_is_earlier(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "client0"), OPENING)
        remote = RemoteCore(PATIENCE_NS)
        remote.client = client_of(tmp_path, "trading")
        for deadline_ns, reason in ((1, Reason.LATE), (1 << 62, Reason.NONE)):
            row = orders(1, 1)
            row["deadline_ns"] = deadline_ns
            assert remote.process(row)["reason"].tolist() == [reason]
            assert row["deadline_ns"][0] <= now_ns() + PATIENCE_NS
        remote.client.close()


def test_without_a_core_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with pytest.raises(CoreAbsentError):
        client_of(tmp_path).submit(orders(1, 1))


def test_a_batch_is_the_callers_own_whatever_comes_after_it(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        carry_out(attach(core, "client0"), OPENING)
        client = client_of(tmp_path)
        kept = []
        for number in range(1, 6):
            last = client.submit(orders(number, 1))
            while client.completed < last:
                batch = client.poll(1_000_000)
                if batch is not None:
                    kept.append((batch, batch.events.copy(), batch.kinds.copy()))
        client.close()
    assert [batch for batch, _, _ in kept if len(batch.events) == 1], "one event alone is what could be shared"
    for batch, events, kinds in kept:
        assert (batch.events == events).all()
        assert (batch.kinds == kinds).all()


def test_a_core_of_a_lower_epoch_than_another_one_has_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        known = CoreClient(
            core.directory, "client0", source_id=7, log=core.log.path, least_epoch=core.journal.epoch + 1
        )
        assert known.poll() is None
        assert known.absent
        assert known.refuses == "the core has epoch 1; expected 2, which another one has"
        with pytest.raises(CoreAbsentError):
            known.submit(orders(1, 1))
        other = CoreClient(core.directory, "client1", source_id=8, log=core.log.path)
        other.poll()
        assert other.least_epoch == 1
        other.close()
