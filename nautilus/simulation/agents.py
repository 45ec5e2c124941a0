"""The agents of the simulated market: each wakes now and then, looks at the market, and sends orders.

All randomness of an agent comes from its own seeded generator. Prices are ticks, quantities lots, `edge` and `spread`
parts of the price. Order flow moves prices through the makers: they see each trade and shift what they hold fair,
so that informed traders, who know the value, draw the price to it, and makers that were run over quote wider.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import exp, inf, sqrt
from random import Random
from typing import TYPE_CHECKING, Protocol

from nautilus.core.types import Side
from nautilus.simulation.config import SimulationConfig

if TYPE_CHECKING:
    from nautilus.simulation.desk import Desk

BUY, SELL = int(Side.BUY), int(Side.SELL)
BPS = 1e-4


class View(Protocol):
    """What an agent sees of the market when it wakes."""

    now_ns: int
    bids: list[tuple[int, int]]  # (price, quantity), best first
    asks: list[tuple[int, int]]
    mid: float  # the last known one where a side is empty
    volatility: float  # recent, as part of the price per square root of a second
    signed_lots: int  # bought less sold by aggressors, since the market began
    value: float  # the latent fundamental value, in ticks; only informed traders may look

    def takeable(self, side: int) -> int:
        """Lots that an aggressor on `side` may take and leave the market two-sided."""
        ...


class Agent(ABC):
    """One participant with an account and a desk that keeps its orders.

    Parameters
    ----------
    desk : sends its orders and knows its position.
    every_seconds : mean time between two wakings; the time itself is exponential.
    """

    def __init__(self, desk: Desk, config: SimulationConfig, random: Random, every_seconds: float) -> None:
        self.desk = desk
        self.config = config
        self.random = random
        self._mean_ns = every_seconds * 1e9

    def wait_ns(self) -> int:
        """Time until the next waking."""
        return 1 + int(self.random.expovariate(1.0) * self._mean_ns)

    @abstractmethod
    def act(self, view: View) -> None:
        """Look at the market and send orders to the desk."""

    def _lots(self, mean: float) -> int:
        return 1 + int(self.random.expovariate(1.0) * mean)

    def _take(self, view: View, side: int, lots: int, limit_ticks: int = 0) -> None:
        """Take up to `lots` at once, at any price or at `limit_ticks` and better."""
        lots = min(lots, view.takeable(side))
        if lots > 0:
            self.desk.take(view.now_ns, side, lots, limit_ticks)


class MarketMaker(Agent):
    """Quotes several levels on both sides around what it holds fair.

    The half spread grows with recent volatility and with `stress`, which each own fill raises and time heals. The
    centre leans away from the inventory. Orders that stand near enough to where they should are left alone.
    """

    def __init__(self, desk: Desk, config: SimulationConfig, random: Random) -> None:
        super().__init__(desk, config, random, config.maker_seconds)
        self._fair = float(config.initial_price_ticks)
        self._seen_lots = 0
        self._stress = 0.0
        self._last_ns = 0
        self._filled = 0

    def act(self, view: View) -> None:
        self._learn(view)
        half = self._half_spread(view)
        held = self.desk.position / self.config.maker_lots
        centre = self._fair - max(-2.5, min(2.5, self.config.skew * held)) * half
        moved_up = centre > view.mid
        # The side that gives way goes first, so that no quote meets an own one that is still to be moved.
        for side in (SELL, BUY) if moved_up else (BUY, SELL):
            self._quote(view, side, centre, half)

    def _learn(self, view: View) -> None:
        seconds = (view.now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0
        self._last_ns = view.now_ns
        self._stress *= exp(-seconds / self.config.stress_seconds)
        self._stress += self.config.stress * (self.desk.filled_lots - self._filled) / self.config.maker_lots
        self._stress = min(self._stress, 20.0)
        self._filled = self.desk.filled_lots
        flow = view.signed_lots - self._seen_lots
        self._seen_lots = view.signed_lots
        self._fair *= 1 + self.config.impact_bps * BPS * flow / self.config.typical_lots
        # Each maker errs a little on its own and follows the others slowly.
        self._fair += (view.mid - self._fair) * min(1.0, seconds / self.config.follow_seconds)

    def _half_spread(self, view: View) -> float:
        part = self.config.half_spread_bps * BPS * (1 + self._stress) + self.config.volatility_weight * view.volatility
        return max(self._fair * part, 0.5)

    def _quote(self, view: View, side: int, centre: float, half: float) -> None:
        orders = self.desk.resting(side)
        touch = self._opposite_touch(view, side)
        for i in range(self.config.maker_levels):
            away = half * (1 + self.config.level_spacing * i)
            price = self.desk.round(centre - away if side == BUY else centre + away, side)
            if touch:
                price = min(price, self.desk.before(touch)) if side == BUY else max(price, self.desk.after(touch))
            lots = int(self.config.maker_lots * (1 + 0.5 * i))
            if i >= len(orders):
                self.desk.quote(view.now_ns, side, price, lots)
                continue
            order = orders[i]
            near = abs(order.price - price) <= self.config.patience * half and (
                not touch or self._passive(order.price, touch, side)
            )
            if not near or 2 * order.leaves < lots:
                self.desk.move(view.now_ns, order, price, lots)

    def _opposite_touch(self, view: View, side: int) -> int:
        """Best opposite price that is not this maker's alone; 0 for none."""
        own = self.desk.quantities(SELL if side == BUY else BUY)
        for price, quantity in view.asks if side == BUY else view.bids:
            if quantity > own.get(price, 0):
                return price
        return 0

    @staticmethod
    def _passive(price: int, touch: int, side: int) -> bool:
        return price < touch if side == BUY else price > touch


