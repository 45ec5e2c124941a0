"""The vocabulary of a differential run: a flow is a list of steps, each a plain dictionary that JSON can carry.

Every step has `do` and `now` (ns). Prices are ticks, quantities are lots, sides are 1 (buy) and 2 (sell).

- `add` id side price quantity rest: an order of somebody else. What it does not match rests or, not rest, is dropped.
- `set` id quantity: what is left of somebody else's order becomes at most this; it keeps its place. 0 removes it.
- `move` id price quantity: it leaves its place and enters at this price with this quantity.
- `new` id side type price trigger quantity tif expire post_only reduce_only: an own order.
- `cancel` id, `replace` id price trigger quantity (new total): of an own order.
- `time`: nothing but the clock. `book` levels: both sides report the book of all others.

An own event is a list: [word, order id, ...], where the words are those of `EVENT_WORDS`.
"""

from __future__ import annotations

from typing import Any

Step = dict[str, Any]
Event = list[Any]
Trace = list[dict[str, Any]]

BUY, SELL = 1, 2
EVENT_WORDS = {
    "accepted": (),
    "rejected": ("reason",),
    "triggered": (),
    "filled": ("price", "quantity"),
    "cancelled": ("quantity",),
    "expired": ("quantity",),
    "replaced": ("price", "quantity"),
    "refused": ("reason",),  # a cancel or a replace that was not carried out
}


def add(now: int, order: int, side: int, price: int, quantity: int, *, rest: bool = True) -> Step:
    """An order of somebody else."""
    return {"do": "add", "now": now, "id": order, "side": side, "price": price, "quantity": quantity, "rest": rest}


def put(now: int, order: int, quantity: int) -> Step:
    """What is left of somebody else's order becomes at most `quantity`."""
    return {"do": "set", "now": now, "id": order, "quantity": quantity}


def move(now: int, order: int, price: int, quantity: int) -> Step:
    """Somebody else's order enters anew."""
    return {"do": "move", "now": now, "id": order, "price": price, "quantity": quantity}


def new(
    now: int,
    order: int,
    side: int,
    quantity: int,
    price: int = 0,
    *,
    order_type: str = "limit",
    tif: str = "GTC",
    trigger: int = 0,
    expire: int = 0,
    post_only: bool = False,
    reduce_only: bool = False,
) -> Step:
    """An own order: `order_type` is limit, market, stop or stop_limit."""
    return {
        "do": "new",
        "now": now,
        "id": order,
        "side": side,
        "type": order_type,
        "price": price,
        "trigger": trigger,
        "quantity": quantity,
        "tif": tif,
        "expire": expire,
        "post_only": post_only,
        "reduce_only": reduce_only,
    }


def cancel(now: int, order: int) -> Step:
    """Cancel of an own order."""
    return {"do": "cancel", "now": now, "id": order}


def replace(now: int, order: int, quantity: int, price: int = 0, trigger: int = 0) -> Step:
    """Replace of an own order; `quantity` is the new total, what was filled included."""
    return {"do": "replace", "now": now, "id": order, "price": price, "trigger": trigger, "quantity": quantity}


def tick(now: int) -> Step:
    """Time alone."""
    return {"do": "time", "now": now}


def book(now: int, levels: int = 10) -> Step:
    """Both sides report this many levels of the book of all others."""
    return {"do": "book", "now": now, "levels": levels}
