"""Answers about margin: what they rest on, what trades and moves would make of it, how far a call is."""

import itertools
import json

import numpy as np
import pytest

from nautilus.model.collateral import (
    ContractTerms,
    GetForecast,
    OffsetTerms,
    PutBrackets,
    PutContracts,
    PutFuturesRates,
    PutOffsets,
    SupposedTrade,
    WhatIf,
)
from nautilus.model.enums import RecordFlag
from nautilus.model.errors import UnknownInstrumentError
from tests.unit.engines.test_collateral import OPTIONS, Desk


def test_answers_say_whether_marks_are_as_a_venue_sent_them():
    desk = Desk()
    desk.ask(OPTIONS)
    made_up = int(RecordFlag.SYNTHETIC | RecordFlag.LAST)
    desk.quote(1, 100.0)
    desk.quote(2, 50.0, flags=made_up)
    desk.quote(3, 2.0)
    desk.worth(6_000.0)
    desk.hold(3, 1)
    assert not desk.margin().basis.synthetic
    assert not desk.last().synthetic
    assert desk.ask(WhatIf(1, (SupposedTrade(2, 5),))).basis.synthetic
    assert not desk.ask(WhatIf(1, (SupposedTrade(1, 5),))).basis.synthetic
    desk.quote(1, 100.0, flags=made_up)  # the underlying of what is held; at the same price
    assert desk.margin().basis.synthetic
    assert desk.ask(GetForecast(1)).basis.synthetic
    assert desk.ask(WhatIf(1, (SupposedTrade(3, -1),))).basis.synthetic  # what was before rests on it
    desk.hold(3, 0)
    assert not desk.margin().basis.synthetic
    desk.hold(2, 1)
    later = Desk()
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    desk.ctx.now_ns += 2 * 10**9
    for each in (desk, later):
        assert each.margin().basis.synthetic
    desk.quote(2, 51.0)
    assert not desk.margin().basis.synthetic
    assert not desk.last().synthetic
    desk.worth(6_000.0, synthetic=True)  # a mark or rate in the value is
    desk.ctx.now_ns += 2 * 10**9
    desk.quote(2, 52.0)
    assert desk.margin().basis.synthetic
    assert desk.last().synthetic


def test_answers_name_the_rules_they_took_and_settings_replace_their_numbers():
    desk = Desk()
    desk.ask(PutContracts((ContractTerms(5, "future", product="ES"),)))
    desk.ask(PutFuturesRates("ES", (20200101, 20210101), (11.0, 13.0), (10.0, 12.0), "exchange"))
    for number, price in ((1, 100.0), (5, 5_000.0), (7, 50_000.0)):
        desk.quote(number, price)
        desk.hold(number, 1)
    assert desk.margin().basis.version == "stocks 19740103, options 20101202, ES 20210101 (exchange), brackets default"
    assert desk.margin("portfolio").basis.version == "scan 20080801, ES 20210101 (exchange), brackets default"
    assert desk.margin().parts["stock"] == 25.0
    assert desk.margin("portfolio").parts["scan"] == pytest.approx(15.0)
    ours = Desk(stock_rules={"maintenance_long": 0.4}, scan_rules={"stock_down": 0.2}, option_rules={"rate": 0.3})
    for number, price in ((1, 100.0), (3, 2.0)):
        ours.quote(number, price)
    ours.hold(1, 1)
    assert ours.margin().parts["stock"] == 40.0
    assert ours.margin().basis.version == "stocks 19740103 maintenance_long=0.4, options 20101202 rate=0.3"
    assert ours.margin("portfolio").parts["scan"] == pytest.approx(20.0)
    ours.ask(OPTIONS)
    ours.hold(1, 0)
    ours.hold(3, -1)
    assert ours.margin().maintenance == 30.0 * 100 - 10.0 * 100  # the premium is in the equity


def test_offsets_count_as_the_regime_that_is_asked_for_and_the_trades_that_are_supposed_have_it():
    desk = Desk()
    for number, price in ((1, 100.0), (2, 50.0)):
        desk.quote(number, price)
    desk.worth(100_000.0)
    desk.hold(1, 100)
    desk.hold(2, -200)
    desk.ask(PutOffsets((OffsetTerms("AAA", "BBB", 1.0, 1.0, 0.5),)))
    assert desk.margin().parts["offset"] == -0.5 * (2_500 + 3_000)
    scanned = desk.margin("portfolio")
    assert scanned.parts["scan"] == pytest.approx(3_000.0)
    assert scanned.parts["offset"] == pytest.approx(-0.5 * 3_000)
    later = desk.ask(WhatIf(1, (SupposedTrade(2, 100),)))  # half of the pair is left
    assert later.maintenance_after == pytest.approx(2_500 + 1_500 - 0.5 * (2_500 / 2 + 1_500))


