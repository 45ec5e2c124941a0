"""The lock-step host: order in virtual time, latency, requests, timers, errors."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import Kernel
from nautilus.engines.base import Engine
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.account import Account
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import MassCancel, SubmitOrder
from nautilus.model.enums import EngineState, Side, TimeInForce
from nautilus.model.errors import InternalError, ModelError
from nautilus.model.events import CommandAcknowledged, OrderExpired
from nautilus.model.topics import EXECUTION_REPORTS, QUOTES, RISK_ALERTS, TRADES
from nautilus.runtime.latency import NONE, LatencyModel
from nautilus.runtime.lockstep import LockStep
from nautilus.simulation.source import Step
from tests.kit.context import MARKET_ACCOUNT, SECOND, ScriptedMarket, btcusdt, market_order, quote_array

MS = 1_000_000


class Witness(Engine):
    """Keeps what it is told, and when."""

    name = "strategy"
    source_id = 1
    subscribes = (QUOTES, EXECUTION_REPORTS, RISK_ALERTS)

    def __init__(self):
        self.seen = []
        self.script = {}

    def note(self, what, ctx):
        self.seen.append((ctx.now_ns, what))
        act = self.script.pop(what, None)
        if act:
            act(ctx)

    def on_start(self, ctx):
        self.ctx = ctx
        self.note("start", ctx)

    def on_stop(self, ctx):
        self.note("stop", ctx)

    def on_quote(self, quote, ctx):
        self.note(("quote", quote.bid_ticks), ctx)

    def on_report(self, report, ctx):
        self.note((type(report).__name__, report.order_id), ctx)

    def on_alert(self, alert, ctx):
        self.note("alert", ctx)

    def on_reply(self, number, reply, ctx):
        self.note(("reply", reply.accepted), ctx)

    def on_unknown(self, number, message, ctx):
        self.note("unknown", ctx)

    def on_timer(self, key, ctx):
        self.note(("timer", key), ctx)

    def on_result(self, number, result, ctx):
        self.note(("result", number, str(result)), ctx)

    def on_command(self, command, ctx):
        self.note(("command", type(command).__name__), ctx)


class Watcher(Engine):
    """A risk engine that alerts at each quote."""

    name = "risk"
    subscribes = (QUOTES,)
    publishes = (RISK_ALERTS,)

    def on_quote(self, quote, ctx):
        ctx.publish(RiskAlert(ctx.now_ns, 1, 1, 1, "loss", 1, 1))


def host(*others, latency=None, steps=(), **options):
    kernel = Kernel(instruments=[btcusdt()], accounts=[1], huge_pages=False)
    kernel.process(Account(MARKET_ACCOUNT).to_commands())
    witness = Witness()
    engines = [
        MarketDataEngine(MarketDataConfig(), [btcusdt()]),
        TradingEngine(TradingConfig(), kernel),
        *others,
        witness,
    ]
    return LockStep(engines, latency, next_timer_ns=lambda: kernel.next_timer_ns), witness, kernel


def order(number, price=600_000, lots=5, **fields):
    return SubmitOrder(1, 1, number, Side.BUY, lots, price, source_id=1, source_sequence=number, **fields)


def quote_step(now_ns, bid=600_000):
    return Step(now_ns, None, (quote_array(now_ns, bid, bid + 1),))


def test_market_data_orders_and_reports_each_take_their_latency():
    lockstep, witness, _ = host(latency=LatencyModel(2 * MS, 3 * MS))
    witness.script["quote", 600_000] = lambda ctx: ctx.request("trading", order(1))
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(2 * SECOND, 7)]))
    assert witness.seen[:4] == [
        (SECOND, "start"),
        (SECOND + 2 * MS, ("quote", 600_000)),
        (SECOND + 7 * MS, ("OrderAccepted", 1)),
        (SECOND + 7 * MS, ("reply", True)),
    ]
    assert list(lockstep.round_trips_ns) == [5 * MS]


def test_without_latency_everything_happens_at_once_and_in_order():
    lockstep, witness, _ = host(latency=NONE)
    witness.script["quote", 600_000] = lambda ctx: ctx.request("trading", order(1))
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(SECOND + 1)]))
    assert {when for when, _ in witness.seen[:4]} == {SECOND}
    assert [what for _, what in witness.seen[1:4]] == [("quote", 600_000), ("OrderAccepted", 1), ("reply", True)]


def test_a_market_step_comes_before_an_order_that_arrives_at_the_same_time():
    """The market's sell takes the queue first, so that the order meets the next one."""
    arrival = SECOND + 2 * MS
    steps = [
        quote_step(SECOND),
        Step(arrival, market_order(arrival, 1, Side.SELL, 5, 600_000), ()),
        quote_step(2 * SECOND),
    ]
    lockstep, witness, _ = host()
    witness.script["quote", 600_000] = lambda ctx: ctx.request("trading", order(1))
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket(steps))
    assert ("OrderFilled", 1) in [what for _, what in witness.seen]


