"""Stoikov's micro-price, against the sum of its series in plain Python and on a book that is known."""

from collections import defaultdict

import numpy as np
import pytest

from nautilus.maths.errors import Undefined
from nautilus.maths.micro_price import fit_micro_price

TICK = 0.01


def book(count=40_000, seed=3):
    """A touch of one or two ticks: it moves towards the thinner side, the likelier the thinner that is."""
    rng = np.random.default_rng(seed)
    rows, bid, wide = [], 10_000, 1
    for _ in range(count):
        sizes = rng.integers(1, 11, 2)
        rows.append((bid * TICK, sizes[0], (bid + wide) * TICK, sizes[1]))
        share = sizes[0] / sizes.sum()
        if rng.random() < 0.3:
            if wide == 1:
                bid, wide = (bid, 2) if rng.random() < share else (bid - 1, 2)
            else:
                bid, wide = (bid + 1, 1) if rng.random() < share else (bid, 1)
    return tuple(np.array(column, float) for column in zip(*rows, strict=True))


def series(quotes, imbalances, spreads, rounds=400):
    """The same adjustment from counted transitions, without linear algebra: steps to come, one quote after another."""
    bids, bid_sizes, asks, ask_sizes = (column.tolist() for column in quotes)
    states, middles = [], []
    for bid, size, ask, other in zip(bids, bid_sizes, asks, ask_sizes, strict=True):
        part = min(int(size / (size + other) * imbalances), imbalances - 1)
        states.append((part, round((ask - bid) / TICK) - 1))
        middles.append(round((bid + ask) / TICK))  # half ticks
    seen, step, to = defaultdict(int), defaultdict(float), defaultdict(lambda: defaultdict(int))
    for at in range(len(states) - 1):
        (part, wide), (part_to, wide_to) = states[at], states[at + 1]
        move = middles[at + 1] - middles[at]
        if max(wide, wide_to) >= spreads or abs(move) > 2:
            continue
        for sign, begin, end in (
            (1, (part, wide), (part_to, wide_to)),
            (-1, (imbalances - 1 - part, wide), (imbalances - 1 - part_to, wide_to)),
        ):
            seen[begin] += 1
            step[begin] += sign * move * TICK / 2
            to[begin][end] += 1
    value = dict.fromkeys(seen, 0.0)
    for _ in range(rounds):
        value = {
            state: (step[state] + sum(count * value[end] for end, count in to[state].items())) / seen[state]
            for state in seen
        }
    return value


def test_adjustments_are_the_expected_steps_to_come():
    quotes = book()
    fitted = fit_micro_price(*quotes, TICK, imbalances=4, spreads=2)
    expected = series(quotes, 4, 2)
    assert fitted.known.all()
    for (part, wide), value in expected.items():
        assert fitted.adjustments[part, wide] == pytest.approx(value, rel=1e-8, abs=1e-10)


def test_adjustments_are_odd_in_the_imbalance_and_rise_with_it():
    fitted = fit_micro_price(*book(), TICK, imbalances=6, spreads=2)
    assert fitted.adjustments == pytest.approx(-fitted.adjustments[::-1], abs=1e-12)
    assert (np.diff(fitted.adjustments, axis=0) > 0.0).all()
    assert np.abs(fitted.adjustments).max() < TICK


def test_the_micro_price_is_nearer_to_the_middle_to_come_than_the_middle():
    fitted = fit_micro_price(*book(seed=3), TICK, imbalances=10, spreads=2)
    quotes = book(20_000, seed=4)
    prices, valid = fitted.prices(*quotes)
    middle = 0.5 * (quotes[0] + quotes[2])
    ahead = middle[10:]
    assert valid.all()
    assert np.mean((ahead - prices[:-10]) ** 2) < np.mean((ahead - middle[:-10]) ** 2)


def test_a_state_that_was_never_seen_has_no_price():
    fitted = fit_micro_price(*book(2_000), TICK, imbalances=4, spreads=2)
    prices, valid = fitted.prices([1.0], [5.0], [1.05], [5.0])
    assert (prices.tolist(), valid.tolist()) == ([0.0], [False])


@pytest.mark.parametrize(
    ("code", "quotes", "more"),
    [
        ("empty", ([], [], [], []), {}),
        ("too_few", ([1.0], [1.0], [1.01], [1.0]), {}),
        ("too_few", ([1.0, 1.0], [1.0, 2.0], [1.5, 1.5], [1.0, 1.0]), {}),
        ("singular", ([1.0] * 9, [1.0] * 9, [1.01] * 9, [1.0] * 9), {}),
        ("zero_volume", ([1.0, 1.0], [0.0, 1.0], [1.01, 1.01], [0.0, 1.0]), {}),
        ("mismatch", ([1.0, 1.0], [1.0, 1.0], [1.01, 1.01], [1.0, 1.0, 1.0]), {}),
        ("out_of_range", ([1.0, 1.0], [1.0, 1.0], [1.01, 1.01], [1.0, 1.0]), {"imbalances": 1}),
    ],
)
def test_what_is_not_defined_is_said_with_its_code(code, quotes, more):
    with pytest.raises(Undefined) as caught:
        fit_micro_price(*quotes, TICK, **more)
    assert caught.value.code == code
