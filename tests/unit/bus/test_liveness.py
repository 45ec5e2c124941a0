"""The state machine of a peer, with times of the test's own."""

from __future__ import annotations

import pytest

from nautilus.bus import Standing
from nautilus.bus.liveness import (
    ANSWERS,
    AWAY_NS,
    BEAT_NS,
    CONFIRM_NS,
    IDLE_BEAT_NS,
    LATE,
    LOST,
    NEVER,
    REFUSED,
    SILENT,
    SLOW_NS,
    UNREACHABLE,
    UP_CAUSE,
    Finding,
    Liveness,
)

MS = 1_000_000


@pytest.fixture
def peer() -> Liveness:
    made = Liveness("peer", 0)
    made.link(0, True)
    return made


def test_a_peer_is_down_until_it_is_connected() -> None:
    made = Liveness("peer", 5)
    assert (made.standing, made.cause, made.since_ns, made.linked) == (Standing.DOWN, NEVER, 5, False)
    change = made.link(9 * MS, True)
    assert change == ("peer", Standing.DOWN, Standing.UP, UP_CAUSE, 9 * MS, 9 * MS - 5)
    assert made.link(10 * MS, True) is None


@pytest.mark.parametrize(
    ("findings", "standing", "cause"),
    [
        ([], Standing.DOWN, LOST),
        ([Finding.REFUSED], Standing.DOWN, REFUSED),
        ([Finding.UNREACHABLE], Standing.DOWN, UNREACHABLE),
        ([Finding.ACCEPTED], Standing.DOWN, LOST),  # it may be on its way out
        ([Finding.ACCEPTED, Finding.REFUSED], Standing.DOWN, REFUSED),
        ([Finding.ACCEPTED, Finding.ACCEPTED], Standing.STOPPED, SILENT),
        ([Finding.UNREACHABLE, Finding.ACCEPTED, Finding.ACCEPTED], Standing.STOPPED, SILENT),
        ([Finding.ACCEPTED, Finding.ACCEPTED, Finding.REFUSED], Standing.DOWN, REFUSED),
    ],
)
def test_a_lost_peer_is_what_attempts_to_connect_say(
    peer: Liveness, findings: list[Finding], standing: Standing, cause: str
) -> None:
    peer.link(MS, False)
    for number, finding in enumerate(findings):
        peer.found(MS + number * CONFIRM_NS, finding)
    assert (peer.standing, peer.cause) == (standing, cause)
    change = peer.link(100 * MS, True)
    assert change is not None
    assert (change.before, change.after, change.cause) == (standing, Standing.UP, UP_CAUSE)


def test_why_a_peer_is_lost_is_looked_for_at_once_and_confirmed(peer: Liveness) -> None:
    assert not peer.wants_look(MS)
    peer.link(MS, False)
    assert peer.wants_look(MS)
    peer.looking(MS)
    assert not peer.wants_look(MS)
    peer.found(MS, Finding.ACCEPTED)
    assert peer.due_ns == MS + CONFIRM_NS
    assert not peer.wants_look(MS + CONFIRM_NS - 1)
    assert peer.wants_look(MS + CONFIRM_NS)
    peer.found(MS + CONFIRM_NS, Finding.ACCEPTED)
    assert peer.standing is Standing.STOPPED
    assert peer.wants_look(MS + CONFIRM_NS + BEAT_NS), "nothing would tell of its end"
    peer.taken(MS + CONFIRM_NS + BEAT_NS)
    assert peer.due_ns == 0
    assert not peer.wants_look(1 << 62), "what is tried again and again fills the queue of a peer that is stopped"


def test_a_stopped_peer_that_is_killed_is_found_down(peer: Liveness) -> None:
    peer.link(MS, False)
    peer.found(MS, Finding.ACCEPTED)
    peer.found(MS + CONFIRM_NS, Finding.ACCEPTED)
    peer.dropped(50 * MS)
    assert peer.standing is Standing.STOPPED
    assert peer.wants_look(50 * MS)
    change = peer.found(50 * MS, Finding.REFUSED)
    assert change is not None
    assert (change.before, change.after) == (Standing.STOPPED, Standing.DOWN)


def owe(peer: Liveness, begin: int, end: int) -> None:
    for at in range(begin, end, 5):
        peer.look(at * MS, True)
        if peer.wants_beat(at * MS):
            peer.asked(at * MS)


def test_a_peer_whose_application_does_not_answer_is_slow_within_50_ms(peer: Liveness) -> None:
    assert BEAT_NS + SLOW_NS <= 50 * MS
    owe(peer, 100, 135)
    assert peer.standing is Standing.UP
    owe(peer, 135, 150)
    assert (peer.standing, peer.cause) == (Standing.SLOW, LATE)
    change = peer.heard(200 * MS)
    assert change is not None
    assert (change.before, change.after, change.cause) == (Standing.SLOW, Standing.UP, ANSWERS)


def test_a_slow_peer_that_is_lost_is_down_and_comes_back_up(peer: Liveness) -> None:
    owe(peer, 100, 150)
    peer.link(160 * MS, False)
    assert peer.standing is Standing.DOWN
    peer.link(170 * MS, True)
    peer.look(171 * MS, True)
    assert peer.standing is Standing.UP, "what was asked on the old connection nobody answers"


def test_a_peer_that_answers_is_asked_no_more_than_needed(peer: Liveness) -> None:
    for at in range(100, 500, 5):
        peer.heard(at * MS)
        peer.look(at * MS, True)
        assert not peer.wants_beat(at * MS), "its acknowledgements say enough"


def test_a_peer_that_owes_nothing_is_asked_now_and_then(peer: Liveness) -> None:
    peer.look(0, False)
    assert not peer.wants_beat(IDLE_BEAT_NS - 1)
    assert peer.wants_beat(IDLE_BEAT_NS)
    peer.asked(IDLE_BEAT_NS)
    assert not peer.wants_beat(IDLE_BEAT_NS), "one at a time"


def test_who_was_away_itself_calls_nobody_slow(peer: Liveness) -> None:
    peer.look(0, True)
    peer.look(BEAT_NS, True)
    peer.asked(BEAT_NS)
    later = BEAT_NS + AWAY_NS + SLOW_NS
    assert peer.look(later, True) is None
    assert peer.look(later + BEAT_NS, True) is None
    peer.look(later + 2 * BEAT_NS, True)
    change = peer.look(later + SLOW_NS, True)
    assert change is not None
    assert change.after is Standing.SLOW
