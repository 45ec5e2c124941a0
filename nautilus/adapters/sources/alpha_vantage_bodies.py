"""Answers of Alpha Vantage, as far as they are read; it numbers the names of its fields."""

from __future__ import annotations

import msgspec


class Quote(msgspec.Struct, frozen=True):
    symbol: str = msgspec.field(name="01. symbol")
    price: str = msgspec.field(name="05. price")
    volume: str = msgspec.field(name="06. volume")
    day: str = msgspec.field(name="07. latest trading day")


class QuoteBody(msgspec.Struct, frozen=True):
    quote: dict[str, str] = msgspec.field(name="Global Quote")


class Match(msgspec.Struct, frozen=True):
    symbol: str = msgspec.field(name="1. symbol")
    name: str = msgspec.field(name="2. name")
    kind: str = msgspec.field(name="3. type")
    region: str = msgspec.field(name="4. region")
    currency: str = msgspec.field(name="8. currency")


class SearchBody(msgspec.Struct, frozen=True):
    matches: list[Match] = msgspec.field(name="bestMatches")


class Bar(msgspec.Struct, frozen=True):
    open: str = msgspec.field(name="1. open")
    high: str = msgspec.field(name="2. high")
    low: str = msgspec.field(name="3. low")
    close: str = msgspec.field(name="4. close")
    volume: str | None = msgspec.field(name="5. volume", default=None)
    adjusted: str | None = msgspec.field(name="5. adjusted close", default=None)
    adjusted_volume: str | None = msgspec.field(name="6. volume", default=None)


class Point(msgspec.Struct, frozen=True):
    date: str
    value: str


class IndicatorBody(msgspec.Struct, frozen=True):
    name: str
    interval: str
    unit: str
    data: list[Point]
