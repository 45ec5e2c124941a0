"""Arbitrary bytes as messages of the matcher."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core.market import MESSAGE, REPORT, Matcher
from tests.fuzz.reader import Reader

MOST = 400  # messages of one input
INSTRUMENTS = 2
EDGES = (0, 1, 1 << 40, (1 << 40) + 1, 1 << 42, 1 << 48, (1 << 63) - 1)


def messages_of(data: bytes) -> np.ndarray:
    """As they are, or with few ids, prices and words that mean something, so that they meet."""
    reader = Reader(data)
    as_they_are = reader.number(1) & 1
    rows = reader.take(MOST * MESSAGE.itemsize)
    found = np.frombuffer(rows[: len(rows) // MESSAGE.itemsize * MESSAGE.itemsize], MESSAGE).copy()
    if as_they_are:
        return found
    found["order_id"] = found["order_id"] % 40 + (found["order_id"] >> np.uint64(8) & np.uint64(3)) * np.uint64(1 << 32)
    edges = np.array(EDGES)[found["price"] % len(EDGES)]
    found["price"] = np.where(found["price"] & 7 == 0, edges, found["price"] & 15)
    found["quantity"] = found["quantity"] & 15
    for name, most in (
        ("kind", 4),
        ("side", 3),
        ("order_type", 3),
        ("time_in_force", 8),
        ("instrument", 3),
        ("owner", 3),
    ):
        found[name] %= most
    found["flags"] &= 0x1FF
    return found


def _reports(matcher: Matcher, messages: np.ndarray, room: int) -> bytes:
    """All of them, taken so many at a time."""
    out, at, found = np.zeros(room, REPORT), 0, []
    while True:
        done, written = matcher.process(messages[at:], out)
        found.append(out[:written].tobytes())
        at += done
        if at == len(messages) and written < room:
            return b"".join(found)


def matcher(data: bytes) -> None:
    """In small pieces and whole messages give the same reports, and every order has its place."""
    messages = messages_of(data)
    books: list[Any] = [Matcher(instruments=INSTRUMENTS, orders=32, pages=8, prefetch=ahead) for ahead in (False, True)]
    assert _reports(books[0], messages, 3) == _reports(books[1], messages, 4096)
    for instrument in range(INSTRUMENTS):
        for side in (1, 2):
            levels = books[0].levels(instrument, side, 100)
            assert levels == books[1].levels(instrument, side, 100)
            for price, quantity in levels:
                ahead = 0
                for place, (order_id, leaves) in enumerate(books[0].queue(instrument, side, price)):
                    assert books[0].queue_position(order_id)[2:] == (price, leaves, place, ahead)
                    ahead += leaves
                assert ahead == quantity == books[0].depth(instrument, side, price)
