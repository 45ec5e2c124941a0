"""How far a call is: first passage beside simulation, roots, and the cheapest cut beside brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import margin_call
from nautilus.maths.errors import Undefined


def test_the_first_passage_is_that_of_simulated_paths():
    draw = np.random.default_rng(1)
    steps, paths, excess, drift, volatility, years = 2_000, 4_000, 1.0, 0.4, 1.2, 1.0
    moves = draw.normal(drift * years / steps, volatility * math.sqrt(years / steps), (paths, steps))
    lowest = excess + np.cumsum(moves, axis=1)
    # A discrete path misses touches between its steps: Broadie, Glasserman and Kou's shift of the barrier.
    hit = (lowest.min(axis=1) <= 0.5826 * volatility * math.sqrt(years / steps)).mean()
    assert margin_call.passage_probability(excess, drift, volatility, years) == pytest.approx(hit, abs=0.025)


def test_the_density_of_the_first_passage_adds_up_to_the_probability_and_the_mean():
    excess, drift, volatility = 2.0, -0.7, 0.9
    t = np.linspace(1e-6, 60.0, 600_001)
    density = (
        excess
        / (volatility * np.sqrt(2 * np.pi * t**3))
        * np.exp(-((excess + drift * t) ** 2) / (2 * volatility**2 * t))
    )
    step = t[1] - t[0]
    upto = density[t <= 3.0].sum() * step
    found = margin_call.first_passage(excess, drift, volatility, 3.0)
    assert found.probability == pytest.approx(upto, abs=1e-5)
    assert found.ever == 1.0
    assert found.expected == pytest.approx((t * density).sum() * step, rel=1e-4)
    assert margin_call.passage_probability(excess, drift, volatility, found.median) == pytest.approx(0.5, abs=1e-9)


def test_without_drift_the_mean_is_infinite_and_so_not_told():
    found = margin_call.first_passage(1.0, 0.0, 2.0, 1.0)
    assert found.expected is None
    assert found.median == pytest.approx((1.0 / (2.0 * 0.6744897501960817)) ** 2)
    away = margin_call.first_passage(1.0, 3.0, 1.0, 1.0)
    assert away.ever == pytest.approx(math.exp(-6.0))
    assert away.median is None


def test_the_ends_are_stated():
    assert margin_call.first_passage(-1.0, 0.0, 1.0, 1.0) == (1.0, 1.0, 0.0, 0.0)
    assert margin_call.first_passage(1.0, -2.0, 0.0, 1.0) == (1.0, 1.0, 0.5, 0.5)
    assert margin_call.first_passage(1.0, 2.0, 0.0, 1.0) == (0.0, 0.0, None, None)
    assert margin_call.passage_probability(1.0, 1.0, 1.0, 0.0) == 0.0
    assert margin_call.passage_probability(1e6, -1.0, 1e-3, 1.0) == 0.0
    assert 0.0 <= margin_call.passage_probability(1.0, -500.0, 1.0, 10.0) <= 1.0
    for bad in ((math.nan, 0, 1, 1), (1, 0, -1, 1), (1, 0, 1, -1)):
        with pytest.raises(Undefined):
            margin_call.passage_probability(*bad)


def test_moves_to_a_call_are_found_to_the_last_digits():
    down, up = margin_call.move_to_call(lambda x: (x + 0.31234567) * (1.0456789 - x))
    assert down == pytest.approx(-0.31234567, abs=1e-12)
    assert up == pytest.approx(1.0456789, abs=1e-12)
    assert margin_call.move_to_call(lambda x: 1.0) == (None, None)
    assert margin_call.move_to_call(lambda x: -1.0) == (0.0, 0.0)


POSITIONS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 4)), min_size=1, max_size=5)


@settings(deadline=None)
@given(POSITIONS, st.integers(0, 100))
def test_the_cheapest_cut_is_the_best_of_all_whole_lots(positions, shortfall):
    relief, cost, lots = (np.array(column, float) for column in zip(*positions, strict=True))
    best = math.inf
    for taken in itertools.product(*(range(int(held) + 1) for held in lots)):
        if np.dot(taken, relief) >= shortfall:
            best = min(best, float(np.dot(taken, cost)))
    if best == math.inf:
        with pytest.raises(Undefined, match="free"):
            margin_call.cheapest_cut(relief, cost, lots, shortfall)
        return
    found = margin_call.cheapest_cut(relief, cost, lots, shortfall)
    assert (found <= lots).all()
    assert (found >= 0).all()
    assert float(found @ relief) >= shortfall * (1 - 1e-8)
    assert float(found @ cost) == pytest.approx(best)


def test_the_cut_of_many_positions_is_within_a_lot_of_the_linear_programs():
    draw = np.random.default_rng(2)
    relief, cost, lots = (
        draw.uniform(1, 100, 2_000),
        draw.uniform(1, 100, 2_000),
        draw.integers(1, 50, 2_000).astype(float),
    )
    shortfall = 0.4 * float(relief @ lots)
    found = margin_call.cheapest_cut(relief, cost, lots, shortfall)
    assert float(found @ relief) >= shortfall
    order = np.argsort(cost / relief)
    reached = np.cumsum((relief * lots)[order])
    last = int(np.searchsorted(reached, shortfall))
    part = (shortfall - (reached[last - 1] if last else 0.0)) / relief[order[last]]
    bound = float((cost * lots)[order[:last]].sum() + part * cost[order[last]])
    assert bound <= float(found @ cost) <= bound + float(cost[order[last]])


def test_a_cut_of_numbers_that_are_none_is_refused():
    for bad in (([np.nan], [1.0], [1.0]), ([1.0], [-1.0], [1.0]), ([1.0], [1.0], [-1.0])):
        with pytest.raises(Undefined):
            margin_call.cheapest_cut(*bad, 1.0)
    assert margin_call.cheapest_cut([1.0], [1.0], [5.0], 0.0).tolist() == [0.0]
