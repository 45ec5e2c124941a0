"""Guards of every engine: refusals, exemptions, outcomes, fallbacks, tracking."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nautilus.core.breaker import FAILURE, IGNORED, OVERLOADED, SUCCESS, TIMEOUT
from nautilus.core.counters import Counters
from nautilus.engines import CATALOGUE
from nautilus.engines.analytics.depths import DEPTHS
from nautilus.engines.base import fallback_of
from nautilus.model.analytics import GetAnalytics
from nautilus.model.commands import KillSwitch
from nautilus.model.errors import BusError, ConfigError, InternalError, ModelError, VenueError
from nautilus.model.queries import GetPositions, GetQuotes, Positions
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.problems import HttpError, as_http_error
from nautilus.runtime.messages import UnansweredError
from nautilus.runtime.protection import (
    REST,
    BreakerOpenError,
    EngineProtection,
    Guard,
    LateError,
    RefusedError,
    ShedError,
    outcome_of,
)
from nautilus.runtime.protection_config import ProtectionConfig, Thresholds
from nautilus.runtime.questions import StoppingError
from tests.kit.protection import protection_of


@pytest.mark.parametrize("engine", CATALOGUE)
def test_every_operation_of_every_engine_has_a_guard(engine: str) -> None:
    protection = protection_of(engine)
    operations = CATALOGUE[engine].load().operations
    assert set(protection.guards) == {f"{each.method} {each.path}" for each in operations} | {REST}
    for operation in operations:
        guard = protection.guards[f"{operation.method} {operation.path}"]
        assert guard.fallback_name == fallback_of(operation)
        assert guard.exempt is operation.exempt
        if operation.budget_ms:
            assert 0.8 * operation.budget_ms < guard.budget_seconds * 1e3 < operation.budget_ms
        assert protection.guard_of(operation.request).name in protection.guards
        assert guard.breaker.state(monotonic_ns()) == "closed"
    assert protection.breaker().operations.keys() == protection.guards.keys()


def fail(protection: EngineProtection, name: str, times: int) -> None:
    guard = protection.guards[name]
    for _ in range(times):
        guard.leave(guard.enter(monotonic_ns()), monotonic_ns(), FAILURE)


def enter_often(guard: Guard, priority: int = -1) -> None:
    for _ in range(1000):
        guard.enter(monotonic_ns(), priority)


def test_an_open_breaker_refuses_its_operation_and_no_other() -> None:
    counters = Counters()
    protection = protection_of("trading", counters)
    fail(protection, "POST /orders", 5)
    with pytest.raises(BreakerOpenError) as caught:
        protection.guards["POST /orders"].enter(monotonic_ns())
    answer = as_http_error(caught.value)
    assert (answer.status, answer.code) == (503, "breaker.open")
    ((name, seconds),) = answer.headers
    assert name == b"retry-after"
    assert seconds == b"1"
    assert protection.guards["GET /orders"].enter(monotonic_ns()) > 0
    assert (protection.breaker().state, protection.breaker().failure_count) == ("open", 0)
    assert counters.snapshot()["operation.trading.POST /orders.refused"] == 1


def test_the_thresholds_of_the_gateway_count_inside_the_engines_too() -> None:
    for engine, settings, expected in (
        ("risk", ProtectionConfig(), 7),
        ("strategy", ProtectionConfig(), 2),
        ("trading", ProtectionConfig(), 5),
        ("risk", ProtectionConfig(breaker={"risk": {"failures": 4}}), 4),
    ):
        thresholds = Thresholds(strategy_failure_threshold=2, risk_failure_threshold=7)
        protection = protection_of(engine, config=settings, thresholds=thresholds)
        name = protection.declared[0]
        fail(protection, name, expected - 1)
        assert protection.breaker().state == "closed", engine
        fail(protection, name, 1)
        assert protection.breaker().state == "open", engine


def test_cancels_and_the_kill_switch_pass_an_open_breaker_and_a_full_limit() -> None:
    protection = protection_of("trading")
    for name in ("DELETE /orders/{order_id}", "POST /kill-switch"):
        guard = protection.guards[name]
        guard.breaker.force_open()
        ticket = guard.enter(monotonic_ns())
        guard.leave(ticket, monotonic_ns(), SUCCESS)
    orders = protection.guards["POST /orders"]
    with pytest.raises(ShedError):
        enter_often(orders)
    cancel = protection.guards["DELETE /orders/{order_id}"]
    cancel.breaker.reset()
    for _ in range(1000):
        assert cancel.enter(monotonic_ns()) >= 0


def test_what_is_low_goes_first_where_there_is_too_much_to_do() -> None:
    counters = Counters()
    protection = protection_of("trading", counters)
    low, critical = protection.guards["GET /core/state"], protection.guards["POST /orders"]
    with pytest.raises(ShedError) as caught:
        enter_often(low)
    assert (as_http_error(caught.value).status, caught.value.code) == (503, "limit.shed")
    assert critical.enter(monotonic_ns()) > 0
    assert counters.snapshot()["operation.trading.GET /core/state.shed"] == 1


def test_what_the_load_did_opens_no_breaker_and_a_request_may_be_of_another_priority() -> None:
    guard = protection_of("portfolio").guards["GET /positions"]
    for _ in range(100):
        guard.leave(guard.enter(monotonic_ns()), monotonic_ns(), OVERLOADED)
    assert guard.breaker.state(monotonic_ns()) == "closed"
    with pytest.raises(ShedError):
        enter_often(guard, 3)
    guard.enter(monotonic_ns())
    with pytest.raises(ShedError):
        enter_often(guard)
    guard.enter(monotonic_ns(), 0)


def test_a_critical_request_passes_a_breaker_that_slow_calls_alone_have_opened() -> None:
    slow = {"failures": 0, "slow_seconds": 1.0, "least_calls": 5, "recovery_seconds": 10.0}
    guard = protection_of("trading", config=ProtectionConfig(breaker={"trading": slow})).guards["POST /orders"]
    now_ns = monotonic_ns()
    tickets = [guard.enter(now_ns) for _ in range(5)]
    now_ns += 2 * NANOSECONDS
    for ticket in tickets:
        guard.leave(ticket, now_ns, SUCCESS)
    assert guard.breaker.metrics(now_ns).cause == "slow-call rate"
    with pytest.raises(BreakerOpenError):
        guard.enter(now_ns, 1)
    guard.leave(guard.enter(now_ns), now_ns, SUCCESS)
    probe = guard.enter(now_ns + 11 * NANOSECONDS, 1)
    assert guard.breaker.state(now_ns) == "half-open"
    guard.enter(now_ns + 11 * NANOSECONDS)
    guard.leave(probe, now_ns + 11 * NANOSECONDS, FAILURE)
    with pytest.raises(BreakerOpenError):
        guard.enter(now_ns + 11 * NANOSECONDS)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (Positions((), 0), SUCCESS),
        (ModelError("no such order"), IGNORED),
        (ConfigError("x"), IGNORED),
        (ShedError("x"), IGNORED),
        (LateError("x"), OVERLOADED),
        (StoppingError("x"), IGNORED),
        (HttpError(422, "http.fields", "x"), IGNORED),
        (UnansweredError("x"), TIMEOUT),
        (HttpError(504, "http.timeout", "x"), TIMEOUT),
        (TimeoutError(), TIMEOUT),
        (InternalError("x"), FAILURE),
        (BusError("no trading core"), IGNORED),
        (VenueError("x"), FAILURE),
        (ZeroDivisionError(), FAILURE),
    ],
)
def test_the_end_of_a_request_is_the_engines_or_its_senders(result: object, outcome: int) -> None:
    assert outcome_of(result) == outcome


def test_an_answer_to_another_engine_is_counted_and_handed_on() -> None:
    counters = Counters()
    protection = protection_of("portfolio", counters)
    guard = protection.guard_of(GetPositions)
    answers: list[object] = []
    for result in (Positions((), 0), ModelError("x"), ZeroDivisionError()):
        guard.answering(guard.enter(monotonic_ns()), answers.append)(result)
    assert len(answers) == 3
    found = counters.snapshot()
    head = "operation.portfolio.GET /positions."
    assert [found[head + each] for each in ("success", "ignored", "failure", "timeout")] == [1, 1, 1, 0]
    assert len(guard.latency) == 3
    assert guard.breaker.metrics(monotonic_ns()).in_flight == 0
    assert protection.limiter.held() == 0


def test_a_refused_request_of_another_engine_is_answered_so_and_its_kill_is_not_refused() -> None:
    protection = protection_of("portfolio")
    for guard in protection.guards.values():
        guard.breaker.force_open()
    answers: list[object] = []
    assert protection.enter(GetPositions(), answers.append) is None
    assert [type(each) for each in answers] == [BreakerOpenError]
    entered = protection.enter(KillSwitch(), answers.append)
    assert entered is not None


def test_an_answer_behind_its_budget_counts_as_a_time_out() -> None:
    counters = Counters()
    protection = protection_of("trading", counters, ProtectionConfig(stretch=0.1))
    guard = protection.guards["POST /orders"]
    answered = guard.answering(guard.enter(monotonic_ns()), lambda result: None)
    begun_ns = monotonic_ns()
    while monotonic_ns() - begun_ns < 5_000_000:
        pass
    answered(Positions((), 0))
    assert counters.snapshot()["operation.trading.POST /orders.timeout"] == 1


def test_the_time_of_a_question_follows_what_it_asks() -> None:
    counters = Counters()
    protection = protection_of("analytics", counters, ProtectionConfig(stretch=0.1))
    guard = protection.guards["GET /analytics/realtime/{portfolio_id}"]
    seconds = [guard.seconds_for(GetAnalytics(1, name)) for name in DEPTHS]
    assert seconds == pytest.approx([0.0045, 0.0135, 0.027, 0.072])
    assert guard.budget_seconds == pytest.approx(0.018)
    assert guard.seconds_for(GetAnalytics(1, "no such depth")) == seconds[-1]
    timeouts = []
    for depth in ("institutional", "simple"):
        answered = protection.enter(GetAnalytics(1, depth), lambda result: None)
        assert answered is not None
        begun_ns = monotonic_ns()
        while monotonic_ns() - begun_ns < 5_000_000:
            pass
        answered(Positions((), 0))
        timeouts.append(counters.snapshot()["operation.analytics.GET /analytics/realtime/{portfolio_id}.timeout"])
    assert timeouts[1] == timeouts[0] + 1


def test_the_last_good_answer_stands_in_where_it_is_declared() -> None:
    counters = Counters()
    protection = protection_of("portfolio", counters)
    guard = protection.guards["GET /positions"]
    asked, reply = GetPositions(7), Positions((), 0)
    assert guard.fallback(asked, BusError("x")) is None
    guard.remember(asked, reply)
    assert guard.fallback(asked, BusError("x")) is reply
    assert guard.fallback(GetPositions(8), BusError("x")) is None
    assert guard.fallback(asked, ModelError("x")) is None, "its sender's mistake stays one"
    assert counters.snapshot()["operation.portfolio.GET /positions.fallbacks"] == 1
    risk = protection_of("risk").guards["GET /risk/state"]
    risk.remember(GetQuotes(), reply)
    assert risk.fallback(GetQuotes(), BusError("x")) is None, "it declares none"


def test_no_more_last_answers_are_kept_than_there_is_room_for() -> None:
    guard = protection_of("portfolio").guards["GET /positions"]
    for account_id in range(1000):
        guard.remember(GetPositions(account_id), Positions((), 0))
    found = [guard.fallback(GetPositions(account_id), BusError("x")) for account_id in range(1000)]
    assert [each is not None for each in found] == [False] * 744 + [True] * 256


def test_changes_are_logged_with_their_cause_and_shown_to_other_processes(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    protection = protection_of("risk", counters)
    assert counters.snapshot()["engine.risk.breaker"] == 0
    fail(protection, "GET /risk/state", 3)
    with caplog.at_level(logging.INFO, "nautilus.runtime"):
        protection.look()
        protection.look()
    assert [record.getMessage() for record in caplog.records] == [
        "breaker of risk, GET /risk/state: open (consecutive failures)"
    ]
    assert counters.snapshot()["engine.risk.breaker"] == 1
    assert protection.meters().changes == {("GET /risk/state", "open", "consecutive failures"): 1}


def test_settings_of_an_engines_breaker_can_be_given() -> None:
    config = ProtectionConfig(breaker={"risk": {"failures": 1, "recovery_seconds": 1.0}})
    protection = protection_of("risk", config=config)
    fail(protection, "GET /risk/state", 1)
    assert protection.breaker().state == "open"
    assert protection.guards[REST].breaker.settings.recovery_ns == NANOSECONDS
    with pytest.raises(ConfigError, match=r"breaker.risk: .*failurs"):
        ProtectionConfig(breaker={"risk": {"failurs": 1}})
    with pytest.raises(ConfigError, match=r"breaker\.risk"):
        ProtectionConfig(breaker={"risk": {"failures": -1}})


def test_a_refusal_is_an_error_of_the_bus_for_other_engines() -> None:
    from nautilus.runtime.control import describe_error, error_from

    for error in (BreakerOpenError("x", where="risk"), ShedError("y")):
        assert isinstance(error, RefusedError)
        found = error_from(describe_error(error))
        assert isinstance(found, BusError)
        assert found.code == error.code
        assert as_http_error(found).status == 503


def test_the_protection_of_a_new_life_begins_closed(tmp_path: Path) -> None:
    from nautilus.core.breaker import Breakers
    from nautilus.core.histogram import Histogram
    from nautilus.core.limiter import Limiters

    def life() -> EngineProtection:
        return EngineProtection(
            "risk",
            CATALOGUE["risk"].load().operations,
            ProtectionConfig(),
            Counters(),
            Breakers(64, tmp_path / "breakers"),
            Limiters(1, tmp_path / "limits"),
            lambda name: Histogram(),
        )

    first = life()
    fail(first, "GET /risk/state", 3)
    first.guards[REST].breaker.force_open()
    assert first.guards["GET /risk/state"].breaker.state(monotonic_ns()) == "open"
    second = life()
    assert second.guards["GET /risk/state"].breaker.state(monotonic_ns()) == "closed"
    assert second.guards[REST].breaker.state(monotonic_ns()) == "forced-open", "a person said so"
