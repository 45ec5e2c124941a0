"""Histories that engines of analysis work on: a value a day (or another step) under a name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from nautilus.model.datasets import Interval, Moment, MomentText, SourceName
from nautilus.model.message import Message

LONGEST_NAME = 96
MOST_VALUES = 100_000
"""Of one message."""
SeriesName = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]


class SeriesKind(StrEnum):
    """What the values are; prices, volumes and sizes have to be positive, returns above -1."""

    PRICE = "price"
    RETURN = "return"
    VOLUME = "volume"
    SIZE = "size"
    LEVEL = "level"


class PutHistory(Message, frozen=True):
    """Give values of a series.

    Parameters
    ----------
    series
        Its name: a symbol, an index, a portfolio.
    times_ns
        End of each step, increasing.
    values
        One for each time.
    kind
        The same for all of a series.
    append
        Behind what is there; else in its place.
    source
        Where they are from, for the provenance of answers.
    synthetic
        Some of them are made up, as by a simulation.
    """

    series: SeriesName
    times_ns: Annotated[tuple[Moment, ...], Meta(max_length=MOST_VALUES)]
    values: Annotated[tuple[float, ...], Meta(max_length=MOST_VALUES)]
    kind: SeriesKind = SeriesKind.PRICE
    append: bool = False
    source: SourceName = "uploaded"
    synthetic: bool = False


class LoadHistory(Message, frozen=True):
    """Have the hub ask a provider for bars of a symbol; its adjusted closes become the series, else its closes."""

    series: SeriesName
    symbol: Annotated[str, Meta(max_length=64)] = ""
    source: SourceName = ""
    interval: Interval = "1d"
    begin: MomentText = ""
    end: MomentText = ""


class GetHistories(Message, frozen=True):
    """Which series there are."""


class GetHistory(Message, frozen=True):
    """What is known of one series."""

    series: SeriesName


class DropHistory(Message, frozen=True):
    """Forget a series."""

    series: SeriesName


class HistoryState(Message, frozen=True):
    """One series.

    Parameters
    ----------
    state
        ``ready``; ``loading``: the hub was asked; ``failed``: `reason` says why.
    adjusted
        Prices are after splits and dividends.
    """

    series: str
    kind: SeriesKind
    state: str
    count: int
    begin_ns: int = 0
    end_ns: int = 0
    source: str = ""
    synthetic: bool = False
    adjusted: bool = False
    reason: str = ""


class HistoryStates(Message, frozen=True):
    """Every series, by name."""

    series: tuple[HistoryState, ...]


MESSAGES: Final[tuple[type[Message], ...]] = (
    DropHistory,
    GetHistories,
    GetHistory,
    HistoryState,
    HistoryStates,
    LoadHistory,
    PutHistory,
)

__all__ = [
    "LONGEST_NAME",
    "MESSAGES",
    "MOST_VALUES",
    "DropHistory",
    "GetHistories",
    "GetHistory",
    "HistoryState",
    "HistoryStates",
    "LoadHistory",
    "PutHistory",
    "SeriesKind",
    "SeriesName",
]
