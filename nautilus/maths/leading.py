"""Does one series lead another: rank correlation, regression with Newey-West errors, block bootstrap.

For overlapping windows, as of future volatility, neighbouring rows share most of their observations; ordinary errors
are then far too small. Newey and West (1987) allow for that up to a lag, the moving-block bootstrap (Kuensch 1989) does
so without a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.bounds import within
from nautilus.maths.errors import Undefined, finite, same_length

Floats = NDArray[np.float64]


MOST_ROWS, MOST_DRAWS = 10_000_000, 1_000_000


class Regression(NamedTuple):
    """Least squares with heteroskedasticity- and autocorrelation-consistent errors.

    Attributes
    ----------
    coefficients, errors, t_values, p_values
        By column, the constant first; p is two-sided, of the normal distribution.
    r_squared
        Share of the variance that is explained.
    observations, lags
        Rows, and lags of the errors.
    """

    coefficients: Floats
    errors: Floats
    t_values: Floats
    p_values: Floats
    r_squared: float
    observations: int
    lags: int


def ranks(values: ArrayLike) -> Floats:
    """Ranks from 1; equal values have the mean of theirs."""
    array = finite(values, "values")
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - 0.5 * (counts - 1))[inverse], np.float64)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation.

    Raises
    ------
    Undefined
        ``mismatch``, ``too_few``, ``not_finite``; ``constant``: one of them is.
    """
    first, second = ranks(finite(x, "values", 2)), ranks(finite(y, "values", 2))
    same_length("the two series", map(len, (first, second)))
    a, b = first - first.mean(), second - second.mean()
    below = math.sqrt(float(a @ a) * float(b @ b))
    if below == 0.0:
        raise Undefined("constant", "all values of a series are equal", "values that differ")
    return float(a @ b) / below


def newey_west(y: ArrayLike, columns: ArrayLike, lags: int) -> Regression:
    """Least squares of y on a constant and the columns, with errors after Newey and West (1987).

    Parameters
    ----------
    y
        n values.
    columns
        n x k.
    lags
        Autocovariances with Bartlett weights 1 - l / (lags + 1); 0: White's errors.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``too_few``: not more rows than twice the columns; ``singular``: a column follows
        from others; ``constant``: y is.
    """
    values = finite(y, "values", 2)
    matrix = np.ascontiguousarray(np.atleast_2d(np.asarray(columns, np.float64).T).T)
    if matrix.ndim != 2 or len(matrix) != len(values):
        raise Undefined("mismatch", f"{len(values)} values and columns of {len(matrix)}", "equal lengths")
    finite(matrix.ravel(), "columns", 0)
    rows, count = len(values), matrix.shape[1] + 1
    if rows <= 2 * count or not 0 <= lags < rows:
        raise Undefined("too_few", f"{rows} rows for {count} coefficients and {lags} lags", "more")
    design = np.column_stack([np.ones(rows), matrix])
    if np.linalg.matrix_rank(design) < count:
        raise Undefined("singular", "a column follows from the others", "columns that do not")
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ (design.T @ values)
    residuals = values - design @ coefficients
    scores = design * residuals[:, None]
    middle = scores.T @ scores
    for lag in range(1, lags + 1):
        gamma = scores[lag:].T @ scores[:-lag]
        middle += (1.0 - lag / (lags + 1.0)) * (gamma + gamma.T)
    errors = np.sqrt(np.maximum(np.diag(inverse @ middle @ inverse), 0.0))
    total = float(np.square(values - values.mean()).sum())
    if total == 0.0 or (errors == 0.0).any():
        raise Undefined("constant", "nothing is left to explain", "values that differ")
    t_values = coefficients / errors
    p_values = np.array([math.erfc(abs(t) / math.sqrt(2.0)) for t in t_values.tolist()])
    r_squared = 1.0 - float(residuals @ residuals) / total
    return Regression(coefficients, errors, t_values, p_values, r_squared, rows, lags)


def block_bootstrap(
    rows: int, block: int, draws: int, measure: Callable[[NDArray[np.int64]], float], seed: int = 1
) -> tuple[float, float]:
    """A 95 % interval of a measure by the moving-block bootstrap.

    Parameters
    ----------
    rows, block
        Rows in all, and neighbouring ones that are drawn together.
    draws, seed
        Repetitions, and the seed of the generator.
    measure
        Of places of rows.

    Raises
    ------
    Undefined
        ``too_few``: fewer than two blocks; ``out_of_range``; ``not_finite``: what `measure` gives.
    """
    if block < 1 or draws < 1:
        raise Undefined("out_of_range", f"blocks of {block}, {draws} draws", "1 or more")
    if rows < 2 * block:
        raise Undefined("too_few", f"{rows} rows for blocks of {block}", "at least two blocks")
    within(rows, "rows", 1, MOST_ROWS)
    within(draws, "draws", 1, MOST_DRAWS)
    within(seed, "seed", 0, (1 << 63) - 1)
    chance = np.random.default_rng(seed)
    count = -(-rows // block)
    found = np.empty(draws)
    for draw in range(draws):
        first = chance.integers(0, rows - block + 1, count)
        found[draw] = within(measure((first[:, None] + np.arange(block)).ravel()[:rows]), "a measure")
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


__all__ = ["Regression", "block_bootstrap", "newey_west", "ranks", "spearman"]
