"""Where the search for regimes begins: places that the returns alone decide, none drawn by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.bounds import within
from nautilus.maths.errors import finite
from nautilus.maths.regime_model import Floats

VARIANCE_FLOOR = 1e-3  # of the variance of the sample
Start = tuple[Floats, Floats, Floats, Floats]


def starts_of(x: Floats, states: int) -> list[Start]:
    """Places to begin at: groups by level, by size of the deviations, by their running mean, and fixed multiples.

    Raises
    ------
    Undefined
        ``out_of_range``: neither two nor three states; and as `errors.finite`.
    """
    within(states, "states", 2, 3)
    x = finite(x, "returns")
    deviations = np.abs(x - np.median(x))
    groups = [_grouped(x, states), _grouped(deviations, states)]
    groups += [_grouped(_running(deviations, span), states) for span in (5, 10, 20, 60)]
    starts = [_from_groups(x, group, states) for group in groups]
    spreads = (0.5, 2.0) if states == 2 else (0.3, 1.0, 3.0)
    persistent = np.full((states, states), 0.05 / (states - 1))
    np.fill_diagonal(persistent, 0.95)
    even = np.full(states, 1.0 / states)
    starts.append((even.copy(), persistent, np.zeros(states), np.array(spreads)))
    level = _from_groups(x, groups[0], states)[2]
    starts.append((even.copy(), np.full((states, states), 1.0 / states), level, np.ones(states)))
    return starts


def _running(values: Floats, span: int) -> Floats:
    """Centred running mean, of what there is at the ends."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(len(values))
    low, high = np.maximum(index - span // 2, 0), np.minimum(index + span // 2 + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _grouped(values: Floats, count: int) -> NDArray[np.int64]:
    """Lloyd's rounds in one dimension (k-means), from equally filled groups."""
    centres = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(50):
        borders = (centres[1:] + centres[:-1]) / 2
        group = np.searchsorted(borders, values)
        sizes = np.bincount(group, minlength=count)
        sums = np.bincount(group, weights=values, minlength=count)
        moved = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.asarray(np.searchsorted((centres[1:] + centres[:-1]) / 2, values), np.int64)


def _from_groups(x: Floats, group: NDArray[np.int64], states: int) -> Start:
    """Moments of the groups, and their transitions as counted, each with one besides."""
    sizes = np.bincount(group, minlength=states)
    filled = np.maximum(sizes, 1)
    means = np.bincount(group, weights=x, minlength=states) / filled
    variances = np.bincount(group, weights=(x - means[group]) ** 2, minlength=states) / filled
    counts = np.ones((states, states))
    np.add.at(counts, (group[:-1], group[1:]), 1.0)
    transition = counts / counts.sum(axis=1, keepdims=True)
    return (sizes + 1.0) / (len(x) + states), transition, means, np.maximum(variances, 10 * VARIANCE_FLOOR)
