"""Orders as people and other programs write them: decimals and texts in, one result out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from nautilus.engines.base import Context, Core
from nautilus.engines.trading.decode import quoted, replace_order, submit_order
from nautilus.engines.trading.open_orders import ClientOrder
from nautilus.engines.trading.reports import ReportExpander
from nautilus.model.commands import CancelOrder, KillSwitch, ReplaceOrder, ResumeTrading, SubmitOrder
from nautilus.model.enums import CommandKind, EventKind, OrderType, Reason, SessionPhase, Side, violated_reasons
from nautilus.model.errors import BusError, ModelError, NautilusError, UnknownInstrumentError
from nautilus.model.events import UNASKED
from nautilus.model.ids import MAX_ID_32
from nautilus.model.instrument import Instrument
from nautilus.model.queries import (
    AmendRequest,
    CancelRequest,
    GetOrders,
    KillRequest,
    KillResult,
    KillSwitches,
    KillSwitchScope,
    OrderLine,
    OrderLines,
    OrderRequest,
    OrderResult,
)
from nautilus.model.records import EVENT_FIELDS, Records, command_array

_ACCOUNT, _ORDER, _INSTRUMENT = (EVENT_FIELDS[name] for name in ("account_id", "order_id", "instrument_id"))
_KIND, _REASON, _FLAGS = (EVENT_FIELDS[name] for name in ("kind", "reason", "flags"))
_QUANTITY, _LEAVES = (EVENT_FIELDS[name] for name in ("quantity", "leaves_quantity"))
_COUNTER_ACCOUNT, _COUNTER, _COUNTER_LEAVES = (
    EVENT_FIELDS[name] for name in ("counter_account_id", "counter_order_id", "counter_leaves_quantity")
)
Scope = tuple[int, int, int]
"""Account, instrument and strategy of a kill switch; 0: all."""
_CLIENT_BIT = 1 << 63
_NOT_OPEN = (Reason.UNKNOWN_ORDER, Reason.CLOSED_ORDER)
_IN_DOUBT = "bus.unknown"
_KNOWN_TEXTS = 100_000
"""Client ids that are remembered with their text; older ones are still known by number."""
_ID_DIGITS = 10
_MOST_NAMED = 5
"""Kill switches that an error names; more are counted."""


class UnknownAccountError(ModelError):
    """Not an account of a client."""

    code = "model.unknown_account"


class UnknownOrderError(ModelError):
    """No such order is open."""

    code = "model.unknown_order"


class UnknownKillSwitchError(ModelError):
    """The kill switch of that scope is not on, so it cannot be switched off."""

    code = "model.unknown_kill_switch"


class NotAppliedError(BusError):
    """The core did not do what it was told, for no fault of the sender."""

    code = "bus.not_applied"


class _Entered(NamedTuple):
    """What was entered under a client's own id; `instrument_id` 0: it is not known."""

    text: str
    instrument_id: int = 0
    side: int = 0
    quantity: int = 0
    price_ticks: int = 0

    def differing(self, other: _Entered) -> tuple[str, ...]:
        """Names of what is not the same in the other."""
        names = ("instrument", "side", "quantity", "price")
        pairs = zip(self[1:], other[1:], strict=True)
        return tuple(name for name, (mine, its) in zip(names, pairs, strict=True) if mine != its)


