"""What a model of volatility says of a sample and of the steps after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VolatilityForecast:
    """Conditional variances of a sample and of the steps after it.

    Attributes
    ----------
    model : ``ewma``, ``garch`` or ``gjr-garch-t``.
    parameters : by name; of the returns multiplied by `scale`.
    log_likelihood : of the returns multiplied by `scale`; None where the model has none (EWMA).
    variances : shape (observations,), conditional variance of each return given those before it, scaled.
    forecast_variances : shape (horizon,), of the 1st, 2nd ... step after the sample, scaled.
    scale : what returns were multiplied by (100: per cent), and variances by its square.
    converged : whether the optimiser ended at an optimum.
    iterations : of the optimiser.
    """

    model: str
    parameters: dict[str, float]
    log_likelihood: float | None
    variances: Floats
    forecast_variances: Floats
    scale: float
    converged: bool
    iterations: int

    @property
    def observations(self) -> int:
        """Length of the sample."""
        return len(self.variances)

    @property
    def forecast_volatilities(self) -> Floats:
        """Standard deviation of each step ahead, in units of the returns as given, for one period."""
        return np.asarray(np.sqrt(self.forecast_variances) / self.scale)

    @property
    def horizon_volatility(self) -> float:
        """Standard deviation of the sum of the returns of all steps ahead, in units of the returns as given."""
        return float(np.sqrt(self.forecast_variances.sum()) / self.scale)

    @property
    def persistence(self) -> float:
        """Share of a shock to the variance that is left a step later; 1 or more: it never fades."""
        values = self.parameters
        if self.model == "ewma":
            return 1.0
        return values["alpha"] + values.get("gamma", 0.0) / 2.0 + values["beta"]

    @property
    def long_run_variance(self) -> float | None:
        """What the variance returns to, scaled; None where it has no such value (persistence of 1 or more)."""
        if self.persistence >= 1.0:
            return None
        return self.parameters["omega"] / (1.0 - self.persistence)
