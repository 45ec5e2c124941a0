"""Analytics: many portfolios at once, the deepest answer of a large one, and the critical operation of a live engine.

    batch ══▶ engine ══▶ answers ══▶ JSON          in this process, one core
    client ══ HTTP, mesh ══▶ live engine ══▶ client    one question under way at a time

Beside it, in the same run: ten measures of one portfolio by empyrical, where it is installed.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from time import monotonic, perf_counter, perf_counter_ns
from typing import Any

import msgspec
import numpy as np

from nautilus.core.proxy_head import AnswerHead, read_answer
from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine
from nautilus.engines.base import Work
from nautilus.maths.sample import Sample
from nautilus.model.analytics import AnalyticsBatch, GetAnalytics, GetAnalyticsBatch, PortfolioAnalytics
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.instrument import Instrument
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import Position, PositionChanged
from nautilus.model.signals import FactorsUpdated
from nautilus.runtime.attach import attach
from nautilus.runtime.http.forms import form_of
from nautilus.runtime.worker import pack, unpack
from perf.harness import Report, check, cores, pinned
from perf.platform import platform, ports

SUMMARY = (
    "simple requests a second in batches, institutional of 500 positions, the critical operation over HTTP and mesh"
)
PORTFOLIOS, BATCHES = 1_000, 5
DAYS, POSITIONS = 2_520, 500
DAY = 86_400_000_000_000
BEGIN = 16_000 * DAY
REQUESTS, WARM = 1_000, 50
LARGE = 900
"""Portfolio whose history is put."""


class Silent:
    """A context that only has the time."""

    def __init__(self) -> None:
        self.now_ns = BEGIN
        self.numbers = 0

    def publish(self, event: Any, /) -> None:
        """Nobody listens."""

    def submit(self, job: Callable[..., Any], arguments: tuple[Any, ...], /) -> int:
        """Models are not fitted here."""
        self.numbers += 1
        return self.numbers


def run(report: Report) -> None:
    """Three parts."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core} (the first two parts)"
    with pinned(core):
        _simple(report)
        _institutional(report)
        _peers(report)
    _live(report)
    report.checks.append("answers have the periods, positions and shares that they must have; none is from a cache")
    report.notes.append("Models are fitted as jobs, so no request waits for them; their fits are in bench models.")


def _valued(now_ns: int, portfolio_id: int, nav: float) -> PortfolioValued:
    return PortfolioValued(now_ns, portfolio_id, "USD", nav, nav, 0.0, 0.0, nav - 1e6, 0.0, 0.0, booked=1e6)


def _simple(report: Report) -> None:
    """Every portfolio is valued anew before each batch, so no answer is an old one."""
    engine, ctx = AnalyticsEngine(AnalyticsConfig(publish_seconds=3600.0), []), Silent()
    steps = np.random.default_rng(1).normal(0.0005, 0.01, (PORTFOLIOS, 61))
    for portfolio_id, row in enumerate(np.cumprod(1.0 + steps, axis=1) * 1e6, 1):
        for day, nav in enumerate(row.tolist()):
            engine.on_balance(_valued(BEGIN + day * DAY, portfolio_id, nav), ctx)  # type: ignore[arg-type]
    message = GetAnalyticsBatch(tuple(range(1, PORTFOLIOS + 1)))
    leave = form_of(AnalyticsBatch).leave
    assert leave is not None
    encode = msgspec.json.Encoder().encode
    moment = BEGIN + 61 * DAY - DAY // 2

    def once(fresh: bool) -> float:
        nonlocal moment
        took = 0.0
        for _ in range(BATCHES):
            moment += 1_000_000
            for portfolio_id in range(1, PORTFOLIOS + 1) if fresh else ():
                engine.on_balance(_valued(moment, portfolio_id, 1e6 + portfolio_id), ctx)  # type: ignore[arg-type]
            begun = perf_counter()
            answer = engine.on_request(message, ctx)  # type: ignore[arg-type]
            body = encode(leave(answer))
            took += perf_counter() - begun
            assert isinstance(answer, AnalyticsBatch)
            check(len(answer.answers) == PORTFOLIOS and answer.answers[7].summary.periods == 60, "an answer is missing")
            check(body.count(b'"sharpe_ratio"') == PORTFOLIOS, "a summary is missing")
        return BATCHES * PORTFOLIOS / took

    once(True)
    name = f"simple requests, batches of {PORTFOLIOS}, to JSON"
    report.measure(f"{name}, valued anew", "1/s", partial(once, True), goal=10_000.0)
    report.measure(f"{name}, nothing new", "1/s", partial(once, False))


def _instruments() -> list[Instrument]:
    return [
        Instrument(number, f"S{number:03}", "SIM", f"S{number:03}", "USD", (("0", "0.01"),), "1", currency_decimals=2)
        for number in range(1, POSITIONS + 1)
    ]


