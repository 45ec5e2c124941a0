"""The linear program of conditional value at risk, with its scenarios eliminated.

Rockafellar and Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2 (2000): CVaR at level beta of
the losses -Rx is the minimum over t of ``t + sum(max(-Rx - t, 0)) / ((1 - beta) T)``, so with u >= -Rx - t and u >= 0
it is a linear program of n + 1 + T unknowns. Each u is in two inequalities of its own, so a step's system is solved for
the n + 1 others alone: T scenarios cost T n^2 a step, not T^3.
"""

from __future__ import annotations

import numpy as np

from nautilus.maths.bounds import shaped
from nautilus.maths.errors import Undefined
from nautilus.maths.quadratic import Array, DenseProgram, Solver, bordered


class CvarProgram:
    """Minimise CVaR of -Rx at `beta` plus ``0.5 x'Px + q'x`` over the x of a dense program.

    Parameters
    ----------
    returns
        R (T x n): scenarios of the unknowns of `over`.
    beta
        Level, such as 0.95.
    over
        Constraints of x, and what its own objective adds.

    Raises
    ------
    Undefined
        ``mismatch``, ``empty``, ``not_finite``; ``out_of_range``: the level is not between 0 and 1.
    """

    def __init__(self, returns: Array, beta: float, over: DenseProgram) -> None:
        self._r, self._over = shaped(returns, "scenarios", (None, len(over.q))), over
        count, n = self._r.shape
        if not count:
            raise Undefined("empty", "no scenarios", "at least one")
        if not 0.0 < beta < 1.0:
            raise Undefined("out_of_range", f"level {beta}", "between 0 and 1")
        self._n, self._count = n, count
        self.q = np.concatenate([over.q, [1.0], np.full(count, 1.0 / ((1.0 - beta) * count))])
        self.b = over.b
        self.h = np.concatenate([over.h, np.zeros(2 * count)])
        self._m = len(over.h)

    def hessian(self, x: Array, /) -> Array:
        """See `Program`."""
        given = np.zeros(len(x))
        given[: self._n] = self._over.hessian(x[: self._n])
        return given

    def inequality(self, x: Array, /) -> Array:
        """See `Program`: those of x, then the shortfall of each scenario below u, then -u."""
        weights, t, u = x[: self._n], x[self._n], x[self._n + 1 :]
        return np.concatenate([self._over.inequality(weights), -(self._r @ weights) - t - u, -u])

    def inequality_transposed(self, z: Array, /) -> Array:
        """See `Program`."""
        own, short, above = z[: self._m], z[self._m : self._m + self._count], z[self._m + self._count :]
        weights = self._over.inequality_transposed(own) - self._r.T @ short
        return np.concatenate([weights, [-short.sum()], -short - above])

    def equality(self, x: Array, /) -> Array:
        """See `Program`."""
        return self._over.equality(x[: self._n])

    def equality_transposed(self, y: Array, /) -> Array:
        """See `Program`."""
        return np.concatenate([self._over.equality_transposed(y), np.zeros(1 + self._count)])

    def factor(self, weight: Array, /) -> Solver:
        """See `Program`: u of scenario i has the diagonal d_i + e_i and meets x and t through d_i alone."""
        n, m, count = self._n, self._m, self._count
        own, d, e = weight[:m], weight[m : m + count], weight[m + count :]
        both = d + e
        left = d * (e / both)
        block = np.zeros((n + 1, n + 1))
        block[:n, :n] = self._over.block(own) + (self._r.T * left) @ self._r
        block[:n, n] = block[n, :n] = self._r.T @ left
        block[n, n] = left.sum()
        a = np.hstack([self._over.a, np.zeros((len(self.b), 1))])
        inner = bordered(block, a)
        share = d / both

        def solve(first: Array, second: Array) -> tuple[Array, Array]:
            head, tail = first[: n + 1].copy(), first[n + 1 :]
            # Row of u_i: d_i (r_i x + t) + (d_i + e_i) u_i = tail_i.
            moved = share * tail
            head[:n] -= self._r.T @ moved
            head[n] -= moved.sum()
            x, y = inner(head, second)
            u = (tail - d * (self._r @ x[:n] + x[n])) / both
            return np.concatenate([x, u]), y

        return solve
