"""Forecasts of volatility: EWMA, GARCH(1,1) and GJR-GARCH with Student's t; HAR is in `har`.

Sources: EWMA: RiskMetrics Technical Document (1996), begun as the package `arch` does; GARCH: Bollerslev (1986); GJR:
Glosten, Jagannathan and Runkle (1993). The two GARCH models are fitted by the package `arch`, which is imported only
where one of them is asked for.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.bounds import SMALLEST, bounded, within
from nautilus.maths.errors import Undefined, finite
from nautilus.maths.volatility_forecast import Floats, VolatilityForecast

HORIZON = 5
SCALE = 100.0
LEAST_SCALE, MOST_SCALE = 1e-6, 1e9
DECAY = 0.94
BACKCAST_POINTS = 75
GARCH_POINTS = 100
PARAMETERS = {
    "mu": "mu",
    "omega": "omega",
    "alpha[1]": "alpha",
    "gamma[1]": "gamma",
    "beta[1]": "beta",
    "nu": "nu",
}


def ewma(
    returns: ArrayLike, decay: float = DECAY, *, horizon: int = HORIZON, scale: float = SCALE
) -> VolatilityForecast:
    """Exponentially weighted variance around a mean of nought: s[t] = decay s[t-1] + (1 - decay) r[t-1]^2.

    s[0] is the weighted mean of the first 75 squares, with weights decay^i, as in `arch`. All steps ahead have the
    variance of the first.

    Parameters
    ----------
    returns : shape (observations,), at least one.
    decay : between 0 and 1, both excluded; 0.94 is RiskMetrics' for days.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``constant`` (all noughts), ``out_of_range`` (decay, horizon, scale).
    """
    if not 0.0 < decay < 1.0:
        raise Undefined("out_of_range", f"decay {decay}", "between 0 and 1")
    check_horizon(horizon)
    within(scale, "scale", LEAST_SCALE, MOST_SCALE)
    squares = (bounded(finite(returns, "returns", 1), "returns") * scale) ** 2
    if squares.max() <= SMALLEST**2:
        raise Undefined("constant", "returns that all are nought", "a return that is not")
    first = squares[:BACKCAST_POINTS]
    weights = decay ** np.arange(len(first))
    variance = float(weights @ first / weights.sum())
    variances = np.empty(len(squares))
    for step, square in enumerate(squares.tolist()):
        variances[step] = variance
        variance = decay * variance + (1.0 - decay) * square
    return VolatilityForecast(
        "ewma", {"decay": decay}, None, variances, np.full(horizon, variance), scale, converged=True, iterations=0
    )


def garch(returns: ArrayLike, *, horizon: int = HORIZON, scale: float = SCALE) -> VolatilityForecast:
    """GARCH(1,1) with a constant mean and normal innovations, by maximum likelihood (`arch`).

    s[t] = omega + alpha e[t-1]^2 + beta s[t-1], with e = r - mu. Parameters and likelihood are of `scale` times the
    returns: the optimiser needs numbers of about one.

    Parameters
    ----------
    returns : shape (observations,), at least 100.
    horizon : steps ahead.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``not_finite``, ``constant``, ``out_of_range``; ``not_converged`` where the optimiser
        ends without an optimum.
    ModuleNotFoundError
        Without the package `arch` (the extra `quant`).
    """
    return _arch("garch", returns, horizon, scale, 0, "normal")


def gjr_garch(returns: ArrayLike, *, horizon: int = HORIZON, scale: float = SCALE) -> VolatilityForecast:
    """GJR-GARCH(1,1,1) with a constant mean and Student's t, by maximum likelihood (`arch`).

    s[t] = omega + (alpha + gamma [e[t-1] < 0]) e[t-1]^2 + beta s[t-1]; `nu` are the degrees of freedom. Parameters,
    errors: see `garch`.
    """
    return _arch("gjr-garch-t", returns, horizon, scale, 1, "t")


def _arch(
    model: str, returns: ArrayLike, horizon: int, scale: float, asymmetry: int, errors: Literal["normal", "t"]
) -> VolatilityForecast:
    import warnings

    from arch import arch_model

    check_horizon(horizon)
    within(scale, "scale", LEAST_SCALE, MOST_SCALE)
    values = bounded(finite(returns, "returns", GARCH_POINTS), "returns") * scale
    if np.ptp(values) <= 1e-12 * max(float(np.abs(values).max()), SMALLEST):
        raise Undefined("constant", "returns that all are the same", "at least two values")
    unit = _unit(values)
    description = arch_model(
        values / unit, mean="Constant", vol="GARCH", p=1, o=asymmetry, q=1, dist=errors, rescale=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they would say of convergence, the flag says
        fit = description.fit(disp="off", show_warning=False)
        if fit.convergence_flag != 0:
            fit = description.fit(
                disp="off", show_warning=False, starting_values=fit.params, options={"maxiter": 1000, "ftol": 1e-8}
            )
        ahead = fit.forecast(horizon=horizon, reindex=False).variance.to_numpy()[-1]
    parameters = {PARAMETERS[name]: float(value) for name, value in fit.params.items()}
    numbers = [*parameters.values(), fit.loglikelihood, *ahead]
    if fit.convergence_flag != 0 or not np.isfinite(numbers).all():
        raise Undefined("not_converged", f"{model} of {len(values)} returns", "a likelihood with an optimum")
    return VolatilityForecast(
        model,
        {**parameters, "mu": parameters["mu"] * unit, "omega": parameters["omega"] * unit**2},
        float(fit.loglikelihood) - len(values) * float(np.log(unit)),
        (np.asarray(fit.conditional_volatility, np.float64) * unit) ** 2,
        np.asarray(ahead, np.float64) * unit**2,
        scale,
        converged=True,
        iterations=int(fit.optimization_result.nit),
    )


def _unit(values: Floats) -> float:
    """1 where the optimiser can work with the values as they are, else the power of ten that makes them about one."""
    spread = float(values.std())
    return 1.0 if 0.1 <= spread <= 30.0 else float(10.0 ** np.round(np.log10(spread)))


def check_horizon(horizon: int) -> None:
    """Refuse a number of steps ahead that is none (``out_of_range``)."""
    if not 1 <= horizon <= 1000:
        raise Undefined("out_of_range", f"horizon {horizon}", "1 to 1000 steps")
