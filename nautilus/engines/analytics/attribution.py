"""Attribution: Brinson's effects by group, and returns by factor. Pure functions of messages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nautilus.maths.attribution import brinson, geometric_brinson
from nautilus.maths.errors import Undefined
from nautilus.maths.exposures import estimated_exposures, risk_shares
from nautilus.maths.factor_attribution import factor_attribution
from nautilus.maths.returns import Floats
from nautilus.model.attribution import (
    AttributeBrinson,
    AttributeFactors,
    BrinsonLine,
    BrinsonReport,
    FactorAttribution,
    FactorLine,
)
from nautilus.model.basis import Basis

GEOMETRIC = "geometric"
ESTIMATED = "exposures by least squares over all periods; contributions linked by Carino's coefficients"
GIVEN = "exposures as given; contributions linked by Carino's coefficients"


def attribute_brinson(asked: AttributeBrinson) -> BrinsonReport:
    """Effects of each group over all periods.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch`` (shapes, or weights that do not add up to 1), ``not_finite``, ``out_of_range``.
    """
    sides = [
        _rows(rows, len(asked.groups), name)
        for name, rows in (
            ("portfolio_weights", asked.portfolio_weights),
            ("portfolio_returns", asked.portfolio_returns),
            ("benchmark_weights", asked.benchmark_weights),
            ("benchmark_returns", asked.benchmark_returns),
        )
    ]
    if asked.method == GEOMETRIC:
        return _geometric(asked, sides)
    found = brinson(*sides, method=asked.method, linking=asked.linking)
    columns = found.linked_allocation, found.linked_selection, found.linked_interaction
    lines = tuple(
        BrinsonLine(group, allocation, selection, interaction, math.fsum((allocation, selection, interaction)))
        for group, allocation, selection, interaction in zip(
            asked.groups, *(each.tolist() for each in columns), strict=True
        )
    )
    return BrinsonReport(
        lines,
        found.portfolio_return,
        found.benchmark_return,
        found.active_return,
        *found.totals,
        basis=Basis(f"{asked.method}, {asked.linking} linking", len(sides[0]), source="request"),
    )


def attribute_factors(asked: AttributeFactors) -> FactorAttribution:
    """Return by factor, of what comes with the request."""
    factors = _rows(asked.factor_returns, len(asked.names), "factor_returns")
    exposures = _rows(asked.exposures, len(asked.names), "exposures") if asked.exposures else None
    basis = Basis(GIVEN if exposures is not None else ESTIMATED, len(asked.returns), source="request")
    return by_factor(asked.names, np.array(asked.returns, np.float64), factors, exposures, basis)


def by_factor(
    names: Sequence[str], returns: Floats, factors: Floats, exposures: Floats | None, basis: Basis
) -> FactorAttribution:
    """Return by factor; exposures that are not given are estimated.

    Parameters
    ----------
    returns
        Shape (T,).
    factors, exposures
        Shape (T, K).

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``mismatch``, ``not_finite``, ``singular``, ``out_of_range``.
    """
    loads: Floats
    loads = estimated_exposures(returns, factors).exposures if exposures is None else exposures
    found = factor_attribution(loads, factors, returns)
    undefined: dict[str, str] = {}
    shares: list[float | None] = [None] * len(names)
    explained = None
    try:
        *each, specific_share = risk_shares(found.contributions, found.specific)
        shares, explained = list(each), 1.0 - specific_share
    except Undefined as error:
        undefined = {"r_squared": error.code, "risk_share": error.code}
    means = np.broadcast_to(loads, factors.shape).mean(axis=0).tolist()
    lines = tuple(
        FactorLine(name, mean, contribution, share)
        for name, mean, contribution, share in zip(
            names, means, found.linked_contributions.tolist(), shares, strict=True
        )
    )
    return FactorAttribution(lines, found.linked_specific, found.total_return, explained, undefined, basis)


def common_days(
    returns: Mapping[int, float], factors: Mapping[int, Sequence[float]]
) -> tuple[list[int], Floats, Floats]:
    """Returns and factor returns of the days that both have: days, shape (T,), shape (T, K)."""
    days = sorted(returns.keys() & factors.keys())
    if not days:
        raise Undefined("missing_days", "no day with a return and factors", expected="days that both have")
    return days, np.array([returns[day] for day in days]), np.array([factors[day] for day in days], np.float64)


def _geometric(asked: AttributeBrinson, sides: list[Floats]) -> BrinsonReport:
    found = geometric_brinson(*sides)
    allocation, selection = found.allocation.sum(axis=0), found.selection.sum(axis=0)
    lines = tuple(
        BrinsonLine(group, a, s, 0.0, a + s)
        for group, a, s in zip(asked.groups, allocation.tolist(), selection.tolist(), strict=True)
    )
    basis = Basis("geometric Brinson; selection contains interaction; compounded", len(sides[0]), source="request")
    return BrinsonReport(
        lines,
        found.portfolio_return,
        found.benchmark_return,
        found.excess_return,
        found.total_allocation,
        found.total_selection,
        0.0,
        basis,
    )


def _rows(rows: Sequence[Sequence[float]], columns: int, name: str) -> Floats:
    """A table of that many columns."""
    if not rows or not columns:
        raise Undefined("empty", f"{name} without rows", expected="a row a period")
    if any(len(row) != columns for row in rows):
        raise Undefined("mismatch", f"{name}: rows of unlike lengths", expected=f"{columns} in each")
    return np.array(rows, np.float64)


__all__ = ["ESTIMATED", "attribute_brinson", "attribute_factors", "by_factor", "common_days"]
