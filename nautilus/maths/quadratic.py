"""Convex quadratic programs by a primal-dual interior point, in NumPy alone.

``minimise 0.5 x'Px + q'x  subject to  Ax = b, Gx <= h`` with P positive semidefinite (P = 0: a linear program), by
Mehrotra's predictor-corrector: Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim.
2 (1992); in the form for quadratic programs of Nocedal and Wright, Numerical Optimization, 2nd ed., section 16.6.

What depends on the structure of a problem is asked of a `Program`: products with P, G and A, and the solution of the
linear system of a step. `DenseProgram` has matrices; a problem with more structure has a class of its own
(`nautilus.maths.cvar_program`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped
from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]
Solver = Callable[[Array, Array], tuple[Array, Array]]
"""The right sides of the step's two rows to its two parts."""

TOLERANCE = 1e-10
MOST_ITERATIONS = 100
_TO_BORDER = 0.995
_CERTAIN = 1e-8
_GOOD = 1e-8
"""What is as near as this is an answer, where rounding lets nothing come nearer."""
_SMALL = 1e-6
_PATIENCE = 6
_SHORT, _CENTRE = 0.5, 0.3
_REGULAR = 1e-13


class Program(Protocol):
    """A convex quadratic program with `n` unknowns."""

    q: Array
    b: Array
    h: Array

    def hessian(self, x: Array, /) -> Array:
        """P x."""
        ...

    def inequality(self, x: Array, /) -> Array:
        """G x."""
        ...

    def inequality_transposed(self, z: Array, /) -> Array:
        """G' z."""
        ...

    def equality(self, x: Array, /) -> Array:
        """A x."""
        ...

    def equality_transposed(self, y: Array, /) -> Array:
        """A' y."""
        ...

    def factor(self, weight: Array, /) -> Solver:
        """Of ``[P + G' diag(weight) G, A'; A, 0]``: what solves it for a right side."""
        ...


class Solution(NamedTuple):
    """Where a program is least.

    Parameters
    ----------
    x
        The unknowns.
    objective
        The value there.
    gap
        Between the primal and the dual value: no value is lower than ``objective - gap``.
    iterations
        Steps taken.
    equality_duals, inequality_duals
        Multipliers of ``Ax = b`` and ``Gx <= h``.
    """

    x: Array
    objective: float
    gap: float
    iterations: int
    equality_duals: Array
    inequality_duals: Array


class DenseProgram:
    """A program of matrices, with bounds of single unknowns kept apart from the rows of `inequality`.

    Parameters
    ----------
    p, q
        P (n x n, symmetric positive semidefinite) and q (n).
    a, b
        Rows that hold exactly (k x n, k); None: none.
    g, h
        Rows that hold as at most (m x n, m); None: none.
    lower, upper
        Bounds of the unknowns (n); infinite where there is none.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``: beyond 1e60.
    """

    def __init__(
        self,
        p: Array,
        q: Array,
        a: Array | None = None,
        b: Array | None = None,
        g: Array | None = None,
        h: Array | None = None,
        lower: Array | None = None,
        upper: Array | None = None,
    ) -> None:
        self.q = shaped(q, "q", (None,))
        n = len(self.q)
        self.p = shaped(p, "p", (n, n))
        self.a = np.zeros((0, n)) if a is None else shaped(a, "a", (None, n))
        self.b = np.zeros(0) if b is None else shaped(b, "b", (len(self.a),))
        self.g = np.zeros((0, n)) if g is None else shaped(g, "g", (None, n))
        rows = np.zeros(0) if h is None else shaped(h, "h", (len(self.g),))
        if len(self.b) != len(self.a) or len(rows) != len(self.g):
            raise Undefined("mismatch", "rows without what they are to be", "a with b, g with h")
        low = np.full(n, -np.inf) if lower is None else _limits(lower, n)
        high = np.full(n, np.inf) if upper is None else _limits(upper, n)
        self._low, self._high = np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
        self.h = np.concatenate([rows, -low[self._low], high[self._high]])
        self._rows = len(rows)

    def hessian(self, x: Array, /) -> Array:
        """See `Program`."""
        return self.p @ x

    def inequality(self, x: Array, /) -> Array:
        """See `Program`."""
        return np.concatenate([self.g @ x, -x[self._low], x[self._high]])

    def inequality_transposed(self, z: Array, /) -> Array:
        """See `Program`."""
        rows, low = self._rows, self._rows + len(self._low)
        given = self.g.T @ z[:rows]
        given[self._low] -= z[rows:low]
        given[self._high] += z[low:]
        return given

    def equality(self, x: Array, /) -> Array:
        """See `Program`."""
        return self.a @ x

    def equality_transposed(self, y: Array, /) -> Array:
        """See `Program`."""
        return self.a.T @ y

    def block(self, weight: Array) -> Array:
        """P + G' diag(weight) G."""
        rows, low = self._rows, self._rows + len(self._low)
        block = self.p + (self.g.T * weight[:rows]) @ self.g
        block[self._low, self._low] += weight[rows:low]
        block[self._high, self._high] += weight[low:]
        return block

    def factor(self, weight: Array, /) -> Solver:
        """See `Program`."""
        return bordered(self.block(weight), self.a)


