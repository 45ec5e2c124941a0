"""Weights whose parts of the variance are as wanted: risk parity and risk budgets.

Spinu, "An algorithm for computing risk parity weights", SSRN 2297383 (2013): the minimum of the convex function
``0.5 x'Sx - sum(b_i log x_i)`` has ``x_i (Sx)_i = b_i``; scaled to sum to 1 it is the portfolio with those budgets.
Damped Newton steps until the quadratic phase, full ones from there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nautilus.maths.bounds import SMALLEST, shaped
from nautilus.maths.covariance import check_symmetric
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.quadratic import Array

_DAMPED = 0.95 * (3.0 - 5.0**0.5) / 2.0
_MOST = 200


class RiskParity(NamedTuple):
    """Risk parity.

    Parameters
    ----------
    weights
        Positive, of sum 1.
    contributions
        Each asset's part of the variance; they are the budgets.
    iterations
        Newton steps.
    """

    weights: Array
    contributions: Array
    iterations: int


def risk_parity(covariance: Array, budgets: Array | None = None) -> RiskParity:
    """The long-only portfolio whose parts of the variance are the budgets (None: all the same).

    Parameters
    ----------
    covariance
        n x n, positive definite.
    budgets
        n, each above 0; only their proportions count.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``not_finite``; ``constant``: an asset has no variance; ``out_of_range``: a budget is
        not above 0; ``singular``: the covariance has no inverse; ``not_converged``.
    """
    covariance = check_symmetric(covariance)
    check_finite(covariance, "covariance")
    n = len(covariance)
    if budgets is not None:
        budgets = shaped(budgets, "risk budgets", (n,))
        if not np.all(budgets > 0):
            raise Undefined("out_of_range", "a risk budget", f"{n} budgets above 0")
    wanted = np.full(n, 1.0 / n) if budgets is None else budgets / np.sum(budgets)
    if not np.all(wanted > 0):
        raise Undefined("out_of_range", "a risk budget", f"{n} budgets above 0")
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if not np.all(deviation > SMALLEST):
        raise Undefined("constant", "an asset without variance", "returns that move")
    # In terms of the correlation all assets are alike, and the iteration takes a few steps at any scale.
    correlation = covariance / np.outer(deviation, deviation)
    if np.linalg.eigvalsh(correlation)[0] <= n * np.finfo(float).eps * 8:
        raise Undefined("singular", "the covariance", "one that is positive definite")
    x = np.full(n, float(np.sqrt(1.0 / correlation.sum()))) if correlation.sum() > 0 else np.ones(n)
    steps, decrement, size = 0, np.inf, np.inf
    while steps < _MOST and not (decrement < 1e-14 and size < 1e-12):
        steps += 1
        gradient = correlation @ x - wanted / x
        hessian = correlation + np.diag(wanted / x**2)
        step = np.linalg.solve(hessian, gradient)
        # Of the scaled barrier that has self-concordance 1.
        size = float(np.max(np.abs(step / x)))
        decrement = float(np.sqrt(max(0.0, gradient @ step)))
        x = x - step / (1.0 + size) if size > _DAMPED else x - step
    if not decrement <= 1e-9:
        raise Undefined("not_converged", "risk parity", "a covariance that is better conditioned")
    weights = x / deviation
    weights /= weights.sum()
    parts = weights * (covariance @ weights)
    return RiskParity(weights, parts / parts.sum(), steps)
