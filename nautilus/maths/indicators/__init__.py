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
from nautilus.maths.indicators.whole import KEPT_ROWS, FeatureTable, checked_rows, through_splits, untold_steps, whole

__all__ = [
    "BAR",
    "BAR_FEATURES",
    "INPUTS",
    "KEPT_ROWS",
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
    "through_splits",
    "untold_steps",
    "wanted_outputs",
    "whole",
]
