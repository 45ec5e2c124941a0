"""Tear sheets and cost of trading."""

import json
import subprocess
import sys

import pytest

from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine
from nautilus.maths.errors import Undefined
from nautilus.model.analytics import (
    GetAnalytics,
    GetTearSheet,
    GetTearSheetPage,
)
from nautilus.model.attribution import GetTransactionCosts
from nautilus.model.document import Document
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import UnknownPortfolioError
from nautilus.model.events import OrderCancelled, OrderExpired, OrderFilled, OrderReplaced
from tests.kit.analytics import MARKET, RETURNS, ask, engine, followed, order, put, trades
from tests.kit.context import RecordingContext, btcusdt, quote_array
from tests.kit.valuations import DAY, START_NS, valued

# Tear sheets.


def test_a_tear_sheet_has_the_series_of_its_plots():
    made, ctx = followed()
    sheet = ask(made, ctx, GetTearSheet(7))
    assert len(sheet.times_ns) == len(sheet.wealth) == len(sheet.drawdowns) == 300
    assert sheet.wealth[-1] == pytest.approx(1.0 + sheet.analytics.summary.cumulative_return)
    assert len(sheet.rolling_sharpe) == 300 - sheet.rolling_window + 1
    assert sheet.html == ""


def test_a_tear_sheet_may_be_a_page():
    made, ctx = followed(RETURNS[:200])
    put(made, ctx, "INDEX", [0.0, *MARKET[:199]], times=[START_NS + day * DAY for day in range(200)])
    sheet = ask(made, ctx, GetTearSheet(7, "html", "INDEX"))
    assert sheet.html.startswith("<!doctype html>")
    assert "<svg" in sheet.html
    assert "INDEX" in sheet.html
    assert "<script" not in sheet.html


def test_the_page_of_a_tear_sheet_is_a_document_of_its_own():
    made, ctx = followed()
    page = ask(made, ctx, GetTearSheetPage(7))
    assert page == Document(ask(made, ctx, GetTearSheet(7, "html")).html)
    assert page.content_type == "text/html; charset=utf-8"
    with pytest.raises(UnknownPortfolioError):
        ask(made, ctx, GetTearSheetPage(8))


def test_a_tear_sheet_of_nothing_is_stated():
    made, ctx = engine(), RecordingContext()
    made.on_balance(valued(START_NS, 1000.0, 0.0), ctx)
    with pytest.raises(Undefined) as error:
        ask(made, ctx, GetTearSheet(7))
    assert error.value.code == "empty"


# Cost of trading.


