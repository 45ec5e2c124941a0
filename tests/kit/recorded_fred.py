"""FRED as it was recorded: every cassette at its path and query, pages cut as FRED cuts them, its refusals."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.kit.data import recording
from tests.kit.recorded_http import Answer, Request

FRED_KEY = "0123456789abcdef0123456789abcdef"
PAGED = {"observations": 100_000, "seriess": 1_000, "vintage_dates": 10_000, "tags": 1_000, "release_dates": 1_000}
"""The list of a page, and the most that FRED puts into one."""
OF_PAGES = ("offset", "limit", "sort_order", "observation_start", "observation_end")


@lru_cache(maxsize=1)
def cassettes() -> dict[tuple[str, tuple[tuple[str, str], ...]], tuple[bytes, dict[str, str]]]:
    """Body and headers by path and query."""
    found = {}
    for file in sorted(recording("http_fred").glob("*.yaml")):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for item in yaml.load(file.read_text(encoding="utf-8"), loader)["interactions"][:1]:
            parts = urlsplit(item["request"]["uri"])
            headers = {name: value[0] for name, value in item["response"]["headers"].items()}
            kept = {
                name: headers[name] for name in ("Content-Type", "Last-Modified", "Cache-Control") if name in headers
            }
            query = tuple(sorted(parse_qsl(parts.query)))
            found[parts.path, query] = (item["response"]["body"]["string"].encode(), kept)
    assert len(found) >= 14, "cassettes of FRED are missing"
    return found


def fred_answers(request: Request, most: int = 0) -> Answer:
    """What FRED says; with `most` no page has more than that."""
    query = dict(request.query)
    key = query.pop("api_key", None)
    if key is None:
        return _refused("Bad Request.  Variable api_key is not set.  "
                        "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.")  # fmt: skip
    if key != FRED_KEY:
        return _refused("Bad Request.  The value for variable api_key is not registered.  "
                        "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.")  # fmt: skip
    pages = {name: query.pop(name) for name in OF_PAGES if name in query}
    if most:
        pages["limit"] = str(min(most, int(pages.get("limit", most))))
    found = cassettes().get((request.path, tuple(sorted(query.items()))))
    if found is None:
        return _refused("Bad Request.  The series does not exist.")
    body, headers = found
    if pages:
        body = _cut(json.loads(body), pages)
    return Answer(body, 200, headers)


def _cut(page: dict[str, Any], wanted: dict[str, str]) -> bytes:
    name = next((name for name in PAGED if name in page), "")
    if not name or "count" not in page:
        return json.dumps(page).encode()
    items = page[name]
    if name == "observations":
        begin, end = wanted.get("observation_start", ""), wanted.get("observation_end", "9999")
        items = [item for item in items if begin <= item["date"] <= end]
    if wanted.get("sort_order") == "desc":
        items = items[::-1]
    offset, limit = int(wanted.get("offset", 0)), int(wanted.get("limit", page.get("limit", PAGED[name])))
    page |= {"count": len(items), "offset": offset, "limit": limit, name: items[offset : offset + limit]}
    return json.dumps(page).encode()


def _refused(message: str) -> Answer:
    return Answer(json.dumps({"error_code": 400, "error_message": message}).encode(), 400)
