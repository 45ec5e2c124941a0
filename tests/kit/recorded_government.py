"""EDGAR and Data.gov as they answered: what was recorded, and what their documentation shows for the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

from tests.kit.data import recording
from tests.kit.recorded_http import Answer, Request

AGENT = "Sample Company admin@sample.com"
DATAGOV_KEY = "key-of-test"
UNDECLARED = b"<html><title>SEC.gov | Your Request Originates from an Undeclared Automated Tool</title></html>"
EXCEEDED = b"<html><title>SEC.gov | Request Rate Threshold Exceeded</title></html>"
# As the documentation of the two addresses shows them.
CONCEPT: dict[str, Any] = {
    "cik": 1318605, "taxonomy": "us-gaap", "tag": "Revenues", "label": "Revenues", "entityName": "Tesla",
    "units": {"USD": [
        {"start": "2021-01-01", "end": "2021-03-31", "val": 10389000000, "accn": "0000950170-21-000046", "fy": 2021,
         "fp": "Q1", "form": "10-Q", "filed": "2021-04-28", "frame": "CY2021Q1"},
        {"start": "2021-01-01", "end": "2021-12-31", "val": 53823000000, "accn": "0000950170-22-000796", "fy": 2021,
         "fp": "FY", "form": "10-K", "filed": "2022-02-07", "frame": "CY2021"},
    ]},
}  # fmt: skip
ASSETS: dict[str, Any] = {"USD": [
    {"end": "2021-12-31", "val": 62131000000, "accn": "0000950170-22-000796", "fy": 2021, "fp": "FY", "form": "10-K",
     "filed": "2022-02-07", "frame": "CY2021Q4I"},
]}  # fmt: skip
FRAME = {
    "taxonomy": "us-gaap", "tag": "AccountsPayableCurrent", "ccp": "CY2019Q1I", "uom": "USD", "label": "", "pts": 2,
    "data": [
        {"accn": "0001104659-19-016320", "cik": 1750, "entityName": "AAR CORP.", "loc": "US-IL", "end": "2019-02-28",
         "val": 218600000},
        {"accn": "0001104659-19-000001", "cik": 1800, "entityName": "ABBOTT", "loc": "US-IL", "end": "2019-03-31",
         "val": 3029000000},
    ],
}  # fmt: skip


@cache
def submissions() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(recording("http_edgar/company_submission.json").read_bytes())
    return found


def older_page() -> dict[str, Any]:
    """The file of older filings, which was not recorded: columns like the recorded ones, of two filings."""
    columns = {name: [column[-1], column[-1]] for name, column in submissions()["filings"]["recent"].items()}
    return columns | {
        "accessionNumber": ["0001193125-13-000001", "0001193125-05-000002"],
        "acceptanceDateTime": ["2013-11-08T16:01:00.000Z", "2005-02-17T09:00:00.000Z"],
        "form": ["10-Q", "D"],
    }


def edgar(change: Callable[[str, Any], Any] = lambda path, body: body) -> Callable[[Request], Answer]:
    """The provider; `change` alters what an address answers."""

    def answers(request: Request) -> Answer:
        if "@" not in request.headers.get("user-agent", ""):
            return Answer(UNDECLARED, 403, {"Content-Type": "text/html"})
        path = request.path
        if path == "/files/company_tickers.json":
            body: Any = json.loads(recording("http_edgar/company_tickers.json").read_bytes())
        elif path == "/submissions/CIK0001318605.json":
            body = json.loads(json.dumps(submissions()))
        elif path == "/submissions/CIK0001318605-submissions-001.json":
            body = older_page()
        elif path == "/api/xbrl/companyconcept/CIK0001318605/us-gaap/Revenues.json":
            body = json.loads(json.dumps(CONCEPT))
        elif path == "/api/xbrl/companyfacts/CIK0001318605.json":
            body = {"cik": 1318605, "entityName": "Tesla, Inc.", "facts": {"us-gaap": {
                "Revenues": {"label": "", "description": "", "units": CONCEPT["units"]},
                "Assets": {"label": None, "description": None, "units": ASSETS},
            }}}  # fmt: skip
        elif path == "/api/xbrl/frames/us-gaap/AccountsPayableCurrent/USD/CY2019Q1I.json":
            body = FRAME
        else:
            return Answer(b"<Error><Code>NoSuchKey</Code></Error>", 404, {"Content-Type": "application/xml"})
        data = json.dumps(change(path, body)).encode()
        return Answer(data, 200, {"ETag": f'"{sha256(data).hexdigest()[:16]}"'})

    return answers


def page(number: int) -> bytes:
    """A recorded answer of the catalog."""
    return recording(f"http_datagov/response_{number:02d}.json").read_bytes()


def datagov(request: Request) -> Answer:
    """The catalog: its recorded first pages, each with its cursor, then a last one; the old catalog under /api/3."""
    limits = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "998"}
    if request.path == "/api/3/action/package_search":
        start = int(request.query["start"])
        packages = [
            {"name": f"set-{n}", "title": f"Set {n}", "notes": None, "metadata_modified": "2024-05-01T10:00:00.000000",
             "organization": {"title": "NOAA"}, "resources": [{"url": f"https://example.gov/{n}.csv"}, {"url": ""}]}
            for n in range(3)
        ]  # fmt: skip
        rows = packages[start : start + min(2, int(request.query["rows"]))]
        return Answer(json.dumps({"success": True, "result": {"count": 3, "results": rows}}).encode())
    if request.path != "/v4/search":
        return Answer(page(8), 404, limits)
    if request.headers.get("x-api-key") != DATAGOV_KEY:
        error = {"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."}}
        return Answer(json.dumps(error).encode(), 403, limits)
    first, second = json.loads(page(1)), json.loads(page(2))
    match request.query.get("after", ""):
        case "":
            return Answer(page(1), 200, limits)
        case cursor if cursor == first["after"]:
            second["results"][0]["dcat"]["distribution"] = [
                {"@type": "dcat:Distribution", "downloadURL": "https://nces.ed.gov/2012PFIascii.zip"},
                {"@type": "dcat:Distribution", "accessURL": "https://nces.ed.gov/data"},
                "...",
            ]
            return Answer(json.dumps(second).encode(), 200, limits)
        case _:
            return Answer(b'{"results":[],"sort":"relevance"}', 200, limits)
