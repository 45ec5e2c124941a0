"""Moving-average momentum: long while the short average of the mid is above the long one, else short."""

from __future__ import annotations

import math

import msgspec

from nautilus.engines.strategy.base import Strategy
from nautilus.engines.strategy.desk import Desk
from nautilus.model.enums import TimeInForce
from nautilus.model.errors import ConfigError
from nautilus.model.marketdata import Quote


class MomentumConfig(msgspec.Struct, frozen=True):
    """Settings of the momentum strategy.

    Parameters
    ----------
    quantity
        Lots held, long or short.
    fast_ns, slow_ns
        Time constants of the two exponential averages.
    threshold_bps
        The averages must be this far apart before it turns.
    slippage_bps
        How far through the touch its immediate-or-cancel orders may trade.
    """

    quantity: int = 10
    fast_ns: int = 2_000_000_000
    slow_ns: int = 10_000_000_000
    threshold_bps: float = 0.5
    slippage_bps: float = 1.0

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ConfigError(f"quantity {self.quantity}", where="momentum", expected="1 or more")
        if not 0 < self.fast_ns < self.slow_ns:
            raise ConfigError(
                f"fast_ns {self.fast_ns} and slow_ns {self.slow_ns}", where="momentum", expected="0 < fast_ns < slow_ns"
            )
        for name in ("threshold_bps", "slippage_bps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} {getattr(self, name)}", where="momentum", expected="0 or more")


class _Averages:
    """Time-weighted exponential averages of one instrument's mid."""

    __slots__ = ("fast", "slow", "start_ns", "time_ns")

    def __init__(self, mid: float, now_ns: int) -> None:
        self.fast = self.slow = mid
        self.start_ns = self.time_ns = now_ns

    def add(self, mid: float, now_ns: int, config: MomentumConfig) -> None:
        elapsed = now_ns - self.time_ns
        if elapsed > 0:
            self.time_ns = now_ns
            self.fast += (mid - self.fast) * -math.expm1(-elapsed / config.fast_ns)
            self.slow += (mid - self.slow) * -math.expm1(-elapsed / config.slow_ns)


class Momentum(Strategy):
    """Turns with immediate-or-cancel orders; at most one is on its way for an instrument."""

    name = "momentum"

    def __init__(self, config: MomentumConfig | None = None) -> None:
        self._config = config or MomentumConfig()
        self._averages: dict[int, _Averages] = {}
        self._orders: dict[int, int] = {}

    def on_quote(self, quote: Quote, ctx: Desk) -> None:
        """Follow the mid; turn when the averages have crossed far enough."""
        if not (quote.bid_quantity and quote.ask_quantity):
            return
        instrument_id = quote.instrument_id
        config = self._config
        mid = quote.mid_ticks
        averages = self._averages.get(instrument_id)
        if averages is None:
            self._averages[instrument_id] = _Averages(mid, quote.now_ns)
            return
        averages.add(mid, quote.now_ns, config)
        if quote.now_ns - averages.start_ns < config.slow_ns:
            return  # the slow average has not seen its own length yet
        gap = averages.fast - averages.slow
        if abs(gap) < abs(mid) * config.threshold_bps / 10_000:
            return
        target = config.quantity if gap > 0 else -config.quantity
        change = target - ctx.position(instrument_id)
        if not change or self._orders.get(instrument_id, 0) in ctx.orders:
            return
        instrument = ctx.instruments[instrument_id]
        slip = abs(mid) * config.slippage_bps / 10_000
        if change > 0:
            price = instrument.round_ticks(quote.ask_ticks + slip, up=True)
            order_id = ctx.buy(instrument_id, change, price, time_in_force=TimeInForce.IOC)
        else:
            price = instrument.round_ticks(quote.bid_ticks - slip, up=False)
            order_id = ctx.sell(instrument_id, -change, price, time_in_force=TimeInForce.IOC)
        self._orders[instrument_id] = order_id
