"""The watchdog, in real processes: what is stuck ends, what is stopped or merely slow does not."""

import os
import signal
import subprocess
import sys

import pytest

from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.watchdog import EXIT_STUCK, Watchdog
from tests.kit.live_host import eventually

CHILD = """
import logging, re, sys, threading
from nautilus.runtime.watchdog import Watchdog
logging.basicConfig(format="%(message)s", stream=sys.stdout)
calls = 0
running = True
watchdog = Watchdog({limit_ms}, lambda: calls if running else 0, lambda: "strategy.on_quote")
watchdog.start()
def work():
    global calls, running
    while True:
        calls += 1
        print("call", calls, flush=True)
        {body}
        if calls == {most}:
            break
    running = False
    watchdog.stop()
    print("done", flush=True)
work()
"""


@pytest.fixture
def child():
    made = []

    def start(body, limit_ms=20, most=0):
        script = CHILD.format(body=body, limit_ms=limit_ms, most=most)
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("body", ["threading.Event().wait()", "[None for _ in iter(int, 1)]"], ids=["waits", "loops"])
def test_a_handler_that_does_not_end_ends_its_process_and_is_named(child, body):
    process = child(body)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == EXIT_STUCK
    assert "strategy.on_quote is stuck after 200 ms" in output
    assert "in work" in output, "with the place where it is"


def test_a_handler_that_never_lets_go_of_the_interpreter_ends_its_process_too(child):
    process = child("re.match(r'(a+)+$', 'a' * 60 + 'b')")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGPROF
    assert "in work" in errors


def test_handlers_that_are_slow_again_and_again_are_not_stuck(child):
    process = child("threading.Event().wait(0.15)", limit_ms=100, most=8)  # stuck: after a second of looks
    output, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    assert output.endswith("done\n")


def test_a_process_that_is_stopped_meanwhile_is_not_stuck(child):
    process = child("threading.Event().wait(0.15)", limit_ms=100, most=8)
    assert process.stdout.readline() == "call 1\n"
    os.kill(process.pid, signal.SIGSTOP)
    begun_ns = monotonic_ns()
    eventually(lambda: monotonic_ns() - begun_ns > 2_000_000_000)
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert output.endswith("done\n")


class Looks:
    """Lets a watchdog look, at times of its own, and counts how it waits."""

    def __init__(self, calls: list[tuple[int, int]]) -> None:
        self._calls = calls
        self.now_ns = 0
        self.pauses: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.pauses.append(round(seconds, 3))
        self.now_ns += round(seconds * 1_000_000_000)
        return False

    def current(self) -> int:
        return next((number for number, (begin, end) in enumerate(self._calls, 1) if begin <= self.now_ns < end), 0)

    def began(self) -> int:
        return self._calls[self.current() - 1][0]


def test_an_idle_process_is_looked_at_less_often_and_its_stuck_call_is_found_as_soon(monkeypatch):
    ended = []

    def end(code):
        ended.append((code, looks.now_ns))
        raise SystemExit

    looks = Looks([(350_000_000, 360_000_000), (430_000_000, 9_000_000_000)])
    monkeypatch.setattr("nautilus.runtime.watchdog.monotonic_ns", lambda: looks.now_ns)
    watchdog = Watchdog(100, looks.current, str, looks.began, end=end)
    watchdog._closing = looks
    with pytest.raises(SystemExit):
        watchdog._watch()
    assert looks.pauses[:6] == [0.02, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert looks.pauses[6:] == [0.02] * len(looks.pauses[6:])
    [(code, at_ns)] = ended
    assert code == EXIT_STUCK
    assert 1_000_000_000 < at_ns - 430_000_000 <= 1_020_000_000 + 20_000_000
