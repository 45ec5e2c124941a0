"""Every pre-trade control of the naive twin, in one pass.

Written from docs/kernel.md, docs/kernel-orders.md (what goes with what) and docs/kernel-controls.md; see `twin.py`
for the kernel made of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from nautilus.core.types import LimitKind, OrderFlag, OrderType, Reason, SessionPhase, Side, TimeInForce
from tests.kit.twin_auction import TwinAuction
from tests.kit.twin_money import Change
from tests.kit.twin_state import (
    AT_AUCTION,
    AT_ONCE,
    CALL,
    LAST_NS,
    MAX_POSITION,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_REALISED,
    RESTING,
    TRAILING,
    WAITING,
    WITH_LIMIT,
    Account,
    Command,
    Instrument,
    Order,
)

ALL_FLAGS = sum(OrderFlag)
TAPES = OrderFlag.TAPE | OrderFlag.TAPE_BOOKED
GROUPS = OrderFlag.GROUP_OCO | OrderFlag.GROUP_OUO
PEGS = OrderFlag.PEG_MID | OrderFlag.PEG_OPPOSITE
SOURCES = OrderFlag.TRIGGER_MARK | OrderFlag.TRIGGER_QUOTE
POSITION_CONTROLS = (Reason.POSITION, Reason.OVERFLOW, Reason.EXPOSURE, Reason.LEVERAGE, Reason.CONCENTRATION)


class TwinControls(TwinAuction):
    """What refuses a NEW or a REPLACE."""

    def _controls(self, command: Command, order: Order, replaced: Order | None, *, child: bool) -> set[Reason]:
        """Every violated control of a NEW (replaced is None) or a REPLACE; `order` is as it would become."""
        instrument = self._instrument_of(order)
        account = self.accounts[order.account_id]
        quantity = command.quantity

        def violated() -> Iterator[tuple[Reason, bool]]:
            yield Reason.KILLED, self._killed(order)
            prices, price_wrong = self._prices(command, order, replaced)
            yield Reason.PRICE, price_wrong
            yield Reason.TICK, any(instrument.allows(price) and not instrument.on_tick(price) for price in prices)
            unsound = not 0 < quantity <= MAX_QUANTITY or (replaced is not None and quantity <= replaced.filled)
            yield Reason.QUANTITY, unsound
            yield Reason.LOT, not unsound and quantity % instrument.lot_step != 0
            yield Reason.MIN_QUANTITY, not unsound and quantity < instrument.minimum
            yield Reason.EXPIRY, self._expiry(command, order, replaced)
            if replaced is None:
                yield Reason.UNSUPPORTED, self._unsupported(command, order, account, instrument)
            else:
                yield Reason.UNSUPPORTED, self._unsupported_change(command, replaced)

        found = {reason for reason, wrong in violated() if wrong}
        if not account.exempt:
            found |= self._limit_controls(command, order, replaced, found, child=child)
        return found

    # -- structure -----------------------------------------------------------------------------------------------

    def _killed(self, order: Order) -> bool:
        """Whether a kill switch is on for the order."""
        account, instrument = self.accounts[order.account_id], self._instrument_of(order)
        named = account.killed or order.strategy_id in account.killed_strategies
        pair = self.book_positions.get((order.account_id, order.instrument_id))
        if named or (pair is not None and pair.killed):
            return True
        return not account.exempt and (self.killed or instrument.killed)

    def _prices(self, command: Command, order: Order, replaced: Order | None) -> tuple[list[int], bool]:
        """The prices that the order uses, and whether one of them is none."""
        instrument = self._instrument_of(order)
        prices, wrong = [], False
        if order.order_type in WITH_LIMIT or (order.order_type == OrderType.PEGGED and command.price_ticks):
            prices.append(command.price_ticks)
        elif order.order_type == OrderType.TRAILING_STOP_LIMIT and replaced is None:
            wrong = not 0 <= command.price_ticks <= MAX_PRICE
        elif order.order_type == OrderType.MARKET:
            wrong = command.price_ticks != 0
        if order.order_type in WAITING:
            optional = replaced is not None or order.order_type in TRAILING
            if command.trigger_ticks or not optional:
                prices.append(command.trigger_ticks)
        return prices, wrong or not all(map(instrument.allows, prices))

    def _expiry(self, command: Command, order: Order, replaced: Order | None) -> bool:
        if replaced is not None:
            return command.expire_ns != 0
        if order.time_in_force == TimeInForce.GTD:
            return command.expire_ns <= self.now_ns
        close = self._instrument_of(order).close_ns
        over = order.time_in_force == TimeInForce.DAY and close != 0 and close <= self.now_ns
        return command.expire_ns != 0 or over

    def _unsupported(self, command: Command, order: Order, account: Account, instrument: Instrument) -> bool:
        """Whether fields, flags, type and time in force of a NEW do not go together."""
        kind, tif, flags = command.order_type, command.time_in_force, command.flags
        limit, resting = kind == OrderType.LIMIT, tif in RESTING
        tape = flags & OrderFlag.TAPE
        wrong = tif not in AT_ONCE + AT_AUCTION if kind == OrderType.MARKET else not limit and not resting
        wrong |= self._unused_fields(command)
        wrong |= bool(flags & ~ALL_FLAGS)
        wrong |= bool(flags & OrderFlag.POST_ONLY) and not (limit and resting)
        wrong |= bool(flags & OrderFlag.SLIDE) and not flags & OrderFlag.POST_ONLY
        wrong |= bool(flags & OrderFlag.HIDDEN) and not (limit and resting)
        whole = bool(flags & OrderFlag.ALL_OR_NONE)
        wrong |= whole and not (limit and (resting or tif == TimeInForce.IOC))
        wrong |= whole and bool(flags & (OrderFlag.HIDDEN | OrderFlag.POST_ONLY))
        wrong |= bool(flags & OrderFlag.REDUCE_ONLY) and account.exempt
        wrong |= bool(flags & SOURCES) and (kind not in WAITING or flags & SOURCES == SOURCES)
        wrong |= bool(flags & OrderFlag.TRAIL_BPS) and kind not in TRAILING
        wrong |= bool(flags & PEGS) and (kind != OrderType.PEGGED or flags & PEGS == PEGS)
        if tape:
            plain = limit and tif == TimeInForce.IOC and account.exempt and not flags & ~TAPES
            wrong |= not plain or bool(command.min_quantity or command.parent_order_id or instrument.venue)
        wrong |= bool(flags & OrderFlag.TAPE_BOOKED) and not tape
        if command.display_quantity:
            sound = instrument.minimum <= command.display_quantity < command.quantity
            wrong |= not (limit and tif not in AT_ONCE and sound and command.display_quantity > 0)
            wrong |= command.display_quantity % instrument.lot_step != 0
            wrong |= bool(flags & (OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE))
        if command.min_quantity:
            wrong |= not 0 < command.min_quantity <= command.quantity
            wrong |= kind not in (OrderType.LIMIT, OrderType.MARKET) or tif in (TimeInForce.FOK, *AT_AUCTION)
            wrong |= bool(flags & (OrderFlag.POST_ONLY | OrderFlag.ALL_OR_NONE))
        if command.parent_order_id:
            wrong |= kind == OrderType.PEGGED or tif in AT_AUCTION or bool(command.min_quantity or instrument.venue)
        if flags & GROUPS or command.group_id:
            wrong |= flags & GROUPS == GROUPS or not flags & GROUPS or not command.group_id or bool(instrument.venue)
            wrong |= any((other.flags ^ flags) & GROUPS for other in self._group(command.account_id, command.group_id))
        return wrong

    @staticmethod
    def _unused_fields(command: Command) -> bool:
        """Whether a field is set that the type does not use (MARKET with a price violates PRICE instead)."""
        kind = command.order_type
        trailing = kind in TRAILING
        no_price = (OrderType.STOP, OrderType.MARKET_IF_TOUCHED, OrderType.TRAILING_STOP, OrderType.MARKET_TO_LIMIT)
        wrong = kind in no_price and command.price_ticks != 0
        wrong |= kind not in WAITING and command.trigger_ticks != 0
        if trailing:
            return wrong or command.offset <= 0
        return wrong or (kind != OrderType.PEGGED and command.offset != 0)

    @staticmethod
    def _unsupported_change(command: Command, replaced: Order) -> bool:
        extra = ("flags", "display_quantity", "min_quantity", "parent_order_id", "offset", "group_id")
        kind = replaced.order_type
        takes_trigger = kind in WAITING and kind not in TRAILING and not replaced.state
        no_price = (OrderType.STOP, OrderType.MARKET_IF_TOUCHED, OrderType.MARKET_TO_LIMIT, *TRAILING)
        return (
            any(getattr(command, name) for name in extra)
            or (command.trigger_ticks != 0 and not takes_trigger)
            or (command.price_ticks != 0 and kind in no_price)
        )

    # -- what an exempt account skips ----------------------------------------------------------------------------

    def _valuation(self, order: Order, trigger: int | None) -> int | None:
        """The price that an order is valued at; None where there is none."""
        bound = self._bound(order)
        reference = self._instrument_of(order).reference
        if order.order_type in WITH_LIMIT:
            return order.price
        if order.order_type in WAITING:
            return trigger if trigger is not None else reference
        cap = order.price if self._instrument_of(order).venue else order.distance
        if order.order_type == OrderType.PEGGED and cap:
            return cap
        return bound if bound is not None else reference

    def _bound(self, order: Order) -> int | None:
        """The worst price that the collar allows the order."""
        limit = self._smallest(LimitKind.PRICE_COLLAR, order.account_id, order.instrument_id)
        return self._collar_bound(order.account_id, order.instrument_id, order.side, limit)

    def _session(self, command: Command, order: Order, replaced: Order | None) -> bool:
        """Whether the phase does not take the command."""
        instrument = self._instrument_of(order)
        phase = instrument.phase
        if phase in (SessionPhase.HALTED, SessionPhase.CLOSED):
            return True
        if replaced is not None or instrument.venue:
            return False
        if order.time_in_force == TimeInForce.AT_OPEN and phase in (
            SessionPhase.CONTINUOUS,
            SessionPhase.CLOSING_AUCTION,
        ):
            return True
        at_once = order.time_in_force in AT_ONCE or command.min_quantity != 0
        books = order.order_type in (OrderType.MARKET_TO_LIMIT, OrderType.PEGGED)
        return phase in CALL and (at_once or books)

    def _limit_controls(
        self, command: Command, order: Order, replaced: Order | None, found: set[Reason], *, child: bool
    ) -> set[Reason]:
        instrument = self._instrument_of(order)
        quantity = command.quantity
        quantity_sound, price_sound = Reason.QUANTITY not in found, Reason.PRICE not in found
        trigger = order.trigger
        valuation = self._valuation(order, trigger)
        more: set[Reason] = set()
        if self._session(command, order, replaced):
            more.add(Reason.SESSION)
        quantity_limit = self._smallest(LimitKind.ORDER_QUANTITY, order.account_id, order.instrument_id)
        if quantity_limit is not None and quantity_sound and quantity > quantity_limit:
            more.add(Reason.ORDER_QUANTITY)
        notional_limit = self._smallest(LimitKind.ORDER_NOTIONAL, order.account_id, order.instrument_id)
        if notional_limit is not None:
            if valuation is None:
                more.add(Reason.REFERENCE)
            elif price_sound and quantity_sound and abs(valuation) * quantity * instrument.multiplier > notional_limit:
                more.add(Reason.ORDER_NOTIONAL)
        collar = self._smallest(LimitKind.PRICE_COLLAR, order.account_id, order.instrument_id)
        if collar is not None and instrument.reference is None:
            more.add(Reason.REFERENCE)
        bound = self._bound(order)
        if order.order_type == OrderType.LIMIT and price_sound and bound is not None:
            price = command.price_ticks
            if price > bound if order.side == Side.BUY else price < bound:
                more.add(Reason.COLLAR)
        if self._rate_exceeded(order.account_id):
            more.add(Reason.RATE)
        more |= self._throttles(command, order, replaced, quantity_sound, price_sound)
        if instrument.venue and (instrument.venue, order.account_id) not in self.reconciled:
            more.add(Reason.RECONCILE)
        if quantity_sound and not child:
            more |= self._risk(order, order.leaves, valuation, replaced, price_sound=price_sound)
            waits = order.order_type in WAITING and not instrument.venue
            if order.has(OrderFlag.REDUCE_ONLY) and not waits and self._reducible(order) == 0:
                more.add(Reason.REDUCE_ONLY)
        return more

    def _rate_exceeded(self, account_id: int) -> bool:
        """Count one message; whether it is over the rate."""
        setting = self._nearest(LimitKind.MESSAGE_RATE, account_id, 0)
        if setting is None:
            return False
        messages, window = setting
        interval = window // messages
        account = self.accounts[account_id]
        arrival = max(account.arrival_ns, self.now_ns)
        if arrival - self.now_ns > window - interval:
            return True
        account.arrival_ns = min(arrival + interval, LAST_NS)
        return False

    def _throttles(
        self, command: Command, order: Order, replaced: Order | None, quantity_sound: bool, price_sound: bool
    ) -> set[Reason]:
        """Controls of the account and the pair that do not weigh the order's quantity."""
        more: set[Reason] = set()
        account_id, instrument_id = order.account_id, order.instrument_id
        instrument, position = self._instrument_of(order), self._position(account_id, instrument_id)
        reference = instrument.reference
        band = self._nearest(LimitKind.PRICE_BAND, account_id, instrument_id)
        if band is not None and reference is not None:
            stale_band = position.band_price is None or self.now_ns >= position.band_ns + band[1]
            if stale_band:
                position.band_price, position.band_ns = reference, self.now_ns
        repeated = self._nearest(LimitKind.REPEATED, account_id, instrument_id)
        if repeated is not None and repeated[1] > 0 and position.executions < repeated[0]:
            over = self.now_ns >= position.window_ns + repeated[1]
            if over:
                position.executions, position.window_ns = 0, self.now_ns
        if not quantity_sound:
            return more
        if band is not None and price_sound:
            if reference is None:
                more.add(Reason.REFERENCE)
            else:
                base = position.band_price or 0
                price = command.price_ticks if order.order_type in WITH_LIMIT else reference
                if abs(price - base) > abs(base) * band[0] // 10_000:
                    more.add(Reason.PRICE_BAND)
        if repeated is not None and position.executions >= repeated[0]:
            more.add(Reason.REPEATED)
        duplicate = self._nearest(LimitKind.DUPLICATE, account_id, instrument_id)
        if duplicate is not None and replaced is None:
            last = position.last_new[order.side]
            same = (last.order_type, last.price, last.quantity) == (
                command.order_type,
                command.price_ticks,
                command.quantity,
            )
            if same and self.now_ns - last.time_ns < duplicate[1]:
                more.add(Reason.REPEATED_ORDER)
        permission = self._scoped(self.limits, LimitKind.PERMISSION, account_id, instrument_id)
        if permission and permission[0][1][0] == 0:
            more.add(Reason.PERMISSION if permission[0][0][1] else Reason.RESTRICTED)
        stale = self._smallest(LimitKind.STALE_PRICE, account_id, instrument_id)
        if stale is not None:
            if reference is None:
                more.add(Reason.REFERENCE)
            elif self.now_ns - instrument.reference_ns > stale:
                more.add(Reason.STALE_PRICE)
        orders = self._smallest(LimitKind.OPEN_ORDERS, account_id)
        open_now = sum(other.account_id == account_id for other in self.orders.values())
        if orders is not None and replaced is None and open_now + 1 > orders:
            more.add(Reason.OPEN_ORDERS)
        loss = self._smallest(LimitKind.DAILY_LOSS, account_id)
        if loss is not None:
            base_money = self.accounts[account_id].day_base
            if not self._valued(account_id) or base_money is None or base_money - self._equity(account_id) > loss:
                more.add(Reason.DAILY_LOSS)
        return more

    # -- what the order would add --------------------------------------------------------------------------------

    def _risk(
        self, order: Order, quantity: int, valuation: int | None, replaced: Order | None, *, price_sound: bool = True
    ) -> set[Reason]:
        """Controls of what the account would hold and have open with `quantity` of the order."""
        more: set[Reason] = set()
        account_id, instrument = order.account_id, self._instrument_of(order)
        more |= self._position_risk(order, quantity, replaced)
        if not price_sound:
            return more
        change = Change(order, quantity, valuation or 0, replaced)
        credit = self._smallest(LimitKind.CREDIT, account_id)
        total = self._smallest(LimitKind.CREDIT_TOTAL, 0)
        value_limit = self._smallest(LimitKind.OPEN_VALUE, account_id)
        if (credit, total, value_limit) == (None, None, None):
            return more
        if valuation is None or self._rate(instrument.currency) is None:
            more.add(Reason.REFERENCE)
            return more
        for limit, reason, used in (
            (credit, Reason.CREDIT, self._credit_used(account_id, change)),
            (value_limit, Reason.OPEN_VALUE, self._open_value(account_id, change)),
            (total, Reason.CREDIT, self._total_credit(change)),
        ):
            if limit is not None:
                if used is None:
                    more.add(Reason.REFERENCE)
                elif used > limit:
                    more.add(reason)
        return more

    def _total_credit(self, change: Change) -> int | None:
        """Credit used by every account that is not exempt; None where a rate is missing."""
        used = [self._credit_used(key, change) for key, account in self.accounts.items() if not account.exempt]
        return None if None in used else sum(value or 0 for value in used)

    def _position_risk(self, order: Order, quantity: int, replaced: Order | None) -> set[Reason]:
        """Controls of quantity and exposure."""
        more: set[Reason] = set()
        account_id, instrument = order.account_id, self._instrument_of(order)
        change = Change(order, quantity, 0, replaced)
        position = self._position(account_id, order.instrument_id)
        buys, sells = self._open_after(account_id, order.instrument_id, change)
        after = position.quantity + buys if order.side == Side.BUY else sells - position.quantity
        limit = self._smallest(LimitKind.POSITION, account_id, order.instrument_id)
        if limit is not None and after > limit:
            more.add(Reason.POSITION)
        if after > MAX_POSITION or abs(position.realised) > MAX_REALISED:
            more.add(Reason.OVERFLOW)
        leverage = self._smallest(LimitKind.LEVERAGE, account_id)
        concentration = self._smallest(LimitKind.CONCENTRATION, account_id, order.instrument_id)
        gross_limit = self._smallest(LimitKind.GROSS_EXPOSURE, account_id)
        net_limit = self._smallest(LimitKind.NET_EXPOSURE, account_id)
        if (leverage, concentration, gross_limit, net_limit) == (None, None, None, None):
            return more
        if not self._valued(account_id, change):
            more.add(Reason.REFERENCE)
            return more
        equity = self._equity(account_id)
        instruments = [item for item, _ in self._pairs(account_id, change)]
        gross = sum(self._gross(account_id, item, change) for item in instruments)
        net = sum(self._net(account_id, item, change, order.side) for item in instruments)
        pair = self._gross(account_id, instrument, change)
        if leverage is not None and (equity <= 0 or gross * 10_000 > leverage * equity):
            more.add(Reason.LEVERAGE)
        if concentration is not None and (equity <= 0 or pair * 10_000 > concentration * equity):
            more.add(Reason.CONCENTRATION)
        if gross_limit is not None and gross > gross_limit:
            more.add(Reason.EXPOSURE)
        if net_limit is not None and net > net_limit:
            more.add(Reason.EXPOSURE)
        return more
