"""docs/protection.md says what there is: declarations, breakers, transitions and priorities."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from nautilus.engines.base import Operation
from nautilus.policy.breaker import DEFAULT, ENGINES, TRANSITIONS
from nautilus.policy.shedding import BUDGETS_MS, PRIORITIES, SHARES_PERMILLE
from nautilus.runtime.clock import monotonic_ns

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "protection.md").read_text()


def table(head: str) -> list[list[str]]:
    """Cells of the table with this head."""
    found = re.search(rf"(?m)^\| {re.escape(head)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE)
    assert found, head
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def test_what_an_operation_declares_is_there() -> None:
    told = {name.strip("`") for name, _ in table("declared")}
    assert told == set(Operation._fields) - {"method", "path", "request", "reply", "summary"}


def test_the_breaker_of_every_engine_is_there() -> None:
    told = {name: tuple(rest) for name, *rest in table("engine")}
    assert told == {
        name: (
            str(each.failures),
            f"{each.recovery_seconds:g} s",
            str(each.successes),
            f"{each.call_seconds:g} s",
        )
        for name, each in (*ENGINES.items(), ("all others", DEFAULT))
    }


def test_every_transition_is_there() -> None:
    told: dict[str, dict[str, str]] = {}
    for before, cause, after in table("from"):
        told.setdefault(before, {})[cause] = after
    assert told == TRANSITIONS


def test_every_priority_is_there_with_budget_and_share() -> None:
    told = {name: (budget, share) for name, budget, share in table("priority")}
    assert told == {name: (f"{BUDGETS_MS[name]} ms", f"{SHARES_PERMILLE[name] / 10:g} %") for name in PRIORITIES}


def test_the_forms_of_a_breaker_that_it_shows_work() -> None:
    shown = re.search(r"(?s)```python\n(from nautilus\.core\.breaker .*?)```", PAGE)
    assert shown
    names: dict[str, Any] = {}
    exec(shown[1], names)
    names["ask"]()
    asyncio.run(names["fetch"]())
    metrics = names["breaker"].metrics(monotonic_ns())
    assert (metrics.calls, metrics.successes, metrics.in_flight) == (3, 3, 0)
    assert names["breaker"].settings.bulkhead == 8
