"""Risk: a simulation of many positions, the cost of an event as instruments grow, the critical check of a live engine.

    covariance, deltas, gammas ══▶ 100,000 paths ══▶ VaR, tail mean      in this process, two threads
    quotes, fills ══▶ engine with a tree of limits                        in this process, one core
    client ══ HTTP, mesh ══▶ live engine ══▶ client                       one question under way at a time

Beside the simulation, in the same run: the same one by NumPy, normal numbers times Cholesky's root.
"""

from __future__ import annotations

import json
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from nautilus.engines.risk import RiskConfig, RiskEngine, jobs
from nautilus.maths import var
from nautilus.maths.monte_carlo import Paths, warm
from nautilus.maths.var_parts import normal_parts
from nautilus.model.basis import Basis
from nautilus.model.enums import Side
from nautilus.model.events import OrderFilled
from nautilus.model.history import SeriesKind
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.risk import CheckOrders, CheckResult, EstimateRisk, ProposedOrder, RiskEstimate, RiskPosition
from nautilus.runtime.attach import attach
from nautilus.runtime.worker import pack, unpack
from perf.bench_analytics import Line
from perf.harness import Report, check, cores, pinned
from perf.platform import platform, ports

SUMMARY = (
    "Monte-Carlo VaR of 500 positions, cost per event of the tree of limits, the critical check over HTTP and mesh"
)
POSITIONS, PATHS, DAYS, LEVEL = 500, 100_000, 500, 0.99
INSTRUMENTS = (10, 100, 1_000, 10_000)
EVENTS = 5_000
REQUESTS, WARM = 1_000, 50
DAY = 86_400_000_000_000
PORTFOLIO = 7
LIMITS = (
    "firm gross soft 1e14 hard 1e15",
    "firm loss hard 1e15",
    "desk/* var hard 1e15",
    "portfolio/* net hard 1e15",
    "portfolio/* drawdown hard 1e15",
    "portfolio/* concentration hard 1.1",
    "portfolio/* var soft 1e14 hard 1e15",
    "strategy/*/* position hard 1e15",
    "strategy/*/* order_rate hard 1e9",
    "instrument/*/*/* notional hard 1e15",
)


class Silent:
    """A context that only has the time."""

    now_ns = 20_000 * DAY

    def publish(self, event: Any, /) -> None:
        """A limit of this bench was breached."""
        raise AssertionError(event)

    def at(self, ns: int, key: str, /) -> None:
        """No timer."""


def run(report: Report) -> None:
    """Three parts."""
    _simulate(report)
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core} (events)"
    with pinned(core):
        _events(report)
    _live(report)