def _limits(values: Array, n: int) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (n,):
        raise Undefined("mismatch", f"bounds of shape {found.shape}", f"({n})")
    if np.isnan(found).any():
        raise Undefined("not_finite", "a bound that is NaN", "numbers, or infinity")
    shaped(found[np.isfinite(found)], "bounds", (None,))
    return found


def bordered(block: Array, a: Array) -> Solver:
    """What solves ``[block, A'; A, 0]`` for right sides; once refined.

    The block is inverted, not factored: NumPy has no solution with a triangular factor, and two right sides follow.

    Raises
    ------
    Undefined
        ``mismatch``; ``singular``: there is no inverse.
    """
    if block.ndim != 2 or block.shape[0] != block.shape[1] or a.shape[1:] != block.shape[1:]:
        raise Undefined("mismatch", f"a block of shape {block.shape}, rows of shape {a.shape}", "n x n and k x n")
    n, k = len(block), len(a)
    scale = np.abs(np.diag(block)).max(initial=0.0) or 1.0
    whole = np.zeros((n + k, n + k))
    whole[:n, :n] = block
    whole[:n, n:] = a.T
    whole[n:, :n] = a
    regular = whole.copy()
    regular[np.arange(n), np.arange(n)] += _REGULAR * scale
    # Rows of A may say the same twice: without this there would be no inverse.
    regular[np.arange(n, n + k), np.arange(n, n + k)] -= _REGULAR / scale
    try:
        inverse = np.linalg.inv(regular)
    except np.linalg.LinAlgError:
        raise Undefined("singular", "the system of a step", "constraints that do not repeat one another") from None

    def solve(first: Array, second: Array) -> tuple[Array, Array]:
        right = np.concatenate([first, second])
        found = inverse @ right
        for _ in range(2):
            found += inverse @ (right - whole @ found)
        return found[:n], found[n:]

    return solve


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # what is no number ends the search
def solve(program: Program, *, tolerance: float = TOLERANCE, most: int = MOST_ITERATIONS) -> Solution:
    """The solution of a convex quadratic program.

    Parameters
    ----------
    program
        P must be positive semidefinite: that is not looked at.
    tolerance
        Of the residuals and of the gap, relative to the size of the numbers.

    Raises
    ------
    Undefined
        ``infeasible``: nothing meets the constraints; ``out_of_range``: the value has no bound below;
        ``not_converged``: neither was shown within `most` steps.
    """
    q, b, h = program.q, program.b, program.h
    scale = max(1.0, float(np.abs(q).max(initial=0.0)), float(np.abs(h).max(initial=0.0)))
    if len(h) == 0:
        return _without_inequalities(program)
    first, y = program.factor(np.ones(len(h)))(-q + program.inequality_transposed(h), b)
    x = first
    away = h - program.inequality(x)
    s = np.maximum(np.abs(away), 1e-2)
    z = np.maximum(np.abs(away), 1e-2)
    best, since = np.inf, 0
    good: Solution | None = None
    for iteration in range(most):
        px = program.hessian(x)
        dual = px + q + program.equality_transposed(y) + program.inequality_transposed(z)
        equal = program.equality(x) - b
        bound = program.inequality(x) + s - h
        mu = float(s @ z) / len(h)
        objective = float(0.5 * (x @ px) + q @ x)
        error = max(_largest(dual), _largest(equal), _largest(bound)) / scale
        gap = float(s @ z)
        found = Solution(x, objective, gap, iteration, y, z)
        if error <= tolerance and gap <= tolerance * max(abs(objective), _SMALL):
            return found
        _certificates(program, x, y, z, px)
        left = error + gap
        if not np.isfinite(left):
            break
        if left < best:
            best, since = left, iteration
            if error <= _GOOD and gap <= _GOOD * (1.0 + abs(objective)):
                good = found
        elif iteration - since > _PATIENCE and good is not None:
            break  # as near as its numbers can tell
        solver = program.factor(z / s)
        affine = _step(program, solver, s, z, dual, equal, bound, s * z)
        shorter = min(_length(s, affine[2]), _length(z, affine[3]))
        after = float((s + shorter * affine[2]) @ (z + shorter * affine[3])) / len(h)
        centre = (after / mu) ** 3 if mu > 0 else 0.0
        wanted = s * z + affine[2] * affine[3] - centre * mu
        step = _step(program, solver, s, z, dual, equal, bound, wanted)
        length = _shared(s, z, step)
        if length < _SHORT:
            # The corrector is of second order and can be wrong far from the centre; steps that it cuts short may go
            # round in a circle. Towards the centre alone there is always a way.
            plain = _step(program, solver, s, z, dual, equal, bound, s * z - _CENTRE * mu)
            if _shared(s, z, plain) > length:
                step, length = plain, _shared(s, z, plain)
        dx, dy, ds, dz = step
        x, y, s, z = x + length * dx, y + length * dy, s + length * ds, z + length * dz
        if not (np.all(np.isfinite(x)) and np.all(np.isfinite(z))):
            break
    if good is not None:
        return good
    raise Undefined("not_converged", f"a quadratic program of {len(q)} unknowns after {most} steps", "a milder problem")


