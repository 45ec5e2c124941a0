"""Portfolios: what an event costs as instruments grow, optimisers beside skfolio's, and answers of a live engine.

    fills, quotes ══▶ engine ══▶ positions, values        in this process, one core
    returns ══▶ weights                                   in this process
    client ══ HTTP, mesh ══▶ live engine ══▶ client       one question under way at a time

Beside the optimisers, in the same run and on the same returns: skfolio with its own solver, where it is installed.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.maths.hrp import hierarchical_risk_parity
from nautilus.maths.optimise import (
    Constraints,
    conditional_value_at_risk,
    maximum_sharpe,
    mean_variance,
    minimum_cvar,
    minimum_variance,
)
from nautilus.maths.risk_parity import risk_parity
from nautilus.model.enums import Side
from nautilus.model.events import OrderFilled
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.portfolio import GetPortfolio, PortfolioState, PortfolioValued
from nautilus.runtime.attach import attach
from perf.bench_analytics import Line
from perf.harness import OtherLoad, Report, check, cores, pinned
from perf.platform import platform, ports

SUMMARY = (
    "cost of a fill and a mark from 10 to 10,000 instruments, optimisers beside skfolio, answers over HTTP and mesh"
)
INSTRUMENTS = (10, 100, 1_000, 10_000)
EVENTS = 20_000
ASSETS, ROWS = (20, 100), 1_000
REQUESTS, WARM = 1_000, 50
PORTFOLIO = 7
SECOND = 1_000_000_000


class Silent:
    """A context that keeps what was published last, and nothing else."""

    def __init__(self) -> None:
        self.now_ns = SECOND
        self.last: Message | None = None
        self.values = 0

    def publish(self, event: Any, /) -> None:
        """Keep it."""
        self.last = event
        self.values += isinstance(event, PortfolioValued)

    def at(self, ns: int, key: str, /) -> None:
        """The bench calls timers itself."""


def run(report: Report) -> None:
    """Events, optimisers, answers."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core} for events"
    with pinned(core):
        _events(report)
    with _one_thread(report):
        _optimisers(report)
    _live(report)


def instruments(count: int) -> list[Instrument]:
    """Shares of one currency."""
    return [
        Instrument(
            number,
            f"S{number}",
            "BENCH",
            "",
            "USD",
            (("0", "0.01"),),
            "1",
            product="spot",
        )
        for number in range(1, count + 1)
    ]


def _events(report: Report) -> None:
    for name, once in (("fill", _fills), ("mark, with the value of its portfolio", _marks)):
        curve = []
        for count in INSTRUMENTS:
            known = instruments(count)
            figure = report.measure(
                f"position update by a {name}, {count:,} instruments", "us", partial(once, known), lower_is_better=True
            )
            curve.append((float(count), figure.median))
        report.curves[f"us per {name} by instruments held"] = curve
        grown = curve[-1][1] / curve[0][1]
        report.add(
            f"growth from {INSTRUMENTS[0]} to {INSTRUMENTS[-1]:,}: {name}", "x", [grown], 0.0, lower_is_better=True
        )
    report.checks.append("positions and the value after all events are those that the events add up to")


def _filled(known: list[Instrument]) -> tuple[PortfolioEngine, Silent, int]:
    """An engine that holds a lot of each."""
    engine, ctx = PortfolioEngine(PortfolioConfig(), known), Silent()
    sequence = 0
    for instrument in known:
        sequence += 1
        key = instrument.instrument_id
        report = OrderFilled(sequence, 1, PORTFOLIO, 1, key, 1, Side.BUY, 10_000, 1, 0)
        engine.on_report(report, ctx)  # type: ignore[arg-type]
    return engine, ctx, sequence


def _fills(known: list[Instrument]) -> float:
    engine, ctx, sequence = _filled(known)
    count = len(known)
    reports = [
        OrderFilled(sequence + n + 1, 1, PORTFOLIO, 1, n % count + 1, 1, Side.BUY, 10_000, 1, 0) for n in range(EVENTS)
    ]
    on_report = engine.on_report
    begun = perf_counter()
    for each in reports:
        on_report(each, ctx)  # type: ignore[arg-type]
    took = perf_counter() - begun
    check(sum(each.quantity for each in engine.positions()) == count + EVENTS, "lots that are not there")
    return took / EVENTS * 1e6


