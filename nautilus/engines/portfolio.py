"""Portfolio: positions and profit from fills, equal to the core's to the last money unit.

Fills are keyed by the core's event sequence: what is not newer than the last one applied to its account is ignored,
so a report that arrives twice, or again after a restart, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from nautilus.engines.base import Context, Engine
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.position import Position, PositionChanged
from nautilus.model.topics import EXECUTION_REPORTS, POSITIONS, QUOTES


class PortfolioConfig(msgspec.Struct, frozen=True):
    """The portfolio engine has no settings yet."""


class PortfolioEngine(Engine):
    """Follows every account's positions."""

    name = "portfolio"
    subscribes = (EXECUTION_REPORTS, QUOTES)
    publishes = (POSITIONS,)

    def __init__(self, config: PortfolioConfig, instruments: Iterable[Instrument]) -> None:
        self._multipliers = {instrument.instrument_id: instrument.multiplier for instrument in instruments}
        self._positions: dict[tuple[int, int], Position] = {}
        self._sequences: dict[int, int] = {}
        self._quotes: dict[int, Quote] = {}
        self.ignored = 0

    def positions(self) -> list[Position]:
        """Every position that ever was, by account and instrument."""
        return [self._positions[key] for key in sorted(self._positions)]

    def mark_ticks(self, position: Position) -> int | None:
        """The price at which the position could be closed now, in ticks; None before the first quote of that side."""
        quote = self._quotes.get(position.instrument_id)
        if quote is None:
            return None
        if position.quantity >= 0:
            return quote.bid_ticks if quote.bid_quantity else None
        return quote.ask_ticks if quote.ask_quantity else None

    def unrealised(self, position: Position) -> int:
        """Profit if it were closed at its mark, in money units; 0 where there is no mark."""
        mark = self.mark_ticks(position)
        return 0 if mark is None else position.unrealised(mark, self._multipliers[position.instrument_id])

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Keep the newest quote as the mark."""
        self._quotes[quote.instrument_id] = quote

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Apply a fill, once."""
        if type(report) is not OrderFilled or report.side is None:
            return
        if report.sequence <= self._sequences.get(report.account_id, 0):
            self.ignored += 1
            return
        self._sequences[report.account_id] = report.sequence
        key = (report.account_id, report.instrument_id)
        position = self._positions.get(key) or Position(*key)
        multiplier = self._multipliers[report.instrument_id]
        position = position.after_fill(report.side, report.quantity, report.price_ticks, multiplier)
        self._positions[key] = position
        ctx.publish(
            PositionChanged(
                sequence=report.sequence,
                now_ns=ctx.now_ns,
                strategy_id=report.strategy_id,
                position=position,
                mark_ticks=self.mark_ticks(position) or 0,
                unrealised=self.unrealised(position),
            )
        )

    def state(self) -> dict[str, Any]:
        """Positions, and the last event sequence applied to each account."""
        return {
            "positions": [[p.account_id, p.instrument_id, p.quantity, p.cost, p.realised] for p in self.positions()],
            "sequences": [[account, sequence] for account, sequence in sorted(self._sequences.items())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._positions = {(row[0], row[1]): Position(*row) for row in state["positions"]}
        self._sequences = dict(state["sequences"])
