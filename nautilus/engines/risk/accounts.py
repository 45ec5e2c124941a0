"""Limits of each account and strategy that stop strategies: position, loss and order rate.

The core's hard limits refuse an order; these stop the strategy that comes too near. A breach is one `RiskAlert` for
each control of an account and strategy, within the event that showed it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from nautilus.engines.risk.config import SCALE, RiskConfig
from nautilus.model.alerts import RiskAlert
from nautilus.model.enums import Side
from nautilus.model.events import ExecutionReport, InstrumentSplit
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.position import Position


class AccountLimits:
    """Follows accounts' positions, profit and orders.

    The profit of an account is kept in units of 10^-18 of each currency, and moved by the one position that changed.
    """

    def __init__(self, config: RiskConfig, instruments: Mapping[int, Instrument]) -> None:
        self._config = config
        self._max_loss = config.loss
        self._instruments = instruments
        self._scales = {key: 10 ** (SCALE - found.currency_decimals) for key, found in instruments.items()}
        self.positions: dict[int, dict[int, Position]] = {}
        """Account, then instrument."""
        self._ranks: dict[int, int] = {}
        self._holders: dict[int, list[tuple[int, int]]] = {}  # instrument -> rank and account of its positions
        self._profits: dict[tuple[int, str], int] = {}  # account and currency -> profit
        self._shares: dict[tuple[int, int], int] = {}  # account and instrument -> part in it
        self._strategies: dict[int, set[int]] = {}  # account -> strategies that traded in it
        # Account and strategy -> times of orders in the window. People's orders are all of strategy 0: they are told
        # apart by their accounts, and one who sends too much breaches no limit of the others.
        self._orders: dict[tuple[int, int], deque[int]] = {}
        self._quotes: dict[int, Quote] = {}
        self.breached: set[tuple[int, int, str]] = set()

    def fill(self, report: ExecutionReport, side: Side, lots: int, fee: int, now_ns: int) -> list[RiskAlert]:
        """A fill, or a position booked by hand."""
        account_id, instrument_id = report.account_id, report.instrument_id
        self._strategies.setdefault(account_id, set()).add(report.strategy_id)
        positions = self.positions.get(account_id) or {}
        position = positions.get(instrument_id) or Position(account_id, instrument_id)
        multiplier = self._instruments[instrument_id].multiplier
        position = position.after_fill(side, lots, report.price_ticks, multiplier, fee)
        self._set(position)
        alerts: list[RiskAlert] = []
        limit = self._config.max_position
        if limit and abs(position.quantity) > limit:
            self._breach(alerts, report, "position", abs(position.quantity), limit, now_ns)
        if self._max_loss is not None:
            self._check_loss(alerts, position, report.sequence, now_ns)
        return alerts

    def split(self, report: InstrumentSplit) -> None:
        """Every position became floor(lots x new / old), its cost as it was; older prices mean nothing any more."""
        self._quotes.pop(report.instrument_id, None)
        for _, account_id in self._holders.get(report.instrument_id, ()):
            found = self.positions[account_id][report.instrument_id]
            lots = abs(found.quantity) * report.quantity // report.old * (1 if found.quantity > 0 else -1)
            cost, realised = (found.cost, found.realised) if lots else (0, found.realised + found.cost)
            self._set(Position(account_id, report.instrument_id, lots, cost, realised, found.fees))

    def quote(self, quote: Quote, now_ns: int) -> list[RiskAlert]:
        """Value what is held at the new prices."""
        self._quotes[quote.instrument_id] = quote
        alerts: list[RiskAlert] = []
        if self._max_loss is None:
            return alerts
        for _, account_id in self._holders.get(quote.instrument_id, ()):
            position = self.positions[account_id][quote.instrument_id]
            if position.quantity:
                self._revalue(position)
                self._check_loss(alerts, position, 0, now_ns)
        return alerts

    def order(self, report: ExecutionReport, now_ns: int) -> list[RiskAlert]:
        """A new order or a replacement."""
        limit = self._config.max_orders
        if not limit:
            return []
        times = self._orders.setdefault((report.account_id, report.strategy_id), deque())
        times.append(report.now_ns)
        while times[0] <= report.now_ns - self._config.window_ns:
            times.popleft()
        alerts: list[RiskAlert] = []
        if len(times) > limit:
            self._breach(alerts, report, "order_rate", len(times), limit, now_ns)
        return alerts

    def state(self) -> dict[str, Any]:
        """Positions, order times, and what was said already."""
        return {
            "positions": [
                list(msgspec.structs.astuple(p)) for positions in self.positions.values() for p in positions.values()
            ],
            "strategies": [[account, sorted(strategies)] for account, strategies in self._strategies.items()],
            "orders": [[*key, list(times)] for key, times in self._orders.items()],
            "breached": sorted([list(key) for key in self.breached]),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave."""
        for row in state["positions"]:
            self._set(Position(*row))
        self._strategies = {account: set(strategies) for account, strategies in state["strategies"]}
        # As it was saved before accounts were part of it, a row is shorter; a window is soon full again.
        self._orders = {(row[0], row[1]): deque(row[2]) for row in state["orders"] if len(row) > 2}
        self.breached = {(account, strategy, control) for account, strategy, control in state["breached"]}

    def _set(self, position: Position) -> None:
        account_id, instrument_id = position.account_id, position.instrument_id
        held = self.positions.setdefault(account_id, {})
        if instrument_id not in held:
            rank = self._ranks.setdefault(account_id, len(self._ranks))
            insort(self._holders.setdefault(instrument_id, []), (rank, account_id))
        held[instrument_id] = position
        self._revalue(position)

    def _revalue(self, position: Position) -> None:
        """Bring the account's profit to what the position has made by now."""
        instrument_id = position.instrument_id
        instrument = self._instruments[instrument_id]
        units = position.realised
        quote = self._quotes.get(instrument_id)
        if position.quantity > 0 and quote is not None and quote.bid_quantity:
            units += position.unrealised(quote.bid_ticks, instrument.multiplier)
        elif position.quantity < 0 and quote is not None and quote.ask_quantity:
            units += position.unrealised(quote.ask_ticks, instrument.multiplier)
        share = units * self._scales[instrument_id]
        key, whole = (position.account_id, instrument_id), (position.account_id, instrument.quote_currency)
        self._profits[whole] = self._profits.get(whole, 0) + share - self._shares.get(key, 0)
        self._shares[key] = share

    def _check_loss(self, alerts: list[RiskAlert], changed: Position, sequence: int, now_ns: int) -> None:
        """Compare the account's profit, in the currency of the position that changed, with the limit."""
        limit = self._max_loss
        assert limit is not None
        account_id = changed.account_id
        profit = self._profits[account_id, self._instruments[changed.instrument_id].quote_currency]
        if -profit <= limit:
            return
        unit = self._scales[changed.instrument_id]
        for strategy_id in sorted(self._strategies[account_id]):
            self._alert(
                alerts,
                RiskAlert(
                    now_ns=now_ns,
                    strategy_id=strategy_id,
                    account_id=account_id,
                    instrument_id=changed.instrument_id,
                    control="loss",
                    value=-profit // unit,
                    limit=limit // unit,
                    sequence=sequence,
                ),
            )

    def _breach(
        self, alerts: list[RiskAlert], report: ExecutionReport, control: str, value: int, limit: int, now_ns: int
    ) -> None:
        self._alert(
            alerts,
            RiskAlert(
                now_ns=now_ns,
                strategy_id=report.strategy_id,
                account_id=report.account_id,
                instrument_id=report.instrument_id,
                control=control,
                value=value,
                limit=limit,
                sequence=report.sequence,
            ),
        )

    def _alert(self, alerts: list[RiskAlert], alert: RiskAlert) -> None:
        key = (alert.account_id, alert.strategy_id, alert.control)
        if key not in self.breached:
            self.breached.add(key)
            alerts.append(alert)


__all__ = ["AccountLimits"]
