"""Commands, events, limits and accounts: what they become for the core, and on the wire."""

import contextlib
import inspect
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import COMMAND, EVENT, Kernel
from nautilus.model import codec, enums
from nautilus.model.account import Account
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import (
    CancelOrder,
    CommandMessage,
    KillSwitch,
    MassCancel,
    ReplaceOrder,
    ResumeTrading,
    SetPhase,
    SubmitOrder,
)
from nautilus.model.enums import (
    AccountFlag,
    CommandKind,
    LimitKind,
    OrderFlag,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
)
from nautilus.model.errors import ModelError
from nautilus.model.events import ExecutionReport, OrderAccepted, OrderFilled, OrderRejected, OrderRouted
from nautilus.model.limits import Limits
from nautilus.model.message import Message
from nautilus.model.position import Position, PositionChanged
from nautilus.model.records import EVENT_FIELDS, command_array, command_row
from nautilus.model.topics import BY_MESSAGE, TOPICS, topic_of
from tests.kit.context import btcusdt

ORDER = SubmitOrder(
    account_id=3,
    instrument_id=1,
    order_id=7,
    side=Side.SELL,
    quantity=5,
    price_ticks=600_000,
    time_in_force=TimeInForce.GTD,
    flags=OrderFlag.POST_ONLY,
    expire_ns=99,
    strategy_id=4,
    source_id=2,
    source_sequence=11,
    deadline_ns=88,
    trigger_ticks=600_100,
    display_quantity=2,
    min_quantity=1,
    offset=-3,
    group_id=9,
    parent_order_id=2**63,
)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "messages_v1.json").read_text())


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_a_command_row_has_every_field_of_the_record():
    names = set(inspect.signature(command_row).parameters)
    assert names | {"sequence"} == set(COMMAND.names)
    values = {name: number for number, name in enumerate(sorted(names), 1)}
    row = command_array(command_row(**values))[0]
    assert {name: int(row[name]) for name in names} == values


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="order 5"):
        command_row(kind=1, order_id=5, price_ticks=2**63)


def test_event_fields_give_the_position_in_a_row():
    events = np.zeros(1, EVENT)
    events["reason"] = 9
    assert events.tolist()[0][EVENT_FIELDS["reason"]] == 9


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (ORDER, CommandKind.NEW),
        (CancelOrder(3, 1, 7, 4, 2, 12), CommandKind.CANCEL),
        (ReplaceOrder(3, 1, 7, 5, 600_010, 4, 2, 13, 88, 600_020), CommandKind.REPLACE),
        (MassCancel(3, 1, Side.BUY, 4, 2, 14), CommandKind.MASS_CANCEL),
        (KillSwitch(3, 1, 2, 15, 4), CommandKind.KILL),
        (ResumeTrading(3, 1, 2, 16, 4), CommandKind.RESUME),
    ],
)
def test_every_field_of_a_command_reaches_the_record(message, kind):
    row = command_array(message.to_row(50))[0]
    assert row["kind"] == kind
    assert row["now_ns"] == 50
    for name in message.__struct_fields__:
        assert row[name] == getattr(message, name), name


def test_a_phase_is_also_the_order_id_which_the_event_repeats():
    row = command_array(SetPhase(SessionPhase.CLOSING_AUCTION, 3, 90, 20_260_101, 2, 17).to_row(50))[0]
    told = {name: int(row[name]) for name in COMMAND.names if row[name]}
    assert told == {
        "kind": CommandKind.SESSION,
        "now_ns": 50,
        "order_id": SessionPhase.CLOSING_AUCTION,
        "group_id": SessionPhase.CLOSING_AUCTION,
        "instrument_id": 3,
        "expire_ns": 90,
        "offset": 20_260_101,
        "source_id": 2,
        "source_sequence": 17,
    }
    kernel = Kernel(instruments=[btcusdt()], huge_pages=False)
    told, applied = kernel.process(command_array(SetPhase(SessionPhase.HALTED, 1).to_row(1)))
    assert (told["kind"], told["quantity"]) == (enums.EventKind.PHASE, SessionPhase.HALTED)
    assert (applied["order_id"], applied["instrument_id"]) == (SessionPhase.HALTED, 1)


@pytest.mark.parametrize("name", GOLDEN["fields"])
def test_fields_of_a_message_are_only_appended_and_have_defaults(name):
    kind = next(kind for kind in codec.MESSAGES if kind.__name__ == name)
    then, now = GOLDEN["fields"][name], list(kind.__struct_fields__)
    assert now[: len(then)] == then
    for field in msgspec.structs.fields(kind)[len(then) :]:
        assert not field.required, field.name


@pytest.mark.parametrize("number", range(len(GOLDEN["json"])))
def test_messages_of_version_1_are_still_read(number):
    text = GOLDEN["json"][number]
    message = codec.from_json(text)
    assert codec.from_msgpack(bytes.fromhex(GOLDEN["msgpack"][number])) == message
    given = json.loads(text)
    assert json.loads(codec.to_json(message))[: len(given)] == given


def test_every_message_is_known_to_the_codec():
    abstract = {ExecutionReport, CommandMessage}
    words = {kind for kind in subclasses(Message) if kind.__module__.startswith("nautilus.model.")}
    assert {kind for kind in words if kind.__name__[0] != "_"} - abstract == set(codec.MESSAGES)


