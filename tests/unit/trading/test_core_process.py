"""The mesh's thread of a core answers whatever comes, once, and nothing that comes ends it."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.bus.envelope import Delivery, MessageKind
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.eventlog import EventLog
from nautilus.core.port import URGENT_SOURCE
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import COMMAND, EventKind, Reason
from nautilus.model.codec import MESSAGES, from_msgpack, to_msgpack
from nautilus.model.commands import (
    CancelOrder,
    CommandBatch,
    KillSwitch,
    MassCancel,
    ReplaceOrder,
    ResumeTrading,
    SubmitOrder,
    TradingCommand,
)
from nautilus.model.enums import Side
from nautilus.model.errors import BusError, NautilusError
from nautilus.model.events import BatchAcknowledged, CommandAcknowledged
from nautilus.model.message import Message
from nautilus.model.queries import MOST_ACCOUNTS, CoreState, GetCoreState, GetOrders, SourceState, SourceStatus
from nautilus.trading.process import COUNTED, SINCE_START, CoreProcess
from tests.kit import builders
from tests.kit.core import OPENING, attach, carry_out, running

EXTREMES = (-(2**63), -(2**31), -1, 0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1)


class Letters:
    """Messages as a mesh would deliver them, and what was answered."""

    generation = 0
    next_due_ns = 0

    def __init__(self) -> None:
        self.waiting: deque[Delivery] = deque()
        self.answers: dict[int, bytes | NautilusError | None] = {}
        self.posted = 0

    def post(self, payload: bytes | Message, kind: MessageKind = MessageKind.REQUEST) -> int:
        self.posted += 1
        data = payload if isinstance(payload, bytes) else to_msgpack(payload)
        self.waiting.append(Delivery(kind, self.posted, "test", "test", "core", data, 4))
        return self.posted

    def sockets(self) -> list[Any]:
        return []

    def descriptors(self) -> list[int]:
        return []

    def receive(self, *, ready: object) -> list[Delivery]:
        return [self.waiting.popleft() for _ in range(min(16, len(self.waiting)))]

    def done(self, delivery: Delivery, reply: bytes | None = None, error: NautilusError | None = None) -> None:
        assert delivery.id not in self.answers, "answered twice"
        self.answers[delivery.id] = reply if error is None else error

    def tick(self, now_ns: int) -> list[int]:
        return []


class Line:
    """A supervisor that tells to stop once every message was answered."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._ends = os.pipe()

    @property
    def stop_requested(self) -> bool:
        return len(self._letters.answers) == self._letters.posted

    def fileno(self) -> int:
        return self._ends[0]

    def poll(self) -> list[str]:
        return []

    def ready(self, ports: dict[str, int], /) -> None:
        pass

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


class Desk:
    """A core's process in this one, and the messages that it gets."""

    def __init__(self, core: TradingCore, counters: Counters) -> None:
        self.letters = Letters()
        self.line = Line(self.letters)
        self.core = core
        self.process = CoreProcess(core, core.directory, self.letters, self.line, counters, now_ns)  # type: ignore[arg-type]

    def run(self) -> None:
        assert self.process.run() == 0
        assert len(self.letters.answers) == self.letters.posted

    def take(self, *messages: Message) -> list[int]:
        """Let the mesh's thread hand messages over, and do nothing else."""
        numbers = [self.letters.post(message) for message in messages]
        while self.letters.waiting:
            self.process._take(self.letters.receive(ready=()))
        return numbers

    def ask(self, message: bytes | Message) -> Message:
        """The reply; what is raised is the error that was answered."""
        number = self.letters.post(message)
        self.run()
        answer = self.letters.answers[number]
        if isinstance(answer, NautilusError):
            raise answer
        assert answer is not None
        return from_msgpack(answer)


@contextmanager
def desk_in(directory: Path, counters: Counters | None = None, **options: Any) -> Iterator[Desk]:
    with running(directory, **options) as (core, _):
        desk = Desk(core, Counters() if counters is None else counters)  # an empty one is false
        if not core.facts()["commands"]:
            desk.process.set_up(OPENING)
        yield desk
        desk.line.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def order(number: int, **fields: Any) -> SubmitOrder:
    return SubmitOrder(1, 1, number, Side.BUY, 1, 50, **fields)