def test_a_group_without_a_margin_is_left_out_of_answers_and_of_forecasts_as_of_the_status():
    desk = Desk()
    desk.ask(PutBrackets("BTCPERP", (0.0, 1_000.0), (0.01, 0.02), (0.1, 0.1), cap=5_000.0))
    for number, price in ((1, 100.0), (7, 50_000.0)):
        desk.quote(number, price)
    desk.worth(10_000.0)
    desk.hold(1, 10)
    desk.hold(7, 200)  # 0.2: a notional of 10,000
    assert not desk.last().complete
    found = desk.margin()
    assert (found.excluded, found.maintenance, found.complete) == ({"BTCPERP": "out_of_range"}, 250.0, False)
    assert desk.ask(WhatIf(1, (SupposedTrade(7, -150),))).maintenance_after == 250.0 + 2_500 * 0.02 - 10.0
    assert desk.ask(GetForecast(1)).excluded == {"BTCPERP": "out_of_range"}
    desk.hold(7, 80)  # 4,000: in the brackets until it is worth a quarter more
    forecast = desk.ask(GetForecast(1))
    assert forecast.move_up is None
    assert forecast.undefined["move_up"] == "out_of_range"


def test_what_if_shows_margin_after_trades_and_a_move():
    desk = Desk()
    desk.quote(1, 100.0)
    desk.worth(6_000.0)
    desk.hold(1, 100)
    found = desk.ask(WhatIf(1, (SupposedTrade(1, 20),)))
    assert (found.initial_before, found.initial_after, found.acceptable) == (5_000.0, 6_000.0, True)
    assert not desk.ask(WhatIf(1, (SupposedTrade(1, 21),))).acceptable
    assert desk.ask(WhatIf(1, (SupposedTrade(1, -50),))).maintenance_after == 1_250.0
    moved = desk.ask(WhatIf(1, shock=-0.2))
    assert (moved.equity_after, moved.maintenance_after) == (4_000.0, 2_000.0)
    with pytest.raises(UnknownInstrumentError):
        desk.ask(WhatIf(1, (SupposedTrade(99, 1),)))


def test_a_forecast_finds_the_move_to_the_call_exactly():
    desk = Desk()
    desk.quote(1, 100.0)
    desk.worth(6_000.0)
    desk.hold(1, 100)
    found = desk.ask(GetForecast(1, horizon_days=30.0, volatility=0.3))
    # 6000 + 10000 x = 2500 (1 + x)
    assert found.move_down == pytest.approx(-3_500 / 7_500, abs=1e-9)
    assert found.move_up is None
    assert found.undefined["move_up"] == "infeasible"
    assert found.sensitivity == pytest.approx(7_500.0)
    assert found.excess_volatility == pytest.approx(2_250.0)
    assert 0 <= found.probability < 0.01
    assert found.expected_days is None
    assert found.undefined["expected_days"] == "infeasible"
    drifting = desk.ask(GetForecast(1, drift=-0.5, volatility=0.3))
    assert drifting.expected_days == pytest.approx(365 * 3_500 / 3_750)


def test_what_is_paid_in_full_never_comes_to_a_call():
    desk = Desk()
    desk.quote(1, 59_810.3)
    desk.ask(PutContracts((ContractTerms(1, "equity", house_rate=1.0),)))
    desk.worth(104_333.59)
    desk.hold(1, 1)
    found = desk.ask(GetForecast(1, volatility=0.5))
    assert (found.sensitivity, found.excess_volatility, found.probability_ever) == (0.0, 0.0, 0.0)
    assert found.median_days is None
    assert found.undefined["median_days"] == "infeasible"


def test_a_forecast_in_a_call_says_what_to_close():
    desk = Desk()
    desk.ask(PutContracts((ContractTerms(1, "equity", spread_bps=1.0), ContractTerms(2, "equity", spread_bps=100.0))))
    for number in (1, 2):
        desk.quote(number, 100.0)
    desk.worth(4_000.0)
    desk.hold(1, 100)
    desk.hold(2, 100)
    found = desk.ask(GetForecast(1))
    assert found.excess == pytest.approx(-1_000.0)
    assert found.shortfall == pytest.approx(1_000.0)
    assert found.cuts_restore
    assert [(cut.symbol, cut.lots) for cut in found.cuts] == [("AAA", -41)]  # 25 a share, less what closing costs
    assert found.move_down == found.move_up == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_what_is_to_be_closed_is_the_cheapest_of_all_ways_on_small_books(seed):
    draw = np.random.default_rng(seed)
    price, held = np.round(draw.uniform(20, 200, 2), 2), draw.integers(1, 6, 2) * draw.choice([-1, 1], 2)
    bps = draw.uniform(1, 50, 2)
    each = price * bps / 1e4
    desk = Desk()
    desk.ask(PutContracts(tuple(ContractTerms(k + 1, "equity", spread_bps=float(bps[k])) for k in (0, 1))))
    for number in (1, 2):
        desk.quote(number, float(price[number - 1]))
        desk.hold(number, int(held[number - 1]))

    def needed(kept):
        long, short = np.maximum(kept, 0), np.maximum(-kept, 0)
        return float((0.25 * long * price + short * np.maximum(5.0, 0.30 * price)).sum())

    equity = float(draw.uniform(0.1, 0.9)) * needed(held)
    desk.worth(equity)
    ways = map(np.array, itertools.product(*(range(abs(int(lots)) + 1) for lots in held)))
    best = min(closed @ each for closed in ways if needed(held - np.sign(held) * closed) <= equity - closed @ each)
    found = desk.ask(GetForecast(1))
    assert found.cuts_restore
    assert found.cuts_cost == pytest.approx(best)
    kept = held.copy()
    for cut in found.cuts:
        kept[cut.instrument_id - 1] += cut.lots
    assert needed(kept) <= equity - found.cuts_cost + 1e-9