@pytest.mark.parametrize(
    "message",
    [
        ORDER,
        btcusdt(),
        Limits(order_quantity=5),
        Account(1, "first"),
        OrderFilled(1, 2, 3, 4, 5, 6, Side.BUY, 7, 8, 9, match_id=10, maker=True),
        OrderRejected(1, 2, 3, 4, 5, 6, None, 7, 8, 9, reason=Reason.TICK, violated=(Reason.TICK, Reason.LOT)),
        OrderAccepted(1, 2, 3, 4, 5, 6, Side.BUY, 7, 8, 9, order_type=OrderType.PEGGED, flags=OrderFlag.PEG_MID),
        OrderRouted(1, 2, 3, 4, 5, 6, Side.BUY, 7, 8, 9, request=CommandKind.REPLACE, trigger_ticks=-5),
        SetPhase(SessionPhase.PRE_OPEN),
        RiskAlert(1, 2, 3, 4, "loss", 5, 6),
        PositionChanged(1, 2, 3, Position(1, 1, -5, 2**80, -(2**90))),
    ],
)
def test_a_message_survives_the_wire(message):
    assert codec.from_json(codec.to_json(message)) == message
    assert json.loads(codec.to_json(message))[0] == type(message).__name__
    if not isinstance(message, PositionChanged):
        assert codec.from_msgpack(codec.to_msgpack(message)) == message


def test_msgpack_refuses_money_beyond_64_bits():
    with pytest.raises(ModelError, match="64 bits"):
        codec.to_msgpack(Position(1, 1, 1, 2**80, 0))


@pytest.mark.parametrize("decode", [codec.from_json, codec.from_msgpack])
@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'["Nobody",1]', b'["SubmitOrder",1]', b"\xff\xff", b'["CancelOrder","x",1,1]']
)
def test_bytes_that_are_no_message_are_refused(decode, data):
    with pytest.raises(ModelError, match="expected an array that begins with a message type"):
        decode(data)


@given(st.binary(max_size=80))
def test_random_bytes_never_do_worse_than_a_refusal(data):
    for decode in (codec.from_json, codec.from_msgpack):
        with contextlib.suppress(ModelError):
            decode(data)


def test_limits_become_one_command_each_and_the_core_takes_them():
    limits = Limits(account_id=1, order_quantity=10, order_notional=0, price_collar_bps=50, position=20, message_rate=5)
    commands = limits.to_commands()
    assert commands["order_type"].tolist() == [1, 2, 3, 4, 5]
    assert commands["expire_ns"].tolist() == [0, 0, 0, 0, 1_000_000_000]
    kernel = Kernel(instruments=[btcusdt()], limits=limits, accounts=[1])
    assert kernel.last_event_sequence == 7
    refused = kernel.process(command_array(SubmitOrder(1, 1, 1, Side.BUY, 11, 600_000).to_row(1)))
    assert set(enums.violated_reasons(int(refused["flags"][0]), int(refused["reason"][0]))) == {
        Reason.ORDER_QUANTITY,
        Reason.ORDER_NOTIONAL,
        Reason.REFERENCE,
    }


def test_no_limits_are_no_commands():
    assert len(Limits().to_commands()) == 0
    assert Limits().to_commands().dtype == COMMAND


@pytest.mark.parametrize(
    "fields",
    [
        {"order_quantity": -1},
        {"position": 2**63},
        {"message_rate": 0},
        {"message_rate": 10, "message_window_ns": 5},
        {"message_rate": 10, "instrument_id": 1},
    ],
)
def test_limits_out_of_range_are_refused(fields):
    with pytest.raises(ModelError, match="limits"):
        Limits(**fields)


def test_accounts_become_commands():
    commands = Account(5, flags=AccountFlag.EXEMPT).to_commands()
    assert (commands["account_id"][0], commands["flags"][0]) == (5, AccountFlag.EXEMPT)
    with pytest.raises(ModelError, match="account_id"):
        Account(0)


def test_a_refusal_lists_every_violated_control():
    flags = 1 << Reason.TICK | 1 << Reason.LOT
    assert enums.violated_reasons(flags, Reason.TICK) == (Reason.TICK, Reason.LOT)
    assert enums.violated_reasons(0, Reason.WOULD_CROSS) == (Reason.WOULD_CROSS,)
    assert enums.violated_reasons(0, 0) == ()


def test_every_limit_kind_of_the_core_now_is_covered():
    assert {kind for kind in LimitKind if kind <= LimitKind.MESSAGE_RATE} == {LimitKind(kind) for kind in range(1, 6)}


def test_each_message_and_record_has_one_topic():
    for topic in TOPICS:
        assert bool(topic.messages) != (topic.record is not None)
        for message in topic.messages:
            assert BY_MESSAGE[message] is topic
        if topic.record is not None:
            assert topic_of(np.zeros(1, topic.record)) is topic
            assert topic_of(np.zeros(1, np.dtype(topic.record.descr, align=False))) is topic
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_what_no_topic_carries_is_refused():
    for event in (ORDER, np.zeros(1), "text"):
        with pytest.raises(ModelError, match="publish"):
            topic_of(event)
