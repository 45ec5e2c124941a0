"""Portfolio: positions and profit from fills, equal to the core's to the last money unit.

Fills are keyed by their place among the reports: what is not newer than the last one applied to its account is ignored,
so a report that arrives twice, or again after a restart, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from nautilus.engines.base import Context, Engine, Operation, Stream
from nautilus.model.errors import ConfigError
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.lots import Lots
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetPositions, PositionEntry, Positions
from nautilus.model.topics import EXECUTION_REPORTS, POSITIONS, QUOTES

# An average price is no whole number of ticks: it is told this many decimals finer, rounded half to even.
_AVERAGE_DECIMALS = 4
AVERAGE, FIFO = METHODS = ("average", "fifo")


class PortfolioConfig(msgspec.Struct, frozen=True):
    """Settings of positions.

    Parameters
    ----------
    method
        What a fill that closes takes out: ``average`` cost, or ``fifo``, the oldest lots first. The core opens its
        accounts accordingly, so both always have the same figures.

    Raises
    ------
    ConfigError
        Another method.
    """

    method: str = "average"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method {self.method!r}", where="portfolio", expected=" or ".join(METHODS))


_READ: dict[str, Any] = {"priority": "high", "fallback": "last"}


class PortfolioEngine(Engine):
    """Follows every account's positions."""

    name = "portfolio"
    subscribes = (EXECUTION_REPORTS, QUOTES)
    publishes = (POSITIONS,)
    operations = (
        Operation("GET", "/positions", GetPositions, Positions, "Positions of every account, with profit", **_READ),
        Operation(
            "GET", "/positions/{account_id}", GetPositions, Positions, "Positions of an account, with profit", **_READ
        ),
    )
    streams = (Stream("/streams/positions", POSITIONS, "Positions as they change"),)

    def __init__(self, config: PortfolioConfig, instruments: Iterable[Instrument]) -> None:
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._multipliers = {key: instrument.multiplier for key, instrument in self._instruments.items()}
        self._positions: dict[tuple[int, int], Position] = {}
        # Of every position, where the method is first in, first out.
        self._lots: dict[tuple[int, int], Lots] | None = {} if config.method == FIFO else None
        self._places: dict[int, int] = {}
        self._last_sequence = 0
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
        self._last_sequence = max(self._last_sequence, report.sequence)
        if type(report) is not OrderFilled or report.side is None:
            return
        if report.place <= self._places.get(report.account_id, 0):
            self.ignored += 1
            return
        self._places[report.account_id] = report.place
        key = (report.account_id, report.instrument_id)
        position = self._positions.get(key) or Position(*key)
        multiplier = self._multipliers[report.instrument_id]
        fill = (report.side, report.quantity, report.price_ticks, multiplier, report.fee)
        if self._lots is None:
            position = position.after_fill(*fill)
        else:
            position = self._lots.setdefault(key, Lots()).after_fill(position, *fill)
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

    def on_request(self, message: Message, ctx: Context) -> Message:
        """Answer `GetPositions`."""
        if not isinstance(message, GetPositions):
            return super().on_request(message, ctx)
        wanted = message.account_id
        entries = [self._entry(found) for found in self.positions() if wanted in (0, found.account_id)]
        return Positions(tuple(entries), self._last_sequence)

    def state(self) -> dict[str, Any]:
        """Positions, the last fill applied to each account, and the last event that was seen."""
        return {
            "last_sequence": self._last_sequence,
            "positions": [list(msgspec.structs.astuple(position)) for position in self.positions()],
            "places": [[account, place] for account, place in sorted(self._places.items())],
            "lots": [[*key, lots.rows()] for key, lots in sorted((self._lots or {}).items())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._positions = {(row[0], row[1]): Position(*row) for row in state["positions"]}
        # As it was saved before a fill could have both sides in one account, it has sequences.
        self._places = {account: 2 * sequence + 1 for account, sequence in state.get("sequences", ())}
        self._places.update(state.get("places", ()))
        self._last_sequence = state["last_sequence"]
        self._restore_lots(state.get("lots", ()))

    def _restore_lots(self, saved: Iterable[Any]) -> None:
        """The lots as they were; what was saved by average cost is one lot of each position, without a price."""
        if self._lots is None:
            return
        self._lots = {(account, instrument): Lots(rows) for account, instrument, rows in saved}
        for key, position in self._positions.items():
            if position.quantity and key not in self._lots:
                self._lots[key] = Lots([[abs(position.quantity), 0, position.cost]])

    def _entry(self, position: Position) -> PositionEntry:
        instrument = self._instruments[position.instrument_id]
        average = ""
        if position.quantity:
            ticks = EXACT.divide(Decimal(-position.cost), Decimal(position.quantity * instrument.multiplier))
            step = EXACT.scaleb(instrument.price_increment, -_AVERAGE_DECIMALS)
            average = _text(EXACT.quantize(EXACT.multiply(ticks, instrument.price_increment), step))
        return PositionEntry(
            account_id=position.account_id,
            instrument_id=position.instrument_id,
            symbol=instrument.symbol,
            quantity=_text(instrument.quantity(position.quantity)),
            average_price=average,
            realised=_text(instrument.money(position.realised)),
            unrealised=_text(instrument.money(self.unrealised(position))),
            currency=instrument.quote_currency,
            quantity_lots=position.quantity,
            cost_units=str(position.cost),
            realised_units=str(position.realised),
            fees=_text(instrument.money(position.fees)),
            fees_units=str(position.fees),
        )


def _text(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
