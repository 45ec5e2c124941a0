"""The normal distribution on arrays, beside the C library."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import normal


def test_the_distribution_agrees_with_the_c_library_to_the_last_bits():
    x = np.concatenate([np.linspace(-8.0, 8.0, 20_001), np.linspace(-37.0, 37.0, 5_001)])
    wanted = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x])
    found = normal.cdf(x)
    assert np.max(np.abs(found - wanted)) <= 3e-16
    tail = (wanted > 1e-290) & (np.abs(x) < 8)
    assert np.max(np.abs(found[tail] / wanted[tail] - 1.0)) < 2e-14  # the argument is rounded before it is squared


def test_the_complement_keeps_its_relative_accuracy_in_the_tail():
    x = np.linspace(-6.0, 26.0, 40_001)
    wanted = np.array([math.erfc(value) for value in x])
    assert np.max(np.abs(normal.erfc(x) / wanted - 1.0)) < 2e-15


def test_the_scaled_complement_is_the_complement_scaled_and_never_overflows_above_zero():
    x = np.linspace(-3.0, 5.0, 2_001)
    wanted = np.array([math.exp(value * value) * math.erfc(value) for value in x])
    assert np.max(np.abs(normal.erfcx(x) / wanted - 1.0)) < 1e-14
    assert abs(float(normal.erfcx(1e6)) * 1e6 * math.sqrt(math.pi) - 1.0) < 1e-11


@given(st.floats(1e-300, 1.0 - 1e-12))
def test_the_quantile_is_the_inverse(p):
    back = float(normal.cdf(normal.quantile(p)))
    assert abs(back / p - 1.0) < 1e-12


def test_the_quantile_at_the_ends_is_infinite_and_a_scalar_stays_one():
    assert float(normal.quantile(0.0)) == -math.inf
    assert float(normal.quantile(1.0)) == math.inf
    assert np.isnan(normal.quantile(1.5))
    assert normal.cdf(0.0).shape == ()
    assert float(normal.cdf(0.0)) == 0.5