def test_market_data_comes_before_replies_and_replies_before_timers_of_the_same_time():
    lockstep, witness, _ = host()

    def act(ctx):
        ctx.at(SECOND + 3 * MS, "t")
        ctx.request("trading", order(1))

    witness.script["quote", 600_000] = act
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(SECOND + 2 * MS, 8), quote_step(2 * SECOND)]))
    at_once = [what for when, what in witness.seen if when == SECOND + 3 * MS]
    assert at_once == [("quote", 8), ("OrderAccepted", 1), ("reply", True), ("timer", "t")]


def test_an_urgent_message_overtakes_what_started_it():
    """The alert that a quote sets off reaches the strategy before the quote itself does."""
    lockstep, witness, _ = host(Watcher())
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(2 * SECOND)]))
    assert [what for _, what in witness.seen[1:3]] == ["alert", ("quote", 600_000)]


def test_a_request_is_answered_once_by_a_reply_or_as_unknown():
    lockstep, witness, kernel = host()

    def act(ctx):
        ctx.request("trading", order(1), SECOND + 2 * MS)  # the reply would come at 3 ms
        ctx.request("trading", order(2), SECOND + 9 * MS)

    witness.script["quote", 600_000] = act
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(2 * SECOND)]))
    answers = [(when, what) for when, what in witness.seen if what == "unknown" or what[0] == "reply"]
    assert answers == [(SECOND + 2 * MS, "unknown"), (SECOND + 3 * MS, ("reply", True))]
    assert kernel.open_orders == 2, "unknown does not mean undone"


def test_a_request_that_its_peer_refuses_is_answered_as_unknown_and_counted(caplog):
    lockstep, witness, _ = host()
    witness.script["start"] = lambda ctx: ctx.request("trading", RiskAlert(1, 1, 1, 1, "x", 1, 1))
    with caplog.at_level(logging.ERROR):
        lockstep.start(SECOND)
        lockstep.run()
    assert witness.seen[-1] == (SECOND + 2 * MS, "unknown")
    assert lockstep.errors.count == 1
    assert "trading.on_request" in caplog.text


def test_an_unknown_peer_is_refused_by_name():
    lockstep, witness, _ = host()
    lockstep.start(SECOND)
    with pytest.raises(ModelError, match=r"peer 'trade'.*one of marketdata, trading, strategy"):
        witness.ctx.request("trade", MassCancel())


def test_only_its_publisher_publishes_on_a_topic():
    lockstep, witness, _ = host()
    lockstep.start(SECOND)
    with pytest.raises(InternalError, match="only marketdata"):
        witness.ctx.publish(quote_array(1, 1, 2))
    with pytest.raises(ModelError):
        witness.ctx.publish(np.zeros(3))


def test_a_timer_armed_anew_fires_once_at_its_new_time_and_never_in_the_past():
    lockstep, witness, _ = host()

    def act(ctx):
        ctx.at(SECOND + 5, "a")
        ctx.at(SECOND + 9, "a")
        ctx.at(0, "b")

    witness.script["start"] = act
    lockstep.start(SECOND)
    lockstep.run()
    assert witness.seen[1:] == [(SECOND, ("timer", "b")), (SECOND + 9, ("timer", "a"))]


