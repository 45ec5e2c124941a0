"""Strategies in whole markets: recorded and simulated, with every engine and the real core."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import EventKind, Kernel
from nautilus.engines.risk import RiskConfig
from nautilus.engines.strategy import QuotingConfig, Strategy, StrategyConfig
from nautilus.model.enums import Side, TimeInForce
from nautilus.model.errors import ConfigError, NautilusError
from nautilus.runtime.replay import Run, run
from nautilus.runtime.report import decimal_text
from nautilus.runtime.settings import LimitsConfig
from nautilus.simulation import SimulatedSource, SimulationConfig
from nautilus.simulation.source import Step
from tests.kit.context import OTHER_ACCOUNT, SECOND, ScriptedMarket, market_order, quote_array
from tests.kit.data import BTCUSDT_PERPETUAL, LOBSTER, recording

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"
BOTH = ("quoting", "momentum")
KEYS = {
    "records", "book_checks", "orders", "fills", "pnl", "latency_us", "gaps", "lost", "journal_hash", "state_hash",
    "seconds",
}  # fmt: skip


def hashes(report):
    return report.journal_hash, report.state_hash, report.event_hash


@pytest.mark.long
def test_the_whole_recording_plays_and_both_strategies_trade():
    report = run(recording(BTCUSDT_PERPETUAL), BOTH)
    facts = report.to_dict()
    assert set(facts) >= KEYS
    assert json.loads(json.dumps(facts)) == facts
    assert report.complete
    assert (report.book_checks["compared"], report.book_checks["equal"]) == (6547, 6547)
    assert report.records["quotes"] == 66_089
    assert report.records["trades"] == 21_313
    for strategy in report.strategies:
        assert strategy.orders > 0
        assert strategy.fills > 0
    assert report.positions_equal
    assert report.errors == []
    assert report.exit_code == 0
    assert set(facts["latency_us"]["measured"]) == {"p50", "p90", "p99", "p99.9", "max", "count"}
    assert facts["latency_us"]["modelled"]["p50"] == 2000.0


def test_two_runs_of_a_recording_are_equal_and_another_latency_is_another_run():
    path = recording(BTCUSDT_PERPETUAL)
    first, second = (run(path, BOTH, market_seconds=40, latency="1ms+500us") for _ in range(2))
    assert first.fills > 0
    assert not first.complete
    assert hashes(first) == hashes(second)
    assert hashes(run(path, BOTH, market_seconds=40, latency="none")) != hashes(first)
    assert hashes(run(path, BOTH, market_seconds=40, latency="1ms+500us", seed=9)) != hashes(first)


def test_an_order_by_order_recording_plays():
    report = run(recording(LOBSTER), BOTH)
    assert report.book_checks["equal"] == report.book_checks["compared"] == 998
    assert report.orders > 0
    assert report.fills > 0
    assert report.positions_equal


def test_two_simulated_markets_of_one_seed_are_equal_and_their_journal_gives_the_same_events(tmp_path):
    first, second = (
        run(SimulatedSource(seed=5), BOTH, market_seconds=30, journal=journal) for journal in (tmp_path / "j", None)
    )
    assert first.orders > 0
    assert first.fills > 0
    assert first.positions_equal
    assert set(first.records) == {"quotes", "trades", "book_deltas"}
    assert hashes(first) == hashes(second)
    again = Kernel.replay(tmp_path / "j")
    assert f"{again.event_hash():016x}" == first.event_hash
    assert f"{again.state_hash():016x}" == first.state_hash
    assert f"{again.journal_hash():016x}" == first.journal_hash
    assert hashes(run(SimulatedSource(seed=6), BOTH, market_seconds=30)) != hashes(first)


class Eager(Strategy):
    """Buys at every quote, and notes when it sent an order and when it was stopped."""

    def __init__(self):
        self.sent_ns = []
        self.stopped_ns = []

    def on_quote(self, quote, ctx):
        if ctx.buy(quote.instrument_id, 5, quote.ask_ticks):
            self.sent_ns.append(ctx.now_ns)

    def on_alert(self, alert, ctx):
        self.stopped_ns.append(ctx.now_ns)
        assert ctx.buy(alert.instrument_id, 5, 600_000) == 0


@pytest.mark.parametrize("kill_switch", [False, True])
def test_a_breach_stops_the_strategy_and_no_order_follows(kill_switch):
    eager, risk = Eager(), RiskConfig(max_position=20, kill_switch=kill_switch)
    sections = {"risk": risk, "quoting": QuotingConfig(max_position=20)}
    report = run(SimulatedSource(seed=2), [eager, "quoting"], sections=sections, market_seconds=20)
    assert [alert["control"] for alert in report.alerts] == ["position"]
    assert len(eager.stopped_ns) == 1
    assert max(eager.sent_ns) <= eager.stopped_ns[0]
    stopped, other = report.strategies
    assert stopped.stopped
    assert not other.stopped
    assert other.fills > 0
    # In flight: what was sent within two latencies before the alert. It is cancelled, or refused where killed.
    assert stopped.refused == 0 or kill_switch
    assert report.positions_equal


def test_the_cores_own_limits_refuse_with_every_reason():
    limits = LimitsConfig(order_quantity=4, order_notional="1", message_rate=5)
    report = run(SimulatedSource(seed=2), [Eager()], sections={"limits": limits}, market_seconds=2)
    assert report.fills == 0
    assert set(report.order_events["reasons"]) == {"ORDER_QUANTITY", "ORDER_NOTIONAL", "RATE"}


def test_a_strategy_that_raises_is_in_the_report_and_the_run_goes_on():
    class Broken(Strategy):
        def on_trade(self, trade, ctx):
            raise RuntimeError("no idea")

    report = run(SimulatedSource(seed=2), [Broken(), "quoting"], market_seconds=5)
    [error] = report.errors
    assert error.error == "RuntimeError: no idea"
    assert error.where.startswith("strategy.on_trade (test_lockstep.py:")
    assert error.count > 1
    assert report.exit_code == 1
    assert report.strategies[1].orders > 0


def test_an_order_queues_behind_what_is_displayed():
    """Ten lots rest before the strategy's order; a seller of twelve leaves two for it."""

    class Joins(Strategy):
        def on_quote(self, quote, ctx):
            if not ctx.orders and not ctx.position(1):
                ctx.buy(1, 5, quote.bid_ticks)

    start = SECOND
    book = np.concatenate(
        [market_order(start, 1, Side.BUY, 10, 600_000), market_order(start, 2, Side.SELL, 10, 600_010)]
    )
    steps = [
        Step(start, book, ()),
        Step(2 * start, market_order(2 * start, 3, Side.BUY, 7, 600_000), ()),
        Step(3 * start, market_order(3 * start, 4, Side.SELL, 12, 600_000, account_id=OTHER_ACCOUNT), ()),
        Step(4 * start, market_order(4 * start, 5, Side.BUY, 1, 500_000), ()),
    ]
    market = ScriptedMarket(steps)
    report = run(market, [Joins()])
    assert report.fills == 1
    assert report.positions[0].quantity == "0.002"
    fills = [row for events in market.events for row in events if row["kind"] == EventKind.FILLED]
    assert [int(row["quantity"]) for row in fills] == [10, 2]


