"""What a venue's adapter is to its session: the requests it is handed, the reports it brings back.

An adapter speaks one venue's protocol and nothing else. It keeps no state of orders, decides nothing, repeats no
request: `nautilus.trading.venue_session` does that, and the core's kernel decides (docs/kernel-venues.md).
How to write one: docs/venues.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

from nautilus.core.types import CommandKind, Side
from nautilus.model.errors import ModelError, VenueError

__all__ = [
    "Accepted",
    "Cancelled",
    "Filled",
    "OrderKey",
    "Recovered",
    "Rejected",
    "Replaced",
    "Status",
    "VenueAdapter",
    "VenueLostError",
    "VenueOrder",
    "VenuePlace",
    "VenueReport",
    "number_of",
]

MAX_PLAIN = 1 << 63


class VenueLostError(VenueError):
    """The session with the venue is over; what was under way is not known."""

    code = "venue.lost"


def number_of(text: str, venue_id: int) -> int:
    """A venue's text id as a number from 1 to 2^64 - 1, the same in every process and life.

    Decimal numbers from 1 below 2^63, without leading zeros, are themselves. Any other text becomes a hash with the top
    bit set, so that the two never meet; of n such texts two meet with a chance of n^2 / 2^64 (10^6 texts: 5 in 10^8).
    """
    if text.isascii() and text.isdigit() and text[0] != "0" and int(text) < MAX_PLAIN:
        return int(text)
    return MAX_PLAIN | int.from_bytes(blake2b(f"{venue_id}:{text}".encode(), digest_size=8).digest(), "big")


class VenuePlace(NamedTuple):
    """What an adapter is made with.

    Attributes
    ----------
    venue_id : 1 to 255.
    address : where the venue is, in the adapter's own words.
    connect_ns : a session that is not open after so long is begun anew.
    silence_ns : a venue that says nothing for so long is lost.
    missing_ns : so is one of whose messages one is missing for so long.
    """

    venue_id: int
    address: str
    connect_ns: int = 5_000_000_000
    silence_ns: int = 1_000_000_000
    missing_ns: int = 500_000_000


class OrderKey(NamedTuple):
    """Names an order to core and venue."""

    account_id: int
    order_id: int
    instrument_id: int

    @property
    def client_id(self) -> str:
        """What the venue is told to call it: 24 hexadecimal digits, from account and order id alone."""
        return f"{self.account_id:08x}{self.order_id:016x}"

    @classmethod
    def of(cls, client_id: str, instrument_id: int) -> OrderKey:
        """Back from what the venue calls it; ModelError where it is none of ours."""
        try:
            if len(client_id) != 24:
                raise ValueError
            return cls(int(client_id[:8], 16), int(client_id[8:], 16), instrument_id)
        except ValueError:
            raise ModelError(f"client order id {client_id!r}", expected="24 hexadecimal digits") from None


class VenueOrder(NamedTuple):
    """An order as the venue is to have it: fields of the ROUTED event, in ticks and lots."""

    key: OrderKey
    side: int
    order_type: int
    time_in_force: int
    flags: int
    strategy_id: int
    price_ticks: int
    quantity: int
    display_quantity: int
    trigger_ticks: int
    expire_ns: int


class Accepted(NamedTuple):
    """The venue has the order, under a name of its own."""

    key: OrderKey
    reference: str


class Rejected(NamedTuple):
    """The venue refused a NEW, CANCEL or REPLACE."""

    key: OrderKey
    request: CommandKind


class Filled(NamedTuple):
    """One execution. `execution_id` is never used for another one of this venue."""

    key: OrderKey
    side: Side
    price_ticks: int
    quantity: int
    execution_id: str


class Cancelled(NamedTuple):
    """The venue has the order no more.

    filled : what it filled of it in all, -1: not said. Where that is more than is known, the order is asked after.
    """

    key: OrderKey
    expired: bool = False
    filled: int = -1


class Replaced(NamedTuple):
    """Price and total quantity (what was filled included) that hold from now on."""

    key: OrderKey
    price_ticks: int
    quantity: int


class Status(NamedTuple):
    """The answer to `query`, or an open order that `recover` found. Every execution of it was handed over before.

    known : the venue has, or had, the order. False is final: it will never have it from a request made so far.
    open : it can still be filled.
    """

    key: OrderKey
    known: bool
    open: bool = False
    expired: bool = False
    price_ticks: int = 0
    quantity: int = 0
    filled: int = 0
    reference: str = ""


class Recovered(NamedTuple):
    """All that `recover` asked for was handed over."""


VenueReport = Accepted | Rejected | Filled | Cancelled | Replaced | Status | Recovered


class VenueAdapter(Protocol):
    """One thread. Every method may raise VenueLostError; then `connect` begins anew. None waits but `poll`."""

    venue_id: int

    def connect(self) -> bool:
        """Begin or go on to open a session; True once requests are taken.

        With the new session every request of the old ones is done with: what the venue has not seen of them by now it
        never carries out.
        """
        ...

    def close(self) -> None:
        """End the session, if there is one."""
        ...

    def submit(self, order: VenueOrder) -> None:
        """Enter the order under `key.client_id`; once, whatever comes of it."""
        ...

    def cancel(self, key: OrderKey) -> None:
        """Ask to cancel; may be asked again."""
        ...

    def replace(self, key: OrderKey, price_ticks: int, quantity: int, trigger_ticks: int) -> None:
        """Ask for a new price and total."""
        ...

    def query(self, key: OrderKey) -> None:
        """Ask what became of an order: its executions, then one `Status`."""
        ...

    def recover(self) -> None:
        """Ask for every execution since the last session that was recovered, or longer, a `Status` of each open order,
        then `Recovered`."""
        ...

    def fileno(self) -> int:
        """Readable when `poll` or `connect` has something to do; -1: nothing to wait on."""
        ...

    def poll(self, wait_ns: int) -> Sequence[VenueReport]:
        """What the venue has said since, after waiting for at most so long; empty for nothing.

        VenueLostError also where messages were lost: the venue numbers them, or it does not say that it is there.
        """
        ...
