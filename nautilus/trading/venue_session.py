"""A venue's session: requests of the core go to the venue, what the venue says to the core. A process of its own.

Threading contract: one thread; it waits in `step` alone. The session decides nothing about an order, by three rules:

1. **Nothing is sent twice.** A request is sent where its ROUTED event is read for the first time by a session that had
   told the core, before that event, that it begins. What was routed before may have been sent by another life: it is
   asked after.
2. **What is not known is asked after.** A beginning, a lost line, an answer that does not come: UNKNOWN, then `query`,
   again and again until the venue answers.
3. **No new order before all is known.** Accounts are reconciled when the venue has told every execution and the fate
   of each unknown order, and the core has taken all of it.

So a session needs no store of its own: it reads the core's events from the beginning and is where any other life would
be. Rules: docs/kernel-venues.md; for writers of adapters: docs/venues.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from enum import IntEnum
from select import select

import numpy as np

from nautilus.core.clock import now_ns
from nautilus.core.types import COMMAND, CommandKind, EventKind, Reason
from nautilus.model.errors import InternalError, ModelError
from nautilus.model.records import EVENT_FIELDS, Records
from nautilus.model.venue import (
    Accepted,
    Cancelled,
    Filled,
    OrderKey,
    Recovered,
    Rejected,
    Replaced,
    Status,
    VenueAdapter,
    VenueLostError,
    VenueReport,
    number_of,
)
from nautilus.trading.client import CoreAbsentError, CoreBatch, CoreBusyError, CoreClient
from nautilus.trading.venue_orders import Request, RoutedOrder, VenueOrders

_LOG = logging.getLogger("nautilus.venue")
VENUE_SOURCES = 0x1000
"""A session's source id is this and its venue id."""
MOST_UNDER_WAY = 4_096
"""Reports that the core has not answered for, at most."""
CHECK_NS = 50_000_000
JOIN_NS = 1_000_000
NANOSECONDS = 1_000_000_000
_KIND, _REASON = EVENT_FIELDS["kind"], EVENT_FIELDS["reason"]
_ACCOUNT, _ORDER, _INSTRUMENT = EVENT_FIELDS["account_id"], EVENT_FIELDS["order_id"], EVENT_FIELDS["instrument_id"]
_SOURCE, _NUMBER = EVENT_FIELDS["source_id"], EVENT_FIELDS["source_sequence"]
ORDER_IS_OVER = (Reason.CLOSED_ORDER, Reason.UNKNOWN_ORDER)


class SessionState(IntEnum):
    """How far a session is."""

    BEGUN = 1  # the core is being told that nothing is known
    CONNECTING = 2  # the core knows; the venue is not there yet
    RECOVERING = 3  # the venue is telling what it knows
    RECONCILING = 4  # all is told; the core is asked to open the accounts
    LIVE = 5


