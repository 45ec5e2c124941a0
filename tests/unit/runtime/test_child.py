"""How long a process waits for its next start, and how its end reads."""

import signal

from nautilus.runtime.child import LONGEST_DELAY_NS, SETTLED_NS, Backoff, Child, ending
from nautilus.runtime.plan import ProcessSpec

MILLISECOND = 1_000_000


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    backoff = Backoff()
    delays = [backoff.next_ns(0) // MILLISECOND for _ in range(9)]
    assert delays == [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
    assert backoff.next_ns(SETTLED_NS - 1) == LONGEST_DELAY_NS


def test_a_process_that_has_lived_long_starts_with_a_clean_record() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_ns(0)
    assert backoff.next_ns(SETTLED_NS) == 0
    assert backoff.next_ns(0) == 100 * MILLISECOND


def test_an_end_is_told_by_code_or_signal() -> None:
    assert ending(0) == "exit code 0"
    assert ending(3 << 8) == "exit code 3"
    assert ending(signal.SIGKILL) == "killed by SIGKILL"
    assert ending(50) == "killed by signal 50"


def test_a_process_that_was_never_started_shows_no_restart() -> None:
    state = Child(ProcessSpec("risk", "engines", ("risk",), 2)).state()
    assert (state.state, state.pid, state.restarts, state.ports) == ("waiting", 0, 0, {})