def test_a_fill_is_reported_before_the_position_that_it_makes():
    class Listener(Strategy):
        seen = ()

        def on_quote(self, quote, ctx):
            if not ctx.orders and not self.seen:
                ctx.buy(1, 1, quote.ask_ticks)

        def on_report(self, report, ctx):
            self.seen = (*self.seen, type(report).__name__)

        def on_position(self, change, ctx):
            self.seen = (*self.seen, change.position.quantity)
            assert ctx.position(1) == change.position.quantity

    listener = Listener()
    run(SimulatedSource(seed=1), [listener], market_seconds=1)
    assert listener.seen[:3] == ("OrderAccepted", "OrderFilled", 1)


def test_a_market_without_instruments_or_an_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="no instrument"):
        run(ScriptedMarket([], instruments=()))
    with pytest.raises(ConfigError, match="did you mean 'momentum'"):
        run(ScriptedMarket([]), ["momentun"])


def test_a_market_that_ends_at_once_gives_an_empty_report():
    report = run(ScriptedMarket([]), ["quoting"])
    assert (report.orders, report.fills, report.exit_code) == (0, 0, 0)
    assert report.pnl == {"USDT": {"realised": "0", "unrealised": "0", "total": "0"}}


def test_a_market_plays_without_any_strategy():
    report = run(SimulatedSource(seed=1), (), market_seconds=2)
    assert (report.orders, report.positions, report.positions_equal) == (0, [], True)
    assert report.records["trades"] > 0


