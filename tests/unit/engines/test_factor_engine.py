"""The factor engine: universe, model, days that follow, exposures, risk and attribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nautilus.engines.base import Work
from nautilus.maths import covariance, factor_risk, factors, styles
from nautilus.maths.errors import Undefined
from nautilus.model.errors import ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.factor import (
    DropUniverse,
    EstimateFactors,
    FactorContributions,
    GetFactorAttribution,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetPortfolioExposures,
    GetResidualReturns,
    GetUniverse,
    PortfolioAttributed,
    PutFactorPortfolio,
    PutSectors,
    UpdateFactors,
)
from nautilus.model.history import GetHistory, LoadHistory
from nautilus.model.queries import GetRisk
from nautilus.model.signals import FactorsUpdated
from tests.kit.factor_host import FIRST_DAY, FactorHost, close_ns
from tests.kit.stock_universe import StockUniverse, stock_universe

DAYS, STOCKS, SECTORS = 110, 40, 4


def _made(holes: float = 0.03, seed: int = 1) -> StockUniverse:
    return stock_universe(DAYS, STOCKS, SECTORS, seed=seed, holes=holes)


def _estimated(made: StockUniverse, days: int = DAYS, **settings: object) -> FactorHost:
    host = FactorHost(**settings)  # type: ignore[arg-type]
    host.put_sectors(made)
    host.put(made, slice(0, days))
    host.ask(EstimateFactors())
    return host


def _scores(made: StockUniverse) -> dict[str, np.ndarray]:
    return {
        "momentum": styles.momentum(made.returns, 30, 10, 5),
        "size": styles.size(made.market_caps),
        "value": styles.value(made.book_price, made.sales_price, made.cash_flow_price),
        "volatility": styles.volatility(made.returns, 20, 7),
        "liquidity": styles.liquidity(made.dollar_volumes, made.market_caps, 12),
    }


def _expected(made: StockUniverse) -> factors.FactorReturns:
    sectors = factors.Sectors(made.sector_names, made.sector_codes)
    return factors.estimate(made.returns, made.market_caps, sectors, _scores(made))


def test_the_model_is_the_one_of_the_maths() -> None:
    made = _made()
    host = _estimated(made)
    expected = _expected(made)
    table = host.ask(GetFactorReturns(limit=5_000))
    assert table.names == expected.names
    np.testing.assert_array_equal(np.array(table.days) - FIRST_DAY, expected.days)
    np.testing.assert_array_equal(np.array(table.returns), expected.returns)
    np.testing.assert_array_equal(table.stocks, expected.stocks)
    assert table.basis.window == len(expected.days)
    assert table.basis.source == "uploaded"
    assert "toraniko" in table.basis.method
    residuals = host.ask(GetResidualReturns("S0003", limit=5_000))
    known = np.isfinite(expected.residuals[:, 3])
    np.testing.assert_array_equal(residuals.residuals, expected.residuals[known, 3])
    assert residuals.basis.missing == int((~known).sum())
    few = host.ask(GetFactorReturns(begin_ns=close_ns(80), end_ns=close_ns(89), limit=4))
    assert [day - FIRST_DAY for day in few.days] == [86, 87, 88, 89]


def test_the_estimate_tells_the_last_day_and_publishes_those_that_are_kept() -> None:
    made = _made()
    host = FactorHost()
    host.put_sectors(made)
    state = host.put(made, slice(0, DAYS))
    assert (state.state, state.stocks, state.days) == ("uploaded", STOCKS, DAYS)
    assert {found.field for found in state.fields} == {
        "return", "market_cap", "book_price", "sales_price", "cash_flow_price", "dollar_volume",
    }  # fmt: skip
    found = host.ask(EstimateFactors())
    expected = _expected(made)
    assert found.days == len(expected.days)
    assert found.left_out == DAYS - len(expected.days)
    assert found.returns == tuple(expected.returns[-1])
    assert [event.day - FIRST_DAY for event in host.ctx.published] == list(range(DAYS - 40, DAYS))
    update = host.ctx.published[-1]
    assert update == FactorsUpdated(host.ctx.now_ns, FIRST_DAY + DAYS - 1, found.names, found.returns)
    assert host.ask(GetUniverse()).state == "estimated"


def test_days_that_follow_have_the_bits_of_all_days_estimated_together() -> None:
    made = _made(holes=0.1)
    host = _estimated(made, 90)
    for day in range(90, 96):
        host.put(made, slice(day, day + 1))
        host.ask(UpdateFactors())
    host.put(made, slice(96, DAYS))
    update = host.ask(UpdateFactors())
    assert update.days == DAYS - 96
    whole = _estimated(made)
    for question in (
        GetFactorReturns(limit=5_000),
        GetResidualReturns("S0001"),
        GetFactorExposures("S0001"),
        GetFactorExposures("S0002", "close"),
        GetFactorCovariance(),
    ):
        assert host.ask(question) == whole.ask(question)
    published = [event for event in host.ctx.published if isinstance(event, FactorsUpdated)]
    assert [event.day - FIRST_DAY for event in published] == list(range(50, DAYS))


@pytest.mark.parametrize("styles_used", [("size",), ()])
def test_specific_risk_and_exposures_ahead_follow_stocks_that_are_gone(styles_used: tuple[str, ...]) -> None:
    made = _made(holes=0.0)
    for begin, end, column in ((80, DAYS, 5), (60, 95, 6), (105, DAYS, 6), (103, DAYS, 7)):
        for name in ("returns", "market_caps", "book_price", "sales_price", "cash_flow_price", "dollar_volumes"):
            getattr(made, name)[begin:end, column] = np.nan
    chosen = {"styles": styles_used} if styles_used else {}
    host = _estimated(made, 90, **chosen)
    for day in range(90, DAYS):
        host.put(made, slice(day, day + 1))
        host.ask(UpdateFactors())
    whole = _estimated(made, **chosen)
    for symbol in made.symbols:
        assert host.ask(GetFactorExposures(symbol)) == whole.ask(GetFactorExposures(symbol))
    assert host.ask(GetFactorExposures("S0005")).specific_volatility is not None


def _moved_up(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full((1, values.shape[1]), np.nan), values[:-1]])


@pytest.mark.parametrize("centre", ["equal", "cap"])
def test_what_is_known_before_a_day_explains_it(centre: str) -> None:
    chosen = {"styles": ("momentum", "size", "value", "volatility"), "centre": centre}
    made = _made(holes=0.0)
    before = _estimated(made, known_before=True, **chosen)
    names = ("market_caps", "book_price", "sales_price", "cash_flow_price")
    moved = made._replace(**{name: _moved_up(getattr(made, name)) for name in names})
    expected = _estimated(moved, **chosen).ask(GetFactorReturns(limit=5_000))
    found = before.ask(GetFactorReturns(limit=5_000))
    assert (found.days, found.returns, found.stocks) == (expected.days, expected.returns, expected.stocks)
    assert "of the day before" in found.basis.method
    # Nothing of the last day but its returns is in it.
    other = made._replace(**{name: getattr(made, name).copy() for name in names})
    for name in names:
        getattr(other, name)[-1] *= 3.0 if name == "market_caps" else 0.2
    assert _estimated(other, known_before=True, **chosen).ask(GetFactorReturns(limit=5_000)) == found


def test_days_that_follow_take_what_was_known_before_over_holes() -> None:
    made = _made(holes=0.3)
    for styles_used in (("size", "value"), ()):
        chosen = {"known_before": True, **({"styles": styles_used} if styles_used else {})}
        host = _estimated(made, 90, **chosen)
        for day in range(90, DAYS):
            host.put(made, slice(day, day + 1))
            host.ask(UpdateFactors())
        whole = _estimated(made, **chosen)
        for question in (
            GetFactorReturns(limit=5_000),
            GetFactorExposures("S0003"),
            GetFactorExposures("S0003", "close"),
        ):
            assert host.ask(question) == whole.ask(question)


def test_a_stock_that_was_long_away_comes_back_with_its_own_window() -> None:
    made = _made(holes=0.0)
    for name in ("returns", "market_caps", "book_price", "sales_price", "cash_flow_price", "dollar_volumes"):
        getattr(made, name)[45:100, 7] = np.nan
    host = _estimated(made, 101)
    host.put(made, slice(101, DAYS))
    host.ask(UpdateFactors())
    assert host.ask(GetFactorReturns(limit=5_000)) == _estimated(made).ask(GetFactorReturns(limit=5_000))
    assert host.ask(GetResidualReturns("S0007")).days[-1] == FIRST_DAY + DAYS - 1


def test_a_change_of_a_known_day_makes_the_model_stale_until_it_is_estimated_anew() -> None:
    made = _made()
    host = _estimated(made, 100)
    changed = made._replace(returns=made.returns + 0.001)
    state = host.put(changed, slice(60, 61))
    assert state.state == "stale"
    host.put(made, slice(100, 101))
    with pytest.raises(Undefined) as error:
        host.ask(UpdateFactors())
    assert error.value.code == "mismatch"
    host.ask(EstimateFactors())
    assert host.ask(GetUniverse()).state == "estimated"
    host.put(made, slice(101, 102))
    assert host.ask(UpdateFactors()).days == 1
    # The same values again are no change.
    assert host.put(made, slice(90, 95)).state == "estimated"


def test_a_sector_to_come_needs_another_model_and_is_no_exposure_yet() -> None:
    made = _made()
    host = _estimated(made, 100)
    host.ctx.now_ns = close_ns(100)
    before = host.ask(GetFactorExposures("S0001"))
    other = next(name for name in made.sector_names if name != before.sector)
    assert host.ask(PutSectors({"S0001": other}, close_ns(103))).state == "estimated"
    assert host.ask(GetFactorExposures("S0001")) == before
    host.ctx.now_ns = close_ns(103)
    assert host.ask(GetFactorExposures("S0001")).sector == other
    assert host.ask(PutSectors({"NEW": other})).state == "estimated"  # a stock that is listed later changes no day
    assert host.ask(PutSectors({"NEW": "another"}, close_ns(103))).state == "stale"
    host.put(made, slice(100, 101))
    with pytest.raises(Undefined, match="sectors other than those of the model") as error:
        host.ask(UpdateFactors())
    assert error.value.code == "mismatch"
    host.ask(EstimateFactors())
    assert host.ask(GetUniverse()).state == "estimated"


def test_a_state_that_is_restored_answers_the_same_and_goes_on_the_same() -> None:
    made = _made(holes=0.05)
    host = _estimated(made, 100)
    host.ask(PutFactorPortfolio(7, {"S0000": 0.5, "S0001": 0.5}))
    other = host.again()
    for each in (host, other):
        each.put(made, slice(100, DAYS))
        each.ask(UpdateFactors())
    for question in (
        GetUniverse(),
        GetFactorReturns(limit=5_000),
        GetResidualReturns("S0001"),
        GetFactorExposures("S0001"),
        GetFactorRisk(7),
        GetFactorAttribution(7, daily=True),
    ):
        assert host.ask(question) == other.ask(question)
    before = {name: version for name, (version, _) in other.engine.bulk().items()}
    other.put(made._replace(returns=made.returns * 0.5), slice(DAYS - 1, DAYS), {"return": "returns"})  # type: ignore[dict-item]
    after = {name: version for name, (version, _) in other.engine.bulk().items()}
    again = {name for name in after if after[name] != before.get(name)}
    assert again == {name for name in after if name.startswith("universe ") and name.endswith(" 64")}


def test_exposures_of_a_stock_are_those_of_its_day() -> None:
    made = _made(holes=0.0)
    host = _estimated(made)
    found = host.ask(GetFactorExposures("S0005", "close"))
    expected = [1.0, *(float(code == made.sector_codes[5]) for code in range(SECTORS))]
    expected += [float(_scores(made)[name][-1, 5]) for name in found.names[1 + SECTORS :]]
    assert found.exposures == tuple(expected)
    assert found.sector == made.sector_names[made.sector_codes[5]]
    assert found.undefined == {}
    residuals = _expected(made).residuals
    specific = factor_risk.specific_risk(residuals[-504:], made.market_caps[-1], fewest=20)
    assert found.specific_volatility == pytest.approx(specific.deviations[5] * math.sqrt(252), rel=1e-12)
    ahead = host.ask(GetFactorExposures("S0005"))
    later = np.concatenate([made.returns, np.zeros((1, STOCKS))])
    momentum = styles.momentum(later, 30, 10, 5)[-1, 5]
    assert ahead.exposures[ahead.names.index("momentum")] == momentum
    assert ahead.exposures[ahead.names.index("size")] == float(styles.size(made.market_caps)[-1, 5])
    assert ahead.price is None


def test_what_a_stock_misses_is_none_and_said() -> None:
    made = _made(holes=0.0)
    made.book_price[:, 4] = np.nan
    host = _estimated(made)
    host.ask(PutSectors({"NEW": made.sector_names[0]}, close_ns(DAYS)))
    found = host.ask(GetFactorExposures("S0004"))
    assert found.undefined == {"value": "missing_days", "specific_volatility": "too_few"}
    assert found.exposures[found.names.index("value")] is None
    new = host.ask(GetFactorExposures("NEW"))
    assert new.sector == made.sector_names[0]
    assert set(new.undefined) == {
        "momentum", "size", "value", "volatility", "liquidity", "market_cap", "specific_volatility",
    }  # fmt: skip
    with pytest.raises(UnknownInstrumentError):
        host.ask(GetFactorExposures("NONE"))
    with pytest.raises(ModelError, match="now or close"):
        host.ask(GetFactorExposures("S0001", "noon"))


def test_the_covariance_is_the_estimators_on_the_last_days() -> None:
    made = _made()
    host = _estimated(made)
    returns = _expected(made).returns
    found = host.ask(GetFactorCovariance("sample"))
    np.testing.assert_array_equal(found.matrix, covariance.sample(returns))
    np.testing.assert_allclose(found.volatilities, np.sqrt(np.diag(covariance.sample(returns)) * 252), rtol=1e-12)
    assert not found.positive_definite  # the sectors sum to zero
    shrunk = host.ask(GetFactorCovariance(window=30))
    assert shrunk.positive_definite
    assert shrunk.basis.window == 30
    np.testing.assert_array_equal(shrunk.matrix, covariance.ledoit_wolf(returns[-30:])[0])
    weighted = host.ask(GetFactorCovariance("ewma", half_life=20.0))
    np.testing.assert_array_equal(weighted.matrix, covariance.ewma(returns, 20.0))
    lagged = host.ask(GetFactorCovariance("newey_west", lags=3))
    np.testing.assert_array_equal(lagged.matrix, covariance.newey_west(returns, 3))
    assert "3 lags" in lagged.basis.method
    for bad, code in (
        (GetFactorCovariance("guess"), "out_of_range"),
        (GetFactorCovariance(window=1), "too_few"),
        (GetFactorCovariance("newey_west", lags=5_000), "out_of_range"),
    ):
        with pytest.raises(Undefined) as error:
            host.ask(bad)
        assert error.value.code == code


def test_risk_of_a_portfolio_is_split_and_sums() -> None:
    host = _estimated(_made(holes=0.0))
    weights = {"S0000": 0.6, "S0001": -0.2, "S0002": 0.5, "GONE": 0.1}
    host.ask(PutFactorPortfolio(3, weights))
    exposed = host.ask(GetPortfolioExposures(3))
    each = {symbol: host.ask(GetFactorExposures(symbol)) for symbol in weights if symbol != "GONE"}
    expected = sum(weights[symbol] * np.array(found.exposures) for symbol, found in each.items())
    np.testing.assert_allclose(exposed.exposures, expected, rtol=1e-12, atol=1e-15)
    assert exposed.uncovered == {"GONE": "empty"}
    assert exposed.coverage == pytest.approx(1.3 / 1.4)
    risk = host.ask(GetFactorRisk(3, "sample"))
    matrix = np.array(host.ask(GetFactorCovariance("sample")).matrix)
    assert risk.factor == pytest.approx(math.sqrt(expected @ matrix @ expected * 252), rel=1e-10)
    specific = sum((weights[symbol] * found.specific_volatility) ** 2 for symbol, found in each.items())
    assert risk.specific == pytest.approx(math.sqrt(specific), rel=1e-10)
    assert risk.total**2 == pytest.approx(risk.factor**2 + risk.specific**2, rel=1e-12)
    assert sum(risk.contributions) + risk.specific_contribution == pytest.approx(risk.total, rel=1e-12)
    assert risk.basis.missing == 1
    host.ask(PutFactorPortfolio(4, {"GONE": 1.0}))
    with pytest.raises(Undefined) as error:
        host.ask(GetFactorRisk(4))
    assert error.value.code == "empty"


def test_attribution_of_a_portfolio_sums_to_its_return() -> None:
    made = _made(holes=0.05)
    host = _estimated(made)
    first = {"S0000": 0.5, "S0001": 0.3, "S0002": 0.2}
    second = {"S0003": 0.9, "S0001": -0.4, "GONE": 0.5}
    host.ask(PutFactorPortfolio(9, first))
    host.ask(PutFactorPortfolio(9, second, close_ns(95)))
    found: FactorContributions = host.ask(GetFactorAttribution(9, begin_ns=close_ns(80), daily=True))
    expected = _expected(made)
    scores = _scores(made)
    days = np.array(found.days) - FIRST_DAY
    np.testing.assert_array_equal(days, expected.days[expected.days >= 80])
    for row, day in enumerate(days):
        weights = first if day <= 95 else second
        at = int(np.flatnonzero(expected.days == day)[0])
        exposed, total = np.zeros(len(found.names)), 0.0
        loadings = factors.exposures(
            factors.Sectors(made.sector_names, made.sector_codes), {name: score[day] for name, score in scores.items()}
        )
        for symbol, weight in weights.items():
            if symbol == "GONE" or math.isnan(expected.residuals[at, int(symbol[1:])]):
                continue
            exposed += weight * loadings[int(symbol[1:])]
            total += weight * made.returns[day, int(symbol[1:])]
        assert found.daily_totals[row] == pytest.approx(total, abs=1e-15)
        np.testing.assert_allclose(found.daily_contributions[row], exposed * expected.returns[at], atol=1e-14)
        assert sum(found.daily_contributions[row]) + found.daily_specific[row] == pytest.approx(total, abs=1e-14)
    assert found.total == pytest.approx(math.prod(1.0 + total for total in found.daily_totals) - 1.0, abs=1e-13)
    assert sum(found.contributions) + found.specific == pytest.approx(found.total, abs=1e-13)
    assert found.uncovered["GONE"] == int((days > 95).sum())
    assert host.ask(GetFactorAttribution(9)).days == ()


def test_portfolios_are_attributed_as_days_come() -> None:
    made = _made(holes=0.0)
    host = _estimated(made, 100)
    host.ask(PutFactorPortfolio(5, {"S0000": 1.0}))
    host.ctx.published.clear()
    host.put(made, slice(100, 102))
    host.ask(UpdateFactors())
    kinds = [type(event) for event in host.ctx.published]
    assert kinds == [FactorsUpdated, PortfolioAttributed] * 2
    asked = host.ask(GetFactorAttribution(5, begin_ns=close_ns(100), daily=True))
    for row, event in enumerate(host.ctx.published[1::2]):
        assert (event.portfolio_id, event.day) == (5, FIRST_DAY + 100 + row)
        assert event.contributions == asked.daily_contributions[row]
        assert event.total == asked.daily_totals[row] == made.returns[100 + row, 0]
        assert event.specific == asked.daily_specific[row]


def test_the_constraint_by_capitalisation_and_fewer_styles_can_be_asked_for() -> None:
    made = _made(holes=0.0)
    host = FactorHost()
    host.put_sectors(made)
    host.put(made, slice(0, DAYS))
    host.ask(EstimateFactors(("size",), "cap"))
    table = host.ask(GetFactorReturns(limit=5_000))
    assert table.names == ("market", *made.sector_names, "size")
    assert len(table.days) == DAYS
    caps = np.stack([made.market_caps[:, made.sector_codes == code].sum(axis=1) for code in range(SECTORS)], axis=1)
    balance = (np.array(table.returns)[:, 1 : 1 + SECTORS] * caps).sum(axis=1) / caps.sum(axis=1)
    np.testing.assert_allclose(balance, 0.0, atol=1e-14)
    host.ask(EstimateFactors(("momentum", "volatility"), ""))
    assert host.ask(GetFactorExposures("S0000")).undefined == {}
    for bad in (EstimateFactors(("beta",)), EstimateFactors(("size", "size")), EstimateFactors((), "none")):
        with pytest.raises(ModelError):
            host.ask(bad)


def test_what_is_not_there_is_refused_by_code() -> None:
    host = FactorHost()
    made = _made()
    for question in (
        UpdateFactors(),
        EstimateFactors(),
        GetFactorReturns(),
        GetFactorCovariance(),
        GetFactorExposures("S0000"),
        GetFactorRisk(1),
        GetFactorAttribution(1),
        GetPortfolioExposures(1),
    ):
        with pytest.raises(Undefined) as error:
            host.ask(question)
        assert error.value.code == "empty"
    host.put(made, slice(0, DAYS))
    with pytest.raises(Undefined) as error:  # no sectors
        host.ask(EstimateFactors())
    assert error.value.code == "empty"
    host.put_sectors(made)
    host.ask(EstimateFactors())
    for question in (GetFactorRisk(1), GetFactorAttribution(1), GetPortfolioExposures(1)):
        with pytest.raises(UnknownPortfolioError):
            host.ask(question)
    with pytest.raises(Undefined) as error:
        host.ask(UpdateFactors())
    assert error.value.code == "missing_days"
    with pytest.raises(Undefined) as error:
        host.ask(GetFactorReturns(begin_ns=close_ns(DAYS)))
    assert error.value.code == "missing_days"
    host.ask(PutFactorPortfolio(1, {"S0000": 1.0}, close_ns(DAYS)))
    with pytest.raises(Undefined) as error:  # its weights are of later
        host.ask(GetFactorAttribution(1))
    assert error.value.code == "missing_days"
    with pytest.raises(ModelError, match="a request that it answers"):
        host.ask(GetRisk())


def test_a_dropped_universe_is_forgotten() -> None:
    host = _estimated(_made())
    state = host.ask(DropUniverse())
    assert (state.stocks, state.days, state.state, state.factors) == (0, 0, "empty", ())
    with pytest.raises(Undefined):
        host.ask(GetFactorReturns())


def test_a_style_without_inputs_is_named() -> None:
    made = _made()
    host = FactorHost()
    host.put_sectors(made)
    host.put(made, slice(0, DAYS), {"return": "returns", "market_cap": "market_caps"})  # type: ignore[dict-item]
    with pytest.raises(Undefined, match="book_price") as error:
        host.ask(EstimateFactors())
    assert error.value.code == "empty"


def test_what_was_asked_of_a_dropped_universe_changes_nothing() -> None:
    made = _made(holes=0.0)
    host = _estimated(made, 100)
    before = host.engine.bulk()
    host.put(made, slice(100, 101))
    host.ctx.now_ns = close_ns(101)
    host.engine.on_timer("day-end", host.ctx)
    host.ask(DropUniverse())
    host.run_jobs()
    assert host.ask(GetUniverse()).state == "empty"
    assert host.engine.bulk() == {}
    host.put_sectors(made)
    host.put(made, slice(0, 100))
    host.ask(EstimateFactors())
    after = host.engine.bulk()
    assert {name for name in after if after[name][0] <= before[name][0]} == set()  # all of it is saved anew


def test_scores_centred_by_capitalisation_leave_the_market_without_style() -> None:
    made = _made(holes=0.0)
    host = _estimated(made, centre="cap")
    caps = made.market_caps[-1] / made.market_caps[-1].sum()
    host.ask(PutFactorPortfolio(2, dict(zip(made.symbols, caps.tolist(), strict=True))))
    found = host.ask(GetPortfolioExposures(2))
    exposed = dict(zip(found.names, found.exposures, strict=True))
    for name in ("momentum", "value", "volatility", "liquidity"):
        assert exposed[name] == pytest.approx(0.0, abs=1e-12)
    assert exposed["market"] == pytest.approx(1.0)
    assert "by capitalisation" in found.basis.method


def test_a_large_attribution_is_work_and_the_same() -> None:
    made = stock_universe(100, 300, SECTORS, seed=8)
    host = _estimated(made, 100)
    weights = dict.fromkeys(made.symbols, 1.0 / 300)
    host.ask(PutFactorPortfolio(6, weights))
    whole = GetFactorAttribution(6, daily=True)
    assert isinstance(host.engine.on_request(whole, host.ctx), Work)
    found = host.ask(whole)
    few = host.ask(GetFactorAttribution(6, begin_ns=close_ns(98), daily=True))
    assert not isinstance(host.engine.on_request(GetFactorAttribution(6, begin_ns=close_ns(98)), host.ctx), Work)
    assert found.daily_contributions[-2:] == few.daily_contributions


@pytest.mark.parametrize(
    ("weights", "code"),
    [({}, "empty"), ({"A": float("nan")}, "not_finite"), ({f"S{n}": 0.1 for n in range(10_001)}, "out_of_range")],
)
def test_weights_that_cannot_be_are_refused(weights: dict[str, float], code: str) -> None:
    with pytest.raises(Undefined) as error:
        FactorHost().ask(PutFactorPortfolio(1, weights))
    assert error.value.code == code


def test_weights_that_always_held_are_of_day_0() -> None:
    assert FactorHost().ask(PutFactorPortfolio(7, {"S0001": 1.0})).days == (0,)


def test_told_weights_are_kept_by_day_and_no_more_than_are_asked_for() -> None:
    host = FactorHost(kept_days=3)
    for day in range(5):
        state = host.ask(PutFactorPortfolio(1, {"A": 0.1 * day, "B": 0.5}, close_ns(day)))
    assert [day - FIRST_DAY for day in state.days] == [2, 3, 4]
    assert state.weights == {"A": 0.4, "B": 0.5}


def test_a_history_is_loaded_through_the_hub() -> None:
    host = FactorHost()
    assert host.ask(LoadHistory("AAPL")).state == "loading"
    [(number, peer, question, _)] = host.ctx.requests
    assert peer == "marketdata"
    host.engine.on_unknown(number, question, host.ctx)
    assert host.ask(GetHistory("AAPL")).state == "failed"
