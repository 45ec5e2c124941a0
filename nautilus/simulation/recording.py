"""A recorded market as a participant of the core: its displayed quantity rests there, its trades act there.

Two accounts, exempt from limits and positions: `book` holds each displayed quantity as resting orders, so that a
strategy's orders queue behind it in the same book; `tape` trades at the recorded prices. Diffs carry absolute
quantities: a trade consumes what rests, the diff that reports it only brings the level to its quantity, so nothing is
counted twice. What a strategy takes from a level stays taken until the venue reports another quantity for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.core.recorded import RecordedLevels
from nautilus.core.types import COMMAND, AccountFlag, Reason
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.simulation.commands import account_commands
from nautilus.simulation.config import Cancellation
from nautilus.simulation.orders import RecordedOrders

Records = NDArray[np.void]
BOOK_ACCOUNT = 0xFFFF0001
TAPE_ACCOUNT = 0xFFFF0002
MOST_RECORDINGS = 0x7FFF
"""That play side by side: each has two accounts of its own, from `BOOK_ACCOUNT` on."""
LEVELS = 1 << 20
LEVELS_OF_MANY = 1 << 16
"""Levels and resting orders that a recording has room for: alone, and beside others."""
COUNTERS = ("orders", "cancels", "reductions", "crossing_removals", "other_removals", "trades", "unmatched_trades",
            "unmatched_lots", "taken_lots", "out_of_bounds")  # fmt: skip
NOTHING = np.zeros(0, COMMAND)


class RecordedMarket:
    """One instrument's recording, as commands for the core.

    Parameters
    ----------
    instrument : the recorded instrument; the records' own `instrument_id` is not looked at.
    cancel : see `RecordingConfig`; order-by-order recordings name the order that goes and ignore it.
    by_order : the recording names single orders.
    number : of the recording among those that play side by side, from 0: each has accounts of its own.
    capacity : most levels and resting orders of a recording by levels.
    first_order_id : above all ids that its accounts have used in the core; of a recording by levels.

    Notes
    -----
    Order: `setup`; then for each update `book_update` or `trade`, each followed by `on_events` with what the core
    gave, and `follow_up` until it gives None, again each followed by `on_events`. All EVENT arrays of the core in
    between, caused by whomever, go to `on_events` too.

    Raises
    ------
    ConfigError
        An unknown way of cancellation, or more recordings than there are accounts for.
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        cancel: Cancellation = "back",
        by_order: bool = False,
        number: int = 0,
        capacity: int = LEVELS,
        first_order_id: int = 1,
    ) -> None:
        if not 0 <= number < MOST_RECORDINGS:
            raise ConfigError(f"recording {number}", where="RecordedMarket", expected=f"0 to {MOST_RECORDINGS - 1}")
        if cancel not in ("back", "proportion"):
            raise ConfigError(f"cancel {cancel!r}", where="RecordedMarket", expected="back or proportion")
        self.instrument = instrument
        self.book_account, self.tape_account = BOOK_ACCOUNT + 2 * number, TAPE_ACCOUNT + 2 * number
        self._orders = RecordedOrders(instrument, self.book_account, self.tape_account) if by_order else None
        # The tape of an order-by-order recording is in its executions; trades of their own would come twice.
        self._levels = RecordedLevels(
            instrument.instrument_id,
            self.book_account,
            self.tape_account,
            proportional=cancel == "proportion",
            capacity=1 if by_order else capacity,
            first_order_id=first_order_id,
        )

    def setup(self) -> Records:
        """COMMAND array that opens the two accounts."""
        return account_commands(
            {self.book_account: AccountFlag.EXEMPT | AccountFlag.RECORDED, self.tape_account: AccountFlag.EXEMPT}
        )

    def book_update(self, deltas: Records, now_ns: int | None = None) -> Records:
        """Commands for one update of the book, a BOOK_DELTA array; `now_ns` where it is not that of the records.

        Raises
        ------
        ValueError
            Actions on single orders, but the market was not made `by_order`.
        """
        if now_ns is None:
            now_ns = int(deltas["now_ns"][0]) if len(deltas) else 0
        if self._orders is None:
            return self._levels.update(deltas, now_ns)
        self._orders.begin(deltas, now_ns)
        commands = self._orders.next_commands()
        return NOTHING if commands is None else commands

    def follow_up(self) -> Records | None:
        """Give more commands of the same update, which needed the events of those before; None at its end."""
        return None if self._orders is None else self._orders.next_commands()

    def trade(self, trades: Records, now_ns: int | None = None) -> Records:
        """Commands for a TRADE array: each acts at its own price only. Empty for an order-by-order recording."""
        if self._orders is not None:
            return NOTHING
        if now_ns is None:
            now_ns = int(trades["now_ns"][0]) if len(trades) else 0
        return self._levels.trade(trades, now_ns)

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core."""
        (self._orders or self._levels).on_events(events)

    def level(self, side: int, price_ticks: int) -> tuple[int, int, int, tuple[tuple[int, int], ...]]:
        """`(recorded, resting, taken, ((order id, leaves), ...))` of one level, in lots, first in queue first."""
        return (self._orders or self._levels).level(side, price_ticks)

    def summary(self) -> dict[str, Any]:
        """Counters, lots in lots; `rejected`: what the core refused or no order could express, by reason."""
        part = self._orders or self._levels
        facts: dict[str, Any] = {name: getattr(part, name) for name in COUNTERS}
        if self._orders is not None:
            facts["unknown_ids"] = self._orders.unknown_ids
        rejected = {Reason(reason).name: count for reason, count in sorted(part.refused.items())}
        out_of_bounds = facts.pop("out_of_bounds")
        if out_of_bounds:
            rejected["OUT_OF_BOUNDS"] = out_of_bounds
        return {**facts, "rejected": rejected}
