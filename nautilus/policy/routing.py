"""Which way a request goes: straight to its engine or through the gateway, and to which instance of it.

What applies to a request is the first of: the first rule whose condition holds, the split of its engine, the strategy
set for its engine, that of its engine's category, the default. `core.route` holds what was learned and picks by it;
here is what it may pick from, and why. The clock is an argument; what is counted lies in the shared table, so that all
workers of a gateway count together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from nautilus.core import route
from nautilus.core.route import Routes
from nautilus.policy.rules import Rule, Value, parse_rule

__all__ = [
    "CATEGORIES",
    "EXPECTED_MS",
    "Category",
    "Decision",
    "Performance",
    "RouteRequest",
    "Router",
    "RoutingConfig",
    "RoutingMetrics",
    "Split",
    "Strategy",
    "UnknownEngineError",
]

NANOS_PER_MS = 1_000_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that may be used to try another route: to repeat them changes nothing."""


class Strategy(StrEnum):
    """How a route is chosen."""

    DIRECT_ONLY = "direct_only"
    GATEWAY_ONLY = "gateway_only"
    HYBRID_PERFORMANCE = "hybrid_performance"
    """The one that was faster, also counting what failed; the other is never tried for the sake of learning."""
    HYBRID_INTELLIGENT = "hybrid_intelligent"
    """The same, and now and then the other one is tried with a request that may be repeated."""
    AB_SPLIT = "ab_split"
    """A share of the clients by one strategy, the rest by another; a client stays where it is."""


_NUMBERS: Final = {strategy: number for number, strategy in enumerate(Strategy)}
_STRATEGY_NAMES: Final = frozenset(strategy.value for strategy in Strategy if strategy != Strategy.AB_SPLIT)
StrategyName = Literal["direct_only", "gateway_only", "hybrid_performance", "hybrid_intelligent"]


class Category(msgspec.Struct, frozen=True):
    """Engines of one kind.

    Parameters
    ----------
    name
        Of the kind.
    engines
        In it.
    strategy
        Theirs.
    budget_ms
        In which their operations are answered.
    """

    name: str
    engines: tuple[str, ...]
    strategy: Strategy
    budget_ms: float


CATEGORIES: Final[tuple[Category, ...]] = (
    Category("critical trading", ("strategy", "risk"), Strategy.HYBRID_PERFORMANCE, 50.0),
    Category("real-time analytics", ("analytics", "ml"), Strategy.HYBRID_INTELLIGENT, 200.0),
    Category("background", ("factor", "features", "marketdata", "portfolio"), Strategy.GATEWAY_ONLY, 2000.0),
)
"""Engines in no category are routed by the default strategy."""

OTHER: Final = Category("other", (), Strategy.HYBRID_INTELLIGENT, 500.0)

EXPECTED_MS: Final[Mapping[str, tuple[float, float]]] = {
    "strategy": (15.0, 45.0),
    "risk": (25.0, 65.0),
    "analytics": (35.0, 85.0),
    "ml": (45.0, 120.0),
    "factor": (180.0, 150.0),
    "features": (200.0, 160.0),
    "websocket": (20.0, 40.0),
    "marketdata": (80.0, 95.0),
    "portfolio": (110.0, 140.0),
}
"""{engine: (direct, gateway)}: milliseconds that the platform promises, which stand until there are measured ones; the
lower one says which route comes first where nothing is known."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An A/B test of one engine.

    Parameters
    ----------
    first, second
        Strategies.
    share
        Of the clients that go by the second, 0 to 1.
    """

    first: StrategyName = "direct_only"
    second: StrategyName = "gateway_only"
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5


class RoutingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of routing.

    Parameters
    ----------
    rules
        ``CONDITION -> STRATEGY``, the first that holds; see `nautilus.policy.rules`.
    strategies
        {engine: strategy}.
    splits
        {engine: A/B test}.
    balance
        Between instances of an engine: ``peak_ewma`` (the better of two random ones), ``least_connections`` or
        ``round_robin``.
    region
        The own region: its instances come first. "": none.
    half_life_seconds
        In which what was learned loses half of its weight.
    """

    rules: tuple[str, ...] = ()
    strategies: dict[str, StrategyName] = {}
    splits: dict[str, Split] = {}
    balance: Literal["peak_ewma", "least_connections", "round_robin"] = "peak_ewma"
    region: str = ""
    half_life_seconds: Annotated[float, Meta(ge=0.001, le=3600)] = 10.0


class RouteRequest(msgspec.Struct, frozen=True):
    """What is to be routed.

    Parameters
    ----------
    engine
        By its name.
    endpoint
        Path, as the engine has it.
    method
        Of HTTP.
    priority
        ``critical`` requests are never used to try a route.
    client
        Whom an A/B test keeps on one side; "": the first.
    """

    engine: str
    endpoint: str = ""
    method: str = "GET"
    priority: str = "normal"
    client: str = ""


class Decision(msgspec.Struct, frozen=True):
    """Which way, and why.

    Parameters
    ----------
    strategy
        That decided.
    use_direct_access
        Whether the request goes straight to the engine.
    expected_latency_ms
        On that way: as measured, or as promised where nothing was.
    confidence
        0 to 1, from how many samples there are, how far they stray, and how far the routes are apart.
    reasoning
        What decided.
    target
        In the table of routes, for `Routes.begin`, `end` and `record`; -1: there is no instance.
    """

    strategy: str
    use_direct_access: bool
    expected_latency_ms: float
    confidence: float
    reasoning: str
    target: int = route.NO_TARGET


class Performance(msgspec.Struct, frozen=True):
    """How requests went that a strategy had decided."""

    total_requests: int
    success_rate: float
    avg_latency_ms: float
    p95_latency_ms: float
    p99_latency_ms: float


class RoutingMetrics(msgspec.Struct, frozen=True):
    """What the routers of all workers did since the table was made; rates in percent."""

    enabled: bool
    total_decisions: int
    strategy_distribution: dict[str, int]
    strategy_performance: dict[str, Performance]


class UnknownEngineError(LookupError):
    """No engine of that name is routed to."""


def plain_class(engine: str, method: str, endpoint: str) -> str:
    """Two classes of endpoints: those that only read, and the others."""
    return "read" if method in SAFE_METHODS else "write"


class Router:
    """One thread. Decides for requests, and learns from how they went.

    Parameters
    ----------
    routes
        The table, shared by the workers.
    config
        Settings; RuleError for a rule that makes no sense.
    default_strategy, enabled
        Of engines in no category, and whether there is a choice at all: `configure` changes both.
    classify
        Class of an endpoint from engine, method and path: a few to an engine, as each has its own statistics.
    """

    def __init__(
        self,
        routes: Routes,
        config: RoutingConfig | None = None,
        *,
        default_strategy: str = Strategy.HYBRID_INTELLIGENT,
        enabled: bool = True,
        classify: Callable[[str, str, str], str] = plain_class,
    ) -> None:
        self.routes = routes
        self.config = config or RoutingConfig()
        self.enabled = enabled
        self.default_strategy = Strategy(default_strategy)
        self._classify = classify
        self._rules: tuple[Rule, ...] = tuple(
            parse_rule(text, _STRATEGY_NAMES, where=f"gateway.routing.rules[{number}]")
            for number, text in enumerate(self.config.rules)
        )
        self._balance = {
            "peak_ewma": 0,
            "least_connections": route.LEAST_CONNECTIONS,
            "round_robin": route.ROUND_ROBIN,
        }[self.config.balance]
        self._categories = {engine: category for category in CATEGORIES for engine in category.engines}
        self._instances: dict[str, list[str]] = {}
        self._groups: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], tuple[int, bool]] = {}

    def configure(self, *, enabled: bool | None = None, default_strategy: str | None = None) -> None:
        """Change what may be changed at run time; ValueError for a strategy that there is not."""
        if default_strategy is not None:
            chosen = Strategy(default_strategy)
            if chosen == Strategy.AB_SPLIT:
                raise ValueError(f"{default_strategy!r} is no default strategy")
            self.default_strategy = chosen
        if enabled is not None:
            self.enabled = enabled

    def add_instance(self, engine: str, instance: str, region: str = "") -> int:
        """Route to this instance of an engine from now on; its number in the table, for `Routes.set_health`."""
        names = self._instances.setdefault(engine, [])
        number = self.routes.instance(engine, instance, region)
        if instance not in names:
            names.append(instance)
            for each, endpoint_class in list(self._groups):
                if each == engine:
                    self._add_targets(engine, endpoint_class, instance)
        return number

    @property
    def engines(self) -> tuple[str, ...]:
        """That are routed to."""
        return tuple(self._instances)

    def group(self, engine: str, method: str, endpoint: str) -> int:
        """Number of an endpoint's class in the table, for `Routes.decide`; UnknownEngineError."""
        return self._group(engine, self._classify(engine, method, endpoint))

    def flags(self, strategy: Strategy, engine: str, *, may_try: bool) -> int:
        """Flags of `Routes.decide` for a strategy; `may_try`: the request may be used to try the other route."""
        if strategy == Strategy.DIRECT_ONLY:
            return self._balance | route.DIRECT
        if strategy == Strategy.GATEWAY_ONLY:
            return self._balance | route.GATEWAY
        direct, gateway = EXPECTED_MS.get(engine, (0.0, 1.0))
        flags = self._balance | (route.PREFER_DIRECT if direct <= gateway else 0)
        if strategy == Strategy.HYBRID_INTELLIGENT and may_try:
            flags |= route.IDEMPOTENT
        return flags

    def decide(self, request: RouteRequest, now_ns: int) -> Decision:
        """Which way a request goes at this time; UnknownEngineError for an engine that is not routed to."""
        engine = request.engine
        endpoint_class = self._classify(engine, request.method, request.endpoint)
        group = self._group(engine, endpoint_class)
        strategy, acting, why = self._strategy(request, group, endpoint_class)
        may_try = request.method in SAFE_METHODS and request.priority != "critical"
        packed = self.routes.decide(group, now_ns, self.flags(acting, engine, may_try=may_try))
        self.routes.count(_NUMBERS[strategy])
        if packed == route.NO_TARGET:
            direct = acting == Strategy.DIRECT_ONLY
            return Decision(strategy, direct, self._promised_ms(engine, direct), 0.0, f"{why}; no instance is known")
        direct = bool(packed >> route.DIRECT_SHIFT & 1)
        target = packed & route.TARGET_MASK
        self._last[engine, strategy] = target, direct
        expected_ns = packed >> route.LATENCY_SHIFT
        expected_ms = expected_ns / NANOS_PER_MS if expected_ns else self._promised_ms(engine, direct)
        confidence = (packed >> route.CONFIDENCE_SHIFT & 127) / 100
        return Decision(strategy, direct, expected_ms, confidence, f"{why}; {_reasoning(packed, direct)}", target)

    def record_outcome(
        self,
        engine: str,
        strategy: str,
        latency_ns: int,
        success: bool,
        now_ns: int,
        *,
        client: str = "",
        use_direct_access: bool | None = None,
    ) -> None:
        """How a request went that was decided by this strategy.

        It counts for the target that this strategy last gave for the engine, or, where the route is told or follows
        from the strategy, for the first instance on that route. ValueError for a strategy that there is not.
        """
        chosen = Strategy(strategy)
        self.routes.tally(_NUMBERS[chosen], latency_ns, success)
        acting = self._side(engine, client)[0] if chosen == Strategy.AB_SPLIT else chosen
        direct = use_direct_access
        if direct is None and acting in (Strategy.DIRECT_ONLY, Strategy.GATEWAY_ONLY):
            direct = acting == Strategy.DIRECT_ONLY
        last = self._last.get((engine, chosen))
        if last is not None and (direct is None or direct == last[1]):
            target = last[0]
        else:
            ways = self.routes.members(self._group(engine, "read"))[0 if direct or direct is None else 1]
            if not ways:
                return
            target = ways[0]
        self.routes.record(target, latency_ns, success, now_ns)

    def metrics(self) -> RoutingMetrics:
        """Decisions and outcomes, by strategy."""
        found = {strategy: self.routes.tallies(number) for strategy, number in _NUMBERS.items()}
        return RoutingMetrics(
            enabled=self.enabled,
            total_decisions=sum(each[0] for each in found.values()),
            strategy_distribution={strategy.value: each[0] for strategy, each in found.items()},
            strategy_performance={
                strategy.value: Performance(
                    total_requests=requests,
                    success_rate=100.0 * succeeded / requests if requests else 0.0,
                    avg_latency_ms=mean_ns / NANOS_PER_MS,
                    p95_latency_ms=p95_ns / NANOS_PER_MS,
                    p99_latency_ms=p99_ns / NANOS_PER_MS,
                )
                for strategy, (_, requests, succeeded, mean_ns, p95_ns, p99_ns) in found.items()
            },
        )

    def category(self, engine: str) -> Category:
        """That of an engine; `OTHER` where it is in none."""
        return self._categories.get(engine, OTHER)

    def _strategy(self, request: RouteRequest, group: int, endpoint_class: str) -> tuple[Strategy, Strategy, str]:
        """(that is named, that acts, why): the two differ in an A/B test."""
        engine = request.engine
        if not self.enabled:
            return Strategy.GATEWAY_ONLY, Strategy.GATEWAY_ONLY, "hybrid routing is switched off"
        for rule in self._rules:
            if rule.holds(self._facts(rule, request, group, endpoint_class)):
                strategy = Strategy(rule.strategy)
                return strategy, strategy, f"rule `{rule.text}`"
        if engine in self.config.splits:
            acting, side = self._side(engine, request.client)
            return Strategy.AB_SPLIT, acting, f"{side} side of the A/B test of {engine}, {acting}"
        if engine in self.config.strategies:
            strategy = Strategy(self.config.strategies[engine])
            return strategy, strategy, f"{strategy} is set for {engine}"
        category = self._categories.get(engine)
        if category is not None:
            return category.strategy, category.strategy, f"{engine} is in {category.name} ({category.budget_ms:g} ms)"
        return self.default_strategy, self.default_strategy, f"{engine} is in no category, {self.default_strategy}"

    def _side(self, engine: str, client: str) -> tuple[Strategy, str]:
        split = self.config.splits.get(engine)
        if split is None:
            return self.default_strategy, "neither"
        digest = hashlib.blake2b(f"{engine}\0{client}".encode(), digest_size=8).digest()
        second = bool(client) and int.from_bytes(digest, "big") < split.share * 2.0**64
        return (Strategy(split.second), "second") if second else (Strategy(split.first), "first")

    def _facts(self, rule: Rule, request: RouteRequest, group: int, endpoint_class: str) -> dict[str, Value]:
        facts: dict[str, Value] = {
            "engine": request.engine,
            "endpoint": request.endpoint,
            "endpoint_class": endpoint_class,
            "method": request.method,
            "priority": request.priority,
            "client": request.client,
            "category": self.category(request.engine).name,
        }
        if rule.uses <= facts.keys():
            return facts
        # Of several instances the slowest counts: a rule is about what a client may meet.
        for prefix, ways in zip(("", "gateway_"), self.routes.members(group), strict=True):
            found = [self.routes.quantiles(target) for target in ways]
            for at, name in enumerate(("p50_ms", "p95_ms", "p99_ms")):
                facts[prefix + name] = max((each[at] for each in found), default=0) / NANOS_PER_MS
        direct = [self.routes.read(target) for target in self.routes.members(group)[0]]
        facts["in_flight"] = float(sum(each["in_flight"] for each in direct))
        facts["failure_percent"] = 100.0 * max((each["failure_share"] for each in direct), default=0.0)
        return facts

    def _group(self, engine: str, endpoint_class: str) -> int:
        key = engine, endpoint_class
        held = self._groups.get(key)
        if held is not None:
            return held
        instances = self._instances.get(engine)
        if instances is None:
            known = ", ".join(sorted(self._instances)) or "none is known"
            raise UnknownEngineError(f"route: engine {engine!r}; expected one that is routed to: {known}")
        number = self.routes.group(engine, endpoint_class)
        for instance in instances:
            self._add_targets(engine, endpoint_class, instance)
        self._groups[key] = number
        return number

    def _add_targets(self, engine: str, endpoint_class: str, instance: str) -> None:
        for way in (route.ROUTE_DIRECT, route.ROUTE_GATEWAY):
            self.routes.target(engine, endpoint_class, instance, way)

    def _promised_ms(self, engine: str, direct: bool) -> float:
        promised = EXPECTED_MS.get(engine)
        return promised[0 if direct else 1] if promised else self.category(engine).budget_ms


_WHY: Final = {
    "direct only": "direct only",
    "gateway only": "through the gateway only",
    "only route": "{other} has no instance that is available",
    "preference": "too little is known to compare, {taken} is expected to be faster",
    "latency": "{taken} is expected to be faster",
    "failures": "{other} is expected to be faster and fails more often",
    "trial": "to learn how {taken} is now",
}


def _reasoning(packed: int, direct: bool) -> str:
    taken, other = ("direct", "the gateway") if direct else ("the gateway", "direct")
    reason = route.REASONS[packed >> route.REASON_SHIFT & 15]
    text = _WHY[reason].format(taken=taken, other=other)
    pick = packed >> route.PICK_SHIFT & 3
    if pick:
        text += f"; instance by {route.PICKS[pick]}"
    if packed >> route.PANIC_SHIFT & 1:
        text += "; too many instances are out, so all are taken"
    elif packed >> route.SPILL_SHIFT & 1:
        text += "; none of the own region"
    return text
