"""What each public function of `nautilus.maths` is called with: kinds of arguments by name, others by function.

Length: one table of one entry for each function, kept together to be read beside the list of functions.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nautilus.maths
from nautilus.maths import (
    attribution,
    covariance,
    crypto_margin,
    factors,
    holdings,
    hrp,
    linking,
    margin,
    offsets,
    optimise,
    quadratic,
    reg_t,
    running,
    strategies,
    toxicity,
    tridiagonal,
    var,
)
from nautilus.maths.errors import finite
from nautilus.maths.indicators import catalogue
from tests.kit import maths_inputs as kind
from tests.kit.maths_inputs import Case, Kind, Sound, choice, column, integers, maybe, number, rows_of, together, whole

BY_NAME: dict[str, Kind] = {
    "array": kind.series,
    "ask_prices": together(lambda row: row + 0.01, kind.prices),
    "ask_sizes": kind.positive,
    "asks": together(lambda row: row + 0.1, kind.walk),
    "aversion": number(0.1, 9.0),
    "bar_lots": whole(1, 20),
    "bar_ns": whole(kind.DAY_NS, 3 * kind.DAY_NS),
    "begin": choice("2020-09-20", "2020-09-14"),
    "benchmark": kind.series,
    "benchmark_returns": kind.matrix,
    "benchmark_weights": kind.weight_rows,
    "beta": number(0.5, 0.99),
    "bid_prices": kind.prices,
    "bid_sizes": kind.positive,
    "bids": kind.walk,
    "broad": together(lambda row: row > 0.0, column()),
    "bucket_lots": whole(1, 9),
    "bucket_volume": number(1.0, 5.0),
    "budgets": maybe(column(0.1, 2.0)),
    "cash": number(0.0, 100.0),
    "cash_flow_price": kind.positive_matrix,
    "centred": choice(True, False),
    "changes": kind.series,
    "class_haircuts": column(0.0, 0.5),
    "closes": kind.prices,
    "components": column(),
    "compounded": choice(True, False),
    "confidence": number(0.5, 0.99),
    "constraint": choice(*factors.CONSTRAINTS),
    "constraints": together(
        lambda low, n: optimise.Constraints(np.full(n, low), np.ones(n)), choice(0.0, -0.5), lambda case: case.columns
    ),
    "contributions": kind.pairs,
    "correlations": kind.correlations,
    "cost": number(0.0, 0.01),
    "covariance": kind.covariance,
    "currency_haircuts": column(0.0, 0.1),
    "ddof": whole(0, 1),
    "decay": number(0.5, 0.97),
    "degrees": choice(0.0, 0.25, 4.0, 30.0),
    "definition": choice(*var.DEFINITIONS),
    "deviations": column(0.01, 0.3),
    "distance": kind.distances,
    "dollar_volumes": kind.positive,
    "drift": number(-0.5, 0.5),
    "end": choice("2020-09-24", "2020-10-01"),
    "excess": number(0.1, 3.0),
    "exposures": column(-100.0, 100.0),
    "factor": kind.series,
    "factor_returns": kind.pairs,
    "gammas": maybe(column()),
    "groups": whole(1, 4),
    "grown": number(0.5, 2.0),
    "half_life": number(1.0, 90.0),
    "history": whole(1, 30),
    "hits": kind.hits,
    "horizon": whole(1, 9),
    "interest": number(0.0, 0.1),
    "intercept": choice(True, False),
    "is_call": together(lambda row: row > 0.0, rows_of(-1.0, 1.0)),
    "kurtosis": number(2.0, 6.0),
    "lag": whole(0, 2),
    "lags": whole(0, 4),
    "left": number(0.1, 2.0),
    "level": number(0.6, 0.99),
    "linking": choice(*linking.LINKINGS),
    "lots": integers(0, 9),
    "lower": number(0.0, 0.4),
    "market_caps": kind.positive_matrix,
    "matrix": kind.covariance,
    "mean": column(),
    "means": maybe(column(-0.01, 0.01)),
    "measures": kind.positive,
    "median": number(0.0, 1.0),
    "method": choice("single", "complete", "average", "ward"),
    "model": Sound(kind.regimes),
    "nav": kind.positive,
    "next_variance": number(0.5, 2.0),
    "now_ns": kind.times,
    "notional": column(-9000.0, 9000.0),
    "order": choice(*hrp.ORDERS),
    "p": rows_of(0.0, 1.0),
    "pace": number(0.0, 1.0),
    "paths": whole(100, 1500),
    "percentile": number(0.0, 0.5),
    "periods": whole(1, 300),
    "periods_per_year": number(1.0, 366.0),
    "portfolio_returns": kind.matrix,
    "portfolio_weights": kind.weight_rows,
    "price": rows_of(0.5, 9.0),
    "price_changes": kind.series,
    "price_ticks": integers(90, 110),
    "prices": kind.prices,
    "profits": kind.matrix,
    "quantity": column(-9.0, 9.0),
    "rate": rows_of(0.0, 0.1),
    "requirement": column(1.0, 99.0),
    "reserve": number(0.0, 1.0),
    "residuals": kind.matrix,
    "returns": kind.series,
    "risk_free": number(-0.001, 0.001),
    "rules": Sound(choice(strategies.OptionRules())),
    "sales_price": kind.positive_matrix,
    "scale": number(1.0, 100.0),
    "seed": whole(0, 1 << 62),
    "sharpe": number(0.01, 1.0),
    "sides": integers(0, 2),
    "sigma": rows_of(0.05, 1.0),
    "signed_volumes": rows_of(-9.0, 9.0),
    "skew": number(-1.0, 1.0),
    "specific": kind.series,
    "specific_deviations": column(0.01, 0.3),
    "spot": rows_of(80.0, 120.0),
    "states": choice(2, 3),
    "strike": rows_of(80.0, 120.0),
    "target": number(-0.1, 0.01),
    "tau": rows_of(0.01, 2.0),
    "threshold": number(-0.01, 0.01),
    "times_ns": kind.times,
    "trials": whole(1, 99),
    "upper": number(0.6, 1.0),
    "valid": maybe(kind.hits),
    "value": number(0.1, 9.0),
    "values": kind.series,
    "values_at_risk": rows_of(0.01, 0.03),
    "variance": number(0.001, 0.1),
    "variances": kind.positive,
    "vector": column(),
    "volatility": number(0.1, 0.9),
    "volumes": kind.positive,
    "weights": kind.weights,
    "window": whole(2, 12),
    "winsor": number(0.0, 0.1),
    "x": rows_of(-9.0, 9.0),
    "y": rows_of(-9.0, 9.0),
    "years": number(0.1, 3.0),
    "yield_rate": rows_of(0.0, 0.1),
}
"""Of parameters that mean the same wherever they are."""

_BRACKETS = crypto_margin.brackets([0.0, 1000.0, 5000.0], [0.01, 0.02, 0.05], [0.02, 0.05, 0.1])
_HISTORY = Sound(together(holdings.instrument_history, kind.long_matrix))
_CASH = together(lambda weights, returns: (weights, returns), kind.weight_rows, kind.matrix)
_MARKETS = together(lambda *three: three, kind.weight_rows, kind.matrix, kind.matrix)
_STYLES = together(lambda one, other: {"value": one, "size": other}, kind.matrix, kind.matrix)
_NEAR_MONEY = {
    "price": rows_of(5.0, 9.0),
    "spot": rows_of(99.0, 101.0),
    "strike": rows_of(99.0, 101.0),
    "tau": rows_of(0.5, 1.0),
    "rate": rows_of(0.0, 0.02),
    "yield_rate": rows_of(0.0, 0.02),
}
_X = np.array([-2.0, -0.1, 0.0])
_OFFSETS = together(
    lambda rate, ratio: (offsets.Offset(0, 1, ratio, 1.0, rate), offsets.Offset(1, 0, 2.0, ratio, rate)),
    number(0.0, 1.0),
    number(0.5, 2.0),
)


def _codes(case: Case) -> factors.Sectors:
    return factors.Sectors(("bank", "steel"), case.chance.integers(-1, 2, case.columns))


def _scales(case: Case) -> list[toxicity.Scale]:
    return [
        toxicity.Scale(*(float(each) for each in case.chance.random(4)))
        if case.chance.random() < 0.8
        else toxicity.Scale(None, None, 0.2, 0.0)
        for _ in range(case.columns)
    ]


def _merges(case: Case) -> list[hrp.Merge]:
    return hrp.linkage(kind.distances(case))


def _dense(case: Case) -> quadratic.DenseProgram:
    n = case.columns
    return quadratic.DenseProgram(
        kind.covariance(case) * 1e4, kind.column()(case), np.ones((1, n)), np.ones(1), lower=np.zeros(n)
    )


def _no_call(move: float) -> float:
    return 1.0 - abs(move)


def _mean_place(places: Any) -> float:
    return float(np.mean(places))


MATRIX = {"returns": kind.matrix}
OTHERS: dict[str, dict[str, Kind]] = {
    "american.exercise_boundary": {"rate": rows_of(0.01, 0.1)},
    "bounds.above_nought": {"name": choice("a")},
    "attribution.brinson": {"method": choice(*attribution.METHODS)},
    "bounds.bounded": {"name": choice("a"), "largest": number(1e-3, 1e3)},
    "bounds.shaped": {"name": choice("a"), "shape": choice((None,))},
    "bounds.whole_numbers": {
        "values": integers(0, 9),
        "name": choice("a"),
        "shape": choice((None,)),
        "least": choice(0),
        "most": choice(9),
    },
    "bounds.within": {"name": choice("a"), "least": choice(0.0), "most": choice(1.0)},
    "bulk.normal": {"z": number(-9.0, 9.0)},
    "bulk.student": {"z": number(-9.0, 9.0), "degrees": choice(0.25, 4.0, 30.0)},
    "bulk.time_bars": {},
    "bulk.volume_bars": {},
    "concentration.Sizes": {"places": whole(1, 20)},
    "concentration.add_on": {"share": number(0.1, 1.0), "rate": number(0.0, 1.0)},
    "covariance.decay_weights": {},
    "covariance.estimate": {**MATRIX, "method": choice(*covariance.METHODS), "lags": maybe(whole(0, 4))},
    "covariance.ewma": MATRIX,
    "covariance.ledoit_wolf": MATRIX,
    "covariance.ledoit_wolf_constant_correlation": MATRIX,
    "covariance.newey_west": {**MATRIX, "lags": maybe(whole(0, 4)), "half_life": choice(0.0, 5.0)},
    "covariance.sample": MATRIX,
    "covariance.shrunk": {"target": kind.covariance, "intensity": number(0.0, 1.0)},
    "cross_section.centred": {"values": kind.matrix, "weights": maybe(kind.positive_matrix)},
    "cross_section.rescaled": {"values": kind.matrix},
    "cross_section.standardized": {"values": kind.matrix, "weights": maybe(kind.positive_matrix)},
    "cross_section.tails": {"values": kind.matrix, "fill": number(-1.0, 1.0)},
    "cross_section.winsorized": {"values": kind.matrix},
    "crypto_margin.brackets": {
        "floors": choice(np.array([0.0, 10.0, 50.0])),
        "rates": choice(np.array([0.01, 0.02, 0.05])),
        "initial_rates": choice(np.array([0.02, 0.04, 0.1])),
        "amounts": choice(None),
        "cap": choice(100.0, 1e6),
    },
    "crypto_margin.requirement": {"tiers": Sound(choice(_BRACKETS))},
    "currency_attribution.currency_attribution": {
        "portfolio_markets": _MARKETS,
        "benchmark_markets": _MARKETS,
        "portfolio_currencies": _CASH,
        "benchmark_currencies": _CASH,
    },
    "cvar_program.CvarProgram": {**MATRIX, "over": Sound(_dense)},
    "dated.check_dated": {"days": choice([20200101, 20210101]), "what": choice("rows")},
    "dated.in_force": {
        "table": Sound(choice(((20200101, 1.0), (20210101, 2.0)))),
        "day": choice(20200101, 20300101),
        "what": choice("rule"),
    },
    "drawdowns.deepest_of": {"below": together(lambda row: -np.abs(row), kind.series)},
    "drawdowns.ulcer_of": {"squares": number(0.0, 9.0)},
    "drawdowns.worst_drawdowns": {"count": whole(0, 5)},
    "errors.check_finite": {"name": choice("a")},
    "errors.check_times": {"name": choice("a"), "equal": choice(True, False)},
    "errors.finite": {"name": choice("a"), "least": whole(0, 5)},
    "errors.same_length": {"name": choice("a"), "lengths": choice((1, 1), (1, 2))},
    "execution_schedule.almgren_chriss": {
        "quantity": number(1.0, 1e6),
        "horizon": number(0.1, 9.0),
        "steps": whole(1, 30),
        "temporary_impact": number(1.0, 9.0),
        "permanent_impact": number(0.0, 0.1),
        "spread_cost": number(0.0, 0.1),
        "risk_aversion": number(0.0, 1.0),
    },
    "exposures.estimated_exposures": {"factors": kind.pairs},
    "factor_attribution.factor_attribution": {"exposures": kind.pairs},
    "factor_attribution.portfolio_exposures": {"exposures": kind.loadings},
    "factor_risk.attribution": {"weights": kind.matrix, "exposures": kind.tensor, "returns": kind.matrix},
    "factor_risk.linked": {"total": kind.series, "contributions": kind.pairs},
    "factor_risk.portfolio_risk": {"exposures": kind.loadings, "factor_covariance": kind.two_by_two},
    "factor_risk.specific_risk": {
        "market_caps": maybe(column(1.0, 9.0)),
        "fewest": whole(1, 9),
        "pull": number(0.0, 1.0),
    },
    "factors.estimate": {
        **MATRIX,
        "sectors": _codes,
        "styles": _STYLES,
        "winsor": maybe(number(0.0, 0.1)),
        "residualize": choice(True, False),
    },
    "factors.exposures": {"sectors": _codes, "styles": together(lambda row: {"size": row}, column())},
    "filtered_var.filtered_returns": {"mean": number(-0.01, 0.01)},
    "futures_margin.RateHistory": {"rows": choice([(20200101, 1100.0, 1000.0), (20210101, 1200.0, 1000.0)])},
    "futures_margin.outright_and_spreads": {
        "product": kind.groups,
        "month": integers(1, 4, "columns"),
        "products": lambda case: case.columns,
    },
    "haircuts.counted": {"amounts": column(-99.0, 99.0)},
    "har.har": {"spans": choice((1, 5), (1, 2, 9)), "horizon": whole(1, 9)},
    "holdings.concentration": {},
    "holdings.holdings_risk": {"history": _HISTORY},
    "holdings.instrument_history": {**MATRIX, "benchmark": maybe(kind.series)},
    "hrp.leaves": {"merges": Sound(_merges)},
    "hrp.ordered_leaves": {"merges": Sound(_merges)},
    "implied_volatility.implied_volatility": _NEAR_MONEY,
    "implied_volatility.solve": _NEAR_MONEY,
    "implied_volatility.normalised_black": {"x": rows_of(-3.0, 0.0), "s": kind.positive},
    "implied_volatility.solve_normalised": {
        "x": choice(_X),
        "beta": choice(0.3 * np.exp(0.5 * _X)),
        "rest": choice(0.7 * np.exp(0.5 * _X)),
    },
    "indicators.catalogue.chosen": {"source": choice(*catalogue.SOURCES), "names": choice((), ("rsi_14",))},
    "indicators.catalogue.every": {"source": choice(*catalogue.SOURCES)},
    "indicators.catalogue.owner_of": {"source": choice("bar"), "name": choice("rsi_14", "macd")},
    "indicators.catalogue.wanted_outputs": {
        "made": Sound(choice(catalogue.every("bar"))),
        "names": choice((), ("rsi_14",)),
    },
    "indicators.whole.checked_rows": {
        "source": choice("bar"),
        "columns": kind.bars,
        "times_ns": maybe(kind.times),
    },
    "indicators.whole.through_splits": {
        "made": Sound(choice(catalogue.every("bar"))),
        "columns": kind.bars,
        "splits": choice(((1_600_100_000_000_000_000, 2.0),)),
    },
    "indicators.whole.untold_steps": {
        "source": choice("bar"),
        "columns": kind.bars,
        "times_ns": maybe(kind.times),
        "splits": choice(((1_600_100_000_000_000_000, 2.0),)),
    },
    "indicators.whole.whole": {
        "made": Sound(choice(catalogue.every("bar"))),
        "columns": kind.bars,
        "times_ns": maybe(kind.times),
    },
    "leading.block_bootstrap": {
        "rows": whole(10, 30),
        "block": whole(1, 4),
        "draws": whole(1, 9),
        "measure": choice(_mean_place),
    },
    "leading.newey_west": {"y": kind.series, "columns": kind.pairs},
    "linking.check_losses": {},
    "linking.compounded": {},
    "linking.linking_coefficients": {"portfolio_returns": kind.series, "benchmark_returns": kind.series},
    "linking.matrix": {"values": kind.matrix, "name": choice("a")},
    "linking.weights_of": {"values": kind.weight_rows, "name": choice("a")},
    "margin.check": {"book": kind.book},
    "margin.requirement": {
        "book": kind.book,
        "regime": choice(*margin.REGIMES),
        "rules": Sound(choice(margin.Rules(brackets=(_BRACKETS._replace(cap=1e9),)))),
    },
    "margin_book.Columns": {"book": kind.book, "places": Sound(choice(np.array([0, 1]), np.array([0])))},
    "margin_book.group": {"book": kind.book},
    "margin_book.total": {"values": column(), "starts": Sound(choice(np.array([0])))},
    "margin_call.cheapest_cut": {
        "relief": column(1.0, 9.0),
        "cost": column(0.1, 1.0),
        "lots": integers(1, 9, "columns"),
        "shortfall": number(0.5, 20.0),
    },
    "margin_call.first_passage": {"horizon": number(0.1, 2.0)},
    "margin_call.move_to_call": {
        "excess": choice(_no_call),
        "lowest": number(-0.99, -0.5),
        "highest": number(1.1, 3.0),
        "steps": whole(1, 60),
    },
    "micro_price.fit_micro_price": {"tick": choice(0.1), "imbalances": whole(2, 4), "spreads": whole(1, 3)},
    "microstructure.checked": {"what": choice("a"), "least": whole(0, 5), "positive": choice(True, False)},
    "microstructure.realised_volatility": {"periods": number(1.0, 300.0)},
    "microstructure.standing_quotes": {
        "trade_ns": kind.times,
        "quote_ns": kind.times,
        "lag_ns": choice(0, 5_000_000_000),
    },
    "monte_carlo.Paths": {"degrees": choice(0.0, 4.0)},
    "monte_carlo.root": {"size": lambda case: case.columns},
    "normal.pdf": {},
    "normal_paths.normal_numbers": {"paths": integers(0, 1000), "count": whole(1, 5)},
    "normal_paths.tridiagonal_forms": {"squares": column(), "products": together(lambda row: row[1:], column())},
    "offsets.credits": {"delta": column(-9.0, 9.0), "table": _OFFSETS},
    "optimise.Constraints": {
        "lower": column(-0.1, 0.1),
        "upper": column(0.5, 1.0),
        "budget": number(0.5, 1.0),
        "groups": maybe(together(np.atleast_2d, column(1.0, 1.0))),
        "group_lower": choice(None, np.array([0.1])),
        "group_upper": choice(None, np.array([1.5])),
        "previous": kind.weights,
        "turnover": maybe(number(0.1, 2.0)),
        "gross": maybe(number(1.0, 2.0)),
    },
    "optimise.conditional_value_at_risk": {},
    "optimise.maximum_sharpe": {"rate": number(-2.0, 0.0)},
    "optimise.minimum_cvar": MATRIX,
    "options.checked": {},
    "options.told": {"results": kind.series},
    "performance.annual_alpha": {"mean": number(-0.01, 0.01)},
    "performance.batting_average": {},
    "performance.bounded_correlation": {"shared": number(-0.1, 0.1), "right": number(0.1, 2.0)},
    "performance.explained_by_line": {
        "shared": number(-1.0, 1.0),
        "periods": number(1.0, 9.0),
        "squares": number(1.0, 9.0),
    },
    "performance.kelly_of": {"payoff": number(0.1, 3.0), "hits": number(0.1, 0.9)},
    "performance.over_losses": {"losses": number(0.1, 3.0), "what": choice("a")},
    "performance.quotient": {"spread": number(0.1, 3.0), "what": choice("a")},
    "performance.rate_of_hits": {"wins": whole(0, 5), "losses": whole(0, 5)},
    "performance.sample_kurtosis": {
        "n": whole(2, 9),
        "second": number(0.1, 3.0),
        "fourth": number(0.1, 9.0),
        "unchanging": choice(True, False),
    },
    "performance.sample_skewness": {
        "n": whole(2, 9),
        "second": number(0.1, 3.0),
        "third": number(-9.0, 9.0),
        "unchanging": choice(True, False),
    },
    "performance.turnover": {"traded": kind.positive},
    "performance.weight_turnover": {"weights": kind.weight_rows, "returns": kind.matrix},
    "portfolio_margin.class_requirement": {"gains": kind.gains, "least": column(0.0, 9.0)},
    "portfolio_margin.group_requirement": {
        "gains": kind.gains,
        "least": column(0.0, 9.0),
        "group": kind.groups,
        "groups": lambda case: case.columns,
        "offset": number(0.0, 1.0),
    },
    "quadratic.DenseProgram": {
        "p": together(lambda found: found * 1e4, kind.covariance),
        "q": column(),
        "a": together(np.atleast_2d, column(1.0, 1.0)),
        "b": choice(np.ones(1)),
        "g": choice(None),
        "h": choice(None),
        "lower": column(-0.1, 0.1),
        "upper": column(2.0, 3.0),
    },
    "quadratic.bordered": {
        "block": together(lambda found: found * 1e4, kind.covariance),
        "a": together(np.atleast_2d, column(1.0, 1.0)),
    },
    "quadratic.solve": {"program": Sound(_dense), "tolerance": choice(1e-10, 1e-6), "most": whole(20, 100)},
    "ranks.standard_scores": {"limit": choice(0.0, 2.0)},
    "reg_t.requirement": {
        "price": column(0.0, 100.0),
        "rules": Sound(choice(reg_t.StockRules())),
        "long_rate": maybe(column(0.2, 0.4)),
    },
    "reg_t.short_maintenance": {"price": column(0.0, 100.0), "rules": Sound(choice(reg_t.StockRules()))},
    "regime.detect_regimes": {"max_iterations": whole(1, 20), "tolerance": choice(1e-6, 1e-3)},
    "regime.fit_regimes": {"max_iterations": whole(1, 20), "tolerance": choice(1e-6, 1e-3)},
    "regime_starts.starts_of": {},
    "returns.calendar_returns": {"yearly": choice(True, False)},
    "returns.compounded": {"period_ns": whole(kind.DAY_NS, 3 * kind.DAY_NS)},
    "returns.compoundable": {"least": whole(0, 5)},
    "returns.constant": {},
    "returns.number": {"what": choice("a")},
    "returns.paired": {"least": whole(1, 5)},
    "returns.periods": {"size": lambda case: case.rows},
    "risk_parity.risk_parity": {},
    "running.Joint": {},
    "running.Moments": {},
    "running.RunningDrawdown": {},
    "running.RunningPerformance": {},
    "running.RunningRelative": {},
    "running.Sum": {},
    "sharpe.probability_above": {"n": whole(2, 300)},
    "sharpe.sharpe_deviation": {"n": whole(2, 300)},
    "span.month_spreads": {
        "product": kind.groups,
        "month": integers(1, 4, "columns"),
        "delta": column(-9.0, 9.0),
        "products": lambda case: case.columns,
    },
    "span.requirement": {
        "gains": kind.scenarios,
        "spreads": column(0.0, 9.0),
        "spread_charge": column(0.0, 9.0),
        "shorts": column(0.0, 9.0),
        "short_charge": column(0.0, 9.0),
        "option_value": column(-9.0, 9.0),
        "credit": choice(0.0, 5.0),
    },
    "span.scan_risk": {"gains": kind.scenarios},
    "strategies.naked_requirement": {"broad": together(lambda row: row > 0.0, rows_of(-1.0, 1.0))},
    "strategies.requirement": {"options": kind.options, "underlyings": kind.underlyings},
    "stress.days_of": {},
    "stress.factor_returns": {"sensitivities": kind.loadings, "shocks": choice(np.array([0.1, -0.2]))},
    "stress.return_between": {
        "days": together(lambda rows: 18518 + np.arange(rows), lambda case: case.rows),
    },
    "stress.shocked_profits": {"returns": column(-0.9, 0.9)},
    "styles.decay": {},
    "styles.liquidity": {"dollar_volumes": kind.positive_matrix, "weights": maybe(kind.positive_matrix)},
    "styles.momentum": {**MATRIX, "weights": maybe(kind.positive_matrix)},
    "styles.raw_liquidity": {"dollar_volumes": kind.positive_matrix},
    "styles.raw_momentum": MATRIX,
    "styles.raw_volatility": MATRIX,
    "styles.scored": {"raw": kind.matrix, "weights": maybe(kind.positive_matrix)},
    "styles.size": {"weights": maybe(kind.positive_matrix)},
    "styles.value": {
        "book_price": kind.positive_matrix,
        "winsor": maybe(number(0.0, 0.1)),
        "partial": choice(True, False),
        "weights": maybe(kind.positive_matrix),
    },
    "styles.volatility": {**MATRIX, "weights": maybe(kind.positive_matrix)},
    "toxicity.Latch": {
        "thresholds": choice(toxicity.Thresholds()),
        "active": choice(True, False),
        "buckets": whole(0, 9),
    },
    "toxicity.combined": {"scales": _scales},
    "toxicity.ranks": {
        "percentiles": Sound(rows_of(0.5, 1.0)),
        "ties": Sound(integers(0, 3)),
        "kept": Sound(integers(6, 9)),
    },
    "toxicity.regime": {"one_sided": choice(True, False), "hurried": choice(True, False)},
    "toxicity.regime_score": {"name": choice(*toxicity.REGIMES)},
    "transaction_costs.order_costs": {
        "side": choice(1, -1),
        "quantity": number(100.0, 999.0),
        "fill_prices": kind.prices,
        "fill_quantities": kind.positive,
        "arrival_price": number(90.0, 110.0),
        "decision_price": maybe(number(90.0, 110.0)),
        "market_vwap": maybe(number(90.0, 110.0)),
        "end_price": maybe(number(90.0, 110.0)),
        "fees": number(0.0, 9.0),
    },
    "tridiagonal.Tridiagonal": {},
    "var.quantile_weights": {"count": whole(1, 99)},
    "var.tail_weights": {"count": whole(1, 99)},
    "var_backtest.kupiec": {"count": whole(0, 9), "days": whole(9, 300)},
    "var_backtest.traffic_light": {"count": whole(0, 9), "days": whole(9, 300)},
    "var_parts.normal_parts": {},
    "var_parts.profits_of": MATRIX,
    "var_parts.sample_parts": MATRIX,
    "volatility.check_horizon": {},
    "vpin.paces": {"spans": integers(1, 99)},
    "vpin.vpin_of_trades": {
        "sides": maybe(integers(0, 2)),
        "window": whole(1, 5),
        "bar_ns": choice(0, 0, kind.DAY_NS),
        "bar_lots": choice(0, 0, 20),
    },
    "vpin_bars.vpin_of_bars": {"initial": whole(2, 9)},
    "whole_lots.nearest_lots": {
        "targets": kind.weights,
        "held": integers(0, 9, "columns"),
        "worth": column(0.5, 5.0),
        "prices": column(0.5, 5.0),
        "smallest": integers(1, 2, "columns"),
        "value": number(50.0, 99.0),
    },
}
"""Of single functions, where a name means something else, or nothing elsewhere."""

OF_ALL: dict[str, Callable[..., Any]] = {
    "running.Joint": lambda returns, benchmark: running.Joint.of(returns, benchmark),
    "running.Moments": lambda returns: running.Moments.of(returns),
    "running.RunningDrawdown": lambda returns: running.RunningDrawdown.of(returns),
    "running.RunningPerformance": lambda returns, threshold, periods_per_year: running.RunningPerformance.of(
        returns, threshold, periods_per_year
    ),
    "running.RunningRelative": lambda returns, benchmark, periods_per_year: running.RunningRelative.of(
        returns, benchmark, periods_per_year
    ),
    "running.Sum": lambda returns: running.Sum.of(finite(returns, "returns", 0).tolist()),
    "tridiagonal.Tridiagonal": lambda matrix, vector: tridiagonal.Tridiagonal(matrix, vector),
}
"""Classes that are made in another way than by their constructor's parameters."""


def public() -> Iterator[tuple[str, Any]]:
    """Each public function and class of each module of `nautilus.maths`, with its name there."""
    for found in pkgutil.walk_packages(nautilus.maths.__path__, "nautilus.maths."):
        module = importlib.import_module(found.name)
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            member = getattr(module, name)
            if callable(member) and getattr(member, "__module__", None) == found.name:
                yield f"{found.name.removeprefix('nautilus.maths.')}.{name}", member


def is_record(member: Any) -> bool:
    """A result or a setting: fields alone, which no code looks at when it is made."""
    if not inspect.isclass(member):
        return False
    return hasattr(member, "_fields") or (
        hasattr(member, "__dataclass_fields__") and not hasattr(member, "__post_init__")
    )


def kinds_of(name: str, member: Any) -> dict[str, Kind]:
    """The kind of each parameter. KeyError: of one there is none."""
    own = OTHERS.get(name, {})
    parameters = inspect.signature(OF_ALL.get(name, member)).parameters
    return {each: own[each] if each in own else BY_NAME[each] for each in parameters}