@pytest.mark.parametrize("account", [-(2**63), -1, 0, 2**32, 99_999_999_999, 2**64 - 1])
def test_an_account_that_cannot_be_is_refused_and_the_core_goes_on(desk: Desk, account: int) -> None:
    with pytest.raises(NautilusError) as raised:
        desk.ask(GetCoreState((1, account)))
    assert raised.value.code == "model"
    assert isinstance(desk.ask(GetCoreState((1, 2**32 - 1))), CoreState)


def test_more_accounts_than_the_core_stands_still_for_are_refused(desk: Desk) -> None:
    many = tuple(range(1, MOST_ACCOUNTS + 2))
    with pytest.raises(NautilusError, match=f"at most {MOST_ACCOUNTS}"):
        desk.ask(GetCoreState(many))
    assert isinstance(desk.ask(GetCoreState(many[:-1])), CoreState)


def test_an_account_that_is_named_again_is_told_once(desk: Desk) -> None:
    desk.ask(SubmitOrder(1, 1, 1, Side.BUY, 1, 50))
    desk.ask(SubmitOrder(2, 1, 1, Side.SELL, 1, 50))
    state = desk.ask(GetCoreState((2, 1, 2) * 1000))
    assert isinstance(state, CoreState)
    assert [position.account_id for position in state.positions] == [2, 1]


def test_what_nobody_foresaw_is_answered_and_logged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(message: GetCoreState) -> CoreState:
        raise OverflowError("of a sort")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "nautilus.trading"):
        patch.setattr(desk.process, "_state", broken)
        with pytest.raises(NautilusError) as raised:
            desk.ask(GetCoreState())
    assert raised.value.code == "internal"
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert isinstance(desk.ask(GetCoreState()), CoreState)


def extreme_messages(seed: int, wanted: int) -> Iterator[Message]:
    """Commands and questions whose numbers lie at the ends of every field, and past them."""
    random = Random(seed)
    kinds = (SubmitOrder, CancelOrder, ReplaceOrder, MassCancel, KillSwitch, ResumeTrading, SourceStatus, GetCoreState)
    for _ in range(wanted):
        kind = random.choice(kinds)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            if field.required or random.random() < 0.4:
                values[field.name] = random.choice(EXTREMES)
        if "side" in values and kind is SubmitOrder:
            values["side"] = random.choice(list(Side))
        for name in ("order_type", "time_in_force", "flags"):
            if name in values:
                values[name] = random.choice((1, 2))
        if kind is GetCoreState:
            values = {"accounts": tuple(random.choices(EXTREMES, k=3)), "hashes": False}
        yield kind(**values)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_is_answered_once_and_the_core_goes_on(desk: Desk, seed: int) -> None:
    random = Random(seed)
    posted: dict[int, Message] = {}
    for message in extreme_messages(seed, 300):
        kind = random.choice((MessageKind.REQUEST, MessageKind.REQUEST, MessageKind.COMMAND, MessageKind.EVENT))
        number = desk.letters.post(message, kind)
        if kind is MessageKind.REQUEST:
            posted[number] = message
        desk.letters.post(random.randbytes(random.randrange(40)))
    desk.run()
    for number, message in posted.items():
        answer = desk.letters.answers[number]
        if isinstance(answer, NautilusError):
            assert answer.code == "model", (message, answer)
        elif isinstance(message, TradingCommand):
            assert answer is not None
            reply = from_msgpack(answer)
            assert isinstance(reply, CommandAcknowledged)
            assert (reply.source_id, reply.source_sequence) == (message.source_id, message.source_sequence)
    desk.ask(ResumeTrading())
    assert isinstance(desk.ask(GetCoreState((1,))), CoreState)


def test_every_kind_of_message_is_answered(desk: Desk) -> None:
    for kind in MESSAGES:
        for depth in (0, 1, 500):
            desk.letters.post(msgspec.msgpack.encode([kind.__name__, *([0] * depth)]))
    desk.letters.post(b"\x91" * 100_000)
    desk.run()
    with pytest.raises(NautilusError, match="SourceStatus, GetCoreState"):
        desk.ask(GetOrders())


