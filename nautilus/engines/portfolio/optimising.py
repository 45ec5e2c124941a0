"""Optimisation as a job: what is asked becomes arrays, the best weights an answer. Pure, for a worker process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.panel import Aligned, Panel
from nautilus.maths.covariance import estimate
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.hrp import hierarchical_risk_parity
from nautilus.maths.optimise import (
    Constraints,
    maximum_sharpe,
    mean_variance,
    minimum_cvar,
    minimum_variance,
)
from nautilus.maths.risk_parity import risk_parity
from nautilus.model.allocation import Optimise, Optimised, OptimiseMethod
from nautilus.model.basis import Basis
from nautilus.model.history import SeriesKind

Array = NDArray[np.float64]

FREE = (OptimiseMethod.RISK_PARITY, OptimiseMethod.HRP)
"""Methods that take no constraints: their weights are positive and sum to 1 by themselves."""
_JUMP = 0.35
_NEAR = 0.03
_RATIOS = np.array([1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100])
_WORDS = {
    OptimiseMethod.MINIMUM_VARIANCE: "least variance",
    OptimiseMethod.MAXIMUM_SHARPE: "largest ratio of excess mean to deviation",
    OptimiseMethod.MEAN_VARIANCE: "largest mean less aversion times variance",
    OptimiseMethod.MINIMUM_CVAR: "least CVaR of equally likely rows (Rockafellar and Uryasev)",
    OptimiseMethod.RISK_PARITY: "equal or given parts of the variance (Spinu)",
    OptimiseMethod.HRP: "hierarchical risk parity (Lopez de Prado)",
}


def history_returns(
    panel: Panel,
    message: Optimise,
    splits: Mapping[str, Sequence[tuple[int, Fraction]]],
) -> Aligned:
    """Simple returns of the histories that a request names, through known splits, shape (T, N).

    Prices that are not adjusted are divided by the splits that came after them. One that still moves as only a split
    moves a price is not taken for a return.

    Raises
    ------
    UnknownSeriesError
    Undefined
        As `Panel.returns`; `mismatch`: a price moves like a split that nobody has told of.
    """
    names = message.series
    found = [panel.series(name) for name in names]
    prices = [series.kind is not SeriesKind.RETURN and not series.adjusted for series in found]
    if not any(prices):
        return panel.returns(names, message.begin_ns, message.end_ns)
    levels = panel.levels(names, message.begin_ns, message.end_ns)
    if len(levels.times_ns) < 2:
        raise Undefined("too_few", "one common time", "at least two for a return")
    values = levels.values.copy()
    for column, name in enumerate(names):
        if not prices[column]:
            continue
        for when_ns, ratio in splits.get(name, ()):
            values[levels.times_ns < when_ns, column] /= float(ratio)
        if not message.allow_jumps:
            _deny_split(name, values[:, column])
    returns = values[1:] / values[:-1] - 1.0
    return levels._replace(times_ns=levels.times_ns[1:], values=returns)


def given_returns(message: Optimise) -> Aligned:
    """The returns that a request holds.

    Raises
    ------
    Undefined
        `mismatch`: rows of other lengths; `not_finite`; `out_of_range`: -1 or less.
    """
    lengths = {len(row) for row in message.returns}
    if lengths != {len(message.series)}:
        raise Undefined("mismatch", f"rows of {sorted(lengths)} returns", f"{len(message.series)} in each")
    values = np.array(message.returns, dtype=np.float64)
    check_finite(values, "returns")
    if np.any(values <= -1.0):
        raise Undefined("out_of_range", "a return of -1 or less", "returns above -1")
    return Aligned(message.series, np.zeros(len(values), np.int64), values, 0, ("request",), False)


def optimise(message: Optimise, data: Aligned) -> Optimised:
    """The answer to a request. See `nautilus.maths.optimise` for what is not defined."""
    names, x = message.series, data.values
    if len(set(names)) != len(names):
        raise Undefined("mismatch", "a series that is named twice", "each once")
    if len(x) < 2:
        raise Undefined("too_few", f"{len(x)} rows of returns", "at least 2")
    constant = np.ptp(x, axis=0) == 0
    if constant.any():
        raise Undefined("constant", f"returns of {names[int(np.argmax(constant))]!r}", "returns that move")
    made = estimate(x, message.covariance, half_life=message.half_life or 90.0)
    covariance = made.matrix
    mean = x.mean(axis=0)
    expected = mean
    if message.means:
        expected = np.array(message.means, dtype=np.float64)
        if expected.shape != mean.shape:
            raise Undefined("mismatch", f"{len(expected)} means of {len(mean)} series", "as many")
    weights, objective, gap, steps = _solve(message, x, expected, covariance)
    variance = float(weights @ covariance @ weights)
    undefined: dict[str, str] = {}
    risk = None
    if variance > 0:
        risk = dict(zip(names, (weights * (covariance @ weights) / variance).tolist(), strict=True))
    else:
        undefined["risk"] = "constant"
    words = _WORDS[message.method]
    if message.method is OptimiseMethod.HRP:
        words += f", {message.linkage} linkage, leaves in {message.order} order"
    if message.method is OptimiseMethod.MINIMUM_CVAR:
        words += f" at {message.confidence:g}"
    return Optimised(
        method=message.method,
        weights=dict(zip(names, weights.tolist(), strict=True)),
        objective=objective,
        mean=float(expected @ weights),
        deviation=float(np.sqrt(max(variance, 0.0))),
        basis=data.basis(f"{words}; covariance: {made.method}"),
        risk=risk,
        iterations=steps,
        gap=gap,
        undefined=undefined,
    )


def optimise_job(message: Optimise, fields: tuple[Any, ...]) -> Optimised:
    """`optimise` of plain values, for a worker process."""
    return optimise(message, Aligned(*fields))


def constraints_of(message: Optimise) -> Constraints:
    """What a request says that weights must be.

    Raises
    ------
    Undefined
        `mismatch`: a series or group that is not named; `not_finite`; `infeasible`: a lower bound above its upper one.
    """
    place = {name: at for at, name in enumerate(message.series)}
    n = len(place)
    lower, upper = np.full(n, float(message.lower)), np.full(n, float(message.upper))
    for name, (least, most) in message.bounds.items():
        lower[_at(place, name)], upper[_at(place, name)] = least, most
    rows, least_of, most_of = np.zeros((len(message.groups), n)), [], []
    order = {group: row for row, group in enumerate(message.groups)}
    for name, group in message.members.items():
        if group not in order:
            raise Undefined("mismatch", f"group {group!r} of {name!r}", "one of groups")
        rows[order[group], _at(place, name)] = 1.0
    for least, most in message.groups.values():
        least_of.append(least)
        most_of.append(most)
    previous = None
    if message.previous or message.turnover >= 0:
        previous = np.zeros(n)
        for name, weight in message.previous.items():
            previous[_at(place, name)] = weight
    check_finite(np.concatenate([lower, upper, least_of, most_of]), "bounds")
    return Constraints(
        lower,
        upper,
        groups=rows if len(rows) else None,
        group_lower=np.array(least_of) if least_of else None,
        group_upper=np.array(most_of) if most_of else None,
        previous=previous,
        turnover=message.turnover if message.turnover >= 0 else None,
        gross=message.gross if message.gross > 0 else None,
    )


def _solve(message: Optimise, x: Array, mean: Array, covariance: Array) -> tuple[Array, float, float, int]:
    if message.method in FREE:
        _deny_constraints(message)
        if message.method is OptimiseMethod.RISK_PARITY:
            parity = risk_parity(covariance, _budgets(message))
            w, steps = parity.weights, parity.iterations
        else:
            w, steps = hierarchical_risk_parity(covariance, message.linkage, message.order).weights, 0
        return w, float(w @ covariance @ w), 0.0, steps
    limits = constraints_of(message)
    if message.method is OptimiseMethod.MINIMUM_VARIANCE:
        found = minimum_variance(covariance, limits)
    elif message.method is OptimiseMethod.MAXIMUM_SHARPE:
        found = maximum_sharpe(mean, covariance, message.rate, limits)
    elif message.method is OptimiseMethod.MEAN_VARIANCE:
        found = mean_variance(mean, covariance, message.aversion, limits)
    else:
        found = minimum_cvar(x, message.confidence, limits)
    return found.weights, found.objective, found.gap, found.iterations


def _budgets(message: Optimise) -> Array | None:
    if not message.budgets:
        return None
    missing = [name for name in message.series if name not in message.budgets]
    if missing or len(message.budgets) != len(message.series):
        raise Undefined("mismatch", f"budgets of {sorted(message.budgets)}", "one for each series")
    return np.array([message.budgets[name] for name in message.series])


def _deny_constraints(message: Optimise) -> None:
    """Weights of a method that takes no constraints are not bent to fit some."""
    asked = [name for name in ("bounds", "groups", "previous", "gross") if getattr(message, name)]
    if message.turnover >= 0:
        asked.append("turnover")
    if message.lower > 0 or message.upper < 1:
        asked.append("lower and upper")
    if asked:
        raise Undefined("mismatch", f"{message.method.value} with {', '.join(asked)}", "no constraints")


def _deny_split(name: str, prices: Array) -> None:
    """Raise where a price moves by a ratio that splits have, and further than days without one move it."""
    ratio = prices[1:] / prices[:-1]
    size = np.maximum(ratio, 1.0 / ratio)
    near = np.abs(size[:, None] / _RATIOS - 1.0).min(axis=1)
    jumps = np.flatnonzero((size > 1.0 + _JUMP) & (near < _NEAR))
    if len(jumps):
        at = int(jumps[0])
        raise Undefined(
            "mismatch",
            f"{name} goes from {prices[at]:g} to {prices[at + 1]:g} in step {at + 1}, as a split would have it",
            "the split as an action, adjusted prices, or allow_jumps",
        )


def _at(place: Mapping[str, int], name: str) -> int:
    if name not in place:
        raise Undefined("mismatch", f"series {name!r}", "one of those to be weighted")
    return place[name]


def basis_of(method: str, *, synthetic: bool) -> Basis:
    """Of what is known now, without a history."""
    return Basis(method=method, source="star", synthetic=synthetic)