def _large() -> tuple[AnalyticsEngine, Silent]:
    """A portfolio of so many days and positions, with a benchmark and factors."""
    engine, ctx = AnalyticsEngine(AnalyticsConfig(benchmark="INDEX", publish_seconds=3600.0), _instruments()), Silent()
    rng = np.random.default_rng(2)
    market = rng.normal(0.0004, 0.01, DAYS)
    returns = market[:, None] + rng.normal(0.0, 0.015, (DAYS, POSITIONS))
    times = tuple((BEGIN + (np.arange(DAYS) + 1) * DAY - 1).tolist())

    def put(name: str, values: np.ndarray) -> None:
        engine.on_request(PutHistory(name, times, tuple(values.tolist()), SeriesKind.RETURN), ctx)  # type: ignore[arg-type]

    put("INDEX", market)
    for number in range(POSITIONS):
        put(f"S{number + 1:03}", returns[:, number])
        position = Position(LARGE, number + 1, 1_000, -10_000_000)
        engine.on_position(PositionChanged(1, BEGIN, 0, position, 10_000), ctx)  # type: ignore[arg-type]
    put(f"portfolio-{LARGE}", returns.mean(axis=1))
    names = tuple(f"f{number}" for number in range(18))
    for day, row in enumerate(rng.normal(0.0, 0.005, (DAYS, 18)).tolist()):
        engine.on_factors(FactorsUpdated(BEGIN, BEGIN // DAY + day, names, tuple(row)), ctx)  # type: ignore[arg-type]
    engine.on_balance(_valued(BEGIN + (DAYS + 1) * DAY, LARGE, 5e7), ctx)  # type: ignore[arg-type]
    return engine, ctx


def _institutional(report: Report) -> None:
    engine, ctx = _large()
    message = GetAnalytics(LARGE, "institutional")
    encode = msgspec.json.Encoder().encode
    leave = form_of(PortfolioAnalytics).leave
    assert leave is not None
    day = DAYS + 1

    def answered() -> PortfolioAnalytics:
        reply = engine.on_request(message, ctx)  # type: ignore[arg-type]
        if isinstance(reply, Work):
            job, arguments = reply.job, unpack(pack(reply.arguments))
            assert reply.finish is not None
            reply = reply.finish(unpack(pack(job(*arguments))))
        check(bool(encode(leave(reply))), "nothing")
        assert isinstance(reply, PortfolioAnalytics)
        return reply

    def once(new_history: bool) -> float:
        nonlocal day
        if new_history:  # of one instrument: the covariance of all is prepared anew
            row = np.random.default_rng(day).normal(0.0, 0.01, DAYS)
            times = tuple((BEGIN + (np.arange(DAYS) + 1) * DAY - 1).tolist())
            engine.on_request(PutHistory("S001", times, tuple(row.tolist()), SeriesKind.RETURN), ctx)  # type: ignore[arg-type]
        else:  # a day has ended
            day += 1
            engine.on_balance(_valued(BEGIN + day * DAY, LARGE, 5e7 + day), ctx)  # type: ignore[arg-type]
        begun = perf_counter()
        answer = answered()
        took = (perf_counter() - begun) * 1e3
        assert answer.positions is not None
        assert answer.factors is not None
        shares = [line.risk_share for line in answer.positions.positions if line.risk_share is not None]
        check(len(shares) == POSITIONS and abs(sum(shares) - 1.0) < 1e-9, "shares of the risk")
        check(len(answer.factors.factors) == 18 and answer.summary.periods >= DAYS, "factors or periods")
        return took

    once(True)
    name = f"institutional, {DAYS} days x {POSITIONS} positions, to JSON"
    report.measure(f"{name}, a day has ended", "ms", partial(once, False), goal=80.0, lower_is_better=True)
    report.measure(f"{name}, a history is new", "ms", partial(once, True), goal=80.0, lower_is_better=True)


def _peers(report: Report) -> None:
    """Summary measures of ten years of days, computed of all of them."""
    returns = np.random.default_rng(3).standard_t(5, DAYS) * 0.01

    def ours() -> tuple[float, ...]:
        sample = Sample(returns)
        return (
            sample.cumulative_return(),
            sample.annual_return(),
            sample.annual_volatility(),
            sample.sharpe_ratio(),
            sample.sortino_ratio(),
            sample.deepest.depth,
            sample.calmar_ratio(),
            sample.omega_ratio(),
            sample.tail_ratio(),
            sample.stability(),
        )

    expected = ours()
    what = f"ten measures of {DAYS} returns"
    report.measure(f"{what}, here", "us", partial(_timed, ours), lower_is_better=True)
    with suppress(ImportError):
        # Older ones do not run with the NumPy of today.
        if [int(part) for part in version("empyrical-reloaded").split(".")[:2]] < [0, 7]:
            raise ImportError("empyrical-reloaded")
        import empyrical

        def theirs() -> tuple[float, ...]:
            return (
                empyrical.cum_returns_final(returns),
                empyrical.annual_return(returns),
                empyrical.annual_volatility(returns),
                empyrical.sharpe_ratio(returns),
                empyrical.sortino_ratio(returns),
                empyrical.max_drawdown(returns),
                empyrical.calmar_ratio(returns),
                empyrical.omega_ratio(returns),
                empyrical.tail_ratio(returns),
                empyrical.stability_of_timeseries(returns),
            )

        check(bool(np.allclose(expected, theirs(), rtol=1e-10)), "another figure than empyrical's")
        report.measure(f"{what}, empyrical", "us", partial(_timed, theirs), lower_is_better=True)


def _timed(call: Callable[[], object]) -> float:
    begun = perf_counter()
    for _ in range(20):
        call()
    return (perf_counter() - begun) / 20 * 1e6


def _live(report: Report) -> None:
    with platform("--simulated", whole=True, settings=("platform.processes=native",)) as instance:
        port, token = ports(instance)["analytics"], instance.token()
        rng = np.random.default_rng(5)
        body = {
            "times_ns": (BEGIN + (np.arange(DAYS) + 1) * DAY).tolist(),
            "values": rng.normal(0.0004, 0.01, DAYS).tolist(),
            "kind": "RETURN",
        }
        line = Line(port)
        status, said = line.ask("PUT", f"/analytics/history/portfolio-{LARGE}", json.dumps(body).encode(), token)
        check(status == 200, repr(said[:300]))
        _batches(report, line, token)
        client = attach(instance, "bench")
        try:
            for depth in ("simple", "institutional"):
                path, message = f"/analytics/realtime/{LARGE}?depth={depth}", GetAnalytics(LARGE, depth)
                found: dict[str, list[np.ndarray]] = {"HTTP": [], "mesh": []}
                asks = {"HTTP": partial(_by_http, line, path), "mesh": partial(_by_mesh, client, message)}
                for way, ask in asks.items():

                    def once(ask: Callable[[], None] = ask, kept: list[np.ndarray] = found[way]) -> float:
                        kept.append(_nanos(ask))
                        return float(np.percentile(kept[-1], 99)) / 1e6

                    name = f"realtime, {depth}, over {way}"
                    report.measure(f"{name}, p99", "ms", once, goal=20.0, lower_is_better=True)
                    report.latency(name, np.concatenate(found[way]))
        finally:
            client.close()


def _batches(report: Report, line: Line, token: str) -> None:
    """Many portfolios of a live engine; each has a history of sixty days."""
    steps = np.random.default_rng(6).normal(0.0005, 0.01, (PORTFOLIOS, 60))
    times = (BEGIN + (np.arange(60) + 1) * DAY).tolist()
    for number, row in enumerate(steps.tolist(), 1):
        body = json.dumps({"times_ns": times, "values": row, "kind": "RETURN"}).encode()
        status, said = line.ask("PUT", f"/analytics/history/portfolio-{10_000 + number}", body, token)
        check(status == 200, repr(said[:300]))
    ids = json.dumps({"portfolio_ids": [10_000 + number for number in range(1, PORTFOLIOS + 1)]}).encode()

    def once() -> float:
        begun = perf_counter()
        for _ in range(BATCHES):
            status, said = line.ask("POST", "/analytics/realtime", ids, token)
            check(status == 200 and said.count(b'"sharpe_ratio"') == PORTFOLIOS, repr(said[:300]))
        return BATCHES * PORTFOLIOS / (perf_counter() - begun)

    once()
    report.measure(f"simple requests, batches of {PORTFOLIOS}, over HTTP", "1/s", once, goal=10_000.0)


def _nanos(ask: Callable[[], None]) -> np.ndarray:
    nanos = np.empty(REQUESTS, np.int64)
    for number in range(-WARM, REQUESTS):
        begun_ns = perf_counter_ns()
        ask()
        if number >= 0:
            nanos[number] = perf_counter_ns() - begun_ns
    return nanos


def _by_http(line: Line, path: str) -> None:
    status, body = line.ask("GET", path)
    check(status == 200 and b'"sharpe_ratio"' in body, repr(body[:300]))


def _by_mesh(client: Any, message: GetAnalytics) -> None:
    answer = client.request("analytics", message)
    check(isinstance(answer, PortfolioAnalytics) and answer.summary.periods == DAYS, repr(answer)[:300])


class Line:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, body: bytes = b"", token: str = "") -> tuple[int, bytes]:
        """Status and body of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
        if body:
            head += (
                f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            )
        self._socket.sendall(head.encode() + b"\r\n" + body)
        data, until = b"", monotonic() + 60.0
        while monotonic() < until:
            piece = self._socket.recv(1 << 20)
            check(bool(piece), f"{path}: the connection ended")
            data += piece
            found = read_answer(data)
            if isinstance(found, AnswerHead) and len(data) >= found.size + found.length:
                return int(found.status), data[found.size :]
        raise TimeoutError(path)
