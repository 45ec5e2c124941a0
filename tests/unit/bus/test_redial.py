"""Connections are dialled anew where nothing comes, ever more seldom; not where the reader did not look."""

from __future__ import annotations

from nautilus.bus.redial import LONGEST, Redial

MS = 1_000_000
SILENCE = 100 * MS


def looks(redial: Redial, first_ns: int, last_ns: int, *, heard: int = 0) -> list[int]:
    """Look every 10 ms; when it was to be dialled, in ms."""
    return [at // MS for at in range(first_ns, last_ns, 10 * MS) if redial.look(heard, at)]


def test_silence_is_answered_by_dialling_after_ever_longer_times() -> None:
    redial = Redial(SILENCE)
    assert looks(redial, 0, 5_000 * MS) == [100, 300, 700, 1_500, 2_300, 3_100, 3_900, 4_700]
    assert LONGEST * SILENCE == 800 * MS


def test_what_comes_begins_it_anew() -> None:
    redial = Redial(SILENCE)
    assert looks(redial, 0, 350 * MS) == [100, 300]
    assert looks(redial, 350 * MS, 440 * MS, heard=1) == []
    assert looks(redial, 440 * MS, 560 * MS, heard=2) == [540]


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    redial = Redial(SILENCE)
    assert not redial.look(5, 0)
    assert not redial.look(5, 90 * MS)
    assert not redial.look(5, 10_000 * MS)
    assert looks(redial, 10_010 * MS, 10_110 * MS, heard=5) == [10_100]


def test_it_says_when_to_look_again() -> None:
    redial = Redial(SILENCE)
    redial.look(0, 7 * MS)
    assert redial.due_ns() == 32 * MS
