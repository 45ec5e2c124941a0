"""What must not end or mislead the hub's door: numbers out of range, answers too large or late, a child that hangs.

The hub, its child process and its HTTP are real; the provider is a server that counts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from nautilus.model.datasets import DataKind, GetData, GetProviders
from nautilus.model.errors import ModelError, NautilusError
from nautilus.model.topics import HISTORICAL_BARS
from nautilus.runtime.clock import monotonic_ns
from tests.kit.data_hub import DataHub, data_hub
from tests.kit.data_server import DataServer
from tests.kit.live_host import eventually

HUGE = "9" * 20


@pytest.fixture
def server() -> Iterator[DataServer]:
    found = DataServer()
    yield found
    found.close()


def code_of(hub: DataHub, message: GetData) -> str:
    with pytest.raises(NautilusError) as caught:
        hub.ask(message)
    return str(caught.value.as_dict()["code"])


def test_numbers_of_more_than_64_bits_are_refused_and_end_nothing(server):
    with data_hub(server, data={"prefetch": False}) as hub:
        for path in (  # the first question of its life is one
            f"bar/X?begin={HUGE}",
            f"bar/X?limit={HUGE}",
            f"bar/X?end={'9' * 31}",
            f"data?kind=BAR&symbol=X&begin_ns={HUGE}",
            f"economic/X?begin={HUGE}",
            f"bar/X?source={'s' * 33}",
            f"bar/X?interval={'1' * 9}",
        ):
            assert hub.get(f"/marketdata/{path}")[0] in (400, 422), path
        for question in (
            GetData(DataKind.BAR, "X", "ibkr", "1d", 10**20),
            GetData(DataKind.BAR, "X", "", "1d", 0, -(10**20)),
            GetData(DataKind.BAR, "X", "ibkr", "1d", 0, 0, 10**20),
            GetData(DataKind.BAR, "X" * 65),
        ):
            with pytest.raises(ModelError):
                hub.ask(question, asker="risk")
        assert hub.door.cache.under_way == len(hub.door.cache) == 0
        assert hub.ask(GetData(DataKind.BAR, "AAPL")).facts


def test_an_error_of_a_server_is_the_answer_to_its_question_alone(server):
    with data_hub(server, data={"prefetch": False}) as hub:

        def breaks(message: object, answer: object) -> None:
            raise OverflowError("broken")

        before = hub.running.host.messages._servers["marketdata"]
        hub.do(lambda: hub.running.host.set_server("marketdata", breaks))
        with pytest.raises(OverflowError, match="broken"):
            hub.ask(GetData(DataKind.BAR, "AAPL"), asker="risk")
        hub.do(lambda: hub.running.host.set_server("marketdata", before))
        assert hub.ask(GetData(DataKind.BAR, "AAPL"), asker="risk").facts


def test_an_unknown_source_is_refused_and_nothing_of_it_is_kept(server):
    with data_hub(server, data={"prefetch": False}) as hub:
        for number in range(5):
            assert code_of(hub, GetData(DataKind.BAR, "AAPL", f"nobody{number}")) == "source.unsupported"
        assert len(hub.door.cache) == 0
        assert not server.calls


def test_an_answer_that_is_too_large_is_refused_alone(server):
    with data_hub(server, data={"prefetch": False, "answer_mib": 1}) as hub:
        hub.ask(GetData(DataKind.BAR, "AAPL"))
        server.rows = 5_000
        assert code_of(hub, GetData(DataKind.BAR, "MSFT")) == "source.too_large"
        assert hub.get("/marketdata/bar/GOOG")[0] == 502
        assert hub.door.line.deaths == 0


def test_a_hub_of_many_instruments_has_its_questions_answered(server):
    instruments = {f"SYMBOL-{number}.VENUE": number + 1 for number in range(20_000)}
    with data_hub(server, data={"prefetch": False}, instruments=instruments) as hub:
        assert len(hub.ask(GetData(DataKind.BAR, "AAPL")).facts) == 3
        assert (hub.door.line.starts, hub.door.line.deaths) == (1, 0)


def test_a_late_answer_is_kept_and_told_to_the_star(server):
    with data_hub(server, data={"prefetch": False, "ask_seconds": 30}) as hub:
        published: list[Any] = []
        hub.do(lambda: hub.running.host.messages.listen(HISTORICAL_BARS.name, published.append))
        hub.ask(GetData(DataKind.ECONOMIC, "GDP"))
        server.go.clear()
        waiting = hub.running.host.ask_engine("marketdata", GetData(DataKind.BAR, "AAPL", "ibkr"))
        eventually(lambda: server.calls["ibkr", "bar", "AAPL"])

        def lapse() -> None:
            (number,) = hub.door._asked
            hub.door._asked[number] = hub.door._asked[number]._replace(until_ns=monotonic_ns())
            hub.door._look()

        hub.do(lapse)
        with pytest.raises(NautilusError):
            waiting.result(20)
        server.go.set()
        eventually(lambda: published)
        assert len(published[0]) == 3
        assert hub.ask(GetData(DataKind.BAR, "AAPL", "ibkr")).cached
        assert server.calls["ibkr", "bar", "AAPL"] == 1


def test_a_child_that_hangs_is_replaced(server):
    with data_hub(server, data={"prefetch": False, "ask_seconds": 0.1, "retry_seconds": 0.0}) as hub:
        hub.ask(GetData(DataKind.LISTING, "WARM"))
        hanging = hub.do(lambda: hub.door.line.pid)
        os.kill(hanging, signal.SIGSTOP)
        names = "ABC"
        asked: list[Future[Any]] = [
            hub.running.host.ask_engine("marketdata", GetData(DataKind.BAR, name)) for name in names
        ]
        for each in asked:
            with pytest.raises(NautilusError):
                each.result(20)
        eventually(lambda: hub.do(lambda: hub.door.line.deaths) == 1)
        assert eventually(lambda: hub.get("/marketdata/listing/NEW")[0] == 200)
        assert hub.do(lambda: hub.door.line.pid) != hanging


def test_a_child_that_does_not_begin_is_not_waited_for(server):
    with data_hub(server, data={"prefetch": False}) as hub:
        hub.do(lambda: hub.door.line.start())
        os.kill(hub.door.line.pid, signal.SIGSTOP)
        if hub.do(lambda: hub.door._known):
            pytest.skip("it began before it could be stopped")
        waiting = hub.running.host.ask_engine("marketdata", GetData(DataKind.BAR, "AAPL"))
        eventually(lambda: hub.do(lambda: len(hub.door._early)) == 1)

        def lapse() -> None:
            question, answer, asker, _ = hub.door._early[0]
            hub.door._early[0] = question, answer, asker, monotonic_ns()
            hub.door._look()

        hub.do(lapse)
        with pytest.raises(NautilusError) as caught:
            waiting.result(20)
        assert caught.value.as_dict()["code"] == "source.unavailable"
        assert eventually(lambda: hub.get("/marketdata/bar/AAPL")[0] == 200)


def test_made_up_data_gives_way_to_true_data(server):
    with data_hub(server, marketdata={"allow_synthetic": True}, data={"prefetch": False, "retry_seconds": 0.05}) as hub:
        question = GetData(DataKind.FUNDAMENTAL, "AAPL", "edgar")
        eventually(lambda: hub.ask(GetProviders()).sources)
        server.limited = 0.01
        assert hub.ask(question).provenance.synthetic
        server.limited = 0.0
        answer = eventually(lambda: found if not (found := hub.ask(question)).provenance.synthetic else None)
        assert not answer.cached


def test_the_time_of_a_kept_refusal_shrinks(server):
    now = [monotonic_ns()]
    with data_hub(server, clock=lambda: now[0], data={"prefetch": False}) as hub:
        server.limited = 30.0
        assert hub.get("/marketdata/bar/AAPL")[1]["retry-after"] == "30"
        now[0] += 20 * 10**9
        assert hub.get("/marketdata/bar/AAPL")[1]["retry-after"] == "10"
        assert server.calls["ibkr", "bar", "AAPL"] == 1


def test_both_rates_are_shown(server):
    now = [monotonic_ns()]
    with data_hub(server, clock=lambda: now[0], data={"prefetch": False}) as hub:
        for later in (0, 1, 70, 0):
            now[0] += later * 10**9
            hub.ask(GetData(DataKind.BAR, "AAPL"), asker="risk")
            eventually(lambda: hub.door.cache.under_way == 0)
        states = hub.get("/marketdata/sources")[2]
        assert (states["hit_rate"], states["fresh_rate"]) == (0.75, 0.5)
