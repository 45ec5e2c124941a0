"""Indicators and microstructure: definitions that serve streams and batches through the same compiled steps."""

from nautilus.maths.indicators.catalogue import (
    BAR_FEATURES,
    QUOTE_FEATURES,
    SOURCES,
    TRADE_FEATURES,
    chosen,
    every,
    owner_of,
    wanted_outputs,
)
from nautilus.maths.indicators.definition import BAR, INPUTS, QUOTE, TRADE, Compiled, Definition, compiled
from nautilus.maths.indicators.whole import FeatureTable, checked_rows, split_adjusted, whole

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
    "chosen",
    "compiled",
    "every",
    "owner_of",
    "split_adjusted",
    "wanted_outputs",
    "whole",
]
