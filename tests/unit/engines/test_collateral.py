"""Margin of portfolios: within the event, by group; calls, warnings, what-if, forecasts, uploads."""

import json
import math

import numpy as np
import pytest

from nautilus.core.types import QUOTE
from nautilus.engines.base import Work
from nautilus.engines.collateral import CollateralConfig, CollateralEngine
from nautilus.maths.errors import Undefined
from nautilus.model.collateral import (
    CollateralItem,
    ContractTerms,
    GetContracts,
    GetForecast,
    GetMargin,
    OffsetTerms,
    PriceOptions,
    PutBrackets,
    PutCollateral,
    PutContracts,
    PutFuturesRates,
    PutHaircuts,
    PutOffsets,
    SolveVolatility,
)
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.instrument import Instrument
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetPositions, PositionEntry, Positions
from nautilus.model.signals import MarginStatus
from nautilus.runtime.worker import pack, unpack
from tests.kit.context import RecordingContext

DAY_NS = 86_400 * 10**9
NOW = 20_089 * DAY_NS  # 2025-01-01
EXPIRY = NOW + 90 * DAY_NS


def instrument(number, symbol, product="equity", multiplier="1", tick="0.01", lot="1"):
    return Instrument(
        instrument_id=number, symbol=symbol, venue="X", base_currency="USD", quote_currency="USD",
        tick_table=(("0", tick),), lot_size=lot, product=product, contract_multiplier=multiplier, currency_decimals=4,
        negative_prices=product == "future",
    )  # fmt: skip


INSTRUMENTS = [
    instrument(1, "AAA"),
    instrument(2, "BBB"),
    instrument(3, "AAA C110", "option", "100"),
    instrument(4, "AAA P90", "option", "100"),
    instrument(5, "ESH5", "future", "50", "0.25"),
    instrument(6, "ESM5", "future", "50", "0.25"),
    instrument(7, "BTCPERP", "perpetual", "1", "0.1", "0.001"),
    instrument(8, "AAA C120", "option", "100"),
]
OPTIONS = PutContracts(
    (
        ContractTerms(3, "option", 1, "call", 110.0, EXPIRY),
        ContractTerms(4, "option", 1, "put", 90.0, EXPIRY),
        ContractTerms(8, "option", 1, "call", 120.0, EXPIRY),
    )
)


class Desk:
    """An engine with its context, and short ways to tell it things."""

    def __init__(self, **settings):
        self.engine = CollateralEngine(CollateralConfig(**settings), INSTRUMENTS)
        self.ctx = RecordingContext(NOW)
        self.engine.on_start(self.ctx)

    def quote(self, number, price, wide=0.0, flags=0):
        unit = float(INSTRUMENTS[number - 1].price_increment)
        bid, ask = round((price - wide) / unit), round((price + wide) / unit)
        now = self.ctx.now_ns
        self.engine.on_quote(np.array([(now, now, 0, bid, 9, ask, 9, number, flags, 0)], QUOTE), self.ctx)

    def hold(self, number, lots, account=1):
        self.engine.on_position(PositionChanged(1, self.ctx.now_ns, 0, Position(account, number, lots)), self.ctx)

    def worth(self, nav, account=1, synthetic=False):
        valued = PortfolioValued(
            self.ctx.now_ns, account, "USD", nav, nav, 0.0, 0.0, 0.0, 0.0, 0.0, synthetic=synthetic
        )
        self.engine.on_balance(valued, self.ctx)

    def ask(self, message):
        answer = self.engine.on_request(message, self.ctx)
        if isinstance(answer, Work):
            result = unpack(pack(answer.job(*unpack(pack(answer.arguments)))))  # as over to a worker and back
            return answer.finish(result) if answer.finish else result
        return answer

    def margin(self, regime=""):
        return self.ask(GetMargin(1, regime))

    def last(self):
        return [event for event in self.ctx.published if isinstance(event, MarginStatus)][-1]


def test_stocks_take_half_at_the_purchase_and_a_quarter_afterwards():
    desk = Desk()
    desk.quote(1, 100.0)
    desk.worth(6_000.0)
    desk.hold(1, 100)
    found = desk.margin()
    assert (found.initial, found.maintenance, found.excess) == (5_000.0, 2_500.0, 3_500.0)
    assert found.groups[0].group == "AAA"
    assert found.complete
    assert not found.undefined
    status = desk.last()
    assert (status.initial, status.maintenance, status.equity) == (5_000 * 10**8, 2_500 * 10**8, 6_000 * 10**8)


