"""Orders as people and other programs write them: decimals and texts in, one result out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import blake2b

from nautilus.engines.base import Context, Core
from nautilus.engines.trading.reports import ReportExpander
from nautilus.model.commands import CancelOrder, KillSwitch, ReplaceOrder, ResumeTrading, SubmitOrder
from nautilus.model.enums import (
    CommandKind,
    EventKind,
    OrderFlag,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    violated_reasons,
)
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument
from nautilus.model.queries import (
    AmendRequest,
    CancelRequest,
    GetOrders,
    KillRequest,
    KillResult,
    OrderLine,
    OrderLines,
    OrderRequest,
    OrderResult,
)
from nautilus.model.records import EVENT_FIELDS, Records, command_array

_ACCOUNT, _ORDER, _INSTRUMENT = (EVENT_FIELDS[name] for name in ("account_id", "order_id", "instrument_id"))
_KIND, _REASON, _FLAGS = (EVENT_FIELDS[name] for name in ("kind", "reason", "flags"))
_QUANTITY, _LEAVES = (EVENT_FIELDS[name] for name in ("quantity", "leaves_quantity"))
_CLIENT_BIT = 1 << 63
_KNOWN_TEXTS = 100_000
"""Client ids that are remembered with their text; older ones are still known by number."""


class UnknownAccountError(ModelError):
    """Not an account of a client."""

    code = "model.unknown_account"


class UnknownOrderError(ModelError):
    """No such order is open."""

    code = "model.unknown_order"


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
    """

    def __init__(
        self,
        core: Core,
        instruments: Iterable[Instrument],
        last_client: int,
        expander: ReportExpander,
        publish: Callable[[Records, CommandKind, Context], None],
    ) -> None:
        self._core = core
        self._last_client = last_client
        self._expander = expander
        self._publish = publish
        self._by_id = {instrument.instrument_id: instrument for instrument in instruments}
        self._by_symbol = {instrument.symbol: instrument for instrument in self._by_id.values()}
        self._texts: dict[int, str] = {}  # order id -> the client's own

    def instrument(self, text: str) -> Instrument:
        """The instrument of a symbol or an id. UnknownInstrumentError names those that are known."""
        found = self._by_symbol.get(text) or (self._by_id.get(int(text)) if text.isdecimal() else None)
        if found is None:
            raise UnknownInstrumentError(
                f"instrument {text!r}", where="order", expected=f"one of {', '.join(self._by_symbol)}"
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
        command = CancelOrder(request.account_id, 0, request.order_id)
        return self._carry_out(command_array(command.to_row(ctx.now_ns)), command.kind, request.account_id, ctx)

    def kill(self, request: KillRequest, ctx: Context) -> KillResult:
        """Set or clear a kill switch."""
        kind = KillSwitch if request.on else ResumeTrading
        command = kind(request.account_id, request.instrument_id)
        events = self._core.process(command_array(command.to_row(ctx.now_ns)))
        self._publish(events, command.kind, ctx)
        last = events[-1]
        if last["kind"] == EventKind.REJECTED:
            reason = Reason(int(last["reason"]))
            error = UnknownInstrumentError if reason == Reason.UNKNOWN_INSTRUMENT else UnknownAccountError
            raise error(
                f"kill switch of account {request.account_id}, instrument {request.instrument_id}: {reason.name}",
                expected="0 (all) or ids that the core knows",
            )
        return KillResult(request.on, int(last["quantity"]) if request.on else 0, 0.0)

    def lines(self, request: GetOrders) -> OrderLines:
        """Open orders."""
        found = []
        for (account_id, order_id), order in self._expander.orders.items():
            if request.account_id not in (0, account_id):
                continue
            instrument = self._by_id.get(order.instrument_id)
            found.append(
                OrderLine(
                    account_id=account_id,
                    order_id=order_id,
                    client_order_id=self._texts.get(order_id, ""),
                    instrument_id=order.instrument_id,
                    symbol=instrument.symbol if instrument is not None else "",
                    side=Side(order.side),
                    price=_text(instrument.price(order.price_ticks)) if instrument is not None else "",
                    quantity=_text(instrument.quantity(order.quantity)) if instrument is not None else "",
                    leaves_quantity=_text(instrument.quantity(order.leaves)) if instrument is not None else "",
                    strategy_id=order.strategy_id,
                    state="open",
                )
            )
        return OrderLines(tuple(found), self._expander.last_sequence)

    def state(self) -> list[list[object]]:
        """Texts of client ids."""
        return [[order_id, text] for order_id, text in self._texts.items()]

    def restore(self, state: Iterable[list[object]]) -> None:
        """Take over what `state()` gave."""
        self._texts = {int(str(order_id)): str(text) for order_id, text in state}

    def _enter(self, request: OrderRequest, ctx: Context) -> OrderResult:
        instrument = self.instrument(request.instrument)
        market = not request.price
        order_type = OrderType.MARKET if market and request.order_type == OrderType.LIMIT else request.order_type
        if request.client_order_id:
            # The same text is the same number, also after a restart: the core refuses the second one.
            digest = blake2b(request.client_order_id.encode(), digest_size=8, key=str(request.account_id).encode())
            order_id = int.from_bytes(digest.digest(), "little") | _CLIENT_BIT
            self._remember(order_id, request.client_order_id)
        else:
            order_id = ctx.next_id()
        command = SubmitOrder(
            account_id=request.account_id,
            instrument_id=instrument.instrument_id,
            order_id=order_id,
            side=request.side,
            quantity=instrument.lots(request.quantity),
            price_ticks=0 if market else instrument.ticks(request.price),
            order_type=order_type,
            # A market order cannot rest: unless something else is asked for, what it does not get at once is dropped.
            time_in_force=(
                TimeInForce.IOC if market and request.time_in_force == TimeInForce.GTC else request.time_in_force
            ),
            flags=OrderFlag.POST_ONLY if request.post_only else OrderFlag(0),
            expire_ns=request.expire_ns,
            deadline_ns=request.deadline_ns,
        )
        return self._carry_out(command_array(command.to_row(ctx.now_ns)), command.kind, request.account_id, ctx)

    def _amend(self, request: AmendRequest, ctx: Context) -> OrderResult:
        # The instrument is the order's: decimals need it before the core is asked.
        order = self._expander.orders.get((request.account_id, request.order_id))
        instrument = self._by_id.get(order.instrument_id) if order is not None else None
        if instrument is None:
            raise UnknownOrderError(f"order {request.order_id}", where="order", expected="an open order of the account")
        command = ReplaceOrder(
            account_id=request.account_id,
            instrument_id=instrument.instrument_id,
            order_id=request.order_id,
            quantity=instrument.lots(request.quantity),
            price_ticks=instrument.ticks(request.price),
        )
        return self._carry_out(command_array(command.to_row(ctx.now_ns)), command.kind, request.account_id, ctx)

    def _carry_out(self, commands: Records, kind: CommandKind, account_id: int, ctx: Context) -> OrderResult:
        events = self._core.process(commands)
        self._publish(events, kind, ctx)
        order_id = int(commands["order_id"][0])
        filled, leaves, status, last = 0, 0, "unknown", events[-1].item()
        for event in events.tolist():
            if event[_ACCOUNT] != account_id or event[_ORDER] != order_id:
                continue
            last = event
            match event[_KIND]:
                case EventKind.FILLED:
                    filled += event[_QUANTITY]
                    leaves = event[_LEAVES]
                    status = "partially_filled" if leaves else "filled"
                case EventKind.ACCEPTED:
                    status, leaves = "accepted", event[_LEAVES]
                case EventKind.REPLACED:
                    status, leaves = "replaced", event[_LEAVES]
                case EventKind.CANCELLED | EventKind.EXPIRED:
                    status, leaves = "cancelled", 0
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
            client_order_id=self._texts.get(order_id, ""),
            leaves_quantity=_text(instrument.quantity(leaves)) if instrument is not None else "",
            filled_quantity=_text(instrument.quantity(filled)) if instrument is not None else "",
            reason=Reason(reason),
            violated=violated_reasons(last[_FLAGS], reason) if status == "rejected" else (),
            sequence=last[0],
        )

    def _remember(self, order_id: int, text: str) -> None:
        self._texts[order_id] = text
        if len(self._texts) > _KNOWN_TEXTS:
            del self._texts[next(iter(self._texts))]


def _text(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
