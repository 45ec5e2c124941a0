"""The hub's door to data providers: real hub, child process, sockets and HTTP; the provider is a server that counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.bus.base import BY_NAME
from nautilus.bus.client import AnswerError, BusClient
from nautilus.model.datasets import DataKind, GetBarFacts, GetData, GetProviders
from nautilus.model.errors import NautilusError
from nautilus.model.fact_quotes import PROVIDERS
from nautilus.model.queries import GetQuotes
from nautilus.model.topics import HISTORICAL_BARS, QUOTE_FACTS, QUOTES
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.wire import from_wire, to_wire
from tests.kit.data_hub import ROUTED, DataHub, data_hub
from tests.kit.data_server import DataServer
from tests.kit.live_host import eventually

QUICK = {"quote_seconds": 0.05, "stale_factor": 4.0, "error_seconds": 60.0, "retry_seconds": 0.05, "prefetch": False}


@pytest.fixture
def server() -> Iterator[DataServer]:
    found = DataServer()
    yield found
    found.close()


@pytest.fixture
def hub(server: DataServer) -> Iterator[DataHub]:
    with data_hub(server, data={"prefetch": False}) as found:
        yield found


def refused(hub: DataHub, message: object) -> NautilusError:
    with pytest.raises(NautilusError) as caught:
        hub.ask(message)  # type: ignore[arg-type]
    return caught.value


def test_a_question_is_asked_once_and_then_answered_from_what_is_kept(hub, server):
    first = hub.ask(GetData(DataKind.BAR, "AAPL"))
    again = hub.ask(GetData(DataKind.BAR, "AAPL"))
    same = hub.ask(GetBarFacts("AAPL"))
    assert (first.cached, again.cached, same.cached) == (False, True, True)
    assert first.facts == again.facts == same.facts
    assert first.provenance.source == "ibkr"  # the first that has bars
    assert again.age_seconds >= first.age_seconds
    assert server.calls == {("ibkr", "bar", "AAPL"): 1}


def test_equal_questions_under_way_share_one_request(hub, server):
    hub.ask(GetData(DataKind.BAR, "WARM"))
    server.go.clear()
    asked = [hub.running.host.ask_engine("marketdata", GetData(DataKind.ECONOMIC, "GDP", "fred")) for _ in range(12)]
    eventually(lambda: server.calls["fred", "economic", "GDP"] and hub.door.meters.get("joined") == 11)
    assert not any(each.done() for each in asked)
    server.go.set()
    answers = [each.result(20) for each in asked]
    assert len({answer.provenance for answer in answers}) == 1
    assert server.calls["fred", "economic", "GDP"] == 1
    assert hub.door.meters.counts()["joined"] == 11
    joined = {source.name: source.joined for source in hub.ask(GetProviders()).sources}
    assert (joined["fred"], sum(joined.values())) == (11, 11)


def test_what_a_provider_does_not_have_is_not_asked_again(hub, server):
    server.missing.add("NONE")
    for _ in range(3):
        assert refused(hub, GetData(DataKind.BAR, "NONE")).code == "source.not_found"
    assert server.calls["ibkr", "bar", "NONE"] == 1
    assert hub.door.meters.counts()["negative"] == 2


def test_a_limit_is_told_with_its_time_and_nobody_asks_before(hub, server):
    server.limited = 30.0
    status, headers, problem = hub.get("/marketdata/bar/AAPL")
    assert (status, problem["code"], headers["retry-after"]) == (429, "source.rate_limited", "30")
    assert hub.get("/marketdata/bar/AAPL")[0] == 429
    assert server.calls["ibkr", "bar", "AAPL"] == 1


def test_http_shows_provenance_age_and_problems(hub, server):
    status, headers, answer = hub.get("/marketdata/quote/AAPL?source=yahoo")
    assert (status, answer["cached"], answer["stale"]) == (200, False, False)
    assert answer["provenance"]["source"] == answer["facts"][0]["provenance"]["source"] == "yahoo"
    assert headers["age"] == "0"
    assert hub.get("/marketdata/data?kind=QUOTE&symbol=AAPL&source=yahoo")[2]["cached"] is True
    for wrong in ("begin=yesterday", "begin=9999-01-01", "end=99999999999999999999", "limit=575207384587722167418880"):
        assert hub.get(f"/marketdata/bar/AAPL?{wrong}")[0] == 422, wrong
    status, _, problem = hub.get("/marketdata/economic/GDP?source=nobody")
    assert (status, problem["code"]) == (422, "source.unsupported")
    server.missing.add("NONE")
    assert hub.get("/marketdata/fundamental/NONE")[0] == 404
    for kind, symbol in (("fundamental", "AAPL"), ("economic", "GDP"), ("listing", "gdp"), ("event", "us")):
        status, _, answer = hub.get(f"/marketdata/{kind}/{symbol}")
        assert (status, answer["kind"], len(answer["facts"])) == (200, kind.upper(), 3)
    assert hub.get("/marketdata/economic/GDP%2FUS")[0] == 404  # as a part of a path; else by `data`
    assert hub.get("/marketdata/data?kind=ECONOMIC&symbol=GDP%2FUS")[2]["symbol"] == "GDP/US"


def test_the_thread_of_http_answers_what_is_fresh_and_is_counted(hub, server):
    assert hub.get("/marketdata/bar/AAPL")[2]["cached"] is False
    before = hub.do(lambda: hub.running.host.counters.get(hub.running.host.contexts["marketdata"].requests))
    for _ in range(5):
        status, headers, answer = hub.get("/marketdata/bar/AAPL")
        assert (status, answer["cached"], headers["age"]) == (200, True, "0")
    assert before == hub.do(lambda: hub.running.host.counters.get(hub.running.host.contexts["marketdata"].requests))
    assert hub.get("/marketdata/sources")[2]["hits"] == 5
    operation = hub.get("/hybrid/performance")[2]["operations"]["GET /marketdata/bar/{symbol}"]
    assert (operation["count"], operation["success"]) == (6, 6)
    assert server.calls == {("ibkr", "bar", "AAPL"): 1}


def test_counts_are_shown_everywhere(hub, server):
    for _ in range(4):
        hub.ask(GetData(DataKind.BAR, "AAPL"))
    eventually(lambda: hub.get("/marketdata/sources")[2]["sources"][0]["calls"])
    status, _, states = hub.get("/marketdata/sources")
    ibkr = states["sources"][0]
    assert (status, states["hits"], states["misses"], states["hit_rate"]) == (200, 3, 1, 0.75)
    assert (ibkr["name"], ibkr["state"], ibkr["day_left"], ibkr["cost"]) == ("ibkr", "ready", 999, 0.01)
    assert ibkr["connections"] == 1
    data = eventually(lambda: hub.get("/health")[2].get("data"))
    assert data["process"]["pid"]
    metrics = eventually(lambda: page if "source" in (page := hub.get("/metrics")[2].decode()) else "")
    assert 'nautilus_data_hits_total{process="marketdata"} 3' in metrics
    assert 'nautilus_source_calls_total{source="ibkr",process="marketdata"} 1' in metrics


def test_stale_data_is_served_and_marked_while_the_provider_is_down(server):
    with data_hub(server, data=QUICK) as hub:
        question = GetData(DataKind.QUOTE, "AAPL", "yahoo")
        assert hub.ask(question).facts[0].last == 1.0
        server.cut()
        eventually(lambda: hub.ask(question).stale)
        answer = eventually(lambda: found if (found := hub.ask(question)).reason else None)
        assert (answer.stale, answer.cached, answer.facts[0].last) == (True, True, 1.0)
        assert answer.reason.startswith("source.unavailable: ")
        status, headers, told = hub.get("/marketdata/quote/AAPL?source=yahoo")
        assert (status, told["stale"]) == (200, True)
        assert headers["warning"].startswith("110 ")
        assert refused(hub, GetData(DataKind.QUOTE, "MSFT", "yahoo")).code == "source.unavailable"
        assert hub.get("/marketdata/quote/MSFT?source=yahoo")[0] == 503
        warned = eventually(lambda: [each for each in hub.get("/health")[2]["reasons"] if "yahoo" in each])
        assert "source.unavailable" in warned[0]


def test_stale_data_is_served_at_once_and_renewed_behind(server):
    with data_hub(server, data=QUICK | {"stale_factor": 1000.0}) as hub:
        question = GetData(DataKind.QUOTE, "AAPL", "yahoo")
        hub.ask(question)
        server.value = 2.0
        assert eventually(lambda: found if (found := hub.ask(question)).stale else None).facts[0].last == 1.0
        eventually(lambda: hub.ask(question).facts[0].last == 2.0)


def test_a_killed_child_is_told_and_the_next_question_starts_another(hub, server):
    hub.ask(GetData(DataKind.BAR, "AAPL"))
    server.go.clear()
    waiting = hub.running.host.ask_engine("marketdata", GetData(DataKind.BAR, "MSFT"))
    eventually(lambda: server.calls["ibkr", "bar", "MSFT"])
    os.kill(hub.do(lambda: hub.door.line.pid), signal.SIGKILL)
    with pytest.raises(NautilusError) as caught:
        waiting.result(20)
    assert caught.value.code == "source.unavailable"  # type: ignore[attr-defined]
    server.go.set()
    assert hub.ask(GetData(DataKind.BAR, "MSFT")).facts
    assert hub.ask(GetData(DataKind.BAR, "AAPL")).cached  # what was kept is there still
    assert (hub.door.line.starts, hub.door.line.deaths) == (2, 1)


def test_calls_and_cost_of_a_provider_are_those_of_all_processes_that_asked_it(hub, server):
    def ibkr() -> tuple[int, float, int]:
        [found] = [source for source in hub.get("/marketdata/sources")[2]["sources"] if source["name"] == "ibkr"]
        return found["calls"], found["cost"], found["day_left"]

    for symbol in ("A", "B", "C"):
        hub.ask(GetData(DataKind.BAR, symbol))
    assert ibkr() == (3, 0.03, 997)  # what is answered is counted
    os.kill(hub.do(lambda: hub.door.line.pid), signal.SIGKILL)
    eventually(lambda: hub.door.line.deaths == 1)
    assert ibkr()[:2] == (3, 0.03)
    eventually(lambda: hub.ask(GetData(DataKind.BAR, "D")).facts)
    assert ibkr() == (4, 0.04, 999)  # its day is the provider's own count


def test_too_many_questions_are_refused_at_once(server):
    with data_hub(server, data={"questions": 2, "prefetch": False}) as hub:
        hub.ask(GetData(DataKind.BAR, "WARM", "ibkr"))
        server.go.clear()
        asked = [hub.running.host.ask_engine("marketdata", GetData(DataKind.BAR, name, "ibkr")) for name in "AB"]
        eventually(lambda: hub.door.cache.under_way == 2)
        assert refused(hub, GetData(DataKind.BAR, "C", "ibkr")).code == "source.busy"
        assert hub.ask(GetData(DataKind.BAR, "WARM", "ibkr")).cached
        server.go.set()
        assert all(each.result(20).facts for each in asked)


def test_a_provider_that_is_down_keeps_nobody_from_the_others(hub, server):
    hub.ask(GetData(DataKind.BAR, "AAPL", "ibkr"))
    server.cut()
    for number in range(20):  # far more than open a breaker
        assert hub.get(f"/marketdata/bar/S{number}?source=ibkr")[0] == 503
    status, _, answer = hub.get("/marketdata/bar/AAPL?source=ibkr")
    assert (status, answer["cached"]) == (200, True)


def test_an_answer_that_does_not_come_in_time_is_a_time_out(server):
    with data_hub(server, data={"ask_seconds": 0.3, "prefetch": False}) as hub:
        server.go.clear()
        status, _, problem = hub.get("/marketdata/bar/AAPL?source=ibkr")
        assert (status, problem["code"]) == (504, "source.timeout")


def test_made_up_data_only_where_it_is_allowed(server):
    question = GetData(DataKind.BAR, "AAPL", "nobody", "1d", 0, 0, 5)
    with data_hub(server, data={"prefetch": False}) as hub:
        assert refused(hub, question).code == "source.unsupported"
        assert hub.door.meters.get("synthetic") == 0
    with data_hub(server, marketdata={"allow_synthetic": True}) as hub:
        answer = hub.ask(question)
        assert answer.provenance.synthetic
        assert len(answer.facts) == 5
        assert all(fact.provenance.synthetic for fact in answer.facts)
        assert not hub.ask(GetData(DataKind.BAR, "AAPL", "ibkr")).provenance.synthetic
        assert hub.door.meters.get("synthetic") == 1
        server.missing.add("NONE")
        assert refused(hub, GetData(DataKind.BAR, "NONE", "ibkr")).code == "source.not_found"


def test_nothing_is_made_up_where_old_data_is_true(server):
    with data_hub(server, marketdata={"allow_synthetic": True}, data=QUICK) as hub:
        question = GetData(DataKind.QUOTE, "AAPL", "yahoo")
        hub.ask(question)
        server.cut()
        answer = eventually(lambda: found if (found := hub.ask(question)).reason else None)
        assert (answer.provenance.synthetic, answer.stale) == (False, True)
        assert hub.ask(GetData(DataKind.QUOTE, "MSFT", "yahoo")).provenance.synthetic


def test_what_is_likely_next_is_asked_ahead(server):
    with data_hub(server, data={"bar_seconds": 0.2, "stale_factor": 0.0, "error_seconds": 0.0}) as hub:
        names = ("A", "B", "C")

        def round_trip() -> None:
            for name in names:
                hub.ask(GetData(DataKind.BAR, name, "ibkr"))

        for _ in range(3):
            round_trip()
            eventually(lambda: all(hub.do(lambda n=name: hub.door.cache.peek(
                GetData(DataKind.BAR, n, "ibkr", "1d"), hub_now())) == 0 for name in names))  # fmt: skip
        counts = hub.door.meters.counts()
        assert counts["prefetched"] >= 1
        hub.ask(GetData(DataKind.BAR, "A", "ibkr"))
        eventually(lambda: hub.door.cache.under_way == 0)
        assert hub.ask(GetData(DataKind.BAR, "B", "ibkr")).cached
        assert hub.door.meters.counts()["prefetch_used"] >= 1


def hub_now() -> int:
    from nautilus.runtime.clock import monotonic_ns

    return monotonic_ns()


class Asker:
    """A process of the mesh that asks."""

    def __init__(self, hub: DataHub, undo: ExitStack) -> None:
        self._zmq = make_context()
        undo.callback(self._zmq.destroy, 0)
        self._mesh = Mesh(self._zmq, "risk", wall_ns(), hub.plan.endpoint, wall_ns)
        undo.callback(self._mesh.close)

    def ask(self, message: GetData | GetProviders) -> object:
        """The reply of the hub."""
        until_ns = wall_ns() + 20_000_000_000
        number = self._mesh.post(
            "marketdata", to="marketdata", sender="risk", kind=MessageKind.REQUEST, payload=to_wire(message),
            priority=3, deadline_ns=until_ns,
        )  # fmt: skip
        while wall_ns() < until_ns:
            for delivery in self._mesh.receive():
                self._mesh.done(delivery)
                if delivery.id == number:
                    assert delivery.kind is MessageKind.REPLY, delivery
                    return from_wire(delivery.payload)
            self._mesh.tick(wall_ns())
        raise AssertionError("no answer")


def test_an_engine_of_another_process_gets_the_same_over_the_mesh(hub):
    with ExitStack() as undo:
        asker = Asker(hub, undo)
        first, again = (asker.ask(GetData(DataKind.BAR, "AAPL")) for _ in range(2))
        assert (first.cached, again.cached) == (False, True)
        assert first.facts == again.facts
        assert asker.ask(GetProviders()).hits == 1


def test_a_client_gets_data_of_providers_and_keeps_the_last(server):
    with data_hub(server) as hub:
        client = BusClient("reader", hub.plan.routing, hub.plan.endpoint, hub.plan.stars)  # type: ignore[arg-type]
        try:
            found = client.get_data(["AAPL"], ["BAR", "FUNDAMENTAL"], timeout_seconds=20)["AAPL"]
            assert [len(found[kind].value.facts) for kind in ("BAR", "FUNDAMENTAL")] == [3, 3]
            assert not found["BAR"].stale
            server.missing.add("GDPX")
            with pytest.raises(AnswerError, match="no GDPX") as caught:
                client.get_data(["GDPX"], ["ECONOMIC"], timeout_seconds=20)
            assert caught.value.code == "source.not_found"
            hub.running.stop()
            again = client.get_data(["AAPL"], ["BAR"], timeout_seconds=0.2)["AAPL"]["BAR"]
            assert (again.stale, again.value) == (True, found["BAR"].value)
        finally:
            client.close()


def test_new_facts_are_published_once(hub):
    published: list[object] = []
    hub.do(lambda: hub.running.host.messages.listen(HISTORICAL_BARS.name, published.append))
    hub.ask(GetData(DataKind.BAR, "BTCUSDT"))
    hub.ask(GetData(DataKind.BAR, "BTCUSDT"))
    hub.ask(GetData(DataKind.BAR, "BTCUSDT", "", "1d", 0, 0, 2))  # other question, same facts
    eventually(lambda: hub.do(lambda: hub.door.meters.get("published")) == 3)
    (records,) = published
    assert records.dtype is BY_NAME[HISTORICAL_BARS.name].dtype
    assert set(records["symbol"].tolist()) == {b"BTCUSDT"}
    assert records["instrument_id"].tolist() == [1, 1, 1]
    assert (records["now_ns"] > 0).all()


def test_a_quote_of_a_provider_is_one_of_the_market_where_nothing_here_plays_that_instrument(hub, server):
    quotes, facts = [], []
    hub.do(lambda: hub.running.host.messages.listen(QUOTES.name, quotes.append))
    hub.do(lambda: hub.running.host.messages.listen(QUOTE_FACTS.name, facts.append))
    hub.ask(GetData(DataKind.QUOTE, "BTCUSDT", "yahoo"))  # which the market plays
    hub.ask(GetData(DataKind.QUOTE, "NOBODY", "yahoo"))
    answer = hub.ask(GetData(DataKind.QUOTE, ROUTED.symbol, "yahoo"))
    eventually(lambda: len(facts) == 3)
    (records,) = quotes
    quote = dict(zip(records.dtype.names, records[0].item(), strict=True))
    assert (quote["instrument_id"], PROVIDERS[quote["source_id"] - 1]) == (ROUTED.instrument_id, "yahoo")
    assert (quote["bid_ticks"], quote["bid_quantity"], quote["ask_ticks"], quote["ask_quantity"]) == (99, 250, 101, 1)
    assert quote["update_id"] == answer.facts[0].provenance.fetched_ns
    [line] = [line for line in hub.ask(GetQuotes()).quotes if line.symbol == ROUTED.symbol]
    assert (line.bid, line.ask) == ("0.99", "1.01")