def test_an_account_that_is_no_clients_is_refused():
    with pytest.raises(ConfigError, match="accounts 1000 to 1001"):
        run(SimulatedSource(seed=1), BOTH, sections={"strategy": StrategyConfig(first_account=1000)})
    with pytest.raises(ConfigError, match="section lockstep is a StrategyConfig"):
        run(SimulatedSource(seed=1), BOTH, sections={"lockstep": StrategyConfig()})


def test_progress_is_told_and_wall_time_ends_a_run():
    told = []
    config = QuotingConfig(interval_ns=0)
    report = run(
        SimulatedSource(seed=1, config=SimulationConfig(makers=2)),
        sections={"quoting": config},
        for_seconds=0.5,
        progress=told.append,
    )
    assert not report.complete
    assert report.seconds >= 0.5
    assert told[-1].orders == report.orders
    assert [item.market_seconds for item in told] == sorted(item.market_seconds for item in told)
    assert list(told[-1].pnl) == ["USD"]


def test_recorded_quotes_reach_strategies_as_they_are():
    class Keeps(Strategy):
        seen = ()

        def on_quote(self, quote, ctx):
            self.seen = (*self.seen, (ctx.now_ns, quote.now_ns, quote.bid_ticks))

    keeper = Keeps()
    steps = [Step(SECOND + n, None, (quote_array(SECOND + n, 100 + n, 200),)) for n in range(3)]
    run(ScriptedMarket([*steps, Step(2 * SECOND, None, ())]), [keeper])
    assert keeper.seen == tuple((SECOND + n + 1_000_000, SECOND + n, 100 + n) for n in range(3))


def test_the_strategy_of_the_document_runs_and_trades(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    file = tmp_path / "reversion.py"
    file.write_text(code)
    report = run(SimulatedSource(seed=1), [f"{file}:Reversion"], market_seconds=20)
    assert report.fills > 0
    assert report.errors == []


class Monkey(Strategy):
    """Does anything at any time, sound or not."""

    def on_start(self, ctx):
        ctx.at(ctx.now_ns, "again")

    def on_timer(self, key, ctx):
        ctx.at(ctx.now_ns + ctx.random.randrange(1, 20_000_000), "again")
        orders = list(ctx.orders)
        action = ctx.random.randrange(0, 10)
        if action < 6:
            place = (ctx.buy, ctx.sell)[ctx.random.randrange(0, 2)]
            price = None if action == 0 else 600_000 + ctx.random.randrange(-60, 60)
            tif = list(TimeInForce)[ctx.random.randrange(0, 7)]
            expire_ns = ctx.now_ns + ctx.random.randrange(-5, 50_000_000) if tif == TimeInForce.GTD else 0
            place(1, ctx.random.randrange(0, 40), price, time_in_force=tif, post_only=action == 1, expire_ns=expire_ns)
        elif orders:
            order_id = orders[ctx.random.randrange(0, len(orders))]
            if action < 8:
                ctx.cancel(order_id)
            else:
                ctx.replace(order_id, 600_000 + ctx.random.randrange(-60, 60), ctx.random.randrange(0, 60))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_strategies_do_desks_and_portfolio_end_as_the_core_has_them(seed):
    source = SimulatedSource(seed=seed)
    this = Run(source, [Monkey(), Monkey(), Monkey()], {}, seed, "1ms+3ms", None)
    report = this.run(None, 20, None)
    assert report.errors == []
    assert report.fills > 50
    assert len(report.order_events["reasons"]) > 3
    assert report.positions_equal
    for desk in this.strategies.desks:
        assert not desk.orders, "every order was reported closed"
        held = {line.account_id: line.quantity for line in report.positions}
        instrument = source.instruments()[0]
        assert decimal_text(instrument.quantity(desk.position(1))) == held.get(desk.account_id, "0")


def test_a_recording_cut_short_is_played_and_reported_up_to_its_end(tmp_path):
    whole = recording(BTCUSDT_PERPETUAL).read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole[: len(whole) // 20])
    report = run(cut)
    assert report.broken is not None
    assert "cut.gz:" in report.broken
    assert not report.complete
    assert report.exit_code == 1
    assert report.positions_equal
    assert report.book_checks["compared"] == report.book_checks["equal"] > 0
    with pytest.raises(NautilusError):
        run(tmp_path / "absent.gz")
