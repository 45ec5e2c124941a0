"""Run strategies in a market, recorded or simulated, in lock-step: the main job."""

from __future__ import annotations

import platform
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nautilus import __version__
from nautilus.core import LAYOUT_VERSION, RULES_VERSION, Kernel
from nautilus.engines import CATALOGUE
from nautilus.engines.marketdata import MarketDataConfig
from nautilus.engines.portfolio import PortfolioEngine
from nautilus.engines.strategy import Strategy, StrategyEngine, strategy_name
from nautilus.model.alerts import RiskAlert
from nautilus.model.errors import ConfigError
from nautilus.model.events import ExecutionReport, OrderAccepted, OrderFilled, OrderRejected
from nautilus.model.records import Records
from nautilus.model.topics import BOOK_DELTAS, CORE_EVENTS, EXECUTION_REPORTS, QUOTES, RISK_ALERTS, TRADES
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.latency import parse_latency
from nautilus.runtime.lockstep import LockStep
from nautilus.runtime.report import (
    PositionLine,
    Progress,
    Report,
    StrategyLine,
    core_positions,
    decimal_text,
    percentiles,
)
from nautilus.runtime.settings import LimitsConfig, LockStepConfig
from nautilus.runtime.sources import derives, open_source
from nautilus.runtime.strategies import load_strategies
from nautilus.simulation.source import MarketSource

PROGRESS_NS = NANOSECONDS // 10
OPEN_ORDERS = 1 << 18
CLOSED_ORDERS = 1 << 16


