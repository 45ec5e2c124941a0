"""docs/gateway.md says what there is, no more and no less: endpoints, fields, settings, variables, problems."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI

from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.management import BASE_PATH, hybrid_router
from nautilus.policy.routing import CATEGORIES, OTHER, Strategy
from nautilus.runtime.config import examine
from nautilus.runtime.plain_names import PLAIN_NAMES
from tests.kit.management import MemoryServices

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "gateway.md").read_text()
RAISED = re.compile(r'(?:HttpError\(\s*\w+|\b[45]\d\d),\s*"((?:gateway|breaker|limit)\.[a-z_]+)"')


def section(title: str) -> str:
    found = re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", PAGE)
    assert found, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Cells of the last table of a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    start = max(at for at, line in enumerate(lines) if set(line) <= set("|-"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 1 :]]


def plain(cell: str) -> str:
    return cell.strip("`")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = FastAPI()
    app.include_router(hybrid_router(MemoryServices().services()))
    return app.openapi()


def test_every_endpoint_has_a_heading_and_no_other_has(document: dict[str, Any]) -> None:
    there = {
        f"{method.upper()} {path.removeprefix(BASE_PATH)}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert set(re.findall(r"(?m)^### ((?:GET|PUT|POST) /\S+)$", PAGE)) == there


def test_every_endpoint_has_an_example_that_asks_it() -> None:
    for found in re.finditer(r"(?ms)^### (GET|PUT|POST) (/\S+)\n(.*?)(?=^##)", PAGE):
        method, path, text = found.groups()
        example = re.search(r"(?s)```sh\n(.*?)```", text)
        assert example, path
        asked = re.search(r"curl -sf(?: -X (\w+))? http://127\.0\.0\.1:8001/api/v1/hybrid(\S+)", example[1])
        assert asked, path
        assert (asked[1] or "GET") == method
        assert re.fullmatch(path.replace("{name}", "[a-z]+"), asked[2])


def test_every_field_of_an_answer_is_named(document: dict[str, Any]) -> None:
    text = section("Management API")
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    # Written as `average_response_time_ms` with `p95_` and `p99_`.
    named |= {f"{each}response_time_ms" for each in ("p95_", "p99_") if f"`{each}`" in text}
    schemas = document["components"]["schemas"]
    wanted = set()
    for name, schema in schemas.items():
        if name not in ("PoolMetrics", "EngineTraffic", "OutcomeRecorded"):
            wanted |= set(schema.get("properties", {}))
    assert wanted - named == set()


def test_every_setting_is_there_with_its_default() -> None:
    config = GatewayConfig()
    there = {
        field.name: msgspec.to_builtins(getattr(config, field.name)) for field in msgspec.structs.fields(GatewayConfig)
    }
    told = {plain(name): default for name, default, _ in rows("Settings")}
    assert set(told) == set(there)
    tables = {name for name, default in told.items() if not default.startswith("`")}
    assert tables == {"routing", "health"}, "whose keys are told elsewhere on the page"
    assert {name: json.loads(plain(default)) for name, default in told.items() if name not in tables} == {
        name: value for name, value in there.items() if name not in tables
    }


def test_every_variable_is_there_with_its_default_and_what_it_sets() -> None:
    told = {plain(name): (plain(default), plain(sets)) for name, default, sets, _ in rows("Environment")}
    assert set(told) == set(PLAIN_NAMES)
    for name, meaning in PLAIN_NAMES.items():
        default, sets = told[name]
        assert sets == f"{meaning.section}.{meaning.key}"
        assert PLAIN_NAMES[name].parse(default) is not None


def test_every_problem_of_the_gateway_is_there() -> None:
    sources = [path.read_text() for path in (ROOT / "nautilus" / "gateway").glob("*.py")]
    raised = {found[1] for text in sources for found in RAISED.finditer(text)}
    raised |= {"gateway.unknown_engine", "gateway.unknown_breaker"}  # made of what is unknown
    assert {plain(code) for _, code, _ in rows("Problems")} == raised
    statuses = {plain(code): status for status, code, _ in rows("Problems")}
    for text in sources:
        for found in re.finditer(r"\b([45]\d\d),\s*\"((?:gateway|breaker|limit)\.[a-z_]+)\"", text):
            assert statuses[found[2]] == found[1]


def test_strategies_and_categories_are_there() -> None:
    text = section("Strategies")
    assert {each.value for each in Strategy if each != Strategy.AB_SPLIT} == {
        plain(line.strip("|").split("|")[0].strip()) for line in text.splitlines() if re.match(r"\| `\w+` \|", line)
    }
    told = {name: (engines, strategy, budget) for name, engines, strategy, budget in rows("Strategies")}
    assert told == {
        each.name: (", ".join(each.engines), f"`{each.strategy}`", f"{each.budget_ms:g} ms") for each in CATEGORIES
    } | {OTHER.name: ("all others", "`default_strategy`", f"{OTHER.budget_ms:g} ms")}


def test_the_routing_that_it_shows_is_valid(tmp_path: Path) -> None:
    shown = re.search(r"(?s)```toml\n(.*?)```", section("Strategies"))
    assert shown
    assert tomllib.loads(shown[1])
    file = tmp_path / "shown.toml"
    file.write_text(shown[1])
    configuration, problems = examine({"gateway": GatewayConfig}, path=str(file), environment={})
    assert problems == []
    assert configuration is not None


def test_the_application_that_it_shows_runs() -> None:
    shown = re.search(r"(?s)```python\n(.*?)```", section("In another application"))
    assert shown
    names: dict[str, Any] = {}
    exec(shown[1], names)
    app = names["application"](MemoryServices().services())
    assert f"{BASE_PATH}/health" in app.openapi()["paths"]