def _portfolio() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deltas, gammas and T x N returns with 20 factors."""
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((DAYS, 20)) @ rng.standard_normal((20, POSITIONS)) * 0.002
    returns = factors + rng.standard_normal((DAYS, POSITIONS)) * 0.012
    return rng.normal(size=POSITIONS) * 1e5, rng.normal(size=POSITIONS) * 1e6 - 5e5, returns


def _simulate(report: Report) -> None:
    warm()
    deltas, gammas, returns = _portfolio()
    covariance = np.cov(returns, rowvar=False)
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("delta-gamma, normal", {"gammas": gammas}),
        ("delta-gamma, Student's t", {"gammas": gammas, "degrees": 5.0}),
        ("linear, normal", {}),
    )
    what = f"{POSITIONS} positions x {PATHS} paths"
    for name, more in kinds:

        def once(more: dict[str, Any] = more) -> float:
            begun = perf_counter()
            paths = Paths(deltas, covariance, paths=PATHS, seed=3, **more)
            paths.value_at_risk(LEVEL)
            paths.tail_mean(LEVEL)
            return (perf_counter() - begun) * 1e3

        report.measure(f"VaR and CVaR, {name}, {what}", "ms", once, goal=100.0, lower_is_better=True)
    positions = tuple(
        RiskPosition(str(place), float(delta), float(gamma))
        for place, (delta, gamma) in enumerate(zip(deltas, gammas, strict=True))
    )
    question = EstimateRisk(1, LEVEL, "monte_carlo", paths=PATHS, seed=3)
    arguments = (question, "USD", positions, returns, Basis(""))

    def whole() -> float:
        begun = perf_counter()
        found = unpack(pack(jobs.estimate(*unpack(pack(arguments)))))
        check(isinstance(found, RiskEstimate) and found.paths == PATHS, repr(found)[:200])
        return (perf_counter() - begun) * 1e3

    report.measure(f"the job, with {DAYS} returns there and back, {what}", "ms", whole, lower_is_better=True)
    _peer(report, deltas, gammas, covariance, what)


def _peer(report: Report, deltas: np.ndarray, gammas: np.ndarray, covariance: np.ndarray, what: str) -> None:
    outcomes: list[np.ndarray] = []

    def plain() -> float:
        begun = perf_counter()
        root = np.linalg.cholesky(covariance)
        numbers = np.random.Generator(np.random.SFC64(5)).standard_normal((PATHS, POSITIONS), dtype=np.float32)
        moved = numbers @ root.T.astype(np.float32)
        profits = moved @ deltas.astype(np.float32) + 0.5 * ((moved * moved) @ gammas.astype(np.float32))
        var.historical_var(profits, LEVEL)
        outcomes[:] = [profits]
        return (perf_counter() - begun) * 1e3

    report.measure(f"the same by NumPy in single precision, {what}", "ms", plain, lower_is_better=True, repeats=3)
    found = Paths(deltas, covariance, gammas, paths=PATHS, seed=3).value_at_risk(LEVEL)
    expected = var.historical_var(outcomes[0], LEVEL)
    check(abs(found.value - expected) < 6 * found.standard_error, f"{found} beside {expected} of NumPy")
    linear = Paths(deltas, covariance, paths=PATHS, seed=3).value_at_risk(LEVEL)
    closed = normal_parts(deltas, covariance, level=LEVEL)[0].total
    check(abs(linear.value - closed) < 4 * linear.standard_error, f"{linear} beside {closed} of the closed form")
    report.checks.append(
        "value at risk within 4 standard errors of the closed form (linear), 6 of NumPy's (delta-gamma)"
    )


def _instruments(count: int) -> list[Instrument]:
    return [
        Instrument(
            instrument_id=key,
            symbol=f"I{key}",
            venue="BENCH",
            base_currency="I",
            quote_currency="USD",
            tick_table=(("0", "0.01"),),
            lot_size="1",
        )
        for key in range(1, count + 1)
    ]


def _loaded(count: int) -> tuple[RiskEngine, Silent]:
    """An engine whose portfolio holds every instrument."""
    config = RiskConfig(max_position=0, max_loss="1e12", max_orders=0, desks={"one": (PORTFOLIO,)}, limits=LIMITS)
    engine, ctx = RiskEngine(config, _instruments(count)), Silent()
    returns = np.random.default_rng(2).standard_normal((count, 260)) * 0.01
    times = tuple((18_000 + day) * DAY for day in range(260))
    panel = engine._histories.panel
    for key in range(1, count + 1):
        panel.put(f"I{key}", SeriesKind.RETURN, times, returns[key - 1])
    rules = dict(engine._tree.rules)
    for rule in [rule for rule in rules.values() if rule.control == "var"]:
        engine._tree.drop_limit(*rule.key)
    for key in range(1, count + 1):
        engine.on_report(OrderFilled(key, 1, PORTFOLIO, 1, key, key, Side.BUY, 10_000, 100, 0), ctx)  # type: ignore[arg-type]
    for rule in [rule for rule in rules.values() if rule.control == "var"]:
        engine._tree.set_limit(rule)
    return engine, ctx


def _events(report: Report) -> None:
    curves: dict[str, list[tuple[float, float]]] = {"quote": [], "fill": [], "check of 10 orders": []}
    for count in INSTRUMENTS:
        engine, ctx = _loaded(count)
        rng = np.random.default_rng(3)
        keys = rng.integers(1, count + 1, EVENTS).tolist()
        bids = rng.integers(9_000, 11_000, EVENTS).tolist()
        quotes = [Quote(1, 1, 1, bid, 5, bid + 1, 5, key) for key, bid in zip(keys, bids, strict=True)]
        sequence = count

        def quoted() -> float:
            begun = perf_counter()
            for quote in quotes:  # noqa: B023
                engine.on_quote(quote, ctx)  # type: ignore[arg-type]  # noqa: B023
            return (perf_counter() - begun) / EVENTS * 1e6

        def filled() -> float:
            nonlocal sequence
            sides = (Side.BUY, Side.SELL)
            fills = [
                OrderFilled(sequence + n, 1, PORTFOLIO, 1, key, n, sides[n % 2], 10_000, 10, 0)
                for n, key in enumerate(keys, 1)  # noqa: B023
            ]
            sequence += EVENTS
            begun = perf_counter()
            for fill in fills:
                engine.on_report(fill, ctx)  # type: ignore[arg-type]  # noqa: B023
            return (perf_counter() - begun) / EVENTS * 1e6

        orders = tuple(ProposedOrder(f"I{key}", Side.BUY, "5", "100", 1) for key in keys[:10])
        question = CheckOrders(PORTFOLIO, orders)

        def checked() -> float:
            begun = perf_counter()
            for _ in range(50):
                engine.on_request(question, ctx)  # type: ignore[arg-type]  # noqa: B023
            return (perf_counter() - begun) / 50 * 1e6

        for name, once in (("quote", quoted), ("fill", filled), ("check of 10 orders", checked)):
            figure = report.measure(f"{name}, {count} instruments held", "us", once, lower_is_better=True)
            curves[name].append((float(count), figure.median))
        limits = {(each.scope, each.control): each for each in engine._limit_states(PORTFOLIO, ctx).limits}  # type: ignore[arg-type]
        gross = limits[f"portfolio/{PORTFOLIO}", "concentration"].value
        check(gross is not None and 0 < gross <= 1, "a concentration")
        leaves = engine._tree.leaves.values()
        node = engine._tree.nodes["firm",]
        check(node.net == sum(leaf.net for leaf in leaves), "the sums of the tree are those of its positions")
    report.curves.update(curves)
    for name, curve in curves.items():
        report.add(
            f"{name}: cost at {INSTRUMENTS[-1]} instruments over that at {INSTRUMENTS[0]}", "x",
            [curve[-1][1] / curve[0][1]], 0.0, goal=2.0, lower_is_better=True,
        )  # fmt: skip
    report.checks.append("the tree's sums are those of its positions; no limit was breached")


def _live(report: Report) -> None:
    with platform("--simulated", whole=True, settings=("platform.processes=native",)) as instance:
        port, token = ports(instance)["risk"], instance.token()
        line = Line(port)
        for scope, control in (("firm", "gross"), (f"portfolio/{PORTFOLIO}", "position"), ("strategy/*/*", "net")):
            body = {"scope": scope, "control": control, "soft": 1e8, "hard": 1e9}
            status, said = line.ask("PUT", "/risk/limits", json.dumps(body).encode(), token)
            check(status == 200, repr(said[:300]))
        client = attach(instance, "bench")
        orders = [{"instrument": "1", "side": "BUY", "quantity": "1", "price": "100"}] * 5
        body_of_check = json.dumps({"orders": orders}).encode()
        message = CheckOrders(PORTFOLIO, (ProposedOrder("1", Side.BUY, "1", "100"),) * 5)
        asks = {"HTTP": partial(_by_http, line, body_of_check, token), "mesh": partial(_by_mesh, client, message)}
        try:
            for way, ask in asks.items():
                report.ask(f"critical check of 5 orders over {way}", ask, REQUESTS, WARM, goal_ms=10.0)
        finally:
            client.close()


def _by_http(line: Line, body: bytes, token: str) -> None:
    status, said = line.ask("POST", f"/risk/critical-check/{PORTFOLIO}", body, token)
    # On a machine that is busy with other things an answer may come too late: its time is in the percentiles.
    check((status == 200 and b'"allowed":true' in said) or b"limit.late" in said, repr(said[:300]))


def _by_mesh(client: Any, message: Message) -> None:
    answer = client.request("risk", message)
    check(isinstance(answer, CheckResult) and answer.allowed, repr(answer)[:300])
