"""Technical indicators: definitions that serve streams and batches through the same compiled steps."""

from nautilus.maths.indicators import averages, bands, direction, momentum, statistics, trading, volume
from nautilus.maths.indicators.definition import BAR, INPUTS, QUOTE, TRADE, Compiled, Definition, compiled
from nautilus.maths.indicators.whole import FeatureTable, checked_rows, split_adjusted, whole

BAR_FEATURES: tuple[Definition, ...] = (
    *averages.DEFINITIONS,
    *bands.DEFINITIONS,
    *momentum.DEFINITIONS,
    *direction.DEFINITIONS,
    *volume.DEFINITIONS,
    *statistics.DEFINITIONS,
    *trading.BAR_MEASURES,
)
"""All features of bars: the indicators, and the measures of microstructure that bars allow."""

QUOTE_FEATURES = trading.QUOTE_FEATURES
TRADE_FEATURES = trading.TRADE_FEATURES

SOURCES: dict[str, tuple[Definition, ...]] = {"bar": BAR_FEATURES, "quote": QUOTE_FEATURES, "trade": TRADE_FEATURES}
"""All features, by what one row of their inputs is."""

__all__ = [
    "BAR",
    "BAR_FEATURES",
    "INPUTS",
    "QUOTE",
    "QUOTE_FEATURES",
    "SOURCES",
    "TRADE",
    "TRADE_FEATURES",
    "Compiled",
    "Definition",
    "FeatureTable",
    "checked_rows",
    "compiled",
    "split_adjusted",
    "whole",
]
