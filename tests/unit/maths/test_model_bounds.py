"""Numbers at the ends of what a float can hold: models give finite results or say why, and never warn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.attribution import brinson, geometric_brinson
from nautilus.maths.errors import Undefined
from nautilus.maths.execution_schedule import almgren_chriss
from nautilus.maths.factor_attribution import factor_attribution
from nautilus.maths.har import har
from nautilus.maths.linking import LINKINGS, compounded
from nautilus.maths.regime import detect_regimes
from nautilus.maths.transaction_costs import order_costs
from nautilus.maths.volatility import ewma, garch

exponents = st.integers(-320, 307)
seeds = st.integers(0, 100_000)


def shaped(seed: int, length: int, exponent: int) -> np.ndarray:
    """Noise, steps, a jump, few values or a walk, times a power of ten."""
    chance = np.random.default_rng(seed)
    values = chance.standard_normal(length)
    shape = seed % 5
    if shape == 1:
        values = np.repeat(values, 5)[:length]
    elif shape == 2:
        values[chance.integers(0, length)] = 1e6
    elif shape == 3:
        values = chance.choice([0.0, 1.0, -1.0], length)
    elif shape == 4:
        values = np.cumsum(values)
    with np.errstate(over="ignore", under="ignore"):
        return np.nan_to_num(values * 10.0**exponent)


def check(found: object) -> None:
    """Every number within is finite, those of its properties too."""
    if dataclasses.is_dataclass(found):
        names = [name for name in dir(type(found)) if isinstance(getattr(type(found), name), property)]
        for name in [field.name for field in dataclasses.fields(found)] + names:
            try:
                value = getattr(found, name)
            except Undefined:
                continue
            check(value)
    elif isinstance(found, tuple | list):
        for value in found:
            check(value)
    elif isinstance(found, dict):
        check(list(found.values()))
    elif isinstance(found, float | np.ndarray):
        assert np.isfinite(found).all()


@given(seeds, st.integers(1, 150), exponents)
def test_series_of_any_size_give_finite_models_or_say_why(seed: int, length: int, exponent: int) -> None:
    values = shaped(seed, length, exponent)
    for model in (lambda: detect_regimes(values, 2 + seed % 2), lambda: ewma(values), lambda: har(np.abs(values))):
        try:
            check(model())
        except Undefined:
            continue


@pytest.mark.parametrize("exponent", [-320, -100, -20, 20, 100, 300])
def test_garch_of_any_size_is_finite_or_says_why(exponent: int) -> None:
    try:
        check(garch(shaped(5, 150, exponent)))
    except Undefined as error:
        code = error.code
        assert code in {"constant", "out_of_range", "not_converged"}


@given(seeds, st.integers(1, 6), st.integers(1, 5), exponents, st.sampled_from(LINKINGS))
def test_attribution_of_any_size_is_finite_or_says_why(
    seed: int, periods: int, segments: int, exponent: int, linking: str
) -> None:
    weights = shaped(seed, periods * segments, 0).reshape(periods, segments)
    weights[:, -1] = 1.0 - weights[:, :-1].sum(axis=1)
    returns, other = (shaped(seed + add, periods * segments, exponent).reshape(weights.shape) for add in (1, 2))
    for attribute in (
        lambda: brinson(weights, returns, weights[::-1], other, linking=linking),
        lambda: geometric_brinson(weights, returns, weights[::-1], other),
        lambda: factor_attribution(weights, returns, other[:, 0]),
    ):
        try:
            check(attribute())
        except Undefined:
            continue


@given(seeds, exponents, exponents, exponents)
def test_costs_of_any_size_are_finite_or_say_why(seed: int, price: int, quantity: int, other: int) -> None:
    prices, quantities = np.abs(shaped(seed, 5, price)), np.abs(shaped(seed + 1, 5, quantity))
    arrival, end = np.abs(shaped(seed + 2, 2, other)).tolist()
    for cost in (
        lambda: order_costs(1, 1.5 * quantities.max() * 5, prices, quantities, arrival_price=arrival, end_price=end),
        lambda: almgren_chriss(
            arrival, end, 1 + seed % 50, volatility=prices[0], temporary_impact=prices[1], risk_aversion=quantities[0]
        ),
    ):
        try:
            with np.errstate(over="ignore"):
                check(cost())
        except Undefined:
            continue


@pytest.mark.parametrize("returns", [[1e11] * 60, [-0.999999] * 60])
def test_growth_beyond_what_a_float_can_hold_says_so(returns: list[float]) -> None:
    with pytest.raises(Undefined) as caught:
        compounded(returns)
    assert caught.value.code == "out_of_range"
