"""Nonces and rates against naive twins, and with several processes and kills on one region."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nautilus.core.throttle import ACCEPTED, EARLY, FULL, LATE, NO_ROOM, REPLAYED, Throttle
from tests.kit.access import NOW_NS, SECOND, NaiveThrottle

WINDOW_NS = 5 * SECOND
fork = multiprocessing.get_context("fork")


class ThrottleMachine(RuleBasedStateMachine):
    """Both see the same nonces, rates and clocks, also clocks that go back."""

    @initialize(not_before=st.sampled_from([0, NOW_NS - SECOND]))
    def begin(self, not_before):
        self.now_ns = NOW_NS
        self.throttle = Throttle(nonces=4096, keys=64, window_ns=WINDOW_NS, not_before_ns=not_before)
        self.naive = NaiveThrottle(WINDOW_NS, not_before)
        self.accepted: set[tuple[int, bytes, int]] = set()

    @rule(seconds=st.one_of(st.floats(0, 12), st.floats(-12, 0), st.sampled_from([0.0, 5.0, 20.0, 3600.0])))
    def time_goes(self, seconds):
        self.now_ns += int(seconds * SECOND)

    @rule(key=st.integers(1, 3), nonce=st.integers(0, 5), offset=st.integers(-6, 6))
    def claim(self, key, nonce, offset):
        # Few stamps: the same ones come again and again.
        stamp_ns = (self.now_ns // SECOND + offset) * SECOND
        given = (key, b"nonce-%d" % nonce, stamp_ns, self.now_ns)
        found = self.throttle.claim(*given)
        assert found == self.naive.claim(*given)
        if found == ACCEPTED:
            assert given[:3] not in self.accepted
            self.accepted.add(given[:3])

    @rule(key=st.integers(1, 5), interval=st.sampled_from([SECOND // 10, SECOND, 7]), burst=st.integers(1, 5))
    def take(self, key, interval, burst):
        given = (key, self.now_ns, interval, burst)
        assert self.throttle.take(*given) == self.naive.take(*given)

    @invariant()
    def window_stays(self):
        if hasattr(self, "throttle"):
            assert self.throttle.window_ns == WINDOW_NS


TestThrottleMachine = ThrottleMachine.TestCase
TestThrottleMachine.settings = settings(stateful_step_count=60)


def test_the_window_is_closed_at_both_ends():
    throttle = Throttle(window_ns=WINDOW_NS)
    assert throttle.claim(1, b"a", NOW_NS - WINDOW_NS, NOW_NS) == ACCEPTED
    assert throttle.claim(1, b"b", NOW_NS + WINDOW_NS, NOW_NS) == ACCEPTED
    assert throttle.claim(1, b"c", NOW_NS - WINDOW_NS - 1, NOW_NS) == LATE
    assert throttle.claim(1, b"d", NOW_NS + WINDOW_NS + 1, NOW_NS) == EARLY
    assert throttle.claim(1, b"e", -1, 0) == LATE
    assert throttle.claim(2, b"a", NOW_NS, NOW_NS) == ACCEPTED


def test_a_full_region_refuses_and_forgets_nothing():
    throttle = Throttle(nonces=256, window_ns=WINDOW_NS)
    stamp_ns = NOW_NS // WINDOW_NS * WINDOW_NS
    found = [throttle.claim(1, b"nonce-%05d" % number, stamp_ns, NOW_NS) for number in range(2000)]
    assert found.count(ACCEPTED) == 256
    assert found[256:] == [FULL] * (2000 - 256)
    again = [throttle.claim(1, b"nonce-%05d" % number, stamp_ns, NOW_NS) for number in range(256)]
    assert again == [REPLAYED] * 256
    # The next generation has an array of its own.
    assert throttle.claim(1, b"other", stamp_ns + WINDOW_NS, stamp_ns + WINDOW_NS) == ACCEPTED


def test_an_array_that_was_used_before_takes_a_new_generation_and_refuses_the_old_one():
    throttle = Throttle(nonces=256, window_ns=WINDOW_NS)
    for generation in range(200):
        stamp_ns = NOW_NS + generation * WINDOW_NS
        for number in range(40):
            assert throttle.claim(1, b"nonce-%05d" % number, stamp_ns, stamp_ns) == ACCEPTED
            assert throttle.claim(1, b"nonce-%05d" % number, stamp_ns, stamp_ns) == REPLAYED
    # A clock that was set back: what was accepted then is refused now, as nobody knows any more.
    old_ns = NOW_NS + 10 * WINDOW_NS
    assert {throttle.claim(1, b"nonce-%05d" % number, old_ns, old_ns) for number in range(80)} == {LATE}


def test_keys_beyond_the_room_have_no_rate():
    throttle = Throttle(keys=4)
    assert [throttle.take(key, NOW_NS, SECOND, 1) for key in (1, 2, 3, 4, 5)] == [0, 0, 0, 0, NO_ROOM]
    assert throttle.take(1, NOW_NS, SECOND, 1) == -SECOND


@pytest.mark.parametrize(
    "change",
    [
        {"nonces": 0},
        {"nonces": 255},
        {"nonces": 300},
        {"nonces": 1 << 29},
        {"keys": 0},
        {"keys": 3},
        {"window_ns": 0},
        {"window_ns": SECOND - 1},
    ],
)
def test_sizes_that_are_none_are_refused(change):
    with pytest.raises(ValueError, match="Throttle"):
        Throttle(**change)


@pytest.mark.parametrize("given", [(0, 0, 1, 1), (1, 0, 0, 1), (1, 0, 1, 0), (1, 0, 1, 10**7), (1, 0, 10**16, 1)])
def test_rates_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="take"):
        Throttle().take(*given)


def test_a_file_is_gone_on_with_by_whoever_comes(tmp_path):
    place = tmp_path / "throttle"
    first = Throttle(place, nonces=512, keys=8, not_before_ns=5)
    assert first.claim(1, b"nonce", NOW_NS, NOW_NS) == ACCEPTED
    second = Throttle(place, nonces=512, keys=8, not_before_ns=7)
    assert second.claim(1, b"nonce", NOW_NS, NOW_NS) == REPLAYED
    assert second.not_before_ns == 5
    assert place.stat().st_mode & 0o777 == 0o600
    for other in (
        {"nonces": 1024, "keys": 8},
        {"nonces": 512, "keys": 16},
        {"nonces": 512, "keys": 8, "window_ns": SECOND},
    ):
        with pytest.raises(ValueError, match="expected"):
            Throttle(place, **other)
    place.write_bytes(b"no throttle")
    with pytest.raises(ValueError, match="damaged"):
        Throttle(place)


def _claim_all(place, barrier, results, rounds, each):
    throttle = Throttle(place, nonces=1 << 14)
    accepted = []
    for number in range(rounds):
        now_ns = NOW_NS + number * WINDOW_NS
        barrier.wait()
        found = [throttle.claim(7, b"%08d" % nonce, now_ns, now_ns) for nonce in range(each)]
        accepted += [(number, nonce) for nonce, claimed in enumerate(found) if claimed == ACCEPTED]
    results.send(accepted)
    results.close()


def test_of_several_processes_with_the_same_nonce_one_is_let_in(tmp_path):
    place, rounds, each, many = tmp_path / "throttle", 30, 3000, 4
    barrier = fork.Barrier(many)
    ends = [fork.Pipe(duplex=False) for _ in range(many)]
    children = [fork.Process(target=_claim_all, args=(place, barrier, sender, rounds, each)) for _, sender in ends]
    for child in children:
        child.start()
    found = [receiver.recv() for receiver, _ in ends]
    for child in children:
        child.join()
    accepted = [item for part in found for item in part]
    assert len(accepted) == len(set(accepted)) == rounds * each
    assert sum(bool(part) for part in found) > 1  # they did meet


def _claim_on(place, began, number):
    throttle = Throttle(place, nonces=1 << 14)
    began.set()
    nonce = 0
    while True:
        throttle.claim(number, b"%08d" % nonce, NOW_NS, NOW_NS)
        throttle.take(9, NOW_NS + nonce, 1000, 3)
        nonce += 1


def test_killed_processes_leave_nothing_half_done(tmp_path):
    place = tmp_path / "throttle"
    throttle = Throttle(place, nonces=1 << 14)
    for number in range(1, 13):
        began = fork.Event()
        child = fork.Process(target=_claim_on, args=(place, began, number))
        child.start()
        began.wait()
        for nonce in range(200):
            throttle.claim(100 + number, b"%08d" % nonce, NOW_NS, NOW_NS)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        # What this process had is had, whatever the other was at.
        assert {throttle.claim(100 + number, b"%08d" % nonce, NOW_NS, NOW_NS) for nonce in range(200)} <= {
            REPLAYED,
            FULL,
        }
    assert throttle.take(9, NOW_NS + SECOND, 1000, 3) >= 0


def test_a_rate_is_shared_by_threads_and_processes(tmp_path):
    place, burst = tmp_path / "throttle", 500
    throttle = Throttle(place, nonces=256)
    taken = []

    def run():
        own = Throttle(place, nonces=256)
        taken.append(sum(own.take(3, NOW_NS, SECOND, burst) >= 0 for _ in range(1000)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == burst
    assert throttle.take(3, NOW_NS, SECOND, burst) == -SECOND
