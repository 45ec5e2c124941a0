"""Kernels of a hidden Markov model with normal densities in one dimension, compiled when this module is imported.

Each takes the observations and the model: the probabilities of the states at first, the transition matrix (from row to
column), means and variances. Forward and backward passes are scaled (Rabiner 1989): the density of each observation by
its largest over the states, the filtered probabilities by their sum.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SMALLEST_EXPONENT = -690.0  # exp of it is still a normal number

_MODEL = "float64[::1], float64[:, ::1], float64[::1], float64[::1]"


@njit(f"float64(float64[::1], {_MODEL}, float64[:, ::1], float64[:, ::1], float64[::1])", cache=True)
def forward(x, start, transition, means, variances, density, alpha, scale):  # type: ignore[no-untyped-def]
    """Fill densities (each row divided by its largest), filtered probabilities and scales; the log-likelihood."""
    length, count = alpha.shape
    constant = np.empty(count)
    half_precision = np.empty(count)
    for j in range(count):
        constant[j] = -0.5 * np.log(2.0 * np.pi * variances[j])
        half_precision[j] = 0.5 / variances[j]
    total = 0.0
    product = 1.0
    for t in range(length):
        largest = -np.inf
        for j in range(count):
            difference = x[t] - means[j]
            density[t, j] = constant[j] - half_precision[j] * difference * difference
            largest = max(largest, density[t, j])
        total += largest
        sum_ = 0.0
        for j in range(count):
            exponent = density[t, j] - largest
            # The floor keeps the scale above nought where the one plausible state cannot be reached.
            density[t, j] = 1.0 if exponent == 0.0 else np.exp(max(exponent, SMALLEST_EXPONENT))
            if t == 0:
                prior = start[j]
            else:
                prior = 0.0
                for i in range(count):
                    prior += alpha[t - 1, i] * transition[i, j]
            alpha[t, j] = prior * density[t, j]
            sum_ += alpha[t, j]
        scale[t] = sum_
        inverse = 1.0 / sum_
        for j in range(count):
            alpha[t, j] *= inverse
        # One logarithm for many scales: their product is taken until it gets small.
        if sum_ < 1e-100 or product < 1e-100:
            total += np.log(product)
            product = 1.0
            total += np.log(sum_)
        else:
            product *= sum_
    return total + np.log(product)


@njit(
    f"void(float64[::1], {_MODEL}, float64[:, ::1], float64[:, ::1], float64[::1], float64, float64[:, ::1])",
    cache=True,
)
def improve(x, start, transition, means, variances, density, alpha, scale, floor, room):  # type: ignore[no-untyped-def]
    """One round of EM in place, from what `forward` filled in; `room` is scratch of shape (5 + states, states)."""
    length, count = alpha.shape
    beta, ahead, weight, first, square = room[0], room[1], room[2], room[3], room[4]
    pairs = room[5:]
    pairs[:] = 0.0
    beta[:] = 1.0
    for j in range(count):
        gamma = alpha[length - 1, j]
        weight[j] = gamma
        first[j] = gamma * x[length - 1]
        square[j] = gamma * x[length - 1] * x[length - 1]
    for t in range(length - 2, -1, -1):
        inverse = 1.0 / scale[t + 1]
        for j in range(count):
            ahead[j] = density[t + 1, j] * beta[j] * inverse
        for i in range(count):
            sum_ = 0.0
            for j in range(count):
                step = transition[i, j] * ahead[j]
                pairs[i, j] += alpha[t, i] * step
                sum_ += step
            beta[i] = sum_
            gamma = alpha[t, i] * sum_
            weight[i] += gamma
            first[i] += gamma * x[t]
            square[i] += gamma * x[t] * x[t]
    for i in range(count):
        start[i] = alpha[0, i] * beta[i]
        row = 0.0
        for j in range(count):
            row += pairs[i, j]
        if row > 1e-300:
            for j in range(count):
                transition[i, j] = pairs[i, j] / row
        if weight[i] > 1e-300:
            means[i] = first[i] / weight[i]
            variances[i] = max(square[i] / weight[i] - means[i] * means[i], floor)


@njit("void(float64[::1], float64[:, ::1], float64[::1], float64[::1], float64[::1])", cache=True)
def _pack(start, transition, means, variances, into):  # type: ignore[no-untyped-def]
    """All parameters as one row, variances as logarithms."""
    count = len(means)
    for i in range(count):
        into[i] = start[i]
        into[count + i] = means[i]
        into[2 * count + i] = np.log(variances[i])
        for j in range(count):
            into[3 * count + i * count + j] = transition[i, j]


@njit(
    "void(float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[::1], float64[::1], float64)", cache=True
)
def _unpack(row, last, start, transition, means, variances, floor):  # type: ignore[no-untyped-def]
    """The parameters of a row; a probability that is none is that of `last`, and their sums are made one."""
    count = len(means)
    total = 0.0
    for i in range(count):
        start[i] = row[i] if row[i] > 0.0 else last[i]
        total += start[i]
        means[i] = row[count + i]
        variances[i] = max(np.exp(row[2 * count + i]), floor)
        sum_ = 0.0
        for j in range(count):
            place = 3 * count + i * count + j
            transition[i, j] = row[place] if row[place] > 0.0 else last[place]
            sum_ += transition[i, j]
        for j in range(count):
            transition[i, j] /= sum_
    for i in range(count):
        start[i] /= total


@njit(
    "UniTuple(float64, 2)(float64[::1], float64[::1], float64[:, ::1], float64[::1], float64[::1], int64, float64, "
    "float64)",
    cache=True,
)
def maximise(x, start, transition, means, variances, rounds, tolerance, floor):  # type: ignore[no-untyped-def]
    """Rounds of EM in place, up to `rounds` or until one gains less than `tolerance`.

    After each two rounds a step is tried along the way they went (SQUAREM, Varadhan and Roland 2008), which is taken
    where it gains: where the likelihood is flat, EM alone takes hundreds of rounds.

    Returns the log-likelihood of the parameters as they are left, and the number of rounds (negative: not converged).
    """
    length, count = len(x), len(means)
    density, other_density = np.empty((length, count)), np.empty((length, count))
    alpha, other_alpha = np.empty((length, count)), np.empty((length, count))
    scale, other_scale = np.empty(length), np.empty(length)
    room = np.empty((5 + count, count))
    rows = np.empty((4, count * (count + 3)))
    likelihood = forward(x, start, transition, means, variances, density, alpha, scale)
    done = 0
    while done < rounds:
        _pack(start, transition, means, variances, rows[0])
        for step in range(1, 3):
            improve(x, start, transition, means, variances, density, alpha, scale, floor, room)
            before = likelihood
            likelihood = forward(x, start, transition, means, variances, density, alpha, scale)
            done += 1
            if abs(likelihood - before) < tolerance:
                return likelihood, float(done)
            _pack(start, transition, means, variances, rows[step])
        change = rows[1] - rows[0]
        bend = rows[2] - rows[1] - change
        size = np.sqrt(np.sum(bend * bend))
        length_ratio = np.sqrt(np.sum(change * change)) / size if size > 0.0 else 0.0
        if length_ratio > 1.0:
            rows[3] = rows[0] + 2.0 * length_ratio * change + length_ratio * length_ratio * bend
            _unpack(rows[3], rows[2], start, transition, means, variances, floor)
            tried = forward(x, start, transition, means, variances, other_density, other_alpha, other_scale)
            if tried > likelihood:
                likelihood = tried
                density, other_density = other_density, density
                alpha, other_alpha = other_alpha, alpha
                scale, other_scale = other_scale, scale
            else:
                _unpack(rows[2], rows[2], start, transition, means, variances, floor)
    return likelihood, -float(rounds)


@njit(f"void(float64[::1], {_MODEL}, float64[:, ::1], float64[:, ::1])", cache=True)
def smooth(x, start, transition, means, variances, alpha, gamma):  # type: ignore[no-untyped-def]
    """Fill filtered (`alpha`) and smoothed (`gamma`) probabilities."""
    length, count = alpha.shape
    density = np.empty((length, count))
    scale = np.empty(length)
    forward(x, start, transition, means, variances, density, alpha, scale)
    beta = np.ones(count)
    ahead = np.empty(count)
    gamma[length - 1] = alpha[length - 1]
    for t in range(length - 2, -1, -1):
        for j in range(count):
            ahead[j] = density[t + 1, j] * beta[j] / scale[t + 1]
        total = 0.0
        for i in range(count):
            beta[i] = 0.0
            for j in range(count):
                beta[i] += transition[i, j] * ahead[j]
            gamma[t, i] = alpha[t, i] * beta[i]
            total += gamma[t, i]
        for i in range(count):
            gamma[t, i] /= total


@njit(f"void(float64[::1], {_MODEL}, int64[::1])", cache=True)
def viterbi(x, start, transition, means, variances, path):  # type: ignore[no-untyped-def]
    """Fill the most likely path, in logarithms; of equally likely ones that of the lower state."""
    length, count = len(x), len(means)
    back = np.empty((length, count), np.int8)
    best = np.empty(count)
    before = np.empty(count)
    steps = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            steps[i, j] = np.log(transition[i, j]) if transition[i, j] > 0.0 else -np.inf
        best[i] = np.log(start[i]) if start[i] > 0.0 else -np.inf
        best[i] += -0.5 * np.log(variances[i]) - 0.5 * (x[0] - means[i]) ** 2 / variances[i]
    for t in range(1, length):
        before[:] = best
        for j in range(count):
            origin = 0
            value = before[0] + steps[0, j]
            for i in range(1, count):
                other = before[i] + steps[i, j]
                if other > value:
                    value, origin = other, i
            back[t, j] = origin
            best[j] = value - 0.5 * np.log(variances[j]) - 0.5 * (x[t] - means[j]) ** 2 / variances[j]
    state = 0
    for j in range(1, count):
        if best[j] > best[state]:
            state = j
    for t in range(length - 1, -1, -1):
        path[t] = state
        if t > 0:
            state = back[t, state]
