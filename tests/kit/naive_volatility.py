"""Plain second implementations of the volatility models: likelihoods, paths and forecasts, one step after the other."""

from __future__ import annotations

import math

import numpy as np


def backcast(errors: np.ndarray) -> float:
    """What stands for the squared error before the first: weighted mean of the first 75, weights 0.94^i."""
    count = min(75, len(errors))
    weights = [0.94**place for place in range(count)]
    return sum(w * e * e for w, e in zip(weights, errors.tolist(), strict=False)) / sum(weights)


def variances(errors: np.ndarray, before: float, omega: float, alpha: float, gamma: float, beta: float) -> list[float]:
    """Conditional variance of each error, and of the one after the last.

    `before` stands for the squared error before the first, half of which counts as that of a negative one.
    """
    found = [omega + (alpha + gamma / 2 + beta) * before]
    for error in errors.tolist():
        found.append(omega + (alpha + gamma * (error < 0)) * error * error + beta * found[-1])
    return found


def normal_log_likelihood(errors: np.ndarray, spread: list[float]) -> float:
    """Of errors under normal densities."""
    return sum(
        -0.5 * (math.log(2 * math.pi) + math.log(v) + e * e / v) for e, v in zip(errors.tolist(), spread, strict=False)
    )


def student_log_likelihood(errors: np.ndarray, spread: list[float], nu: float) -> float:
    """Of errors under Student's t, scaled to unit variance."""
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(math.pi * (nu - 2))
    return sum(
        constant - 0.5 * math.log(v) - (nu + 1) / 2 * math.log1p(e * e / (v * (nu - 2)))
        for e, v in zip(errors.tolist(), spread, strict=False)
    )


def forecasts(after: float, omega: float, alpha: float, gamma: float, beta: float, horizon: int) -> list[float]:
    """Variances ahead, where that of the first step is known."""
    found = [after]
    while len(found) < horizon:
        found.append(omega + (alpha + gamma / 2 + beta) * found[-1])
    return found


def har_coefficients(values: np.ndarray, spans: tuple[int, ...]) -> np.ndarray:
    """Constant and slopes by the normal equations."""
    longest = max(spans)
    rows = [[1.0, *(float(np.mean(values[t - span : t])) for span in spans)] for t in range(longest, len(values))]
    design = np.array(rows)
    return np.linalg.solve(design.T @ design, design.T @ values[longest:])
