"""What market data passes through asks for no memory in steady state: calls are counted over a million ticks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.allocations import built, child

ROUNDS = 22
SCRIPT = r"""
import ctypes, gc, json, sys
import numpy as np
from nautilus.core.bars import BarBuilder
from nautilus.core.book_set import BookSet
from nautilus.core.flow import FlowBuilder
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE, TICK, BarKind
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE

COUNT, WARM = 50_000, 2
counted = ctypes.CDLL(None).counted
counted.restype = ctypes.c_long
ids = np.array([*range(1, 91), *range(70_000, 70_010)], np.uint32)

def ticks(number):
    chance = np.random.default_rng(number)
    out = np.zeros(COUNT, TICK)
    out["venue_ns"] = 1_000_000_000 + (np.arange(COUNT) + number * COUNT) * 1_000
    out["receive_ns"] = out["venue_ns"] + 500
    out["instrument_id"] = chance.choice(ids, COUNT)
    out["kind"] = chance.choice([1, 1, 2, 2, 3, 3, 3, 3, 4], COUNT)
    out["price"] = 100_0000 + chance.integers(-30, 0, COUNT)
    out["price_2"] = 100_0000 + chance.integers(1, 30, COUNT)
    out["quantity"] = chance.integers(1, 500, COUNT)
    out["quantity_2"] = np.where(out["kind"] == 1, 100, 1)
    out["side"] = np.where(out["kind"] == 1, 0, chance.integers(1, 3, COUNT))
    out["price_decimals"], out["quantity_decimals"] = 4, 2
    out["quantity"][::97] = -1
    return out

batches = [ticks(number) for number in range(int(sys.argv[1]))]
normaliser = Normaliser()
for number in ids.tolist():
    normaliser.add(number)
room = [np.zeros(count, dtype) for count, dtype in
        ((COUNT, QUOTE), (COUNT, TRADE), (2 * COUNT + 2, BOOK_DELTA), (COUNT, QUARANTINE))]
books, told, deep = BookSet(snapshots=False), BookSet(snapshots=False), BookSet(snapshots=False)
bars = [BarBuilder(kind, size) for kind, size in ((BarKind.TIME, 1_000_000), (BarKind.TICK, 9), (BarKind.VOLUME, 2_000),
                                                  (BarKind.DOLLAR, 1 << 30), (BarKind.IMBALANCE, 20))]
flow, deep_flow = FlowBuilder(updates=10), FlowBuilder(interval_ns=1_000_000, levels=5)
most = {}
seen = {"quotes": 0, "trades": 0, "levels": 0, "refused": 0, "bars": 0, "flows": 0}
gc.disable()

def note(name, work, *given):
    before = counted()
    out = work(*given)
    calls = counted() - before
    if number >= WARM:
        most[name] = max(most.get(name, 0), calls)
    return out

for number, batch in enumerate(batches):
    used, quotes, trades, levels, refused = note("process_into", normaliser.process_into, batch, *room)
    assert used == COUNT
    quotes, trades, levels = room[0][:quotes], room[1][:trades], room[2][:levels]
    note("apply", books.apply, levels)
    note("apply_best", told.apply_best, levels)
    note("take_quotes", books.take_quotes, quotes)
    made = [note(f"bars {builder.kind.name}", builder.process, trades) for builder in bars]
    flows = [note("flow", flow.process, quotes), note("flow of books", deep_flow.process_books, deep, levels)]
    counts = len(quotes), len(trades), len(levels), refused, sum(map(len, made)), sum(map(len, flows))
    for name, count in zip(seen, counts):
        seen[name] += count
print(json.dumps({"most": most, "seen": seen}))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("counter"))


def test_a_million_ticks_allocate_nothing_but_the_arrays_that_are_returned(counter: Path) -> None:
    result = child(counter, SCRIPT, str(ROUNDS))
    assert min(result["seen"].values()) > 10_000, "every path ran"
    most = result["most"]
    assert [most.pop(name) for name in ("process_into", "apply", "take_quotes")] == [0, 0, 0]
    assert most.pop("apply_best") <= 4, "the quotes that it returns, and what counts the records with LAST"
    assert len(most) == 7
    assert max(most.values()) <= 8, (
        "whatever the number of records is: the arrays, and pages of Python's own now and then"
    )
    assert min(most.values()) >= 1, "and the counter does count"