def test_what_is_pledged_before_the_first_fill_waits_for_it_and_makes_no_portfolio():
    desk = Desk()
    pledged = PutCollateral(1, (CollateralItem("T", "cash", "USD", 1_000.0),))
    assert not desk.ask(pledged).known
    with pytest.raises(UnknownPortfolioError):
        desk.margin()
    assert desk.ctx.published == []
    later = Desk()
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    for each in (desk, later):
        each.quote(1, 100.0)
        each.worth(6_000.0)
        each.hold(1, 10)
        assert each.margin().collateral == 1_000.0
        assert each.ask(pledged).known
        assert each.ask(PutCollateral(1, ())).known
        assert each.margin().collateral == 0.0


def entry(account, instrument, lots):
    return PositionEntry(account, instrument, "", str(lots), "", "0", "0", "USD", lots, "0", "0")


def test_positions_that_changed_while_it_was_away_are_asked_for_at_the_start():
    before = Desk()
    before.quote(1, 100.0)
    before.quote(2, 50.0)
    before.worth(10_000.0)
    before.hold(1, 10)
    before.hold(2, 5)
    desk = Desk()
    desk.engine.restore(json.loads(json.dumps(before.engine.state())))
    number, peer, question, _ = desk.ctx.requests[-1]
    assert (peer, question) == ("portfolio", GetPositions())
    desk.engine.on_unknown(number, question, desk.ctx)  # it is not up yet
    desk.engine.on_timer("positions", desk.ctx)
    number = desk.ctx.requests[-1][0]
    newest = PositionChanged(8, desk.ctx.now_ns, 0, Position(3, 1, 4))
    desk.engine.on_position(newest, desk.ctx)
    told = Positions((entry(1, 1, 30), entry(2, 1, -7), entry(3, 1, 1)), 7)
    desk.engine.on_reply(number, told, desk.ctx)
    desk.engine.on_position(PositionChanged(6, desk.ctx.now_ns, 0, Position(1, 1, 20)), desk.ctx)  # older than that
    assert desk.margin().maintenance == 0.25 * 30 * 100.0
    assert desk.ask(GetMargin(2)).maintenance == 0.30 * 7 * 100.0
    assert desk.ask(GetMargin(3)).maintenance == 0.25 * 4 * 100.0
    desk.engine.on_position(PositionChanged(9, desk.ctx.now_ns, 0, Position(1, 1, 20)), desk.ctx)
    assert desk.margin().maintenance == 0.25 * 20 * 100.0


def test_a_price_moves_equity_and_margin_within_the_event():
    desk = Desk()
    desk.quote(1, 100.0)
    desk.worth(6_000.0)
    desk.hold(1, 100)
    desk.quote(1, 90.0)
    status = desk.last()
    assert status.equity == 5_000 * 10**8
    assert status.maintenance == 2_250 * 10**8
    assert status.excess == 2_750 * 10**8
    assert status.cushion == pytest.approx(0.55)


def test_a_warning_comes_before_the_call_and_both_end_with_hysteresis():
    desk = Desk(warn_usage=0.9, warn_clear=0.8, call_clear=0.1)
    desk.quote(1, 100.0)
    desk.hold(1, 100)
    desk.worth(3_200.0)
    seen = []
    for price in (97.0, 94.0, 92.0, 90.5, 91.0, 93.0, 94.0, 98.0, 99.0, 99.9):
        desk.quote(1, price)
        status = desk.last()
        seen.append((status.warning, status.call))
    told = [after for before, after in zip([None, *seen], seen, strict=False) if after != before]
    assert told == [(False, False), (True, False), (True, True), (True, False), (False, False)]


def test_a_status_is_not_sent_for_every_small_change():
    desk = Desk(publish_change=0.01, publish_seconds=5.0)
    desk.quote(1, 100.0)
    desk.hold(1, 100)
    desk.worth(60_000.0)
    count = len(desk.ctx.published)
    for step in range(10):
        desk.quote(1, 100.0 + step * 0.01)
    assert len(desk.ctx.published) == count
    desk.ctx.now_ns += 6 * 10**9
    desk.quote(1, 100.2)
    assert len(desk.ctx.published) == count + 1


