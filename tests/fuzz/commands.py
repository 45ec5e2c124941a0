"""COMMAND records out of arbitrary bytes: as they are, or field by field from small spaces, so that things meet.

A field's space depends on its name alone, and a kind is any number: a kind that the kernel learns is fed without a
change here.
"""

from __future__ import annotations

import numpy as np

from nautilus.core.types import COMMAND, CommandKind, OrderFlag, OrderType, TimeInForce
from tests.fuzz.reader import Reader
from tests.kit import builders, flow_setting

NEW, CANCEL, REPLACE = CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE
KINDS = (*[NEW] * 40, *[CANCEL] * 5, *[REPLACE] * 7, *range(max(CommandKind) + 3), *range(max(CommandKind) + 3), 255)
BITS = {name: 8 * COMMAND[name].itemsize for name in COMMAND.names or ()}
SIGNED = {name for name in BITS if COMMAND[name].kind == "i"}
# Masks of the fields that a command sets beyond the usual ones; most set few.
RARE = (
    "trigger_ticks", "display_quantity", "min_quantity", "expire_ns", "parent_order_id", "offset", "group_id",
    "deadline_ns", "venue_reference", "source_id", "source_sequence",
)  # fmt: skip
SPACES: dict[str, tuple[int, ...]] = {
    "order_id": tuple(range(1, 25)),
    "parent_order_id": tuple(range(25)),
    "price_ticks": (0, *range(92, 109), 110, 115, 120, 1, 2, 3, -1),
    "trigger_ticks": (0, *range(95, 106)),
    "quantity": (*range(1, 12), 10, 15, 20, 40, -1),
    "display_quantity": (0, 1, 2, 3, 5, 10),
    "min_quantity": (0, 1, 2, 5, 10),
    "instrument_id": (1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 0, 7),
    "account_id": (1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 0, 8),
    "side": (1, 2, 1, 2, 1, 2, 1, 2, 0, 3),
    "order_type": (*[OrderType.LIMIT] * 8, *OrderType, *range(22)),
    "time_in_force": (*[TimeInForce.GTC] * 8, *TimeInForce, 0, 8),
    "flags": (*[0] * 8, *OrderFlag, OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO, 3, 0x41),
    "expire_ns": (0, 1, 2, 5, 20, 60, 200),  # after now
    "deadline_ns": (0, 1, 9),  # after now
    "offset": (0, 1, 2, 3, -1, 50, 20_240_101),
    "group_id": (0, 1, 2, 3, 4, 5, 6, 7, 8),
    "venue_reference": (0, 1, 2, 3, 9),
    "source_id": (0, 1, 2),
    "source_sequence": (0, 1, 2, 3, 4, 5, 9),
    "strategy_id": (0, 1, 2),
}
USUAL = ("order_id", "account_id", "instrument_id", "side", "price_ticks", "quantity")
STEPS = (0, 0, 1, 1, 2, 5, 20, 100_000_000, 1 << 40)


def opening() -> np.ndarray:
    """Instruments, accounts, marks, rates and cash of the full random flow."""
    return builders.batch(flow_setting.instruments(), flow_setting.accounts(), flow_setting.first_commands())


def shaped(reader: Reader, most: int) -> np.ndarray:
    """At most so many commands, field by field."""
    rows: list[dict[str, int]] = []
    now_ns = 0
    while reader.left and len(rows) < most:
        kind = reader.choose(KINDS)
        now_ns += reader.choose(STEPS)
        names = list(USUAL)
        if kind == NEW:
            names += ["order_type", "time_in_force", "flags"]
        mask = reader.number(1)
        if mask >= 0x80 or kind not in (NEW, CANCEL, REPLACE):
            chosen = reader.number(2)
            names += [name for bit, name in enumerate(RARE) if chosen >> bit & 1]
            if kind != NEW:
                names += ["order_type", "flags", "group_id", "offset", "strategy_id"]
        row = {"kind": int(kind), "now_ns": now_ns}
        for name in names:
            row[name] = int(reader.choose(SPACES[name]))
            if name in ("expire_ns", "deadline_ns") and row[name]:
                row[name] += now_ns
        if mask & 0x1F == 0x1F:  # something odd in any field
            name = reader.choose(list(SPACES))
            value = reader.wide() & (1 << BITS[name]) - 1
            row[name] = value - (1 << BITS[name]) if name in SIGNED and value >> (BITS[name] - 1) else value
        rows.append(row)
    commands = np.zeros(len(rows), COMMAND)
    for place, row in enumerate(rows):
        for name, value in row.items():
            commands[name][place] = value
    return commands


def raw(data: bytes) -> np.ndarray:
    """The bytes themselves as records, filled up with zeros."""
    size = COMMAND.itemsize
    return np.frombuffer(data.ljust(-(-len(data) // size) * size, b"\0"), COMMAND).copy()
