"""Quoting around the mid, with inventory skew: a small market maker."""

from __future__ import annotations

import math

import msgspec

from nautilus.engines.strategy.base import Strategy
from nautilus.engines.strategy.desk import Desk
from nautilus.model.enums import OrderState, Side
from nautilus.model.errors import ConfigError
from nautilus.model.marketdata import Quote


class QuotingConfig(msgspec.Struct, frozen=True):
    """Settings of the quoting strategy.

    Parameters
    ----------
    quantity
        Lots of each quote.
    max_position
        Lots, long or short, at which it stops quoting on the side that adds.
    half_spread_bps
        Least distance from the mid; half the market's own spread where that is wider.
    skew
        How far a full position moves both quotes against it, in half spreads.
    requote_bps
        A quote moves when it is at least this far from where it should be.
    interval_ns
        Least time between two looks at the quotes.
    """

    quantity: int = 10
    max_position: int = 100
    half_spread_bps: float = 0.2
    skew: float = 1.0
    requote_bps: float = 0.1
    interval_ns: int = 100_000_000

    def __post_init__(self) -> None:
        if self.quantity < 1 or self.max_position < self.quantity:
            raise ConfigError(
                f"quantity {self.quantity} with max_position {self.max_position}",
                where="quoting",
                expected="1 <= quantity <= max_position",
            )
        for name in ("half_spread_bps", "skew", "requote_bps", "interval_ns"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} {getattr(self, name)}", where="quoting", expected="0 or more")


class Quoting(Strategy):
    """Keeps a bid and an ask around the mid; what it holds moves both against the position."""

    name = "quoting"

    def __init__(self, config: QuotingConfig | None = None) -> None:
        self._config = config or QuotingConfig()
        self._quotes: dict[tuple[int, Side], int] = {}
        self._due_ns: dict[int, int] = {}

    def on_quote(self, quote: Quote, ctx: Desk) -> None:
        """Move the quotes where the market moved away from them."""
        now_ns = quote.now_ns
        instrument_id = quote.instrument_id
        if now_ns < self._due_ns.get(instrument_id, 0) or not (quote.bid_quantity and quote.ask_quantity):
            return
        config = self._config
        self._due_ns[instrument_id] = now_ns + config.interval_ns
        instrument = ctx.instruments[instrument_id]
        mid = quote.mid_ticks
        half = max(quote.spread_ticks / 2, abs(mid) * config.half_spread_bps / 10_000)
        position = ctx.position(instrument_id)
        centre = mid - config.skew * half * position / config.max_position
        step = instrument.step_at(int(mid))
        bid = min(instrument.round_ticks(centre - half, up=False), quote.ask_ticks - step)
        ask = max(instrument.round_ticks(centre + half, up=True), quote.bid_ticks + step)
        threshold = max(step, abs(mid) * config.requote_bps / 10_000)
        room = config.max_position - position
        self._quote(instrument_id, Side.BUY, bid, min(config.quantity, room), threshold, ctx)
        self._quote(instrument_id, Side.SELL, ask, min(config.quantity, 2 * config.max_position - room), threshold, ctx)

    def _quote(self, instrument_id: int, side: Side, price: int, lots: int, threshold: float, ctx: Desk) -> None:
        key = (instrument_id, side)
        order = ctx.orders.get(self._quotes.get(key, 0))
        if order is None:
            if lots > 0:
                place = ctx.buy if side == Side.BUY else ctx.sell
                self._quotes[key] = place(instrument_id, lots, price, post_only=True)
        elif order.state != OrderState.OPEN:
            return
        elif lots <= 0:
            ctx.cancel(order.order_id)
        elif abs(order.price_ticks - price) >= threshold:
            ctx.replace(order.order_id, price, order.quantity - order.leaves_quantity + lots)
