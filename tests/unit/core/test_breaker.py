"""The circuit breaker: its states, windows, permits, forms of use, and processes that are killed."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from nautilus.core.breaker import (
    BULKHEAD_FULL,
    CANCELLED,
    FAILURE,
    FORCED_OPEN,
    GONE,
    HALF_OPEN_FULL,
    IGNORED,
    OPEN,
    OVERLOADED,
    SUCCESS,
    TIMEOUT,
    Breaker,
    BreakerRejected,
    Breakers,
    BreakerSettings,
)

SECOND = 1_000_000_000
QUIET = BreakerSettings(
    failures=0, failure_permille=0, slow_permille=0, window_calls=10, window_ns=0, recovery_ns=SECOND, least_calls=4
)
"""No control is on."""


def made(**settings: int) -> Breaker:
    return Breakers(1).breaker("x", QUIET._replace(**settings))


def call(breaker: Breaker, now_ns: int, outcome: int, took_ns: int = 0) -> int:
    ticket = breaker.acquire(now_ns)
    if ticket >= 0:
        assert breaker.release(ticket, now_ns + took_ns, outcome) == 0
    return ticket


@types.coroutine
def a_turn() -> Generator[None, None, None]:
    """Let others of the loop go first."""
    yield


def test_consecutive_failures_open_it_and_a_success_between_does_not() -> None:
    breaker = made(failures=3)
    for outcome in (FAILURE, TIMEOUT, SUCCESS, FAILURE, FAILURE):
        call(breaker, SECOND, outcome)
    assert breaker.state(SECOND) == "closed"
    call(breaker, SECOND, TIMEOUT)
    assert breaker.state(SECOND) == "open"
    assert breaker.acquire(SECOND) == -OPEN
    assert breaker.changes()[-1].cause == "consecutive failures"


def test_half_of_the_calls_failing_opens_it_within_one_window() -> None:
    breaker = made(failure_permille=500, window_calls=100, least_calls=20)
    calls = 0
    while breaker.state(SECOND) == "closed":
        call(breaker, SECOND, FAILURE if calls % 2 else SUCCESS)
        calls += 1
        assert calls <= 100
    assert calls == 20
    assert breaker.changes()[-1].cause == "failure rate"


def test_a_success_that_makes_the_window_say_something_opens_it_too() -> None:
    for before in (0, 1):
        breaker = made(failure_permille=500, least_calls=4)
        for _ in range(before):
            breaker.reset(SECOND)
        for outcome in (FAILURE, FAILURE, SUCCESS):
            call(breaker, SECOND, outcome)
        assert breaker.state(SECOND) == "closed"
        call(breaker, SECOND, SUCCESS)
        assert breaker.state(SECOND) == "open"


def test_a_window_of_time_forgets_what_is_old() -> None:
    breaker = made(failure_permille=500, window_calls=0, window_ns=16 * SECOND, least_calls=4)
    for _ in range(3):
        call(breaker, SECOND, FAILURE)
    call(breaker, 30 * SECOND, FAILURE)
    assert breaker.state(30 * SECOND) == "closed"
    for _ in range(3):
        call(breaker, 31 * SECOND, FAILURE)
    assert breaker.state(31 * SECOND) == "open"


def test_slow_calls_open_it_although_they_succeed() -> None:
    breaker = made(slow_permille=600, slow_ns=SECOND // 10, least_calls=5)
    for took_ns in (SECOND, SECOND, 0, 0):
        call(breaker, SECOND, SUCCESS, took_ns)
    assert breaker.state(SECOND) == "closed"
    call(breaker, SECOND, CANCELLED, SECOND)
    assert breaker.state(SECOND) == "open"
    assert breaker.changes()[-1].cause == "slow-call rate"


def test_a_callers_mistake_and_a_quick_cancellation_say_nothing() -> None:
    breaker = made(failures=1, failure_permille=1, least_calls=1)
    for _ in range(20):
        call(breaker, SECOND, IGNORED)
        call(breaker, SECOND, CANCELLED)
    metrics = breaker.metrics(SECOND)
    assert (metrics.state, metrics.calls, metrics.ignored, metrics.cancelled) == ("closed", 0, 20, 20)


def test_a_busy_peers_refusals_count_in_the_rate_alone() -> None:
    breaker = made(failures=2, failure_permille=500, least_calls=6)
    for _ in range(5):
        call(breaker, SECOND, OVERLOADED)
    assert breaker.state(SECOND) == "closed"
    call(breaker, SECOND, OVERLOADED)
    assert breaker.changes()[-1].cause == "failure rate"


def test_half_open_admits_exactly_its_probes_and_closes_after_enough_successes() -> None:
    breaker = made(failures=1, probes=5, successes=3)
    call(breaker, SECOND, FAILURE)
    now_ns = 3 * SECOND
    tickets = [breaker.acquire(now_ns) for _ in range(100)]
    assert sum(ticket >= 0 for ticket in tickets) == 5
    assert tickets[5:] == [-HALF_OPEN_FULL] * 95
    for ticket in tickets[:3]:
        assert breaker.state(now_ns) == "half-open"
        breaker.release(ticket, now_ns, SUCCESS)
    assert breaker.state(now_ns) == "closed"
    assert breaker.release(tickets[3], now_ns, FAILURE) == 0, "the probe of a period that is over moves nothing"
    assert breaker.state(now_ns) == "closed"
    assert breaker.metrics(now_ns).late == 1


@pytest.mark.parametrize(
    ("outcome", "took_ns", "cause"),
    [
        (FAILURE, 0, "probe failed"),
        (TIMEOUT, 0, "probe timed out"),
        (OVERLOADED, 0, "probe failed"),
        (SUCCESS, SECOND, "probe was slow"),
    ],
)
def test_a_bad_probe_opens_it_again(outcome: int, took_ns: int, cause: str) -> None:
    breaker = made(failures=1, probes=2, successes=2, slow_permille=1000, slow_ns=SECOND // 2)
    call(breaker, SECOND, FAILURE)
    call(breaker, 3 * SECOND, outcome, took_ns)
    assert breaker.changes()[-1].cause == cause
    assert breaker.acquire(4 * SECOND - 1) == -OPEN


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    breaker = made(failures=1, probes=1)
    call(breaker, SECOND, FAILURE)
    assert call(breaker, 3 * SECOND, CANCELLED) >= 0
    assert breaker.state(3 * SECOND) == "half-open"
    assert call(breaker, 3 * SECOND, SUCCESS) >= 0
    assert breaker.state(3 * SECOND) == "closed"


def test_a_probe_that_does_not_come_back_has_failed() -> None:
    breaker = made(failures=1, probes=1, probe_ns=SECOND)
    call(breaker, SECOND, FAILURE)
    probe = breaker.acquire(3 * SECOND)
    assert breaker.acquire(4 * SECOND) == -HALF_OPEN_FULL
    assert breaker.acquire(5 * SECOND) == -OPEN
    assert breaker.changes()[-1].cause == "probe timed out"
    assert breaker.release(probe, 6 * SECOND, SUCCESS) == GONE


def test_a_probe_that_nobody_asked_after_for_long_has_failed_all_the_same() -> None:
    """Their times come again after 73 minutes; in the second half of these it is no probe of the future."""
    for minutes in (30, 40, 70):
        breaker = made(failures=1, probes=1, probe_ns=SECOND)
        call(breaker, SECOND, FAILURE)
        assert breaker.acquire(3 * SECOND) >= 0
        assert breaker.acquire((3 + 60 * minutes) * SECOND) == -OPEN


def test_a_probe_seen_by_a_clock_just_behind_is_not_lost() -> None:
    breaker = made(failures=1, probes=1, probe_ns=SECOND)
    call(breaker, SECOND, FAILURE)
    probe = breaker.acquire(3 * SECOND)
    assert breaker.acquire(3 * SECOND - 1_000_000) == -HALF_OPEN_FULL
    assert breaker.release(probe, 3 * SECOND, SUCCESS) == 0


def test_the_recovery_time_grows_while_it_opens_again_and_again() -> None:
    breaker = made(failures=1, backoff_permille=2000, most_recovery_ns=5 * SECOND)
    call(breaker, 0, FAILURE)
    waits, now_ns = [breaker.wait_ns(0)], 0
    for _ in range(4):
        now_ns += breaker.wait_ns(now_ns) + SECOND // 100
        call(breaker, now_ns, FAILURE)
        waits.append(breaker.wait_ns(now_ns))
    assert [round(wait / SECOND) for wait in waits] == [1, 2, 4, 5, 5]
    now_ns += 6 * SECOND
    call(breaker, now_ns, SUCCESS)
    call(breaker, now_ns, FAILURE)
    assert round(breaker.wait_ns(now_ns) / SECOND) == 1, "it begins anew once it was closed"


def test_an_outcome_of_an_earlier_period_moves_nothing() -> None:
    breaker = made(failures=1)
    old = breaker.acquire(SECOND)
    call(breaker, SECOND, FAILURE)
    call(breaker, 3 * SECOND, SUCCESS)
    assert breaker.state(3 * SECOND) == "closed"
    assert breaker.release(old, 3 * SECOND, FAILURE) == 0
    assert breaker.state(3 * SECOND) == "closed"
    assert breaker.metrics(3 * SECOND).late == 1


def test_no_more_calls_at_once_than_the_bulkhead_holds() -> None:
    breaker = made(bulkhead=3)
    tickets = [breaker.acquire(SECOND) for _ in range(4)]
    assert tickets[3] == -BULKHEAD_FULL
    assert breaker.release(tickets[1], SECOND, SUCCESS) == 0
    assert breaker.release(tickets[1], SECOND, SUCCESS) == GONE, "twice"
    assert breaker.acquire(SECOND) >= 0
    assert breaker.metrics(SECOND).in_flight == 3


def test_forced_open_and_disabled_hold_until_told_otherwise() -> None:
    breaker = made(failures=1)
    breaker.force_open(SECOND)
    assert breaker.acquire(1000 * SECOND) == -FORCED_OPEN
    breaker.disable(SECOND)
    for _ in range(10):
        assert call(breaker, SECOND, FAILURE) >= 0
    assert breaker.state(SECOND) == "disabled"
    breaker.reset(SECOND)
    assert breaker.state(SECOND) == "closed"
    assert [change.cause for change in breaker.changes()] == ["forced", "switched off", "reset"]
    assert breaker.metrics(SECOND).failures == 10


def test_changes_are_told_in_order_and_gaps_show_in_their_numbers() -> None:
    breaker = made()
    for at_ns in range(1, 41):
        breaker.force_open(at_ns) if at_ns % 2 else breaker.reset(at_ns)
    found = breaker.changes()
    assert [change.number for change in found] == list(range(25, 41))
    assert [change.at_ns for change in found] == list(range(25, 41))
    assert all(a.after == b.before for a, b in itertools.pairwise(found))
    assert breaker.changes(38) == found[-2:]
    assert breaker.changes(40) == []


def test_a_file_has_room_for_what_was_asked_for(tmp_path: Path) -> None:
    assert Breakers(1, tmp_path / "one").capacity == 1
    assert Breakers(7, tmp_path / "one").capacity == 1, "the first one's capacity holds"


def test_what_is_no_ticket_or_no_setting_is_refused() -> None:
    breaker = made()
    with pytest.raises(ValueError, match="ticket -1"):
        breaker.release(-1, SECOND, SUCCESS)
    with pytest.raises(ValueError, match="outcome 6"):
        breaker.release(breaker.acquire(SECOND), SECOND, 6)
    with pytest.raises(ValueError, match="window_calls 129, expected 0 to 128"):
        breaker.set_settings(QUIET._replace(window_calls=129))
    with pytest.raises(ValueError, match="capacity 0"):
        Breakers(0)
    with pytest.raises(ValueError, match="no room for 'y', all 1 are in use"):
        breaker.owner.breaker("y")
    with pytest.raises(ValueError, match="expected 1 to 119 bytes"):
        breaker.owner.breaker("")


def test_the_decorator_counts_what_the_function_does() -> None:
    breaker = made(failures=3)

    @breaker
    def divide(a: int, b: int = 1) -> int:
        return a // b

    assert divide(6, b=3) == 2
    assert divide.__name__ == "divide"
    assert list(inspect.signature(divide).parameters) == ["a", "b"]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            divide(1, 0)
    with pytest.raises(BreakerRejected, match="breaker x: open") as caught:
        divide(1, 1)
    assert 0 < caught.value.wait_ns <= SECOND + (1 << 18)


def test_a_decorated_method_has_its_object() -> None:
    breaker = made()

    class Adder:
        step = 2

        @breaker.wrap
        def add(self, number: int) -> int:
            return number + self.step

    assert Adder().add(3) == 5


def test_a_decorated_coroutine_counts_its_end_not_its_beginning() -> None:
    breaker = made(failures=2)

    @breaker
    async def ask(error: BaseException | None) -> int:
        await a_turn()
        if error is not None:
            raise error
        return 7

    async def run() -> None:
        assert await ask(None) == 7
        assert await asyncio.create_task(ask(None)) == 7  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            await ask(KeyError("k"))
        with pytest.raises(TimeoutError):
            await ask(TimeoutError())
        with pytest.raises(BreakerRejected):
            await ask(None)

    asyncio.run(run())
    metrics = breaker.metrics(SECOND)
    assert (metrics.successes, metrics.failures, metrics.timeouts, metrics.in_flight) == (2, 1, 1, 0)


def test_a_time_out_around_a_decorated_coroutine_is_a_cancellation_that_counts_where_it_is_told_to() -> None:
    breaker = made(failures=3, cancelled_fails=1)

    @breaker
    async def hang() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(hang(), 0.001)  # type: ignore[arg-type]
        with pytest.raises(BreakerRejected):
            await hang()

    asyncio.run(run())
    assert breaker.metrics(SECOND).cancelled == 3


def test_a_block_is_one_call_plain_or_async() -> None:
    breaker = made(failures=2)
    with breaker.permit():
        assert breaker.metrics(SECOND).in_flight == 1
    with pytest.raises(KeyError), breaker.permit(ignored=(KeyError,)):
        raise KeyError

    async def run() -> None:
        async with breaker.permit():
            pass
        for _ in range(2):
            with pytest.raises(OSError, match="no"):
                async with breaker.permit():
                    raise OSError("no")
        with pytest.raises(BreakerRejected):
            async with breaker.permit():
                pass

    asyncio.run(run())
    metrics = breaker.metrics(SECOND)
    assert (metrics.successes, metrics.failures, metrics.ignored, metrics.in_flight) == (2, 2, 1, 0)


def test_a_call_that_nobody_ends_gives_its_permit_back() -> None:
    breaker = made(bulkhead=1)

    @breaker
    async def wait() -> None:
        await a_turn()

    under_way = wait()
    under_way.send(None)  # type: ignore[attr-defined]
    assert breaker.acquire(SECOND) == -BULKHEAD_FULL
    del under_way
    assert breaker.metrics(SECOND).in_flight == 0


def admitted(callers: int, run: Callable[[Callable[[], None]], None]) -> int:
    """How many of so many callers at once a half-open breaker with four probes lets through; none is given back."""
    breaker = made(failures=1, probes=4)
    call(breaker, SECOND, FAILURE)
    tickets: list[int] = []
    run(lambda: tickets.append(breaker.acquire(3 * SECOND)))
    assert len(tickets) == callers
    return sum(ticket >= 0 for ticket in tickets)


def test_of_a_thousand_threads_at_half_open_exactly_four_are_admitted() -> None:
    def run(ask: Callable[[], None]) -> None:
        barrier = threading.Barrier(50)

        def several() -> None:
            barrier.wait()
            for _ in range(20):
                ask()

        threads = [threading.Thread(target=several) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert admitted(1000, run) == 4


def test_of_a_thousand_tasks_at_half_open_exactly_four_are_admitted() -> None:
    def run(ask: Callable[[], None]) -> None:
        async def one() -> None:
            await a_turn()
            ask()

        async def all_of_them() -> None:
            await asyncio.gather(*(one() for _ in range(1000)))

        asyncio.run(all_of_them())

    assert admitted(1000, run) == 4


CHILD = """
import sys
from nautilus.core.breaker import Breakers
breaker = Breakers(path=sys.argv[1]).breaker("x")
print("ready", flush=True)
sys.stdin.readline()
tickets = [breaker.acquire(int(sys.argv[2])) for _ in range(int(sys.argv[3]))]
print(sum(ticket >= 0 for ticket in tickets), flush=True)
sys.stdin.readline()
"""


def children(path: Path, now_ns: int, callers: int, count: int) -> list[subprocess.Popen[str]]:
    found = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(now_ns), str(callers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for child in found:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    return found


def ask_all(found: list[subprocess.Popen[str]]) -> int:
    for child in found:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return sum(int(child.stdout.readline()) for child in found if child.stdout is not None)


def end_all(found: list[subprocess.Popen[str]]) -> None:
    for child in found:
        child.kill()
        child.communicate()


def test_of_a_thousand_callers_in_four_processes_exactly_four_are_admitted_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "breakers"
    breaker = Breakers(8, path).breaker("x", QUIET._replace(failures=1, probes=4))
    call(breaker, SECOND, FAILURE)
    found = children(path, 3 * SECOND, 250, 4)
    try:
        assert ask_all(found) == 4
        assert breaker.acquire(3 * SECOND) == -HALF_OPEN_FULL
        assert len(breaker.owner.holders_alive()) == 5
    finally:
        end_all(found)
    assert breaker.acquire(4 * SECOND) >= 0, "what killed processes held comes back"
    assert breaker.owner.holders_alive() == [os.getpid()]


def test_slots_of_a_killed_process_come_back_and_those_of_a_stopped_one_do_not(tmp_path: Path) -> None:
    path = tmp_path / "breakers"
    breaker = Breakers(8, path).breaker("x", QUIET._replace(bulkhead=10))
    found = children(path, SECOND, 10, 1)
    try:
        assert ask_all(found) == 10
        found[0].send_signal(signal.SIGSTOP)
        assert breaker.acquire(SECOND) == -BULKHEAD_FULL
        assert breaker.owner.sweep() == 0
        found[0].send_signal(signal.SIGCONT)
    finally:
        end_all(found)
    assert breaker.owner.sweep() == 10
    assert breaker.metrics(SECOND).in_flight == 0


def test_state_and_settings_are_those_of_all_processes_and_outlive_them(tmp_path: Path) -> None:
    path = tmp_path / "breakers"
    table = Breakers(8, path)
    breaker = table.breaker("x", QUIET._replace(failures=2))
    other = Breakers(8, path)
    assert other.breaker("x").settings == breaker.settings
    call(breaker, SECOND, FAILURE)
    call(other.breaker("x"), SECOND, FAILURE)
    assert breaker.state(SECOND) == other.breaker("x").state(SECOND) == "open"
    del breaker, table
    assert Breakers(8, path).breaker("x").changes() == other.breaker("x").changes()
    assert other.names() == ["x"]


def test_a_child_of_a_fork_has_a_place_of_its_own() -> None:
    breaker = made(bulkhead=4)
    held = breaker.acquire(SECOND)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        breaker.acquire(SECOND)
        os.write(writer, bytes([len(breaker.owner.holders_alive())]))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"\x02"
    os.close(reader)
    os.close(writer)
    assert breaker.metrics(SECOND).in_flight == 2
    assert breaker.owner.sweep() == 1
    assert breaker.release(held, SECOND, SUCCESS) == 0


def test_a_file_that_is_no_table_of_breakers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "breakers"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(ValueError, match="damaged, or a region of another kind"):
        Breakers(8, path)
