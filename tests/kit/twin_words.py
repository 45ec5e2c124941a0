"""The canonical form of the naive twin's state: docs/kernel.md, "State and its hash", word for word."""

from __future__ import annotations

import struct

from tests.kit.twin_state import RULES, SIDES, Instrument, Order, Position, Timer, TwinState

ALL_ONES = (1 << 64) - 1


def wide(value: int) -> list[int]:
    """A 128-bit value as its low and high word."""
    low = value & ALL_ONES
    return [low - (1 << 64) if low >> 63 else low, value >> 64]


def timer_words(timer: Timer | None) -> list[int]:
    """Due time and arming number; 0, 0: none."""
    return [timer.due_ns, timer.arming] if timer else [0, 0]


def instrument_words(item: Instrument) -> list[int]:
    """2 of the contract, for one instrument."""
    words = [item.instrument_id, item.multiplier, item.lot_step, item.minimum, item.price_step, item.currency]
    words += [item.product, item.venue, item.flags, item.phase, item.close_ns, item.date]
    for price, time_ns in ((item.mark, item.mark_ns), (item.last, item.last_ns)):
        words += [price is not None, price or 0, time_ns]
    words += [item.killed, *timer_words(item.volatility)]
    told = item.indicative
    words += [told.told, told.price, told.volume, told.surplus, told.time_ns, told.changed, *timer_words(told.timer)]
    words += [len(item.bands), *(value for band in item.bands for value in band)]
    return words


def position_words(position: Position) -> list[int]:
    """7 of the contract, for one position; all zero where it holds nothing."""
    words = [position.killed, position.quantity, *wide(position.cost), *wide(position.realised), *wide(position.fees)]
    words += [position.executions, position.window_ns]
    words += [position.band_price is not None, position.band_price or 0, position.band_ns]
    for side in SIDES:
        entry = position.last_new[side]
        words += [entry.order_type, entry.price, entry.quantity, entry.time_ns]
    words.append(len(position.lots))
    for lot in position.lots:
        words += [lot.quantity, lot.price, *wide(lot.cost)]
    return words


def order_words(order: Order) -> list[int]:
    """8 of the contract, for one order."""
    return [
        order.order_id,
        order.account_id,
        order.instrument_id,
        order.side,
        order.standing,
        order.order_type,
        order.time_in_force,
        order.flags,
        order.strategy_id,
        order.price,
        order.leaves,
        order.filled,
        order.arming,
        *timer_words(order.timer),
        order.display,
        order.shown,
        order.trigger is not None,
        order.trigger or 0,
        order.standing_number,
        order.offset,
        order.distance,
        order.group,
        order.parent_id,
        order.released,
        order.valuation,
        order.state,
        order.venue_reference,
        order.pending_price,
        order.pending_quantity or order.unreleased,
    ]


class TwinWords(TwinState):
    """The snapshot."""

    def snapshot(self) -> bytes:
        """The canonical state: signed 64-bit little-endian words."""
        words = [RULES, self.last_sequence, self.last_event_sequence, self.now_ns, self.last_match_id]
        words += [self.last_arming, self.killed, self.capacity, self.closed_capacity]
        words += [self.session_came, self.session_date]
        words.append(len(self.instruments))
        for _, item in sorted(self.instruments.items()):
            words += instrument_words(item)
        words += self._account_words()
        words.append(len(self.limits))
        for scope, setting in sorted(self.limits.items()):
            words += [*scope, *setting]
        words.append(len(self.sources))
        for source in sorted(self.sources.items()):
            words += source
        words.append(len(self.rates))
        for rate in sorted(self.rates.items()):
            words += rate
        words.append(len(self.fee_rates))
        for key, parts in sorted(self.fee_rates.items()):
            words += [*key, parts]
        held = [(pair, position_words(position)) for pair, position in sorted(self.book_positions.items())]
        held = [(pair, values) for pair, values in held if any(values)]
        words.append(len(held))
        for pair, values in held:
            words += [*pair, *values]
        words.append(len(self.orders))
        for order in self._walk():
            words += order_words(order)
        if self.external:
            words.append(len(self.reconciled))
            for reconciled in sorted(self.reconciled):
                words += reconciled
            words.append(len(self.executions))
            for venue, seen in sorted(self.executions.items()):
                words += [venue, len(seen), *seen]
        try:
            return struct.pack(f"<{len(words)}q", *words)
        except struct.error:  # an unsigned value from 2^63 on: it wraps
            return struct.pack(f"<{len(words)}Q", *(int(value) & ALL_ONES for value in words))

    def _account_words(self) -> list[int]:
        words = [len(self.accounts)]
        for account_id, account in sorted(self.accounts.items()):
            words += [account_id, account.flags, account.killed, account.group, account.mode, account.arrival_ns]
            words += [account.day_base is not None, *wide(account.day_base or 0)]
            words += [len(account.killed_strategies), *sorted(account.killed_strategies)]
            cash = {currency: amount for currency, amount in sorted(account.cash.items()) if amount}
            words.append(len(cash))
            for currency, amount in cash.items():
                words += [currency, *wide(amount)]
            words += [len(account.closed), *account.closed]
        return words
