"""Positions from fills, once each, equal to the core's."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import Kernel
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import AccountFlag, CommandKind, RateKind, SelfMatch, Side, TimeInForce
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.marketdata import quotes
from nautilus.model.queries import GetPositions, GetRisk
from nautilus.runtime.report import core_positions
from tests.kit import builders
from tests.kit.context import RecordingContext, btcusdt, quote_array


def fill(sequence, side, lots, price, account=1):
    return OrderFilled(sequence, 5, account, 7, 1, sequence, side, price, lots, 0)


def engine(method="average"):
    return PortfolioEngine(PortfolioConfig(method), [btcusdt()])


def test_a_fill_moves_the_position_and_is_published_with_its_mark():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_quote(quotes(quote_array(1, 600_010, 600_020))[0], ctx)
    portfolio.on_report(fill(1, Side.BUY, 3, 600_000), ctx)
    [change] = ctx.published
    assert (change.position.quantity, change.strategy_id, change.sequence) == (3, 7, 1)
    assert change.mark_ticks == 600_010
    assert change.unrealised == 3 * 10 * btcusdt().multiplier


def test_a_short_position_is_marked_at_the_ask():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_report(fill(1, Side.SELL, 3, 600_000), ctx)
    [position] = portfolio.positions()
    assert portfolio.unrealised(position) == 0
    portfolio.on_quote(quotes(quote_array(1, 600_010, 600_020))[0], ctx)
    assert portfolio.unrealised(position) == -3 * 20 * btcusdt().multiplier


def test_a_report_that_is_not_newer_changes_nothing():
    portfolio, ctx = engine(), RecordingContext()
    for report in (fill(4, Side.BUY, 3, 100), fill(4, Side.BUY, 3, 100), fill(2, Side.BUY, 1, 100)):
        portfolio.on_report(report, ctx)
    assert [position.quantity for position in portfolio.positions()] == [3]
    assert portfolio.ignored == 2
    portfolio.on_report(fill(4, Side.SELL, 3, 100, account=2), ctx)  # the other side of the same match
    assert [position.quantity for position in portfolio.positions()] == [3, -3]


def test_a_restored_portfolio_ignores_what_was_applied_before():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_report(fill(4, Side.BUY, 3, 100), ctx)
    later = engine()
    later.restore(json.loads(json.dumps(portfolio.state())))
    later.on_report(fill(4, Side.BUY, 3, 100), ctx)
    later.on_report(fill(5, Side.BUY, 1, 100), ctx)
    assert [position.quantity for position in later.positions()] == [4]


ORDERS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(list(Side)), st.integers(1, 50), st.integers(590_000, 590_020)),
    max_size=60,
)


@pytest.mark.parametrize("method", ["average", "fifo"])
@given(orders=ORDERS, repeats=st.lists(st.integers(0, 3), max_size=60), restart=st.integers(0, 60))
def test_positions_are_the_cores_to_the_last_unit_whatever_arrives_twice(method, orders, repeats, restart):
    flags = AccountFlag.FIFO if method == "fifo" else 0
    accounts = builders.batch(*(builders.account(key, flags) for key in (1, 2, 3)))
    kernel = Kernel(instruments=[btcusdt()], accounts=accounts, huge_pages=False)
    for kind, ppm in ((RateKind.TAKER_FEE, 700), (RateKind.MAKER_FEE, -300)):
        kernel.process(builders.command(CommandKind.RATE, group_id=kind, price_ticks=ppm))
    kernel.process(builders.account(3, flags, order_type=SelfMatch.NONE))  # both sides of a fill can be its own
    trading, portfolio = TradingEngine(TradingConfig(), kernel), engine(method)
    ctx, quiet = RecordingContext(), RecordingContext()
    for number, (account, side, lots, price) in enumerate(orders, 1):
        trading.on_request(SubmitOrder(account, 1, number, side, lots, price, time_in_force=TimeInForce.GTC), ctx)
    reports = [event for event in ctx.published if isinstance(event, ExecutionReport)]
    for number, report in enumerate(reports):
        if number == restart:
            later = engine(method)
            later.restore(json.loads(json.dumps(portfolio.state())))
            portfolio = later
        for _ in range(1 + (repeats[number] if number < len(repeats) else 0)):
            portfolio.on_report(report, quiet)
    ours = {(p.account_id, p.instrument_id): (p.quantity, p.cost, p.realised, p.fees) for p in portfolio.positions()}
    assert {key: value for key, value in ours.items() if any(value)} == core_positions(kernel, [1, 2, 3])
    assert not np.any([sum(p.quantity for p in portfolio.positions())])


def test_positions_are_told_in_the_instruments_units_and_exactly():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_quote(quotes(quote_array(1, 600_010, 600_020))[0], ctx)
    portfolio.on_report(fill(3, Side.BUY, 3, 600_000), ctx)
    portfolio.on_report(fill(4, Side.BUY, 4, 600_001), ctx)
    portfolio.on_report(fill(5, Side.SELL, 2, 600_020, account=2), ctx)
    [first, second] = portfolio.on_request(GetPositions(), ctx).positions
    assert (first.symbol, first.quantity, first.average_price, first.currency) == (
        "BTCUSDT",
        "0.007",
        "60000.05714",
        "USDT",
    )
    units = btcusdt().multiplier
    assert (first.quantity_lots, first.cost_units, first.realised_units) == (7, str(-4_200_004 * units), "0")
    assert first.unrealised == "0.0066"
    assert (second.quantity, second.average_price, second.unrealised) == ("-0.002", "60002", "0")
    reply = portfolio.on_request(GetPositions(2), ctx)
    assert ([entry.account_id for entry in reply.positions], reply.last_sequence) == ([2], 5)
    assert portfolio.on_request(GetPositions(9), ctx).positions == ()


def test_a_closed_position_has_no_average_price():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_report(fill(1, Side.BUY, 3, 600_000), ctx)
    portfolio.on_report(fill(2, Side.SELL, 3, 600_010), ctx)
    [entry] = portfolio.on_request(GetPositions(), ctx).positions
    assert (entry.quantity, entry.average_price, entry.realised, entry.unrealised) == ("0", "", "0.003", "0")


def test_first_in_first_out_takes_the_oldest_lots_where_average_cost_takes_a_part_of_all():
    realised = {}
    for method in ("average", "fifo"):
        portfolio, ctx = engine(method), RecordingContext()
        for sequence, (side, lots, price) in enumerate([(1, 2, 100), (1, 2, 200), (2, 3, 300)], 1):
            portfolio.on_report(fill(sequence, Side(side), lots, price), ctx)
        [position] = portfolio.positions()
        realised[method] = position.realised // btcusdt().multiplier
        assert position.realised + position.cost == (900 - 600) * btcusdt().multiplier
    assert realised == {"average": 3 * 300 - 450, "fifo": 3 * 300 - (2 * 100 + 200)}


def test_a_position_saved_by_average_cost_is_one_lot_where_the_method_is_another():
    portfolio, ctx = engine(), RecordingContext()
    portfolio.on_report(fill(1, Side.BUY, 2, 100), ctx)
    portfolio.on_report(fill(2, Side.BUY, 2, 200), ctx)
    later = engine("fifo")
    later.restore(json.loads(json.dumps(portfolio.state())))
    later.on_report(fill(3, Side.SELL, 4, 300), ctx)
    [position] = later.positions()
    assert (position.quantity, position.cost, position.realised) == (0, 0, 600 * btcusdt().multiplier)


def test_another_method_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="average or fifo") as refusal:
        PortfolioConfig("lifo")
    assert refusal.value.where == "portfolio"


def test_what_is_no_question_of_positions_is_refused():
    with pytest.raises(ModelError, match="request GetRisk"):
        engine().on_request(GetRisk(), RecordingContext())
