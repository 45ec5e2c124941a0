"""Prices of the market in the factor model: exposures within the day, the day's end, and accounts' weights."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.engines.base import Context, Engine
from nautilus.engines.factor import FactorConfig
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.maths import styles
from nautilus.maths.errors import Undefined
from nautilus.model.errors import ConfigError
from nautilus.model.factor import (
    EstimateFactors,
    GetFactorAttribution,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetPortfolioExposures,
    GetUniverse,
    PortfolioAttributed,
    PutFactorPortfolio,
    PutUniverse,
    UniverseField,
    UpdateFactors,
)
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import Position, PositionChanged
from nautilus.model.signals import FactorsUpdated
from nautilus.model.topics import FACTORS
from nautilus.runtime.latency import NONE
from nautilus.runtime.lockstep import LockStep
from nautilus.simulation.source import Step
from tests.kit.context import ScriptedMarket, quote_array
from tests.kit.factor_host import FIRST_DAY, FactorHost, bar_array, close_ns, stock
from tests.kit.stock_universe import StockUniverse, stock_universe

DAYS, STOCKS = 80, 20


def _with_prices(seed: int = 3) -> tuple[FactorHost, StockUniverse, np.ndarray]:
    """An estimated model of stocks that trade, and their last closes."""
    made = stock_universe(DAYS, STOCKS, 3, seed=seed)
    host = FactorHost(instruments=STOCKS)
    host.put_sectors(made)
    host.put(made, slice(0, DAYS))
    closes = np.round(50.0 + np.arange(STOCKS), 2)
    host.ask(PutUniverse("price", made.symbols, (close_ns(DAYS - 1),), (tuple(closes.tolist()),)))
    host.ask(EstimateFactors())
    host.ctx.published.clear()
    host.ctx.now_ns = close_ns(DAYS) - 3_600_000_000_000
    return host, made, closes


def _end_day(host: FactorHost, day: int) -> None:
    host.ctx.now_ns = close_ns(day)
    host.engine.on_timer("day-end", host.ctx)
    host.run_jobs()


def test_exposures_follow_the_last_price() -> None:
    host, made, closes = _with_prices()
    before = host.ask(GetFactorExposures("S0004"))
    host.engine.on_bar(bar_array(host.ctx.now_ns, {5: closes[4] * 1.2}), host.ctx)
    found = host.ask(GetFactorExposures("S0004"))
    assert found.price == pytest.approx(closes[4] * 1.2)
    assert found.market_cap == pytest.approx(made.market_caps[-1, 4] * 1.2)
    caps = made.market_caps[-1].copy()
    caps[4] *= found.price / closes[4]
    names = found.names
    assert found.exposures[names.index("size")] == pytest.approx(float(styles.size(caps)[4]), rel=1e-12)
    ratios = [made.book_price[-1].copy(), made.sales_price[-1].copy(), made.cash_flow_price[-1].copy()]
    for ratio in ratios:
        ratio[4] /= found.price / closes[4]
    assert found.exposures[names.index("value")] == pytest.approx(float(styles.value(*ratios)[4]), rel=1e-12)
    for name in ("momentum", "volatility", "liquidity"):
        assert found.exposures[names.index(name)] == before.exposures[names.index(name)]
    # A quote moves it too, to the middle; one side alone does not.
    ticks = round(float(closes[4]) * 110)
    host.engine.on_quote(quote_array(host.ctx.now_ns, ticks - 1, ticks + 1, instrument_id=5), host.ctx)
    assert host.ask(GetFactorExposures("S0004")).price == pytest.approx(ticks / 100)
    quote = quote_array(host.ctx.now_ns, ticks - 50, ticks + 1, instrument_id=5)
    quote["ask_quantity"] = 0
    host.engine.on_quote(quote, host.ctx)
    assert host.ask(GetFactorExposures("S0004")).price == pytest.approx(ticks / 100)


def test_the_day_ends_with_the_last_prices_and_its_returns_are_published() -> None:
    host, made, closes = _with_prices()
    draw = np.random.default_rng(0)
    prices = np.round(closes * (1.0 + 0.02 * draw.standard_normal(STOCKS)), 2)
    bars = {place + 1: float(price) for place, price in enumerate(prices)}
    host.engine.on_bar(bar_array(host.ctx.now_ns, dict.fromkeys(bars, 40.0)), host.ctx)
    host.engine.on_bar(bar_array(host.ctx.now_ns, bars), host.ctx)
    _end_day(host, DAYS)
    [update] = host.ctx.published
    assert (update.day, update.now_ns) == (FIRST_DAY + DAYS, close_ns(DAYS))
    # The same day, uploaded.
    growth = prices / closes
    other = FactorHost()
    other.put_sectors(made)
    other.put(made, slice(0, DAYS))
    rows = {
        UniverseField.RETURN: growth - 1.0,
        UniverseField.MARKET_CAP: made.market_caps[-1] * growth,
        UniverseField.BOOK_PRICE: made.book_price[-1] / growth,
        UniverseField.SALES_PRICE: made.sales_price[-1] / growth,
        UniverseField.CASH_FLOW_PRICE: made.cash_flow_price[-1] / growth,
        UniverseField.DOLLAR_VOLUME: 4_000.0 + np.round(prices * 100) * 100 / 100,
    }
    for field, row in rows.items():
        other.ask(PutUniverse(field.value, made.symbols, (close_ns(DAYS),), (tuple(row.tolist()),)))
    found = other.ask(EstimateFactors())
    np.testing.assert_allclose(update.returns, found.returns, rtol=1e-9, atol=1e-12)
    state = host.ask(GetUniverse())
    assert (state.days, state.estimated_day, state.state) == (DAYS + 1, FIRST_DAY + DAYS, "estimated")
    assert host.ask(GetFactorReturns()).basis.source == "star, uploaded"
    # It goes on from these closes.
    later = prices * 1.01
    host.engine.on_bar(bar_array(close_ns(DAYS + 1), {n + 1: float(p) for n, p in enumerate(later)}), host.ctx)
    _end_day(host, DAYS + 1)
    assert host.ask(GetUniverse()).estimated_day == FIRST_DAY + DAYS + 1


def test_the_timer_is_set_for_the_next_end_of_a_day() -> None:
    host = FactorHost(day_end="21:15")
    quarter = 900_000_000_000
    assert host.ctx.timers == [(close_ns(0) + quarter, "day-end")]
    host.ctx.now_ns = close_ns(0) + quarter
    host.engine.on_timer("day-end", host.ctx)
    assert host.ctx.timers[-1] == (close_ns(1) + quarter, "day-end")
    assert FactorHost(day_end="").ctx.timers == []


def test_a_day_without_prices_is_no_day() -> None:
    host, _, _ = _with_prices()
    _end_day(host, DAYS)
    _end_day(host, DAYS + 1)
    assert host.ask(GetUniverse()).days == DAYS
    assert host.ctx.published == []


def test_a_price_through_a_split_is_no_return_but_the_next_close() -> None:
    host, _, closes = _with_prices()
    prices = {place + 1: float(close) for place, close in enumerate(closes * 1.01)}
    prices[3] = float(closes[2] / 4)
    host.engine.on_bar(bar_array(host.ctx.now_ns, prices), host.ctx)
    assert host.ask(GetFactorExposures("S0002")).price is not None
    _end_day(host, DAYS)
    assert host.ask(GetFactorReturns(limit=1)).stocks == (STOCKS - 1,)
    prices = {place: price * 1.01 for place, price in prices.items()}
    host.engine.on_bar(bar_array(close_ns(DAYS), prices), host.ctx)
    _end_day(host, DAYS + 1)
    # Its capitalisation is that of before the split, which left it as it was.
    assert host.ask(GetFactorReturns(limit=1)).stocks == (STOCKS,)


def test_a_last_close_that_is_put_anew_measures_through_a_split() -> None:
    host, _, closes = _with_prices()
    adjusted = float(closes[2]) / 1.5
    state = host.ask(PutUniverse("price", ("S0002",), (close_ns(DAYS - 1),), ((adjusted,),)))
    assert state.state == "estimated"  # no return has changed
    prices = {place + 1: float(close) for place, close in enumerate(closes * 1.01)}
    prices[3] = round(adjusted * 1.02, 2)
    host.engine.on_bar(bar_array(host.ctx.now_ns, prices), host.ctx)
    _end_day(host, DAYS)
    assert host.ask(GetFactorReturns(limit=1)).stocks == (STOCKS,)
    host.ask(PutFactorPortfolio(8, {"S0002": 1.0}))
    total = host.ask(GetFactorAttribution(8, begin_ns=close_ns(DAYS))).total
    assert total == pytest.approx(prices[3] / adjusted - 1.0, rel=1e-9)


def test_an_uploaded_day_is_not_replaced_by_the_market() -> None:
    host, made, closes = _with_prices()
    last = made._replace(returns=np.concatenate([made.returns, made.returns[:1]]))
    host.put(last, slice(DAYS, DAYS + 1), {UniverseField.RETURN: "returns"})
    host.engine.on_bar(bar_array(host.ctx.now_ns, {1: float(closes[0] * 1.1)}), host.ctx)
    _end_day(host, DAYS)
    assert host.ask(GetUniverse()).days == DAYS + 1
    assert host.ctx.published == []  # no capitalisations of that day came
    assert host.ask(GetUniverse()).reason != ""


def test_a_day_that_finds_no_room_is_told() -> None:
    made = stock_universe(DAYS, STOCKS, 3, seed=3)
    host = FactorHost(instruments=STOCKS, most_days=DAYS)
    host.put_sectors(made)
    host.put(made, slice(0, DAYS))
    host.ask(PutUniverse("price", made.symbols, (close_ns(DAYS - 1),), ((50.0,) * STOCKS,)))
    host.ask(EstimateFactors())
    host.engine.on_quote(quote_array(host.ctx.now_ns, 5_000, 5_002), host.ctx)
    _end_day(host, DAYS)
    state = host.ask(GetUniverse())
    assert (state.state, state.days) == ("failed", DAYS)
    assert "most_days" in state.reason


def test_a_stale_model_waits_at_the_end_of_the_day() -> None:
    host, made, closes = _with_prices()
    host.put(made._replace(returns=made.returns * 0.9), slice(DAYS - 1, DAYS), {UniverseField.RETURN: "returns"})
    host.engine.on_bar(bar_array(host.ctx.now_ns, {n + 1: float(c) for n, c in enumerate(closes)}), host.ctx)
    _end_day(host, DAYS)
    state = host.ask(GetUniverse())
    assert (state.days, state.state) == (DAYS + 1, "failed")
    assert "changed" in state.reason
    host.ask(EstimateFactors())
    assert host.ask(GetUniverse()).estimated_day == FIRST_DAY + DAYS


def test_an_update_beside_the_end_of_a_day_is_told_apart() -> None:
    host, _, closes = _with_prices()
    host.engine.on_bar(bar_array(host.ctx.now_ns, {n + 1: float(c * 1.01) for n, c in enumerate(closes)}), host.ctx)
    host.ctx.now_ns = close_ns(DAYS)
    host.engine.on_timer("day-end", host.ctx)
    assert host.ask(UpdateFactors()).days == 1
    host.run_jobs()  # of the same day: it is known by now
    assert host.ask(GetUniverse()).estimated == host.ask(GetFactorReturns(limit=5_000)).basis.window
    assert [event.day for event in host.ctx.published] == [FIRST_DAY + DAYS]


def test_a_job_that_failed_is_told_and_the_next_day_goes_on() -> None:
    host, _, closes = _with_prices()
    host.engine.on_bar(bar_array(host.ctx.now_ns, {n + 1: float(c * 1.01) for n, c in enumerate(closes)}), host.ctx)
    host.ctx.now_ns = close_ns(DAYS)
    host.engine.on_timer("day-end", host.ctx)
    [(number, _, _)] = host.ctx.jobs
    host.engine.on_result(number, Undefined("empty", "nothing"), host.ctx)
    assert host.ask(GetUniverse()).reason == "nothing"
    host.ctx.jobs.clear()
    host.engine.on_bar(bar_array(close_ns(DAYS), {n + 1: float(c * 1.02) for n, c in enumerate(closes)}), host.ctx)
    _end_day(host, DAYS + 1)
    assert [event.day - FIRST_DAY for event in host.ctx.published] == [DAYS, DAYS + 1]
    assert host.ask(GetUniverse()).reason == ""


def _held(host: FactorHost, account: int, quantities: dict[int, int], nav: float, currency: str = "USD") -> None:
    for instrument, quantity in quantities.items():
        position = Position(account, instrument, quantity)
        host.engine.on_position(PositionChanged(1, host.ctx.now_ns, 1, position, 10_000), host.ctx)
    value = PortfolioValued(host.ctx.now_ns, account, currency, nav, 0.0, nav, nav, 0.0, 0.0, 0.0)
    host.engine.on_balance(value, host.ctx)


def test_an_account_is_weighed_by_its_positions_and_value() -> None:
    host, _, closes = _with_prices()
    host.engine.on_bar(bar_array(host.ctx.now_ns, {1: float(closes[0]), 2: float(closes[1])}), host.ctx)
    _held(host, 1001, {1: 10, 2: -4, 3: 2, 4: 0}, 2_000.0)
    found = host.ask(GetPortfolioExposures(1001))
    assert found.weights == pytest.approx(
        {"S0000": 10 * closes[0] / 2_000, "S0001": -4 * closes[1] / 2_000, "S0002": 2 * 100.0 / 2_000}
    )
    assert found.coverage == 1.0
    assert host.ask(GetFactorRisk(1001)).total > 0.0
    _held(host, 1001, {3: 0}, 1_000.0)
    assert host.ask(GetPortfolioExposures(1001)).weights["S0000"] == pytest.approx(10 * closes[0] / 1_000)
    _held(host, 1002, {1: 10}, 1_000.0, "EUR")
    with pytest.raises(Undefined) as error:
        host.ask(GetPortfolioExposures(1002))
    assert error.value.code == "empty"
    _held(host, 1003, {1: 10}, 0.0)
    with pytest.raises(Undefined) as error:
        host.ask(GetPortfolioExposures(1003))
    assert error.value.code == "out_of_range"


def test_an_accounts_return_of_a_day_is_attributed_by_what_it_held_at_the_last_end() -> None:
    host, _, closes = _with_prices()
    _held(host, 1001, {1: 10, 2: 5}, 1_000.0)
    ids = {place + 1: float(close) for place, close in enumerate(closes)}
    host.engine.on_bar(bar_array(host.ctx.now_ns, ids), host.ctx)
    _end_day(host, DAYS)
    assert [type(event) for event in host.ctx.published] == [FactorsUpdated]  # nothing was noted before
    _held(host, 1001, {1: 99}, 9_999.0)  # bought within the day
    host.engine.on_bar(bar_array(close_ns(DAYS), {place: price * 1.1 for place, price in ids.items()}), host.ctx)
    again = host.again()
    _end_day(host, DAYS + 1)
    event = host.ctx.published[-1]
    assert isinstance(event, PortfolioAttributed)
    prices = [round(price * 1.1, 2) / price - 1.0 for price in ids.values()]
    weights = 10 * closes[0] / 1_000, 5 * closes[1] / 1_000
    assert event.total == pytest.approx(weights[0] * prices[0] + weights[1] * prices[1], rel=1e-9)
    assert sum(event.contributions) + event.specific == pytest.approx(event.total, abs=1e-14)
    _end_day(again, DAYS + 1)
    assert again.ctx.published[-1] == event
    found = again.ask(GetFactorAttribution(1001))
    assert found.total == pytest.approx(event.total, abs=1e-14)
    assert found.basis.window == 1


def test_values_traded_are_of_one_kind_of_bar() -> None:
    prices = LastPrices([stock(0), stock(1)])
    minute = bar_array(1, {1: 10.0, 2: 20.0, 77: 5.0})
    longer = bar_array(1, {1: 10.0})
    longer["size"] *= 5
    for bars in (minute, longer, minute):
        prices.take_bars(bars)
    found, traded = prices.of({1: 0, 2: 2, 9: 1}, 3)
    np.testing.assert_array_equal(found, [10.0, np.nan, 20.0])
    np.testing.assert_array_equal(traded, [2_000.0, np.nan, 4_000.0])
    assert prices.price(1) == prices.last(1) == 10.0
    assert prices.price(77) is prices.last(77) is None
    other = LastPrices([stock(0), stock(1)])
    other.restore(prices.state())
    np.testing.assert_array_equal(other.of({1: 0, 2: 2}, 3), prices.of({1: 0, 2: 2}, 3))
    prices.begin_day()
    assert prices.price(1) is None
    assert prices.last(1) == 10.0
    np.testing.assert_array_equal(prices.of({1: 0}, 1)[0], [np.nan])
    LastPrices([]).take_bars(minute)


@pytest.mark.parametrize(
    "settings",
    [
        {"styles": ("beta",)},
        {"styles": ("size", "size")},
        {"constraint": "none"},
        {"covariance": "guess"},
        {"centre": "median"},
        {"winsor": 0.6},
        {"size_lower": 0.9},
        {"momentum_lag": 0},
        {"volatility_half_life": 0.0},
        {"kept_days": 0},
        {"covariance_lags": -2},
        {"day_end": "25:00"},
        {"day_end": "9:00"},
        {"day_end": "soon"},
    ],
)
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(ConfigError):
        FactorConfig(**settings)


def test_settings_read_from_a_file() -> None:
    config = msgspec.convert({"styles": ["size"], "day_end": "16:30", "winsor": 0}, FactorConfig)
    assert config.day_end_seconds == 16 * 3_600 + 1_800
    assert config.settings().styles == ("size",)
    assert config.settings(("momentum",), "cap").constraint == "cap"


def test_a_day_that_ended_while_nothing_ran_ends_at_the_start() -> None:
    host, _, closes = _with_prices()
    host.engine.on_bar(bar_array(host.ctx.now_ns, {n + 1: float(c * 1.01) for n, c in enumerate(closes)}), host.ctx)
    host.ctx.now_ns = close_ns(DAYS) + 1_000_000_000_000  # past 21:15
    other = host.again()
    other.run_jobs()
    assert [event.day for event in other.ctx.published] == [FIRST_DAY + DAYS]
    assert other.again().ctx.jobs == []  # it has ended by now


class _Listener(Engine):
    """Keeps what the factor engine says."""

    name = "analytics"
    subscribes = (FACTORS,)

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def on_factors(self, event: Message, ctx: Context) -> None:
        self.heard.append(event)


def test_a_day_ends_in_lock_step() -> None:
    host, _, closes = _with_prices()
    engine, listener, instruments = host.engine, _Listener(), host.instruments
    kernel = Kernel(instruments=instruments, accounts=[1], huge_pages=False)
    market = MarketDataEngine(MarketDataConfig(), instruments)
    lockstep = LockStep([market, TradingEngine(TradingConfig(), kernel), engine, listener], NONE)
    lockstep.start(host.ctx.now_ns)
    steps = []
    for place, close in enumerate(closes):
        ticks = round(float(close) * 101)
        now_ns = host.ctx.now_ns + place
        steps.append(Step(now_ns, None, (quote_array(now_ns, ticks - 1, ticks + 1, instrument_id=place + 1),)))
    late_ns = close_ns(DAYS) + 3_600_000_000_000
    steps.append(Step(late_ns, None, (quote_array(late_ns, 5_000, 5_002),)))
    lockstep.run(ScriptedMarket(steps, instruments))
    [update] = listener.heard
    assert isinstance(update, FactorsUpdated)
    assert update.day == FIRST_DAY + DAYS
    assert update.now_ns == close_ns(DAYS) + 900_000_000_000
