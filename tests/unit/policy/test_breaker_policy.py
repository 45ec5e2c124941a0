"""Settings of breakers, the table of their transitions, and the registry."""

from __future__ import annotations

import msgspec
import pytest

from nautilus.core.breaker import CAUSES, FAILURE, STATES, SUCCESS, Breakers
from nautilus.policy.breaker import DEFAULT, ENGINES, TRANSITIONS, BreakerConfig, BreakerRegistry, config_of

SECOND = 1_000_000_000


def test_engines_have_the_settings_that_the_platform_names() -> None:
    strategy, risk = ENGINES["strategy"], ENGINES["risk"]
    assert (strategy.failures, strategy.recovery_seconds, strategy.successes, strategy.call_seconds) == (3, 10, 2, 5)
    assert (risk.failures, risk.recovery_seconds, risk.call_seconds) == (3, 15, 10)


def test_the_table_of_transitions_knows_every_state_and_cause() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert {cause for causes in TRANSITIONS.values() for cause in causes} == set(CAUSES) - {"made"}
    assert {state for causes in TRANSITIONS.values() for state in causes.values()} == set(STATES)


def test_settings_of_an_engine_can_be_given_one_by_one() -> None:
    assert config_of("risk", {"failures": 7}) == msgspec.structs.replace(ENGINES["risk"], failures=7)
    assert config_of("portfolio") is DEFAULT
    with pytest.raises(msgspec.ValidationError):
        config_of("risk", {"failure": 7})
    with pytest.raises(msgspec.ValidationError):
        config_of("risk", {"failures": -1})


def test_settings_of_the_core_are_those_of_people_in_other_units() -> None:
    settings = BreakerConfig(failure_rate=0.25, call_seconds=2.0, backoff=1.5, recovery_seconds=600.0).settings()
    assert settings.failure_permille == 250
    assert (settings.slow_ns, settings.probe_ns) == (1_600_000_000, 2 * SECOND)
    assert (settings.backoff_permille, settings.most_recovery_ns) == (1500, 600 * SECOND)


def test_the_registry_tells_each_change_once() -> None:
    registry = BreakerRegistry(Breakers(4))
    risk = registry.breaker("risk")
    assert registry.poll() == []
    for _ in range(3):
        risk.release(risk.acquire(SECOND), SECOND, FAILURE)
    assert [(name, change.before, change.after, change.cause) for name, change in registry.poll()] == [
        ("risk", "closed", "open", "consecutive failures")
    ]
    assert registry.poll() == []
    ticket = risk.acquire(17 * SECOND)
    risk.release(ticket, 17 * SECOND, SUCCESS)
    assert [change.after for _, change in registry.poll()] == ["half-open", "closed"]


def test_what_the_registry_shows_is_what_was_counted() -> None:
    registry = BreakerRegistry(Breakers(4))
    breaker = registry.breaker("analytics")
    for outcome in (SUCCESS, FAILURE, SUCCESS, SUCCESS):
        breaker.release(breaker.acquire(SECOND), SECOND + 4_000_000, outcome)
    status = registry.statuses(2 * SECOND)["analytics"]
    assert (status.total_requests, status.success_rate, status.state) == (4, 75.0, "closed")
    assert 3.9 < status.average_response_time_ms < 4.1


def test_a_reset_closes_the_named_or_all() -> None:
    registry = BreakerRegistry(Breakers(4))
    for name in ("risk", "strategy"):
        registry.breaker(name).force_open(SECOND)
    assert registry.reset(["risk"], SECOND) == ["risk"]
    assert [registry.breaker(name).state(SECOND) for name in ("risk", "strategy")] == ["closed", "forced-open"]
    assert registry.reset(now_ns=SECOND) == ["risk", "strategy"]
    assert registry.breaker("strategy").state(SECOND) == "closed"
    with pytest.raises(KeyError):
        registry.reset(["nobody"])
