"""Snapshot and restore, batches of any size, small output arrays: the same commands always give the same events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nautilus.core import COMMAND, EVENT, Kernel, KernelError
from tests.kit import builders, flow
from tests.kit.builders import BUY, SELL, batch, new
from tests.kit.pair import Pair, canonical, levels

SIZES = {"capacity": 64, "closed_capacity": 16}


def opened(**options: object) -> Kernel:
    return Kernel(
        **{"instruments": flow.instruments(), "accounts": flow.accounts(), "huge_pages": False, **SIZES, **options}
    )


def commands_of(seed: int, style: str = "near", count: int = 1_500) -> np.ndarray:
    """A fixed flow: later commands aim at the orders that earlier ones left open in the twin's world."""
    pair = Pair(instruments=flow.instruments(), accounts=flow.accounts(), **SIZES)
    source, drawn = flow.Flow(seed, style), []
    while sum(map(len, drawn)) < count:
        drawn.append(source.draw(50, list(pair.twin.orders)))
        pair.process(drawn[-1])
    return np.concatenate(drawn)


@pytest.fixture(scope="module", params=["near", "wide", "drift"])
def commands(request: pytest.FixtureRequest) -> np.ndarray:
    return commands_of(5, request.param)


@pytest.fixture(scope="module")
def events(commands: np.ndarray) -> np.ndarray:
    return opened().process(commands)


def hashes(kernel: Kernel) -> tuple[int, ...]:
    return (
        kernel.state_hash(),
        kernel.event_hash(),
        kernel.journal_hash(),
        kernel.last_sequence,
        kernel.last_event_sequence,
        kernel.next_timer_ns,
        kernel.now_ns,
        kernel.open_orders,
    )


def test_restored_kernel_has_the_same_state_and_the_same_future(commands: np.ndarray, events: np.ndarray) -> None:
    for cut in (0, 1, 400, 777, len(commands)):
        original = opened()
        first = original.process(commands[:cut])
        restored = opened(instruments=(), accounts=())
        restored.restore(original.snapshot())
        assert hashes(restored) == hashes(original)
        assert restored.snapshot() == original.snapshot()
        assert [levels(restored, number) for number in (1, 2, 3)] == [levels(original, number) for number in (1, 2, 3)]
        later = restored.process(commands[cut:])
        assert np.concatenate([first, later]).tobytes() == events.tobytes()
        original.process(commands[cut:])
        assert hashes(restored) == hashes(original)


def test_restore_replaces_whatever_was_there(commands: np.ndarray) -> None:
    original, other = opened(), opened()
    original.process(commands[:600])
    other.process(commands[300:1_200])
    other.restore(original.snapshot())
    assert hashes(other) == hashes(original)
    assert other.process(commands[600:]).tobytes() == original.process(commands[600:]).tobytes()


def test_snapshot_begins_with_the_canonical_state(commands: np.ndarray) -> None:
    kernel = opened()
    kernel.process(commands[:500])
    header = np.frombuffer(canonical(kernel), "<i8")[:9].tolist()
    assert header[1:4] == [kernel.last_sequence, kernel.last_event_sequence, kernel.now_ns]
    assert header[7:] == [64, 16]


def test_damaged_snapshot_is_refused(commands: np.ndarray) -> None:
    kernel = opened()
    kernel.process(commands[:300])
    sound = kernel.snapshot()
    for damaged in (b"", sound[:-8], sound[:100], sound + bytes(8), sound[:-3], bytes(len(sound))):
        with pytest.raises(ValueError, match="snapshot"):
            opened().restore(damaged)


# A child process: what must not happen here is that the interpreter dies.
CHANGED_WORDS = """
import random, sys
import numpy as np
from nautilus.core import Kernel
from tests.kit import builders
from tests.kit.effort import stride
from tests.unit.core.test_kernel_restore import FIXED, opened

chance = random.Random(7)
kernel = opened()
kernel.process(FIXED[:700])
words = np.frombuffer(kernel.snapshot(), "<i8")
odd = [0, -1, 1, 2, 3, 1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63)]
taken = refused = 0
for turn in range(0, 2 * len(words), stride(3)):
    changed = words.copy()
    value = chance.choice([*odd, chance.getrandbits(62), chance.randrange(100)])
    changed[turn // 2] = value if turn % 2 else 0
    other = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    try:
        other.restore(changed.tobytes())
    except (ValueError, MemoryError):
        refused += 1
        continue
    taken += 1
    other.process(FIXED[700:800])
    other.process(np.concatenate([builders.mass_cancel(), builders.time(1 << 60)]))
    other.snapshot()
print(taken, refused)
"""


