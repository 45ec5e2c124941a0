"""Every request that a page of the manual shows to an engine is one that the engine's operations take."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from nautilus.engines import CATALOGUE
from nautilus.runtime.http.fields import FieldReader
from nautilus.runtime.http.request import NO_BODY, Request

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = ("analytics", "analytics-models", "risk", "portfolio", "factor", "features", "vpin", "collateral")
ENGINES = {
    CATALOGUE[name].port: name for name in ("analytics", "risk", "portfolio", "factor", "features", "collateral")
}


def commands(page: str) -> list[list[str]]:
    """Words of each curl command in the code blocks of a page; what it pipes into is left out."""
    found = []
    for block in re.findall(r"```\w*\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL):
        plain = re.sub(r"\s+# .*$", "", block, flags=re.MULTILINE)
        texts = re.findall(r"""^curl (?:'[^']*'|"[^"]*"|\\\n|[^'"\n|])*""", plain, re.MULTILINE)
        found += [shlex.split(text.replace("\\\n", " ")) for text in texts]
    return found


def asked(words: list[str]) -> tuple[str, str, Any]:
    """Method, address and body of a curl command."""
    method, url, body = "", "", NO_BODY
    values = iter(words[1:])
    for word in values:
        if word in ("-X", "-H", "-d", "-m"):
            value = next(values)
            method = value if word == "-X" else method
            body = json.loads(value) if word == "-d" else body
        elif not word.startswith("-"):
            url = word if "//" in word else f"http://{word}"
    return method or ("GET" if body is NO_BODY else "POST"), url, body


@pytest.mark.parametrize("page", PAGES)
def test_requests_of_the_manual_are_requests_of_the_engine(page: str) -> None:
    count = 0
    for words in commands(page):
        method, url, body = asked(words)
        parts = urlsplit(url)
        assert parts.port in ENGINES, words
        if parts.path == "/docs":
            continue
        count += 1
        routes = []
        for operation in CATALOGUE[ENGINES[parts.port]].load().operations:
            names = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(operation.path))
            place = re.fullmatch(names, unquote(parts.path))
            if place and operation.method == method:
                routes.append((operation.path.count("{"), operation, place.groupdict()))
        assert routes, f"{method} {parts.path} of docs/{page}.md is no operation"
        _, operation, values = min(routes, key=lambda route: route[0])
        exchange = SimpleNamespace(method=method, query=parts.query.encode())
        message = FieldReader(operation.request).read(Request(exchange, body, values))  # type: ignore[arg-type]
        assert isinstance(message, operation.request)
    assert count or page in ("analytics-models", "vpin")
