"""Standard normal numbers by the million, each path with a stream of its own, so that a path can be drawn again.

Path p of a seed has the generator xoshiro128++ (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number
generators", 2021), whose 128 bits come of SplitMix64 at the counter p. The numbers of a path do not hang on how many
paths there are, nor on which thread draws it. A pair of 32-bit words makes two normal numbers (G. E. P. Box,
M. E. Muller, 1958) in single precision: logarithm, sine and cosine by the polynomials of Cephes, errors below 2e-7,
no number beyond 6.66 (a probability of 3e-11). Paths lie side by side in lanes, so that one instruction serves many.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import config, njit, prange
from numpy.typing import NDArray

from nautilus.maths.bounds import shaped, whole_numbers, within

# Threads of the other layers do not outlive a fork.
setattr(config, "THREADING_LAYER", "workqueue")  # noqa: B010 - numba makes its settings' names as it reads them

LANES: Final = 256
MOST_PATHS: Final = 10_000_000
MOST_NUMBERS: Final = 1 << 31
_MOST_COEFFICIENT: Final = 1e30
_F, _U, _I, _W = np.float32, np.uint32, np.int32, np.uint64
_QUARTER_TURN: Final = float(np.pi / 4 / 2**31)
_ROWS = "float32[:, ::1]"


@njit("void(uint64, int64[::1], uint32[:, ::1])", cache=True)
def _begin(seed: Any, paths: Any, state: Any) -> None:
    """The state of the generator of each path, by SplitMix64."""
    for lane in range(paths.shape[0]):
        z = seed + _W(paths[lane]) * _W(2) * _W(0x9E3779B97F4A7C15)
        for half in range(2):
            z = z + _W(0x9E3779B97F4A7C15)
            y = (z ^ (z >> _W(30))) * _W(0xBF58476D1CE4E5B9)
            y = (y ^ (y >> _W(27))) * _W(0x94D049BB133111EB)
            y = y ^ (y >> _W(31))
            state[2 * half, lane] = _U(y & _W(0xFFFFFFFF))
            state[2 * half + 1, lane] = _U(y >> _W(32))
        state[3, lane] = _U(state[3, lane] | _U(1))  # not all zero


@njit("void(uint32[:, ::1], uint32[::1], uint32[::1], float32[::1], float32[::1])", cache=True, fastmath=True)
def _pair(state: Any, bits: Any, turns: Any, first: Any, second: Any) -> None:
    """The next two numbers of each lane."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    mantissa = bits.view(np.float32)
    signed = bits.view(np.int32)
    count = bits.shape[0]
    for p in range(count):
        t0, t1, t2, t3 = s0[p], s1[p], s2[p], s3[p]
        r = _U(t0 + t3)
        r = _U(_U(_U(r << _U(7)) | _U(r >> _U(25))) + t0)
        t = _U(t1 << _U(9))
        t2, t3 = _U(t2 ^ t0), _U(t3 ^ t1)
        t1, t0 = _U(t1 ^ t2), _U(t0 ^ t3)
        t2, t3 = _U(t2 ^ t), _U(_U(t3 << _U(11)) | _U(t3 >> _U(21)))
        mantissa[p] = _F(_I(r >> _U(1))) * _F(2.0**-31) + _F(2.0**-32)
        r = _U(t0 + t3)
        r = _U(_U(_U(r << _U(7)) | _U(r >> _U(25))) + t0)
        t = _U(t1 << _U(9))
        t2, t3 = _U(t2 ^ t0), _U(t3 ^ t1)
        t1, t0 = _U(t1 ^ t2), _U(t0 ^ t3)
        t2, t3 = _U(t2 ^ t), _U(_U(t3 << _U(11)) | _U(t3 >> _U(21)))
        s0[p], s1[p], s2[p], s3[p] = t0, t1, t2, t3
        turns[p] = r
    for p in range(count):  # a number is 2 to the exponent, times a mantissa from 0.707 to 1.414
        exponent = _I(_I(signed[p] - _I(0x3F3504F3)) >> _I(23))
        first[p] = _F(exponent)
        signed[p] = _I(signed[p] - _I(exponent << _I(23)))
    for p in range(count):
        exponent = first[p]
        x = mantissa[p] - _F(1.0)
        z = x * x
        y = _F(7.0376836292e-2)
        y = y * x - _F(1.1514610310e-1)
        y = y * x + _F(1.1676998740e-1)
        y = y * x - _F(1.2420140846e-1)
        y = y * x + _F(1.4249322787e-1)
        y = y * x - _F(1.6668057665e-1)
        y = y * x + _F(2.0000714765e-1)
        y = y * x - _F(2.4999993993e-1)
        y = y * x + _F(3.3333331174e-1)
        y = y * x * z - _F(0.5) * z + x + exponent * _F(0.69314718056)
        first[p] = np.sqrt(max(_F(-2.0) * y, _F(0.0)))
    for p in range(count):  # an angle within an eighth of a turn, then as many quarters as the upper two bits say
        r = turns[p]
        f = _F(_I(r << _U(2))) * _F(_QUARTER_TURN)
        z = f * f
        sine = ((_F(-1.9515295891e-4) * z + _F(8.3321608736e-3)) * z - _F(1.6666654611e-1)) * z * f + f
        cosine = (_F(2.443315711809948e-5) * z - _F(1.388731625493765e-3)) * z + _F(4.166664568298827e-2)
        cosine = cosine * z * z - _F(0.5) * z + _F(1.0)
        quarter = _I(r >> _U(30))
        across = cosine if quarter & _I(1) else sine
        along = sine if quarter & _I(1) else cosine
        radius = first[p]
        first[p] = radius * along * (_F(1.0) if quarter == _I(0) or quarter == _I(3) else _F(-1.0))
        second[p] = radius * across * (_F(1.0) if quarter < _I(2) else _F(-1.0))


