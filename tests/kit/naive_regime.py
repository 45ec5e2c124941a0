"""A plain second implementation of the hidden Markov model: sums over logarithms, no scaling, no compiled code."""

from __future__ import annotations

import itertools

import numpy as np


def log_sum(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Logarithm of the sum of exponentials."""
    largest = np.max(values, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(values - largest), axis=axis, keepdims=True)) + largest
    return np.squeeze(total, axis=axis) if axis is not None else total.reshape(())


def log_density(x: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Shape (observations, states)."""
    return -0.5 * (np.log(2 * np.pi * variances) + (x[:, None] - means) ** 2 / variances)


def forward_backward(
    x: np.ndarray, start: np.ndarray, transition: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, filtered and smoothed probabilities."""
    with np.errstate(divide="ignore"):
        first, step = np.log(start), np.log(transition)
    density = log_density(x, means, variances)
    alpha = np.empty_like(density)
    beta = np.zeros_like(density)
    alpha[0] = first + density[0]
    for t in range(1, len(x)):
        alpha[t] = density[t] + log_sum(alpha[t - 1][:, None] + step, axis=0)
    for t in range(len(x) - 2, -1, -1):
        beta[t] = log_sum(step + density[t + 1] + beta[t + 1], axis=1)
    total = float(log_sum(alpha[-1]))
    filtered = np.exp(alpha - log_sum(alpha, axis=1)[:, None])
    return total, filtered, np.exp(alpha + beta - total)


def likeliest_path(
    x: np.ndarray, start: np.ndarray, transition: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[float, tuple[int, ...]]:
    """Of a short series: every path tried."""
    density = log_density(x, means, variances)
    best: tuple[float, tuple[int, ...]] = (-np.inf, ())
    for path in itertools.product(range(len(means)), repeat=len(x)):
        value = np.log(start[path[0]]) + density[0, path[0]]
        for t in range(1, len(x)):
            value += np.log(transition[path[t - 1], path[t]]) + density[t, path[t]]
        if value > best[0]:
            best = (float(value), path)
    return best


def improved(
    x: np.ndarray, start: np.ndarray, transition: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The parameters after one more round of EM."""
    with np.errstate(divide="ignore"):
        step = np.log(transition)
    _, filtered, smoothed = forward_backward(x, start, transition, means, variances)
    density = log_density(x, means, variances)
    pairs = np.zeros_like(transition)
    for t in range(1, len(x)):
        # Of the state at t - 1 and that at t, given all: by Bayes from the filtered and the smoothed ones.
        joint = np.log(np.maximum(filtered[t - 1], 1e-300))[:, None] + step + density[t]
        predicted = np.exp(joint - log_sum(joint))
        column = predicted.sum(axis=0)
        pairs += predicted * np.divide(smoothed[t], column, out=np.zeros_like(column), where=column > 0)
    weight = smoothed.sum(axis=0)
    centres = smoothed.T @ x / weight
    spread = (smoothed * (x[:, None] - centres) ** 2).sum(axis=0) / weight
    return smoothed[0], pairs / pairs.sum(axis=1, keepdims=True), centres, spread