def test_no_changed_word_of_a_snapshot_ends_the_process() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", CHANGED_WORDS],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    taken, refused = map(int, done.stdout.split())
    assert taken > 50
    assert refused > 50


def test_restore_takes_the_capacities_of_the_snapshot() -> None:
    original, other = opened(capacity=4, closed_capacity=8), opened(capacity=2, closed_capacity=2)
    original.process(batch(*(new(number, BUY, 50 + number, 1) for number in range(1, 5))))
    other.restore(original.snapshot())
    assert hashes(other) == hashes(original)
    assert (other.capacity, other.closed_capacity) == (4, 8)
    assert other.process(new(5, BUY, 1, 1)).tobytes() == original.process(new(5, BUY, 1, 1)).tobytes()


def test_kernel_that_failed_to_restore_takes_nothing_more() -> None:
    kernel = opened()
    with pytest.raises(ValueError, match="snapshot"):
        kernel.restore(b"nonsense")
    with pytest.raises(KernelError):
        kernel.process(new(1, BUY, 50, 1))


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=30))
def test_any_split_into_batches_gives_the_same_events(cuts: list[int]) -> None:
    whole, split = opened(), opened()
    parts = np.split(FIXED, sorted(cuts))
    assert np.concatenate([split.process(part) for part in parts]).tobytes() == whole.process(FIXED).tobytes()
    assert hashes(split) == hashes(whole)


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20), step=st.integers(1, 400))
def test_small_outputs_lose_nothing(sizes: list[int], step: int) -> None:
    whole, small = opened(), opened()
    expected = whole.process(FIXED)
    produced, rest, turn = [], FIXED, 0
    while True:
        out = np.zeros(sizes[turn % len(sizes)], EVENT)
        turn += 1
        consumed, count = small.process_into(np.ascontiguousarray(rest[:step]), out)
        assert 0 <= consumed <= min(step, len(rest))
        assert 0 <= count <= len(out)
        assert not np.any(out[count:]["sequence"]), "nothing is written beyond what is said"
        produced.append(out[:count])
        rest = rest[consumed:]
        if not len(rest) and count < len(out):
            break
    assert np.concatenate(produced).tobytes() == expected.tobytes()
    assert hashes(small) == hashes(whole)


def test_one_command_may_give_more_events_than_any_output_holds() -> None:
    kernel, orders = opened(capacity=4096), 3_000
    kernel.process(batch(*(new(number, SELL, 100, 1) for number in range(1, orders + 1))))
    out, produced = np.zeros(7, EVENT), []
    commands = batch(new(9_999, BUY, 100, orders, account_id=2), new(9_998, BUY, 1, 1, account_id=2))
    while True:
        consumed, count = kernel.process_into(commands, out)
        produced.append(out[:count].copy())
        commands = commands[consumed:]
        if not len(commands) and count < len(out):
            break
    events = np.concatenate(produced)
    assert len(events) == orders + 2
    assert np.array_equal(np.diff(events["sequence"]), np.ones(orders + 1))
    assert levels(kernel, 1) == [[(1, 1, 1)], []]


def test_events_left_over_come_first_from_process_too() -> None:
    kernel, other = opened(), opened()
    commands = batch(*(new(number, SELL, 100, 1) for number in range(1, 11)))
    crossing = batch(new(99, BUY, 100, 10, account_id=2))
    out = np.zeros(4, EVENT)
    kernel.process(commands)
    consumed, count = kernel.process_into(crossing, out)
    rest = kernel.process(crossing[consumed:])
    expected = other.process(np.concatenate([commands, crossing]))
    assert np.concatenate([out[:count], rest]).tobytes() == expected[10:].tobytes()


def test_empty_batch_gives_no_event_and_changes_nothing() -> None:
    kernel = opened()
    before = hashes(kernel)
    assert len(kernel.process(np.zeros(0, COMMAND))) == 0
    assert kernel.process_into(np.zeros(0, COMMAND), np.zeros(4, EVENT)) == (0, 0)
    assert hashes(kernel) == before


def test_two_kernels_do_not_share_anything() -> None:
    one, two = opened(), opened()
    one.process(new(1, BUY, 50, 1))
    before = hashes(two)
    one.process(builders.kill())
    assert hashes(two) == before


def test_events_returned_earlier_stay_as_they_were() -> None:
    kernel = opened()
    first = kernel.process(FIXED[:200])
    copy = first.copy()
    kernel.process(FIXED[200:])
    assert first.tobytes() == copy.tobytes()


FIXED = commands_of(11)
