"""Alpha Vantage, Yahoo Finance, DBnomics and Trading Economics as they were recorded, with their own refusals.

Each is an `Answers` of `recorded_http`: the recorded body at the provider's path and query, the key or crumb checked,
pages cut as the provider cuts them. A recording that is not there skips the test.
"""

from __future__ import annotations

import gzip
import json
from datetime import date
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kit.data import recording
from tests.kit.recorded_http import Answer, Request

ALPHA_VANTAGE_KEY = "AVKEY0123456789X"
TRADING_ECONOMICS_KEY = "client-of-test:secret-of-test"
CRUMB = "haT3oykhHqZ"
COOKIE = "A3=d=AQABBKvcsWcCEIGL"
THROTTLED = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit "
    "(25 requests per day)."
)
WRONG_KEY = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
)
DAY_USED = (
    f"We have detected your API key as {ALPHA_VANTAGE_KEY} and our standard API rate limit is 25 requests per day. "
    "Please subscribe to any of the premium plans to instantly remove all daily rate limits."
)


# Alpha Vantage: one path, everything in the query, and always 200.

SERIES = {"TIME_SERIES_INTRADAY": "mock_time_series", "GLOBAL_QUOTE": "global_quote",
          "SYMBOL_SEARCH": "symbol_search", "SMA": "mock_technical_indicator"}  # fmt: skip


def alpha_vantage_answers(request: Request) -> Answer:
    """What Alpha Vantage says."""
    if request.path != "/query":
        return Answer(b"<h1>Not Found</h1>", 404, {"Content-Type": "text/html"})
    query = dict(request.query)
    if query.pop("apikey", "") != ALPHA_VANTAGE_KEY:
        return _said("Error Message", WRONG_KEY)
    wanted = {
        "TIME_SERIES_INTRADAY": {"symbol": "MSFT", "interval": "1min"},
        "GLOBAL_QUOTE": {"symbol": "MSFT"},
        "SYMBOL_SEARCH": {"keywords": "BA"},
        "SMA": {"symbol": "MSFT", "interval": "15min", "time_period": "10", "series_type": "close"},
    }
    function = query.pop("function", "")
    query.pop("outputsize", None)
    if function in SERIES and query == wanted[function]:
        return Answer(recording(f"http_alphavantage/{SERIES[function]}").read_bytes())
    if function == "GLOBAL_QUOTE":
        return Answer(b'{"Global Quote": {}}')
    return _said("Error Message", f"Invalid API call. Please retry or visit the documentation "
                 f"(https://www.alphavantage.co/documentation/) for {function}.")  # fmt: skip


def _said(name: str, text: str) -> Answer:
    return Answer(json.dumps({name: text}).encode())


# Yahoo: a cookie, a crumb that belongs to it, and three hosts, which are one here.


@lru_cache(maxsize=1)
def _yahoo() -> dict[tuple[str, tuple[tuple[str, str], ...]], bytes]:
    found = {}
    for file in sorted(recording("http_yahoo").glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        parts = urlsplit(document["request"]["url"])
        query = {name: value for name, value in parse_qsl(parts.query) if name != "crumb"}
        body = document["response"].get("bodyJson")
        if body is not None:
            found[parts.path, tuple(sorted(query.items()))] = json.dumps(body).encode()
    assert len(found) > 40, "recordings of Yahoo are missing"
    return found


def yahoo_questions() -> list[tuple[str, dict[str, str]]]:
    """Path and query of every recording."""
    return [(path, dict(query)) for path, query in _yahoo()]


def yahoo_answers(request: Request) -> Answer:
    """What Yahoo says."""
    if request.path == "/":
        return Answer(b"", 404, {"Set-Cookie": f"{COOKIE}; Path=/; HttpOnly", "Content-Type": "text/html"})
    if not request.headers.get("user-agent", "").startswith("Mozilla/"):
        return Answer(b"Edge: Too Many Requests", 429, {"Content-Type": "text/plain"})
    query = dict(request.query)
    crumb = query.pop("crumb", None)
    has_cookie = COOKIE in request.headers.get("cookie", "")
    if request.path == "/v1/test/getcrumb":
        return Answer(CRUMB.encode() if has_cookie else b"", 200, {"Content-Type": "text/plain"})
    if request.path.startswith("/v7/") and (crumb != CRUMB or not has_cookie):
        return _problem("finance", 401, "Unauthorized", "Invalid Crumb")
    body = _yahoo().get((request.path, tuple(sorted(query.items()))))
    if body is not None:
        return Answer(body)
    if request.path.startswith("/v8/finance/chart/"):
        return _problem("chart", 404, "Not Found", "No data found, symbol may be delisted")
    if request.path == "/v7/finance/quote":
        return Answer(b'{"quoteResponse":{"result":[],"error":null}}')
    return _problem("finance", 404, "Not Found", "No data found")


def _problem(name: str, status: int, code: str, description: str) -> Answer:
    body = {name: {"result": None, "error": {"code": code, "description": description}}}
    return Answer(json.dumps(body).encode(), status)


# DBnomics: no key; masks, pages, with and without observations.


@lru_cache(maxsize=1)
def _dbnomics() -> list[dict[str, Any]]:
    with gzip.open(recording("http_dbnomics/series_BIS_cbpol.json.gz")) as file:
        docs: list[dict[str, Any]] = json.load(file)["series"]["docs"]
    return docs


def dbnomics_answers(request: Request) -> Answer:
    """What DBnomics says of BIS/cbpol."""
    parts = request.path.split("/")
    if parts[1:5] != ["v22", "series", "BIS", "cbpol"] or len(parts) > 6:
        return Answer(json.dumps({"errors": [{"message": "not found"}]}).encode(), 404)
    mask = parts[5].split(".") if len(parts) == 6 else ["", ""]
    found = [
        item
        for item in _dbnomics()
        if all(not want or want == have for want, have in zip(mask, item["series_code"].split("."), strict=True))
    ]
    offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 1000))
    page = found[offset : offset + limit]
    if request.query.get("observations") != "1":
        hidden = ("period", "period_start_day", "value")
        page = [{name: value for name, value in item.items() if name not in hidden} for item in page]
    body = {"errors": None, "series": {"docs": page, "limit": limit, "num_found": len(found), "offset": offset}}
    return Answer(json.dumps(body).encode())