class OrderDesk:
    """Turns requests into commands, and what came of them into results.

    Parameters
    ----------
    core, instruments, last_client
        See `TradingEngine`.
    expander
        Knows the open orders.
    publish
        Takes events, the kind of their command, and the context, before the result is returned.
    settle
        Brings the expander up to what the core has said.
    """

    def __init__(
        self,
        core: Core,
        instruments: Iterable[Instrument],
        last_client: int,
        expander: ReportExpander,
        publish: Callable[[Records, CommandKind, Context], None],
        settle: Callable[[], object],
    ) -> None:
        self._core = core
        self._last_client = last_client
        self._expander = expander
        self._publish = publish
        self._settle = settle
        self._by_id = {instrument.instrument_id: instrument for instrument in instruments}
        self._by_symbol = {instrument.symbol: instrument for instrument in self._by_id.values()}
        self._entered: dict[int, _Entered] = {}  # by order id, where the client has given one of its own

    def instrument(self, text: str, where: str = "order") -> Instrument:
        """The instrument of a symbol or an id. UnknownInstrumentError names those that are known."""
        found = self._by_symbol.get(text)
        if found is None and len(text) <= _ID_DIGITS and text.isascii() and text.isdigit():
            found = self._by_id.get(int(text))
        if found is None:
            raise UnknownInstrumentError(
                f"instrument {quoted(text)}", where=where, expected=f"one of {', '.join(self._by_symbol)}"
            )
        return found

    def order(self, request: OrderRequest | AmendRequest | CancelRequest, ctx: Context) -> OrderResult:
        """Enter, change or cancel an order."""
        if not 1 <= request.account_id <= self._last_client:
            raise UnknownAccountError(
                f"account {request.account_id}", where="order", expected=f"1 to {self._last_client}"
            )
        if isinstance(request, OrderRequest):
            return self._enter(request, ctx)
        if not 0 < request.order_id < 1 << 64:
            raise ModelError(f"order_id {request.order_id}", where="order", expected="1 to 2^64 - 1")
        if isinstance(request, AmendRequest):
            return self._amend(request, ctx)
        return self._change(CancelOrder(request.account_id, 0, request.order_id), ctx)

    def kill(self, request: KillRequest, ctx: Context) -> KillResult:
        """Set or clear a kill switch; UnknownKillSwitchError where that of the scope is not on."""
        scope = self._scope_of(request)
        stopped = self._expander.stopped
        if not request.on:
            self._settle()
            if scope not in stopped:
                raise UnknownKillSwitchError(
                    f"the kill switch of {self._named(scope)} is not on, nothing was switched off",
                    where="kill switch",
                    expected=f"one that is on: {self._those_on()}",
                )
        kind = KillSwitch if request.on else ResumeTrading
        command = kind(account_id=scope[0], instrument_id=scope[1], strategy_id=scope[2])
        events = self._core.process(command_array(command.to_row(ctx.now_ns)))
        self._publish(events, command.kind, ctx)
        # What settles after it, the triggers of other orders for example, comes behind.
        applied = events[events["kind"] == EventKind.APPLIED]
        if not len(applied):
            raise self._not_applied(request.on, scope, events[-1])
        return KillResult(
            request.on,
            int(applied["quantity"][0]) if request.on else 0,
            0.0,
            account_id=scope[0],
            instrument_id=scope[1],
            symbol=self._symbol(scope[1]),
            strategy_id=scope[2],
            # What else is on, as far as it is known: the reports of this command may come later.
            scopes=self._scopes({*stopped, scope} if request.on else stopped - {scope}),
        )

    def switches(self) -> KillSwitches:
        """Kill switches that are on."""
        return KillSwitches(self._scopes(self._expander.stopped))

    def lines(self, request: GetOrders) -> OrderLines:
        """Open orders."""
        found = []
        for (account_id, order_id), order in self._expander.orders.items():
            if request.account_id not in (0, account_id):
                continue
            found.append(self._line(account_id, order_id, order))
        return OrderLines(tuple(found), self._expander.last_sequence)

    def _line(self, account_id: int, order_id: int, order: ClientOrder) -> OrderLine:
        instrument = self._by_id.get(order.instrument_id)
        phases = self._expander.phases
        phase = phases.get(order.instrument_id, phases.get(0, SessionPhase.CONTINUOUS))
        line = OrderLine(
            account_id=account_id,
            order_id=order_id,
            client_order_id=self._text_of(order_id),
            instrument_id=order.instrument_id,
            symbol="",
            side=Side(order.side),
            price="",
            quantity="",
            leaves_quantity="",
            strategy_id=order.strategy_id,
            state=order.state.name.lower(),
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            standing=order.standing(phase),
            flags=tuple(flag.name or "" for flag in order.flags),
            parent_order_id=order.parent_order_id,
        )
        if instrument is None:
            return line
        # A market order that waits has no price; that of a limit order can be zero where the instrument allows it.
        priced = order.price_ticks or order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        return replace(
            line,
            symbol=instrument.symbol,
            price=_text(instrument.price(order.price_ticks)) if priced else "",
            quantity=_text(instrument.quantity(order.quantity)),
            leaves_quantity=_text(instrument.quantity(order.leaves)),
            price_decimals=_decimals(instrument.price(1)),
            quantity_decimals=_decimals(instrument.quantity(1)),
            trigger=_text(instrument.price(order.trigger_ticks)) if order.trigger_ticks else "",
            display_quantity=_text(instrument.quantity(order.display)) if order.display else "",
        )

    def state(self) -> list[list[Any]]:
        """What was entered under client ids."""
        return [[order_id, *entered] for order_id, entered in self._entered.items()]

    def restore(self, state: Iterable[list[Any]]) -> None:
        """Take over what `state()` gave."""
        self._entered = {order_id: _Entered(*entered) for order_id, *entered in state}

    def _enter(self, request: OrderRequest, ctx: Context) -> OrderResult:
        instrument = self.instrument(request.instrument)
        if not 0 <= request.parent_order_id < 1 << 64:
            raise ModelError(f"parent_order_id {request.parent_order_id}", where="order", expected="0 to 2^64 - 1")
        order_id = _id_of(request) if request.client_order_id else ctx.next_id()
        command = submit_order(request, instrument, order_id)
        if not request.client_order_id:
            return self._carry_out(command, ctx)
        entered = _Entered(
            request.client_order_id, command.instrument_id, int(command.side), command.quantity, command.price_ticks
        )
        try:
            result = self._carry_out(command, ctx)
        except BusError as error:
            # It may be open; so may an earlier one that is in doubt as well, and that one came first.
            if error.code == _IN_DOUBT and order_id not in self._entered:
                self._remember(order_id, entered)
            raise
        if result.reason == Reason.DUPLICATE_ORDER:
            return self._original(result, entered)
        if result.status != "rejected":
            self._remember(order_id, entered)
        return replace(result, client_order_id=request.client_order_id)

    def _original(self, result: OrderResult, entered: _Entered) -> OrderResult:
        """The result of an order that repeats the client id of another: it tells of that one."""
        self._settle()
        order = self._expander.orders.get((result.account_id, result.order_id))
        known = self._entered.get(result.order_id)
        if known is None:
            known = _Entered(entered.text)
            if order is not None:
                known = _Entered(entered.text, order.instrument_id, order.side, order.quantity, order.price_ticks)
            self._remember(result.order_id, known)
        leaves, filled = "0" if order is None else "", ""
        instrument = self._by_id.get(order.instrument_id) if order is not None else None
        if order is not None and instrument is not None:
            leaves = _text(instrument.quantity(order.leaves))
            filled = _text(instrument.quantity(order.quantity - order.leaves))
        return replace(
            result,
            client_order_id=entered.text,
            leaves_quantity=leaves,
            filled_quantity=filled,
            order_state="closed" if order is None else "open",
            differs=known.differing(entered) if known.instrument_id else (),
        )

    def _amend(self, request: AmendRequest, ctx: Context) -> OrderResult:
        # The instrument is the order's: decimals need it before the core is asked.
        order = self._expander.orders.get((request.account_id, request.order_id))
        instrument = self._by_id.get(order.instrument_id) if order is not None else None
        if instrument is None:
            raise _not_open(request.account_id, request.order_id)
        kind = order.order_type if order is not None else OrderType.LIMIT
        return self._change(replace_order(request, instrument, kind), ctx)

    def _change(self, command: CancelOrder | ReplaceOrder, ctx: Context) -> OrderResult:
        result = self._carry_out(command, ctx)
        if result.status == "rejected" and result.reason in _NOT_OPEN:
            raise _not_open(command.account_id, command.order_id, result.reason)
        return result

    def _carry_out(self, command: SubmitOrder | CancelOrder | ReplaceOrder, ctx: Context) -> OrderResult:
        events = self._core.process(command_array(command.to_row(ctx.now_ns)))
        self._publish(events, command.kind, ctx)
        account_id, order_id = command.account_id, command.order_id
        filled, leaves, status, last = 0, 0, "unknown", events[-1].item()
        for event in events.tolist():
            if event[_KIND] == EventKind.FILLED and (event[_COUNTER_ACCOUNT], event[_COUNTER]) == (
                account_id,
                order_id,
            ):
                # It had come to rest already, and was met by what its own command let in.
                leaves = event[_COUNTER_LEAVES]
            elif event[_ACCOUNT] == account_id and event[_ORDER] == order_id:
                leaves = event[_LEAVES]
            else:
                continue
            last = event
            match event[_KIND]:
                case EventKind.FILLED:
                    filled += event[_QUANTITY]
                    status = "partially_filled" if leaves else "filled"
                case EventKind.ACCEPTED:
                    status = "accepted"
                case EventKind.TRIGGERED:
                    status = "triggered"
                case EventKind.REPLACED if event[_REASON] not in UNASKED:
                    status = "replaced"
                case EventKind.CANCELLED | EventKind.EXPIRED if not leaves:
                    status = "cancelled"
                case EventKind.ROUTED:
                    status = "routed"
                case EventKind.REJECTED:
                    status = "rejected"
                case EventKind.DUPLICATE:
                    status = "unknown"
        reason = last[_REASON]
        instrument = self._by_id.get(last[_INSTRUMENT])
        return OrderResult(
            order_id=order_id,
            status=status,
            latency_us=0.0,
            account_id=account_id,
            client_order_id=self._text_of(order_id),
            leaves_quantity=_text(instrument.quantity(leaves)) if instrument is not None else "",
            filled_quantity=_text(instrument.quantity(filled)) if instrument is not None else "",
            reason=Reason(reason),
            violated=violated_reasons(last[_FLAGS], reason) if status == "rejected" else (),
            sequence=last[0],
        )

    def _scope_of(self, request: KillRequest) -> Scope:
        """Account, instrument and strategy, 0: all."""
        if request.strategy_id and (not request.account_id or request.instrument_id or request.instrument):
            raise ModelError(
                f"strategy_id {request.strategy_id} of account {request.account_id}",
                where="kill switch",
                expected="a strategy of one account, without an instrument",
            )
        _check_scope(request.account_id, "account_id")
        _check_scope(request.instrument_id, "instrument_id")
        # "" is none that is known: who meant to name one must not stop, or start, everything.
        if request.instrument in (None, "0"):
            return request.account_id, request.instrument_id, request.strategy_id
        found = self.instrument(request.instrument, "kill switch").instrument_id
        if request.instrument_id not in (0, found):
            raise ModelError(
                f"instrument {quoted(request.instrument)} and instrument_id {request.instrument_id}",
                where="kill switch",
                expected="one of them, or both of the same instrument",
            )
        return request.account_id, found, 0

    def _not_applied(self, on: bool, scope: Scope, last: np.void) -> NautilusError:
        reason = Reason(int(last["reason"]))
        said = EventKind(int(last["kind"])).name if not reason else reason.name
        what = f"the kill switch of {self._named(scope)} was not switched {'on' if on else 'off'}: {said}"
        if reason in (Reason.UNKNOWN_INSTRUMENT, Reason.UNKNOWN_ACCOUNT):
            error = UnknownInstrumentError if reason == Reason.UNKNOWN_INSTRUMENT else UnknownAccountError
            return error(what, where="kill switch", expected="0 (all) or ids that the core knows")
        return NotAppliedError(what, where="trading core", expected="APPLIED; send it again")

    def _scopes(self, stopped: Iterable[Scope]) -> tuple[KillSwitchScope, ...]:
        return tuple(
            KillSwitchScope(account_id, instrument_id, self._symbol(instrument_id), strategy_id)
            for account_id, instrument_id, strategy_id in sorted(stopped)
        )

    def _symbol(self, instrument_id: int) -> str:
        instrument = self._by_id.get(instrument_id)
        return "" if instrument is None else instrument.symbol

    def _named(self, scope: Scope) -> str:
        account_id, instrument_id, strategy_id = scope
        symbol = self._symbol(instrument_id)
        parts = [f"account {account_id}"] if account_id else []
        if instrument_id:
            parts.append(f"instrument {symbol or instrument_id}")
        if strategy_id:
            parts.append(f"strategy {strategy_id}")
        return " with ".join(parts) or "everything"

    def _those_on(self) -> str:
        names = [self._named(scope) for scope in sorted(self._expander.stopped)]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return f"{', '.join(names[:_MOST_NAMED])}{more}" if names else "none is"

    def _remember(self, order_id: int, entered: _Entered) -> None:
        self._entered[order_id] = entered
        if len(self._entered) > _KNOWN_TEXTS:
            del self._entered[next(iter(self._entered))]

    def _text_of(self, order_id: int) -> str:
        entered = self._entered.get(order_id)
        return "" if entered is None else entered.text


def _id_of(request: OrderRequest) -> int:
    """The same text of an account is the same number, also after a restart: the core refuses the second one."""
    digest = blake2b(request.client_order_id.encode(), digest_size=8, key=str(request.account_id).encode())
    return int.from_bytes(digest.digest(), "little") | _CLIENT_BIT


def _not_open(account_id: int, order_id: int, reason: Reason = Reason.NONE) -> UnknownOrderError:
    why = f": {reason.name}" if reason else ""
    return UnknownOrderError(
        f"order {order_id} of account {account_id} is not open{why}", where="order", expected="an open order"
    )


def _check_scope(number: int, name: str) -> None:
    if not 0 <= number <= MAX_ID_32:
        raise ModelError(f"{name} {number}", where="kill switch", expected=f"0 (all) to {MAX_ID_32}")


def _decimals(increment: Decimal) -> int:
    exponent = increment.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _text(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
