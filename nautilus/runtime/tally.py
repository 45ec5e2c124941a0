"""What is counted during a run, and the report that is made of it."""

from __future__ import annotations

import platform
from collections import Counter
from decimal import Decimal
from functools import partial

import msgspec
import numpy as np

from nautilus import __version__
from nautilus.core import LAYOUT_VERSION, RULES_VERSION, Kernel
from nautilus.engines.portfolio import PortfolioEngine
from nautilus.engines.strategy import StrategyEngine, strategy_name
from nautilus.model.alerts import RiskAlert
from nautilus.model.enums import CommandKind
from nautilus.model.events import ExecutionReport, OrderAccepted, OrderFilled, OrderRejected
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.records import Records
from nautilus.model.topics import BOOK_DELTAS, EXECUTION_REPORTS, QUOTES, RISK_ALERTS, TRADES
from nautilus.runtime.clock import NANOSECONDS
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
from nautilus.runtime.timing import TimedCore
from nautilus.simulation.source import MarketSource

ZERO = Decimal(0)


class Tally:
    """Listens to a host; knows orders, fills and profit at any time, and writes the report at the end."""

    def __init__(
        self,
        host: LockStep,
        source: MarketSource,
        core: TimedCore,
        portfolio: PortfolioEngine,
        strategies: StrategyEngine,
    ) -> None:
        self._host = host
        self._source = source
        self._core = core
        self._portfolio = portfolio
        self._lines = list(zip(strategies.strategies, strategies.desks, strict=True))
        self._instruments: dict[int, Instrument] = {found.instrument_id: found for found in source.instruments()}
        self._records: Counter[str] = Counter()
        self._reports: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._by_strategy: dict[int, Counter[str]] = {desk.strategy_id: Counter() for desk in strategies.desks}
        self._alerts: list[RiskAlert] = []
        host.tap(EXECUTION_REPORTS, self._on_report)
        host.tap(RISK_ALERTS, self._alerts.append)
        for topic, kind in ((QUOTES, "quotes"), (TRADES, "trades"), (BOOK_DELTAS, "book_deltas")):
            host.tap(topic, partial(self._count, kind))

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
                counts["orders"] += report.request == CommandKind.NEW
        elif counts is not None:
            counts["orders"] += isinstance(report, OrderAccepted)
            counts["fills"] += isinstance(report, OrderFilled)

    def progress(self, begin_ns: int, seconds: float) -> Progress:
        """How far the run is."""
        return Progress(
            seconds=seconds,
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
            sums = totals.setdefault(instrument.quote_currency, [ZERO, ZERO])
            sums[0] = EXACT.add(sums[0], instrument.money(position.realised))
            sums[1] = EXACT.add(sums[1], instrument.money(self._portfolio.unrealised(position)))
        for instrument in self._instruments.values():
            totals.setdefault(instrument.quote_currency, [ZERO, ZERO])
        return {
            currency: {
                "realised": decimal_text(realised),
                "unrealised": decimal_text(unrealised),
                "total": decimal_text(EXACT.add(realised, unrealised)),
            }
            for currency, (realised, unrealised) in totals.items()
        }

    def _position_lines(self) -> list[PositionLine]:
        names = {desk.account_id: strategy_name(strategy) for strategy, desk in self._lines}
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

    def _positions_equal(self, kernel: Kernel) -> bool:
        ours = {
            (account_id, instrument_id): figures
            for account_id, instrument_id, *rest in map(msgspec.structs.astuple, self._portfolio.positions())
            if any(figures := tuple(rest))
        }
        return ours == core_positions(kernel, [desk.account_id for _, desk in self._lines])

    def report(
        self,
        begin_ns: int,
        seconds: float,
        *,
        complete: bool,
        broken: str | None,
        seed: int,
        latency: str,
        journal: str | None,
    ) -> Report:
        """The result, once the engines have stopped."""
        kernel, host, summary = self._core.kernel, self._host, dict(self._source.summary())
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
            for strategy, desk in self._lines
        ]
        round_trips = np.frombuffer(host.round_trips_ns, np.int64) if host.round_trips_ns else np.zeros(0, np.int64)
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
            positions_equal=self._positions_equal(kernel),
            strategies=strategies,
            alerts=[msgspec.structs.asdict(alert) for alert in self._alerts],
            latency_us={
                "modelled": percentiles(round_trips),
                "measured": percentiles(self._core.command_times_ns()),
            },
            gaps=int(summary.pop("gaps", 0)),
            lost=int(summary.pop("lost", 0)),
            market=summary,
            commands=kernel.last_sequence,
            events=kernel.last_event_sequence,
            journal_hash=f"{kernel.journal_hash():016x}",
            state_hash=f"{kernel.state_hash():016x}",
            event_hash=f"{kernel.event_hash():016x}",
            journal=journal,
            seconds=round(seconds, 3),
            market_seconds=round(market_seconds, 3),
            speed=round(market_seconds / seconds, 2) if seconds else 0.0,
            seed=seed,
            latency=latency,
            complete=complete,
            broken=broken,
            errors=host.errors.distinct(),
            versions={
                "nautilus": __version__,
                "rules": str(RULES_VERSION),
                "layout": str(LAYOUT_VERSION),
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
        )
