"""Risk: soft limits on position, loss and order rate, from reports and prices.

The core's hard limits refuse an order; these stop the strategy that comes too near. A breach is one `RiskAlert` of
priority FLASH_CRASH to whoever listens, within the event that showed it, and where configured the kill switch of the
account. It always names the account; orders without a strategy have strategy 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from nautilus.engines.base import Context, Engine, Operation, Stream
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import KillSwitch
from nautilus.model.enums import CommandKind
from nautilus.model.errors import ConfigError
from nautilus.model.events import (
    UNASKED,
    ExecutionReport,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.position import Position
from nautilus.model.queries import GetRisk, RiskBreach, RiskState
from nautilus.model.topics import EXECUTION_REPORTS, QUOTES, RISK_ALERTS

# Profit of instruments whose money units differ is added up in units of 10^-18 of their currency.
_SCALE = 18


class RiskConfig(msgspec.Struct, frozen=True):
    """Soft limits, of each account and strategy. 0 or "": not limited.

    Parameters
    ----------
    max_position
        Lots, long or short, of one instrument.
    max_loss
        Realised and unrealised together, as a decimal in the quote currency.
    max_orders, window_ns
        New orders and replacements of a strategy in its account in the window; of a person, in the account.
    kill_switch
        A breach also sets the core's kill switch of the account.
    """

    max_position: int = 10_000
    max_loss: str = "10000"
    max_orders: int = 500
    window_ns: int = 1_000_000_000
    kill_switch: bool = False

    def __post_init__(self) -> None:
        if self.max_position < 0 or self.max_orders < 0:
            raise ConfigError("negative limit", where="risk", expected="max_position and max_orders of 0 or more")
        if self.window_ns <= 0:
            raise ConfigError(f"window_ns {self.window_ns}", where="risk", expected="more than 0")
        _ = self.loss

    @property
    def loss(self) -> int | None:
        """`max_loss` in units of 10^-18 of the currency; None: not limited."""
        if not self.max_loss:
            return None
        try:
            value = Decimal(self.max_loss)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or value <= 0 or value.adjusted() > 30:
            raise ConfigError(f"max_loss {self.max_loss!r}", where="risk", expected="a decimal number above 0")
        return int(EXACT.scaleb(value, _SCALE))


class RiskEngine(Engine):
    """Watches accounts and strategies; says once for each control that it is breached."""

    name = "risk"
    source_id = 2
    subscribes = (EXECUTION_REPORTS, QUOTES)
    publishes = (RISK_ALERTS,)
    operations = (
        Operation(
            "GET",
            "/risk/state",
            GetRisk,
            RiskState,
            "Soft limits in force, and what breached them",
            priority="high",
            fallback="error",
        ),
    )
    streams = (Stream("/streams/alerts", RISK_ALERTS, "Soft limits as they are breached"),)

    def __init__(self, config: RiskConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._max_loss = config.loss
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._scales = {key: 10 ** (_SCALE - found.currency_decimals) for key, found in self._instruments.items()}
        self._positions: dict[int, dict[int, Position]] = {}  # account -> instrument -> position
        self._places: dict[int, int] = {}
        self._strategies: dict[int, set[int]] = {}  # account -> strategies that traded in it
        # Account and strategy -> times of orders in the window. People's orders are all of strategy 0: they are told
        # apart by their accounts, and one who sends too much breaches no limit of the others.
        self._orders: dict[tuple[int, int], deque[int]] = {}
        self._quotes: dict[int, Quote] = {}
        self._breached: set[tuple[int, int, str]] = set()
        self._commands = 0

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Count orders, follow fills; a report that is not newer than the last one of its account changes nothing."""
        if not report.account_id or report.place <= self._places.get(report.account_id, 0):
            return  # an alert of account 0 would be one to everybody
        self._places[report.account_id] = report.place
        kind = type(report)
        if kind is OrderFilled:
            self._on_fill(report, ctx)
        elif (
            kind is OrderAccepted
            or (isinstance(report, OrderReplaced) and report.reason not in UNASKED)
            or (isinstance(report, OrderRejected) and report.request in (CommandKind.NEW, CommandKind.REPLACE))
        ):
            self._on_order(report, ctx)

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Value what is held at the new prices."""
        self._quotes[quote.instrument_id] = quote
        if self._max_loss is None:
            return
        for account_id, positions in self._positions.items():
            position = positions.get(quote.instrument_id)
            if position is not None and position.quantity:
                self._check_loss(account_id, position, 0, ctx)

    def on_request(self, message: Message, ctx: Context) -> Message:
        """Answer `GetRisk`."""
        if not isinstance(message, GetRisk):
            return super().on_request(message, ctx)
        config = self._config
        return RiskState(
            max_position=config.max_position,
            max_loss=config.max_loss,
            max_orders=config.max_orders,
            window_ns=config.window_ns,
            kill_switch=config.kill_switch,
            breaches=tuple(RiskBreach(*key) for key in sorted(self._breached)),
        )

    def resume(self, source_sequence: int, ctx: Context) -> None:
        """Count on above what the core has taken: the saved state may be older."""
        self._commands = max(self._commands, source_sequence)

    def state(self) -> dict[str, Any]:
        """Positions, the last report of each account, order times, and what was said already."""
        return {
            "positions": [
                list(msgspec.structs.astuple(p)) for positions in self._positions.values() for p in positions.values()
            ],
            "places": [[account, place] for account, place in self._places.items()],
            "strategies": [[account, sorted(strategies)] for account, strategies in self._strategies.items()],
            "orders": [[*key, list(times)] for key, times in self._orders.items()],
            "breached": sorted([list(key) for key in self._breached]),
            "commands": self._commands,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        for row in state["positions"]:
            self._positions.setdefault(row[0], {})[row[1]] = Position(*row)
        # As it was saved before a fill could have both sides in one account, it has sequences.
        self._places = {account: 2 * sequence + 1 for account, sequence in state.get("sequences", ())}
        self._places.update(state.get("places", ()))
        self._strategies = {account: set(strategies) for account, strategies in state["strategies"]}
        # As it was saved before accounts were part of it, a row is shorter; a window is soon full again.
        self._orders = {(row[0], row[1]): deque(row[2]) for row in state["orders"] if len(row) > 2}
        self._breached = {(account, strategy, control) for account, strategy, control in state["breached"]}
        self._commands = state["commands"]

    def _on_fill(self, report: ExecutionReport, ctx: Context) -> None:
        account_id, instrument_id = report.account_id, report.instrument_id
        if report.side is None:
            return
        self._strategies.setdefault(account_id, set()).add(report.strategy_id)
        positions = self._positions.setdefault(account_id, {})
        position = positions.get(instrument_id) or Position(account_id, instrument_id)
        multiplier = self._instruments[instrument_id].multiplier
        fee = report.fee if isinstance(report, OrderFilled) else 0
        position = position.after_fill(report.side, report.quantity, report.price_ticks, multiplier, fee)
        positions[instrument_id] = position
        limit = self._config.max_position
        if limit and abs(position.quantity) > limit:
            self._breach(report, "position", abs(position.quantity), limit, ctx)
        if self._max_loss is not None:
            self._check_loss(account_id, position, report.sequence, ctx)

    def _on_order(self, report: ExecutionReport, ctx: Context) -> None:
        limit = self._config.max_orders
        if not limit:
            return
        times = self._orders.setdefault((report.account_id, report.strategy_id), deque())
        times.append(report.now_ns)
        while times[0] <= report.now_ns - self._config.window_ns:
            times.popleft()
        if len(times) > limit:
            self._breach(report, "order_rate", len(times), limit, ctx)

    def _check_loss(self, account_id: int, changed: Position, sequence: int, ctx: Context) -> None:
        """Compare the account's profit, in the currency of the position that changed, with the limit."""
        limit = self._max_loss
        assert limit is not None
        instrument = self._instruments[changed.instrument_id]
        profit = 0
        for position in self._positions[account_id].values():
            other = self._instruments[position.instrument_id]
            if other.quote_currency != instrument.quote_currency:
                continue
            units = position.realised
            quote = self._quotes.get(position.instrument_id)
            if position.quantity > 0 and quote is not None and quote.bid_quantity:
                units += position.unrealised(quote.bid_ticks, other.multiplier)
            elif position.quantity < 0 and quote is not None and quote.ask_quantity:
                units += position.unrealised(quote.ask_ticks, other.multiplier)
            profit += units * self._scales[position.instrument_id]
        if -profit <= limit:
            return
        unit = self._scales[changed.instrument_id]
        for strategy_id in sorted(self._strategies[account_id]):
            self._alert(
                RiskAlert(
                    now_ns=ctx.now_ns,
                    strategy_id=strategy_id,
                    account_id=account_id,
                    instrument_id=changed.instrument_id,
                    control="loss",
                    value=-profit // unit,
                    limit=limit // unit,
                    sequence=sequence,
                ),
                ctx,
            )

    def _breach(self, report: ExecutionReport, control: str, value: int, limit: int, ctx: Context) -> None:
        self._alert(
            RiskAlert(
                now_ns=ctx.now_ns,
                strategy_id=report.strategy_id,
                account_id=report.account_id,
                instrument_id=report.instrument_id,
                control=control,
                value=value,
                limit=limit,
                sequence=report.sequence,
            ),
            ctx,
        )

    def _alert(self, alert: RiskAlert, ctx: Context) -> None:
        key = (alert.account_id, alert.strategy_id, alert.control)
        if key in self._breached:
            return
        self._breached.add(key)
        ctx.publish(alert)
        if self._config.kill_switch:
            self._commands += 1
            ctx.send(
                "trading",
                KillSwitch(account_id=alert.account_id, source_id=self.source_id, source_sequence=self._commands),
            )
