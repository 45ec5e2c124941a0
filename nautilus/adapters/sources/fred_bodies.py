"""Answers of FRED, as far as they are read: what is missing or of another type is refused by its field."""

from __future__ import annotations

import msgspec


class Series(msgspec.Struct, frozen=True):
    """What a series is."""

    id: str
    title: str
    observation_start: str
    observation_end: str
    frequency: str
    units: str
    last_updated: str
    seasonal_adjustment: str = ""
    notes: str | None = None


class SeriesPage(msgspec.Struct, frozen=True):
    seriess: list[Series]
    count: int = -1


class Observation(msgspec.Struct, frozen=True):
    realtime_start: str
    date: str
    value: str


class ObservationPage(msgspec.Struct, frozen=True):
    count: int
    observations: list[Observation]


class Category(msgspec.Struct, frozen=True):
    id: int
    name: str
    parent_id: int


class CategoryPage(msgspec.Struct, frozen=True):
    categories: list[Category]
    count: int = -1


class Release(msgspec.Struct, frozen=True):
    id: int
    name: str
    link: str = ""


class ReleasePage(msgspec.Struct, frozen=True):
    releases: list[Release]


class VintagePage(msgspec.Struct, frozen=True):
    count: int
    vintage_dates: list[str]


class ReleaseDate(msgspec.Struct, frozen=True):
    release_id: int
    date: str


class ReleaseDatePage(msgspec.Struct, frozen=True):
    count: int
    release_dates: list[ReleaseDate]


class ErrorBody(msgspec.Struct, frozen=True):
    error_code: int
    error_message: str