def test_options_are_margined_by_strategy():
    desk = Desk()
    desk.ask(OPTIONS)
    for number, price in ((1, 100.0), (3, 2.0), (4, 1.5), (8, 0.5)):
        desk.quote(number, price)
    desk.worth(50_000.0)
    desk.hold(3, -1)
    naked = 200 + (20 - 10) * 100
    assert desk.margin().maintenance == pytest.approx(naked - 200)  # the premium is a debt in the equity already
    desk.hold(8, 1)
    spread = desk.margin()
    assert spread.maintenance == pytest.approx(1_000 - 200 + 50)
    assert [line.kind for line in spread.strategies] == ["spread"]
    assert spread.strategies[0].legs == ("AAA C110", "AAA C120")
    desk.hold(1, 100)
    covered = desk.margin()
    assert {line.kind for line in covered.strategies} == {"covered"}
    assert covered.maintenance == pytest.approx(2_500 - 200 + 50)


def test_portfolio_margin_scans_the_class_and_never_asks_less_than_the_least():
    desk = Desk(regime="portfolio")
    desk.ask(OPTIONS)
    for number, price in ((1, 100.0), (3, 2.0), (4, 1.5)):
        desk.quote(number, price)
    desk.hold(1, 100)
    assert desk.margin("portfolio").maintenance == pytest.approx(1_500.0)
    desk.hold(4, 1)
    assert desk.margin("portfolio").maintenance < 1_500.0
    desk.hold(1, 0)
    assert desk.margin("portfolio").maintenance >= 37.5


def test_an_expired_option_is_left_out_and_named():
    desk = Desk()
    desk.ask(OPTIONS)
    for number, price in ((1, 100.0), (3, 2.0)):
        desk.quote(number, price)
    desk.worth(1_000.0)
    desk.hold(3, -1)
    desk.ctx.now_ns = EXPIRY
    desk.quote(1, 101.0)
    found = desk.margin()
    assert found.excluded == {"AAA C110": "expired"}
    assert not found.complete
    assert not desk.last().complete
    assert found.maintenance == 0.0


def test_an_option_expires_without_any_event():
    desk = Desk()
    desk.ask(OPTIONS)
    for number, price in ((1, 100.0), (3, 2.0)):
        desk.quote(number, price)
    desk.worth(10_000.0)
    desk.hold(3, -1)
    assert desk.last().complete
    desk.ctx.now_ns = EXPIRY + 1
    desk.engine.on_timer("volatilities", desk.ctx)
    assert not desk.last().complete
    assert desk.last().maintenance == 0


def test_terms_that_come_later_leave_the_equity_as_it_is():
    desk = Desk()
    desk.quote(1, 100.0)
    desk.worth(6_000.0)
    desk.hold(1, 100)
    desk.quote(1, 101.0)
    before = desk.margin().equity
    desk.ask(PutContracts((ContractTerms(1, "equity", house_rate=0.5),)))
    found = desk.margin()
    assert (before, found.equity) == (6_100.0, 6_100.0)
    assert found.maintenance == 5_050.0


def test_a_position_without_a_price_is_left_out_and_named():
    desk = Desk()
    desk.hold(2, 10)
    found = desk.margin()
    assert found.excluded == {"BBB": "empty"}
    assert found.equity is None
    assert found.undefined["excess"] == "empty"
    desk.quote(2, 10.0)
    assert desk.margin().complete


def test_futures_take_the_exchanges_rates_of_the_day_and_spreads_a_charge():
    desk = Desk()
    desk.ask(
        PutContracts(
            (
                ContractTerms(5, "future", product="ES", expiry_ns=EXPIRY, spread_charge=300.0),
                ContractTerms(6, "future", product="ES", expiry_ns=EXPIRY + 90 * DAY_NS, spread_charge=300.0),
            )
        )
    )
    desk.ask(PutFuturesRates("ES", (20240101, 20250102), (11_000.0, 13_200.0), (10_000.0, 12_000.0)))
    for number in (5, 6):
        desk.quote(number, 5_000.0)
    desk.worth(100_000.0)
    desk.hold(5, 3)
    desk.hold(6, -1)
    found = desk.margin()
    assert (found.initial, found.maintenance) == (2 * 11_000 + 300, 2 * 10_000 + 300)
    desk.ctx.now_ns += DAY_NS
    assert desk.margin().maintenance == 2 * 12_000 + 300
    scanned = desk.margin("span")
    assert scanned.maintenance == pytest.approx(2 * 12_000 + 300)  # the scan range is the maintenance of one contract


