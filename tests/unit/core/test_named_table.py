"""Breakers and limits by name: found by all, made once, and not waited for where their maker was killed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nautilus.core.breaker import Breakers
from nautilus.core.limiter import Limiters
from nautilus.core.named_table import NAME_BYTES
from tests.kit.ring_children import Child


def test_all_find_the_same_by_name_in_the_order_they_were_made(tmp_path: Path) -> None:
    one, other = Limiters(3, tmp_path / "table"), Limiters(3, tmp_path / "table")
    one.limiter("a")
    other.limiter("b")
    ticket = other.limiter("a").acquire(0, 1)
    assert one.limiter("a").held() == 1
    other.limiter("a").release(ticket, 2)
    assert one.names() == other.names() == ["a", "b"]
    other.limiter("c")
    with pytest.raises(ValueError, match="no room for 'd', all 3"):
        one.limiter("d")


@pytest.mark.parametrize("name", ["", "x" * NAME_BYTES, "a\0b"])
def test_a_name_has_its_bounds(name: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 119 bytes without NUL"):
        Breakers(1).breaker(name)


def test_no_capacity_and_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Limiters: capacity 0"):
        Limiters(0)
    Limiters(1, tmp_path / "table")
    with pytest.raises(ValueError, match="of another kind"):
        Breakers(1, tmp_path / "table")


@pytest.mark.parametrize("kind", ["breaker", "limiter"])
def test_who_was_killed_while_making_one_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table"
    table = {"breaker": Breakers, "limiter": Limiters}[kind]

    def work(ready: Callable[[], object]) -> None:
        kept = table(2, path)
        ready()
        signal.pause()
        assert kept

    child = Child(work)  # has the first place among the holders
    child.ready()
    own = table(2, path)
    getattr(own, kind)("a")
    assert len(own.holders_alive()) == 2
    # As the child leaves it where it is killed over the second name: taken by the holder in the first place.
    words = np.memmap(path, np.uint64, "r+")
    name = int.from_bytes(b"a".ljust(8, b"\0"), "little")
    found = int(np.flatnonzero(words == name)[0]) - 1
    table(1, tmp_path / "small")
    thing_words = (path.stat().st_size - (tmp_path / "small").stat().st_size) // 8
    assert words[found] == 1
    words[found + thing_words] = 2
    child.kill()
    own.sweep()
    others = table(2, path)  # takes the place that is free now, and lives
    assert len(own.holders_alive()) == 2
    getattr(others, kind)("b")
    assert own.names() == ["a", "b"]
