"""A market of agents that trades by itself, deterministic given its seed.

Agents have ordinary accounts (from 1001) with generous limits and meet in the same core as the strategies. They are
event driven: each wakes at times of its own, sees the book as it is then and sends its orders. The makers keep the
market two-sided: takers leave at least half of what the makers show on a side, and a side that a strategy has taken
whole is quoted anew at once.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heapreplace
from math import exp, sqrt
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.core.types import (
    COMMAND,
    MAX_QUANTITY_LOTS,
    AccountFlag,
    CommandKind,
    EventKind,
    LimitKind,
    Reason,
    Side,
)
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.simulation.agents import Agent, Fundamental, InformedTrader, MarketMaker, MomentumTrader, NoiseTrader
from nautilus.simulation.commands import CommandRows, account_commands
from nautilus.simulation.config import SimulationConfig
from nautilus.simulation.desk import Desk

Records = NDArray[np.void]

FIRST_ACCOUNT = 1001
BUY, SELL = int(Side.BUY), int(Side.SELL)
FILLED, CANCELLED, EXPIRED, REJECTED = (
    int(kind) for kind in (EventKind.FILLED, EventKind.CANCELLED, EventKind.EXPIRED, EventKind.REJECTED)
)
VOLATILITY_SECONDS = 5.0
INSTRUMENT = Instrument(
    instrument_id=1,
    symbol="SIMUSD",
    venue="SIMULATED",
    base_currency="SIM",
    quote_currency="USD",
    tick_table=(("0", "0.1"),),
    lot_size="0.001",
    currency_decimals=4,
)


class SimulatedMarket:
    """One instrument's agents; `start`, then `step` at each `next_ns`, with all events of the core in between.

    Parameters
    ----------
    instrument : what is traded; prices begin at `config.initial_price_ticks`.
    seed : the same seed and the same events give the same commands.
    config : who trades, and how.
    """

    def __init__(
        self, instrument: Instrument = INSTRUMENT, seed: int = 1, config: SimulationConfig | None = None
    ) -> None:
        self.instrument = instrument
        self.config = config or SimulationConfig()
        if self.config.initial_price_ticks % instrument.step_at(self.config.initial_price_ticks):
            raise ConfigError(
                f"initial_price_ticks {self.config.initial_price_ticks}",
                where="simulation",
                expected=f"a price on the tick of {instrument.symbol}",
            )
        self._rows = CommandRows(instrument.instrument_id)
        self._fundamental = Fundamental(self.config, Random(f"{seed} value"))
        self.agents: list[Agent] = []
        for kind, count in (
            (MarketMaker, self.config.makers),
            (NoiseTrader, self.config.noise_traders),
            (MomentumTrader, self.config.momentum_traders),
            (InformedTrader, self.config.informed_traders),
        ):
            for _ in range(count):
                account_id = FIRST_ACCOUNT + len(self.agents)
                desk = Desk(instrument, account_id, self._rows)
                self.agents.append(kind(desk, self.config, Random(f"{seed} {account_id}")))
        self._makers = self.agents[: self.config.makers]
        self._desks = {agent.desk.account_id: agent.desk for agent in self.agents}
        self._wakings: list[tuple[int, int]] = []
        self._last_mid_ns = 0
        self._requoted = False  # at once, since somebody last woke in turn
        self._event_ns = 0
        self._variance = 0.0
        self._commands = 0
        self._trades: Counter[int] = Counter()
        # What agents see (`agents.View`).
        self.now_ns = 0
        self.bids: list[tuple[int, int]] = []
        self.asks: list[tuple[int, int]] = []
        self.mid = float(self.config.initial_price_ticks)
        self.volatility = 0.0
        self.signed_lots = 0
        self.value = self.mid

    def setup(self) -> Records:
        """COMMAND array that opens the agents' accounts and sets generous limits for them."""
        accounts = account_commands({account_id: AccountFlag(0) for account_id in self._desks})
        limits = np.zeros(2 * len(self._desks), COMMAND)
        limits["kind"] = CommandKind.LIMIT
        limits["account_id"] = np.repeat(list(self._desks), 2)
        limits["order_type"] = np.tile([LimitKind.ORDER_QUANTITY, LimitKind.POSITION], len(self._desks))
        generous = min(10_000 * self.config.typical_lots, MAX_QUANTITY_LOTS)
        limits["quantity"] = np.tile([generous, 1_000 * generous], len(self._desks))
        return np.concatenate([accounts, limits])

    def take_over(self, first_order_id: int) -> Records:
        """Go on in a core that may know earlier agents: COMMAND array that cancels their orders, ids of our own.

        A time makes a good first id: nobody sends an order a nanosecond, so a later time is beyond all ids in use.
        """
        for desk in self._desks.values():
            desk.number_from(first_order_id)
        cancels = np.zeros(len(self._desks), COMMAND)
        cancels["kind"] = CommandKind.MASS_CANCEL
        cancels["account_id"] = list(self._desks)
        return cancels

    def start(self, now_ns: int) -> Records:
        """Open the market: the makers' first quotes."""
        self._see(now_ns, [], [])
        for maker in self._makers:
            maker.act(self)
        self._wakings = [(now_ns + agent.wait_ns(), i) for i, agent in enumerate(self.agents)]
        heapify(self._wakings)
        return self._take_rows()

    @property
    def next_ns(self) -> int:
        """Time of the next waking; at once where a side has lost its makers."""
        if self._bare_side():
            return max(self.now_ns, self._event_ns)
        return self._wakings[0][0]

    def step(self, now_ns: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Records:
        """Commands of the agents that wake until `now_ns`; `bids` and `asks` are `(price, quantity)`, best first.

        Only one agent wakes at a time, so that each sees what the one before has done.
        """
        self._see(now_ns, bids, asks)
        if self._bare_side():
            self._requoted = True
            for maker in self._makers:
                maker.act(self)
        else:
            self._requoted = False
            _, i = self._wakings[0]
            self.agents[i].act(self)
            heapreplace(self._wakings, (now_ns + self.agents[i].wait_ns(), i))
        return self._take_rows()

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core, whoever caused it."""
        desks, instrument_id = self._desks, self.instrument.instrument_id
        if len(events):
            self._event_ns = int(events["now_ns"][-1])
        for row in events.tolist():
            # The fields of event_t in order.
            (
                _, _, _, order_id, _, quantity, _, kind, side, reason, _, _, counter_id,
                _, _, _, _, _, instrument, account, counter, _, _,
            ) = row  # fmt: skip
            if instrument != instrument_id:
                continue
            if kind == FILLED:
                self._trades[side] += 1
                self.signed_lots += quantity if side == BUY else -quantity
                if account in desks:
                    desks[account].on_fill(order_id, side, quantity)
                if counter in desks:
                    desks[counter].on_fill(counter_id, SELL if side == BUY else BUY, quantity)
            elif account in desks:
                if kind in (CANCELLED, EXPIRED):
                    desks[account].on_end(order_id)
                elif kind == REJECTED:
                    desks[account].on_refusal(order_id, reason)

    def takeable(self, side: int) -> int:
        """Lots that an aggressor on `side` may take: half of what the makers show, and of what is seen."""
        shown = sum(quantity for _, quantity in (self.asks if side == BUY else self.bids))
        return min(shown, self._makers_lots(SELL if side == BUY else BUY)) // 2

    def summary(self) -> dict[str, Any]:
        """Counters: commands, trades by aggressor, refusals by reason, positions by account."""
        refused: Counter[int] = Counter()
        for desk in self._desks.values():
            refused.update(desk.refused)
        return {
            "agents": len(self.agents),
            "commands": self._commands,
            "trades": sum(self._trades.values()),
            "buys": self._trades[BUY],
            "sells": self._trades[SELL],
            "rejected": {Reason(reason).name: count for reason, count in sorted(refused.items())},
            "positions": {account_id: desk.position for account_id, desk in self._desks.items()},
        }

    def _see(self, now_ns: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        self.now_ns, self.bids, self.asks = now_ns, bids, asks
        self.value = self._fundamental.at(now_ns)
        if not (bids and asks):
            return
        mid = (bids[0][0] + asks[0][0]) / 2
        seconds = (now_ns - self._last_mid_ns) * 1e-9
        if self._last_mid_ns and seconds > 0:
            # Exponentially weighted variance per second: seconds x (change^2 / seconds) / horizon.
            change = mid / self.mid - 1
            self._variance = self._variance * exp(-seconds / VOLATILITY_SECONDS) + change * change / VOLATILITY_SECONDS
            self.volatility = sqrt(self._variance)
        self._last_mid_ns, self.mid = now_ns, mid

    def _makers_lots(self, side: int) -> int:
        return sum(order.leaves for maker in self._makers for order in maker.desk.open.values() if order.side == side)

    def _bare_side(self) -> bool:
        # Once between two wakings: makers that are refused (kill switch, halt) must not do nothing but try again.
        return not (self._requoted or (self._makers_show(BUY) and self._makers_show(SELL)))

    def _makers_show(self, side: int) -> bool:
        for maker in self._makers:
            for order in maker.desk.open.values():
                if order.side == side:
                    return True
        return False

    def _take_rows(self) -> Records:
        self._commands += len(self._rows)
        return self._rows.take()