# Trading Economics: a key in a header; the recorded rows are served as they are.


def trading_economics_answers(request: Request, calendar_rows: int = 1000) -> Answer:
    """What Trading Economics says; of the history of an indicator: what its recorded rows tell of it."""
    if request.headers.get("authorization") != TRADING_ECONOMICS_KEY:
        return Answer(b'{"Message":"Unauthorized"}', 401)
    if request.query.get("f") != "csv":
        return Answer(b"[]")
    parts = request.path.strip("/").split("/")
    match parts:
        case ["country", country]:
            return _rows("Indicators_indicators.csv", lambda row: row["Country"].lower() == country)
        case ["historical", "country", country, "indicator", indicator, *days]:
            return _history(country, indicator, days)
        case ["calendar", "country", countries, *days]:
            wanted = countries.split(",")
            begin, end = (*days, "", "9999")[:2] if days else ("", "9999")
            return _rows(
                "calendar_calendar.csv",
                lambda row: row["Country"].lower() in wanted and begin <= row["Date"][:10] <= end,
                calendar_rows,
                "Date",
            )
    return Answer(b"", 404)


def _read(name: str) -> tuple[str, list[str]]:
    head, *lines = recording(f"http_tradingeconomics/{name}").read_text(encoding="utf-8").splitlines()
    return head, lines


def _rows(name: str, wanted: Any, most: int = 10_000, by: str = "") -> Answer:
    head, lines = _read(name)
    names = head.split("|")
    kept = [line for line in lines if wanted(dict(zip(names, line.split("|"), strict=True)))]
    if by:
        kept.sort(key=lambda line: line.split("|")[names.index(by)])
    return Answer("\n".join([head, *kept[:most], ""]).encode(), 200, {"Content-Type": "text/csv; charset=utf-8"})


def _history(country: str, indicator: str, days: list[str]) -> Answer:
    head, lines = _read("Indicators_indicators.csv")
    out = ["Country,Category,DateTime,Value,Frequency,HistoricalDataSymbol,LastUpdate"]
    begin, end = (*days, "", "9999")[:2] if days else ("", "9999")
    for line in lines:
        row = dict(zip(head.split("|"), line.split("|"), strict=True))
        if (row["Country"].lower(), row["Category"].lower()) != (country, indicator):
            continue
        for when, value in (("PreviousValueDate", "PreviousValue"), ("LatestValueDate", "LatestValue")):
            if begin <= str(date.fromisoformat(row[when][:10])) <= end:
                out.append(
                    f"{row['Country']},{row['Category']},{row[when]},{row[value]},{row['Frequency']},"
                    f"{row['HistoricalDataSymbol']},{row['LatestValueDate']}"
                )
    return Answer("\n".join(out).encode(), 200, {"Content-Type": "text/csv; charset=utf-8"})
