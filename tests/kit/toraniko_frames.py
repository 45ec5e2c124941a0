"""Matrices as the tables that toraniko takes, and its tables as matrices."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FIRST = datetime.date(2010, 1, 4)


def table(present: NDArray[np.bool_], symbols: tuple[str, ...], **columns: Array) -> pl.DataFrame:
    """Rows of the stock days that are present, by day and symbol."""
    days, stocks = present.shape
    at = present.ravel()
    dates = np.repeat(np.arange(days), stocks)[at]
    names = np.tile(np.array(symbols), days)[at]
    content: dict[str, Any] = {
        "date": [_FIRST + datetime.timedelta(days=int(day)) for day in dates],
        "symbol": names.tolist(),
    }
    content.update({name: np.broadcast_to(column, present.shape).ravel()[at] for name, column in columns.items()})
    return pl.DataFrame(content)


def matrix(frame: pl.DataFrame, column: str, shape: tuple[int, int], symbols: tuple[str, ...]) -> Array:
    """A column of a table of dates and symbols; NaN where it has no row, or no value."""
    result = np.full(shape, np.nan)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = [(date - _FIRST).days for date in frame["date"].to_list()]
    result[rows, [places[symbol] for symbol in frame["symbol"].to_list()]] = frame[column].to_numpy()
    return result


def days_of(frame: pl.DataFrame) -> NDArray[np.int64]:
    """Rows of the matrices that a sorted table of dates has."""
    return np.array([(date - _FIRST).days for date in frame["date"].to_list()])