class VenueSession:
    """One venue's session.

    Parameters
    ----------
    adapter
        Speaks the venue's protocol.
    client
        This process's slot of the core, `after` 0 unless `orders` says what came before.
    instruments
        Every instrument of the venue that the core has.
    patience_ns
        The venue owes an answer to a request for so long; then its order is unknown.
    ask_every_ns
        A query without an answer is repeated after this time.
    clock
        Monotonic time in nanoseconds.
    accounts
        Those that may trade at the venue; None: all that the core has. No other one is ever reconciled there.

    Attributes
    ----------
    state : how far it is.
    lost : times that the line to the venue was lost.
    strays : orders that the venue had and the core did not; they were cancelled at the venue.
    """

    def __init__(
        self,
        adapter: VenueAdapter,
        client: CoreClient,
        instruments: Iterable[int],
        *,
        patience_ns: int = 10_000_000_000,
        ask_every_ns: int = 2_000_000_000,
        clock: Callable[[], int] = now_ns,
        accounts: Collection[int] | None = None,
    ) -> None:
        self.adapter = adapter
        self._venue_id = adapter.venue_id
        self.orders = VenueOrders(instruments)
        self.state = SessionState.BEGUN
        self.lost = 0
        self.strays = 0
        self._client = client
        self._clock = clock
        self._accounts = accounts
        self._patience_ns, self._ask_every_ns = patience_ns, ask_every_ns
        self._any_instrument = int(self.orders.instruments[0])
        self._outbox: list[Records] = []  # what the core is still to be handed
        self._sent: dict[int, Records] = {}  # what it has not answered for, by number
        self._announced = 0  # number of the VENUE_UNKNOWN that began this session; 0: it is still to be sent
        self._not_before_ns = 0
        self._known = False  # the core has carried it out: ROUTED events from now on are for this session
        self._recovered = False
        self._opening: dict[int, int] = {}  # number of a VENUE_ACCEPTED of an account: the account
        self._reconciled: set[int] = set()
        self._straying: dict[OrderKey, int] = {}  # strays that may still work, and when they were last asked after
        self._restarts = client.restarts
        self._looked_ns = self._checked_ns = 0

    @property
    def live(self) -> bool:
        """Everything is known and the accounts are open."""
        return self.state == SessionState.LIVE

    @property
    def reconciled(self) -> int:
        """Accounts that are open at the venue."""
        return len(self._reconciled)

    @property
    def straying(self) -> int:
        """Strays that may still work at the venue."""
        return len(self._straying)

    @property
    def under_way(self) -> int:
        """Reports that the core has not taken yet."""
        return len(self._outbox) + len(self._sent)

    def step(self, wait_ns: int = 0) -> None:
        """One turn: take from the core, then from the venue, waiting for at most so long in all."""
        self._client.beat()
        batch = self._client.poll(wait_ns // 2)
        now = self._clock()
        if now - self._checked_ns > CHECK_NS:
            self._checked_ns = now
            self._client.check()
        if self._client.ahead:
            raise InternalError(
                f"the core knows no event {self._client.last_sequence}",
                where=f"venue {self.adapter.venue_id}",
                expected="every event that was read; a new session reads them again",
            )
        if self._client.restarts != self._restarts:
            # What was routed before it went, and read after, is asked after like all the rest.
            self._restarts = self._client.restarts
            if self.state != SessionState.BEGUN:
                _LOG.warning("the core was restarted: everything is asked after")
                self._begin()
        if batch is not None:
            self._from_core(batch)
        if self._announced == 0:
            self._announce()
        try:
            self._at_venue(wait_ns - wait_ns // 2)
        except VenueLostError as error:
            self.lost += 1
            _LOG.warning("the line to venue %d is lost: %s", self._venue_id, error)
            self._begin()
        self._flush()

    def wait(self, wait_ns: int, *others: int) -> None:
        """Until the core, the venue, or one of these descriptors has something, for at most so long."""
        joining = self._client.joining
        if not joining and not self._client.arm():
            return
        ends = (self._client.fileno(), self.adapter.fileno())
        wait_ns = min(wait_ns, JOIN_NS) if joining else wait_ns
        select([*others, *(end for end in ends if end >= 0)], [], [], wait_ns / 1e9)
        if not joining:
            self._client.disarm()

    def end(self, wait_ns: int = NANOSECONDS) -> None:
        """Tell the core that nothing is known from here on, and close; the orders stay where they are.

        What the venue said before is handed over first. A core that does not answer within `wait_ns` is left as it is:
        it finds the slot empty, and says the same to itself.
        """
        self._begin()
        until_ns = self._clock() + wait_ns
        while not (self._announced and self._known) and not self._client.absent and self._clock() < until_ns:
            batch = self._client.poll(JOIN_NS)
            if batch is not None:
                self._from_core(batch)
            elif self._client.joining:
                select([], [], [], JOIN_NS / 1e9)
            if not self._announced:
                self._announce()
        self.close()

    def close(self) -> None:
        """End the line to the venue and give the slot back; the orders stay where they are."""
        self.adapter.close()
        self._client.close()

    # -- beginning -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Nothing is known from here on."""
        self.adapter.close()
        self.state = SessionState.BEGUN
        self._announced = 0
        self._known = self._recovered = False
        self._opening.clear()
        self._reconciled.clear()
        self._straying.clear()  # those that still work are found again
        self._announce()

    def _announce(self) -> None:
        """VENUE_UNKNOWN of the session, behind every report that is on its way."""
        self._flush()
        if self._outbox or self._client.absent or self._client.joining or self._clock() < self._not_before_ns:
            return
        row = self._row(CommandKind.VENUE_UNKNOWN, OrderKey(0, 0, self._any_instrument))
        try:
            self._announced = self._client.submit(row)
        except (CoreAbsentError, CoreBusyError):
            return
        self._sent[self._announced] = row

    # -- the core ------------------------------------------------------------------------------------------------

    def _from_core(self, batch: CoreBatch) -> None:
        events = batch.events
        if len(events):
            concerned = self.orders.concerns(events, batch.kinds)
            concerned |= events["source_id"] == self._client.source_id
            for event, cause in zip(events[concerned].tolist(), batch.kinds[concerned].tolist(), strict=True):
                self._event(event, cause)
        refused = {int(number) for number in batch.refusals["source_sequence"]}
        done = [number for number in self._sent if number <= batch.completed]
        for number in done:
            row = self._sent.pop(number)
            if number in refused:
                self._again(number, row)

    def _again(self, number: int, row: Records) -> None:
        """The core had no room for it."""
        if number == self._announced:
            self._announced = 0
        elif self._opening.pop(number, None) is None:
            self._outbox.append(row)

    def _event(self, event: tuple[int, ...], cause: int) -> None:
        own = event[_SOURCE] == self._client.source_id
        if own and event[_ORDER] == 0 and cause in (CommandKind.VENUE_UNKNOWN, CommandKind.VENUE_ACCEPTED):
            self._of_session(event)
            return
        if event[_ORDER] == 0 and cause == CommandKind.VENUE_UNKNOWN and event[_KIND] == EventKind.APPLIED:
            if self._known:
                _LOG.warning("the core has closed the accounts at venue %d: everything is asked after", self._venue_id)
                self._begin()
            return
        request = self.orders.take(event, cause, self._clock())
        if request is not None:
            if self._known:
                self._ask(request)
        elif (
            own
            and event[_KIND] == EventKind.REJECTED
            and event[_REASON] in ORDER_IS_OVER
            and cause in (CommandKind.VENUE_ACCEPTED, CommandKind.VENUE_REPLACED)
        ):
            self._stray(OrderKey(event[_ACCOUNT], event[_ORDER], event[_INSTRUMENT]))

    def _of_session(self, event: tuple[int, ...]) -> None:
        if self._announced and event[_NUMBER] == self._client.told(self._announced):
            if event[_KIND] == EventKind.APPLIED:
                self._known = True
                self.orders.all_unknown()
                if self.state == SessionState.BEGUN:
                    self.state = SessionState.CONNECTING
            else:
                # The core has no instrument of the venue yet.
                self._announced, self._not_before_ns = 0, self._clock() + self._ask_every_ns
            return
        for number, account in list(self._opening.items()):
            if event[_NUMBER] == self._client.told(number):
                del self._opening[number]
                if event[_KIND] == EventKind.APPLIED:
                    self._reconciled.add(account)

    def _ask(self, request: Request) -> None:
        """Hand a request to the venue, once. A line that is lost here has the order asked after, whatever was sent."""
        if self.state < SessionState.RECOVERING:
            return  # its order is unknown, or will be asked after as one that is pending
        key = request.order.key
        try:
            if request.kind == CommandKind.NEW:
                self.adapter.submit(request.order.request)
            elif request.kind == CommandKind.CANCEL:
                self.adapter.cancel(key)
            else:
                self.adapter.replace(key, request.price_ticks, request.quantity, request.trigger_ticks)
        except VenueLostError as error:
            self.lost += 1
            _LOG.warning("the line to venue %d is lost: %s", self._venue_id, error)
            self._begin()

    def _stray(self, key: OrderKey) -> None:
        """The venue works an order that the core holds closed, or never had: it is cancelled there until it is gone."""
        if self.state < SessionState.RECOVERING:
            return
        if key not in self._straying:
            self.strays += 1
            _LOG.warning("order %s works at the venue and is not open here: it is cancelled there", key.client_id)
        self._straying[key] = self._clock()
        try:
            self.adapter.cancel(key)
        except VenueLostError:
            self._begin()

    # -- the venue -----------------------------------------------------------------------------------------------

    def _at_venue(self, wait_ns: int) -> None:
        if self.state == SessionState.BEGUN:
            return
        if self.state == SessionState.CONNECTING:
            if not self.adapter.connect():
                return
            self.state = SessionState.RECOVERING
            self._recovered = False
            self.adapter.recover()
        for report in self.adapter.poll(wait_ns if self._client.current or self._client.absent else 0):
            self._report(report)
        now = self._clock()
        if now - self._looked_ns > min(self._ask_every_ns, self._patience_ns) // 8:
            self._looked_ns = now
            self._look(now)
        if self.state != SessionState.LIVE:
            self._reconcile(now)
        elif len(self._reconciled) < len(self._wanted()):
            self._open_accounts()  # the core has opened more since

    def _look(self, now: int) -> None:
        """Ask after what is unknown, or strays; call unknown what was not answered in time."""
        for key, asked_ns in self._straying.items():
            if now - asked_ns > self._ask_every_ns:
                self._straying[key] = now
                self.adapter.query(key)
        for order in list(self.orders.unknown()):
            if order.asked_ns == 0 or now - order.asked_ns > self._ask_every_ns:
                order.asked_ns = now
                self.adapter.query(order.key)
        for order in list(self.orders.pending()):
            if now - order.since_ns > self._patience_ns:
                order.since_ns = now
                self._tell(CommandKind.VENUE_UNKNOWN, order.key)

    def _reconcile(self, now: int) -> None:
        """Open the accounts once everything is known here and taken there."""
        if not self._recovered:
            return
        if self.state == SessionState.RECOVERING:
            if next(self.orders.unknown(), None) is not None:
                self._look(now)
                return
            if self._outbox or self._sent or not self._client.current:
                return
            self.state = SessionState.RECONCILING
        if self._open_accounts():
            self.state = SessionState.LIVE
            _LOG.info("venue %d: %d orders open, all known", self.adapter.venue_id, len(self.orders))
        elif next(self.orders.unknown(), None) is not None:
            self.state = SessionState.RECOVERING

    def _open_accounts(self) -> bool:
        """Ask the core to reconcile each account that is not; whether all are."""
        missing = self._wanted() - self._reconciled - set(self._opening.values())
        for account in sorted(missing):
            row = self._row(CommandKind.VENUE_ACCEPTED, OrderKey(account, 0, self._any_instrument))
            try:
                number = self._client.submit(row)
            except (CoreAbsentError, CoreBusyError):
                return False
            self._sent[number] = row
            self._opening[number] = account
        return not missing and not self._opening

    def _wanted(self) -> set[int]:
        """The core's accounts that may trade here."""
        accounts = self.orders.accounts
        return accounts if self._accounts is None else accounts.intersection(self._accounts)

    def _report(self, report: VenueReport) -> None:
        venue = self.adapter.venue_id
        match report:
            case Accepted(key, reference):
                self._tell(CommandKind.VENUE_ACCEPTED, key, venue_reference=number_of(reference, venue))
            case Rejected(key, request):
                self._tell(CommandKind.VENUE_REJECTED, key, group_id=request)
            case Filled(key, side, price_ticks, quantity, execution_id):
                self._tell(
                    CommandKind.VENUE_FILL,
                    key,
                    side=side,
                    price_ticks=price_ticks,
                    quantity=quantity,
                    venue_reference=number_of(execution_id, venue),
                )
            case Cancelled(key, expired, filled):
                self._straying.pop(key, None)
                order = self.orders.get(key)
                if order is not None and filled > order.filled:
                    self._tell(CommandKind.VENUE_UNKNOWN, key)  # a fill is missing, or still on its way to the core
                else:
                    self._tell(CommandKind.VENUE_CANCELLED, key, group_id=int(expired))
            case Replaced(key, price_ticks, quantity):
                self._tell(CommandKind.VENUE_REPLACED, key, price_ticks=price_ticks, quantity=quantity)
            case Status():
                self._status(report, self.orders.get(report.key))
            case Recovered():
                self._recovered = True

    def _status(self, status: Status, order: RoutedOrder | None) -> None:
        """What became of an order, as reports: its executions came before."""
        key = status.key
        if order is None:
            if status.open:
                self._stray(key)
            else:
                self._straying.pop(key, None)
            return
        order.doubtful = False
        if status.known and status.open:
            self._tell(
                CommandKind.VENUE_ACCEPTED, key, venue_reference=number_of(status.reference, self.adapter.venue_id)
            )
            if (status.price_ticks, status.quantity) != (order.price_ticks, order.quantity):
                self._tell(CommandKind.VENUE_REPLACED, key, price_ticks=status.price_ticks, quantity=status.quantity)
            if order.cancelling:
                self.adapter.cancel(key)  # asked for while nobody was there to hear it, or not answered
        elif not status.known and not order.accepted and not order.filled:
            self._tell(CommandKind.VENUE_REJECTED, key, group_id=CommandKind.NEW)
        else:
            self._tell(CommandKind.VENUE_CANCELLED, key, group_id=int(status.expired))

    # -- rows to the core ----------------------------------------------------------------------------------------

    def _row(self, kind: CommandKind, key: OrderKey, **fields: int) -> Records:
        row = np.zeros(1, COMMAND)
        row["kind"] = kind
        row["account_id"], row["order_id"], row["instrument_id"] = key
        for name, value in fields.items():
            row[name] = value
        return row

    def _tell(self, kind: CommandKind, key: OrderKey, **fields: int) -> None:
        try:
            self._outbox.append(self._row(kind, key, **fields))
        except OverflowError as error:
            raise ModelError(f"{kind.name} of order {key.client_id}: {error}", expected="fields of COMMAND") from error

    def _flush(self) -> None:
        while self._outbox and len(self._sent) < MOST_UNDER_WAY:
            try:
                number = self._client.submit(self._outbox[0])
            except (CoreAbsentError, CoreBusyError):
                return
            self._sent[number] = self._outbox.pop(0)
