"""The OpenAPI document of declared operations, and the page for people."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from nautilus.engines import CATALOGUE
from nautilus.engines.base import Operation
from nautilus.model.queries import (
    Book,
    CancelRequest,
    GetBook,
    GetOrders,
    KillRequest,
    KillResult,
    OrderLines,
    OrderRequest,
    OrderResult,
    Reports,
    ReportsSince,
)
from nautilus.runtime.http.document import PROBES, describe, page_of

OPERATIONS = (
    Operation("POST", "/orders", OrderRequest, OrderResult, "Enter an order"),
    Operation("GET", "/orders", GetOrders, OrderLines, "Open orders"),
    Operation("DELETE", "/orders/{order_id}", CancelRequest, OrderResult, "Take an order out"),
    Operation("GET", "/book/{instrument}", GetBook, Book, "Best <levels> & more"),
    Operation("POST", "/kill-switch/{account_id}", KillRequest, KillResult, "The kill switch"),
    Operation("GET", "/reports", ReportsSince, Reports, "Execution reports"),
)


def references(value):
    """Every reference in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        yield from value.get("discriminator", {}).get("mapping", {}).values()
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@pytest.fixture(scope="module")
def document():
    return describe("trading", OPERATIONS)


def test_every_operation_is_described_once(document):
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    probes = {("GET", path) for path in PROBES}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS} | probes
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document):
    found = set(references(document))
    assert found == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_fields_are_where_they_are_sent(document):
    enter = document["paths"]["/orders"]["post"]
    reference = enter["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    body = document["components"]["schemas"][reference]
    assert enter["requestBody"]["required"] is True
    assert (body["required"], "parameters" in enter) == (["instrument", "side", "quantity"], False)
    cancel = document["paths"]["/orders/{order_id}"]["delete"]
    assert [(each["name"], each["in"], each["required"]) for each in cancel["parameters"]] == [
        ("order_id", "path", True),
        ("account_id", "query", False),
    ]
    assert "requestBody" not in cancel
    kill = document["paths"]["/kill-switch/{account_id}"]["post"]
    reference = kill["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = {"on", "instrument_id", "instrument", "strategy_id"}
    assert set(document["components"]["schemas"][reference]["properties"]) == fields
    assert kill["requestBody"]["required"] is True


def test_answers_may_grow_and_requests_may_not(document):
    schemas = document["components"]["schemas"]
    assert schemas["post_orders_body"]["additionalProperties"] is False
    assert not [name for name, schema in schemas.items() if "additionalProperties" in schema and "_body" not in name]


def test_names_of_enumerations_are_text(document):
    side = document["components"]["schemas"]["Side"]
    assert (side["type"], side["enum"]) == ("string", ["BUY", "SELL"])


def test_numbers_have_their_bounds_and_ids_may_be_text(document):
    cancel = document["paths"]["/orders/{order_id}"]["delete"]
    for parameter in cancel["parameters"]:
        number, text = parameter["schema"]["anyOf"]
        assert (number["type"], number["maximum"] > 0, text["type"]) == ("integer", True, "string")
    asked = [each for each in document["paths"]["/book/{instrument}"]["get"]["parameters"] if each["in"] == "query"]
    assert {each["name"] for each in asked} == {"levels", "level"}
    for each in asked:
        assert {"minimum", "maximum"} <= set(each["schema"])
    result = document["components"]["schemas"]["OrderResult"]["properties"]["order_id"]
    assert result["type"] == "integer"


def test_probes_are_described_with_what_they_answer(document):
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503"}
    assert "application/openmetrics-text" in document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]


def test_what_changes_something_needs_the_token(document):
    for methods in document["paths"].values():
        for method, operation in methods.items():
            assert ("security" in operation) == (method != "get")


def test_answers_are_described_with_problems_beside_them(document):
    responses = document["paths"]["/reports"]["get"]["responses"]
    assert responses["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Reports"}
    assert responses["default"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    items = document["components"]["schemas"]["Reports"]["properties"]["reports"]["items"]
    assert items["discriminator"]["propertyName"] == "type"


def test_docstrings_of_fields_go_to_the_fields(document):
    result = document["components"]["schemas"]["OrderResult"]
    assert result["description"] == "What became of an order or of a change to it."
    assert result["properties"]["latency_us"]["description"] == "From the request's arrival to this answer."


class Tags(HTMLParser):
    """Tags and links of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "action")]

    def handle_data(self, data):
        self.text.append(data)


def test_page_lists_every_operation_and_needs_nothing_from_elsewhere(document):
    page = Tags(page_of(document))
    text = "".join(page.text)
    for operation in OPERATIONS:
        assert operation.path in text
        assert operation.summary in text
    assert not page.tags & {"script", "img", "iframe", "link", "form", "object"}
    assert all(re.fullmatch(r"[a-z/.]+", link) for link in page.links)


@pytest.mark.parametrize("name", CATALOGUE)
def test_operations_of_every_engine_can_be_described(name):
    engine = CATALOGUE[name].load()
    document = describe(name, engine.operations)
    assert set(document["paths"]) == {operation.path for operation in engine.operations} | set(PROBES)
    assert page_of(document).startswith("<!doctype html>")
