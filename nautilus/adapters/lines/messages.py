"""What is said on the line, as structs; and the reports that a session is handed for it.

Each message of the venue carries the session that it belongs to and its number in it, from 1 on without a gap: so one
that is lost is found, and one that was overtaken by a later one is told from the present state.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nautilus.core.types import MAX_PRICE_TICKS, MAX_QUANTITY_LOTS, CommandKind, OrderFlag, OrderType, Side, TimeInForce
from nautilus.model.errors import ModelError
from nautilus.model.ids import MAX_ID_32
from nautilus.model.venue import (
    Accepted,
    Cancelled,
    Filled,
    OrderKey,
    Recovered,
    Rejected,
    Replaced,
    Status,
    VenueLostError,
    VenueOrder,
    VenueReport,
)

_LOG = logging.getLogger("nautilus.venue")
MOST_KEPT = 4_096
Count = Annotated[int, Meta(ge=0, le=(1 << 62))]
Ticks = Annotated[int, Meta(ge=-MAX_PRICE_TICKS, le=MAX_PRICE_TICKS)]
Lots = Annotated[int, Meta(ge=1, le=MAX_QUANTITY_LOTS)]
ClientId = Annotated[str, Meta(max_length=64)]
InstrumentId = Annotated[int, Meta(ge=0, le=MAX_ID_32)]
VenueText = Annotated[str, Meta(min_length=1, max_length=256)]


class Execution(msgspec.Struct, frozen=True):
    """One execution; `side` of the order."""

    client_id: ClientId
    instrument: InstrumentId
    side: Literal["BUY", "SELL"]
    price: Ticks
    quantity: Lots
    execution: VenueText


class Said(msgspec.Struct, frozen=True, tag_field="say", kw_only=True):
    """Anything that the venue says."""

    session: Count
    number: Count = 0


class SaidSession(Said, tag="session", frozen=True):
    """The session is open; the first thing said in it, without a number."""


class SaidHere(Said, tag="here", frozen=True):
    """The venue is there; `number` is that of the last message before."""


class SaidAccepted(Said, tag="accepted", frozen=True, kw_only=True):
    """See `Accepted`."""

    client_id: ClientId
    instrument: InstrumentId
    reference: VenueText


class SaidRejected(Said, tag="rejected", frozen=True, kw_only=True):
    """See `Rejected`."""

    client_id: ClientId
    instrument: InstrumentId
    request: Literal["NEW", "CANCEL", "REPLACE"]


class SaidFilled(Said, tag="filled", frozen=True, kw_only=True):
    """See `Filled`."""

    client_id: ClientId
    instrument: InstrumentId
    side: Literal["BUY", "SELL"]
    price: Ticks
    quantity: Lots
    execution: VenueText


class SaidCancelled(Said, tag="cancelled", frozen=True, kw_only=True):
    """See `Cancelled`."""

    client_id: ClientId
    instrument: InstrumentId
    expired: bool = False
    filled: Annotated[int, Meta(ge=-1, le=MAX_QUANTITY_LOTS)] = -1


class SaidReplaced(Said, tag="replaced", frozen=True, kw_only=True):
    """See `Replaced`."""

    client_id: ClientId
    instrument: InstrumentId
    price: Ticks
    quantity: Lots


class SaidStatus(Said, tag="status", frozen=True, kw_only=True):
    """See `Status`; its executions, where they were not said before."""

    client_id: ClientId
    instrument: InstrumentId
    known: bool
    open: bool = False
    expired: bool = False
    price: Ticks = 0
    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY_LOTS)] = 0
    reference: Annotated[str, Meta(max_length=256)] = ""
    executions: tuple[Execution, ...] = ()


class SaidRecovered(Said, tag="recovered", frozen=True, kw_only=True):
    """See `Recovered`; executions, where they were not said before."""

    executions: tuple[Execution, ...] = ()


VenueMessage = (
    SaidSession
    | SaidHere
    | SaidAccepted
    | SaidRejected
    | SaidFilled
    | SaidCancelled
    | SaidReplaced
    | SaidStatus
    | SaidRecovered
)
_DECODER = msgspec.json.Decoder(VenueMessage)


def decode(content: bytes) -> VenueMessage:
    """A line of the venue. VenueLostError where it is none: what else it said cannot be trusted to be whole."""
    try:
        message: VenueMessage = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VenueLostError(f"message {content[:200]!r}: {error}", expected="one of docs/venues.md") from None
    return message


def submission(order: VenueOrder) -> dict[str, Any]:
    """An order as the venue takes it; what is 0 or empty is left out."""
    known = {
        "side": Side(order.side).name,
        "type": OrderType(order.order_type).name,
        "time_in_force": TimeInForce(order.time_in_force).name,
        "flags": [flag.name for flag in OrderFlag if order.flags & flag],
        "price": order.price_ticks,
        "quantity": order.quantity,
        "display": order.display_quantity,
        "trigger": order.trigger_ticks,
        "expire_ns": order.expire_ns,
    }
    return request("submit", order.key, **{name: value for name, value in known.items() if value})


def request(what: str, key: OrderKey, **fields: Any) -> dict[str, Any]:
    """A request about an order."""
    return {"do": what, "client_id": key.client_id, "instrument": key.instrument_id, **fields}


class Translator:
    """The venue's messages as reports; it finds out where some are missing.

    Parameters
    ----------
    missing_ns
        One that does not come within so long is lost.
    """

    def __init__(self, missing_ns: int) -> None:
        self._missing_ns = missing_ns
        self.foreign = 0
        """Reports of orders that are none of ours."""
        self.begin(0)

    def begin(self, session: int) -> None:
        """Of a new session, which counts anew."""
        self._session = session
        self._seen: set[int] = set()
        self._below = 0  # every number up to here was seen
        self._highest = 0
        self._hole_ns = 0  # since when a number is missing
        self._newest: dict[str, int] = {}  # last message about each order's price and quantity

    def take(self, message: VenueMessage, now_ns: int) -> list[VenueReport]:
        """One message; a second copy of it too, as the core knows what it was told before."""
        number = message.number
        if message.session != self._session or isinstance(message, SaidSession):
            return []
        copy = number <= self._below or number in self._seen
        self._count(number, counted=not isinstance(message, SaidHere), now_ns=now_ns)
        if isinstance(message, SaidReplaced | SaidStatus):
            if copy or number < self._newest.get(message.client_id, 0):
                executions = message.executions if isinstance(message, SaidStatus) else ()
                return self._known(_filled, executions)  # overtaken
            self._newest[message.client_id] = number
            if len(self._newest) > MOST_KEPT:
                # What came of them from here on is a copy, or newer.
                self._newest = {name: last for name, last in self._newest.items() if last > self._below}
        try:
            return [*self._known(_filled, getattr(message, "executions", ())), *_reports(message)]
        except ModelError as error:
            self._foreign(error)
            return []

    def check(self, now_ns: int) -> None:
        """VenueLostError where a message is missing for too long."""
        if self._hole_ns and now_ns - self._hole_ns > self._missing_ns:
            raise VenueLostError(f"message {self._below + 1} did not come", expected=f"all up to {self._highest}")

    def _count(self, number: int, *, counted: bool, now_ns: int) -> None:
        self._highest = max(self._highest, number)
        if counted and number > self._below:
            self._seen.add(number)
            while self._below + 1 in self._seen:
                self._below += 1
                self._seen.discard(self._below)
                self._hole_ns = now_ns  # another one may be missing now
        if self._below == self._highest:
            self._hole_ns = 0
        elif self._hole_ns == 0:
            self._hole_ns = now_ns

    def _known(self, make: Any, executions: Sequence[Execution]) -> list[VenueReport]:
        """Reports of the executions, but for those of orders that are none of ours."""
        found: list[VenueReport] = []
        for execution in executions:
            try:
                found.append(make(execution))
            except ModelError as error:
                self._foreign(error)
        return found

    def _foreign(self, error: ModelError) -> None:
        self.foreign += 1
        if self.foreign == 1:
            _LOG.warning("the venue speaks of an order that is none of ours (%s); such reports are left out", error)


def _filled(execution: Execution | SaidFilled) -> Filled:
    return Filled(
        OrderKey.of(execution.client_id, execution.instrument),
        Side[execution.side],
        execution.price,
        execution.quantity,
        execution.execution,
    )


def _reports(message: VenueMessage) -> Sequence[VenueReport]:
    """What is made of a message, its executions apart. ModelError: it is of an order that is none of ours."""
    if isinstance(message, SaidHere | SaidSession):
        return ()
    if isinstance(message, SaidRecovered):
        return (Recovered(),)
    key = OrderKey.of(message.client_id, message.instrument)
    match message:
        case SaidAccepted():
            return (Accepted(key, message.reference),)
        case SaidRejected():
            return (Rejected(key, CommandKind[message.request]),)
        case SaidFilled():
            return (_filled(message),)
        case SaidCancelled():
            return (Cancelled(key, message.expired, message.filled),)
        case SaidReplaced():
            return (Replaced(key, message.price, message.quantity),)
        case SaidStatus() if not message.known:
            return (Status(key, known=False),)
        case SaidStatus():
            return (
                Status(
                    key,
                    known=True,
                    open=message.open,
                    expired=message.expired,
                    price_ticks=message.price,
                    quantity=message.quantity,
                    reference=message.reference,
                ),
            )
    raise AssertionError(message)
