"""How old what a reader has may be: heartbeats that waited are as old as they are, whatever the clocks say."""

from __future__ import annotations

from nautilus.bus.freshness import PROOF_NS, Freshness

MS = 1_000_000
BEAT = 20 * MS
T = 1_000_000 * MS
PROOF = PROOF_NS // BEAT
"""Intervals between heartbeats that prove a clock."""


def hear(fresh: Freshness, sent_ns: int, now_ns: int) -> None:
    """Take a heartbeat in that has nothing behind it."""
    fresh.hear(sent_ns, now_ns)
    if fresh.ripe:
        fresh.prove()


def heard(fresh: Freshness, first_ns: int, count: int, *, took_ns: int = 0, ahead_ns: int = 0) -> int:
    """So many heartbeats as they are sent, by a hub whose clock is ahead; when the last one came."""
    for number in range(count):
        sent_ns = first_ns + number * BEAT
        hear(fresh, sent_ns + ahead_ns, sent_ns + took_ns)
    return first_ns + (count - 1) * BEAT + took_ns


def test_nothing_is_fresh_before_a_heartbeat_and_three_intervals_after_the_last() -> None:
    fresh = Freshness(BEAT)
    assert fresh.silent(T)
    fresh.hear(T, T + 1)
    assert [fresh.silent(T + wait) for wait in (1, 3 * BEAT, 3 * BEAT + 1)] == [False, False, True]


def test_the_first_heartbeat_that_waited_is_as_old_as_it_is() -> None:
    fresh = Freshness(BEAT)
    fresh.hear(T, T + 63_000 * MS)
    assert fresh.silent(T + 63_000 * MS)
    assert fresh.as_of_ns == T


def test_of_a_burst_that_waited_only_what_was_sent_lately_is_fresh() -> None:
    fresh = Freshness(BEAT)
    now = T + 500 * BEAT
    silent = []
    for number in range(501):  # more than enough of them, but in no time
        hear(fresh, T + number * BEAT, now + number)
        silent.append(fresh.silent(now + number))
    assert silent == [True] * 498 + [False] * 3


def test_the_next_hub_is_judged_by_what_is_known_of_clocks() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF + 1, ahead_ns=-500 * MS)
    assert fresh.as_of_ns == now
    fresh.begin()
    hear(fresh, now + BEAT - 500 * MS, now + 9 * BEAT)
    assert fresh.silent(now + 9 * BEAT)
    hear(fresh, now + 9 * BEAT - 500 * MS, now + 9 * BEAT)
    assert not fresh.silent(now + 9 * BEAT)


def test_a_clock_that_is_behind_is_known_after_ten_seconds() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF, ahead_ns=-500 * MS)
    assert fresh.silent(now)
    now = heard(fresh, now + BEAT, 1, ahead_ns=-500 * MS)
    assert fresh.as_of_ns == now


def test_a_clock_that_is_behind_by_less_than_an_interval_makes_nothing_stale() -> None:
    fresh = Freshness(BEAT)
    for number in range(3 * PROOF):
        now = heard(fresh, T + number * BEAT, 1, ahead_ns=-19 * MS)
        assert not fresh.silent(now + BEAT)


def test_while_something_waits_behind_heartbeats_they_prove_nothing() -> None:
    fresh = Freshness(BEAT)
    for number in range(2 * PROOF):  # always 500 ms behind: a backlog, or a clock
        fresh.hear(T + number * BEAT, T + number * BEAT + 500 * MS)
    assert fresh.ripe
    assert fresh.silent(T + (2 * PROOF - 1) * BEAT + 500 * MS)


def test_a_clock_that_is_ahead_or_was_set_is_followed() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF + 1, ahead_ns=2_000 * MS)
    assert fresh.as_of_ns == now
    now = heard(fresh, now + BEAT, PROOF, ahead_ns=-2_000 * MS)  # set back
    assert fresh.silent(now)
    now = heard(fresh, now + BEAT, 1, ahead_ns=-2_000 * MS)
    assert not fresh.silent(now)
    fresh.hear(now, now - 5_000 * MS)  # and now the reader's own
    assert not fresh.silent(now - 5_000 * MS)


def test_both_clocks_are_set_forth_one_after_the_other() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, 10)
    now = heard(fresh, now + BEAT, 10, ahead_ns=1_000 * MS)
    now = heard(fresh, now + BEAT, 2 * PROOF)
    assert fresh.as_of_ns == now


def test_a_clock_may_drift() -> None:
    fresh = Freshness(BEAT)
    for number in range(10 * PROOF):  # one part in two thousand
        now = heard(fresh, T + number * BEAT, 1, ahead_ns=-number * BEAT // 2_000)
        assert not fresh.silent(now + BEAT)
    for number in range(10 * PROOF, 20 * PROOF):
        now = heard(fresh, T + number * BEAT, 1, ahead_ns=(number - 20 * PROOF) * BEAT // 2_000)
        assert not fresh.silent(now + BEAT)
        assert fresh.as_of_ns <= now


def test_what_lost_packets_held_up_does_not_pass_for_a_clock_that_is_behind() -> None:
    fresh = Freshness(BEAT)
    for number in range(2 * PROOF):  # each waits for the next tenth of a second
        sent_ns = T + number * BEAT
        hear(fresh, sent_ns, T + (number // 5 * 5 + 5) * BEAT)
        assert fresh.as_of_ns == sent_ns


def test_time_in_which_the_reader_stood_still_proves_nothing() -> None:
    fresh = Freshness(BEAT)
    now = T
    for _ in range(30):  # one heartbeat that waited, each time
        hear(fresh, now, now + 63_000 * MS)
        assert fresh.silent(now + 63_000 * MS)
        now += 63_000 * MS
