"""Which answer belongs to which command, also where answers were missed."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.bus import Delivery, MessageKind
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.commands import CancelOrder, SubmitOrder, TradingCommand
from nautilus.model.enums import Side
from nautilus.trading.flight import Flight, InFlight, mark

NEW, CANCEL, TIME = CommandKind.NEW, CommandKind.CANCEL, CommandKind.TIME


class Ring:
    """A port with so much room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[int] = []

    def send(self, rows: np.ndarray) -> int:
        count = min(self.room, len(rows))
        self.sent += np.frombuffer(rows, COMMAND)["source_sequence"][:count].tolist()
        self.room -= count
        return count


def item(number: int, command: TradingCommand) -> InFlight:
    delivery = Delivery(MessageKind.REQUEST, number, "test", "test", "core", b"", 4)
    return InFlight(delivery, command, command.to_row(0), command.source_id, command.source_sequence, command.kind)


def new(number: int, **fields: Any) -> InFlight:
    return item(number, SubmitOrder(1, 1, number, Side.BUY, 1, 50, **fields))


def cancel(number: int, **fields: Any) -> InFlight:
    return item(number, CancelOrder(1, 1, number, **fields))


def in_flight(*items: InFlight) -> Flight:
    flight = Flight()
    assert flight.send(Ring(100), items) == []  # type: ignore[arg-type]
    return flight


def ids(items: list[InFlight]) -> list[int]:
    return [each.delivery.id if each.delivery is not None else 0 for each in items]


def test_what_has_no_answer_when_a_later_one_has_was_refused() -> None:
    flight = in_flight(*(new(n, source_id=4, source_sequence=n) for n in (1, 2, 3)), mark(1))
    assert ids(flight.answered(4, 2, NEW)) == [1, 2]
    assert ids(flight.answered(0, 1, TIME)) == [3, 0]
    assert not flight


def test_an_answer_to_none_of_them_changes_nothing() -> None:
    flight = in_flight(new(1, source_id=4, source_sequence=1))
    for answer in ((5, 1, NEW), (4, 2, NEW), (4, 1, CANCEL), (0, 0, NEW)):
        assert flight.answered(*answer) == []
    assert ids(flight.answered(4, 1, NEW)) == [1]


def test_what_is_given_up_keeps_its_place() -> None:
    flight = in_flight(new(1), cancel(2), new(3, source_id=4, source_sequence=1), new(4))
    assert ids(flight.give_up(unnumbered=True)) == [1, 4]
    assert ids(flight.answered(0, 0, NEW)) == [0]
    assert ids(flight.answered(0, 0, CANCEL)) == [2]
    assert ids(flight.answered(0, 0, NEW)) == [3, 0]
    assert not flight
    flight = in_flight(cancel(1), new(2, source_id=4, source_sequence=1))
    assert ids(flight.give_up(unnumbered=False)) == [1, 2]
    assert flight


def test_only_new_orders_are_given_back_where_there_is_no_room() -> None:
    flight, ring = Flight(), Ring(1)
    numbered = [build(n, source_id=4, source_sequence=n) for n, build in enumerate((new, new, cancel, new), 1)]
    assert ids(flight.send(ring, numbered)) == [2, 4]  # type: ignore[arg-type]
    assert flight.held
    ring.room = 5
    assert flight.send(ring, [new(5, source_id=4, source_sequence=5)]) == []  # type: ignore[arg-type]
    assert (ring.sent, flight.held) == ([1, 3, 5], False)
