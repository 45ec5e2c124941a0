"""The concurrency limit: what it admits, what it learns, and processes that are killed."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from nautilus.core.limiter import DROPPED, GONE, LEFT_OUT, SAMPLED, SHED, Limiter, Limiters, LimiterSettings
from perf.overload import Flow, overload
from tests.kit.naive_limiter import Call, NaiveLimiter

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
FIXED = LimiterSettings(first=10, fixed=1)


def made(settings: LimiterSettings) -> Limiter:
    return Limiters(1).limiter("x", settings)


def test_each_priority_has_its_share_and_the_first_more_than_all() -> None:
    limiter = made(FIXED)
    tickets = [limiter.acquire(3, SECOND) for _ in range(20)]
    assert sum(ticket >= 0 for ticket in tickets) == 6
    assert sum(limiter.acquire(2, SECOND) >= 0 for _ in range(20)) == 2
    assert sum(limiter.acquire(1, SECOND) >= 0 for _ in range(20)) == 2
    assert sum(limiter.acquire(0, SECOND) >= 0 for _ in range(20)) == 10
    metrics = limiter.metrics()
    assert (metrics.under_way, metrics.admitted, metrics.shed) == (20, (10, 2, 2, 6), (10, 18, 18, 14))
    for ticket in tickets[:6]:
        assert limiter.release(ticket, SECOND) == 0
        assert limiter.release(ticket, SECOND) == GONE
    assert limiter.acquire(3, SECOND) == SHED, "14 are under way, its share is 6"


def test_every_priority_gets_through_where_nothing_is_under_way() -> None:
    limiter = made(LimiterSettings(first=1, fixed=1))
    for priority in range(4):
        ticket = limiter.acquire(priority, SECOND)
        assert ticket >= 0
        limiter.release(ticket, SECOND)


@pytest.mark.parametrize("workers", [20, 100])
@pytest.mark.parametrize("steady", [True, False])
def test_the_limit_comes_near_the_true_capacity_within_two_seconds(workers: int, steady: bool) -> None:
    limiter = made(LimiterSettings())
    rate = workers * 100.0
    flows = [Flow(0, rate * 0.3), Flow(1, rate * 2.0), Flow(2, rate * 3.7), Flow(3, rate * 4.0)]
    seen: list[float] = []
    found = overload(
        limiter,
        workers,
        10 * MILLISECOND,
        flows,
        3.0,
        steady=steady,
        watch=lambda seconds, limit: seen.append(limit) if seconds >= 2.0 else None,
        from_seconds=2.0,
    )
    # Where the service times vary, so does what can be learned of them in so short a time.
    least, most = (0.8, 1.25) if steady else (0.6, 1.4)
    assert workers * least <= statistics.median(seen) <= workers * most
    assert found[0].answered >= 0.99 * found[0].asked
    assert found[3].answered < 0.05 * found[3].asked


def test_a_limit_grows_only_where_it_is_made_use_of() -> None:
    limiter = made(LimiterSettings(first=10))
    for number in range(1000):
        now_ns = SECOND + number * 10 * MILLISECOND
        limiter.release(limiter.acquire(2, now_ns), now_ns + MILLISECOND)
    assert limiter.metrics().windows > 10
    assert limiter.limit == 10.0


def test_time_outs_of_the_callee_lower_it_and_what_says_nothing_does_not() -> None:
    limiter = made(LimiterSettings(first=100))
    for how, expected in ((LEFT_OUT, False), (DROPPED, True)):
        before = limiter.limit
        for number in range(500):
            now_ns = SECOND + number * MILLISECOND
            limiter.release(limiter.acquire(2, now_ns), now_ns, how)
        assert (limiter.limit < before) is expected


def test_latencies_within_the_target_are_no_reason_to_shed() -> None:
    limiter = made(LimiterSettings(target_ns=200 * MILLISECOND))
    overload(limiter, 5, 10 * MILLISECOND, [Flow(2, 2000.0)], 3.0)
    assert limiter.limit > 40, "forty calls at once take 80 ms each, which is soon enough"


CHILD = """
import sys
from nautilus.core.limiter import Limiters
limiter = Limiters(path=sys.argv[1]).limiter("x")
print(sum(limiter.acquire(0, 1) >= 0 for _ in range(30)), flush=True)
sys.stdin.readline()
"""


def test_what_a_killed_process_held_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "limiters"
    limiter = Limiters(4, path).limiter("x", FIXED)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "20\n"
        assert limiter.acquire(0, SECOND) == SHED
    finally:
        child.kill()
        child.communicate()
    assert limiter.acquire(3, 2 * SECOND) >= 0
    assert (limiter.metrics().under_way, limiter.held()) == (1, 1)


def test_a_file_has_room_for_what_was_asked_for(tmp_path: Path) -> None:
    assert Limiters(1, tmp_path / "one").capacity == 1
    assert Limiters(7, tmp_path / "one").capacity == 1, "the first one's capacity holds"


def test_what_is_out_of_range_is_refused(tmp_path: Path) -> None:
    limiter = made(FIXED)
    with pytest.raises(ValueError, match="priority 4, expected 0 to 3"):
        limiter.acquire(4, SECOND)
    with pytest.raises(ValueError, match="ticket -1"):
        limiter.release(-1, SECOND)
    with pytest.raises(ValueError, match="least 2, first 1"):
        limiter.set_settings(LimiterSettings(least=2, first=1))
    with pytest.raises(ValueError, match="shares"):
        limiter.set_settings(LimiterSettings(shares=(2000, 1, 1, 0)))
    with pytest.raises(ValueError, match="window_ns -1"):
        limiter.set_settings(LimiterSettings(window_ns=-1))
    assert limiter.settings == FIXED
    (tmp_path / "x").write_bytes(b"0" * 4096)
    with pytest.raises(ValueError, match="damaged"):
        Limiters(4, tmp_path / "x")


def test_a_count_that_a_killed_process_left_wrong_is_put_right_where_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "limiters"
    limiter = Limiters(1, path).limiter("x", LimiterSettings(first=1, fixed=1))
    before = np.fromfile(path, np.uint64)
    ticket = limiter.acquire(3, SECOND)
    after = np.fromfile(path, np.uint64)
    limiter.release(ticket, SECOND)
    # Of the words that the one call made 1, the first is how many are under way. One more, of a call that has no slot:
    words = np.memmap(path, np.uint64, "r+")
    words[np.flatnonzero((before == 0) & (after == 1))[0]] += 1
    assert (limiter.metrics().under_way, limiter.held()) == (1, 0)
    asked = [limiter.acquire(3, 2 * SECOND + number * 10 * MILLISECOND) for number in range(4)]
    assert asked[:3] == [SHED] * 3
    assert asked[3] >= 0, "there is nothing under way"
    assert limiter.metrics().shed[3] == 3, "who is let in after all was not refused"


def test_critical_calls_keep_their_reserve_while_the_base_is_looked_for() -> None:
    chosen = LimiterSettings(first=10, window_ns=MILLISECOND, least_samples=1, base_every_ns=8 * MILLISECOND)
    limiter, twin = made(chosen), NaiveLimiter(chosen)
    held: deque[tuple[int, Call]] = deque()
    now_ns = SECOND
    while twin.looking != 1:
        now_ns += MILLISECOND
        while isinstance(call := twin.acquire(0, 1, now_ns), Call):
            held.append((limiter.acquire(1, now_ns), call))
            now_ns += 100
        # The more are under way, the longer each takes.
        ticket, call = held.popleft()
        limiter.release(ticket, now_ns)
        twin.release(call, now_ns, SAMPLED)
        assert limiter.limit == twin.limit / 1000
    assert limiter.acquire(1, now_ns) == SHED
    assert limiter.acquire(0, now_ns) >= 0


def test_a_limit_that_is_fixed_later_is_the_first_and_bounds_hold_at_once() -> None:
    limiter = made(LimiterSettings(first=4, window_ns=0, least_samples=0))
    for number in range(20):
        tickets = [limiter.acquire(1, SECOND + number * MILLISECOND + each) for each in range(int(limiter.limit))]
        for ticket in tickets:
            limiter.release(ticket, SECOND + number * MILLISECOND + 1000)
    assert limiter.limit > 20
    limiter.set_settings(LimiterSettings(first=4, most=20))
    assert limiter.limit == 20
    limiter.set_settings(LimiterSettings(first=4, fixed=1))
    assert limiter.limit == 4
