"""Waiting for many descriptors at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nautilus.core.mesh_wait import DescriptorWait

FOR_EVER_NS = 10**12


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    with ExitStack() as stack:
        made = [os.pipe() for _ in range(100)]
        for ends in made:
            stack.callback(os.close, ends[0])
            stack.callback(os.close, ends[1])
        yield made


def test_it_tells_whose_descriptors_can_be_read(pipes) -> None:
    wait = DescriptorWait()
    wait.renew([(end, number) for number, (end, _) in enumerate(pipes)])
    assert wait.ready(0) == []
    assert wait.ready(1) == []
    for number in (3, 77):
        os.write(pipes[number][1], b"x")
    assert sorted(wait.ready(FOR_EVER_NS)) == [3, 77]
    os.read(pipes[3][0], 1)
    assert wait.ready(0) == [77]


@pytest.mark.parametrize("spin_ns", [0, 20_000, FOR_EVER_NS])
def test_it_sleeps_or_spins_until_something_comes(pipes, spin_ns: int) -> None:
    wait = DescriptorWait()
    wait.renew([(pipes[0][0], "first")])
    writer = threading.Thread(target=os.write, args=(pipes[0][1], b"x"))
    writer.start()
    found: list[str] = []
    while not found:  # a signal may wake it early
        found = wait.ready(FOR_EVER_NS, spin_ns)
    writer.join()
    assert found == ["first"]


def test_more_than_are_told_at_once_are_told_in_the_next_round(pipes) -> None:
    wait = DescriptorWait()
    wait.renew([(end, end) for end, _ in pipes])
    for _, end in pipes:
        os.write(end, b"x")
    found: set[int] = set()
    while len(found) < len(pipes):
        ready = wait.ready(0)
        assert ready
        for end in ready:
            os.read(end, 1)
        found.update(ready)


def test_what_was_named_before_is_waited_for_no_longer(pipes) -> None:
    wait = DescriptorWait()
    wait.renew([(pipes[0][0], "old")])
    wait.renew([(pipes[1][0], "new")])
    os.write(pipes[0][1], b"x")
    assert wait.ready(0) == []
    os.write(pipes[1][1], b"x")
    assert wait.ready(0) == ["new"]


def test_what_cannot_be_waited_for_is_refused_and_leaves_nothing(pipes, tmp_path) -> None:
    wait = DescriptorWait()
    with pytest.raises(ValueError, match="renew"):
        wait.ready(0)
    with (tmp_path / "file").open("wb") as file, pytest.raises(PermissionError):
        wait.renew([(pipes[0][0], "good"), (file.fileno(), "file")])
    with pytest.raises(ValueError, match="renew"):
        wait.ready(0)
    wait.renew([(pipes[0][0], "good")])
    wait.close()
    wait.close()
    with pytest.raises(ValueError, match="renew"):
        wait.ready(0)
