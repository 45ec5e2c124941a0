"""The daily returns that reference values are stated for: AAPL of the recorded panel of closes, 2010 to 2017."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np

from tests.kit.data import recording

PANEL = "panel_close/ppo_stock_prices.csv"


@cache
def _closes(name: str) -> tuple[list[str], np.ndarray]:
    with recording(PANEL).open(encoding="utf-8", newline="") as file:
        rows = [(row["date"], row[name]) for row in csv.DictReader(file)]
    return [date for date, _ in rows], np.array([float(close) if close else np.nan for _, close in rows])


def daily_returns(name: str = "AAPL", begin: str = "2010-01-01", end: str = "2017-12-31") -> np.ndarray:
    """Close to close, of the days from `begin` to `end` (2,013 by default), the first beside the close before it."""
    dates, closes = _closes(name)
    returns = closes[1:] / closes[:-1] - 1.0
    inside = [begin <= date <= end for date in dates[1:]]
    return returns[np.array(inside)]
