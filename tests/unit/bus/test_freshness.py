"""How old what a reader has may be: heartbeats that waited are as old as they are, whatever the clocks say."""

from __future__ import annotations

from nautilus.bus.freshness import PROOF_NS, Freshness

MS = 1_000_000
BEAT = 20 * MS
T = 1_000_000 * MS
PROOF = PROOF_NS // BEAT
"""Intervals between heartbeats that prove a clock."""


def heard(fresh: Freshness, first_ns: int, count: int, *, took_ns: int = 0, ahead_ns: int = 0) -> int:
    """So many heartbeats as they are sent, by a hub whose clock is ahead; when the last one came."""
    for number in range(count):
        sent_ns = first_ns + number * BEAT
        fresh.hear(sent_ns + ahead_ns, sent_ns + took_ns)
        fresh.prove()
    return first_ns + (count - 1) * BEAT + took_ns


def test_nothing_is_fresh_before_a_heartbeat_and_three_intervals_after_the_last() -> None:
    fresh = Freshness(BEAT)
    assert fresh.silent(T)
    fresh.hear(T, T + 1)
    assert [fresh.silent(T + 1 + wait) for wait in (0, 3 * BEAT - 1, 3 * BEAT)] == [False, False, True]


def test_the_first_heartbeat_that_waited_is_as_old_as_it_is() -> None:
    fresh = Freshness(BEAT)
    fresh.hear(T, T + 63_000 * MS)
    assert fresh.silent(T + 63_000 * MS)
    assert fresh.as_of_ns == T


def test_of_a_burst_that_waited_only_what_was_sent_lately_is_fresh() -> None:
    fresh = Freshness(BEAT)
    now = T + 50 * BEAT
    silent = []
    for number in range(51):
        fresh.hear(T + number * BEAT, now + number)  # more than enough of them, but in no time
        fresh.prove()
        silent.append(fresh.silent(now + number))
    assert silent == [True] * 48 + [False] * 3


def test_the_next_hub_is_judged_by_what_is_known_of_clocks() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF + 1, took_ns=MS)
    assert not fresh.proving
    fresh.begin()
    fresh.hear(now + BEAT, now + 9 * BEAT)
    assert fresh.silent(now + 9 * BEAT)
    fresh.hear(now + 9 * BEAT, now + 9 * BEAT + MS)
    assert not fresh.silent(now + 9 * BEAT + MS)


def test_a_clock_that_is_behind_is_known_after_two_seconds() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF, ahead_ns=-500 * MS)
    assert fresh.silent(now)
    assert fresh.proving
    now = heard(fresh, now + BEAT, 1, ahead_ns=-500 * MS)
    assert not fresh.silent(now)
    assert fresh.as_of_ns == now
    assert not fresh.proving


def test_while_something_waits_behind_heartbeats_they_prove_nothing() -> None:
    fresh = Freshness(BEAT)
    for number in range(2 * PROOF):  # always 500 ms behind: a backlog, or a clock
        fresh.hear(T + number * BEAT, T + number * BEAT + 500 * MS)
    assert fresh.silent(T + (2 * PROOF - 1) * BEAT + 500 * MS)
    assert fresh.proving


def test_a_clock_that_is_ahead_or_was_set_is_followed() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF + 1, ahead_ns=2_000 * MS)
    assert not fresh.silent(now)
    assert fresh.as_of_ns == now
    now = heard(fresh, now + BEAT, PROOF, ahead_ns=-2_000 * MS)  # set back
    assert fresh.proving
    assert fresh.silent(now)
    now = heard(fresh, now + BEAT, 1, ahead_ns=-2_000 * MS)
    assert not fresh.silent(now)


def test_a_clock_may_drift() -> None:
    fresh = Freshness(BEAT)
    now = heard(fresh, T, PROOF + 1)
    for _ in range(100):  # half a thousandth of 20 seconds at a time
        now += 1_000 * BEAT
        fresh.hear(now - (now - T) // 2_000, now)
        assert not fresh.silent(now)


def test_what_lost_packets_held_up_does_not_pass_for_a_clock_that_is_behind() -> None:
    fresh = Freshness(BEAT)
    for number in range(2 * PROOF):  # each waits for the next tenth of a second
        sent_ns = T + number * BEAT
        came_ns = T + (number // 5 * 5 + 5) * BEAT
        fresh.hear(sent_ns, came_ns)
        fresh.prove()
        # The quickest of them was one interval on its way; the rest is for clocks that drift.
        least_ns = 0 if fresh.proving else BEAT
        assert least_ns <= fresh.as_of_ns - sent_ns <= least_ns + BEAT // 4