def test_commands_of_both_rings_get_their_own_answers(desk: Desk) -> None:
    numbers = {}
    for number in range(1, 21):
        numbers[desk.letters.post(order(number, source_id=4, source_sequence=number))] = (4, number, True)
        if number % 5 == 0:
            kill = KillSwitch(5, source_id=4, source_sequence=100 + number)
            numbers[desk.letters.post(kill)] = (4, 100 + number, True)
            numbers[desk.letters.post(MassCancel(3, source_id=6, source_sequence=number))] = (6, number, True)
            numbers[desk.letters.post(MassCancel(4))] = (0, 0, True)
    desk.run()
    for number, expected in numbers.items():
        answer = desk.letters.answers[number]
        assert isinstance(answer, bytes)
        reply = from_msgpack(answer)
        assert isinstance(reply, CommandAcknowledged)
        assert (reply.source_id, reply.source_sequence, reply.accepted) == expected
    status = desk.ask(SourceStatus(4))
    assert isinstance(status, SourceState)
    assert status.source_sequence == 120


def accepted(desk: Desk, number: int) -> tuple[bool, str]:
    """Whether a command was carried out, and why not."""
    answer = desk.letters.answers[number]
    assert isinstance(answer, bytes), answer
    reply = from_msgpack(answer)
    assert isinstance(reply, CommandAcknowledged)
    return reply.accepted, reply.reason.name


def until(found: Callable[[], object]) -> None:
    begun_ns = now_ns()
    while not found():
        assert now_ns() - begun_ns < 60_000_000_000, "it does not come"


@pytest.mark.parametrize("numbered", [True, False])
def test_after_a_cut_every_command_gets_its_own_answer(tmp_path: Path, numbered: bool) -> None:
    sent = count(1)

    def counted(command: Any) -> Message:
        fields = {"source_id": 9, "source_sequence": next(sent)} if numbered else {}
        changed = msgspec.structs.replace(command, **fields)
        assert isinstance(changed, Message)
        return changed

    with desk_in(tmp_path, capacity=64) as desk:
        market = attach(desk.core)
        for number in range(100, 200, 10):
            carry_out(market, np.concatenate([builders.new(n, Side.BUY, 1, 50) for n in range(number, number + 10)]))
        # More events than the feed of the mesh's slot takes.
        [swept] = desk.take(counted(MassCancel(1)))
        until(lambda: desk.core.facts()["cuts"])
        with desk.core.held():
            [unknown] = desk.take(counted(CancelOrder(1, 0, 424_242)))
            desk.process._complete(0)
            desk.process._complete(0)
            assert not any(isinstance(answer, NautilusError) for answer in desk.letters.answers.values())
            [killed] = desk.take(counted(KillSwitch(3)))
        [entered, again] = desk.take(counted(order(7_777)), counted(order(7_777)))
        desk.run()
        assert accepted(desk, swept) == (True, "NONE")
        assert accepted(desk, unknown) == (False, "UNKNOWN_ORDER")
        assert accepted(desk, killed) == (True, "NONE")
        assert accepted(desk, entered) == (True, "NONE")
        assert accepted(desk, again) == (False, "DUPLICATE_ORDER")

        def settled() -> bool:
            desk.process._complete(0)
            return not desk.process._waiting()

        until(settled)


def test_a_new_order_without_a_number_that_was_under_way_at_a_cut_is_not_known(tmp_path: Path) -> None:
    with desk_in(tmp_path, capacity=64) as desk:
        carry_out(attach(desk.core), np.concatenate([builders.new(n, Side.BUY, 1, 50) for n in range(100, 164)]))
        carry_out(attach(desk.core), np.concatenate([builders.new(n, Side.BUY, 1, 50) for n in range(200, 264)]))
        [swept] = desk.take(MassCancel(1))
        until(lambda: desk.core.facts()["cuts"])
        with desk.core.held():
            [doubtful] = desk.take(order(1))
            desk.process._complete(0)
            desk.process._complete(0)
        [entered, refused] = desk.take(order(2), order(2))
        desk.run()
        assert isinstance(desk.letters.answers[doubtful], BusError)
        assert accepted(desk, swept) == (True, "NONE")
        assert accepted(desk, entered) == (True, "NONE")
        assert accepted(desk, refused) == (False, "DUPLICATE_ORDER")


