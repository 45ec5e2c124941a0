"""Python face of the histogram and its exports."""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

V2_COOKIE: int
V2_COMPRESSED_COOKIE: int
SIGNIFICANT_DIGITS: int

Summary = TypedDict(
    "Summary",
    {
        "count": int,
        "min": int,
        "mean": float,
        "p50": int,
        "p90": int,
        "p99": int,
        "p99.9": int,
        "max": int,
    },
)

class Histogram:
    """One writer, no lock. Values 0 to `highest` with 3 significant digits, in the HDR layout."""

    def __init__(self, highest: int = 3_600_000_000_000, path: str | PathLike[str] | None = None) -> None: ...
    @staticmethod
    def read(path: str | PathLike[str]) -> Histogram:
        """A copy, apart, of the histogram that another process writes to a file."""
    def __len__(self) -> int: ...
    def record(self, value: int) -> bool:
        """Count a value; False where it is below 0 or above `highest`, which moves `refused` alone."""
    def record_many(self, values: NDArray[np.int64]) -> None:
        """Count each value of an int64 array."""
    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram; what lies above this one's `highest` goes to `refused`."""
    def clear(self) -> None:
        """Forget everything recorded."""
    @property
    def highest(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def minimum(self) -> int: ...
    @property
    def maximum(self) -> int: ...
    def percentile(self, percent: float) -> int:
        """Largest value that is not told apart from the one at this percentile, 0 to 100; 0 where empty."""
    def mean(self) -> float:
        """Mean, each value taken as the middle of its count's range."""
    def deviation(self) -> float:
        """Standard deviation, of the same middles."""
    def counts(self) -> dict[int, int]:
        """{smallest value of a range: count} of every range that is not empty."""
    def cumulative(self, bounds: Sequence[int]) -> list[int]:
        """How many values lie at or below each of the ascending bounds."""
    def summary(self) -> Summary:
        """Count, minimum, mean, p50, p90, p99, p99.9 and maximum."""
    def to_hgrm(self, scale: float = 1.0, ticks_per_half: int = 5) -> str:
        """Percentile distribution as the text that HdrHistogram plotters read."""
    def to_bytes(self) -> bytes:
        """The histogram in the V2 compressed encoding of HdrHistogram."""
    def to_log(self, start_seconds: float = 0.0, length_seconds: float = 0.0, scale: float = 1_000_000.0) -> str:
        """The histogram as a V2 interval log (format 1.3) with one interval."""
