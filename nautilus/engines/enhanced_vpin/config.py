"""Settings of enhanced VPIN, checked once."""

from __future__ import annotations

import msgspec

from nautilus.core.buckets import Classification
from nautilus.core.vpin import VpinTable
from nautilus.maths.toxicity import Thresholds
from nautilus.model.errors import ConfigError

CLASSIFICATIONS = {
    "side": Classification.SIDE,
    "normal": Classification.NORMAL,
    "student": Classification.STUDENT,
}
QUOTE, BOOK = FLOW_SOURCES = ("quote", "book")
MOST_SCALES = 16
_NANOSECONDS = 1_000_000_000


class ScaleConfig(msgspec.Struct, frozen=True):
    """One scale: buckets in a mean day's volume, and buckets in a VPIN."""

    buckets_per_day: int = 50
    window: int = 50


class EnhancedVpinConfig(msgspec.Struct, frozen=True):
    """Settings; docs/vpin.md has the definitions.

    Parameters
    ----------
    scales
        Sizes of buckets, as shares of the mean daily volume, with their windows.
    days
        Days with trades that the mean is of, 0: sizes stay as they begin.
    day_lots, days_lots
        Volume of a day to begin with, in lots; others by symbol.
    history
        Values that a percentile is of.
    classification, bars_seconds, degrees, decay
        ``side``, ``normal`` or ``student``; of the latter two the bars of time, the degrees of freedom and the decay.
    depth_weighted
        Buckets that were traded into a thin book count more.
    flow_weight
        Of the quotes' order-flow imbalance in the value, 0 to 1.
    flow_source, flow_levels
        ``quote``, or ``book``: that of so many of its levels, 1 to 10.
    enter, leave, dwell_buckets
        Mean percentiles of the scales at which a warning begins and ends, and buckets of any scale that it stays.
    least_confidence, least_history
        Without which no warning begins.

    Raises
    ------
    ConfigError
        A setting out of range.
    """

    scales: tuple[ScaleConfig, ...] = (ScaleConfig(200, 50), ScaleConfig(50, 50), ScaleConfig(20, 20))
    days: int = 5
    day_lots: int = 500_000
    days_lots: dict[str, int] = {}
    history: int = 1000
    classification: str = "side"
    bars_seconds: float = 60.0
    degrees: float = 0.25
    decay: float = 0.95
    depth_weighted: bool = True
    flow_weight: float = 0.3
    flow_source: str = QUOTE
    flow_levels: int = 5
    enter: float = 0.9
    leave: float = 0.75
    dwell_buckets: int = 5
    least_confidence: float = 0.3
    least_history: int = 50

    def __post_init__(self) -> None:
        if self.classification not in CLASSIFICATIONS:
            raise self._error(f"classification {self.classification!r}", " or ".join(CLASSIFICATIONS))
        if self.flow_source not in FLOW_SOURCES:
            raise self._error(f"flow_source {self.flow_source!r}", " or ".join(FLOW_SOURCES))
        if not 1 <= len(self.scales) <= MOST_SCALES:
            raise self._error(f"{len(self.scales)} scales", f"1 to {MOST_SCALES}")
        if not 1 <= self.flow_levels <= 10:
            raise self._error(f"flow_levels {self.flow_levels}", "1 to 10")
        if not 0.0 < self.leave <= self.enter <= 1.0 or self.dwell_buckets < 0:
            raise self._error(
                f"enter {self.enter}, leave {self.leave}, dwell_buckets {self.dwell_buckets}",
                "0 < leave <= enter <= 1, dwell_buckets of 0 or more",
            )
        if not 0.0 <= self.least_confidence <= 1.0 or not 1 <= self.least_history <= self.history:
            raise self._error(
                f"least_confidence {self.least_confidence}, least_history {self.least_history}",
                "0 to 1, and 1 to history",
            )
        if not 0.001 <= self.bars_seconds <= 86_400.0:
            raise self._error(f"bars_seconds {self.bars_seconds}", "0.001 to 86400")
        try:
            for lots in (self.day_lots, *self.days_lots.values()):
                for table, scale in zip(self.tables(), self.scales, strict=True):
                    table.add(1, lots // scale.buckets_per_day)
        except ValueError as error:
            raise self._error(str(error), "settings in range; a day of at least one lot a bucket") from None

    @property
    def thresholds(self) -> Thresholds:
        """Of the warning."""
        return Thresholds(self.enter, self.leave, self.dwell_buckets)

    @property
    def bar_ns(self) -> int:
        """How long a bar is; 0: there are none."""
        return 0 if self.classification == "side" else round(self.bars_seconds * _NANOSECONDS)

    def tables(self) -> list[VpinTable]:
        """An empty table for each scale."""
        return [
            VpinTable(
                window=scale.window,
                history=self.history,
                classification=CLASSIFICATIONS[self.classification],
                bar_ns=self.bar_ns,
                degrees=self.degrees,
                decay=self.decay,
                days=self.days,
                buckets_per_day=scale.buckets_per_day,
                depth_weighted=self.depth_weighted,
                flow_weight=self.flow_weight,
            )
            for scale in self.scales
        ]

    def method(self) -> str:
        """What the numbers are, in words."""
        weighted = ", weighted by depth at the touch" if self.depth_weighted else ""
        flow = "quotes" if self.flow_source == QUOTE else f"{self.flow_levels} levels of the book"
        blended = f", {self.flow_weight:g} of it order-flow imbalance of {flow}" if self.flow_weight else ""
        sizes = ", ".join(f"{scale.buckets_per_day} a day x {scale.window}" for scale in self.scales)
        return f"VPIN by {self.classification}{weighted}{blended}; mean over scales of buckets: {sizes}"

    @staticmethod
    def _error(what: str, expected: str) -> ConfigError:
        return ConfigError(what, where="enhanced_vpin", expected=expected)


__all__ = ["BOOK", "CLASSIFICATIONS", "FLOW_SOURCES", "MOST_SCALES", "QUOTE", "EnhancedVpinConfig", "ScaleConfig"]
