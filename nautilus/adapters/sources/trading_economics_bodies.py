"""Rows of Trading Economics, as far as they are read: a column that is missing is refused by its name."""

from __future__ import annotations

import msgspec


class Indicator(msgspec.Struct, frozen=True, rename="pascal"):
    country: str
    category: str
    title: str
    latest_value_date: str
    latest_value: str
    unit: str
    frequency: str
    historical_data_symbol: str
    source: str = ""
    category_group: str = ""
    adjustment: str = ""
    link: str = msgspec.field(name="URL", default="")


class Observation(msgspec.Struct, frozen=True, rename="pascal"):
    country: str
    category: str
    date_time: str
    value: str
    frequency: str
    last_update: str = ""


class Event(msgspec.Struct, frozen=True, rename="pascal"):
    calendar_id: str
    date: str
    country: str
    category: str
    event: str
    actual: str
    previous: str
    forecast: str
    link: str = msgspec.field(name="URL", default="")
    reference: str = ""