def test_cancels_and_kill_switches_pass_orders_that_find_no_room(tmp_path: Path) -> None:
    with desk_in(tmp_path, capacity=64) as desk:
        desk.ask(order(1, source_id=4, source_sequence=1))
        with desk.core.held():
            entered = desk.take(*(order(n, source_id=4, source_sequence=n) for n in range(2, 70)))
            cancelled, late, killed, swept = desk.take(
                CancelOrder(1, 0, 1, source_id=4, source_sequence=70),
                order(71, source_id=4, source_sequence=71),
                KillSwitch(1, source_id=4, source_sequence=1),
                MassCancel(2),
            )
            assert late in desk.letters.answers, "it would go past the cancel"
            assert killed not in desk.letters.answers
        desk.run()
        assert accepted(desk, cancelled) in ((True, "NONE"), (False, "CLOSED_ORDER"))  # the kill switch overtakes it
        assert accepted(desk, killed) == (True, "NONE")
        assert accepted(desk, swept) == (True, "NONE")
        assert [accepted(desk, number) for number in entered[-4:]] == [(False, "BUSY")] * 4
        assert accepted(desk, late) == (False, "BUSY")


@pytest.mark.parametrize("source", [-1, URGENT_SOURCE, URGENT_SOURCE | 4, 2**16])
def test_a_source_that_would_overtake_by_itself_is_refused(desk: Desk, source: int) -> None:
    for message in (order(1, source_id=source, source_sequence=1), SourceStatus(source)):
        with pytest.raises(NautilusError, match=f"source_id {source}"):
            desk.ask(message)


def test_what_only_grows_is_a_counter_and_goes_on_over_restarts(tmp_path: Path) -> None:
    counters = Counters()
    seen = []
    for life in range(2):
        with desk_in(tmp_path, counters) as desk:
            for number in range(1, 6):
                desk.ask(order(10 * life + number, source_id=4, source_sequence=10 * life + number))
            desk.letters.post(b"rubbish")
            desk.run()
            desk.process.mirror()
            seen.append(counters.snapshot())
    growing = {f"orders.{name}" for name in COUNTED} | {f"core.{name}" for name in (*SINCE_START, "commands", "events")}
    assert not growing & counters.gauges()
    assert {"orders.open", "journal.last_sequence", "core.counted_sequence"} <= counters.gauges()
    events = EventLog(tmp_path / "data" / "events").read(1, 1 << 16)["event"]
    for before, after in pairwise(seen):
        assert all(after[name] >= before[name] for name in growing)
    assert seen[-1]["orders.accepted"] == int((events["kind"] == EventKind.ACCEPTED).sum()) == 10
    assert seen[-1]["core.events"] == len(events)
    assert seen[-1]["core.joins"] > seen[0]["core.joins"]
    assert seen[-1]["core.invalid"] == 2


def batch(*commands: TradingCommand) -> CommandBatch:
    return CommandBatch(b"".join(command.to_row(0) for command in commands))


def outcomes(desk: Desk, number: int) -> list[tuple[bool, str]]:
    """Whether each command of a batch was carried out, and why it was not."""
    answer = desk.letters.answers[number]
    assert isinstance(answer, bytes)
    reply = from_msgpack(answer)
    assert isinstance(reply, BatchAcknowledged)
    assert len(reply.last_sequences) == len(reply.accepted) == len(reply.reasons)
    return [(yes, Reason(why).name) for yes, why in zip(reply.accepted, reply.reasons, strict=True)]


def test_a_batch_is_carried_out_in_order_and_answered_once_for_each_of_its_commands(desk: Desk) -> None:
    number = desk.letters.post(
        batch(
            order(1, source_id=4, source_sequence=1),
            ReplaceOrder(1, 1, 1, 3, 51, source_id=4, source_sequence=2),
            CancelOrder(1, 1, 1, source_id=4, source_sequence=3),
            CancelOrder(1, 1, 1, source_id=4, source_sequence=4),
            order(1, source_id=4, source_sequence=5),
            order(2, source_id=4, source_sequence=5),
        )
    )
    alone = desk.letters.post(order(3, source_id=4, source_sequence=6))
    desk.run()
    yes = (True, "NONE")
    assert outcomes(desk, number)[:3] == [yes, yes, yes]
    assert outcomes(desk, number)[3:5] == [(False, "CLOSED_ORDER"), (False, "DUPLICATE_ORDER")]
    assert not outcomes(desk, number)[5][0], "a repeat of a number is not carried out"
    assert accepted(desk, alone) == yes
    events = desk.core.log.last_sequence
    reply = from_msgpack(desk.letters.answers[number])  # type: ignore[arg-type]
    assert isinstance(reply, BatchAcknowledged)
    assert list(reply.last_sequences) == sorted(reply.last_sequences)
    assert 0 < reply.last_sequences[-1] < events


