"""Hierarchical risk parity, with clustering and leaf ordering of its own.

Lopez de Prado, "Building diversified portfolios that outperform out of sample", Journal of Portfolio Management 42
(2016): assets are clustered by the distance ``sqrt((1 - correlation) / 2)``, put in the order of the tree's leaves, and
the weight is halved down that order, in inverse proportion to the variance of the halves. No covariance is inverted, so
a singular one is as good as any.

Linkages by the Lance-Williams recurrence; the order of leaves with the least sum of neighbours' distances by Bar-Joseph
et al., "Fast optimal leaf ordering for hierarchical clustering", Bioinformatics 17 (2001).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nautilus.maths.bounds import SMALLEST, shaped
from nautilus.maths.covariance import check_symmetric
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.quadratic import Array

LINKAGES = ("single", "complete", "average", "ward")
_ROUNDING = 1e-14
ORDERS = ("merge", "branch", "optimal")


class Merge(NamedTuple):
    """Two clusters become one: below n a leaf, from n on the merge of that number less n. `left` < `right`."""

    left: int
    right: int
    distance: float
    size: int


class Hierarchical(NamedTuple):
    """Hierarchical risk parity.

    Parameters
    ----------
    weights
        Positive, of sum 1, in the order of the covariance.
    order
        Assets in the order of the tree's leaves.
    merges
        The tree.
    """

    weights: Array
    order: tuple[int, ...]
    merges: tuple[Merge, ...]


def correlation_distance(covariance: Array) -> Array:
    """``sqrt((1 - correlation) / 2)`` of every pair (n x n).

    Raises
    ------
    Undefined
        ``constant``: an asset has no variance; ``empty``; ``not_finite``; ``mismatch``: not square or symmetric.
    """
    covariance = check_symmetric(covariance)
    check_finite(covariance, "covariance")
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if not np.all(deviation > SMALLEST):
        raise Undefined("constant", "an asset without variance", "returns that move")
    correlation = np.clip(covariance / np.outer(deviation, deviation), -1.0, 1.0)
    distance: Array = np.sqrt(np.clip((1.0 - correlation) / 2.0, 0.0, 1.0))
    np.fill_diagonal(distance, 0.0)
    return distance


def linkage(distance: Array, method: str = "single") -> list[Merge]:
    """The tree of a distance matrix (n x n): n - 1 merges, the nearest first.

    Raises
    ------
    Undefined
        ``mismatch``: another method than `LINKAGES`, or a matrix that is not square and symmetric; ``empty``;
        ``not_finite``; ``out_of_range``: a distance below 0.
    """
    if method not in LINKAGES:
        raise Undefined("mismatch", f"linkage {method!r}", " or ".join(LINKAGES))
    n = len(check_symmetric(distance))
    between = shaped(distance, "distances", (n, n)).copy()
    if between.min() < 0.0:
        raise Undefined("out_of_range", f"a distance of {between.min():g}", "0 or more")
    np.fill_diagonal(between, np.inf)
    names = np.arange(n)
    sizes = np.ones(n)
    merges: list[Merge] = []
    for number in range(n - 1):
        i, j = divmod(int(np.argmin(between)), n)
        near = float(between[i, j])
        left, right = sorted((int(names[i]), int(names[j])))
        total = int(sizes[i] + sizes[j])
        merges.append(Merge(left, right, near, total))
        both = np.isfinite(between[i]) & np.isfinite(between[j])
        a, b = between[i, both], between[j, both]
        if method == "single":
            new = np.minimum(a, b)
        elif method == "complete":
            new = np.maximum(a, b)
        elif method == "average":
            new = (sizes[i] * a + sizes[j] * b) / total
        else:
            own = sizes[both]
            new = np.sqrt(
                ((sizes[i] + own) * a**2 + (sizes[j] + own) * b**2 - own * near**2) / (sizes[i] + sizes[j] + own)
            )
        between[i, both] = between[both, i] = new
        between[j, :] = between[:, j] = np.inf
        between[i, i] = np.inf
        names[i], sizes[i] = n + number, total
    return merges


def leaves(merges: list[Merge]) -> list[int]:
    """Leaves of a tree from left to right."""
    n = len(merges) + 1
    below: list[list[int]] = [[leaf] for leaf in range(n)]
    for merge in merges:
        below.append(below[merge.left] + below[merge.right])
    return below[-1]


def ordered_leaves(merges: list[Merge], distance: Array, order: str = "optimal") -> list[int]:
    """Leaves of a tree with its branches turned so that the distances of neighbours are small.

    Parameters
    ----------
    order
        ``merge``: nothing is turned. ``optimal``: the least sum that any turning gives. ``branch``: each branch is
        mirrored as a whole where that is best for the cluster that it is a part of, whatever that cluster becomes a
        part of: what scipy 1.17 gives as the optimal order, and with it riskfolio and skfolio.

    Raises
    ------
    Undefined
        ``mismatch``: another order, or distances of another number of leaves; ``not_finite``.
    """
    if order not in ORDERS:
        raise Undefined("mismatch", f"order of leaves {order!r}", " or ".join(ORDERS))
    n = len(merges) + 1
    distance = shaped(distance, "distances", (n, n))
    if order == "merge" or n < 3:
        return leaves(merges)
    tree = _Tree(merges, distance)
    return tree.optimal() if order == "optimal" else leaves(tree.turned())


class _Tree:
    """Bar-Joseph's table: `cost` of [u, w] is that of the best order of the smallest cluster with both at its ends."""

    def __init__(self, merges: list[Merge], distance: Array) -> None:
        self._merges, self._distance = merges, distance
        n = self._n = len(merges) + 1
        self._below: list[list[int]] = [[leaf] for leaf in range(n)]
        self._cost = np.zeros((n, n))
        for merge in merges:
            self._join(merge)

    def optimal(self) -> list[int]:
        """The order of the least cost, from the root down."""
        root = 2 * self._n - 2
        # The right part is taken first: from right to left, turned round at the end. No recursion: a chain of a
        # thousand assets is deeper than Python allows.
        waiting = [(root, *self._best(self._merges[-1]))]
        found: list[int] = []
        while waiting:
            cluster, first, last = waiting.pop()
            if cluster < self._n:
                found.append(first)
                continue
            merge = self._merges[cluster - self._n]
            left, right = merge.left, merge.right
            if first not in self._below[left]:
                left, right = right, left
            inner = next(other for one, other in self._ends(left) if first in one)
            near = next(other for one, other in self._ends(right) if last in one)
            between = self._distance[np.ix_(inner, near)]
            sums = self._cost[first, inner][:, None] + between + self._cost[near, last][None, :]
            i, j = divmod(int(np.argmin(sums)), len(near))
            waiting += [(left, first, inner[i]), (right, near[j], last)]
        return found[::-1]

    def turned(self) -> list[Merge]:
        """The merges, each part mirrored where its cluster, if it were the whole, would have it the other way round."""
        found = list(self._merges)
        mirrored = [False] * len(found)
        for at in range(len(found) - 1, -1, -1):
            merge = self._merges[at]
            first, last = self._best(merge)
            for part, end, outer in ((merge.left, first, 0), (merge.right, last, 1)):
                if part < self._n:
                    continue
                inner = self._merges[part - self._n]
                wrong = end not in self._below[(inner.left, inner.right)[outer]]
                mirrored[part - self._n] = mirrored[at] != wrong
            if mirrored[at]:
                found[at] = merge._replace(left=merge.right, right=merge.left)
        return found

    def _join(self, merge: Merge) -> None:
        cost, right = self._cost, self._below[merge.right]
        place = {leaf: at for at, leaf in enumerate(right)}
        for first, inner in self._ends(merge.left):
            reach = _least(cost[np.ix_(first, inner)], self._distance[np.ix_(inner, right)])
            for last, near in self._ends(merge.right):
                columns = [place[leaf] for leaf in near]
                found = _least(reach[:, columns], cost[np.ix_(near, last)])
                cost[np.ix_(first, last)] = found
                cost[np.ix_(last, first)] = found.T
        self._below.append(self._below[merge.left] + right)

    def _ends(self, cluster: int) -> list[tuple[list[int], list[int]]]:
        """(leaves of one end, leaves of the other) of a cluster; of a leaf both are itself."""
        if cluster < self._n:
            return [([cluster], [cluster])]
        merge = self._merges[cluster - self._n]
        left, right = self._below[merge.left], self._below[merge.right]
        return [(left, right), (right, left)]

    def _best(self, merge: Merge) -> tuple[int, int]:
        """The ends of the best order of a merge by itself."""
        left, right = self._below[merge.left], self._below[merge.right]
        i, j = divmod(int(np.argmin(self._cost[np.ix_(left, right)])), len(right))
        return left[i], right[j]


