"""Settings of the data providers, one section each. Nothing here needs the client libraries."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Secret = Annotated[str, Meta(extra={"secret": True})]
"""A text that is shown nowhere: `nautilus config show` says only whether it is set."""
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0)]


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every provider has; those that follow set the provider's own values.

    Parameters
    ----------
    enabled
        Whether it is asked at all.
    base_url
        Where it is: scheme, host and the part of the path that all its addresses share.
    key
        Its API key. "": none; a provider that wants one is then not asked.
    user_agent
        What the requests say they are from.
    per_second, per_minute, per_hour, per_day
        Requests that may leave in any second, any minute, any hour, and a day of the provider's; of all processes
        together. 0: no limit.
    day_zone
        Time zone in which the provider's day begins, as the IANA names it.
    wait_seconds
        So long a question waits for a limit; what would wait longer is refused at once.
    connect_seconds, answer_seconds
        Until a connection has to stand, and until an answer has to be here, with its repeats.
    unsaid_seconds
        So long nobody asks after a refusal for too many requests that does not say how long.
    retries
        Repeats of one request at most; all of them within the source's budget of one for each five requests.
    backoff_seconds
        Before the first repeat at most; twice that before the next.
    most_mib
        Of an answer, unpacked.
    most_pages
        Of one question.
    connections
        Open at once.
    remembered, remembered_mib
        Answers kept for conditional requests, and how much of them.
    cost, currency
        Of one request.
    """

    enabled: bool = True
    base_url: str = ""
    key: Secret = ""
    user_agent: str = "nautilus/0.1"
    per_second: Count = 0
    per_minute: Count = 0
    per_hour: Count = 0
    per_day: Count = 0
    day_zone: str = "UTC"
    wait_seconds: Annotated[float, Meta(ge=0)] = 5.0
    connect_seconds: Seconds = 5.0
    answer_seconds: Seconds = 20.0
    unsaid_seconds: Seconds = 60.0
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    backoff_seconds: Annotated[float, Meta(ge=0)] = 0.25
    most_mib: Annotated[int, Meta(ge=1, le=1024)] = 32
    most_pages: Annotated[int, Meta(ge=1)] = 20
    connections: Annotated[int, Meta(ge=1, le=16)] = 1
    remembered: Count = 256
    remembered_mib: Count = 16
    cost: Annotated[float, Meta(ge=0)] = 0.0
    currency: str = "USD"

    def __repr__(self) -> str:
        """As any struct, but for its key."""
        told = ", ".join(
            f"{name}={'***' if name == 'key' and self.key else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({told})"


class FredConfig(SourceConfig, frozen=True, kw_only=True):
    """FRED of the Federal Reserve Bank of St. Louis: a free key, 120 requests a minute."""

    base_url: str = "https://api.stlouisfed.org/fred"
    per_minute: Count = 120


class AlphaVantageConfig(SourceConfig, frozen=True, kw_only=True):
    """Alpha Vantage: a free key, 25 requests a day and one a second; a paid plan has no limit of the day."""

    base_url: str = "https://www.alphavantage.co"
    per_second: Count = 1
    per_minute: Count = 5
    per_day: Count = 25
    wait_seconds: Annotated[float, Meta(ge=0)] = 15.0
    answer_seconds: Seconds = 30.0


class YahooConfig(SourceConfig, frozen=True, kw_only=True):
    """Yahoo Finance: no key, but a cookie and a crumb, which it gives itself; its limits are not documented.

    Parameters
    ----------
    cookie_url
        Where the cookie is from.
    crumb_seconds
        Life of a crumb here.
    """

    base_url: str = "https://query2.finance.yahoo.com"
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) nautilus/0.1"
    per_second: Count = 2
    per_hour: Count = 2_000
    cookie_url: str = "https://fc.yahoo.com"
    crumb_seconds: Seconds = 1800.0


class DbnomicsConfig(SourceConfig, frozen=True, kw_only=True):
    """DBnomics: no key and no documented limit; asked politely."""

    base_url: str = "https://api.db.nomics.world/v22"
    per_second: Count = 2
    per_minute: Count = 60
    page: Annotated[int, Meta(ge=1, le=1000)] = 1000


class TradingEconomicsConfig(SourceConfig, frozen=True, kw_only=True):
    """Trading Economics: a key (``client:secret``), one request a second.

    Parameters
    ----------
    historical_rows, calendar_rows
        What it gives of one request at most; more is asked for by dates.
    """

    base_url: str = "https://api.tradingeconomics.com"
    per_second: Count = 1
    historical_rows: Annotated[int, Meta(ge=2)] = 10_000
    calendar_rows: Annotated[int, Meta(ge=2)] = 1_000


class EdgarConfig(SourceConfig, frozen=True, kw_only=True):
    """EDGAR of the SEC: no key, 10 requests a second, and a user agent that says who asks.

    Parameters
    ----------
    files_url
        Where the list of tickers and the documents are.
    tickers_seconds
        After so long the list of tickers is asked for again.
    """

    base_url: str = "https://data.sec.gov"
    files_url: str = "https://www.sec.gov"
    user_agent: str = ""
    per_second: Count = 10
    unsaid_seconds: Seconds = 600.0
    tickers_seconds: Seconds = 86_400.0


class DataGovConfig(SourceConfig, frozen=True, kw_only=True):
    """The catalog of Data.gov: a free key, 1,000 requests an hour.

    Parameters
    ----------
    ckan_url
        Of the catalog that it replaced, asked where it is not to be had; "": never.
    """

    base_url: str = "https://api.gsa.gov/technology/datagov/v4"
    per_hour: Count = 1_000
    ckan_url: str = "https://catalog.data.gov/api/3"
    unsaid_seconds: Seconds = 3600.0


class IbkrConfig(SourceConfig, frozen=True, kw_only=True):
    """Interactive Brokers: TWS or IB Gateway on a socket, which knows whose account it is.

    Parameters
    ----------
    host, port
        7496 and 7497 are TWS, 4001 and 4002 IB Gateway; the second of each is a paper account.
    client_id
        Another one for each program that uses the same TWS.
    market_data_type
        1: live; 2: frozen; 3: delayed; 4: delayed and frozen.
    regular_hours
        Bars of the regular trading hours alone.
    longest_backoff_seconds
        Between attempts to connect.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 4002
    client_id: Count = 17
    market_data_type: Annotated[int, Meta(ge=1, le=4)] = 1
    regular_hours: bool = True
    longest_backoff_seconds: Seconds = 60.0
    per_second: Count = 45


__all__ = [
    "AlphaVantageConfig",
    "Count",
    "DataGovConfig",
    "DbnomicsConfig",
    "EdgarConfig",
    "FredConfig",
    "IbkrConfig",
    "Seconds",
    "Secret",
    "SourceConfig",
    "TradingEconomicsConfig",
    "YahooConfig",
]
