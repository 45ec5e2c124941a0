"""Ways to wait: what each is, and that it ends with what it waits for, or the time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from nautilus.core.wake import POLICIES, SPIN_NS, Waiting


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_descriptor_is_waited_for(pipe: tuple[int, int], policy: str) -> None:
    waiting = Waiting(policy)
    assert not waiting.readable(pipe[0], 0)
    assert not waiting.readable(pipe[0], 200_000)
    writer = threading.Thread(target=os.write, args=(pipe[1], b"x"))
    writer.start()
    assert waiting.readable(pipe[0], 10**12)
    writer.join()
    assert waiting.readable(pipe[0], 0)
    waiting.close()


def test_policies_differ_in_how_long_they_spin() -> None:
    assert [Waiting(policy).spin_ns for policy in POLICIES] == [0, 0, SPIN_NS, (1 << 63) - 1]
    assert Waiting("spin-then-block", spin_ns=7).spin_ns == 7
    assert [Waiting(policy).grant is None for policy in POLICIES] == [True, False, True, True]


def test_cores_are_held_awake_as_long_as_asked_for() -> None:
    waiting = Waiting("hold-awake")
    assert waiting.grant is not None
    assert waiting.grant.what == "wake-up"
    waiting.close()
    waiting.close()


def test_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="policy 'sleep', spin_ns 50000; expected block, hold-awake"):
        Waiting("sleep")
    with pytest.raises(ValueError, match="0 or more"):
        Waiting("spin", spin_ns=-1)


def test_what_cannot_be_waited_for_is_an_error() -> None:
    ends = os.pipe()
    os.close(ends[0])
    os.close(ends[1])
    # A closed descriptor is readable at once, with an error; whoever reads it is told.
    assert Waiting().readable(ends[0], 10**12)
