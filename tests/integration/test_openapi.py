"""Every port's OpenAPI document against the port: requests drawn from it, good and bad, and answers held to it.

`make openapi EXAMPLES=1000` draws more of each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from nautilus.adapters.sources import SOURCES
from nautilus.engines import QUANTITATIVE
from tests.kit.openapi import Explorer, operations_of
from tests.kit.platform import Platform, demo

EXAMPLES = int(os.environ.get("NAUTILUS_EXAMPLES", "3"))
ENGINES = ("trading", "marketdata", "risk", "portfolio", "strategy", "gateway", *QUANTITATIVE)
MANAGEMENT = "/api/v1/hybrid/"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    # No provider is asked over the net: what it would have is made up.
    settings = ("marketdata.allow_synthetic=true", *(f"source_{name}.enabled=false" for name in SOURCES))
    with demo("--simulated", "--strategy", "quoting", settings=("gateway.workers=2", *settings), whole=True) as found:
        yield found


@pytest.fixture(scope="module")
def explorers(platform: Platform) -> Iterator[dict[str, Explorer]]:
    head = {"Authorization": f"Bearer {platform.instance.token()}"}
    found = {engine: Explorer(f"http://127.0.0.1:{port}", head) for engine, port in platform.ports.items()}
    yield found
    for each in found.values():
        each.close()


def test_every_engine_has_a_document(explorers: dict[str, Explorer]) -> None:
    assert sorted(explorers) == sorted(ENGINES)
    for engine, explorer in explorers.items():
        assert explorer.document["openapi"].startswith("3.1"), engine
        assert len(operations_of(explorer.document)) >= 6, engine


@pytest.mark.parametrize("engine", ENGINES)
def test_identifiers_are_unique_and_references_lead_somewhere(explorers: dict[str, Explorer], engine: str) -> None:
    document = explorers[engine].document
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    known = set(document["components"]["schemas"])
    assert set(_references(document)) <= known


@pytest.mark.parametrize("engine", ENGINES)
def test_every_operation_tells_of_its_problems(explorers: dict[str, Explorer], engine: str) -> None:
    for path, methods in explorers[engine].document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            problems = [
                code
                for code, answer in operation["responses"].items()
                if "application/problem+json" in answer.get("content", {})
            ]
            assert problems or path.count("/") <= 2, f"{method} {path}"


@pytest.mark.parametrize("mode", ["good", "bad"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_port_answers_as_its_document_says(explorers: dict[str, Explorer], engine: str, mode: str) -> None:
    explorer = explorers[engine]
    before, began = explorer.asked, time.monotonic()
    found = [
        each
        for operation in explorer
        for each in explorer.complaints(operation, mode, EXAMPLES, accepted=MANAGEMENT in operation)
    ]
    print(f"{engine}, {mode}: {explorer.asked - before} requests in {time.monotonic() - began:.0f} s")
    assert not found, "\n".join(found)
    assert explorer.asked > before or mode == "bad"


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref" and isinstance(each, str):
                yield each.removeprefix("#/components/schemas/")
            else:
                yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
