"""Packed command rows against the record that they stand for."""

from __future__ import annotations

import numpy as np

from nautilus.core.types import COMMAND, AccountFlag, CommandKind, OrderType, Side, TimeInForce
from nautilus.simulation.commands import ROW, CommandRows, account_commands
from tests.kit import builders

LETTERS = {"<i8": "q", "<u8": "Q", "<i4": "i", "<u4": "I", "|u1": "B", "<u2": "H"}


def test_row_has_the_layout_of_the_record() -> None:
    assert COMMAND.names is not None
    assert ROW.format == "<" + "".join(LETTERS[COMMAND[name].str] for name in COMMAND.names)
    assert ROW.size == COMMAND.itemsize


def test_rows_are_the_commands_that_builders_make() -> None:
    rows = CommandRows(7)
    rows.new(1, 5, 11, Side.BUY, 100, 3, TimeInForce.GTD, 1, expire_ns=9)
    rows.new(2, 5, 12, Side.SELL, 0, 4, TimeInForce.IOC, order_type=OrderType.MARKET)
    rows.cancel(3, 5, 11)
    rows.replace(4, 5, 12, 101, 6)
    got = rows.take()
    scope = {"account_id": 5, "instrument_id": 7}
    wanted = builders.batch(
        builders.new(11, Side.BUY, 100, 3, time_in_force=TimeInForce.GTD, flags=1, expire_ns=9, now_ns=1, **scope),
        builders.market(12, Side.SELL, 4, now_ns=2, **scope),
        builders.cancel(11, now_ns=3, **scope),
        builders.replace(12, 101, 6, now_ns=4, **scope),
    )
    assert got.dtype is COMMAND
    assert got.flags.aligned
    assert got.flags.writeable
    assert got.tobytes() == wanted.tobytes()
    assert len(rows) == 0
    assert len(rows.take()) == 0


def test_taken_rows_are_not_touched_by_later_ones() -> None:
    rows = CommandRows(1)
    rows.cancel(1, 5, 11)
    first = rows.take()
    rows.cancel(2, 5, 12)
    assert first["order_id"].tolist() == [11]


def test_account_commands_carry_their_flags() -> None:
    rows = account_commands({3: AccountFlag.EXEMPT, 4: AccountFlag(0)})
    assert rows["kind"].tolist() == [CommandKind.ACCOUNT] * 2
    assert rows["account_id"].tolist() == [3, 4]
    assert np.array_equal(rows["flags"], [AccountFlag.EXEMPT, 0])