def test_a_future_without_rates_is_left_out():
    desk = Desk()
    desk.quote(5, 5_000.0)
    desk.hold(5, 1)
    assert desk.margin().excluded == {"ESH5": "empty"}
    desk.ask(PutFuturesRates("ESH5", (20260101,), (2.0,), (1.0,)))
    assert desk.margin().excluded == {"ESH5": "out_of_range"}


def test_perpetuals_take_brackets():
    desk = Desk()
    desk.quote(7, 50_000.0)
    desk.hold(7, -2_000)
    assert desk.margin().maintenance == pytest.approx(100_000 * 0.005 - 50)
    desk.ask(PutBrackets("BTCPERP", (0.0, 60_000.0), (0.01, 0.02), (0.05, 0.1)))
    found = desk.margin()
    assert found.maintenance == pytest.approx(100_000 * 0.02 - 600)
    assert found.initial == pytest.approx(10_000.0)


def test_pledged_collateral_counts_after_its_haircut():
    desk = Desk()
    desk.worth(1_000.0)
    desk.ask(PutHaircuts({"bond": 0.1}, {"EUR": 0.05}))
    items = (
        CollateralItem("T", "bond", "USD", 100.0),
        CollateralItem("E", "bond", "EUR", 100.0),
        CollateralItem("?", "art", "USD", 9.0),
    )
    desk.ask(PutCollateral(1, items))
    found = desk.margin()
    assert found.collateral == pytest.approx(90 + 85)
    assert found.equity == pytest.approx(1_175.0)


def test_offsets_between_groups_free_margin():
    desk = Desk()
    for number in (1, 2):
        desk.quote(number, 100.0)
    desk.worth(100_000.0)
    desk.hold(1, 100)
    desk.hold(2, -100)
    before = desk.margin().maintenance
    desk.ask(PutOffsets((OffsetTerms("AAA", "BBB", 1.0, 1.0, 0.5),)))
    found = desk.margin()
    assert found.maintenance == pytest.approx(0.5 * before)
    assert found.parts["offset"] == pytest.approx(-0.5 * before)
    assert desk.last().maintenance == round(found.maintenance * 10**8)


def test_what_is_concentrated_takes_an_add_on():
    desk = Desk(concentration_share=0.5, concentration_rate=0.1)
    for number in (1, 2):
        desk.quote(number, 100.0)
    desk.worth(100_000.0)
    desk.hold(1, 300)
    desk.hold(2, 100)
    found = desk.margin()
    assert found.parts["concentration"] == pytest.approx(0.1 * (30_000 - 20_000))
    assert desk.last().maintenance == round(found.maintenance * 10**8)


def test_an_event_costs_as_many_updates_as_it_touches_groups():
    desk = Desk()
    for number in (1, 2):
        desk.quote(number, 100.0)
        desk.hold(number, 10)
    account = desk.engine._accounts[1]
    touched = []
    real = account._set
    account._set = lambda group, *numbers: (touched.append(group), real(group, *numbers))
    desk.quote(1, 101.0)
    assert set(touched) == {desk.engine._registry.group_number("AAA")}


def test_incremental_margin_is_that_of_the_whole_portfolio_after_any_events():
    desk = Desk(concentration_share=0.3, concentration_rate=0.05)
    desk.ask(OPTIONS)
    draw = np.random.default_rng(1)
    for number, price in ((1, 100.0), (2, 50.0), (3, 2.0), (4, 1.5), (7, 40_000.0), (8, 0.7)):
        desk.quote(number, price)
    desk.worth(500_000.0)
    for _ in range(200):
        number = int(draw.choice([1, 2, 3, 4, 7, 8]))
        if draw.random() < 0.5:
            desk.hold(number, int(draw.integers(-5, 6)) * (100 if number in (1, 2, 7) else 1))
        else:
            base = {1: 100.0, 2: 50.0, 3: 2.0, 4: 1.5, 7: 40_000.0, 8: 0.7}[number]
            desk.quote(number, round(base * float(draw.uniform(0.9, 1.1)), 1))
    summary = desk.engine._accounts[1].summary(desk.engine._registry)
    found = desk.margin()
    assert summary.maintenance == pytest.approx(found.maintenance)
    assert summary.initial == pytest.approx(found.initial)


