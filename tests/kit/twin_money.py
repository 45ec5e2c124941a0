"""Money of the naive twin: positions, fees, base money, and what an account is worth and exposed to.

Written from docs/kernel-controls.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from nautilus.core.types import AccountFlag, LimitKind, RateKind, Side
from tests.kit.twin_book import TwinBook
from tests.kit.twin_state import Instrument, Order, Position

ONE = 1_000_000_000  # of base money: the unit of rates
MILLION = 1_000_000
MAX_FEE = 1 << 62


def base_up(money: int, rate: int) -> int:
    """Base money, rounded towards plus infinity: counted against a limit."""
    return -(-money * rate // ONE)


def base_down(money: int, rate: int) -> int:
    """Base money, rounded towards minus infinity: owned."""
    return money * rate // ONE


class Change:
    """What an order would change: its quantity on one side of a pair, in place of the order that it replaces."""

    def __init__(self, order: Order, quantity: int, valuation: int, replaced: Order | None) -> None:
        self.pair = (order.account_id, order.instrument_id)
        self.side = order.side
        self.quantity = quantity
        self.value = abs(valuation) * quantity
        self.replaced = replaced


class TwinMoney(TwinBook):
    """Fills move positions; positions have a value."""

    _flattened: list[tuple[int, int]]

    # -- fills ---------------------------------------------------------------------------------------------------

    def _book_fill(self, order: Order, quantity: int, price: int, *, maker: bool) -> int:
        """Book a fill of the order (counted in `filled` already); its fee."""
        if self._exempt(order):
            return 0
        signed = quantity if order.side == Side.BUY else -quantity
        position = self._move(order.account_id, order.instrument_id, signed, price)
        first = order.filled == quantity
        if first and self._smallest(LimitKind.REPEATED, order.account_id, order.instrument_id) is not None:
            position.executions += 1
        fee = self._fee(order.account_id, order.instrument_id, quantity, price, maker=maker)
        position.fees += fee
        return fee

    def _move(self, account_id: int, instrument_id: int, signed: int, price: int) -> Position:
        """Move a position at a price."""
        position = self._position(account_id, instrument_id)
        fifo = bool(self.accounts[account_id].flags & AccountFlag.FIFO)
        before = position.quantity
        position.fill(signed, price, self.instruments[instrument_id].multiplier, fifo)
        self._note_sign(account_id, instrument_id, before)
        return position

    def _note_sign(self, account_id: int, instrument_id: int, before: int) -> None:
        """A position that becomes flat or changes sign ends REDUCE_ONLY orders when the command is done."""
        after = self._position(account_id, instrument_id).quantity
        if before and (after == 0 or (before > 0) != (after > 0)):
            self._flattened.append((account_id, instrument_id))

    def _fee(self, account_id: int, instrument_id: int, quantity: int, price: int, *, maker: bool) -> int:
        kind = RateKind.MAKER_FEE if maker else RateKind.TAKER_FEE
        found = self._scoped(self.fee_rates, kind, account_id, instrument_id)
        parts = found[0][1] if found else 0
        value = abs(price) * quantity * self.instruments[instrument_id].multiplier
        return max(-MAX_FEE, min(MAX_FEE, -(-value * parts // MILLION)))

    # -- base money ----------------------------------------------------------------------------------------------

    def _rate(self, currency: int) -> int | None:
        """Base money x 10^9 of one unit; None: not known."""
        return ONE if currency == 0 else self.rates.get(currency)

    def _pairs(self, account_id: int, change: Change | None = None) -> Iterator[tuple[Instrument, Position]]:
        """Every pair of the account that has something, and that of the change."""
        for instrument_id, instrument in sorted(self.instruments.items()):
            pair = (account_id, instrument_id)
            position = self.book_positions.get(pair, Position())
            changed = change is not None and change.pair == pair
            if changed or self.pair_orders.get(pair) or position != Position():
                yield instrument, position

    def _open_after(self, account_id: int, instrument_id: int, change: Change | None) -> tuple[int, int]:
        """Open buys and sells of the pair, with the change."""
        sides = {Side.BUY: 0, Side.SELL: 0}
        for order in self.pair_orders.get((account_id, instrument_id), {}).values():
            if change is None or order is not change.replaced:
                sides[Side(order.side)] += order.open_quantity
        if change is not None and change.pair == (account_id, instrument_id):
            sides[Side(change.side)] += change.quantity
        return sides[Side.BUY], sides[Side.SELL]

    def _open_value_after(self, account_id: int, instrument: Instrument, change: Change | None) -> int:
        """Money of the pair's open orders in its currency, with the change."""
        pair = (account_id, instrument.instrument_id)
        value = sum(
            order.open_value
            for order in self.pair_orders.get(pair, {}).values()
            if change is None or order is not change.replaced
        )
        if change is not None and change.pair == pair:
            value += change.value
        return value * instrument.multiplier

    def _valued(self, account_id: int, change: Change | None = None) -> bool:
        """Whether everything that the account has (and would have) can be told in base money."""
        for instrument, position in self._pairs(account_id, change):
            rate = self._rate(instrument.currency)
            holds = position.quantity or any(self._open_after(account_id, instrument.instrument_id, change))
            if holds and (instrument.mark is None or rate is None):
                return False
            if (position.realised or position.fees) and rate is None:
                return False
        cash = self.accounts[account_id].cash
        return all(self._rate(currency) is not None for currency, amount in cash.items() if amount)

    def _equity(self, account_id: int) -> int:
        """Of a valued account: cash + realised + unrealised - fees."""
        equity = 0
        for currency, amount in self.accounts[account_id].cash.items():
            if amount:
                equity += base_down(amount, self._rate(currency) or 0)
        for instrument, position in self._pairs(account_id):
            rate = self._rate(instrument.currency) or 0
            mark = instrument.mark or 0
            equity += base_down(position.quantity * mark * instrument.multiplier + position.cost, rate)
            equity += base_down(position.realised, rate) - base_up(position.fees, rate)
        return equity

    def _gross(self, account_id: int, instrument: Instrument, change: Change | None) -> int:
        """The pair's worst holding at its mark, in base money."""
        buys, sells = self._open_after(account_id, instrument.instrument_id, change)
        held = self.book_positions.get((account_id, instrument.instrument_id), Position()).quantity
        worst = max(abs(held), held + buys, sells - held)
        value = worst * abs(instrument.mark or 0) * instrument.multiplier
        return base_up(value, self._rate(instrument.currency) or 0)

    def _net(self, account_id: int, instrument: Instrument, change: Change | None, side: int) -> int:
        """The pair's long (BUY) or short (SELL) exposure at its mark, in base money."""
        buys, sells = self._open_after(account_id, instrument.instrument_id, change)
        held = self.book_positions.get((account_id, instrument.instrument_id), Position()).quantity
        lots = held + buys if side == Side.BUY else sells - held
        return base_up(lots * (instrument.mark or 0) * instrument.multiplier, self._rate(instrument.currency) or 0)

    def _open_value(self, account_id: int, change: Change | None) -> int | None:
        """Open value of the account in base money; None where a rate is missing."""
        total = 0
        for instrument, _ in self._pairs(account_id, change):
            value = self._open_value_after(account_id, instrument, change)
            rate = self._rate(instrument.currency)
            if value and rate is None:
                return None
            total += base_up(value, rate or 0)
        return total

    def _credit_used(self, account_id: int, change: Change | None) -> int | None:
        """Cost value and open value of the account in base money; None where a rate is missing."""
        total = self._open_value(account_id, change)
        if total is None:
            return None
        for instrument, position in self._pairs(account_id, change):
            rate = self._rate(instrument.currency)
            if position.cost and rate is None:
                return None
            total += base_up(abs(position.cost), rate or 0)
        return total
