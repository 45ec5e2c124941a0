"""The rim answers every request of the trading engine once, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.message import Message
from nautilus.model.queries import CoreState, GetCoreState, GetOrders, KillSwitches, OrderLines, OrderResult
from nautilus.runtime.clock import ClockAnchor, PlatformClock
from nautilus.trading.client import NO_EVENTS, CoreBatch
from nautilus.trading.rim import PAUSE_NS, RemoteCore, Rim
from tests.kit.context import btcusdt

Answers = list[Message | Exception]


class Host:
    """Serves what it is told to, and runs what is put off when it is asked to."""

    clock = PlatformClock(ClockAnchor(0, 0))

    def __init__(self, engine: TradingEngine) -> None:
        self.engine = engine
        self.reply: Message | Exception = KillSwitches()
        self.asked: list[Message] = []
        self._later: list[Callable[[], object]] = []
        self.arm: Callable[[], bool] | None = None

    def later(self, wait_ns: int, callback: Callable[[], object], /) -> None:
        self._later.append(callback)

    def add_source(self, item: Any, callback: Callable[[], object], *, arm: Callable[[], bool] | None = None) -> None:
        self.arm = arm

    def remove_source(self, item: Any) -> None:
        raise AssertionError("nothing is watched")

    def ask(self, peer: str, message: Message, answered: Callable[[Message | Exception], None], /) -> None:
        if isinstance(self.reply, Exception):
            raise self.reply
        self.asked.append(message)
        answered(self.reply)

    def serve(self, context: Any, message: Message, /) -> Message:
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    def set_server(self, engine: str, server: Callable[..., None], /) -> None: ...

    def call(self, context: Any, handler: Callable[..., Any], /, *arguments: Any) -> object: ...

    def renew(self, context: Any, /) -> None: ...

    def run(self) -> int:
        later, self._later = self._later, []
        for callback in later:
            callback()
        return len(later)


@pytest.fixture
def host() -> Host:
    kernel = Kernel(instruments=[btcusdt()], accounts=[1], huge_pages=False)
    return Host(TradingEngine(TradingConfig(), kernel, [btcusdt()]))


def asked(host: Host, message: Message) -> Answers:
    rim = Rim(host, host, RemoteCore(), "nowhere", "nowhere")
    answers: Answers = []
    rim.serve(message, answers.append)
    host.run()
    return answers


@pytest.mark.parametrize("message", [GetCoreState(), GetOrders()])
def test_what_nobody_foresaw_is_the_answer(host: Host, message: Message) -> None:
    host.reply = OverflowError("of a sort")
    assert asked(host, message) == [host.reply]


def test_questions_for_the_core_go_there_and_others_do_not(host: Host) -> None:
    host.reply = CoreState(1, 2, 3)
    assert asked(host, GetCoreState((1,))) == [host.reply]
    assert host.asked == [GetCoreState((1,))]
    host.reply = OrderLines((), 0)
    assert asked(host, GetOrders()) == [host.reply]
    assert len(host.asked) == 1


def test_the_result_of_an_order_says_how_long_it_took(host: Host) -> None:
    host.reply = OrderResult(7, "accepted", 0.0)
    [answer] = asked(host, GetOrders())
    assert isinstance(answer, OrderResult)
    assert answer.latency_us > 0


class Client:
    """Of a core that says what it is told to."""

    current, restarts, last_sequence = True, 0, 0
    ahead = absent = silent = False

    def __init__(self) -> None:
        self.said: list[CoreBatch] = []
        self.armed = self.polled = self.checked = 0

    def fileno(self) -> int:
        return 1

    def check(self) -> None:
        self.checked += 1

    def poll(self) -> CoreBatch | None:
        self.polled += 1
        return self.said.pop() if self.said else None

    def arm(self) -> bool:
        self.armed += 1
        return True

    def disarm(self) -> None: ...


def test_a_core_that_says_nothing_is_waited_for_and_one_that_speaks_is_given_a_pause(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = PAUSE_NS
    monkeypatch.setattr("nautilus.trading.rim.now_ns", lambda: now_ns)
    core, client = RemoteCore(), Client()
    core.client = client  # type: ignore[assignment]
    rim = Rim(host, host, core, "nowhere", "nowhere")
    rim.pump()
    assert host.arm is not None
    assert host.arm()
    assert client.armed == 1
    assert not host.run(), "nothing is to be looked at again"
    client.said.append(CoreBatch(NO_EVENTS, np.empty(0, np.uint8), NO_EVENTS, 0, 0))
    rim.pump()
    assert host.arm()
    assert client.armed == 1, "more may come in a moment"
    now_ns += PAUSE_NS
    assert host.run() == 1
    assert host.arm()
    assert client.armed == 2
    client.current = False
    rim.pump()
    assert host.arm()
    assert client.armed == 2, "it would be called back at once, again and again"


def test_a_core_is_watched_without_being_asked_for_events_that_it_does_not_have(host: Host) -> None:
    core, client = RemoteCore(), Client()
    core.client = client  # type: ignore[assignment]
    rim = Rim(host, host, core, "nowhere", "nowhere")
    rim._watch()
    assert (client.checked, client.polled) == (1, 1), "what was there before"
    assert host.run() == 1
    assert (client.checked, client.polled) == (2, 1)
    client.current = False
    assert host.run() == 1
    assert (client.checked, client.polled) == (3, 2)
