"""Python face of volume buckets and VPIN."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.buckets import Classification

Records = NDArray[np.void]

class VpinTable:
    """Volume buckets of many instruments and the toxicity of their flow. One thread at a time; no clock, no locks.

    The lots of an instrument's trades lie in a row; every `bucket_lots` of them are a bucket, and a trade is split
    where a border falls into it. With the last n buckets, of volume V and volume bought B each,

        VPIN = sum |2 B - V| / sum V

    (Easley, Lopez de Prado, O'Hara, "Flow toxicity and liquidity in a high-frequency world", 2012). All of it is whole
    numbers up to the one division, so however the trades are cut into arrays the result is the same to the bit.

    What was bought:

    - ``SIDE``: the lots of trades whose aggressor bought. Where the venue does not say who did, the tick test: up from
      the last price bought, down sold, no change as the trade before it, the very first bought.
    - ``NORMAL``, ``STUDENT``: of each bar of trades the share F(change of its close / sigma), F being the distribution
      function of the normal or of Student's t with `degrees`; of the bar's first n lots floor(n share + 1/2). sigma^2
      is an exponential mean of the changes squared, s = decay s + (1 - decay) change^2, the bar's own change in it,
      the first one alone at first. The first bar and those before the first change are half bought. A bar of `bar_ns`
      counts from the epoch and ends with the first trade behind it (or `advance`), one of `bar_lots` with the trade
      that makes it that long.

    `percentile` is the share of the last `history` values (this one among them) that are at most this one, its place in
    their empirical distribution; `ties` are those of them that equal it, but for itself. `pace` is the share of the
    last windows that took longer, this one counted among them: 1 where volume has never come so quickly. `value`, what
    the percentile is of, is VPIN, with two changes where they are asked for:

    - `depth_weighted`: bucket i counts w_i times, above and below: w_i = mean depth of the window / depth of i, kept
      within 1/4 and 4; the depth is the mean over the bucket's trades of the lots at the touch, both sides, that the
      quotes handed in before said. A bucket without a depth counts once.
    - `flow_weight` f: (1 - f) times that, plus f sum |flow| / sum gross flow over the window, the flow of a bucket
      being the order-flow imbalance (Cont, Kukanov, Stoikov, 2014) of the quotes handed in while it was open, the
      gross flow the same without signs. Without any quotes it is as with f = 0. A bucket takes no more flow when it has
      more than 2^49 lots of it.

    Stamps are receive stamps (`now_ns`). Of an instrument's trades one that is older than the one before is left out
    and counted (`late`), one that has the stamp and the trade id of one of the last 16 of that stamp too
    (`duplicates`), one of no lots (`without_volume`), and one with a field out of range (`refused`). Trades of
    instruments that were not added count in `unknown`.

    Of one trade that fills more buckets than two windows and the history hold, those that would be forgotten at once
    are numbered, not given: the first is, and the last ones, as many as a window.

    Parameters
    ----------
    window
        Buckets in a VPIN, 1 to 4096.
    history
        Values that a percentile is of, 1 to 65,536.
    classification
        A `Classification`.
    bar_ns, bar_lots
        Either, with NORMAL and STUDENT: what a bar is.
    decay
        Of the variance, 0 up to 1.
    degrees
        Degrees of freedom of Student's t, 0.01 to 1e6; 0.25 in Easley, Lopez de Prado, O'Hara, "Discerning
        information from trade data", 2016.
    days, buckets_per_day
        With days above 0 (at most 32) a bucket that begins on another day (UTC) than the last trade has as many lots as
        the mean volume of the last `days` days with trades holds `buckets_per_day` times. The first of them may be a
        part of a day. A day is split from the next at a trade, a bucket is not: it keeps its size to its end.
    depth_weighted, flow_weight
        See above.

    Raises
    ------
    ValueError
        A setting out of range.
    """

    def __init__(
        self,
        *,
        window: int = 50,
        history: int = 1000,
        classification: int = Classification.SIDE,
        bar_ns: int = 0,
        bar_lots: int = 0,
        decay: float = 0.95,
        degrees: float = 0.25,
        days: int = 0,
        buckets_per_day: int = 50,
        depth_weighted: bool = False,
        flow_weight: float = 0.0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, instrument_id: int) -> bool: ...
    def add(self, instrument_id: int, bucket_lots: int) -> None:
        """Measure this instrument from now on.

        Raises
        ------
        ValueError
            It is measured already, or `bucket_lots` is not 1 to 2^40.
        """

    def resize(self, instrument_id: int, bucket_lots: int) -> None:
        """Buckets that begin from now on have this many lots.

        Raises
        ------
        KeyError
            An instrument that was not added.
        ValueError
            `bucket_lots` is not 1 to 2^40.
        """

    def process(self, trades: Records) -> Records:
        """Take a TRADE array in order; the buckets that it completed, as BUCKET array.

        Raises
        ------
        TypeError
            Not a C-contiguous TRADE array.
        """

    def advance(self, now_ns: int) -> Records:
        """Close the bars of time that have ended by now; the buckets that this completed, as BUCKET array."""

    def quotes(self, quotes: Records) -> None:
        """Take a QUOTE array: depth and order flow of the buckets that are open.

        Raises
        ------
        TypeError
            Not a C-contiguous QUOTE array.
        """

    def flows(self, flows: Records) -> None:
        """Take a FLOW array (`FlowBuilder`, of quotes or of books) in place of quotes: the same for any levels.

        Raises
        ------
        TypeError
            Not a C-contiguous FLOW array.
        """

    def buckets(self, instrument_id: int) -> Records:
        """The completed buckets of the window, the oldest first. KeyError: it was not added."""

    def open_bucket(self, instrument_id: int) -> Records:
        """The bucket that is being filled, as BUCKET array of one. KeyError: it was not added."""

    def last(self, instrument_id: int) -> Records:
        """The last completed bucket, as BUCKET array of one, or of none. KeyError: it was not added."""

    def values(self, instrument_id: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The values that a percentile is of, and the nanoseconds that their windows took, the oldest first."""

    def counts(self, instrument_id: int) -> dict[str, int]:
        """Trades and lots taken, lots that wait in an open bar, sizes of buckets, and what was not taken."""

    def ids(self) -> list[int]:
        """Instruments in the order in which they were added."""

    def taken(self, begin: int, end: int) -> int:
        """Trades ever taken of the instruments at these places of `ids()`, from `begin` up to `end`."""

    def save(self, instrument_id: int) -> bytes:
        """All that there is of an instrument, for `load` of a table with the same settings on the same machine."""

    def load(self, saved: bytes, *, known: bool = False) -> bool:
        """Take over an instrument; False, and nothing is changed, where it is of other settings or no such thing.

        `known`: also where the instrument was not added before.

        Raises
        ------
        ValueError
            It is of these settings, and what it says cannot be: damaged. Nothing is changed.
        """

    @property
    def window(self) -> int: ...
    @property
    def history(self) -> int: ...
    @property
    def classification(self) -> int: ...
    @property
    def bar_ns(self) -> int: ...
    @property
    def bar_lots(self) -> int: ...
    @property
    def decay(self) -> float: ...
    @property
    def degrees(self) -> float: ...
    @property
    def days(self) -> int: ...
    @property
    def buckets_per_day(self) -> int: ...
    @property
    def depth_weighted(self) -> bool: ...
    @property
    def flow_weight(self) -> float: ...
    @property
    def unknown(self) -> int: ...
