"""What an owner counts in plain attributes is added to a table, as far as it has grown."""

from __future__ import annotations

import pytest

from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters


class Owner:
    sent = received = 0


@pytest.mark.parametrize("names", [("sent",), ("sent", "received")])
def test_what_has_grown_is_added_and_nothing_else(names: tuple[str, ...]) -> None:
    owner, table = Owner(), Counters()
    table.add(table.counter("bus.sent"), 5)  # of an earlier life
    tally = Tally(table, "bus", owner, names)
    owner.sent, owner.received = 3, 2
    tally.write()
    owner.sent = 4
    tally.write()
    expected = {"bus.sent": 9, "bus.received": 2}
    assert table.snapshot() == {f"bus.{name}": expected[f"bus.{name}"] for name in names}


def test_without_a_table_nothing_is_kept() -> None:
    Tally(None, "bus", Owner(), ("sent",)).write()
