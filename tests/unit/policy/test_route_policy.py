"""Routing: strategies, categories, rules, A/B tests, and what is learned from outcomes."""

from __future__ import annotations

import pytest

from nautilus.core.route import Routes
from nautilus.policy.routing import (
    CATEGORIES,
    EXPECTED_MS,
    Router,
    RouteRequest,
    RoutingConfig,
    Split,
    UnknownEngineError,
)

ENGINES = ("strategy", "risk", "analytics", "ml", "factor", "features", "websocket", "marketdata", "portfolio", "vpin")
MS = 1_000_000


def router(config: RoutingConfig | None = None, **settings: object) -> Router:
    made = Router(Routes(256, seed=1), config, **settings)  # type: ignore[arg-type]
    for engine in ENGINES:
        made.add_instance(engine, engine)
    return made


def feed(made: Router, engine: str, direct_ms: float, gateway_ms: float, times: int = 20, now_ns: int = 10**9) -> int:
    group = made.group(engine, "GET", "/x")
    for ways, latency_ms in zip(made.routes.members(group), (direct_ms, gateway_ms), strict=True):
        for target in ways:
            for number in range(times):
                made.routes.record(target, int(latency_ms * MS), True, now_ns + number * MS)
    return now_ns + times * MS


@pytest.mark.parametrize(
    ("engine", "strategy", "direct"),
    [
        ("strategy", "hybrid_performance", True),
        ("risk", "hybrid_performance", True),
        ("analytics", "hybrid_intelligent", True),
        ("ml", "hybrid_intelligent", True),
        ("factor", "gateway_only", False),
        ("features", "gateway_only", False),
        ("marketdata", "gateway_only", False),
        ("portfolio", "gateway_only", False),
        ("websocket", "hybrid_intelligent", True),
        ("vpin", "hybrid_intelligent", True),
    ],
)
def test_without_measurements_the_stated_choice_is_taken(engine: str, strategy: str, direct: bool) -> None:
    found = router().decide(RouteRequest(engine), 10**9)
    assert (found.strategy, found.use_direct_access) == (strategy, direct)
    assert found.confidence == 0
    if engine in EXPECTED_MS:
        assert found.expected_latency_ms == EXPECTED_MS[engine][not direct]


def test_the_budgets_of_the_categories_are_those_of_the_platform() -> None:
    assert [(each.name, each.budget_ms) for each in CATEGORIES] == [
        ("critical trading", 50),
        ("real-time analytics", 200),
        ("background", 2000),
    ]


def test_the_faster_route_is_taken_with_a_true_reason() -> None:
    made = router()
    now_ns = feed(made, "risk", 30, 3)
    found = made.decide(RouteRequest("risk", "/x"), now_ns)
    assert not found.use_direct_access
    assert found.expected_latency_ms == pytest.approx(3)
    assert "the gateway is expected to be faster" in found.reasoning
    assert found.confidence > 0.5


def test_a_faster_route_that_fails_is_not_taken() -> None:
    made = router()
    now_ns = feed(made, "risk", 1, 3)
    target = made.routes.members(made.group("risk", "GET", "/x"))[0][0]
    for number in range(20):
        made.routes.record(target, MS, False, now_ns + number)
    found = made.decide(RouteRequest("risk", "/x"), now_ns + 20)
    assert not found.use_direct_access
    assert "direct is expected to be faster and fails more often" in found.reasoning


def test_a_rule_that_holds_decides() -> None:
    made = router(RoutingConfig(rules=('engine == "risk" and method == "GET" and p95_ms > 20 -> gateway_only',)))
    now_ns = feed(made, "risk", 3, 30)
    assert made.decide(RouteRequest("risk", "/x"), now_ns).strategy == "hybrid_performance"
    now_ns = feed(made, "risk", 50, 60, times=100, now_ns=now_ns)
    found = made.decide(RouteRequest("risk", "/x"), now_ns)
    assert found.strategy == "gateway_only"
    assert "p95_ms > 20" in found.reasoning
    assert made.decide(RouteRequest("risk", "/x", method="POST"), now_ns).strategy == "hybrid_performance"


def test_a_client_stays_on_its_side_of_a_test() -> None:
    made = router(RoutingConfig(splits={"vpin": Split(share=0.25)}))
    sides = {}
    for number in range(2000):
        found = made.decide(RouteRequest("vpin", client=f"client-{number}"), 10**9)
        assert found.strategy == "ab_split"
        sides[number] = found.use_direct_access
    for number in range(2000):
        assert made.decide(RouteRequest("vpin", client=f"client-{number}"), 10**9).use_direct_access == sides[number]
    assert 400 < 2000 - sum(sides.values()) < 600


def test_switched_off_everything_goes_through_the_gateway() -> None:
    made = router()
    made.configure(enabled=False)
    assert {made.decide(RouteRequest(engine), 10**9).strategy for engine in ENGINES} == {"gateway_only"}
    made.configure(enabled=True, default_strategy="direct_only")
    assert made.decide(RouteRequest("vpin"), 10**9).strategy == "direct_only"
    with pytest.raises(ValueError, match="ab_split"):
        made.configure(default_strategy="ab_split")


def test_only_requests_that_may_be_repeated_try_the_other_route() -> None:
    made = router()
    now_ns = feed(made, "vpin", 1, 10)
    reads = [made.decide(RouteRequest("vpin", "/x"), now_ns).use_direct_access for _ in range(500)]
    assert 500 // 44 <= reads.count(False) <= 500 // 24
    for ways in made.routes.members(made.group("vpin", "POST", "/x")):
        for number in range(10):
            made.routes.record(ways[0], MS if ways[0] % 2 == 0 else 10 * MS, True, now_ns + number)
    orders = {made.decide(RouteRequest("vpin", "/x", "POST"), now_ns).use_direct_access for _ in range(500)}
    critical = {made.decide(RouteRequest("vpin", "/x", "GET", "critical"), now_ns).use_direct_access for _ in range(99)}
    assert (len(orders), critical) == (1, {True})


def test_outcomes_are_counted_and_learned_from() -> None:
    made = router()
    now_ns = feed(made, "vpin", 1, 10)
    assert made.decide(RouteRequest("vpin", "/x"), now_ns).use_direct_access
    for number in range(20):
        made.record_outcome("vpin", "hybrid_intelligent", 100 * MS, number % 4 > 0, now_ns + number * MS)
    found = made.decide(RouteRequest("vpin", "/x", "GET", "critical"), now_ns + 20 * MS)
    assert not found.use_direct_access
    metrics = made.metrics()
    assert metrics.total_decisions == 2
    assert metrics.strategy_distribution["hybrid_intelligent"] == 2
    performance = metrics.strategy_performance["hybrid_intelligent"]
    assert (performance.total_requests, performance.success_rate) == (20, 75)
    assert performance.avg_latency_ms == pytest.approx(100)
    assert performance.p95_latency_ms == pytest.approx(100, rel=0.25)


def test_an_engine_that_is_not_routed_to_is_refused() -> None:
    with pytest.raises(UnknownEngineError, match="'nowhere'"):
        router().decide(RouteRequest("nowhere"), 10**9)


def test_an_instance_that_is_ejected_is_not_taken() -> None:
    made = router()
    numbers = {name: made.add_instance("ml", name) for name in ("ml", "ml-2", "ml-3")}
    made.routes.set_health(numbers["ml-2"], 4)
    taken = {made.routes.read(made.decide(RouteRequest("ml", "/x"), 10**9 + n).target)["instance"] for n in range(200)}
    assert taken == {"ml", "ml-3"}
