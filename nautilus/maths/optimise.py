"""Portfolios that are best in some sense: minimum variance, maximum Sharpe ratio, utility, minimum CVaR.

All under the same linear constraints, by the interior point of `nautilus.maths.quadratic`. Risk parity and hierarchical
risk parity, which need no optimiser, are in `risk_parity` and `hrp`.

Markowitz, "Portfolio selection", Journal of Finance 7 (1952). The ratio becomes a quadratic program by Charnes and
Cooper's change of variables, see Cornuejols and Tutuncu, Optimization Methods in Finance, section 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import LARGEST, shaped, within
from nautilus.maths.cvar_program import CvarProgram
from nautilus.maths.errors import Undefined, check_finite, finite
from nautilus.maths.quadratic import Array, DenseProgram, solve

_SAME = 1e-12


@dataclass(frozen=True)
class Constraints:
    """What weights must be.

    Parameters
    ----------
    lower, upper
        Bounds of each weight (n).
    budget
        Their sum.
    groups, group_lower, group_upper
        Rows (k x n) of 0 and 1, or any numbers, and bounds of their sums (k).
    previous, turnover
        Weights that are held (n), and the most that the sizes of all changes may sum to; None: any.
    gross
        The most that the sizes of the weights may sum to; None: any.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``; ``not_finite``: NaN, or what may not be infinite (bounds may); ``out_of_range``: beyond
        1e60, a turnover or gross exposure below 0; ``infeasible``: a bound below above its upper one.
    """

    lower: Array
    upper: Array
    budget: float = 1.0
    groups: Array | None = None
    group_lower: Array | None = None
    group_upper: Array | None = None
    previous: Array | None = None
    turnover: float | None = None
    gross: float | None = None

    @classmethod
    def long_only(cls, n: int) -> Constraints:
        """Weights from 0 to 1 of sum 1."""
        return cls(np.zeros(n), np.ones(n))

    def __post_init__(self) -> None:
        for name in ("lower", "upper", "groups", "group_lower", "group_upper", "previous"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _numbers(given, name, 2 if name == "groups" else 1))
        for name in ("budget", "turnover", "gross"):
            given = getattr(self, name)
            if given is not None:
                within(given, name, -LARGEST if name == "budget" else 0.0)
        n = len(self.lower)
        if n == 0:
            raise Undefined("empty", "no assets", "at least one")
        if len(self.upper) != n or (self.previous is not None and len(self.previous) != n):
            raise Undefined("mismatch", "bounds of different lengths", f"{n} of each")
        if self.groups is not None and self.groups.shape[1:] != (n,):
            raise Undefined("mismatch", f"groups of shape {self.groups.shape}", f"rows of {n}")
        count = 0 if self.groups is None else len(self.groups)
        for bound in (self.group_lower, self.group_upper):
            if bound is not None and len(bound) != count:
                raise Undefined("mismatch", f"{len(bound)} bounds of {count} groups", "one of each")
        if np.any(self.lower > self.upper):
            at = int(np.argmax(self.lower > self.upper))
            raise Undefined("infeasible", f"weight {at} from {self.lower[at]} to {self.upper[at]}", "lower <= upper")
        if self.turnover is not None and self.previous is None:
            raise Undefined("mismatch", "turnover without previous weights", "both")


def _numbers(values: npt.ArrayLike, name: str, dimensions: int) -> Array:
    found = np.asarray(values, dtype=np.float64, order="C")
    if found.ndim != dimensions:
        raise Undefined("mismatch", f"{name} of {found.ndim} dimensions", f"{dimensions}")
    if name in ("groups", "previous"):
        check_finite(found, name)
    elif np.isnan(found).any():
        raise Undefined("not_finite", f"{name} with NaN", "numbers")
    else:
        check_finite(found[np.isfinite(found)], name)
    return found


class Optimum(NamedTuple):
    """The best portfolio.

    Parameters
    ----------
    weights
        n.
    objective
        What was made best: variance (minimum variance), Sharpe ratio, utility, or CVaR, each per period of the input.
    gap
        Between it and what it can be at most, in the solver's own terms.
    iterations
        Steps of the solver.
    """

    weights: Array
    objective: float
    gap: float
    iterations: int


class _Linear(NamedTuple):
    """Constraints as matrices over weights and, behind them, what turnover and gross exposure add."""

    a: Array
    b: Array
    g: Array
    h: Array
    lower: Array
    upper: Array


def minimum_variance(covariance: Array, constraints: Constraints) -> Optimum:
    """The weights w of the least ``w'Sw``.

    Raises
    ------
    Undefined
        ``singular``: the covariance has no inverse, so the weights would not be determined; ``infeasible``.
    """
    covariance = _checked_covariance(covariance)
    found, gap, steps = _quadratic(2.0 * covariance, np.zeros(len(covariance)), _linear(constraints, len(covariance)))
    return Optimum(found, float(found @ covariance @ found), gap, steps)


def mean_variance(mean: Array, covariance: Array, aversion: float, constraints: Constraints) -> Optimum:
    """The weights w of the largest ``m'w - aversion w'Sw``.

    Raises
    ------
    Undefined
        ``out_of_range``: aversion is not above 0; ``singular``; ``infeasible``.
    """
    if not 0 < aversion <= LARGEST:
        raise Undefined("out_of_range", f"aversion {aversion}", "above 0")
    covariance = _checked_covariance(covariance)
    mean = _checked_mean(mean, covariance)
    found, gap, steps = _quadratic(2.0 * aversion * covariance, -mean, _linear(constraints, len(mean)))
    return Optimum(found, float(mean @ found - aversion * found @ covariance @ found), gap, steps)


def maximum_sharpe(mean: Array, covariance: Array, rate: float, constraints: Constraints) -> Optimum:
    """The weights w of the largest ``(m'w - rate) / sqrt(w'Sw)``.

    Raises
    ------
    Undefined
        ``infeasible``: nothing meets the constraints, or nothing that does has an excess return above 0;
        ``singular``.
    """
    covariance = _checked_covariance(covariance)
    mean = _checked_mean(mean, covariance)
    within(rate, "rate")
    linear = _linear(constraints, len(covariance))
    n, size = len(mean), linear.a.shape[1]
    # x = weights / excess return, last of it k = 1 / excess return: every bound is multiplied by k.
    excess = np.zeros(size + 1)
    excess[:n] = mean
    excess[-1] = -rate
    scale = float(np.abs(excess).max()) or 1.0
    a = np.vstack([np.hstack([linear.a, -linear.b[:, None]]), excess / scale])
    b = np.concatenate([np.zeros(len(linear.b)), [1.0]])
    # A bound of 0 stays one: rows cost, bounds do not.
    zero = linear.lower == 0
    low = np.flatnonzero(np.isfinite(linear.lower) & ~zero)
    high = np.flatnonzero(np.isfinite(linear.upper))
    unit = np.eye(size)
    g = np.vstack(
        [
            np.hstack([linear.g, -linear.h[:, None]]),
            np.hstack([-unit[low], linear.lower[low][:, None]]),
            np.hstack([unit[high], -linear.upper[high][:, None]]),
        ]
    )
    lower = np.full(size + 1, -np.inf)
    lower[:-1][zero] = lower[-1] = 0.0
    p = np.zeros((size + 1, size + 1))
    p[:n, :n] = 2.0 * covariance / np.abs(covariance).max()
    try:
        found = solve(DenseProgram(p, np.zeros(size + 1), a, b, g, np.zeros(len(g)), lower))
    except Undefined as error:
        _check_feasible(linear)
        best = _largest_return(mean, linear)
        if best <= rate:
            raise Undefined(
                "infeasible", f"the largest return that is possible, {best:.6g}", f"more than the rate {rate:.6g}"
            ) from error
        raise
    if not found.x[-1] > 0:
        raise Undefined("infeasible", "an excess return", "one above 0")
    weights = found.x[:n] / found.x[-1]
    ratio = float((mean @ weights - rate) / np.sqrt(weights @ covariance @ weights))
    return Optimum(weights, ratio, found.gap, found.iterations)


def minimum_cvar(returns: Array, beta: float, constraints: Constraints) -> Optimum:
    """The weights w of the least conditional value at risk of the losses -Rw at level `beta`.

    Parameters
    ----------
    returns
        T x n, one row an equally likely scenario.
    beta
        Such as 0.95: the mean of the worst 5 %, the scenario at the border counted in part.

    Raises
    ------
    Undefined
        ``out_of_range``: beta is not between 0 and 1; ``too_few``: less than two scenarios; ``infeasible``.
    """
    if not 0 < beta < 1:
        raise Undefined("out_of_range", f"level {beta}", "between 0 and 1")
    returns = shaped(returns, "returns", (None, None))
    if len(returns) < 2:
        raise Undefined("too_few", f"{len(returns)} scenarios", "2 or more")
    linear = _linear(constraints, returns.shape[1])
    n, size = returns.shape[1], linear.a.shape[1]
    scale = float(np.abs(returns).max()) or 1.0
    wide = np.zeros((len(returns), size))
    wide[:, :n] = returns / scale
    over = DenseProgram(np.zeros((size, size)), np.zeros(size), *linear)
    try:
        found = solve(CvarProgram(wide, beta, over))
    except Undefined:
        _check_feasible(linear)
        raise
    weights = found.x[:n]
    return Optimum(weights, conditional_value_at_risk(returns @ weights, beta), found.gap * scale, found.iterations)


def conditional_value_at_risk(returns: Array, beta: float) -> float:
    """Mean loss of the worst ``1 - beta`` of equally likely returns (T); the one at the border counts in part."""
    if not 0.0 < beta < 1.0:
        raise Undefined("out_of_range", f"level {beta}", "between 0 and 1")
    losses = np.sort(-finite(returns, "returns"))[::-1]
    tail = (1.0 - beta) * len(losses)
    whole = int(np.floor(tail + 1e-12))
    rest = tail - whole
    total = losses[:whole].sum() + (rest * losses[whole] if whole < len(losses) else 0.0)
    return float(total / tail)


def _quadratic(p: Array, q: Array, linear: _Linear) -> tuple[Array, float, int]:
    n, size = len(q), linear.a.shape[1]
    scale = max(float(np.abs(p).max()), float(np.abs(q).max())) or 1.0
    wide, slope = np.zeros((size, size)), np.zeros(size)
    wide[:n, :n], slope[:n] = p / scale, q / scale
    try:
        found = solve(DenseProgram(wide, slope, *linear))
    except Undefined:
        _check_feasible(linear)
        raise
    return found.x[:n], found.gap * scale, found.iterations


def _linear(constraints: Constraints, assets: int) -> _Linear:
    """Weights, then for turnover buys and sells, then for gross exposure what is long and short, all of these >= 0."""
    if len(constraints.lower) != assets:
        raise Undefined("mismatch", f"constraints of {len(constraints.lower)} weights for {assets} assets", "as many")
    constraints = _with_inside(constraints)
    n = len(constraints.lower)
    parts = 2 * n * ((constraints.turnover is not None) + (constraints.gross is not None))
    size = n + parts
    equal, equal_to, rows, most = [np.zeros(size)], [constraints.budget], [], []
    equal[0][:n] = 1.0
    for group, least_of, most_of in _groups(constraints):
        row = np.concatenate([group, np.zeros(parts)])
        if least_of == most_of:
            equal.append(row)
            equal_to.append(most_of)
            continue
        for sign, bound in ((1.0, most_of), (-1.0, least_of)):
            if np.isfinite(bound):
                rows.append(sign * row)
                most.append(sign * bound)
    place = n
    for limit, start in ((constraints.turnover, constraints.previous), (constraints.gross, np.zeros(n))):
        if limit is None:
            continue
        assert start is not None
        split = np.zeros((n, size))
        split[:, :n] = np.eye(n)
        split[:, place : place + n] = -np.eye(n)
        split[:, place + n : place + 2 * n] = np.eye(n)
        equal += list(split)
        equal_to += start.tolist()
        total = np.zeros(size)
        total[place : place + 2 * n] = 1.0
        rows.append(total)
        most.append(float(limit))
        place += 2 * n
    lower, upper = np.zeros(size), np.full(size, np.inf)
    lower[:n], upper[:n] = _bounds(constraints)
    # The solver wants an inside: a weight that is held where it is becomes an equation.
    fixed = np.flatnonzero(lower[:n] == upper[:n])
    for at in fixed.tolist():
        row = np.zeros(size)
        row[at] = 1.0
        equal.append(row)
        equal_to.append(float(lower[at]))
    lower[fixed], upper[fixed] = -np.inf, np.inf
    return _Linear(np.array(equal), np.array(equal_to), np.array(rows).reshape(-1, size), np.array(most), lower, upper)


def _groups(constraints: Constraints) -> list[tuple[Array, float, float]]:
    """(row, least, most) of each group."""
    if constraints.groups is None:
        return []
    count = len(constraints.groups)
    least = np.full(count, -np.inf) if constraints.group_lower is None else constraints.group_lower
    most = np.full(count, np.inf) if constraints.group_upper is None else constraints.group_upper
    return [(row, float(a), float(b)) for row, a, b in zip(constraints.groups, least, most, strict=True)]


def _with_inside(constraints: Constraints) -> Constraints:
    """The same constraints, said so that what leaves no room is an equation or a bound."""
    if constraints.turnover is not None and constraints.turnover <= _SAME:
        assert constraints.previous is not None
        held = constraints.previous
        if np.any(held < constraints.lower - _SAME) or np.any(held > constraints.upper + _SAME):
            raise Undefined("infeasible", "weights held outside their bounds, without turnover", "some turnover")
        constraints = replace(constraints, lower=held, upper=held.copy(), turnover=None)
    budget, gross = constraints.budget, constraints.gross
    if gross is not None and gross <= abs(budget) * (1.0 + _SAME):
        if gross < abs(budget) * (1.0 - 1e-9):
            raise Undefined("infeasible", f"gross exposure of {gross:g} with a budget of {budget:g}", "at least that")
        # All is on one side then.
        side = (np.maximum(constraints.lower, 0.0), constraints.upper)
        if budget < 0:
            side = (constraints.lower, np.minimum(constraints.upper, 0.0))
        constraints = replace(constraints, lower=side[0], upper=side[1], gross=None)
    return constraints


def _bounds(constraints: Constraints) -> tuple[Array, Array]:
    """Bounds of the weights; those that the budget and the others imply are left out, as they would leave no inside."""
    lower, upper, budget = constraints.lower, constraints.upper.copy(), constraints.budget
    least, most = float(lower.sum()), float(upper.sum())
    # All at one end, as far as numbers tell.
    if abs(least - budget) <= _SAME * max(1.0, abs(budget)):
        return lower, lower.copy()
    if abs(most - budget) <= _SAME * max(1.0, abs(budget)):
        return upper.copy(), upper
    with np.errstate(invalid="ignore"):
        implied = upper >= budget - (least - lower)
    upper[implied & np.isfinite(lower) & np.isfinite(least)] = np.inf
    return lower, upper


def _check_feasible(linear: _Linear) -> None:
    """Raise ``infeasible`` where the constraints cannot hold: by the least that they would have to be widened."""
    size = linear.a.shape[1]
    low, high = np.flatnonzero(np.isfinite(linear.lower)), np.flatnonzero(np.isfinite(linear.upper))
    unit = np.eye(size)
    g = np.vstack([linear.g, -unit[low], unit[high]])
    h = np.concatenate([linear.h, -linear.lower[low], linear.upper[high]])
    k = len(linear.b)
    # Unknowns: x, one slack of all inequalities, two of each equation; their sum is the least violation.
    wide = np.hstack([g, -np.ones((len(g), 1)), np.zeros((len(g), 2 * k))])
    equal = np.hstack([linear.a, np.zeros((k, 1)), np.eye(k), -np.eye(k)])
    cost = np.concatenate([np.zeros(size), np.ones(1 + 2 * k)])
    lower = np.full(len(cost), -np.inf)
    lower[size:] = 0.0
    # A little curvature where nothing bounds x; too little to move the least violation beyond the tolerance.
    p = np.zeros((len(cost), len(cost)))
    p[np.arange(size), np.arange(size)] = 1e-9
    found = solve(DenseProgram(p, cost, equal, linear.b, wide, h, lower), tolerance=1e-9)
    violation = float(found.x[size:].sum())
    if violation > 1e-6:
        raise Undefined("infeasible", f"constraints that miss each other by {violation:.6g}", "ones that can all hold")


def _largest_return(mean: Array, linear: _Linear) -> float:
    size = linear.a.shape[1]
    slope = np.zeros(size)
    slope[: len(mean)] = -mean / (float(np.abs(mean).max()) or 1.0)
    found = solve(DenseProgram(np.zeros((size, size)), slope, *linear))
    return float(mean @ found.x[: len(mean)])


def _checked_mean(mean: npt.ArrayLike, covariance: Array) -> Array:
    return shaped(mean, "expected returns", (len(covariance),))


def _checked_covariance(values: npt.ArrayLike) -> Array:
    """Raise unless it is finite, symmetric and positive definite as far as its numbers can tell."""
    covariance = shaped(values, "covariance", (None, None))
    if covariance.shape[0] != covariance.shape[1]:
        raise Undefined("mismatch", f"a covariance of shape {covariance.shape}", "a square matrix")
    if not covariance.size:
        raise Undefined("empty", "no assets", "at least one")
    if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
        raise Undefined("mismatch", "a covariance that is not symmetric", "a symmetric matrix")
    if not np.all(np.diag(covariance) > 0):
        raise Undefined("constant", "an asset without variance", "returns that move")
    values = np.linalg.eigvalsh(covariance)
    if values[0] <= values[-1] * len(values) * np.finfo(float).eps * 8:
        rank = int(np.sum(values > values[-1] * len(values) * np.finfo(float).eps * 8))
        raise Undefined(
            "singular",
            f"a covariance of rank {rank} of {len(values)} assets",
            "more observations than assets, a shrunk covariance, or hierarchical risk parity, which inverts none",
        )
    return covariance
