"""VPIN of bars as the package flowrisk 0.3.0 defines it (`BulkVPIN`): one value a bar, of buckets still filling too.

It differs from `nautilus.maths.vpin` on purpose, and is for comparison with what others publish by that package: sigma
is an exponential mean with decay 0.8 that begins with the first bars; what was bought is rounded down in each bucket;
the window is the open bucket and those before it, also while some of them are empty.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.bounds import LARGEST, SMALLEST
from nautilus.maths.bulk import normal
from nautilus.maths.errors import Undefined, finite, same_length

MOST_BUCKETS = 1e7

Floats = NDArray[np.float64]


def vpin_of_bars(
    prices: ArrayLike,
    volumes: ArrayLike,
    *,
    bucket_volume: float = 100_000.0,
    window: int = 20,
    decay: float = 0.8,
    initial: int = 50,
) -> Floats:
    """VPIN after each bar.

    Parameters
    ----------
    prices, volumes
        Of each bar: its close and its volume.
    bucket_volume, window
        Volume of a bucket, and buckets in a window, the open one among them.
    decay
        Of the mean of squared changes of price.
    initial
        Bars that sigma begins with; they and the one behind them all have the value of that one.

    Raises
    ------
    Undefined
        ``too_few``: not more bars than `initial`; ``not_finite``; ``negative_price``; ``out_of_range``: a volume below
        zero; ``constant``: no price has changed when a bar with volume is to be classified; ``zero_volume``: a value
        is asked for before any volume.
    """
    if initial < 2 or window < 1 or not SMALLEST <= bucket_volume <= LARGEST or not 0.0 <= decay <= 1.0:
        raise Undefined("out_of_range", "a setting", "initial of 2 or more, a window and a bucket_volume above 0")
    price, volume = finite(prices, "prices", initial + 1), finite(volumes, "volumes", initial + 1)
    same_length("prices and volumes", map(len, (price, volume)))
    if (price < 0.0).any():
        raise Undefined("negative_price", f"price {price.min()}", "prices of 0 or more")
    if (volume < 0.0).any():
        raise Undefined("out_of_range", f"volume {volume.min()}", "volumes of 0 or more")
    shares = _shares(price, volume, decay, initial)
    total = np.cumsum(volume)
    if total[initial] <= 0.0:
        raise Undefined("zero_volume", f"no volume in the first {initial + 1} bars", "some")
    if total[-1] / bucket_volume > MOST_BUCKETS:
        raise Undefined("out_of_range", f"{total[-1] / bucket_volume:.6g} buckets", f"at most {MOST_BUCKETS:g}")
    # Bars cut where a bucket ends: each piece is of one bar and one bucket.
    count = int(total[-1] // bucket_volume)
    ends = np.union1d(total[total > 0.0], bucket_volume * np.arange(1, count + 1))
    pieces = np.diff(ends, prepend=0.0)
    bar = np.searchsorted(total, ends)
    bucket = ((ends - pieces) // bucket_volume).astype(np.int64)
    bought = np.floor(shares[bar] * pieces)
    buys = np.cumsum(bought)
    whole = np.bincount(bucket, weights=2.0 * bought - pieces, minlength=count + 1)[:count]
    imbalance = np.concatenate([[0.0], np.cumsum(np.abs(whole))])
    # After a bar: the whole buckets of the window, and what is in the open one.
    done = np.minimum((total // bucket_volume).astype(np.int64), count)
    last = np.searchsorted(ends, total, side="right") - 1
    begun = np.concatenate([[0.0], buys])[np.searchsorted(ends, bucket_volume * done, side="right")]
    inside = total - bucket_volume * done
    part = np.where(last >= 0, buys[np.maximum(last, 0)], 0.0) - begun
    oldest = np.maximum(done - (window - 1), 0)
    held = imbalance[done] - imbalance[oldest] + np.abs(2.0 * part - inside)
    below = (bucket_volume * (done - oldest) + inside)[initial:]
    if (below <= 0.0).any():
        raise Undefined(
            "zero_volume", f"bar [{initial + int(np.argmin(below))}] has an empty window", "a longer window"
        )
    values = held[initial:] / below
    return np.concatenate([np.full(initial, values[0]), values])


def _shares(price: Floats, volume: Floats, decay: float, initial: int) -> Floats:
    """What of each bar was bought. Sigma is one for all bars that it begins with; their mean is before the first."""
    changes = np.diff(price, prepend=float(price[:initial].mean()))
    squares = np.square(np.diff(price)).tolist()
    variance = squares[0]
    for square in squares[1 : initial - 1]:
        variance = decay * variance + (1.0 - decay) * square
    shares = np.zeros(len(price))
    for place, change in enumerate(changes.tolist()):
        if place >= initial:
            variance = (1.0 - decay) * (change * change) + decay * variance
        if volume[place] > 0.0:
            if variance <= 0.0 and change == 0.0:
                raise Undefined("constant", f"no price has changed up to bar [{place}]", "a change of price before it")
            shares[place] = normal(change / math.sqrt(variance)) if variance > 0.0 else float(change > 0.0)
    return shares


__all__ = ["vpin_of_bars"]
