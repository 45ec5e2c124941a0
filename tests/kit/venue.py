"""A venue that is wrong in every way a venue can be, by a seed; and a line to it that stays in one process.

It keeps true books of its own: what it executed is what must be held in the end. What it *says* of them it delays,
doubles, reorders, loses and contradicts. `tests/kit/venue_process.py` puts it behind a socket.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import msgspec

from nautilus.adapters.lines import Translator, submission
from nautilus.adapters.lines.messages import VenueMessage
from nautilus.core.types import Side
from nautilus.model.venue import OrderKey, VenueLostError, VenueOrder, VenueReport

MS = 1_000_000
Message = dict[str, Any]


class Faults(NamedTuple):
    """Chances, of a message unless said otherwise."""

    late: float = 0.15  # it is on its way for long, and later ones overtake it
    doubled: float = 0.1
    lost: float = 0.004
    cut: float = 0.01  # of a request: the line breaks, and half of the time the request was not seen
    refused: float = 0.08  # of a request
    late_refusal: float = 0.02  # of an order that was accepted: it is called refused, and half of the time it is
    after_cancel: float = 0.3  # of a cancel: what was executed just before is told after it
    unknown: float = 0.01  # of a turn: an execution of an order that nobody entered
    ended: float = 0.01  # of a turn: the venue cancels an order by itself
    deaf: float = 0.02  # of a request: it is never answered


CALM = Faults(*[0.0] * len(Faults._fields))


@dataclass
class VenueBookOrder:
    """An order as the venue has it."""

    client_id: str
    instrument_id: int
    side: int
    price: int
    quantity: int
    reference: str
    filled: int = 0
    open: bool = True
    expired: bool = False
    executions: list[Message] = field(default_factory=list)


class SeededVenue:
    """One session at a time; time is handed in.

    Attributes
    ----------
    submits, queries, cancels : how often each client id came.
    """

    def __init__(
        self,
        seed: int,
        faults: Faults = Faults(),  # noqa: B008 - a value
        slowest_ns: int = 40 * MS,
        instruments: Sequence[int] = (1, 2),
    ) -> None:
        self._instruments = instruments
        self._random = Random(seed)
        self.faults = faults
        self._slowest_ns = slowest_ns
        self.orders: dict[str, VenueBookOrder] = {}
        self.executions: list[Message] = []
        self.submits: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self.session = 0
        self.cuts = 0
        self._number = 0
        self._on_way: list[tuple[int, int, Message]] = []
        self._pushed = 0

    @property
    def on_way(self) -> int:
        """Messages that were said and are not there yet."""
        return len(self._on_way)

    def _chance(self, chance: float) -> bool:
        return self._random.random() < chance

    def begin(self) -> None:
        """A new session: what was on its way is gone, numbers begin anew."""
        self.session += 1
        self._number = 0
        self._on_way.clear()

    # -- out -----------------------------------------------------------------------------------------------------

    def _say(self, now_ns: int, what: str, **fields: Any) -> None:
        self._number += 1
        message = {"say": what, "number": self._number, "session": self.session, **fields}
        if self._chance(self.faults.lost):
            return
        for _ in range(2 if self._chance(self.faults.doubled) else 1):
            most = self._slowest_ns if self._chance(self.faults.late) else self._slowest_ns // 20
            self._pushed += 1
            wait_ns = self._random.randrange(most) if self.faults is not CALM else 0
            heapq.heappush(self._on_way, (now_ns + wait_ns, self._pushed, message))

    def due(self, now_ns: int) -> list[Message]:
        """What arrives by now. Every message says how many were sent before it was handed over."""
        out = []
        while self._on_way and self._on_way[0][0] <= now_ns:
            out.append(heapq.heappop(self._on_way)[2])
        return out

    def heartbeat(self) -> Message:
        """How many messages of this session there were."""
        return {"say": "here", "session": self.session, "number": self._number}

    # -- in ------------------------------------------------------------------------------------------------------

    def request(self, now_ns: int, request: Message) -> bool:
        """Carry out a request; False: the line breaks."""
        cut = request["do"] != "recover" and self._chance(self.faults.cut)
        if cut and self._chance(0.5):
            self.cuts += 1
            if request["do"] == "submit":
                self.submits[request["client_id"]] += 1
            return False
        getattr(self, "_" + request["do"])(now_ns, request)
        self.cuts += cut
        return not cut

    def _submit(self, now_ns: int, request: Message) -> None:
        client_id = request["client_id"]
        self.submits[client_id] += 1
        if self.submits[client_id] > 1:
            return
        if self._chance(self.faults.refused):
            self._say(now_ns, "rejected", client_id=client_id, instrument=request["instrument"], request="NEW")
            return
        order = VenueBookOrder(
            client_id,
            request["instrument"],
            Side[request["side"]],
            request["price"],
            request["quantity"],
            f"V-{len(self.orders) + 1}",
        )
        self.orders[client_id] = order
        if not self._chance(self.faults.deaf):
            self._accepted(now_ns, order)
        if self._chance(self.faults.late_refusal):
            order.open = not self._chance(0.5)
            self._say(now_ns, "rejected", client_id=client_id, instrument=order.instrument_id, request="NEW")

    def _accepted(self, now_ns: int, order: VenueBookOrder) -> None:
        self._say(
            now_ns,
            "accepted",
            client_id=order.client_id,
            instrument=order.instrument_id,
            reference=order.reference,
        )

    def _cancel(self, now_ns: int, request: Message) -> None:
        client_id = request["client_id"]
        self.cancels[client_id] += 1
        order = self.orders.get(client_id)
        if self._chance(self.faults.deaf):
            return
        if order is None or not order.open or self._chance(self.faults.refused):
            self._say(now_ns, "rejected", client_id=client_id, instrument=request["instrument"], request="CANCEL")
            return
        if self._chance(self.faults.after_cancel) and order.quantity > order.filled:
            held_back = self._execute(order, self._random.randint(1, order.quantity - order.filled))
            self._end(now_ns, order)
            self._say(now_ns, "filled", **held_back)
        else:
            self._end(now_ns, order)

    def _end(self, now_ns: int, order: VenueBookOrder) -> None:
        order.open = False
        filled = order.filled if self._chance(0.5) else -1
        self._say(
            now_ns,
            "cancelled",
            client_id=order.client_id,
            instrument=order.instrument_id,
            expired=order.expired,
            filled=filled,
        )

    def _replace(self, now_ns: int, request: Message) -> None:
        order = self.orders.get(request["client_id"])
        if self._chance(self.faults.deaf):
            return
        if order is None or not order.open or request["quantity"] <= order.filled or self._chance(self.faults.refused):
            self._say(
                now_ns, "rejected", client_id=request["client_id"], instrument=request["instrument"], request="REPLACE"
            )
            return
        order.price, order.quantity = request["price"], request["quantity"]
        self._say(
            now_ns,
            "replaced",
            client_id=order.client_id,
            instrument=order.instrument_id,
            price=order.price,
            quantity=order.quantity,
        )

    def _query(self, now_ns: int, request: Message) -> None:
        client_id = request["client_id"]
        self.queries[client_id] += 1
        if not self._chance(self.faults.deaf):
            self._status(now_ns, client_id, request["instrument"])

    def _status(self, now_ns: int, client_id: str, instrument: int) -> None:
        order = self.orders.get(client_id)
        if order is None:
            self._say(now_ns, "status", client_id=client_id, instrument=instrument, known=False)
            return
        self._say(
            now_ns,
            "status",
            client_id=client_id,
            instrument=instrument,
            known=True,
            open=order.open,
            expired=order.expired,
            price=order.price,
            quantity=order.quantity,
            reference=order.reference,
            executions=list(order.executions),
        )

    def _recover(self, now_ns: int, request: Message) -> None:
        working = [order.client_id for order in self.orders.values() if order.open]
        for client_id in working:
            self._status(now_ns, client_id, self.orders[client_id].instrument_id)
        self._say(now_ns, "recovered", executions=list(self.executions))

    # -- the market ----------------------------------------------------------------------------------------------

    def _execute(self, order: VenueBookOrder, quantity: int) -> Message:
        execution = {
            "client_id": order.client_id,
            "instrument": order.instrument_id,
            "side": Side(order.side).name,
            "price": order.price,
            "quantity": quantity,
            "execution": f"E{self.session}-{len(self.executions) + 1}",
        }
        order.filled += quantity
        order.executions.append(execution)
        self.executions.append(execution)
        order.open = order.open and order.filled < order.quantity
        return execution

    def turn(self, now_ns: int) -> None:
        """Something may happen in the market."""
        working = [order for order in self.orders.values() if order.open]
        if working and self._chance(0.4):
            order = self._random.choice(working)
            quantity = self._random.randint(1, order.quantity - order.filled)
            self._say(now_ns, "filled", **self._execute(order, quantity))
        if working and self._chance(self.faults.ended):
            order = self._random.choice(working)
            if order.open:
                order.expired = self._chance(0.5)
                self._end(now_ns, order)
        if self._chance(self.faults.unknown):
            stranger = VenueBookOrder(
                OrderKey(self._random.randint(1, 3), (1 << 60) + self._random.getrandbits(20), 0).client_id,
                self._random.choice(self._instruments),
                self._random.choice((Side.BUY, Side.SELL)),
                100,
                5,
                "",
                open=False,
            )
            self._say(now_ns, "filled", **self._execute(stranger, self._random.randint(1, 5)))

    # -- the truth -----------------------------------------------------------------------------------------------

    def positions(self) -> dict[tuple[int, int], int]:
        """(account, instrument) to lots held, where not 0."""
        held: Counter[tuple[int, int]] = Counter()
        for execution in self.executions:
            account = OrderKey.of(execution["client_id"], 0).account_id
            signed = execution["quantity"] if execution["side"] == "BUY" else -execution["quantity"]
            held[account, execution["instrument"]] += signed
        return {key: lots for key, lots in held.items() if lots}

    def working(self) -> dict[str, tuple[int, int, int]]:
        """Client ids of open orders to (price, total, filled)."""
        return {
            client_id: (order.price, order.quantity, order.filled)
            for client_id, order in self.orders.items()
            if order.open
        }


class DirectAdapter:
    """Speaks to a `SeededVenue` of this process, in the clock of a test."""

    venue_id = 9

    def __init__(self, venue: SeededVenue, clock: list[int], missing_ns: int = 60 * MS) -> None:
        self._venue = venue
        self._clock = clock
        self._translator = Translator(missing_ns)
        self._up = False

    def connect(self) -> bool:
        """At once."""
        self._venue.begin()
        self._translator.begin(self._venue.session)
        self._up = True
        return True

    def close(self) -> None:
        """Messages on their way are not heard."""
        self._up = False

    def _do(self, request: Message) -> None:
        if not self._venue.request(self._clock[0], request):
            raise VenueLostError("the line broke")

    def submit(self, order: VenueOrder) -> None:
        """See `VenueAdapter`."""
        self._do(submission(order))

    def cancel(self, key: OrderKey) -> None:
        """See `VenueAdapter`."""
        self._do({"do": "cancel", "client_id": key.client_id, "instrument": key.instrument_id})

    def replace(self, key: OrderKey, price_ticks: int, quantity: int, trigger_ticks: int) -> None:
        """See `VenueAdapter`."""
        change = {"client_id": key.client_id, "instrument": key.instrument_id}
        self._do({"do": "replace", **change, "price": price_ticks, "quantity": quantity})

    def query(self, key: OrderKey) -> None:
        """See `VenueAdapter`."""
        self._do({"do": "query", "client_id": key.client_id, "instrument": key.instrument_id})

    def recover(self) -> None:
        """See `VenueAdapter`."""
        self._do({"do": "recover"})

    def fileno(self) -> int:
        """Nothing to wait on."""
        return -1

    def poll(self, wait_ns: int) -> Sequence[VenueReport]:
        """See `VenueAdapter`."""
        if not self._up:
            return []
        now_ns = self._clock[0]
        out: list[VenueReport] = []
        for message in [*self._venue.due(now_ns), self._venue.heartbeat()]:
            out += self._translator.take(msgspec.convert(message, VenueMessage), now_ns)
        self._translator.check(now_ns)
        return out
