"""The management API in an application of somebody else's: every endpoint and field, who may what, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.gateway.management import BASE_PATH, hybrid_router, scope_of
from nautilus.model.errors import BusError
from nautilus.policy.keys import Principal
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.problems import PROBLEM_TYPE
from tests.kit.management import NAMES, OPERATOR, READER, TRADER, MemoryServices, Reply, ask

OUTCOME = {"engine": "risk", "strategy": "hybrid_intelligent", "actual_latency_ms": 4.2, "success": True}
BREAKER = {"total_requests", "success_rate", "consecutive_failures", "average_response_time_ms"}
ENGINE = {"status", "response_time_ms", "success_rate", "load_percent", "consecutive_failures", "uptime_seconds"}
FIELDS: dict[str, set[str]] = {
    "/health": {"system_status", "engines", "gateway", "routing", "circuit_breakers"},
    "/status": {"system_status", "hybrid_routing_enabled", "default_strategy", "open_breakers", "revision"},
    "/engines": {
        "overall_status",
        "total_engines",
        "healthy_engines",
        "degraded_engines",
        "unhealthy_engines",
        "system_availability",
        "average_response_time_ms",
        "engines",
    },
    "/config": {"hybrid_routing_enabled", "default_strategy", "revision", "settings"},
    "/metrics": {"routing", "gateway", "circuit_breakers", "engines"},
    "/metrics/routing": {"enabled", "total_decisions", "strategy_distribution", "strategy_performance"},
    "/metrics/gateway": {"workers", "total_requests", "success_rate", "average_response_time_ms", "cache", "pools"},
    "/circuit-breakers": set(NAMES),
}
CHANGES: list[tuple[str, str, Any, str]] = [
    ("PUT", "/config", {"hybrid_routing_enabled": False}, "admin"),
    ("POST", "/route", {"engine": "risk"}, "read"),
    ("POST", "/record-outcome", OUTCOME, "trade"),
    ("POST", "/circuit-breakers/risk/reset", None, "admin"),
    ("POST", "/circuit-breakers/reset-all", None, "admin"),
    ("POST", "/engines/risk/check", None, "admin"),
]


class House:
    """A plain FastAPI application with the router in it."""

    def __init__(self, **options: Any) -> None:
        self.parts = MemoryServices()
        self.app = FastAPI()
        self.app.include_router(hybrid_router(self.parts.services(**options)))

    def ask(self, method: str, path: str, body: Any = None, by: Principal | None = OPERATOR, **options: Any) -> Reply:
        return ask(self.app, method, BASE_PATH + path, body, by=by, **options)


@pytest.fixture
def house() -> House:
    return House()


def problem(reply: Reply) -> tuple[int, str]:
    assert reply.headers["content-type"] == PROBLEM_TYPE
    assert reply.json["status"] == reply.status
    assert len(reply.json["trace_id"]) == 32
    return reply.status, reply.json["code"]


@pytest.mark.parametrize("path", FIELDS)
def test_every_view_has_the_fields_of_the_platform(house: House, path: str) -> None:
    reply = house.ask("GET", path)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert FIELDS[path] <= set(reply.json)
    assert house.ask("HEAD", path).status == 200
    assert "head" not in house.app.openapi()["paths"][BASE_PATH + path]


def test_a_breaker_tells_name_state_and_metrics(house: House) -> None:
    breaker = house.ask("GET", "/circuit-breakers").json["risk"]
    assert {"name", "state", "metrics"} <= set(breaker)
    assert (breaker["name"], breaker["state"]) == ("risk", "open")
    assert set(breaker["metrics"]) >= BREAKER


def test_an_engine_tells_its_six_fields(house: House) -> None:
    engines = house.ask("GET", "/engines").json["engines"]
    assert set(engines) == set(NAMES)
    assert set(engines["risk"]) == ENGINE


def test_the_state_of_the_system_is_the_worst_of_its_parts(house: House) -> None:
    assert house.ask("GET", "/health").json["system_status"] == "degraded"
    status = house.ask("GET", "/status").json
    assert (status["system_status"], status["open_breakers"]) == ("degraded", ["risk"])


def test_a_change_of_one_field_leaves_the_other(house: House) -> None:
    changed = house.ask("PUT", "/config", {"default_strategy": "gateway_only"}).json
    assert (changed["hybrid_routing_enabled"], changed["default_strategy"]) == (True, "gateway_only")
    assert changed["revision"] == 1
    again = house.ask("PUT", "/config", {"hybrid_routing_enabled": False}).json
    assert (again["hybrid_routing_enabled"], again["default_strategy"], again["revision"]) == (False, "gateway_only", 2)
    assert house.ask("GET", "/config").json == again


def test_a_route_tells_way_latency_confidence_and_reason(house: House) -> None:
    answer = house.ask("POST", "/route", {"engine": "risk", "priority": "critical"}).json
    assert answer == {
        "engine": "risk",
        "strategy": "hybrid_intelligent",
        "use_direct_access": True,
        "expected_latency_ms": 2.0,
        "confidence": 0.5,
        "reasoning": "as the test wants it",
    }


def test_an_outcome_reaches_the_router(house: House) -> None:
    assert house.ask("POST", "/record-outcome", OUTCOME, TRADER).json["recorded"] is True
    (report,) = house.parts.outcomes
    assert (report.engine, report.actual_latency_ms, report.success) == ("risk", 4.2, True)


def test_breakers_are_reset_one_by_one_and_all_at_once(house: House) -> None:
    assert house.ask("POST", "/circuit-breakers/risk/reset").json["state"] == "closed"
    house.parts.failures["trading"] = house.parts.failures["risk"] = 3
    answer = house.ask("POST", "/circuit-breakers/reset-all").json
    assert answer["reset"] == list(NAMES)
    assert {each["state"] for each in answer["circuit_breakers"].values()} == {"closed"}


def test_an_engine_is_checked_when_told(house: House) -> None:
    assert house.ask("POST", "/engines/risk/check").json["status"] == "unhealthy"
    assert house.parts.checked == ["risk"]


@pytest.mark.parametrize(("method", "path", "body", "scope"), CHANGES)
def test_a_change_needs_its_scope(house: House, method: str, path: str, body: Any, scope: str) -> None:
    order = ["read", "trade", "admin"]
    for caller, own in ((READER, "read"), (TRADER, "trade"), (OPERATOR, "admin")):
        reply = house.ask(method, path, body, caller)
        if order.index(own) >= order.index(scope):
            assert reply.status == 200
        else:
            assert problem(reply) == (403, "access.scope")
    assert scope_of(method, BASE_PATH + path) == scope


@pytest.mark.parametrize(("method", "path", "body", "scope"), CHANGES)
def test_where_nobody_says_who_asks_nothing_is_changed(
    house: House, method: str, path: str, body: Any, scope: str
) -> None:
    reply = house.ask(method, path, body, None)
    assert reply.status == 200 if scope == "read" else problem(reply) == (401, "http.token")
    assert house.ask("GET", "/status", by=None).status == 200
    assert house.parts.written == []


def test_a_mounted_application_needs_the_same_scopes(house: House) -> None:
    outer = FastAPI()
    outer.mount("/inner", house.app)
    reply = ask(outer, "PUT", f"/inner{BASE_PATH}/config", {"hybrid_routing_enabled": False}, by=READER)
    assert problem(reply) == (403, "access.scope")
    assert ask(outer, "POST", f"/inner{BASE_PATH}/record-outcome", OUTCOME, by=TRADER).status == 200


def test_own_access_rules_are_asked_where_the_application_has_none() -> None:
    house = House(access=AccessRules("right"))
    assert house.ask("GET", "/status", by=None).status == 200
    assert problem(house.ask("PUT", "/config", {"hybrid_routing_enabled": False}, None)) == (401, "http.token")
    right = {"authorization": "Bearer right"}
    assert house.ask("PUT", "/config", {"hybrid_routing_enabled": False}, None, headers=right).status == 200
    foreign = {"host": "evil.example"}
    assert problem(house.ask("GET", "/status", by=None, headers=foreign)) == (403, "http.host")
    assert house.parts.written[-1][0] == "instance"


def test_changes_are_written_down_with_their_outcome(house: House) -> None:
    house.ask("PUT", "/config", {"hybrid_routing_enabled": False})
    house.ask("POST", "/circuit-breakers/risk/reset")
    house.ask("POST", "/circuit-breakers/reset-all")
    house.ask("POST", "/engines/risk/check")
    house.parts.error = BusError("the lead is gone", where="gateway")
    house.ask("PUT", "/config", {"default_strategy": "direct_only"})
    assert house.parts.written == [
        ("ops", "config.change", "gateway", {"hybrid_routing_enabled": False}, "done"),
        ("ops", "breaker.reset", "risk", {}, "done"),
        ("ops", "breaker.reset_all", "all", {}, "done"),
        ("ops", "engine.check", "risk", {}, "done"),
        ("ops", "config.change", "gateway", {"default_strategy": "direct_only"}, "bus"),
    ]


def test_an_application_that_audits_itself_is_left_to_it() -> None:
    house = House(audit=None)
    assert house.ask("POST", "/circuit-breakers/risk/reset").status == 200
    assert house.parts.written == []


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/route", {"engine": "risc"}, "gateway.unknown_engine"),
        ("POST", "/record-outcome", OUTCOME | {"engine": "risc"}, "gateway.unknown_engine"),
        ("POST", "/circuit-breakers/risc/reset", None, "gateway.unknown_breaker"),
        ("POST", "/engines/risc/check", None, "gateway.unknown_engine"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(house: House, method: str, path: str, body: Any, code: str) -> None:
    reply = house.ask(method, path, body)
    assert problem(reply) == (404, code)
    assert reply.json["expected"] == "one of portfolio, risk, trading; did you mean 'risk'?"


PLAIN_OUTCOME = b'{"engine":"risk","strategy":"direct_only","success":true,"actual_latency_ms":%s}'
BAD_BODIES: list[tuple[str, str, bytes, tuple[int, str]]] = [
    ("PUT", "/config", b"{}", (422, "http.fields")),
    ("PUT", "/config", b"", (422, "http.fields")),
    ("PUT", "/config", b"[]", (422, "http.fields")),
    ("PUT", "/config", b'{"hybrid_routing_enabled": "true"}', (422, "http.fields")),
    ("PUT", "/config", b'{"hybrid_routing_enabled": 1}', (422, "http.fields")),
    ("PUT", "/config", b'{"hybrid_routing_enabled": null}', (422, "http.fields")),
    ("PUT", "/config", b'{"default_strategy": "fastest"}', (422, "http.fields")),
    ("PUT", "/config", b'{"default_strategy": "direct_only", "workers": 9}', (422, "http.fields")),
    ("PUT", "/config", b'{"hybrid_routing_enabled": true, "hybrid_routing_enabled": false}', (422, "http.fields")),
    ("PUT", "/config", b'{"default_strategy"', (400, "http.body")),
    ("POST", "/route", b'{"engine": "risk", "priority": "urgent"}', (422, "http.fields")),
    ("POST", "/route", b'{"engine": ["risk"]}', (422, "http.fields")),
    ("POST", "/route", b'{"engine": "risk", "colour": 1}', (422, "http.fields")),
    ("POST", "/route", b'{"engine": ""}', (422, "http.fields")),
    *(
        ("POST", "/record-outcome", PLAIN_OUTCOME % bad, told)
        for bad, told in (
            (b"NaN", (400, "http.body")),
            (b"Infinity", (400, "http.body")),
            (b"1e400", (400, "http.body")),
            (b"-0.001", (422, "http.fields")),
            (b"3600001", (422, "http.fields")),
            (b'"4"', (422, "http.fields")),
            (b"null", (422, "http.fields")),
            (b"1" + b"0" * 400, (422, "http.fields")),
        )
    ),
    ("POST", "/circuit-breakers/reset-all", b'{"a": 1}', (422, "http.fields")),
    ("POST", "/circuit-breakers/risk/reset", b"[]", (422, "http.fields")),
    ("POST", "/engines/risk/check", b"null", (422, "http.fields")),
    ("POST", "/record-outcome", b"{" + b'"a":1,' * 20_000 + b'"b":1}', (413, "http.body_size")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "told"), BAD_BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(
    house: House, method: str, path: str, body: bytes, told: tuple[int, str]
) -> None:
    assert problem(house.ask(method, path, raw=body)) == told
    assert house.parts.revision == 0
    assert house.parts.outcomes == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_is_refused(house: House, kind: str) -> None:
    reply = house.ask("PUT", "/config", {"hybrid_routing_enabled": False}, headers={"content-type": kind})
    assert problem(reply) == (415, "http.content_type")


def test_an_unforeseen_error_tells_nothing_of_itself(house: House) -> None:
    house.parts.error = RuntimeError("a secret")
    reply = house.ask("GET", "/circuit-breakers")
    assert problem(reply) == (500, "internal")
    assert b"secret" not in reply.body


def test_an_error_of_the_platform_keeps_its_code(house: House) -> None:
    house.parts.error = BusError("the lead is gone", where="gateway")
    assert problem(house.ask("GET", "/circuit-breakers")) == (503, "bus")


def test_the_trace_of_the_request_is_that_of_the_problem(house: House) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    reply = house.ask("POST", "/engines/no/check", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert reply.json["trace_id"] == trace


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
FIELDS_OF = {
    "/config": ["hybrid_routing_enabled", "default_strategy"],
    "/route": ["engine", "endpoint", "method", "priority", "client"],
    "/record-outcome": ["engine", "strategy", "actual_latency_ms", "success", "use_direct_access", "client"],
}
USUAL = st.sampled_from(
    ["risk", "trading", "GET", "high", "direct_only", "hybrid_intelligent", "/", True, False, 0, 1, 2.5, -1, None]
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_body_is_answered_and_a_refused_one_changes_nothing(data: st.DataObject) -> None:
    method, path, _, _ = data.draw(st.sampled_from(CHANGES))
    fields = FIELDS_OF.get(path, [])
    body = data.draw(
        st.binary(max_size=200)
        | ANY_JSON.map(lambda value: json.dumps(value).encode())
        | st.dictionaries(st.sampled_from([*fields, "other"]), USUAL | ANY_JSON, max_size=6).map(
            lambda value: json.dumps(value).encode()
        )
    )
    house = House()
    reply = house.ask(method, path, raw=body)
    assert reply.status in (200, 400, 404, 422), (body, reply)
    changed = house.parts.revision + len(house.parts.outcomes) + len(house.parts.checked)
    changed += house.parts.failures["risk"] == 0
    if reply.status == 200:
        assert json.loads(reply.body)
        assert changed == (path != "/route")
    else:
        assert problem(reply)[0] == reply.status
        assert changed == 0