def run(
    source: MarketSource | str | Path,
    strategies: Sequence[str | Strategy] = ("quoting",),
    *,
    sections: Mapping[str, msgspec.Struct] | None = None,
    seed: int | None = None,
    latency: str | None = None,
    for_seconds: float | None = None,
    market_seconds: float | None = None,
    journal: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Run strategies in a market.

    Parameters
    ----------
    source
        A market, or the path of a recording.
    strategies
        Strategies, their names, or ``file.py:Class``.
    sections
        Settings by section name (``lockstep``, ``limits``, ``risk``, ``quoting`` and so on); missing: the defaults.
    seed, latency
        Override the section ``lockstep``.
    for_seconds
        Stop after so much wall time.
    market_seconds
        Stop after so much virtual time.
    journal
        The core writes its journal here; None: none.
    progress
        Called about ten times a second.

    Raises
    ------
    NautilusError
        The recording, a setting or a strategy's name is wrong.
    """
    market = open_source(source) if isinstance(source, str | Path) else source
    this = Run(market, strategies, sections or {}, seed, latency, journal)
    try:
        return this.run(for_seconds, market_seconds, progress)
    finally:
        this.close()


class TimedCore:
    """A kernel, with the wall time of each call."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.depth = kernel.depth
        self._process = kernel.process
        self.durations_ns = array("q")
        self.commands = array("q")

    def process(self, commands: Records, /) -> Records:
        """As `Kernel.process`."""
        started = monotonic_ns()
        events = self._process(commands)
        self.durations_ns.append(monotonic_ns() - started)
        self.commands.append(len(commands))
        return events

    def command_times_ns(self) -> Any:
        """Time of each command: that of its call, shared out evenly."""
        commands = np.frombuffer(self.commands, np.int64) if self.commands else np.zeros(0, np.int64)
        durations = np.frombuffer(self.durations_ns, np.int64) if self.commands else np.zeros(0, np.int64)
        return np.repeat(durations / np.maximum(commands, 1), commands)


class Run:
    """One run: a core, a market, engines, and what is counted on the way."""

    def __init__(
        self,
        source: MarketSource,
        strategies: Sequence[str | Strategy],
        sections: Mapping[str, msgspec.Struct],
        seed: int | None,
        latency: str | None,
        journal: str | Path | None,
    ) -> None:
        self._started_ns = monotonic_ns()
        lockstep = sections.get("lockstep")
        if not isinstance(lockstep, LockStepConfig):
            lockstep = LockStepConfig()
        limits = sections.get("limits")
        if not isinstance(limits, LimitsConfig):
            limits = LimitsConfig()
        self._seed = lockstep.seed if seed is None else seed
        self._latency = lockstep.latency if latency is None else latency
        self._source = source
        self._journal = str(journal) if journal is not None else None
        self._instruments = {found.instrument_id: found for found in source.instruments()}
        if not self._instruments:
            raise ConfigError("no instrument", where="market source", expected="at least one")

        services: dict[str, Any] = {
            "instruments": tuple(self._instruments.values()),
            "strategies": load_strategies(strategies, sections),
        }
        strategy_engine = CATALOGUE["strategy"].build(sections.get("strategy"), **services)
        assert isinstance(strategy_engine, StrategyEngine)
        self._strategies = strategy_engine
        accounts = [desk.account_id for desk in strategy_engine.desks]
        self._kernel = Kernel(
            instruments=services["instruments"],
            accounts=accounts,
            limits=limits.limits(accounts, services["instruments"]),
            capacity=OPEN_ORDERS,
            closed_capacity=CLOSED_ORDERS,
            journal=journal,
        )
        self._core = services["core"] = TimedCore(self._kernel)
        derive = MarketDataConfig(derive=derives(source))
        engines = {
            name: entry.build(derive if name == "marketdata" else sections.get(name), **services)
            for name, entry in CATALOGUE.items()
            if name != "strategy"
        }
        engines["strategy"] = strategy_engine
        portfolio, self._trading = engines["portfolio"], engines["trading"]
        assert isinstance(portfolio, PortfolioEngine)
        self._portfolio = portfolio
        kernel = self._kernel
        self._host = LockStep(
            engines.values(), parse_latency(self._latency), self._seed, next_timer_ns=lambda: kernel.next_timer_ns
        )
        self._records: Counter[str] = Counter()
        self._reports: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._by_strategy: dict[int, Counter[str]] = {desk.strategy_id: Counter() for desk in strategy_engine.desks}
        self._alerts: list[RiskAlert] = []
        self._host.tap(CORE_EVENTS, source.on_events)
        self._host.tap(EXECUTION_REPORTS, self._on_report)
        self._host.tap(RISK_ALERTS, self._alerts.append)
        for topic, kind in ((QUOTES, "quotes"), (TRADES, "trades"), (BOOK_DELTAS, "book_deltas")):
            self._host.tap(topic, partial(self._count, kind))

    def run(
        self, for_seconds: float | None, market_seconds: float | None, progress: Callable[[Progress], None] | None
    ) -> Report:
        """Run until the market ends or a time is over, then stop the engines and report."""
        source, host = self._source, self._host
        source.attach(self._kernel)
        begin_ns = source.next_ns() or 0
        setup = source.setup()
        host.start(begin_ns)
        if len(setup):
            host.feed(setup)
        deadline_ns = None if for_seconds is None else self._started_ns + round(for_seconds * NANOSECONDS)
        until_ns = None if market_seconds is None else begin_ns + round(market_seconds * NANOSECONDS)
        next_progress_ns = 0

        def keep_on() -> bool:
            nonlocal next_progress_ns
            now_ns = monotonic_ns()
            if progress is not None and now_ns >= next_progress_ns:
                next_progress_ns = now_ns + PROGRESS_NS
                progress(self._progress(begin_ns))
            return deadline_ns is None or now_ns < deadline_ns

        host.run(source, until_ns, keep_on)
        complete = source.next_ns() is None
        host.stop()
        if progress is not None:
            progress(self._progress(begin_ns))
        return self._report(begin_ns, complete)

    def close(self) -> None:
        """Close the core's journal."""
        self._kernel.close()

    # Counting.

    def _count(self, kind: str, records: Records) -> None:
        self._records[kind] += len(records)

    def _on_report(self, report: ExecutionReport) -> None:
        kind = type(report).__name__
        self._reports[kind] += 1
        counts = self._by_strategy.get(report.strategy_id)
        if isinstance(report, OrderRejected):
            self._reasons.update(reason.name for reason in report.violated)
            if counts is not None:
                counts["refused"] += 1
                counts["orders"] += report.request.name == "NEW"
        elif counts is not None:
            counts["orders"] += isinstance(report, OrderAccepted)
            counts["fills"] += isinstance(report, OrderFilled)

    # Reporting.

    def _progress(self, begin_ns: int) -> Progress:
        return Progress(
            seconds=(monotonic_ns() - self._started_ns) / NANOSECONDS,
            market_seconds=max(self._host.now_ns - begin_ns, 0) / NANOSECONDS,
            fraction=self._source.progress,
            orders=self._orders(),
            fills=self._reports["OrderFilled"],
            pnl={currency: line["total"] for currency, line in self._pnl().items()},
        )

    def _orders(self) -> int:
        return sum(counts["orders"] for counts in self._by_strategy.values())

    def _pnl(self) -> dict[str, dict[str, str]]:
        totals: dict[str, list[Decimal]] = {}
        for position in self._portfolio.positions():
            instrument = self._instruments[position.instrument_id]
            sums = totals.setdefault(instrument.quote_currency, [Decimal(0), Decimal(0)])
            sums[0] += instrument.money(position.realised)
            sums[1] += instrument.money(self._portfolio.unrealised(position))
        for instrument in self._instruments.values():
            totals.setdefault(instrument.quote_currency, [Decimal(0), Decimal(0)])
        return {
            currency: {
                "realised": decimal_text(realised),
                "unrealised": decimal_text(unrealised),
                "total": decimal_text(realised + unrealised),
            }
            for currency, (realised, unrealised) in totals.items()
        }

    def _position_lines(self) -> list[PositionLine]:
        names = {
            desk.account_id: strategy_name(strategy)
            for strategy, desk in zip(self._strategies.strategies, self._strategies.desks, strict=True)
        }
        lines = []
        for position in self._portfolio.positions():
            instrument = self._instruments[position.instrument_id]
            lines.append(
                PositionLine(
                    strategy=names.get(position.account_id, ""),
                    account_id=position.account_id,
                    symbol=instrument.symbol,
                    quantity=decimal_text(instrument.quantity(position.quantity)),
                    realised=decimal_text(instrument.money(position.realised)),
                    unrealised=decimal_text(instrument.money(self._portfolio.unrealised(position))),
                    currency=instrument.quote_currency,
                )
            )
        return lines

    def _positions_equal(self) -> bool:
        ours = {
            (position.account_id, position.instrument_id): (position.quantity, position.cost, position.realised)
            for position in self._portfolio.positions()
            if position.quantity or position.cost or position.realised
        }
        return ours == core_positions(self._kernel, [desk.account_id for desk in self._strategies.desks])

    def _report(self, begin_ns: int, complete: bool) -> Report:
        kernel, host, summary = self._kernel, self._host, dict(self._source.summary())
        summary |= summary.pop("market", None) or {}
        records = summary.pop("records", None) or dict(self._records)
        market_seconds = max(host.now_ns - begin_ns, 0) / NANOSECONDS
        strategies = [
            StrategyLine(
                name=strategy_name(strategy),
                strategy_id=desk.strategy_id,
                account_id=desk.account_id,
                orders=self._by_strategy[desk.strategy_id]["orders"],
                fills=self._by_strategy[desk.strategy_id]["fills"],
                refused=self._by_strategy[desk.strategy_id]["refused"],
                stopped=any(alert.strategy_id in (0, desk.strategy_id) for alert in self._alerts),
            )
            for strategy, desk in zip(self._strategies.strategies, self._strategies.desks, strict=True)
        ]
        hashes = kernel.journal_hash(), kernel.state_hash(), kernel.event_hash()
        round_trips = np.frombuffer(host.round_trips_ns, np.int64) if host.round_trips_ns else np.zeros(0, np.int64)
        report_latency = {
            "modelled": percentiles(round_trips),
            "measured": percentiles(self._core.command_times_ns()),
        }
        positions_equal = self._positions_equal()
        commands, events = kernel.last_sequence, kernel.last_event_sequence
        self.close()
        seconds = (monotonic_ns() - self._started_ns) / NANOSECONDS
        return Report(
            source=str(summary.pop("format", type(self._source).__name__)),
            instruments=[f"{found.symbol} at {found.venue}" for found in self._instruments.values()],
            records=records,
            book_checks=summary.pop("book_checks", None),
            orders=self._orders(),
            fills=self._reports["OrderFilled"],
            order_events={**dict(sorted(self._reports.items())), "reasons": dict(sorted(self._reasons.items()))},
            pnl=self._pnl(),
            positions=self._position_lines(),
            positions_equal=positions_equal,
            strategies=strategies,
            alerts=[msgspec.structs.asdict(alert) for alert in self._alerts],
            latency_us=report_latency,
            gaps=int(summary.pop("gaps", 0)),
            lost=int(summary.pop("lost", 0)),
            market=summary,
            commands=commands,
            events=events,
            journal_hash=f"{hashes[0]:016x}",
            state_hash=f"{hashes[1]:016x}",
            event_hash=f"{hashes[2]:016x}",
            journal=self._journal,
            seconds=round(seconds, 3),
            market_seconds=round(market_seconds, 3),
            speed=round(market_seconds / seconds, 2),
            seed=self._seed,
            latency=self._latency,
            complete=complete,
            errors=host.errors.distinct(),
            versions={
                "nautilus": __version__,
                "rules": str(RULES_VERSION),
                "layout": str(LAYOUT_VERSION),
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
        )
