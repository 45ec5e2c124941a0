"""Models that take long, as jobs: volatility forecasts and regimes of a series of returns.

They are fitted where jobs run, and only there: `arch` and the compiled kernels are loaded by these functions when they
are called, so the engine's own process has neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.returns import Floats, compoundable, periods
from nautilus.model.analytics import ForecastReturns, RegimeForecast, VolatilityForecast
from nautilus.model.basis import Basis

READY, FITTING, UNDEFINED = "ready", "fitting", "undefined"
PACKAGE: Final = "config.package"
"""Reason where the package `arch` is not installed."""
MODELS: Final = ("ewma", "garch", "gjr-garch-t", "har")
REGIMES: Final = {2: ("calm", "turbulent"), 3: ("calm", "normal", "turbulent")}


class Fits(NamedTuple):
    """What is known of the models of a portfolio."""

    volatility: tuple[VolatilityForecast, ...]
    regime: RegimeForecast


INTERNAL: Final = "internal"
"""Reason where a job failed; the log of the engine has it."""
FAILED: Final = Fits(
    tuple(VolatilityForecast(model, UNDEFINED, reason=INTERNAL) for model in MODELS),
    RegimeForecast(UNDEFINED, reason=INTERNAL),
)
UNFITTED: Final = Fits(tuple(VolatilityForecast(model, FITTING) for model in MODELS), RegimeForecast(FITTING))


def warm() -> float:
    """Compile the kernels of the regimes.

    `arch` is loaded by the first fit: with what it needs it takes more memory than all else that runs there, and who
    never asks for forecasts is to have none of it.
    """
    from nautilus.maths import regime

    return regime.warm()


def fit(
    returns: Floats, variances: Floats, horizon: int, states: int, per_year: float, basis: Basis
) -> tuple[VolatilityForecast | RegimeForecast, ...]:
    """Fit every model; the regimes come last.

    Parameters
    ----------
    returns
        Shape (n,), one a period.
    variances
        Realised variances of the periods that were followed, for the HAR model.
    basis
        Of the returns; each model puts its method into it.
    """
    volatilities = tuple(_forecast(model, returns, variances, horizon, per_year, basis) for model in MODELS)
    return (*volatilities, _regimes(returns, states, per_year, basis))


def fit_request(asked: ForecastReturns) -> tuple[VolatilityForecast | RegimeForecast, ...]:
    """Fit every model to returns that come with a request.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``out_of_range``, ``unsorted``, ``duplicate_time``, ``mismatch``: of the series.
    """
    returns = compoundable(asked.returns)
    times = periods(asked.times_ns, returns.size) if asked.times_ns else None
    begin_ns, end_ns = (0, 0) if times is None else (int(times[0]), int(times[-1]))
    basis = Basis("", returns.size, begin_ns, end_ns, asked.source or "request", synthetic=asked.synthetic)
    variances = np.array(asked.realised_variances, np.float64)
    return fit(returns, variances, asked.horizon, asked.regimes, asked.periods_per_year, basis)


def gathered(found: tuple[VolatilityForecast | RegimeForecast, ...]) -> Fits:
    """What `fit` gave, by kind."""
    forecasts = tuple(each for each in found if isinstance(each, VolatilityForecast))
    regime = next(each for each in found if isinstance(each, RegimeForecast))
    return Fits(forecasts, regime)


def _forecast(
    model: str, returns: Floats, variances: Floats, horizon: int, per_year: float, basis: Basis
) -> VolatilityForecast:
    try:
        found = _METHODS[model](returns if model != "har" else variances, horizon, per_year, basis)
        check_finite(np.array([*found.volatility, *found.parameters.values()]), model)
        return found
    except Undefined as error:
        return VolatilityForecast(model, UNDEFINED, reason=error.code)
    except ModuleNotFoundError:
        return VolatilityForecast(model, UNDEFINED, reason=PACKAGE)


def _conditional(model: str, method: str) -> Callable[[Floats, int, float, Basis], VolatilityForecast]:
    def fitted(returns: Floats, horizon: int, per_year: float, basis: Basis) -> VolatilityForecast:
        from nautilus.maths import volatility

        makers = {"ewma": volatility.ewma, "garch": volatility.garch, "gjr-garch-t": volatility.gjr_garch}
        found = makers[model](returns, horizon=horizon)
        return VolatilityForecast(
            model,
            READY,
            tuple((found.forecast_volatilities * math.sqrt(per_year)).tolist()),
            {name: float(value) for name, value in found.parameters.items()},
            found.log_likelihood,
            basis=_with_method(basis, method, returns.size),
        )

    return fitted


def _realised(variances: Floats, horizon: int, per_year: float, basis: Basis) -> VolatilityForecast:
    from nautilus.maths.har import har

    found = har(variances, horizon=horizon)
    names = ("constant", *(f"mean_{span}" for span in found.spans))
    values = (found.constant, *found.coefficients.tolist())
    return VolatilityForecast(
        "har",
        READY,
        tuple(np.sqrt(found.forecasts * per_year).tolist()),
        dict(zip(names, map(float, values), strict=True)),
        basis=_with_method(basis, "HAR of realised variances (Corsi 2009), least squares", variances.size),
    )


_METHODS: dict[str, Callable[[Floats, int, float, Basis], VolatilityForecast]] = {
    "ewma": _conditional("ewma", "EWMA of squared returns, decay 0.94 (RiskMetrics)"),
    "garch": _conditional("garch", "GARCH(1,1), constant mean, normal, maximum likelihood of 100 x returns (arch)"),
    "gjr-garch-t": _conditional(
        "gjr-garch-t", "GJR-GARCH(1,1,1), Student's t, maximum likelihood of 100 x returns (arch)"
    ),
    "har": _realised,
}


def _regimes(returns: Floats, states: int, per_year: float, basis: Basis) -> RegimeForecast:
    from nautilus.maths.regime import detect_regimes

    try:
        found = detect_regimes(returns, states)
    except Undefined as error:
        return RegimeForecast(UNDEFINED, reason=error.code)
    model = found.model
    order = np.argsort(model.variances, kind="stable")
    now = found.filtered[-1][order]
    return RegimeForecast(
        READY,
        REGIMES[states][int(now.argmax())],
        tuple(now.tolist()),
        tuple(found.next_probabilities[order].tolist()),
        tuple(model.means[order].tolist()),
        tuple(np.sqrt(model.variances[order] * per_year).tolist()),
        tuple(tuple(row) for row in model.transition[np.ix_(order, order)].tolist()),
        float(model.log_likelihood),
        basis=_with_method(basis, f"Gaussian hidden Markov model of {states} states, EM, filtered", returns.size),
        converged=model.converged,
    )


def _with_method(basis: Basis, method: str, window: int) -> Basis:
    return Basis(
        method, window, basis.begin_ns, basis.end_ns, basis.source, basis.missing, basis.synthetic, basis.version
    )


__all__ = [
    "FAILED",
    "FITTING",
    "READY",
    "REGIMES",
    "UNDEFINED",
    "UNFITTED",
    "Fits",
    "fit",
    "fit_request",
    "gathered",
    "warm",
]
