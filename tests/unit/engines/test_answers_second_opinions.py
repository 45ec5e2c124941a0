"""Answers of the engines, through their request handlers, beside independent packages on recorded series."""

from __future__ import annotations

from typing import Any

import empyrical
import numpy as np
import pytest

from nautilus.engines.base import Work
from nautilus.engines.collateral import CollateralConfig, CollateralEngine
from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.model.analytics import AnalysePerformance
from nautilus.model.collateral import PriceOptions
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.risk import EstimateRisk, RiskPosition
from nautilus.runtime.worker import pack, unpack
from tests.kit.analytics import engine as analytics_engine
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.reference_returns import daily_returns

# Where the package is still of NumPy 1.
np.NINF = -np.inf  # type: ignore[attr-defined]
DAY_NS = 86_400_000_000_000


def answered(engine: Any, message: Any) -> Any:
    found = engine.on_request(message, RecordingContext())
    if not isinstance(found, Work):
        return found
    reply = unpack(pack(found.job(*unpack(pack(found.arguments)))))  # as through the worker
    return found.finish(reply) if found.finish else reply


@pytest.mark.filterwarnings("ignore")
def test_weekly_returns_above_a_rate_are_analysed_as_empyrical_does() -> None:
    ours, theirs = (
        np.prod(1.0 + daily_returns(name, "2003-01-02", "2009-12-31")[:1_700].reshape(-1, 5), axis=1) - 1.0
        for name in ("BBY", "WMT")
    )
    asked = AnalysePerformance(
        tuple(ours.tolist()),
        benchmark=tuple(theirs.tolist()),
        depth="institutional",
        risk_free=0.0005,
        threshold=0.001,
        periods_per_year=52.0,
    )
    found = answered(analytics_engine(), asked)
    wanted = {
        "sharpe_ratio": empyrical.sharpe_ratio(ours, 0.0005, annualization=52),
        "annual_return": empyrical.annual_return(ours, annualization=52),
        "annual_volatility": empyrical.annual_volatility(ours, annualization=52),
        "sortino_ratio": empyrical.sortino_ratio(ours, 0.001, annualization=52),
        "calmar_ratio": empyrical.calmar_ratio(ours, annualization=52),
        "omega_ratio": empyrical.omega_ratio(ours, 0.001),
        "tail_ratio": empyrical.tail_ratio(ours),
        "stability": empyrical.stability_of_timeseries(ours),
    }
    told = {name: getattr(found.summary, name, None) for name in wanted}
    told = {name: getattr(found.distribution, name) if value is None else value for name, value in told.items()}
    assert told == pytest.approx(wanted, rel=1e-10)
    assert found.relative.beta == pytest.approx(empyrical.beta(ours, theirs), rel=1e-10)
    alpha = empyrical.alpha(ours, theirs, 0.0005, annualization=52)
    assert found.relative.alpha == pytest.approx(alpha, rel=1e-10)


@pytest.mark.parametrize("level", [0.9, 0.975])
def test_a_recorded_portfolio_is_at_the_risk_that_empyrical_finds(level: float) -> None:
    engine = RiskEngine(RiskConfig(), [btcusdt()])
    names, worth = ("GE", "RRC", "T"), np.array([3_000.0, -1_200.0, 500.0])
    columns = [daily_returns(name, "2006-03-01", "2009-06-30") for name in names]
    for name, column in zip(names, columns, strict=True):
        times = tuple((20_000 + day) * DAY_NS for day in range(len(column)))
        engine.on_request(PutHistory(name, times, tuple(column.tolist()), SeriesKind.RETURN), RecordingContext())
    positions = tuple(RiskPosition(name, float(each)) for name, each in zip(names, worth, strict=True))
    found = answered(engine, EstimateRisk(1, level=level, positions=positions))
    profits = np.column_stack(columns) @ worth
    tail = round(1.0 - level, 12)
    assert found.var == pytest.approx(-empyrical.value_at_risk(profits, tail), rel=1e-10)
    assert found.cvar == pytest.approx(-empyrical.conditional_value_at_risk(profits, tail), rel=1e-10)


def test_priced_options_are_those_of_vollib() -> None:
    bsm = pytest.importorskip("vollib.black_scholes_merton").black_scholes_merton
    strikes, years, sigmas = (55.0, 97.5, 180.0), (2 / 365, 0.4, 3.0), (0.9, 0.12, 0.45)
    asked = PriceOptions(("put", "call", "put"), (100.0,) * 3, strikes, years, sigmas, 0.045, 0.02)
    found = answered(CollateralEngine(CollateralConfig(), [btcusdt()]), asked)
    wanted = [
        bsm(right, 100.0, strike, tau, 0.045, sigma, 0.02)
        for right, strike, tau, sigma in zip("pcp", strikes, years, sigmas, strict=True)
    ]
    assert found.price == pytest.approx(wanted, rel=1e-10, abs=1e-12)