class NoiseTrader(Agent):
    """Trades for reasons of its own: takes at random, or rests an order near the touch for a few seconds."""

    def __init__(self, desk: Desk, config: SimulationConfig, random: Random) -> None:
        super().__init__(desk, config, random, config.noise_seconds)

    def act(self, view: View) -> None:
        side = BUY if self.random.random() < 0.5 else SELL
        lots = self._lots(0.5 * self.config.typical_lots)
        if self.random.random() < 0.55 or not (view.bids and view.asks):
            self._take(view, side, lots)
            return
        bid, ask = view.bids[0][0], view.asks[0][0]
        away = int(self.random.expovariate(1.0) * (ask - bid)) - (ask - bid) // 3
        price = self.desk.round(bid - away, BUY) if side == BUY else self.desk.round(ask + away, SELL)
        price = min(price, self.desk.before(ask)) if side == BUY else max(price, self.desk.after(bid))
        rest_ns = int((0.5 + self.random.expovariate(0.4)) * 1e9)
        self.desk.rest(view.now_ns, side, price, lots, view.now_ns + rest_ns)


class MomentumTrader(Agent):
    """Follows the trend: takes in the direction in which a quick average has left a slow one."""

    def __init__(self, desk: Desk, config: SimulationConfig, random: Random) -> None:
        super().__init__(desk, config, random, config.momentum_seconds)
        self._quick = self._slow = float(config.initial_price_ticks)
        self._last_ns = 0
        self._horizon = 0.5 + 2.0 * random.random()

    def act(self, view: View) -> None:
        seconds = (view.now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0
        self._last_ns = view.now_ns
        self._quick += (view.mid - self._quick) * (1 - exp(-seconds / self._horizon))
        self._slow += (view.mid - self._slow) * (1 - exp(-seconds / (6 * self._horizon)))
        trend = (self._quick / self._slow - 1) / (self.config.momentum_bps * BPS)
        most = 4 * self.config.typical_lots
        wanted = int(max(-1.0, min(1.0, trend)) * most) if abs(trend) > 0.5 else 0
        missing = wanted - self.desk.position
        if abs(missing) > self.config.typical_lots // 4:
            lots = min(abs(missing), self._lots(0.5 * self.config.typical_lots))
            self._take(view, BUY if missing > 0 else SELL, lots)


class InformedTrader(Agent):
    """Knows the value: takes what is offered cheaper, or bid dearer, than it by more than its edge."""

    def __init__(self, desk: Desk, config: SimulationConfig, random: Random) -> None:
        super().__init__(desk, config, random, config.informed_seconds)

    def act(self, view: View) -> None:
        edge = view.value * self.config.informed_edge_bps * BPS
        lots = self._lots(0.7 * self.config.typical_lots)
        if view.asks and view.asks[0][0] < view.value - edge:
            self._take(view, BUY, lots, self.desk.round(view.value - edge, BUY))
        elif view.bids and view.bids[0][0] > view.value + edge:
            self._take(view, SELL, lots, self.desk.round(view.value + edge, SELL))


class Fundamental:
    """The latent value: in logarithms a mean-reverting diffusion with jumps.

    Stepped with the exact solution of the Ornstein-Uhlenbeck process over any interval (Uhlenbeck and Ornstein
    1930); jumps come as a Poisson process with normal sizes (Merton 1976).
    """

    def __init__(self, config: SimulationConfig, random: Random) -> None:
        self._config = config
        self._random = random
        self._log = 0.0
        self._last_ns = 0
        self._jump_in = self._until_jump()

    def at(self, now_ns: int) -> float:
        """Value in ticks; times must not go back."""
        config = self._config
        seconds = (now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0
        self._last_ns = now_ns
        if seconds > 0:
            keep = exp(-seconds / config.reversion_seconds)
            spread = config.volatility_bps * BPS * sqrt(config.reversion_seconds / 2 * (1 - keep * keep))
            self._log = self._log * keep + spread * self._random.gauss(0.0, 1.0)
            self._jump_in -= seconds
            while self._jump_in <= 0:
                self._log += config.jump_bps * BPS * self._random.gauss(0.0, 1.0)
                self._jump_in += self._until_jump()
        return config.initial_price_ticks * exp(self._log)

    def _until_jump(self) -> float:
        rate = self._config.jumps_per_minute
        return self._random.expovariate(1.0) * 60 / rate if rate else inf


__all__ = ["Agent", "Fundamental", "InformedTrader", "MarketMaker", "MomentumTrader", "NoiseTrader", "View"]