@pytest.mark.parametrize("ns", [float("nan"), 1.5, "soon", None])
def test_a_time_that_is_no_whole_number_is_refused_and_the_order_of_time_holds(ns):
    lockstep, witness, _ = host()
    lockstep.start(SECOND)
    with pytest.raises(ModelError, match="whole number of nanoseconds"):
        witness.ctx.at(ns, "odd")
    with pytest.raises(ModelError, match="whole number of nanoseconds"):
        witness.ctx.request("trading", order(1), ns)
    witness.ctx.at(np.int64(2 * SECOND), "even")
    lockstep.run()
    assert witness.seen == [(SECOND, "start"), (2 * SECOND, ("timer", "even"))]


def test_the_core_is_woken_for_its_own_timers():
    lockstep, witness, _ = host()
    gtd = order(1, time_in_force=TimeInForce.GTD, expire_ns=SECOND + 100 * MS)
    witness.script["start"] = lambda ctx: ctx.request("trading", gtd)
    reports = []
    lockstep.tap(EXECUTION_REPORTS, reports.append)
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(2 * SECOND)]))
    assert isinstance(reports[-1], OrderExpired)
    assert reports[-1].now_ns == SECOND + 100 * MS
    assert (SECOND + 101 * MS, ("OrderExpired", 1)) in witness.seen


def test_a_job_runs_in_line_and_its_result_follows():
    lockstep, witness, _ = host()

    def act(ctx):
        ctx.submit(sum, ([1, 2, 3],))
        ctx.submit(divmod, (1, 0))

    witness.script["start"] = act
    lockstep.start(SECOND)
    assert [what[2] for _, what in witness.seen[1:]] == ["6", "integer division or modulo by zero"]
    assert lockstep.errors.count == 1


def test_a_command_reaches_its_peer_at_once_on_the_same_side():
    class Sender(Watcher):
        def on_quote(self, quote, ctx):
            ctx.send("strategy", MassCancel())

    lockstep, witness, _ = host(Sender())
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(SECOND), quote_step(2 * SECOND)]))
    assert witness.seen[1:3] == [(SECOND + MS, ("quote", 600_000)), (SECOND + MS, ("command", "MassCancel"))]


def test_a_handler_that_raises_is_counted_and_the_run_goes_on(caplog):
    lockstep, witness, _ = host()

    def fail(ctx):
        raise ValueError("first")

    for bid in range(1, 4):
        witness.script["quote", bid] = fail
    with caplog.at_level(logging.ERROR):
        lockstep.start(SECOND)
        lockstep.run(ScriptedMarket([quote_step(SECOND + bid, bid) for bid in range(1, 5)] + [quote_step(2 * SECOND)]))
    assert ("quote", 4) in [what for _, what in witness.seen]
    [error] = lockstep.errors.distinct()
    assert error.count == 3
    assert error.where.startswith("strategy.on_quote (test_lockstep_host.py:")
    assert error.error == "ValueError: first"
    assert len(caplog.records) == 1
    assert lockstep.states()["strategy"] == EngineState.DEGRADED


def test_what_is_said_at_the_stop_is_still_delivered():
    lockstep, witness, kernel = host()
    witness.script["start"] = lambda ctx: ctx.request("trading", order(1))
    witness.script["stop"] = lambda ctx: ctx.request("trading", MassCancel(1))
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([quote_step(2 * SECOND)]))
    assert kernel.open_orders == 1
    lockstep.stop()
    assert kernel.open_orders == 0
    assert witness.seen[-2:] == [(2 * SECOND + 2 * MS, ("OrderCancelled", 1)), (2 * SECOND + 2 * MS, ("reply", True))]
    assert set(lockstep.states().values()) == {EngineState.STOPPED}


