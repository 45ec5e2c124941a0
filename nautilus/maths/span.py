"""A scan of futures and their options over sixteen scenarios, SPAN-like.

Not CME's own: there are no risk parameter files in it. Source of the method: CME Group, "CME SPAN methodology"; as
there, seven prices (none, and thirds of the scan range up and down) with volatility up and down, and two extreme
moves of twice the range of which 33 % counts. On the scan risk come a charge for spreads between months, less credits
between products (`nautilus.maths.offsets`), at least an amount for each short option.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped
from nautilus.maths.futures_margin import outright_and_spreads

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
EXTREME: Final = 2.0
COVERED: Final = 0.33
_THIRDS: Final = (0.0, 1 / 3, -1 / 3, 2 / 3, -2 / 3, 1.0, -1.0)
PRICE_MOVES: Final[Array] = np.array([*(move for move in _THIRDS for _ in range(2)), EXTREME, -EXTREME])
"""Of each of the sixteen scenarios, in scan ranges."""
VOL_MOVES: Final[Array] = np.array([1.0, -1.0] * 7 + [0.0, 0.0])
WEIGHTS: Final[Array] = np.array([1.0] * 14 + [COVERED] * 2)


def scan_risk(gains: Array) -> Array:
    """The largest of the sixteen weighted losses, never below 0; `gains` (products, 16), unweighted.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``.
    """
    gains = shaped(gains, "gains", (None, len(WEIGHTS)))
    if not gains.shape[0]:
        return np.zeros(0)
    result: Array = np.maximum((-gains * WEIGHTS).max(axis=-1), 0.0)
    return result


def month_spreads(product: Places, month: Places, delta: Array, products: int) -> Array:
    """Spreads between months of each product: the lesser of its long and its short months' deltas.

    Parameters
    ----------
    product, month, delta
        Of each position: product from 0, month as a whole number, delta in futures; (N,) each.

    Returns
    -------
    Array
        (products,).
    """
    return outright_and_spreads(product, month, delta, products)[1]


class SpanLike(NamedTuple):
    """Parts of the requirement of each product, (products,) each.

    Parameters
    ----------
    scan, month_charge, short_least
        See `requirement`.
    total
        Amount of equity that is required, where equity contains the value of options.
    against_cash
        The same against cash alone: `total` less the net value of the options.
    """

    scan: Array
    month_charge: Array
    short_least: Array
    total: Array
    against_cash: Array


def requirement(
    gains: Array,
    spreads: Array,
    spread_charge: Array,
    shorts: Array,
    short_charge: Array,
    option_value: Array,
    credit: Array | float = 0.0,
) -> SpanLike:
    """Put the parts together: ``total = max(scan + spreads x charge - credit, shorts x least)``.

    Parameters
    ----------
    gains
        (products, 16), unweighted.
    spreads, spread_charge
        Spreads between months, and the charge of one.
    shorts, short_charge
        Short options in contracts, and the least amount for one.
    option_value
        Value of the long options less that of the short ones.
    credit
        Between products.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``.
    """
    scan = scan_risk(gains)
    given = (spreads, spread_charge, shorts, short_charge, option_value)
    spreads, spread_charge, shorts, short_charge, option_value = (
        shaped(each, name, scan.shape)
        for each, name in zip(given, ("spreads", "charges", "shorts", "least amounts", "option values"), strict=True)
    )
    credit = shaped(credit, "credits", scan.shape if np.ndim(credit) else ())
    charge = spreads * spread_charge
    least = shorts * short_charge
    total = np.maximum(np.maximum(scan + charge - credit, 0.0), least)
    return SpanLike(scan, charge, least, total, total - option_value)


__all__ = [
    "COVERED",
    "EXTREME",
    "PRICE_MOVES",
    "VOL_MOVES",
    "WEIGHTS",
    "SpanLike",
    "month_spreads",
    "requirement",
    "scan_risk",
]
