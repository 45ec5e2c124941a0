"""Answers of DBnomics, as far as they are read: what is missing or of another type is refused by its field."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Series(msgspec.Struct, frozen=True):
    provider_code: str
    dataset_code: str
    series_code: str
    dimensions: dict[str, str]
    dataset_name: str = ""
    series_name: str = ""
    indexed_at: str = ""
    frequency: str = msgspec.field(name="@frequency", default="")
    period: list[str] | None = None
    value: list[float | str | None] | None = None


class Dataset(msgspec.Struct, frozen=True):
    provider_code: str
    code: str
    name: str = ""
    description: str | None = None
    indexed_at: str = ""
    nb_series: int = 0


class Page(msgspec.Struct, Generic[T], frozen=True):
    docs: list[T]
    num_found: int
    offset: int


class SeriesBody(msgspec.Struct, frozen=True):
    series: Page[Series]


class SearchBody(msgspec.Struct, frozen=True):
    results: Page[Dataset]