def test_jitter_never_lets_messages_of_one_way_overtake_each_other():
    lockstep, witness, _ = host(latency=LatencyModel(MS, MS, 5 * MS))
    steps = [quote_step(SECOND + number * MS, number + 1) for number in range(200)]
    lockstep.start(SECOND)
    lockstep.run(ScriptedMarket([*steps, quote_step(9 * SECOND)]))
    quotes = [(when, what[1]) for when, what in witness.seen if what[0] == "quote"]
    assert [bid for _, bid in quotes] == list(range(1, 201))
    delays = {when - SECOND - (bid - 1) * MS for when, bid in quotes}
    assert min(delays) >= MS
    assert len(delays) > 100


def test_engines_that_answer_each_other_without_end_are_stopped(monkeypatch):
    monkeypatch.setattr("nautilus.runtime.lockstep.MOST_AT_ONE_TIME", 1000)
    lockstep, witness, _ = host(latency=NONE)
    witness.on_reply = lambda number, reply, ctx: ctx.request("trading", MassCancel(1))
    witness.script["start"] = lambda ctx: ctx.request("trading", MassCancel(1))
    lockstep.start(SECOND)
    with pytest.raises(ModelError, match="a latency other than none"):
        lockstep.run(ScriptedMarket([quote_step(2 * SECOND)]))


def test_a_run_ends_at_its_time_or_when_it_is_told_to():
    market = ScriptedMarket([quote_step(SECOND + number) for number in range(1000)])
    lockstep, _, _ = host()
    lockstep.start(SECOND)
    lockstep.run(market, until_ns=SECOND + 100)
    assert market.next_ns() == SECOND + 101
    lockstep.run(market, keep_on=lambda: False)
    assert market.next_ns() < SECOND + 200


def test_a_market_that_trades_needs_a_trading_engine():
    lockstep = LockStep([Witness()])
    with pytest.raises(InternalError, match="trading engine"):
        lockstep.feed(market_order(1, 1, Side.BUY, 1, 1))


def test_random_numbers_are_each_engines_own_and_seeded():
    def draw(seed):
        lockstep = LockStep([Witness(), Watcher()], seed=seed)
        return [context.random.random() for context in lockstep._contexts.values()]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) == 2


def test_an_acknowledgement_names_its_command():
    lockstep, witness, _ = host()
    replies = []
    witness.on_reply = lambda number, reply, ctx: replies.append(reply)
    witness.script["start"] = lambda ctx: ctx.request("trading", order(3))
    lockstep.start(SECOND)
    lockstep.run()
    assert replies == [CommandAcknowledged(1, 3, SECOND + MS, replies[0].last_sequence, True)]


def test_a_topic_nobody_takes_costs_no_delivery():
    lockstep, _, _ = host()
    seen = []
    lockstep.tap(TRADES, seen.append)
    assert lockstep._routes[TRADES.name].far == []


STEPS = st.lists(st.tuples(st.sampled_from([0, 0, 1, MS, 3 * MS]), st.booleans()), min_size=1, max_size=40)


@given(STEPS, st.sampled_from([NONE, LatencyModel(), LatencyModel(MS, 2 * MS, 3 * MS)]), st.integers(1, 3))
def test_time_never_goes_back_and_two_runs_are_equal(gaps, latency, seed):
    def play():
        lockstep, witness, kernel = host(latency=latency)
        now_ns, steps = SECOND, []
        for number, (gap, trades) in enumerate(gaps, 1):
            now_ns += gap
            if trades:
                steps.append(Step(now_ns, market_order(now_ns, number, Side.SELL, 3, 600_000), ()))
            else:
                steps.append(quote_step(now_ns, number))
            witness.script["quote", number] = lambda ctx, number=number: (
                ctx.request("trading", order(number)),
                ctx.at(ctx.now_ns + ctx.random.randrange(0, 4) * MS, "t"),
            )
        lockstep.start(SECOND)
        lockstep.run(ScriptedMarket(steps))
        lockstep.stop()
        return witness.seen, kernel.event_hash(), kernel.journal_hash()

    first = play()
    times = [when for when, _ in first[0]]
    assert times == sorted(times)
    assert play() == first
    answers = [what for _, what in first[0] if what[0] == "reply"]
    asked = [what for _, what in first[0] if what[0] == "quote"]
    assert len(answers) == len(asked)
