"""Administrative commands of the naive twin but SESSION's phases: docs/kernel.md, docs/kernel-controls.md.

See `twin.py` for the kernel made of it. A handler returns a reason (refused), a number (APPLIED's quantity) or None.
"""

from __future__ import annotations

from nautilus.core.types import (
    AccountFlag,
    AdjustKind,
    EventKind,
    InstrumentFlag,
    LimitKind,
    RateKind,
    Reason,
    SelfMatch,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit.twin_money import base_down
from tests.kit.twin_settling import TwinSettling
from tests.kit.twin_state import (
    MAX_BANDS,
    MAX_BPS,
    MAX_MULTIPLIER,
    MAX_POSITION,
    MAX_PRICE,
    MAX_REALISED,
    SIDES,
    Account,
    Command,
    Entry,
    Instrument,
    Lot,
)

MAX_CURRENCY = 255
MAX_VENUE = 255
MAX_PARTS = 100_000  # per million: fees and rebates
MAX_CASH = 1 << 60
PAIR_KINDS = (
    LimitKind.ORDER_QUANTITY,
    LimitKind.ORDER_NOTIONAL,
    LimitKind.POSITION,
    LimitKind.PRICE_COLLAR,
    LimitKind.PRICE_BAND,
    LimitKind.CONCENTRATION,
    LimitKind.REPEATED,
    LimitKind.DUPLICATE,
    LimitKind.STALE_PRICE,
    LimitKind.PERMISSION,
)
RANGES = {  # of values; the rest may be anything from 0 on
    LimitKind.PRICE_COLLAR: (0, MAX_BPS),
    LimitKind.PRICE_BAND: (0, MAX_BPS),
    LimitKind.REPEATED: (1, None),
    LimitKind.DUPLICATE: (1, 1),
    LimitKind.STALE_PRICE: (1, None),
    LimitKind.PERMISSION: (0, 1),
    LimitKind.MESSAGE_RATE: (1, None),
    LimitKind.VOLATILITY_BAND: (1, MAX_BPS),
}
WINDOWED = (
    LimitKind.PRICE_BAND,
    LimitKind.REPEATED,
    LimitKind.DUPLICATE,
    LimitKind.MESSAGE_RATE,
    LimitKind.VOLATILITY_BAND,
)


class TwinAdministration(TwinSettling):
    """Everything that is not an order."""

    # -- instruments and accounts --------------------------------------------------------------------------------

    def _add_instrument(self, command: Command) -> Reason | None:
        if command.flags & InstrumentFlag.BAND:
            return self._band(command)
        if command.instrument_id == 0:
            return Reason.UNKNOWN_INSTRUMENT
        if command.instrument_id in self.instruments:
            return Reason.DUPLICATE_ORDER
        steps = (command.display_quantity, command.min_quantity, command.price_ticks)
        if (
            not 1 <= command.quantity <= MAX_MULTIPLIER
            or any(not 0 <= step <= 1 << 40 for step in steps)
            or command.offset < 0
            or command.flags & ~int(InstrumentFlag.NEGATIVE | InstrumentFlag.PRO_RATA | InstrumentFlag.EXPLICIT)
            or command.venue_reference > MAX_VENUE
        ):
            return Reason.MALFORMED
        lot_step = command.display_quantity or 1
        self.instruments[command.instrument_id] = Instrument(
            command.instrument_id,
            multiplier=command.quantity,
            lot_step=lot_step,
            minimum=command.min_quantity or lot_step,
            price_step=command.price_ticks or 1,
            currency=command.offset,
            product=command.group_id,
            venue=command.venue_reference,
            flags=command.flags,
        )
        self.external |= command.venue_reference != 0
        self.instrument_orders[command.instrument_id] = {}
        for side in SIDES:
            self.displayed[command.instrument_id, side] = []
            self.unseen[command.instrument_id, side] = []
        return None

    def _band(self, command: Command) -> Reason | None:
        instrument = self.instruments.get(command.instrument_id)
        if instrument is None:
            return Reason.UNKNOWN_INSTRUMENT
        above = instrument.bands[-1][0] if instrument.bands else 0
        if len(instrument.bands) == MAX_BANDS or command.price_ticks <= above or not 1 <= command.quantity <= 1 << 40:
            return Reason.MALFORMED
        instrument.bands.append((command.price_ticks, command.quantity))
        return None

    def _add_account(self, command: Command) -> Reason | None:
        if command.account_id == 0:
            return Reason.UNKNOWN_ACCOUNT
        known = int(AccountFlag.EXEMPT | AccountFlag.RECORDED | AccountFlag.FIFO)
        if command.flags & ~known or command.order_type > max(SelfMatch):
            return Reason.MALFORMED
        account = self.accounts.setdefault(command.account_id, Account(command.flags, command.group_id))
        orders = any(account_id == command.account_id for account_id, _ in self.orders)
        position = any(key[0] == command.account_id and item.quantity for key, item in self.book_positions.items())
        differs = (account.flags, account.group) != (command.flags, command.group_id)
        if differs and (orders or position):
            return Reason.MALFORMED
        account.flags, account.group, account.mode = command.flags, command.group_id, command.order_type
        self._forget_throttles()
        return None

    # -- limits --------------------------------------------------------------------------------------------------

    def _set_limit(self, command: Command) -> Reason | None:
        kind, value, window = command.order_type, command.quantity, command.expire_ns
        if not 1 <= kind <= max(LimitKind) or self._limit_malformed(command):
            return Reason.MALFORMED
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        scope = (kind, command.account_id, command.instrument_id)
        if value == -1:
            self.limits.pop(scope, None)
        else:
            self.limits[scope] = (value, window)
        self._forget_throttles()
        return None

    @staticmethod
    def _limit_malformed(command: Command) -> bool:
        kind, value, window = command.order_type, command.quantity, command.expire_ns
        if kind == LimitKind.CREDIT_TOTAL:
            wrong = command.account_id != 0 or command.instrument_id != 0
        elif kind == LimitKind.VOLATILITY_BAND:
            wrong = command.account_id != 0
        else:
            wrong = kind not in PAIR_KINDS and command.instrument_id != 0
        if kind not in WINDOWED:
            wrong |= window != 0
        if value == -1:
            return wrong
        lowest, highest = RANGES.get(LimitKind(kind), (0, None))
        wrong |= value < lowest or (highest is not None and value > highest)
        if kind in (LimitKind.PRICE_BAND, LimitKind.DUPLICATE):
            wrong |= window <= 0
        elif kind == LimitKind.MESSAGE_RATE:
            wrong |= window < value
        return wrong or window < 0

    def _forget_throttles(self) -> None:
        """What a pair remembers for a limit goes with the limit."""
        for (account_id, instrument_id), position in self.book_positions.items():
            exempt = self.accounts[account_id].exempt

            def kept(kind: LimitKind, pair: tuple[int, int] = (account_id, instrument_id), no: bool = exempt) -> bool:
                return not no and self._nearest(kind, *pair) is not None

            if not kept(LimitKind.DUPLICATE):
                position.last_new = {side: Entry() for side in SIDES}
            if not kept(LimitKind.REPEATED):
                position.executions = position.window_ns = 0
            if not kept(LimitKind.PRICE_BAND):
                position.band_price, position.band_ns = None, 0

    def _unknown_scope(self, command: Command) -> Reason | None:
        if command.account_id and command.account_id not in self.accounts:
            return Reason.UNKNOWN_ACCOUNT
        if command.instrument_id and command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        return None

    # -- sessions and marks --------------------------------------------------------------------------------------

    def _set_session(self, command: Command) -> Reason | None:
        phase, close = command.group_id, command.expire_ns
        if not 1 <= phase <= max(SessionPhase):
            return Reason.MALFORMED
        if command.instrument_id and command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if close and close <= self.now_ns:
            return Reason.EXPIRY
        for instrument_id in [command.instrument_id] if command.instrument_id else sorted(self.instruments):
            instrument = self.instruments[instrument_id]
            other = instrument.phase != phase
            self._change_phase(instrument, phase)
            if other and instrument.flags & InstrumentFlag.EXPLICIT:
                self._emit(EventKind.PHASE, instrument_id=instrument_id, quantity=phase)
            instrument.close_ns, instrument.date = close, command.offset
            day_orders = [
                order
                for order in self._walk(instrument_id)
                if order.time_in_force == TimeInForce.DAY and not order.state
            ]
            for order in day_orders:
                self._disarm(order.timer)
                order.timer = self._arm(close, "order", instrument_id, order) if close else None
            if phase == SessionPhase.CLOSED:
                for order in day_orders:
                    if order.open:
                        self._end(order, Reason.SESSION_CLOSED, EventKind.EXPIRED)
        if not command.instrument_id:
            self._begin_day(command.offset)
        return None

    def _begin_day(self, date: int) -> None:
        """A SESSION for every instrument with another date sets the day bases."""
        if not self.session_came or date != self.session_date:
            for account_id, account in self.accounts.items():
                if not account.exempt:
                    account.day_base = self._equity(account_id) if self._valued(account_id) else None
        self.session_came, self.session_date = True, date

    def _set_mark(self, command: Command) -> Reason | None:
        instrument = self.instruments.get(command.instrument_id)
        if instrument is None:
            return Reason.UNKNOWN_INSTRUMENT
        if not instrument.allows(command.price_ticks):
            return Reason.PRICE
        instrument.mark, instrument.mark_ns = command.price_ticks, self.now_ns
        self._book_changed(instrument)
        return None

    # -- kill switches and mass cancels --------------------------------------------------------------------------

    def _kill(self, command: Command) -> Reason | int:
        if command.strategy_id and (command.account_id == 0 or command.instrument_id != 0):
            return Reason.MALFORMED
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        self._switch(command, on=True)
        return self._cancel_all(command, Reason.KILL_SWITCH, strategy_id=command.strategy_id)

    def _resume(self, command: Command) -> Reason | None:
        if command.strategy_id and (command.account_id == 0 or command.instrument_id != 0):
            return Reason.MALFORMED
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        self._switch(command, on=False)
        return None

    def _mass_cancel(self, command: Command) -> Reason | int:
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        if command.side > Side.SELL:
            return Reason.MALFORMED
        return self._cancel_all(command, Reason.MASS_CANCEL, command.side, command.strategy_id)

    def _switch(self, command: Command, *, on: bool) -> None:
        account_id, instrument_id = command.account_id, command.instrument_id
        if account_id and instrument_id:
            position = self._position(account_id, instrument_id)
            position.killed = on
            counted = self._nearest(LimitKind.REPEATED, account_id, instrument_id) is not None
            if not on and counted and not self.accounts[account_id].exempt:
                position.executions, position.window_ns = 0, self.now_ns
        elif account_id and command.strategy_id:
            strategies = self.accounts[account_id].killed_strategies
            (strategies.add if on else strategies.discard)(command.strategy_id)
        elif account_id:
            self.accounts[account_id].killed = on
        elif instrument_id:
            self.instruments[instrument_id].killed = on
        else:
            self.killed = on

    def _cancel_all(self, command: Command, reason: Reason, side: int = 0, strategy_id: int = 0) -> int:
        """Cancel the open orders of the scope; exempt accounts only where they are named. The number cancelled."""
        chosen = [
            order
            for order in self._walk()
            if (order.account_id == command.account_id if command.account_id else not self._exempt(order))
            and command.instrument_id in (0, order.instrument_id)
            and side in (0, order.side)
            and strategy_id in (0, order.strategy_id)
        ]
        number = 0
        for order in chosen:
            if not order.open:
                continue  # its group took it with another
            if order.state:
                number += self._route_cancel(order)
            else:
                self._end(order, reason)
                number += 1
        return number

    # -- rates and adjustments -----------------------------------------------------------------------------------

    def _set_rate(self, command: Command) -> Reason | None:
        value = command.price_ticks
        if command.group_id == RateKind.CURRENCY:
            if not 1 <= command.offset <= MAX_CURRENCY or not 1 <= value <= MAX_PRICE:
                return Reason.MALFORMED
            self.rates[command.offset] = value
            return None
        if command.group_id not in (RateKind.MAKER_FEE, RateKind.TAKER_FEE) or abs(value) > MAX_PARTS:
            return Reason.MALFORMED
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        self.fee_rates[command.group_id, command.account_id, command.instrument_id] = value
        return None

    def _adjust(self, command: Command) -> Reason | None:
        handlers = {
            AdjustKind.CASH: self._adjust_cash,
            AdjustKind.POSITION: self._adjust_position,
            AdjustKind.SPLIT: self._split,
        }
        if command.group_id not in handlers or command.order_type or command.side:
            return Reason.MALFORMED
        return handlers[AdjustKind(command.group_id)](command)

    def _adjust_cash(self, command: Command) -> Reason | None:
        currency, amount = command.offset, command.quantity
        if not 0 <= currency <= MAX_CURRENCY or amount == 0 or abs(amount) > MAX_CASH:
            return Reason.MALFORMED
        account = self.accounts.get(command.account_id)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if account.exempt:
            return Reason.MALFORMED
        account.cash[currency] = account.cash.get(currency, 0) + amount
        rate = self._rate(currency)
        if account.day_base is not None and rate is not None:
            account.day_base += base_down(amount, rate)
        return None

    def _adjust_position(self, command: Command) -> Reason | None:
        if command.quantity == 0:
            return Reason.MALFORMED
        if command.account_id not in self.accounts:
            return Reason.UNKNOWN_ACCOUNT
        if command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if self.accounts[command.account_id].exempt:
            return Reason.MALFORMED
        if not self.instruments[command.instrument_id].allows(command.price_ticks):
            return Reason.PRICE
        position = self._position(command.account_id, command.instrument_id)
        buys, sells = self._open_after(command.account_id, command.instrument_id, None)
        after = position.quantity + command.quantity
        with_orders = after + buys if command.quantity > 0 else sells - after
        if max(abs(after), with_orders) > MAX_POSITION or abs(position.realised) > MAX_REALISED:
            return Reason.OVERFLOW
        self._move(command.account_id, command.instrument_id, command.quantity, command.price_ticks)
        return None

    def _split(self, command: Command) -> Reason | None:
        new, old = command.quantity, command.min_quantity
        if not (1 <= new <= 1 << 20 and 1 <= old <= 1 << 20):
            return Reason.MALFORMED
        instrument = self.instruments.get(command.instrument_id)
        if instrument is None:
            return Reason.UNKNOWN_INSTRUMENT
        positions = {
            pair: position for pair, position in sorted(self.book_positions.items()) if pair[1] == command.instrument_id
        }
        if any(abs(position.quantity) * new // old > MAX_POSITION for position in positions.values()):
            return Reason.OVERFLOW
        orders = self._walk(command.instrument_id)
        if any(order.state for order in orders):
            return Reason.BUSY
        for order in orders:
            if order.open:
                self._end(order, Reason.CORPORATE_ACTION)
        for (account_id, instrument_id), position in positions.items():
            before = position.quantity
            size = abs(before) * new // old
            position.quantity = size if before > 0 else -size
            if before and size == 0:
                position.realised += position.cost
                position.cost = 0
            if position.lots:
                position.lots = [Lot(position.quantity, 0, position.cost)] if size else []
            position.band_price, position.band_ns = None, 0
            self._note_sign(account_id, instrument_id, before)
        instrument.mark = instrument.last = None
        instrument.mark_ns = instrument.last_ns = 0
        self._book_changed(instrument)
        return None