def hierarchical_risk_parity(covariance: Array, method: str = "single", order: str = "branch") -> Hierarchical:
    """Hierarchical risk parity of a covariance (n x n).

    Parameters
    ----------
    method
        Linkage; ``single`` as in the paper.
    order
        Of the leaves, see `ordered_leaves`. The paper has ``merge``, riskfolio and skfolio ``branch``.

    Raises
    ------
    Undefined
        ``constant``: an asset has no variance; ``mismatch``: no such linkage or order; ``singular``: two halves that
        both have no variance, or one below 0, as no returns have; and see `correlation_distance`.
    """
    covariance = check_symmetric(covariance)
    distance = correlation_distance(covariance)
    merges = linkage(distance, method)
    row = np.asarray(ordered_leaves(merges, distance, order))
    weights = np.ones(len(covariance))
    waiting = [row]
    while waiting:
        part = waiting.pop()
        if len(part) < 2:
            continue
        left, right = part[: len(part) // 2], part[len(part) // 2 :]
        one, other = _variance(covariance, left), _variance(covariance, right)
        size = float(np.abs(covariance[np.ix_(part, part)]).max())
        if min(one, other) < -_ROUNDING * size or one + other <= _ROUNDING * size:
            raise Undefined(
                "singular", f"halves of variance {one:g} and {other:g}", "a covariance that returns can have"
            )
        # Below 0 by rounding is 0.
        share = min(1.0, max(0.0, 1.0 - one / (one + other)))
        weights[left] *= share
        weights[right] *= 1.0 - share
        waiting += [left, right]
    return Hierarchical(weights, tuple(row.tolist()), tuple(merges))


def _variance(covariance: Array, part: np.ndarray) -> float:
    """Of a part, weighted by inverse variance."""
    inner = covariance[np.ix_(part, part)]
    weights = 1.0 / np.diag(inner)
    weights /= weights.sum()
    return float(weights @ inner @ weights)


def _least(one: Array, other: Array) -> Array:
    """``out[u, w] = min over m of one[u, m] + other[m, w]``."""
    if one.shape[0] <= other.shape[1]:
        return np.stack([(row[:, None] + other).min(axis=0) for row in one])
    return np.stack([(one + column[None, :]).min(axis=1) for column in other.T], axis=1)