def test_batches_and_single_commands_of_many_sources_get_their_own_answers(desk: Desk) -> None:
    random = Random(5)
    expected: dict[int, int] = {}
    ids = count(1)
    sequences = {source: count(1) for source in range(3, 7)}
    for _ in range(60):
        source = random.choice(list(sequences))
        orders = [
            order(next(ids), source_id=source, source_sequence=next(sequences[source]))
            for _ in range(random.choice((1, 1, 2, 9, 40)))
        ]
        if len(orders) == 1:
            assert desk.letters.post(orders[0])
            desk.letters.post(KillSwitch(5, source_id=source, source_sequence=next(sequences[source])))
        else:
            expected[desk.letters.post(batch(*orders))] = len(orders)
    desk.run()
    assert {number: len(outcomes(desk, number)) for number in expected} == expected
    assert all(outcomes(desk, number) == [(True, "NONE")] * size for number, size in expected.items())


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (b"", "1 to 256 records"),
        (b"x" * 127, "1 to 256 records"),
        (order(1).to_row(0) * 257, "1 to 256 records"),
        (order(1).to_row(0) + KillSwitch(1).to_row(0), r"rows\[1\].*NEW, CANCEL or REPLACE"),
        (MassCancel(1, source_sequence=1).to_row(0), r"rows\[0\]"),
        (bytes(128), "kind 0"),
        (order(1, source_id=URGENT_SOURCE, source_sequence=1).to_row(0), f"source_id {URGENT_SOURCE}"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(desk: Desk, rows: bytes, match: str) -> None:
    before = desk.core.facts()["commands"]
    with pytest.raises(NautilusError, match=match):
        desk.ask(CommandBatch(rows))
    assert desk.core.facts()["commands"] == before
    assert isinstance(desk.ask(GetCoreState((1,))), CoreState)


def test_rows_of_any_bytes_are_answered_and_the_core_goes_on(desk: Desk) -> None:
    random = np.random.default_rng(3)
    numbers = []
    for size in (1, 7, 64):
        records = np.frombuffer(bytearray(random.bytes(size * COMMAND.itemsize)), COMMAND)
        records["kind"] = random.integers(1, 4, size)
        records["source_id"] &= URGENT_SOURCE - 1
        numbers.append((desk.letters.post(CommandBatch(records.tobytes())), size))
    desk.run()
    assert [len(outcomes(desk, number)) for number, _ in numbers] == [size for _, size in numbers]
    desk.ask(ResumeTrading())
    assert isinstance(desk.ask(GetCoreState((1,))), CoreState)


def test_orders_of_a_batch_that_find_no_room_are_refused_and_its_cancels_wait(tmp_path: Path) -> None:
    with desk_in(tmp_path, capacity=64) as desk:
        desk.ask(order(1, source_id=4, source_sequence=1))
        with desk.core.held():
            first, second = desk.take(
                batch(*(order(n, source_id=4, source_sequence=n) for n in range(2, 62))),
                batch(
                    *(order(n, source_id=4, source_sequence=n) for n in range(62, 70)),
                    CancelOrder(1, 1, 1, source_id=4, source_sequence=70),
                ),
            )
            assert second not in desk.letters.answers, "its cancel is still to come"
        desk.run()
        assert outcomes(desk, first) == [(True, "NONE")] * 60
        assert (False, "BUSY") in outcomes(desk, second)
        assert outcomes(desk, second)[-1] == (True, "NONE")


def test_a_batch_under_way_at_a_cut_is_answered_once(tmp_path: Path) -> None:
    with desk_in(tmp_path, capacity=64) as desk:
        carry_out(attach(desk.core), np.concatenate([builders.new(n, Side.BUY, 1, 50) for n in range(100, 164)]))
        carry_out(attach(desk.core), np.concatenate([builders.new(n, Side.BUY, 1, 50) for n in range(200, 264)]))
        desk.take(MassCancel(1))
        until(lambda: desk.core.facts()["cuts"])
        with desk.core.held():
            numbered, doubtful = desk.take(
                batch(*(order(n, source_id=4, source_sequence=n) for n in range(1, 9))), batch(order(11), order(12))
            )
            desk.process._complete(0)
            desk.process._complete(0)
        [entered] = desk.take(order(2_000))
        desk.run()
        assert outcomes(desk, numbered) == [(True, "NONE")] * 8
        assert isinstance(desk.letters.answers[doubtful], BusError)
        assert accepted(desk, entered) == (True, "NONE")
