"""Answers of Yahoo Finance, as far as they are read: what is missing or of another type is refused by its field."""

from __future__ import annotations

import msgspec


class Quote(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str
    quote_type: str
    currency: str = ""
    full_exchange_name: str = ""
    exchange: str = ""
    price_hint: int = 2
    regular_market_price: float | None = None
    regular_market_time: int = 0
    regular_market_volume: float | None = None
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None


class Problem(msgspec.Struct, frozen=True):
    code: str
    description: str = ""


class QuoteResult(msgspec.Struct, frozen=True):
    result: list[Quote]
    error: Problem | None = None


class QuoteBody(msgspec.Struct, frozen=True, rename="camel"):
    quote_response: QuoteResult


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str
    currency: str
    exchange_timezone_name: str
    data_granularity: str
    price_hint: int = 2
    exchange_name: str = ""


class Columns(msgspec.Struct, frozen=True):
    open: list[float | None] = []
    high: list[float | None] = []
    low: list[float | None] = []
    close: list[float | None] = []
    volume: list[float | None] = []


class Adjusted(msgspec.Struct, frozen=True):
    adjclose: list[float | None] = []


class Indicators(msgspec.Struct, frozen=True):
    quote: list[Columns]
    adjclose: list[Adjusted] = []


class Dividend(msgspec.Struct, frozen=True):
    amount: float
    date: int


class Split(msgspec.Struct, frozen=True, rename="camel"):
    date: int
    numerator: float
    denominator: float
    split_ratio: str = ""


class Events(msgspec.Struct, frozen=True):
    dividends: dict[str, Dividend] = {}
    splits: dict[str, Split] = {}


class Chart(msgspec.Struct, frozen=True):
    meta: Meta
    indicators: Indicators
    timestamp: list[int] | None = None
    events: Events = Events()


class ChartResult(msgspec.Struct, frozen=True):
    result: list[Chart]


class ChartBody(msgspec.Struct, frozen=True):
    chart: ChartResult


class Contract(msgspec.Struct, frozen=True, rename="camel"):
    contract_symbol: str
    strike: float
    expiration: int
    currency: str = ""
    last_price: float | None = None
    bid: float | None = None
    ask: float | None = None
    volume: float | None = None
    last_trade_date: int = 0


class Expiry(msgspec.Struct, frozen=True, rename="camel"):
    expiration_date: int
    calls: list[Contract]
    puts: list[Contract]


class OptionChain(msgspec.Struct, frozen=True, rename="camel"):
    underlying_symbol: str
    expiration_dates: list[int]
    options: list[Expiry]
    quote: Quote | None = None


class OptionResult(msgspec.Struct, frozen=True):
    result: list[OptionChain]


class OptionBody(msgspec.Struct, frozen=True, rename="camel"):
    option_chain: OptionResult


class Found(msgspec.Struct, frozen=True):
    symbol: str = ""
    quoteType: str = ""  # noqa: N815 - as Yahoo writes it, beside names that it writes small
    shortname: str = ""
    longname: str = ""
    exchDisp: str = ""  # noqa: N815
    sector: str = ""
    industry: str = ""


class SearchBody(msgspec.Struct, frozen=True):
    quotes: list[Found]