def test_implied_volatilities_follow_the_quotes():
    desk = Desk()
    desk.ask(OPTIONS)
    desk.hold(3, -1)
    desk.quote(1, 100.0)
    desk.quote(3, 4.0)
    desk.engine.on_timer("volatilities", desk.ctx)
    row = desk.engine._accounts[1].rows[0]
    told = desk.ask(SolveVolatility(("call",), (4.0,), (100.0,), (110.0,), (90 / 365,), 0.03))
    assert row["sigma"] == pytest.approx(told.volatility[0], abs=1e-12)


def test_greeks_and_volatilities_are_answered_with_codes():
    desk = Desk()
    found = desk.ask(PriceOptions(("call",), (100.0,), (105.0,), (0.5,), (0.25,), 0.03))
    assert found.price[0] == pytest.approx(5.575976644070, abs=1e-11)
    assert found.theta[0] / 365 == pytest.approx(-0.022534761800, abs=1e-11)
    american = desk.ask(PriceOptions(("put",), (100.0,), (105.0,), (182 / 365,), (0.25,), 0.03, 0.01, "american"))
    assert american.price[0] == pytest.approx(9.417116624399, abs=1e-4)
    assert american.delta[0] == pytest.approx(-0.57, abs=0.03)
    solved = desk.ask(
        SolveVolatility(("call", "call"), (5.575976644070281, 200.0), (100.0,) * 2, (105.0,) * 2, (0.5,) * 2, 0.03)
    )
    assert solved.volatility[0] == pytest.approx(0.25, abs=1e-12)
    assert solved.volatility[1] is None
    assert solved.codes == ("", "out_of_range")
    with pytest.raises(Undefined) as raised:
        desk.ask(PriceOptions(("call",), (100.0,), (105.0,), (-0.5,), (0.25,)))
    assert raised.value.code == "expired"
    with pytest.raises(ModelError):
        desk.ask(PriceOptions(("cal",), (100.0,), (105.0,), (0.5,), (0.25,)))


def test_unknown_portfolios_regimes_and_instruments_are_refused():
    desk = Desk()
    with pytest.raises(UnknownPortfolioError):
        desk.margin()
    desk.hold(1, 1)
    with pytest.raises(ModelError, match="regime"):
        desk.margin("reg_q")
    with pytest.raises(UnknownInstrumentError):
        desk.ask(PutContracts((ContractTerms(77, "equity"),)))
    with pytest.raises(ModelError, match="right"):
        desk.ask(PutContracts((ContractTerms(3, "option", 1, "both", 100.0, EXPIRY),)))
    with pytest.raises(Undefined):
        desk.ask(PutBrackets("X", (0.0, 10.0), (0.02, 0.01), (0.05, 0.05)))
    with pytest.raises(Undefined, match="no value"):
        desk.ask(GetForecast(1))


@pytest.mark.parametrize(
    "settings",
    [
        {"regime": "x"},
        {"warn_clear": 0.95},
        {"volatility": 0.0},
        {"rates": {"EUR": -1.0}},
        {"call_clear": -1.0},
        {"stock_rules": {"rate": 0.2}},
        {"option_rules": {"rate": -0.2}},
        {"scan_rules": {"points": 1.0}},
        {"concentration_share": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError):
        CollateralConfig(**settings)


def test_nothing_is_lost_over_a_restart():
    desk = Desk()
    desk.ask(OPTIONS)
    desk.ask(PutFuturesRates("ES", (20240101,), (11_000.0,), (10_000.0,)))
    desk.ask(PutHaircuts({"bond": 0.1}, {}))
    desk.ask(PutCollateral(1, (CollateralItem("T", "bond", "USD", 100.0),)))
    desk.ask(PutOffsets((OffsetTerms("AAA", "BBB", 1.0, 1.0, 0.5),)))
    for number, price in ((1, 100.0), (3, 2.0)):
        desk.quote(number, price)
    desk.hold(1, 100)
    desk.hold(3, -1)
    desk.worth(6_000.0)
    later = Desk()
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    first, second = desk.margin(), later.margin()
    assert (first.maintenance, first.equity, first.strategies) == (second.maintenance, second.equity, second.strategies)
    assert later.ask(GetContracts()).contracts == desk.ask(GetContracts()).contracts
    assert math.isfinite(second.maintenance)
