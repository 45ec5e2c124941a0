"""The factor model: 1,000 stocks, 2,500 days, 18 factors, beside toraniko; a day that follows; answers of the engine.

Both get arrays or tables of the same numbers in memory and give factor and residual returns of every day. Toraniko's
days are long, so all of them are run once, and a tenth of them as often as ours.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nautilus.engines.base import Work
from nautilus.maths import factors, styles
from nautilus.model.factor import (
    EstimateFactors,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorRisk,
    PutFactorPortfolio,
    PutSectors,
    UpdateFactors,
)
from perf.harness import REPEATS, OtherLoad, Report, check
from tests.kit.factor_host import FIELDS, FIRST_DAY, FactorHost
from tests.kit.stock_universe import StockUniverse, stock_universe

SUMMARY = "factor model of 1,000 stocks x 2,500 days x 18 factors beside toraniko, a day that follows, answers"
STOCKS, DAYS, SECTORS = 1_000, 2_500, 12
FEW_DAYS = 250
MOMENTUM_DAYS = 700
QUESTIONS = 300


def run(report: Report) -> None:
    """Estimates, styles, the engine."""
    made = stock_universe(DAYS, STOCKS, SECTORS, seed=1)
    draw = np.random.default_rng(2)
    scores = {f"style{place}": draw.standard_normal((DAYS, STOCKS)) for place in range(5)}
    _estimates(report, made, scores)
    _momentum(report, made)
    _engine(report, made)
    report.notes.append("toraniko with polars on all cores; ours with the threads of numpy's BLAS")


def _estimates(report: Report, made: StockUniverse, scores: dict[str, np.ndarray]) -> None:
    few = {name: score[:FEW_DAYS] for name, score in scores.items()}
    ours = report.measure(
        "1,000 stocks x 2,500 days x 18 factors", "s", partial(_ours, made, scores), lower_is_better=True
    )
    report.measure(
        "the same, sectors balanced by capitalisation", "s", partial(_ours, made, scores, "cap"), lower_is_better=True
    )
    report.measure("1,000 stocks x 250 days x 18 factors", "s", partial(_ours, _cut(made), few), lower_is_better=True)
    tracemalloc.start()
    found = _estimate(made, scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    report.add("memory beside the inputs at its peak, 2,500 days", "MiB", [peak / 2**20], 0.0, lower_is_better=True)
    check(found.deficient == 0 and len(found.days) == DAYS, "days are missing")
    tables = _tables(made, scores)
    if tables is None:
        report.notes.append("toraniko or polars is not installed: nothing beside")
        return
    short = _tables(_cut(made), few)
    theirs = report.measure(
        "toraniko, 1,000 stocks x 250 days x 18 factors", "s", partial(_toranikos, short), lower_is_better=True
    )
    with OtherLoad() as load:
        begun = time.perf_counter()
        returns, residuals = _model()(*tables)
        whole = time.perf_counter() - begun
    report.add("toraniko, 1,000 stocks x 2,500 days x 18 factors", "s", [whole], load.cores, lower_is_better=True)
    report.add("times as quick as toraniko, 2,500 days", "x", [whole / ours.median], load.cores, goal=5.0)
    small = next(figure for figure in report.figures if "250 days" in figure.name)
    report.add("times as quick as toraniko, 250 days", "x", [theirs.median / small.median], load.cores, goal=5.0)
    returns, residuals = returns.sort("date"), residuals.sort("date")
    apart = np.abs(returns.select(found.names).to_numpy() - found.returns).max()
    left = np.abs(residuals.select(made.symbols).to_numpy() - found.residuals).max()
    check(max(apart, left) < 1e-9, f"returns are {max(apart, left):.1e} apart from toraniko's")
    report.checks.append(f"factor and residual returns within {max(apart, left):.0e} of toraniko's on every day")


def _momentum(report: Report, made: StockUniverse) -> None:
    returns = made.returns[:MOMENTUM_DAYS]
    report.measure(
        "momentum, 1,000 stocks x 2,500 days", "s", partial(_timed, styles.momentum, made.returns), lower_is_better=True
    )
    ours = report.measure(
        "momentum, 1,000 stocks x 700 days", "s", partial(_timed, styles.momentum, returns), lower_is_better=True
    )
    for name, call in (
        ("volatility", lambda: styles.volatility(made.returns)),
        ("size", lambda: styles.size(made.market_caps)),
        ("liquidity", lambda: styles.liquidity(made.dollar_volumes, made.market_caps)),
        ("value", lambda: styles.value(made.book_price, made.sales_price, made.cash_flow_price)),
    ):
        report.measure(f"{name}, 1,000 stocks x 2,500 days", "s", partial(_timed, call), lower_is_better=True)
    try:
        from toraniko.styles import factor_mom

        from tests.kit.toraniko_frames import matrix, table
    except ImportError:
        return
    frame = table(made.present[:MOMENTUM_DAYS], made.symbols, asset_returns=returns)
    with OtherLoad() as load:
        begun = time.perf_counter()
        theirs = factor_mom(frame).collect()
        took = time.perf_counter() - begun
    report.add("toraniko, momentum, 1,000 stocks x 700 days", "s", [took], load.cores, lower_is_better=True)
    report.add("times as quick as toraniko, momentum", "x", [took / ours.median], load.cores, goal=5.0)
    found = styles.momentum(returns)
    expected = matrix(theirs, "mom_score", found.shape, made.symbols)
    check(np.allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True), "momentum is not toraniko's")


def _engine(report: Report, made: StockUniverse) -> None:
    host = _filled(made, DAYS - REPEATS)
    with OtherLoad() as load:
        begun = time.perf_counter()
        found = host.ask(EstimateFactors())
        took = time.perf_counter() - begun
    report.add("POST /factor/estimate without its wire, 5 styles, 2,493 days", "s", [took], load.cores)
    check(found.deficient == 0, "days that do not tell factors apart")
    rows = iter(range(DAYS - REPEATS, DAYS))
    report.measure(
        "a day that follows, from its upload to its returns",
        "ms",
        partial(_day, host, made, rows),
        lower_is_better=True,
    )
    check(host.ask(GetFactorExposures("S0001")).undefined == {}, "a stock without exposures")
    weights = dict.fromkeys(made.symbols[:500], 1.0 / 500)
    host.ask(PutFactorPortfolio(1, weights))
    for name, question in (
        ("exposures of a stock", GetFactorExposures("S0001")),
        ("covariance of 18 factors, Ledoit-Wolf, 504 days", GetFactorCovariance()),
        ("risk of a portfolio of 500", GetFactorRisk(1)),
    ):
        times = np.array([_asked(host, question) for _ in range(QUESTIONS)])
        report.latency(name, times)
        report.add(f"{name}, p99", "us", [float(np.percentile(times, 99)) / 1e3], 0.0, lower_is_better=True)


def _filled(made: StockUniverse, days: int) -> FactorHost:
    from nautilus.engines.factor import FactorConfig, FactorEngine

    host = FactorHost()
    host.engine = FactorEngine(FactorConfig(), [])
    names = dict(zip(made.symbols, (made.sector_names[code] for code in made.sector_codes), strict=True))
    host.ask(PutSectors(names))
    every = np.arange(FIRST_DAY, FIRST_DAY + days)
    for field, name in FIELDS.items():
        host.engine._universe.put_matrix(field, made.symbols, every, getattr(made, name)[:days])
    return host


def _day(host: FactorHost, made: StockUniverse, rows: Any) -> float:
    row = next(rows)
    begun = time.perf_counter()
    host.put(made, slice(row, row + 1))
    host.ask(UpdateFactors())
    return (time.perf_counter() - begun) * 1e3


def _asked(host: FactorHost, question: Any) -> int:
    begun = time.perf_counter_ns()
    reply = host.engine.on_request(question, host.ctx)
    took = time.perf_counter_ns() - begun
    check(not isinstance(reply, Work), "an answer that is work")
    return took


def _estimate(made: StockUniverse, scores: dict[str, np.ndarray], constraint: str = "sum") -> factors.FactorReturns:
    sectors = factors.Sectors(made.sector_names, made.sector_codes)
    return factors.estimate(made.returns, made.market_caps, sectors, scores, constraint=constraint)


def _ours(made: StockUniverse, scores: dict[str, np.ndarray], constraint: str = "sum") -> float:
    return _timed(_estimate, made, scores, constraint)


def _timed(call: Callable[..., object], *arguments: object) -> float:
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun


def _cut(made: StockUniverse) -> StockUniverse:
    return made._replace(returns=made.returns[:FEW_DAYS], market_caps=made.market_caps[:FEW_DAYS])


def _toranikos(tables: Any) -> float:
    return _timed(_model(), *tables)


def _model() -> Any:
    from toraniko.model import estimate_factor_returns

    return estimate_factor_returns


def _tables(made: StockUniverse, scores: dict[str, np.ndarray]) -> Any:
    """The four tables that toraniko takes; None where it is not installed."""
    try:
        import polars as pl

        _model()
    except ImportError:
        return None
    days = len(made.returns)
    dates = np.repeat(np.datetime64("2010-01-04") + np.arange(days), STOCKS)
    base = {"date": dates, "symbol": list(made.symbols) * days}
    dummies = {
        name: np.tile((made.sector_codes == place).astype(np.float64), days)
        for place, name in enumerate(made.sector_names)
    }
    return (
        pl.DataFrame({**base, "asset_returns": made.returns.ravel()}),
        pl.DataFrame({**base, "market_cap": made.market_caps.ravel()}),
        pl.DataFrame({**base, **dummies}),
        pl.DataFrame({**base, **{name: score.ravel() for name, score in scores.items()}}),
    )
