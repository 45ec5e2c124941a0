"""Quotas: never more in any window, one count for all processes, and a day that a clock cannot give back."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from nautilus.core.quotas import BLOCKED, DAY, GO, HOUR, MINUTE, SECOND, Quotas

S = 1_000_000_000
T0 = 1_700_000_000 * S


@pytest.mark.parametrize("most", [1, 2, 5, 8, 10, 120])
@pytest.mark.parametrize("window_ns", [S, 60 * S, 3600 * S])
def test_no_window_has_more_and_a_steady_asker_has_most_of_it(most: int, window_ns: int) -> None:
    quota = Quotas().quota("x")
    drawn, now_ns, taken = random.Random(most), T0, []
    limits = [most if window_ns == each else 0 for each in (S, 60 * S, 3600 * S)]
    reason = (SECOND, MINUTE, HOUR)[limits.index(most)]
    while now_ns < T0 + 8 * window_ns:
        why, wait_ns = quota.take(now_ns, *limits, 0, 1)
        if why == GO:
            taken.append(now_ns)
            now_ns += drawn.choice((0, 0, window_ns // 50))
        else:
            assert why == reason
            assert 0 < wait_ns <= window_ns
            now_ns += drawn.choice((wait_ns, wait_ns, wait_ns // 2 + 1))
    for place, first in enumerate(taken):
        assert sum(each < first + window_ns for each in taken[place:]) <= most
    assert len(taken) >= 8 * most * 0.6


def test_a_day_is_counted_and_the_next_one_begins_anew() -> None:
    quota = Quotas().quota("x")
    assert [quota.take(T0, 0, 0, 0, 3, 5)[0] for _ in range(4)] == [GO, GO, GO, DAY]
    assert quota.taken(5) == 3
    assert quota.take(T0, 0, 0, 0, 3, 6) == (GO, 0)
    assert (quota.taken(6), quota.taken(7)) == (1, 0)


def test_a_clock_that_is_set_back_gives_nothing_back() -> None:
    quota = Quotas().quota("x")
    for _ in range(3):
        quota.take(T0, 0, 0, 0, 3, 9)
    assert quota.take(T0 - 86_400 * S, 0, 0, 0, 3, 8)[0] == DAY
    # What is taken on the earlier day counts for the later one, which is not begun anew.
    assert quota.take(T0 - 86_400 * S, 0, 0, 0, 5, 8)[0] == GO
    assert (quota.taken(8), quota.taken(9)) == (4, 4)
    assert [quota.take(T0, 0, 0, 0, 5, 9)[0] for _ in range(2)] == [GO, DAY]


def test_a_place_of_the_day_is_not_lost_to_a_wait() -> None:
    quota = Quotas().quota("x")
    assert quota.take(T0, 1, 0, 0, 5, 1)[0] == GO
    assert quota.take(T0, 1, 0, 0, 5, 1)[0] == SECOND
    assert quota.taken(1) == 1


def test_a_block_holds_for_all_and_the_longest_one_counts(tmp_path: Path) -> None:
    one, two = (Quotas(4, tmp_path / "quotas").quota("x") for _ in range(2))
    one.block(T0 + 9 * S, T0)
    two.block(T0 + 4 * S, T0)
    assert two.take(T0, 0, 0, 0, 0, 1) == (BLOCKED, 9 * S)
    assert two.look(T0 + 8 * S, 0, 0, 0, 0, 1) == (BLOCKED, S)
    assert one.take(T0 + 9 * S, 0, 0, 0, 0, 1) == (GO, 0)


def test_a_block_that_no_provider_means_is_cut() -> None:
    quota = Quotas().quota("x")
    quota.block(T0 + 400 * 86_400 * S, T0)
    assert quota.take(T0, 0, 0, 0, 0, 1) == (BLOCKED, 25 * 3600 * S)


def test_what_is_in_a_file_is_there_again(tmp_path: Path) -> None:
    table = Quotas(4, tmp_path / "quotas")
    table.quota("x").take(T0, 0, 0, 0, 3, 1)
    table.sync()
    del table
    again = Quotas(4, tmp_path / "quotas")
    assert again.names() == ["x"]
    assert again.quota("x").taken(1) == 1


def test_a_place_that_nobody_used_for_days_is_given_to_another_name(tmp_path: Path) -> None:
    table = Quotas(2, tmp_path / "quotas")
    table.quota("old", 100).take(T0, 0, 0, 0, 3, 100)
    table.quota("looked at", 100)
    table.quota("looked at").look(T0, 0, 0, 0, 0, 103)
    for day in (0, 101, 103):
        with pytest.raises(ValueError, match="no room"):
            Quotas(2, tmp_path / "quotas").quota("new", day)
    later = Quotas(2, tmp_path / "quotas")
    new = later.quota("new", 104)
    assert (later.names(), new.taken(104)) == (["new", "looked at"], 0)
    assert [new.take(T0, 0, 0, 0, 2, 104)[0] for _ in range(3)] == [GO, GO, DAY]
    with pytest.raises(ValueError, match="no room"):
        later.quota("one more", 104)
    with pytest.raises(ValueError, match="1 to 119 bytes"):
        later.quota("", 110)
    assert later.quota("one more", 107).owner is later
    assert later.names() == ["new", "one more"]


def test_a_quota_that_lost_its_place_counts_on_no_other_name(tmp_path: Path) -> None:
    path = tmp_path / "quotas"
    table = Quotas(2, path)
    old = table.quota("old", 100)
    assert old.take(T0, 0, 0, 0, 9, 100)[0] == GO
    new = Quotas(2, path).quota("new", 104)
    Quotas(2, path).quota("newer", 104)
    assert Quotas(2, path).names() == ["newer", "new"]
    assert [new.take(T0, 0, 0, 0, 9, 104)[0] for _ in range(3)] == [GO] * 3
    for ask in (
        lambda: old.taken(104),
        lambda: old.look(T0, 0, 0, 0, 9, 104),
        lambda: old.take(T0, 0, 0, 0, 9, 104),
        lambda: old.block(T0 + S, T0),
        lambda: table.quota("old"),
    ):
        with pytest.raises(ValueError, match="no room for 'old'"):
            ask()
    assert (new.taken(104), new.look(T0, 0, 0, 0, 0, 104)) == (3, (GO, 0))
    assert old.take(T0, 0, 0, 0, 9, 108)[0] == GO
    assert Quotas(2, path).names() == ["old", "new"]
    assert (old.taken(108), table.quota("old") is old) == (1, True)


def test_minutes_that_are_counted_as_days_free_no_place_of_today() -> None:
    table = Quotas(2)
    today, minute = T0 // (86_400 * S), T0 // (60 * S)
    lost = table.quota("binance", today - 9)
    table.quota("one", today)
    table.quota("two", today)
    assert table.names() == ["two", "one"]
    with pytest.raises(ValueError, match="no room for 'binance'"):
        lost.take(T0, 0, 0, 0, 5, minute)
    assert table.names() == ["two", "one"]


def test_processes_at_once_take_what_there_is_and_no_more(tmp_path: Path) -> None:
    Quotas(4, tmp_path / "quotas").quota("x")
    children = []
    for _ in range(4):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            quota = Quotas(4, tmp_path / "quotas").quota("x")
            mine = sum(quota.take(T0, 0, 0, 0, 5_000, 1)[0] == GO for _ in range(5_000))
            os.write(write, str(mine).encode())
            os._exit(0)
        os.close(write)
        children.append((pid, read))
    total = 0
    for pid, read in children:
        assert os.waitpid(pid, 0)[1] == 0
        total += int(os.read(read, 32))
        os.close(read)
    assert total == 5_000


@pytest.mark.parametrize("word", [65, 66, 1 << 40, (1 << 64) - 1])
def test_a_quota_that_a_damaged_file_says_somebody_makes_is_made(tmp_path: Path, word: int) -> None:
    table = Quotas(2, tmp_path / "quotas")
    table.quota("x" * 119).take(T0, 0, 0, 0, 0, 1)
    table.sync()
    del table
    content = bytearray((tmp_path / "quotas").read_bytes())
    at = content.index(b"x" * 119) - 8
    content[at : at + 8] = word.to_bytes(8, "little")
    (tmp_path / "quotas").write_bytes(content)
    again = Quotas(2, tmp_path / "quotas")
    assert again.names() == []
    assert again.quota("y").take(T0, 0, 0, 0, 0, 1) == (GO, 0)
    assert again.names() == ["y"]


def test_a_name_that_does_not_end_in_a_damaged_file_is_cut(tmp_path: Path) -> None:
    table = Quotas(1, tmp_path / "quotas")
    table.quota("x" * 119)
    table.sync()
    del table
    content = bytearray((tmp_path / "quotas").read_bytes())
    at = content.index(b"x" * 119)
    content[at : at + 120] = b"\xff" * 120
    (tmp_path / "quotas").write_bytes(content)
    assert Quotas(1, tmp_path / "quotas").names() == ["\ufffd" * 120]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a second"):
        Quotas().quota("x").take(T0, -1, 0, 0, 0, 1)
    (tmp_path / "other").write_bytes(b"x" * 8192)
    with pytest.raises(ValueError, match="other"):
        Quotas(4, tmp_path / "other")
