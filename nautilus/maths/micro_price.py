"""Stoikov's micro-price: the middle to come, as the touch's imbalance and spread tell it from what followed before.

Stoikov (2018), "The micro-price: a high-frequency estimator of future prices". The touch is a Markov chain over
(imbalance, spread); from each state the middle moves at last, by an expected step, and lands in another state. The
micro-price is the middle plus all the expected steps to come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import LARGEST, SMALLEST
from nautilus.maths.errors import Undefined
from nautilus.maths.microstructure import Floats, checked

_ROUNDS = 1_000
MOST_STATES = 1_000
MOST_TICKS = 1e15
_TOLERANCE = 1e-12


class MicroPrice(NamedTuple):
    """A fitted chain.

    Parameters
    ----------
    tick
        Price increment; spreads are counted in it.
    adjustments
        What is added to the middle, shape (imbalances, spreads): imbalance bid / (bid + ask) in equal parts of 0 to 1,
        spread 1 tick and more.
    known
        States that were seen.
    """

    tick: float
    adjustments: Floats
    known: npt.NDArray[np.bool_]

    def prices(
        self, bids: npt.ArrayLike, bid_sizes: npt.ArrayLike, asks: npt.ArrayLike, ask_sizes: npt.ArrayLike
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(micro-prices, which there are) of quotes; of a state that was never seen there is none, and a 0."""
        touch = _touch(bids, bid_sizes, asks, ask_sizes)
        parts, spreads = self.adjustments.shape
        part, spread, inside = _states(touch, self.tick, parts, spreads)
        valid = inside & self.known[part, spread]
        values = 0.5 * (touch[0] + touch[2]) + self.adjustments[part, spread]
        return np.where(valid, values, 0.0), valid


def fit_micro_price(
    bids: npt.ArrayLike,
    bid_sizes: npt.ArrayLike,
    asks: npt.ArrayLike,
    ask_sizes: npt.ArrayLike,
    tick: float,
    *,
    imbalances: int = 10,
    spreads: int = 2,
) -> MicroPrice:
    """Fit the chain to quotes in their order.

    Each transition counts a second time mirrored (bid for ask, the step turned round): so rises and falls are as likely
    and the expected steps to come have a limit. Transitions from or to a wider spread, and steps of the middle by more
    than a tick, are left out, as in the paper.

    Parameters
    ----------
    tick
        Price increment, above 0.
    imbalances, spreads
        States: equal parts of the imbalance, and spreads from one tick on.

    Raises
    ------
    Undefined
        ``too_few``: no transition is left; ``singular``: from some state the middle never moves; ``not_converged``;
        ``out_of_range``: `tick`, `imbalances` or `spreads` is none.
    """
    if not (SMALLEST <= tick <= LARGEST and imbalances >= 2 and spreads >= 1 and imbalances * spreads <= MOST_STATES):
        raise Undefined(
            "out_of_range",
            f"tick {tick}, {imbalances} x {spreads} states",
            expected=f"above 0, 2 x 1 to {MOST_STATES} states",
        )
    touch = _touch(bids, bid_sizes, asks, ask_sizes, 2)
    part, spread, inside = _states(touch, tick, imbalances, spreads)
    middle = 0.5 * (touch[0] + touch[2])
    step = np.rint(np.diff(middle) / (0.5 * tick)) * (0.5 * tick)
    used = inside[:-1] & inside[1:] & (np.abs(step) < 1.1 * tick)
    if not used.any():
        raise Undefined("too_few", "no transition within the states", expected="quotes with narrow spreads")
    mirrored = imbalances - 1 - part
    begin = np.concatenate([part[:-1][used], mirrored[:-1][used]]) * spreads + np.tile(spread[:-1][used], 2)
    end = np.concatenate([part[1:][used], mirrored[1:][used]]) * spreads + np.tile(spread[1:][used], 2)
    steps = np.concatenate([step[used], -step[used]])
    count = imbalances * spreads
    moved = steps != 0.0
    stays, moves, total = np.zeros((count, count)), np.zeros((count, count)), np.zeros(count)
    np.add.at(stays, (begin[~moved], end[~moved]), 1.0)
    np.add.at(moves, (begin[moved], end[moved]), 1.0)
    np.add.at(total, begin, steps)
    seen = np.bincount(begin, minlength=count).astype(np.float64)
    scale = np.where(seen > 0.0, seen, 1.0)
    known = seen > 0.0
    chain = np.eye(count) - stays / scale[:, None]
    try:
        solved = np.linalg.solve(chain, np.column_stack([total / scale, moves / scale[:, None]]))
    except np.linalg.LinAlgError:
        raise Undefined("singular", "states from which the middle never moves", expected="more quotes") from None
    if not np.isfinite(solved).all():
        raise Undefined("singular", "states from which the middle never moves", expected="more quotes")
    next_state: Floats = np.ascontiguousarray(solved[:, 1:], np.float64)
    term: Floats = np.ascontiguousarray(solved[:, 0], np.float64)
    adjustment: Floats = term.copy()
    for _ in range(_ROUNDS):
        term = next_state @ term
        adjustment += term
        if np.abs(term).max() <= _TOLERANCE * tick:
            break
    else:
        raise Undefined("not_converged", f"{_ROUNDS} steps to come", expected="quotes whose steps die out")
    shape = (imbalances, spreads)
    return MicroPrice(float(tick), adjustment.reshape(shape), known.reshape(shape))


def _touch(
    bids: npt.ArrayLike, bid_sizes: npt.ArrayLike, asks: npt.ArrayLike, ask_sizes: npt.ArrayLike, least: int = 1
) -> tuple[Floats, Floats, Floats, Floats]:
    rows = (
        checked(bids, "bid prices", least),
        checked(bid_sizes, "bid sizes", least),
        checked(asks, "ask prices", least),
        checked(ask_sizes, "ask sizes", least),
    )
    if len({row.size for row in rows}) > 1:
        raise Undefined("mismatch", "sides of the quotes of different lengths", expected="as many of each")
    if (rows[1] < 0.0).any() or (rows[3] < 0.0).any():
        raise Undefined("out_of_range", "sizes: below 0", expected="0 or more")
    if not (rows[1] + rows[3] > 0.0).all():
        raise Undefined("zero_volume", "sizes: 0 on both sides", expected="a size on a side")
    return rows


def _states(
    touch: tuple[Floats, Floats, Floats, Floats], tick: float, imbalances: int, spreads: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Parts of the imbalance, spreads from 0 for one tick, and which quotes are within them."""
    bids, bid_sizes, asks, ask_sizes = touch
    if float(np.abs(asks - bids).max()) / tick > MOST_TICKS:
        raise Undefined("out_of_range", "a spread of that many ticks", expected=f"at most {MOST_TICKS:g}")
    imbalance = bid_sizes / (bid_sizes + ask_sizes)
    part = np.minimum((imbalance * imbalances).astype(np.int64), imbalances - 1)
    spread = np.rint((asks - bids) / tick).astype(np.int64) - 1
    inside = (spread >= 0) & (spread < spreads)
    return part, np.clip(spread, 0, spreads - 1), inside


__all__ = ["MicroPrice", "fit_micro_price"]
