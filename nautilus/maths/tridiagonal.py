"""A symmetric matrix made tridiagonal by reflections, beginning at a given vector.

``V' G V = T`` with V orthogonal, T tridiagonal and ``V e1`` along the vector c (A. S. Householder, 1958; G. H. Golub,
C. F. Van Loan, "Matrix Computations", section 8.3.1, with one reflection more before the first). For normal w the
quadratic form ``c' x + x' G x / 2`` has then a cost that grows with the dimension, not its square.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from nautilus.maths.bounds import shaped
from nautilus.maths.errors import finite
from nautilus.maths.var import Floats

_SIGNATURES: Final = {
    "reflect": "Tuple((float64, float64))(float64[:], float64[:])",
    "basis": "void(float64[:, ::1], float64[::1], float64[:, ::1])",
    "reduce": "float64(float64[:, ::1], float64[::1], float64[:, ::1], float64[::1], float64[::1], float64[::1])",
}


@njit(_SIGNATURES["reflect"], cache=True, fastmath=True)
def _reflect(x: Floats, v: Floats) -> tuple[float, float]:
    """Fill v so that ``(1 - tau v v') x = alpha e1``; tau and alpha."""
    rest = 0.0
    for i in range(1, x.shape[0]):
        rest += x[i] * x[i]
    if rest == 0.0:
        for i in range(x.shape[0]):
            v[i] = 0.0
        return 0.0, x[0]
    norm = np.sqrt(x[0] * x[0] + rest)
    alpha = -norm if x[0] > 0.0 else norm
    head = x[0] - alpha
    v[0] = 1.0
    for i in range(1, x.shape[0]):
        v[i] = x[i] / head
    return 2.0 * head * head / (head * head + rest), alpha


@njit(_SIGNATURES["reduce"], cache=True, fastmath=True)
def _reduce(
    matrix: Floats, vector: Floats, reflectors: Floats, taus: Floats, diagonal: Floats, beside: Floats
) -> float:
    """Overwrite the lower triangle of the matrix; each step passes over what is left of it once.

    The reflection of the next step is known from one column, so the product that it needs is summed up while this
    step's update is written.
    """
    n = matrix.shape[0]
    v, w, p = np.zeros(n), np.zeros(n), np.zeros(n)
    following, column = np.zeros(n), np.zeros(n)
    tau, first = _reflect(vector, v)
    reflectors[0, :] = v
    taus[0] = tau
    for i in range(n):
        total = 0.0
        for j in range(i):
            total += matrix[i, j] * v[j]
            p[j] += matrix[i, j] * v[i]
        p[i] += total + matrix[i, i] * v[i]
    begin = 0
    for k in range(n):
        product = 0.0
        for i in range(begin, n):
            product += p[i] * v[i]
        half = 0.5 * tau * tau * product
        for i in range(begin, n):
            w[i] = tau * p[i] - half * v[i]
        for i in range(k, n):
            column[i] = matrix[i, k] - v[i] * w[k] - w[i] * v[k]
        diagonal[k] = column[k]
        if k == n - 1:
            break
        next_tau, beside[k] = _reflect(column[k + 1 :], following[k + 1 :])
        taus[k + 1] = next_tau
        for i in range(k + 1, n):
            reflectors[k + 1, i] = following[i]
            p[i] = 0.0
        for i in range(k + 1, n):
            left, right, new = v[i], w[i], following[i]
            total = 0.0
            for j in range(k + 1, i):
                entry = matrix[i, j] - left * w[j] - right * v[j]
                matrix[i, j] = entry
                total += entry * following[j]
                p[j] += entry * new
            entry = matrix[i, i] - 2.0 * left * right
            matrix[i, i] = entry
            p[i] += total + entry * new
        for i in range(k + 1, n):
            v[i] = following[i]
        tau, begin = next_tau, k + 1
    return float(first)


@njit(_SIGNATURES["basis"], cache=True, fastmath=True)
def _accumulate(reflectors: Floats, taus: Floats, basis: Floats) -> None:
    """The product of the reflections, the last one first: each touches only what later ones have changed."""
    n = taus.shape[0]
    product = np.zeros(n)
    for k in range(n - 1, -1, -1):
        tau = taus[k]
        if tau == 0.0:
            continue
        product[:] = 0.0
        for i in range(k, n):
            share = reflectors[k, i]
            for j in range(k, n):
                product[j] += share * basis[i, j]
        for i in range(k, n):
            share = tau * reflectors[k, i]
            for j in range(k, n):
                basis[i, j] -= share * product[j]


class Tridiagonal:
    """The form of a matrix, and the way back from it.

    Parameters
    ----------
    matrix
        Symmetric, n x n.
    vector
        n, 1 or more; the first basis vector lies along it.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``not_finite``, ``out_of_range``.
    """

    def __init__(self, matrix: Floats, vector: Floats) -> None:
        vector = finite(vector, "a vector")
        n = vector.size
        matrix = shaped(matrix, "a matrix", (n, n))
        self.diagonal = np.zeros(n)
        self.beside = np.zeros(max(0, n - 1))
        self._reflectors = np.zeros((n, n))
        self._taus = np.zeros(n)
        self.first = float(
            _reduce(
                np.array(matrix, dtype=np.float64, order="C"),
                np.array(vector, dtype=np.float64),
                self._reflectors,
                self._taus,
                self.diagonal,
                self.beside,
            )
        )
        """What the vector is along the first basis vector."""

    @property
    def size(self) -> int:
        """Basis vectors that the form, or the vector, has a part in: the others add nothing to any outcome."""
        scale = max(1e-300, float(np.abs(self.diagonal).max()), float(np.abs(self.beside).max(initial=0.0)))
        used = np.flatnonzero(np.abs(self.diagonal) > 1e-15 * scale)
        coupled = np.flatnonzero(np.abs(self.beside) > 1e-15 * scale)
        return 1 + max(int(used[-1]) if used.size else 0, int(coupled[-1]) + 1 if coupled.size else 0)

    @property
    def basis(self) -> Floats:
        """The new basis vectors in the old basis, n x n, as columns: V."""
        found = np.eye(self._taus.size)
        _accumulate(self._reflectors, self._taus, found)
        return found


__all__ = ["Tridiagonal"]