def test_an_order_costs_what_it_paid_beyond_its_arrival():
    made, ctx = engine(), RecordingContext()
    made.on_quote(quote_array(1, 600_000, 600_020), ctx)
    made.on_trade(trades([(1, 1)]), ctx)  # before the order: no part of it
    order(made, ctx)
    made.on_trade(trades([(600_010, 30), (600_040, 10)]), ctx)
    fill = OrderFilled(2, 5, 7, 0, 1, 1, Side.BUY, 600_020, 6, 4, fee=100)
    for report in (fill, fill):  # the second time it is not newer
        made.on_report(report, ctx)
    made.on_quote(quote_array(2, 600_050, 600_070), ctx)
    made.on_report(OrderCancelled(3, 9, 7, 0, 1, 1, Side.BUY, 600_020, 4, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    [line] = costs.orders
    assert (line.state, line.side, line.quantity, line.filled) == ("cancelled", "buy", 0.01, 0.006)
    assert (line.arrival_price, line.average_price) == (pytest.approx(60_001.0), pytest.approx(60_002.0))
    assert line.vwap == pytest.approx((60_001.0 * 30 + 60_004.0 * 10) / 40)
    assert line.arrival_bps == pytest.approx(1.0 / 60_001.0 * 1e4)
    assert line.opportunity_cost == pytest.approx((60_006.0 - 60_001.0) * 0.004)
    assert line.shortfall == pytest.approx(1.0 * 0.006 + 5.0 * 0.004 + line.fees)
    assert costs.shortfall_bps == pytest.approx(line.shortfall_bps)
    assert ask(made, ctx, GetTransactionCosts(7, 1)).orders == costs.orders
    with pytest.raises(Undefined):
        ask(made, ctx, GetTransactionCosts(7, 99))


@pytest.mark.parametrize("derived", ["", "quote", "trade"])
def test_costs_say_whether_a_quote_or_a_trade_behind_them_was_made_up(derived):
    made, ctx = followed()
    quote, seen = quote_array(1, 600_000, 600_020), trades([(600_010, 5)])
    if derived == "quote":
        quote["flags"] |= int(RecordFlag.SYNTHETIC)
    made.on_quote(quote, ctx)
    order(made, ctx)
    if derived == "trade":
        seen["flags"] |= int(RecordFlag.SYNTHETIC)
    made.on_trade(seen, ctx)
    again = engine()
    again.restore(json.loads(json.dumps(made.state())))
    for each in (made, again):
        assert ask(each, ctx, GetTransactionCosts(7)).basis.synthetic is bool(derived)


def test_an_order_without_a_quote_before_it_has_no_arrival_price():
    made, ctx = engine(), RecordingContext()
    order(made, ctx, side=Side.SELL)
    made.on_report(OrderFilled(2, 5, 7, 0, 1, 1, Side.SELL, 600_020, 10, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    [line] = costs.orders
    assert (line.arrival_price, line.undefined["arrival_price"]) == (None, "empty")
    assert (costs.shortfall_bps, costs.undefined["shortfall_bps"]) == (None, "empty")
    assert line.average_price == pytest.approx(60_002.0)


def test_an_order_that_changes_is_followed():
    made, ctx = engine(), RecordingContext()
    made.on_quote(quote_array(1, 600_000, 600_020), ctx)
    order(made, ctx)
    order(made, ctx)  # the same again
    made.on_report(OrderReplaced(2, 5, 7, 0, 1, 1, Side.BUY, 600_030, 4, 4), ctx)
    made.on_report(OrderFilled(3, 6, 7, 0, 1, 1, Side.BUY, 600_010, 5, 0, late=True), ctx)  # more than was ordered
    made.on_report(OrderFilled(4, 7, 7, 0, 1, 77, Side.BUY, 600_010, 5, 0), ctx)  # of an order before our time
    [line] = ask(made, ctx, GetTransactionCosts(7)).orders
    assert (line.state, line.quantity, line.filled) == ("filled", 0.005, 0.005)
    assert line.arrival_bps == pytest.approx(0.0, abs=1e-9)


def test_an_order_that_expires_unfilled_costs_what_was_missed():
    made, ctx = engine(), RecordingContext()
    made.on_quote(quote_array(1, 600_000, 600_020), ctx)
    order(made, ctx)
    made.on_trade(trades([(600_010, 5)])[:0], ctx)
    made.on_quote(quote_array(2, 600_100, 600_120), ctx)
    made.on_report(OrderExpired(2, 9, 7, 0, 1, 1, Side.BUY, 600_020, 10, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    [line] = costs.orders
    assert (line.state, line.average_price, line.undefined["average_price"]) == ("expired", None, "empty")
    assert line.shortfall == pytest.approx(10.0 * 0.01)
    assert costs.shortfall_bps == pytest.approx(line.shortfall_bps)


def test_prices_below_nought_have_no_basis_points():
    made = AnalyticsEngine(AnalyticsConfig(), [btcusdt(negative_prices=True)])
    ctx = RecordingContext()
    made.on_quote(quote_array(1, -600_020, -600_000), ctx)
    order(made, ctx)
    made.on_report(OrderFilled(2, 6, 7, 0, 1, 1, Side.BUY, -600_010, 10, 0), ctx)
    [line] = ask(made, ctx, GetTransactionCosts(7)).orders
    assert (line.shortfall, line.undefined["shortfall"]) == (None, "negative_price")


def test_orders_in_two_currencies_have_no_mean_cost():
    euros = btcusdt(instrument_id=2, symbol="BTCEUR", quote_currency="EUR")
    made, ctx = AnalyticsEngine(AnalyticsConfig(), [btcusdt(), euros]), RecordingContext()
    for instrument_id, order_id in ((1, 1), (2, 3)):
        made.on_quote(quote_array(1, 600_000, 600_020, instrument_id=instrument_id), ctx)
        order(made, ctx, order_id=order_id, instrument_id=instrument_id)
        made.on_report(OrderFilled(order_id + 1, 5, 7, 0, instrument_id, order_id, Side.BUY, 600_020, 10, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    assert [line.arrival_bps is not None for line in costs.orders] == [True, True]
    assert (costs.arrival_bps, costs.undefined["arrival_bps"]) == (None, "mismatch")
    assert ask(made, ctx, GetTransactionCosts(7, 1)).arrival_bps is not None


def test_only_the_newest_orders_are_kept():
    made, ctx = engine(orders=3), RecordingContext()
    for order_id in range(1, 6):
        order(made, ctx, order_id=order_id)
    assert [line.order_id for line in ask(made, ctx, GetTransactionCosts(7)).orders] == [5, 4, 3]


def test_turnover_is_what_was_traded_over_net_assets():
    made, ctx = engine(), RecordingContext()
    for day in range(3):
        made.on_balance(valued(START_NS + day * DAY, 120_000.0, 0.0), ctx)
        made.on_report(OrderFilled(day + 1, 5, 7, 0, 1, 1, Side.BUY, 600_000, 1000, 0), ctx)
    answer = ask(made, ctx, GetAnalytics(7, "standard"))
    assert answer.distribution.turnover == pytest.approx(60_000.0 / 120_000.0 / 2.0 * 252.0)


def test_what_answers_are_computed_with_is_loaded_before_the_first_question() -> None:
    """In a process that has nothing of it yet: no job that somebody waits for loads a module afterwards."""
    names = [(load.__module__, load.__qualname__) for load in AnalyticsEngine.warms]
    jobs = "batch:analyse positions:prepare sheet:draw attribution:attribute_brinson attribution:attribute_factors"
    script = f"""
import importlib, sys
for module, name in {names!r}:
    getattr(importlib.import_module(module), name)()
known = set(sys.modules)
assert "nautilus.engines.analytics.tear_sheet" in known and "arch" not in known
for each in {jobs!r}.split():
    module, _, name = each.partition(":")
    getattr(importlib.import_module("nautilus.engines.analytics." + module), name)
assert set(sys.modules) == known, sorted(set(sys.modules) - known)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
