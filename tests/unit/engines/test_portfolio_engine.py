"""Positions from fills, once each, equal to the core's."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import Kernel
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import Side, TimeInForce
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.marketdata import quotes
from nautilus.runtime.report import core_positions
from tests.kit.context import RecordingContext, btcusdt, quote_array


def fill(sequence, side, lots, price, account=1):
    return OrderFilled(sequence, 5, account, 7, 1, sequence, side, price, lots, 0)


def engine():
    return PortfolioEngine(PortfolioConfig(), [btcusdt()])


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


@given(ORDERS, st.lists(st.integers(0, 3), max_size=60))
def test_positions_are_the_cores_to_the_last_unit_whatever_arrives_twice(orders, repeats):
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2, 3], huge_pages=False)
    trading, portfolio = TradingEngine(TradingConfig(), kernel), engine()
    ctx, quiet = RecordingContext(), RecordingContext()
    for number, (account, side, lots, price) in enumerate(orders, 1):
        trading.on_request(SubmitOrder(account, 1, number, side, lots, price, time_in_force=TimeInForce.GTC), ctx)
    reports = [event for event in ctx.published if isinstance(event, ExecutionReport)]
    for number, report in enumerate(reports):
        for _ in range(1 + (repeats[number] if number < len(repeats) else 0)):
            portfolio.on_report(report, quiet)
    ours = {(p.account_id, p.instrument_id): (p.quantity, p.cost, p.realised) for p in portfolio.positions()}
    assert {key: value for key, value in ours.items() if any(value)} == core_positions(kernel, [1, 2, 3])
    assert not np.any([sum(p.quantity for p in portfolio.positions())])
