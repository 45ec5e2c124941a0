"""Returns of factors from the cross-section of stocks, day by day: market, sectors, styles, and what is left.

Per day, with W the roots of the market capitalisations (a proxy of the inverse of specific variances):

1. returns are winsorised across stocks;
2. market and sectors: least squares under W, with the sectors' returns constrained to sum to zero;
3. styles: least squares under W of what 2 leaves (`residualize`), or of the returns;
4. the residual is what 2 and 3 leave of the winsorised return.

This is ``toraniko.model.estimate_factor_returns`` of toraniko 1.1.0 and equals it to rounding. That sums the sectors'
returns with equal weights; with `constraint` ``"cap"`` they sum to zero weighted by the sectors' capitalisations, as in
Heston and Rouwenhorst, "Does industrial structure explain the benefits of international diversification?", Journal of
Financial Economics 36 (1994), so that the market's return is that of the capitalisation-weighted market.

A stock takes no part in a day on which its return, capitalisation or any exposure is missing (NaN or infinite) or its
capitalisation is not above 0: as toraniko drops a stock that one of its tables does not have on a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths import cross_section
from nautilus.maths.errors import Undefined

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

MARKET: Final = "market"
CONSTRAINTS: Final = ("sum", "cap")

# Days that are worked on together: their arrays of stocks x factors stay within the processor's caches.
_CHUNK_DAYS = 16


class FactorReturns(NamedTuple):
    """Of D days on which there were stocks, of T that were asked for.

    Parameters
    ----------
    names
        Market, sectors, styles, in the order of the columns; F of them.
    days
        Rows of the input that have a result, shape (D,).
    returns
        Shape (D, F), as parts of one.
    residuals
        Shape (D, N); NaN where a stock took no part.
    stocks
        That took part in each day, shape (D,).
    ranks
        Of the day's regressions together, shape (D,): where it is below F - 1, the day does not tell all factors
        apart, and its returns are those of least norm, as toraniko's are.
    """

    names: tuple[str, ...]
    days: Codes
    returns: Array
    residuals: Array
    stocks: Codes
    ranks: Codes

    @property
    def deficient(self) -> int:
        """Days of which the returns are those of least norm."""
        return int(np.sum(self.ranks < len(self.names) - 1))


class Sectors(NamedTuple):
    """Which sector a stock is of: names, and an index of them for each stock, shape (N,) or (T, N); -1: missing."""

    names: tuple[str, ...]
    codes: Codes


def estimate(
    returns: ArrayLike,
    market_caps: ArrayLike,
    sectors: Sectors | Mapping[str, ArrayLike],
    styles: Mapping[str, ArrayLike],
    winsor: float | None = 0.05,
    residualize: bool = True,
    constraint: str = "sum",
) -> FactorReturns:
    """Returns of factors and of what they leave, on every day.

    Parameters
    ----------
    returns, market_caps
        Shape (T, N).
    sectors
        A code for each stock, or by name scores of shape (T, N) or (N,), such as 0 and 1.
    styles
        By name, scores of shape (T, N). Columns are in the order of the names, sorted, as toraniko's.
    winsor
        Share of returns clipped at each end; None: none.
    residualize
        Styles explain what market and sectors leave; else the returns.
    constraint
        ``sum`` or ``cap``: what of the sectors' returns is 0.

    Raises
    ------
    Undefined
        ``empty``: no day has a stock, or there is no sector; ``mismatch``: shapes differ; ``out_of_range``.
    """
    found, caps = _matrix(returns, "returns"), _matrix(market_caps, "market capitalisations")
    if caps.shape != found.shape:
        raise Undefined("mismatch", f"capitalisations of shape {caps.shape}", expected=f"{found.shape}")
    if constraint not in CONSTRAINTS:
        raise Undefined("out_of_range", f"constraint {constraint!r}", expected=" or ".join(CONSTRAINTS))
    style_names = tuple(sorted(styles))
    scores = [_shaped(styles[name], found.shape, f"style {name}") for name in style_names]
    sector_names, memberships = _memberships(sectors, found.shape)
    if len({MARKET, *sector_names, *style_names}) != 1 + len(sector_names) + len(style_names):
        raise Undefined("mismatch", "a name of two factors", expected="each once")
    parts = []
    for begin in range(0, len(found), _CHUNK_DAYS):
        rows = slice(begin, begin + _CHUNK_DAYS)
        membership = [_rows_of(part, rows) for part in memberships]
        parts.append(
            _days(found[rows], caps[rows], membership, [s[rows] for s in scores], winsor, residualize, constraint)
        )
    factor, residuals, stocks, ranks = (np.concatenate(column) for column in zip(*parts, strict=True))
    days = np.flatnonzero(stocks)
    if not len(days):
        raise Undefined("empty", "no day has a stock with all inputs", expected="at least one")
    names = (MARKET, *sector_names, *style_names)
    if len(days) == len(stocks):
        return FactorReturns(names, days, factor, residuals, stocks, ranks)
    return FactorReturns(names, days, factor[days], residuals[days], stocks[days], ranks[days])


def exposures(sectors: Sectors, styles: Mapping[str, ArrayLike]) -> Array:
    """Exposures of one day, shape (N, F): 1 to the market, 1 to the stock's sector, scores of styles.

    A row is NaN where the stock has no sector or misses a score.

    Raises
    ------
    Undefined
        ``mismatch``: not one code and one score for each stock.
    """
    codes = np.asarray(sectors.codes)
    if codes.ndim != 1:
        raise Undefined("mismatch", f"codes of {codes.ndim} dimensions", expected="one for each stock")
    columns = [np.ones((len(codes), 1)), (codes[:, None] == np.arange(len(sectors.names))).astype(np.float64)]
    for name in sorted(styles):
        score = np.asarray(styles[name], dtype=np.float64)
        if score.shape != codes.shape:
            raise Undefined("mismatch", f"style {name} of shape {score.shape}", expected=f"{codes.shape}")
        columns.append(score[:, None])
    result = np.concatenate(columns, axis=1)
    result[(codes < 0) | ~np.isfinite(result).all(axis=1)] = np.nan
    return result


def _days(
    returns: Array,
    caps: Array,
    memberships: Sequence[Array],
    styles: Sequence[Array],
    winsor: float | None,
    residualize: bool,
    constraint: str,
) -> tuple[Array, Array, Codes, Codes]:
    """Factor returns (C, F), residuals (C, N), stocks (C,) and ranks (C,) of a few days."""
    present = np.isfinite(returns) & np.isfinite(caps) & (caps > 0.0)
    for part in (*memberships, *styles):
        present &= np.isfinite(part)
    stocks = present.sum(axis=1)
    masked = np.where(present, returns, np.nan)
    if winsor is not None:
        masked = cross_section.winsorized(masked, winsor)
    # A stock that is missing weighs nothing; its numbers only have to be finite.
    observed = np.where(present, masked, 0.0)
    weights = np.sqrt(np.where(present, caps, 0.0))
    design = np.empty((len(returns), 1 + len(memberships), returns.shape[1]))
    design[:, 0] = 1.0
    for place, part in enumerate(memberships, 1):
        design[:, place] = np.where(present, part, 0.0)
    back = _constrained(design, caps, present, constraint)
    market_sectors, sector_ranks = _least_squares(design, weights, observed, back)
    left = observed - np.matmul(market_sectors[:, None, :], design)[:, 0]
    if styles:
        scores = np.stack([np.where(present, part, 0.0) for part in styles], axis=1)
        explained, style_ranks = _least_squares(scores, weights, left if residualize else observed, None)
        left -= np.matmul(explained[:, None, :], scores)[:, 0]
        market_sectors = np.concatenate([market_sectors, explained], axis=1)
        sector_ranks = sector_ranks + style_ranks
    return market_sectors, np.where(present, left, np.nan), stocks, sector_ranks


def _least_squares(design: Array, weights: Array, observed: Array, back: Array | None) -> tuple[Array, Codes]:
    """Coefficients (C, M) of least norm, by eigenvalues of the normal equations; and their rank.

    `back` (C or 1, M, P): coefficients are `back` times P free ones, of which the norm is the least.
    """
    weighted = design * weights[:, None, :]
    normal = np.matmul(weighted, design.transpose(0, 2, 1))
    right = np.matmul(weighted, observed[:, :, None])
    if back is not None:
        forth = back.transpose(0, 2, 1)
        normal, right = np.matmul(forth, np.matmul(normal, back)), np.matmul(forth, right)
    values, vectors = np.linalg.eigh(normal)
    # What numpy's lstsq takes for zero by itself, as toraniko calls it.
    smallest = np.finfo(np.float64).eps * normal.shape[-1] * np.abs(values).max(axis=-1, keepdims=True)
    used = values > smallest
    inverse = np.where(used, 1.0 / np.where(used, values, 1.0), 0.0)
    solution = np.matmul(vectors, inverse[:, :, None] * np.matmul(vectors.transpose(0, 2, 1), right))
    if back is not None:
        solution = np.matmul(back, solution)
    return solution[:, :, 0], used.sum(axis=-1)


def _constrained(design: Array, caps: Array, present: NDArray[np.bool_], constraint: str) -> Array:
    """Matrices (C or 1, S + 1, S) from free coefficients to those of market and sectors, which sum to zero.

    As toraniko, the last sector is minus the sum of the others. Weighted by capitalisation it is the largest sector of
    the day, as a last sector without a stock could balance nothing.
    """
    sectors = design.shape[1] - 1
    if constraint == "sum":
        matrix = np.zeros((1, sectors + 1, sectors))
        matrix[0, :sectors] = np.eye(sectors)
        matrix[0, sectors, 1:] = -1.0
        return matrix
    shares = np.matmul(design[:, 1:], np.where(present, caps, 0.0)[:, :, None])[:, :, 0]
    largest = np.argmax(shares, axis=1)
    scale = np.take_along_axis(shares, largest[:, None], axis=1)
    shares = shares / np.where(scale > 0.0, scale, 1.0)
    matrix = np.zeros((len(design), sectors + 1, sectors))
    matrix[:, 0, 0] = 1.0
    day = np.arange(len(design))
    for column in range(1, sectors):
        sector = column - 1 + (largest < column)  # the column-th of those that are not the largest
        matrix[day, sector + 1, column] = 1.0
        matrix[day, largest + 1, column] = -shares[day, sector]
    return matrix


def _memberships(
    sectors: Sectors | Mapping[str, ArrayLike], shape: tuple[int, int]
) -> tuple[tuple[str, ...], list[Array]]:
    """Names and scores, each (T, N) or (1, N); a stock without a sector has NaN."""
    if not isinstance(sectors, Sectors):
        names = tuple(sorted(sectors))
        scores = []
        for name in names:
            score = np.asarray(sectors[name], dtype=np.float64)
            scores.append(_shaped(score[None] if score.ndim == 1 else score, shape, f"sector {name}", one_row=True))
    else:
        names = sectors.names
        codes = np.asarray(sectors.codes)
        if codes.ndim == 1:
            codes = codes[None]
        if codes.shape not in (shape, (1, shape[1])):
            raise Undefined("mismatch", f"sectors of shape {codes.shape}", expected=f"{shape} or {shape[1:]}")
        if codes.size and (codes.min() < -1 or codes.max() >= len(names)):
            raise Undefined("out_of_range", "a sector's code", expected=f"-1 to {len(names) - 1}")
        scores = [np.where(codes < 0, np.nan, codes == place) for place in range(len(names))]
    if not names:
        raise Undefined("empty", "no sectors", expected="at least one")
    return names, scores


def _rows_of(part: Array, rows: slice) -> Array:
    return part if len(part) == 1 else part[rows]


def _matrix(values: ArrayLike, what: str) -> Array:
    found = np.asarray(values, dtype=np.float64, order="C")
    if found.ndim != 2:
        raise Undefined("mismatch", f"{what} of {found.ndim} dimensions", expected="rows of days, columns of stocks")
    if not found.size:
        raise Undefined("empty", f"no {what}", expected="at least a day and a stock")
    return found


def _shaped(values: ArrayLike, shape: tuple[int, int], what: str, one_row: bool = False) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape and not (one_row and found.shape == (1, shape[1])):
        raise Undefined("mismatch", f"{what} of shape {found.shape}", expected=f"{shape}")
    return found


__all__ = ["CONSTRAINTS", "MARKET", "FactorReturns", "Sectors", "estimate", "exposures"]
