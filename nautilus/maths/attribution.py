"""Attribution of a portfolio's return beside its benchmark's to segments and decisions.

Arithmetic attribution splits the active return R_p - R_b of each period into allocation, selection and interaction,
after Brinson and Fachler (1985) or Brinson, Hood and Beebower (1986); a linking coefficient for each period, the same
for every effect, makes the effects of all periods add up to the active return of the whole time (`linking`). Geometric
attribution (Burnie, Knowles and Teder 1998; Bacon 2008) splits (1 + R_p) / (1 + R_b) - 1 instead, and compounds
without linking.

With w and r the weights and returns of a segment, of the portfolio (p) and the benchmark (b), and R_b = sum(w_b r_b):

    allocation, Brinson-Fachler            (w_p - w_b) (r_b - R_b)
    allocation, Brinson-Hood-Beebower      (w_p - w_b) r_b
    selection                               w_b (r_p - r_b)
    interaction                            (w_p - w_b) (r_p - r_b)
    allocation, geometric                  (w_p - w_b) ((1 + r_b) / (1 + R_b) - 1)
    selection, geometric                    w_p (r_p - r_b) / (1 + sum(w_p r_b))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.attribution_effects import Brinson, GeometricBrinson
from nautilus.maths.errors import Undefined
from nautilus.maths.linking import Floats, check_losses, compounded, linking_coefficients, matrix, weights_of

METHODS = ("brinson-fachler", "brinson-hood-beebower")


def brinson(
    portfolio_weights: ArrayLike,
    portfolio_returns: ArrayLike,
    benchmark_weights: ArrayLike,
    benchmark_returns: ArrayLike,
    *,
    method: str = "brinson-fachler",
    linking: str = "carino",
) -> Brinson:
    """Arithmetic attribution with three effects, linked over the periods.

    Parameters
    ----------
    portfolio_weights, benchmark_weights : shape (periods, segments) or (segments,), at the beginning of each period;
        each period's sum to one (within 1e-12); they may be negative.
    portfolio_returns, benchmark_returns : the same shape, of each segment over the period. Where a side holds nothing
        of a segment give its return as that of the other side: it then has allocation alone.
    method : ``brinson-fachler`` or ``brinson-hood-beebower``.
    linking : ``carino``, ``menchero``, ``frongello`` or ``grap`` (the same coefficients as ``frongello``).

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch`` (shapes, weights that do not sum to one), ``out_of_range`` (a method, a
        loss of everything or more).
    """
    if method not in METHODS:
        raise Undefined("out_of_range", f"attribution method {method!r}", " or ".join(METHODS))
    weights, returns, reference, reference_returns = _sides(
        portfolio_weights, portfolio_returns, benchmark_weights, benchmark_returns
    )
    active_weights, active_returns = weights - reference, returns - reference_returns
    totals, reference_totals = _totals(weights, returns), _totals(reference, reference_returns)
    level = reference_totals[:, None] if method == "brinson-fachler" else 0.0
    return Brinson(
        method=method,
        linking=linking,
        allocation=active_weights * (reference_returns - level),
        selection=reference * active_returns,
        interaction=active_weights * active_returns,
        portfolio_returns=totals,
        benchmark_returns=reference_totals,
        coefficients=linking_coefficients(totals, reference_totals, linking),
        portfolio_return=compounded(totals),
        benchmark_return=compounded(reference_totals),
    )


def geometric_brinson(
    portfolio_weights: ArrayLike,
    portfolio_returns: ArrayLike,
    benchmark_weights: ArrayLike,
    benchmark_returns: ArrayLike,
) -> GeometricBrinson:
    """Geometric attribution with allocation and selection; parameters and errors: see `brinson`."""
    weights, returns, reference, reference_returns = _sides(
        portfolio_weights, portfolio_returns, benchmark_weights, benchmark_returns
    )
    totals, reference_totals = _totals(weights, returns), _totals(reference, reference_returns)
    semi_notional = _totals(weights, reference_returns)
    relative = (1.0 + reference_returns) / (1.0 + reference_totals[:, None]) - 1.0
    return GeometricBrinson(
        allocation=(weights - reference) * relative,
        selection=weights * (returns - reference_returns) / (1.0 + semi_notional[:, None]),
        portfolio_returns=totals,
        benchmark_returns=reference_totals,
        semi_notional_returns=semi_notional,
        portfolio_return=compounded(totals),
        benchmark_return=compounded(reference_totals),
    )


def _totals(weights: Floats, returns: Floats) -> Floats:
    totals = (weights * returns).sum(axis=1)
    check_losses(totals)
    return np.asarray(totals)


def _sides(*values: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    weights, reference = weights_of(values[0], "portfolio weights"), weights_of(values[2], "benchmark weights")
    returns, reference_returns = matrix(values[1], "portfolio returns"), matrix(values[3], "benchmark returns")
    shapes = [each.shape for each in (weights, returns, reference, reference_returns)]
    if len(set(shapes)) > 1:
        raise Undefined("mismatch", f"weights and returns {shapes}", "the same periods and segments")
    return weights, returns, reference, reference_returns