def _without_inequalities(program: Program) -> Solution:
    x, y = program.factor(np.zeros(0))(-program.q, program.b)
    error = max(
        _largest(program.equality(x) - program.b),
        _largest(program.hessian(x) + program.q + program.equality_transposed(y)),
    )
    if error > 1e-6 * max(1.0, _largest(program.q), _largest(program.b)):
        raise Undefined("infeasible", "a program of equations alone", "equations that can hold together")
    return Solution(x, float(0.5 * x @ program.hessian(x) + program.q @ x), 0.0, 1, y, np.zeros(0))


def _step(
    program: Program,
    solver: Solver,
    s: Array,
    z: Array,
    dual: Array,
    equal: Array,
    bound: Array,
    wanted: Array,
) -> tuple[Array, Array, Array, Array]:
    """Newton's step to where the residuals are 0 and s * z less by `wanted`."""
    pushed = (z * bound - wanted) / s
    dx, dy = solver(-dual - program.inequality_transposed(pushed), -equal)
    ds = -bound - program.inequality(dx)
    dz = (-wanted - z * ds) / s
    return dx, dy, ds, dz


def _shared(s: Array, z: Array, step: tuple[Array, Array, Array, Array]) -> float:
    """The part of a step that is taken of everything: a little less than to the border."""
    length = min(_length(s, step[2]), _length(z, step[3]))
    return min(1.0, _TO_BORDER * length) if length < 1.0 / _TO_BORDER else 1.0


def _length(values: Array, change: Array) -> float:
    """The longest step, at most 1 / `_TO_BORDER`, after which no value is negative."""
    falling = change < 0
    if not falling.any():
        return 1.0 / _TO_BORDER
    return min(1.0 / _TO_BORDER, float((-values[falling] / change[falling]).min()))


def _certificates(program: Program, x: Array, y: Array, z: Array, px: Array) -> None:
    """Leave where the multipliers prove that nothing meets the constraints (Farkas), or x that nothing bounds it."""
    value = -float(program.b @ y + program.h @ z)
    size = max(_largest(y), _largest(z))
    if value > 0 and size > 1e4:
        left = _largest(program.equality_transposed(y) + program.inequality_transposed(z))
        if left <= _CERTAIN * value:
            raise Undefined("infeasible", "the constraints", "ones that can hold together")
    gain = -float(program.q @ x)
    if gain > 0 and _largest(x) > 1e6:
        over = max(0.0, float(program.inequality(x).max(initial=0.0)))
        if max(_largest(px), _largest(program.equality(x)), over) <= _CERTAIN * gain:
            raise Undefined("out_of_range", "the value of the program", "constraints that bound it")


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))