@njit("void(uint64, float32[::1], float32[::1], float32[::1], float32[::1])", cache=True, fastmath=True, parallel=True)
def _forms(seed: Any, squares: Any, products: Any, linear: Any, quadratic: Any) -> None:
    """Of every path the first number, and the tridiagonal form of all of them."""
    count = linear.shape[0]
    size = squares.shape[0]
    for block in prange((count + LANES - 1) // LANES):
        begin = block * LANES
        lanes = min(LANES, count - begin)
        paths = np.arange(begin, begin + LANES)
        state = np.empty((4, LANES), np.uint32)
        bits, turns = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
        first, second = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        before, total = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
        _begin(seed, paths, state)
        for j in range(0, size, 2):
            square, square_next = squares[j], squares[j + 1]
            product, product_next = products[j], products[j + 1]
            _pair(state, bits, turns, first, second)
            for p in range(LANES):
                one, two = first[p], second[p]
                total[p] += one * (square * one + product * before[p]) + two * (square_next * two + product_next * one)
                before[p] = two
            if j == 0:
                for p in range(lanes):
                    linear[begin + p] = first[p]
        for p in range(lanes):
            quadratic[begin + p] = total[p]


@njit("void(uint64, int64[::1], float32[:, ::1])", cache=True, fastmath=True, parallel=True)
def _numbers(seed: Any, wanted: Any, rows: Any) -> None:
    """All numbers of some paths."""
    count, size = rows.shape
    for block in prange((count + LANES - 1) // LANES):
        begin = block * LANES
        lanes = min(LANES, count - begin)
        paths = np.zeros(LANES, np.int64)
        for p in range(lanes):
            paths[p] = wanted[begin + p]
        state = np.empty((4, LANES), np.uint32)
        bits, turns = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
        first, second = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        _begin(seed, paths, state)
        for j in range(0, size, 2):
            _pair(state, bits, turns, first, second)
            for p in range(lanes):
                rows[begin + p, j] = first[p]
                if j + 1 < size:
                    rows[begin + p, j + 1] = second[p]


def _mixed(seed: int) -> np.uint64:
    """The seed, spread, so that neighbours share no counters."""
    mask = (1 << 64) - 1
    z = (seed + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return np.uint64(z ^ (z >> 31))


def tridiagonal_forms(
    seed: int, paths: int, squares: NDArray[np.float64], products: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw w of every path; its first number, and ``sum(squares w^2) + sum(products w[1:] w[:-1])``.

    Parameters
    ----------
    seed
        0 or more.
    paths
        How many; path p is the same whatever their number.
    squares, products
        n and n - 1 coefficients.

    Returns
    -------
    first, form
        One of each path, in single precision.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: a seed below 0 or from 2^63, no path or more than `MOST_PATHS`,
        coefficients beyond single precision.
    """
    within(seed, "seed", 0, (1 << 63) - 1)
    within(paths, "paths", 1, MOST_PATHS)
    squares = shaped(squares, "squares", (None,))
    products = shaped(products, "products", (max(0, squares.size - 1),))
    for row in (squares, products):
        within(float(np.abs(row).max(initial=0.0)), "a coefficient", 0.0, _MOST_COEFFICIENT)
    size = squares.size + squares.size % 2
    padded = np.zeros((2, size), np.float32)
    padded[0, : squares.size] = squares
    padded[1, 1 : squares.size] = products
    first, form = np.empty(paths, np.float32), np.empty(paths, np.float32)
    _forms(_mixed(seed), padded[0], padded[1], first, form)
    return first, form


def normal_numbers(seed: int, paths: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """The first `count` numbers of each of these paths: a row of each.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: a seed, a path below 0, or more than `MOST_NUMBERS` in all.
    """
    within(seed, "seed", 0, (1 << 63) - 1)
    wanted = whole_numbers(paths, "paths", least=0)
    within(count, "numbers of a path", 1, MOST_NUMBERS // max(1, wanted.size))
    rows = np.empty((wanted.size, count), np.float32)
    # A copy: what is compiled takes no array that may not be written.
    _numbers(_mixed(seed), wanted.copy(), rows)
    return rows


__all__ = ["LANES", "MOST_NUMBERS", "MOST_PATHS", "normal_numbers", "tridiagonal_forms"]
