"""Nothing is allocated in steady state: every malloc and mmap of a child process is counted over a million commands.

Of every kind 200,000 here, and a million with `make soak`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.kit.allocations import built, child

EVERY_KIND = 1_000_000 if "NAUTILUS_SEEDS" in os.environ else 100_000

# 55 % new (of these a tenth expires and a tenth trades at once), 40 % cancels, 5 % replaces; limits and timers are on.
CHILD = r"""
import ctypes, gc, json, os, sys
import numpy as np
from nautilus.core import COMMAND, EVENT, Kernel
from tests.kit import builders

BATCH, ROUNDS, WARM = 4096, 245, 1
counted = ctypes.CDLL(None).counted
counted.restype = ctypes.c_long

def rounds(first, count):
    rng = np.random.default_rng(first)
    commands = np.zeros(count, COMMAND)
    slot = np.arange(count) % 20
    ids = np.arange(first, first + count, dtype=np.uint64)
    commands["now_ns"] = ids
    commands["kind"] = np.where(slot < 11, 1, np.where(slot < 19, 2, 3))
    commands["order_id"] = ids
    cancel, replace = (slot >= 11) & (slot < 19), slot == 19
    commands["order_id"][cancel] = ids[cancel] - 11
    commands["order_id"][replace] = ids[replace] - 10
    commands["account_id"] = 1
    commands["instrument_id"] = 1
    commands["side"] = 1 + (slot & 1)
    away = rng.integers(1, 60, count)
    commands["price_ticks"] = 10_000 + np.where(slot & 1, away, -away)
    commands["quantity"] = rng.integers(1, 50, count)
    commands["order_type"], commands["time_in_force"] = 1, 1
    commands["time_in_force"][slot == 5] = 3
    commands["expire_ns"][slot == 5] = ids[slot == 5] + 8
    trade = slot == 10
    commands["account_id"][trade] = 2
    commands["price_ticks"][trade] = 10_100
    commands["side"][trade] = 1
    commands["time_in_force"][trade] = 4
    return commands

kernel = Kernel(
    instruments=builders.instrument(1),
    limits=builders.batch(
        builders.limit(1, 1 << 30), builders.limit(2, 1 << 50), builders.limit(3, 5_000),
        builders.limit(4, 1 << 40), builders.limit(5, 1 << 20, window_ns=1 << 30), builders.mark(10_000),
    ),
    accounts=[1, 2], capacity=1 << 16, closed_capacity=1 << 20, huge_pages=False,
    journal=sys.argv[2] if len(sys.argv) > 2 else None,
)
batches = [rounds(1_000 + BATCH * number, BATCH) for number in range(ROUNDS + WARM)]
out = np.zeros(4 * BATCH, EVENT)
kinds = np.zeros(32, np.int64)
for commands in batches[:WARM]:
    kernel.process_into(commands, out)
    kernel.process(commands[:0])
gc.disable()
most, taken, events = 0, 0, 0
for commands in batches[WARM:]:
    before = counted()
    if sys.argv[1] == "into":
        consumed, produced = kernel.process_into(commands, out)
    else:
        out = kernel.process(commands)
        consumed, produced = len(commands), len(out)
    calls = counted() - before
    most = max(most, calls)
    taken += consumed
    events += produced
    kinds += np.bincount(out["kind"][:produced], minlength=32)
print(json.dumps({"most": most, "commands": taken, "events": events, "kinds": kinds.tolist()}))
"""

# Every order type, groups, phases, auctions: a block once to warm up, then later blocks, as many as asked for.
EVERYTHING = r"""
import ctypes, gc, json, sys
import numpy as np
from nautilus.core import EVENT, Kernel
from tests.kit import stream

counted = ctypes.CDLL(None).counted
counted.restype = ctypes.c_long
flow = stream.Stream(5, 1 << 17)
journal = sys.argv[2] if len(sys.argv) > 2 else None
kernel = Kernel(accounts=(), capacity=1 << 14, closed_capacity=1 << 14, huge_pages=False, journal=journal)
kernel.process(stream.opening())
out = np.zeros(1 << 16, EVENT)
kinds = np.zeros(32, np.int64)
calls = most = taken = events = number = 0
gc.disable()
while taken < int(sys.argv[1]):
    block = flow.block(number)
    number += 1
    for part in [block[at : at + 4096] for at in range(0, len(block), 4096)]:
        before = counted()
        consumed, produced = kernel.process_into(part, out)
        made = counted() - before
        assert consumed == len(part)
        if number > 2:
            calls += made
            most = max(most, made)
            taken += consumed
            events += produced
            kinds += np.bincount(out["kind"][:produced], minlength=32)
print(json.dumps({"most": most, "calls": calls, "commands": taken, "events": events, "kinds": kinds.tolist()}))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("counter"))


def run(counter: Path, *arguments: str) -> dict[str, Any]:
    result = child(counter, CHILD, *arguments)
    assert result["commands"] >= 1_000_000
    accepted, refused, filled, cancelled, replaced = result["kinds"][1:6]
    assert min(accepted, filled, cancelled, replaced, result["kinds"][7]) > 1_000, "every path ran"
    assert refused < result["events"] / 5
    return result


def test_a_million_commands_into_a_given_array_allocate_nothing(counter: Path) -> None:
    assert run(counter, "into")["most"] == 0


def test_a_million_journalled_commands_allocate_nothing(counter: Path, tmp_path: Path) -> None:
    assert run(counter, "into", str(tmp_path / "journal"))["most"] <= 1, "at most the next segment, made now and then"


def test_process_allocates_the_array_that_it_returns_and_nothing_else(counter: Path) -> None:
    assert 1 <= run(counter, "process")["most"] <= 2, "and the counter does count"


def test_commands_of_every_order_type_group_and_phase_allocate_nothing(counter: Path) -> None:
    result = child(counter, EVERYTHING, str(EVERY_KIND))
    assert result["commands"] >= EVERY_KIND
    triggered, indicative, phase = (result["kinds"][kind] for kind in (6, 13, 14))
    assert min(triggered, indicative, phase, *result["kinds"][1:6]) > 100, "every path ran"
    assert result["calls"] == 0


def test_journalled_commands_of_every_kind_allocate_nothing(counter: Path, tmp_path: Path) -> None:
    result = child(counter, EVERYTHING, str(EVERY_KIND), str(tmp_path / "journal"))
    assert result["commands"] >= EVERY_KIND
    assert result["most"] <= 1, "at most the next segment, made now and then"


BLOCKS = r"""
import ctypes, gc, json
import numpy as np
from nautilus.core.pool import Pool
from nautilus.core.ring import Ring

counted = ctypes.CDLL(None).counted
counted.restype = ctypes.c_long
pool, ring = Pool(1024, 200, first=100), Ring(64, 1024, prefault=True)
records, out = np.ones((64, 8), np.uint64), np.zeros((64, 8), np.uint64)
for _ in range(200):
    pool.take()
ring.push_many(records), ring.drain(out)
gc.disable()
before = counted()
for number in range(1_000_000):
    pool.give(number % 200 + 1)
    pool.take()
for _ in range(16_000):
    ring.push_many(records)
    ring.drain(out)
calls = counted() - before
Pool(64, 100)
print(json.dumps({"calls": calls, "seen": counted() - before - calls, "used": pool.used, "full": pool.full}))
"""


def test_a_million_operations_of_pool_and_ring_allocate_nothing(counter: Path) -> None:
    result = child(counter, BLOCKS)
    assert result["calls"] == 0
    assert result["seen"] > 0, "and the counter does count"
    assert (result["used"], result["full"]) == (200, 0)
