"""Orders as they are carried out, with the market around them: what the cost of trading is computed from.

The price at arrival is the middle of the last quote when the core took the order (or sent it to its venue); the
market's average price is that of the trades seen while the order was open.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np

from nautilus.maths.errors import Undefined
from nautilus.maths.transaction_costs import OrderCosts, order_costs
from nautilus.model.attribution import OrderCost, TransactionCosts
from nautilus.model.basis import Basis
from nautilus.model.enums import CommandKind, RecordFlag, Side
from nautilus.model.events import (
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderReplaced,
    OrderRouted,
)
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records

METHOD = "implementation shortfall (Perold 1988); arrival: middle of the quote when the order was taken"
SYNTHETIC = int(RecordFlag.SYNTHETIC)
_COSTS = ("arrival_bps", "vwap_bps", "shortfall", "shortfall_bps")
OPEN, FILLED, CANCELLED, EXPIRED = "open", "filled", "cancelled", "expired"


class Execution(msgspec.Struct):
    """One order. Prices are in ticks, quantities in lots; 0 prices are not known.

    `arrival_ticks` and `end_ticks` are middles of quotes, so they may lie between ticks; `market_value` and
    `market_quantity` are sums over the market's trades. `synthetic`: one of these quotes or trades is not as a venue
    sent it (`RecordFlag.SYNTHETIC`).
    """

    order_id: int
    instrument_id: int
    side: int
    quantity: int
    begin_ns: int
    arrival_ticks: float = 0.0
    state: str = OPEN
    end_ns: int = 0
    end_ticks: float = 0.0
    fee_units: int = 0
    fills: list[tuple[int, int]] = []
    market_value: float = 0.0
    market_quantity: float = 0.0
    synthetic: bool = False

    @property
    def filled(self) -> int:
        """Lots."""
        return sum(quantity for _, quantity in self.fills)


class Executions:
    """The orders of every portfolio, the newest of each kept.

    Parameters
    ----------
    most
        Ended orders that are kept of a portfolio.
    """

    def __init__(self, instruments: dict[int, Instrument], most: int) -> None:
        self._instruments = instruments
        self._most = most
        self._orders: dict[int, OrderedDict[int, Execution]] = {}
        self._open: dict[int, dict[tuple[int, int], Execution]] = {}  # of an instrument
        self._middles: dict[int, float] = {}
        self._derived: set[int] = set()  # instruments whose last quote is not as a venue sent it

    def __contains__(self, portfolio_id: int) -> bool:
        return portfolio_id in self._orders

    def middle(self, instrument_id: int) -> float | None:
        """Middle of the last quote, in ticks."""
        return self._middles.get(instrument_id)

    def on_quotes(self, quotes: Records) -> None:
        """The last quote of each instrument is its market."""
        ids = quotes["instrument_id"]
        last = {instrument_id: place for place, instrument_id in enumerate(ids.tolist())}
        for instrument_id, place in last.items():
            quote = quotes[place]
            if quote["bid_quantity"] and quote["ask_quantity"]:
                self._middles[instrument_id] = (int(quote["bid_ticks"]) + int(quote["ask_ticks"])) / 2.0
                if int(quote["flags"]) & SYNTHETIC:
                    self._derived.add(instrument_id)
                else:
                    self._derived.discard(instrument_id)

    def on_trades(self, trades: Records) -> None:
        """Count the market's trades for the orders that are open in them."""
        if not self._open:
            return
        ids = trades["instrument_id"]
        for instrument_id, orders in self._open.items():
            rows = trades[ids == instrument_id]
            if not rows.size:
                continue
            quantities = rows["quantity"].astype(np.float64)
            value, quantity = float(rows["price_ticks"].astype(np.float64) @ quantities), float(quantities.sum())
            synthetic = bool((rows["flags"] & SYNTHETIC).any())
            for order in orders.values():
                order.synthetic = order.synthetic or synthetic
                order.market_value += value
                order.market_quantity += quantity

    def on_report(self, report: ExecutionReport) -> None:
        """Follow an order. The caller passes each report once."""
        kind = type(report)
        if kind is OrderAccepted or (isinstance(report, OrderRouted) and report.request == CommandKind.NEW):
            self._begin(report)
            return
        orders = self._orders.get(report.account_id)
        order = orders.get(report.order_id) if orders else None
        if order is None:
            return
        if isinstance(report, OrderFilled):
            order.fills.append((report.price_ticks, report.quantity))
            order.fee_units += report.fee
            if order.filled > order.quantity:  # an external venue's late fill
                order.quantity = order.filled
            if not report.leaves_quantity:
                self._end(report, order, FILLED)
        elif kind is OrderReplaced:
            order.quantity = max(report.quantity, order.filled)
        elif kind in (OrderCancelled, OrderExpired) and not report.leaves_quantity:
            self._end(report, order, CANCELLED if kind is OrderCancelled else EXPIRED)

    def costs(self, portfolio_id: int, order_id: int = 0) -> TransactionCosts:
        """Cost of the orders of a portfolio, the newest first; or of one of them."""
        orders = self._orders.get(portfolio_id) or OrderedDict()
        wanted = [each for each in reversed(orders.values()) if order_id in (0, each.order_id)]
        if order_id and not wanted:
            raise Undefined("empty", f"order {order_id}", expected="an order of the portfolio that is still kept")
        lines = [self._cost(each) for each in wanted]
        undefined: dict[str, str] = {}
        totals: dict[str, float | None] = dict.fromkeys(("arrival_bps", "vwap_bps", "shortfall_bps"))
        # Sizes in several currencies have no sum, and so no mean weighted by them.
        if len({self._instruments[each.instrument_id].quote_currency for each in wanted}) > 1:
            undefined.update(dict.fromkeys(totals, "mismatch"))
        else:
            totals = {name: self._mean(lines, name, undefined) for name in totals}
        times = [each.begin_ns for each in wanted]
        end_ns = max((each.end_ns for each in wanted), default=0)
        synthetic = any(each.synthetic for each in wanted)
        basis = Basis(METHOD, len(lines), min(times, default=0), end_ns, "star", synthetic=synthetic)
        return TransactionCosts(portfolio_id, tuple(lines), basis=basis, undefined=undefined, **totals)

    def state(self) -> list[list[Any]]:
        """Plain values for `Engine.state`."""
        return [
            [portfolio_id, [list(msgspec.structs.astuple(each)) for each in orders.values()]]
            for portfolio_id, orders in self._orders.items()
        ]

    def restore(self, state: list[list[Any]]) -> None:
        """Take over what `state` gave."""
        for portfolio_id, rows in state:
            kept = self._orders[portfolio_id] = OrderedDict()
            for row in rows:
                order = Execution(*row)
                order.fills = [(price, quantity) for price, quantity in order.fills]
                kept[order.order_id] = order
                if order.state == OPEN:
                    self._open.setdefault(order.instrument_id, {})[portfolio_id, order.order_id] = order

    def _begin(self, report: ExecutionReport) -> None:
        orders = self._orders.setdefault(report.account_id, OrderedDict())
        if report.order_id in orders or report.side is None or report.instrument_id not in self._instruments:
            return
        order = Execution(
            report.order_id,
            report.instrument_id,
            1 if report.side == Side.BUY else -1,
            report.quantity,
            report.now_ns,
            self._middles.get(report.instrument_id, 0.0),
            fills=[],
            synthetic=report.instrument_id in self._derived,
        )
        orders[report.order_id] = order
        self._open.setdefault(report.instrument_id, {})[report.account_id, report.order_id] = order
        while len(orders) > self._most:
            place, oldest = orders.popitem(last=False)
            self._close(report.account_id, place, oldest)

    def _end(self, report: ExecutionReport, order: Execution, state: str) -> None:
        order.state, order.end_ns = state, report.now_ns
        order.end_ticks = self._middles.get(order.instrument_id, 0.0)
        order.synthetic = order.synthetic or order.instrument_id in self._derived
        self._close(report.account_id, order.order_id, order)

    def _close(self, portfolio_id: int, order_id: int, order: Execution) -> None:
        orders = self._open.get(order.instrument_id)
        if orders is not None:
            orders.pop((portfolio_id, order_id), None)
            if not orders:
                del self._open[order.instrument_id]

    def _cost(self, order: Execution) -> OrderCost:
        instrument = self._instruments[order.instrument_id]
        increment = float(instrument.price_increment)
        # What a lot counts so that price times quantity is money, contract multiplier and all.
        lot = instrument.multiplier / 10**instrument.currency_decimals / increment
        filled = order.filled
        plain: dict[str, Any] = {
            "order_id": order.order_id,
            "instrument_id": order.instrument_id,
            "symbol": instrument.symbol,
            "side": "buy" if order.side > 0 else "sell",
            "state": order.state,
            "quantity": float(instrument.quantity(order.quantity)),
            "filled": float(instrument.quantity(filled)) if filled else 0.0,
            "begin_ns": order.begin_ns,
            "end_ns": order.end_ns,
            "fees": order.fee_units / 10**instrument.currency_decimals,
        }
        prices = [price * increment for price, _ in order.fills]
        if prices:
            plain["average_price"] = sum(price * lots for price, lots in order.fills) / filled * increment
        vwap = order.market_value / order.market_quantity * increment if order.market_quantity else None
        if not order.arrival_ticks:
            missing = dict.fromkeys(("arrival_price", *_COSTS), "empty")
            return OrderCost(vwap=vwap, undefined=missing, **plain)
        ended = order.end_ticks if order.state != OPEN else self._middles.get(order.instrument_id, 0.0)
        try:
            found = order_costs(
                order.side,
                order.quantity * lot,
                prices,
                [lots * lot for _, lots in order.fills],
                arrival_price=order.arrival_ticks * increment,
                market_vwap=vwap,
                end_price=ended * increment if ended else None,
                fees=plain["fees"],
            )
        except Undefined as error:  # prices of 0 or less: no basis points of them
            return OrderCost(vwap=vwap, undefined=dict.fromkeys(_COSTS, error.code), **plain)
        return _line(found, order.arrival_ticks * increment, vwap, plain)

    @staticmethod
    def _mean(lines: list[OrderCost], name: str, undefined: dict[str, str]) -> float | None:
        """Mean over the orders that have it, weighted by what was filled; the shortfall by what was ordered.

        An order that was not filled at all has an opportunity cost too.
        """
        value = weight = 0.0
        whole = name == "shortfall_bps"
        for line in lines:
            cost, price = getattr(line, name), line.arrival_price if whole else line.average_price
            if cost is not None and price is not None:
                size = (line.quantity if whole else line.filled) * price
                value += cost * size
                weight += size
        if weight <= 0.0:
            undefined[name] = "empty"
            return None
        return value / weight


def _line(found: OrderCosts, arrival: float, vwap: float | None, plain: dict[str, Any]) -> OrderCost:
    names = {*_COSTS, "opportunity_cost", "average_price"}
    return OrderCost(
        arrival_price=arrival,
        vwap=vwap,
        arrival_bps=found.arrival_bps,
        vwap_bps=found.vwap_bps,
        opportunity_cost=found.opportunity_cost,
        shortfall=found.shortfall,
        shortfall_bps=found.shortfall_bps,
        undefined={name: code for name, code in found.undefined.items() if name in names},
        **plain,
    )


__all__ = ["METHOD", "Execution", "Executions"]
