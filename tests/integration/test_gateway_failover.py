"""Engine processes killed and stopped under what goes through the gateway: no read fails, no order is doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from nautilus.model.queries import GetCoreState
from nautilus.runtime.clock import monotonic_ns
from tests.kit.platform import Platform, demo
from tests.kit.sent_orders import ACCOUNT, Senders, carried_out, complaints
from tests.kit.steady_clients import SteadyClients
from tests.kit.web_sockets import Blocking

KILLS = 3
STILL_NS = 700_000_000
POSITIONS = "/api/v1/engines/portfolio/positions"
RISK = "/api/v1/engines/risk/risk/state"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """One with a risk engine of another one beside its own; all other engines are alone."""
    with demo("--profile", "compact", "--strategy", "quoting") as other:
        settings = (
            "platform.processes=native",
            "gateway.engine_timeout_ms=120000",  # a read waits for the return of its engine
            f'gateway.instances={{"risk": ["127.0.0.1:{other.ports["risk"]}"]}}',
        )
        with demo(settings=settings) as running:
            yield running


@contextmanager
def still(platform: Platform, process: str) -> Iterator[None]:
    """A process that does not move."""
    pid = platform.pid(process)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def a_while(platform: Platform) -> None:
    until_ns = monotonic_ns() + STILL_NS
    platform.wait(lambda: monotonic_ns() > until_ns, "a while")


def more(platform: Platform, count: Callable[[], int], wanted: int = 100) -> None:
    """Wait for more answers."""
    before = count()
    platform.wait(lambda: count() > before + wanted, "more answers")


@pytest.mark.parametrize(("path", "process", "kills"), [(POSITIONS, "portfolio", KILLS), (RISK, "risk", 1)])
def test_no_read_fails_while_its_engine_is_killed(platform, path, process, kills):
    with SteadyClients(platform.ports["gateway"], connections=16, path=path) as clients:
        platform.wait(lambda: clients.begun, "answers")
        for _ in range(kills):
            platform.kill(process)
            more(platform, lambda: clients.account.answered)
    account = clients.account
    assert (account.lost, account.other) == (0, {})


def test_no_read_fails_while_its_engine_stands_still_for_a_while(platform):
    with SteadyClients(platform.ports["gateway"], connections=16, path=POSITIONS) as clients:
        platform.wait(lambda: clients.begun, "answers")
        with still(platform, "portfolio"):
            a_while(platform)
        more(platform, lambda: clients.account.answered)
    account = clients.account
    assert (account.lost, account.other) == (0, {})


def test_the_other_instance_answers_every_read_while_one_stands_still(platform):
    with SteadyClients(platform.ports["gateway"], connections=16, path=RISK) as clients:
        platform.wait(lambda: clients.begun, "answers")
        with still(platform, "risk"):
            more(platform, lambda: clients.account.answered, 300)
        more(platform, lambda: clients.account.answered)
    account = clients.account
    assert (account.lost, account.other) == (0, {})


def test_no_order_is_carried_out_twice_whatever_becomes_of_the_core(platform):
    with Senders(platform.instance, platform.ports["gateway"]) as senders:
        more(platform, lambda: senders.acknowledged, 20)
        for _ in range(2):
            platform.kill("core")
            more(platform, lambda: senders.acknowledged, 20)
        with still(platform, "core"):
            a_while(platform)
        more(platform, lambda: senders.acknowledged, 20)
    platform.wait(lambda: platform.try_ask("trading", GetCoreState((ACCOUNT,))), "a core that answers")
    found = carried_out(platform.instance)
    assert complaints(senders.answers, found) == []
    assert max(found.values()) == 1


def test_who_listens_is_told_of_the_gap_that_a_killed_engine_leaves(platform):
    path = "/api/v1/engines/portfolio/streams/positions"
    listeners = [Blocking(platform.ports["gateway"], path) for _ in range(2)]
    try:
        os.kill(platform.pid("portfolio"), signal.SIGKILL)
        for listener in listeners:
            told = []
            while not told or told[-1] != "resumed":
                told.append(listener.text()["type"])
            assert [each for each in told if each != "PositionChanged"] == ["lost", "resumed"]
    finally:
        for listener in listeners:
            listener.close()