def _marks(known: list[Instrument]) -> float:
    """A quote, and every 10 quotes the value that a second would publish: each mark is valued, with any number held."""
    engine, ctx, _ = _filled(known)
    count = len(known)
    for each in known:
        engine.on_quote(Quote(1, 1, 0, 10_000, 5, 10_001, 5, each.instrument_id), ctx)  # type: ignore[arg-type]
    engine.on_timer("value", ctx)  # type: ignore[arg-type]
    quotes = [Quote(1, 1, 0, 10_100, 5, 10_101, 5, n % count + 1) for n in range(EVENTS)]
    before = ctx.values
    begun = perf_counter()
    for number, quote in enumerate(quotes):
        engine.on_quote(quote, ctx)  # type: ignore[arg-type]
        if number % 10 == 9:
            engine.on_timer("value", ctx)  # type: ignore[arg-type]
    took = perf_counter() - begun
    check(ctx.values - before == EVENTS // 10, "values that were not published")
    engine._publish_values(ctx)  # type: ignore[arg-type]
    engine._ledger.dirty.add(PORTFOLIO)
    engine._publish_values(ctx)  # type: ignore[arg-type]
    told = ctx.last
    check(isinstance(told, PortfolioValued), "no value")
    assert isinstance(told, PortfolioValued)
    check(abs(told.unrealised - min(count, EVENTS)) < 1e-6, f"profit of {told.unrealised}")
    return took / EVENTS * 1e6


def _market(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    common = rng.standard_normal((ROWS, 3)) @ rng.standard_normal((3, n)) * 0.006
    found: np.ndarray = common + rng.standard_t(5, (ROWS, n)) * 0.008 + rng.uniform(0, 0.002, n)
    return found


def _optimisers(report: Report) -> None:
    theirs = _peers()
    for n in ASSETS:
        x = _market(n)
        cov, mean, limits = np.cov(x.T), x.mean(axis=0), Constraints.long_only(n)
        methods: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], float]]] = {
            "minimum variance": (partial(minimum_variance, cov, limits), lambda w, c=cov: float(w @ c @ w)),  # type: ignore[misc]
            "maximum Sharpe": (
                partial(maximum_sharpe, mean, cov, 0.0, limits),
                lambda w, m=mean, c=cov: float(m @ w / np.sqrt(w @ c @ w)),  # type: ignore[misc]
            ),
            "utility": (
                partial(mean_variance, mean, cov, 1.0, limits),
                lambda w, m=mean, c=cov: float(m @ w - w @ c @ w),  # type: ignore[misc]
            ),
            "CVaR": (partial(minimum_cvar, x, 0.95, limits), lambda w, x=x: conditional_value_at_risk(x @ w, 0.95)),  # type: ignore[misc]
            "risk parity": (partial(risk_parity, cov), lambda w: float(w.sum())),
            "HRP": (partial(hierarchical_risk_parity, cov, "ward"), lambda w: float(w.sum())),
        }
        for name, (solve, objective) in methods.items():
            report.measure(f"{name}, {n} assets", "ms", partial(_timed, solve), lower_is_better=True)
            if name not in theirs:
                continue
            with OtherLoad() as load:
                runs = [_theirs(theirs[name], x) for _ in range(7)]
            report.add(
                f"{name}, {n} assets: skfolio", "ms", [took for took, _ in runs], load.cores, lower_is_better=True
            )
            ours, other = solve().weights, runs[0][1]
            check(
                abs(objective(ours) - objective(other)) < 1e-4 * abs(objective(other)),
                f"{name}: {objective(ours)} and {objective(other)}",
            )
    if theirs:
        report.checks.append("objectives agree with skfolio's within 1e-4 of them, its solver as it comes")
    else:
        report.notes.append("skfolio is not installed: nothing stands beside the optimisers")


def _timed(solve: Callable[[], Any]) -> float:
    begun = perf_counter()
    solve()
    return (perf_counter() - begun) * 1e3


def _theirs(make: Callable[[], Any], x: np.ndarray) -> tuple[float, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
        begun = perf_counter()
        model.fit(x)
        took = (perf_counter() - begun) * 1e3
    weights: np.ndarray = model.weights_
    return took, weights


def _one_thread(report: Report) -> AbstractContextManager[object]:
    """Linear algebra on one thread, as workers of the platform have it, for both sides."""
    try:
        limits: AbstractContextManager[object] = importlib.import_module("threadpoolctl").threadpool_limits(1)
    except ImportError:
        report.notes.append("threadpoolctl is not installed: linear algebra takes as many threads as it likes")
        return nullcontext()
    return limits


def _peers() -> dict[str, Callable[[], Any]]:
    try:
        own = importlib.import_module("skfolio.optimization")
        measures = importlib.import_module("skfolio").RiskMeasure
    except ImportError:
        return {}
    aims = own.ObjectiveFunction
    return {
        "minimum variance": own.MeanRisk,
        "maximum Sharpe": partial(own.MeanRisk, objective_function=aims.MAXIMIZE_RATIO),
        "utility": partial(own.MeanRisk, objective_function=aims.MAXIMIZE_UTILITY),
        "CVaR": partial(own.MeanRisk, risk_measure=measures.CVAR),
        "risk parity": own.RiskBudgeting,
        "HRP": own.HierarchicalRiskParity,
    }


def _live(report: Report) -> None:
    with platform(
        "--simulated", whole=True, settings=("platform.processes=native", "platform.start_seconds=240")
    ) as instance:
        port, token = ports(instance)["portfolio"], instance.token()
        line = Line(port)
        body = json.dumps({"entry_id": "bench", "currency": "USD", "amount": "1000"}).encode()
        status, said = line.ask("POST", f"/portfolio/{PORTFOLIO}/cash", body, token)
        check(status == 200, repr(said[:300]))
        client = attach(instance, "bench")
        asks = {
            "HTTP": partial(_by_http, line),
            "mesh": partial(_by_mesh, client, GetPortfolio(PORTFOLIO)),
        }
        try:
            for way, ask in asks.items():
                report.ask(f"a portfolio over {way}", ask, REQUESTS, WARM, goal_ms=10.0)
        finally:
            client.close()
        report.checks.append("every answer holds the cash that was booked")


def _by_http(line: Line) -> None:
    status, said = line.ask("GET", f"/portfolio/{PORTFOLIO}")
    check(status == 200 and b'"booked":"1000"' in said, repr(said[:300]))


def _by_mesh(client: Any, message: GetPortfolio) -> None:
    reply = client.request("portfolio", message)
    check(isinstance(reply, PortfolioState) and reply.cash[0].booked == "1000", repr(reply)[:300])
