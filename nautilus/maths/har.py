"""Heterogeneous autoregression of a realised measure (Corsi 2009), with the errors of Newey and West (1987)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.bounds import SMALLEST, bounded
from nautilus.maths.errors import Undefined, finite
from nautilus.maths.volatility import HORIZON, check_horizon
from nautilus.maths.volatility_forecast import Floats

HAR_SPANS = (1, 5, 22)


@dataclass(frozen=True, slots=True)
class HarForecast:
    """A heterogeneous autoregression of a realised measure.

    Attributes
    ----------
    constant : c.
    coefficients : shape (spans,), of the means over each span (day, week, month).
    standard_errors : shape (1 + spans,), of the constant and the coefficients (Newey-West).
    spans : lengths of the means in steps.
    r_squared : share of the variance of the sample that is explained.
    fitted : shape (observations,), what was expected of each observation that has a month before it.
    residuals : shape (observations,).
    forecasts : shape (horizon,), iterated: each step ahead takes the ones before it as if observed.
    """

    constant: float
    coefficients: Floats
    standard_errors: Floats
    spans: tuple[int, ...]
    r_squared: float
    fitted: Floats
    residuals: Floats
    forecasts: Floats

    @property
    def observations(self) -> int:
        """Observations that the regression used: those that have a whole longest span before them."""
        return len(self.residuals)


def har(
    measures: ArrayLike, *, spans: tuple[int, ...] = HAR_SPANS, horizon: int = HORIZON, lags: int = 5
) -> HarForecast:
    """Heterogeneous autoregression: y[t] on the means of the last day, week and month of y, by least squares.

    Parameters
    ----------
    measures : shape (days,), a realised measure of each day (variance, volatility, bipower variation); at least the
        longest span and three times the number of coefficients more.
    spans : lengths of the means.
    horizon : steps ahead.
    lags : of the Newey-West covariance (Bartlett weights); 0: White's.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``not_finite``, ``constant``, ``singular`` (means that depend on each other),
        ``out_of_range`` (a negative measure or forecast, a span, a horizon).
    """
    check_horizon(horizon)
    if not spans or min(spans) < 1 or len(set(spans)) != len(spans) or lags < 0:
        raise Undefined(
            "out_of_range", f"spans {spans}, {lags} lags", "different spans of 1 or more, lags of 0 or more"
        )
    longest, count = max(spans), len(spans) + 1
    values = bounded(finite(measures, "realised measures", longest + 3 * count), "realised measures")
    if values.min() < 0.0:
        raise Undefined("out_of_range", "a realised measure below nought", "measures of 0 or more")
    if np.ptp(values) <= 1e-12 * max(float(values.max()), SMALLEST):
        raise Undefined("constant", "realised measures that all are the same", "at least two values")
    sums = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(longest, len(values))
    target = values[longest:]
    design = np.column_stack([np.ones(len(ends)), *((sums[ends] - sums[ends - span]) / span for span in spans)])
    sizes = np.linalg.norm(design, axis=0)
    solution, _, rank, _ = np.linalg.lstsq(design / np.where(sizes > 0, sizes, 1.0), target, rcond=None)
    if rank < count:
        raise Undefined("singular", "means of the realised measures that depend on each other", "measures that vary")
    solution = solution / sizes
    fitted = design @ solution
    residuals = target - fitted
    spread = float(((target - target.mean()) ** 2).sum())
    if spread <= 0.0:
        raise Undefined("constant", "realised measures that all are the same", "at least two values")
    history = values.tolist()
    for _ in range(horizon):
        means = [sum(history[-span:]) / span for span in spans]
        ahead = float(solution[0] + solution[1:] @ np.array(means))
        if ahead < 0.0:
            raise Undefined("out_of_range", "a forecast of the realised measure below nought", "measures of 0 or more")
        history.append(ahead)
    return HarForecast(
        constant=float(solution[0]),
        coefficients=solution[1:],
        standard_errors=_newey_west(design, residuals, lags),
        spans=tuple(spans),
        r_squared=1.0 - float(residuals @ residuals) / spread,
        fitted=fitted,
        residuals=residuals,
        forecasts=np.array(history[len(values) :]),
    )


def _newey_west(design: Floats, residuals: Floats, lags: int) -> Floats:
    """Standard errors of least squares under errors that are heteroskedastic and correlated."""
    scores = design * residuals[:, None]
    middle = scores.T @ scores
    for lag in range(1, min(lags, len(residuals) - 1) + 1):
        cross = scores[lag:].T @ scores[:-lag]
        middle += (1.0 - lag / (lags + 1.0)) * (cross + cross.T)
    bread = np.linalg.pinv(design.T @ design)
    return np.asarray(np.sqrt(np.maximum(np.diag(bread @ middle @ bread), 0.0)))
