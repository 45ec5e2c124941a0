"""Python face of what sums up trades to bars."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.ticks import BarKind

Records = NDArray[np.void]

class BarBuilder:
    """Sums up trades of many instruments to bars, by one rule. One thread at a time.

    A trade is never split: it belongs to one bar whole, and the one that meets the rule ends its bar, so VOLUME and
    DOLLAR bars have at least their size. Whatever the rule, the bars' volumes sum to those of the trades, once `flush`
    has given the open ones.

    ========= ========================================================================================================
    TIME      trades of an interval of `size` nanoseconds, counted from the epoch, its end not in it. A bar is given
              with the first trade behind it, or by `advance`; a trade of one that has ended goes into the open one
              (`late`)
    TICK      `size` trades
    VOLUME    trades until their lots are `size` or more
    DOLLAR    trades until the sum of |ticks| times lots is `size` or more
    IMBALANCE trades until |theta| >= E[T] * |E[b v]| (Lopez de Prado 2018, 2.3.2), where theta is the sum of b v since
              the bar began; b is the aggressor's side, +1 or -1, where it is not known the sign of the last change of
              price; v is by `weight` 1, the lots, or |ticks| times lots. E[T], the trades of a bar, and E[b v], theta
              by trades, are averages over the bars before, the newest by `alpha`; the first bar is of `size` trades.
              That both do not run away, a bar has no less than a tenth and no more than ten times `size` trades.
    ========= ========================================================================================================

    `flags` of a bar have LAST where its rule was met, and SYNTHETIC, STALE and `GAP_FLAG` of any of its trades.

    Parameters
    ----------
    kind, size
        The rule. TICK and IMBALANCE: at most 2^28.
    weight
        ``trades``, ``lots`` or ``value``.
    alpha
        Above 0, at most 1: a larger one forgets sooner.
    venue_clock
        Stamps are the venue's, where it gives one; False: receive stamps.
    empty
        TIME: intervals without trades have bars too, at the last price, from the first trade on and up to the last one
        or the time of `advance`; of a pause of more than 100,000 intervals there are none (`skipped` counts them).

    Raises
    ------
    ValueError
        A setting out of range.
    """

    def __init__(
        self,
        kind: BarKind,
        size: int,
        *,
        weight: str = "trades",
        alpha: float = 0.1,
        venue_clock: bool = True,
        empty: bool = False,
    ) -> None: ...
    def process(self, trades: Records) -> Records:
        """Take a TRADE array in order; the bars that it ended, as BAR array.

        Raises
        ------
        TypeError
            Not a C-contiguous TRADE array.
        ValueError
            A trade whose price or quantity is beyond 2^40, or whose side or stamp is none; those before it are taken,
            and the bars that they ended are lost.
        """

    def advance(self, now_ns: int) -> Records:
        """TIME: the bars whose interval has ended by this time, as BAR array."""

    def flush(self) -> Records:
        """The open bars that have trades, without LAST, as BAR array; all begin anew."""

    def expected(self, instrument_id: int) -> tuple[float, float]:
        """(E[T], E[b v]) of an imbalance bar; KeyError where there was no trade."""

    @property
    def kind(self) -> BarKind: ...
    @property
    def size(self) -> int: ...
    @property
    def late(self) -> int:
        """Trades of intervals that had ended."""
    @property
    def skipped(self) -> int:
        """Intervals of pauses too long to fill."""
