"""Priorities, their budgets and shares, and what every engine declares of its operations."""

from __future__ import annotations

import pytest

from nautilus.engines import CATALOGUE
from nautilus.engines.base import Operation, fallback_of
from nautilus.policy.retry import is_order, may_hedge, may_repeat
from nautilus.policy.shedding import BUDGETS_MS, PRIORITIES, SHARES_PERMILLE, budget_ns, index_of, time_out_ns

OPERATIONS = [
    pytest.param(name, operation, id=f"{name} {operation.method} {operation.path}")
    for name, entry in CATALOGUE.items()
    for operation in entry.load().operations
]


STATED_MS = {
    ("risk", "/risk/critical-check/{portfolio_id}"): 100.0,
    ("analytics", "/analytics/realtime/{portfolio_id}"): 200.0,
}
"""Critical operations to which the platform's table of engines gives more."""


def test_the_budgets_are_those_of_the_platform() -> None:
    assert BUDGETS_MS == {"critical": 50, "high": 100, "normal": 500, "low": 2000}
    assert tuple(BUDGETS_MS) == tuple(SHARES_PERMILLE) == PRIORITIES


def test_who_comes_first_has_the_larger_share() -> None:
    shares = [SHARES_PERMILLE[name] for name in PRIORITIES]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == len(shares)


def test_a_time_out_lies_under_its_budget() -> None:
    assert time_out_ns(50) == 45_000_000 < budget_ns("critical")
    assert budget_ns("critical", 5.0) == 5_000_000
    assert time_out_ns(50, stretch=10) == 450_000_000
    assert [index_of(name) for name in (*PRIORITIES, "x")] == [0, 1, 2, 3, 2]


@pytest.mark.parametrize(("engine", "operation"), OPERATIONS)
def test_every_operation_declares_its_protection(engine: str, operation: Operation) -> None:
    assert operation.priority in PRIORITIES
    assert fallback_of(operation) in ("error", "last", "reconcile")
    assert operation.scope in ("", "read", "trade", "admin")
    if operation.method != "GET" and operation.scope != "read":
        assert fallback_of(operation) == "reconcile", "nobody knows what became of it"
    if operation.priority == "critical" and not operation.exempt:
        assert 0 < operation.budget_ms <= STATED_MS.get((engine, operation.path), BUDGETS_MS["critical"])


@pytest.mark.parametrize(("engine", "operation"), OPERATIONS)
def test_no_order_of_any_engine_is_sent_twice(engine: str, operation: Operation) -> None:
    if is_order(operation.method, operation.path):
        assert not operation.idempotent
    if operation.method != "GET":
        assert not may_hedge(operation.method, operation.path)
        repeats = operation.idempotent and not is_order(operation.method, operation.path)
        assert may_repeat(operation.method, operation.path, operation.idempotent) is repeats
    else:
        assert may_repeat(operation.method, operation.path)


def test_what_reduces_the_position_is_never_refused() -> None:
    trading = {(each.method, each.path): each for each in CATALOGUE["trading"].load().operations}
    assert trading["DELETE", "/orders/{order_id}"].exempt
    assert trading["POST", "/kill-switch"].exempt
    assert not trading["POST", "/orders"].exempt
