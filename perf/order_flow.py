"""Recorded order-by-order flow in the shapes that benches and their peers take: book deltas, and ITCH bytes.

The tape is a Databento market-by-order recording; the largest below `NAUTILUS_DATA`/l3_databento_mbo is taken.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.databento import read_mbo
from nautilus.core.dbn import MboBookBuilder
from nautilus.core.itch import ITCH_ORDER, encode
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BOOK_DELTA, BookAction, Side
from perf.harness import ROOT

Records = npt.NDArray[np.void]
ADD, REDUCE, DELETE, BUY = int(BookAction.ADD), int(BookAction.REDUCE), int(BookAction.DELETE), int(Side.BUY)
DIRECTORY = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "l3_databento_mbo"
CENT = 100  # of ITCH prices, in their unit


def largest_recording() -> Path | None:
    """The largest compressed recording, None where there is none."""
    found = sorted(DIRECTORY.glob("*mbo*.dbn.zst"), key=lambda path: path.stat().st_size)
    return found[-1] if found else None


def one_pass(path: Path) -> Records:
    """BOOK_DELTA array of a whole recording of one instrument, then a DELETE of each order that is left."""
    mbo = read_mbo(path)
    books = OrderBooks()
    instrument_id = next(iter(mbo.increments))
    records = mbo.records[mbo.records["instrument_id"] == instrument_id]
    deltas, _ = MboBookBuilder(books, {instrument_id: mbo.increments[instrument_id]}).build(records)
    deltas = deltas[np.isin(deltas["action"], (ADD, REDUCE, DELETE))]
    left = books.orders(instrument_id)
    rest = np.zeros(len(left), BOOK_DELTA)
    rest["action"] = DELETE
    rest["instrument_id"] = instrument_id
    for name in ("order_id", "price_ticks", "quantity", "side"):
        rest[name] = left[name]
    return np.concatenate((deltas, rest))


def renumbered(deltas: Records) -> Records:
    """The same with order ids 1, 2, 3 ... in the order of their ADDs, as a venue that counts gives them."""
    out = deltas.copy()
    now: dict[int, int] = {}
    given = 0
    ids = np.zeros(len(out), np.uint64)
    for place, (action, order_id) in enumerate(zip(out["action"].tolist(), out["order_id"].tolist(), strict=True)):
        if action == ADD:
            given += 1
            now[order_id] = given
        ids[place] = now[order_id]
    out["order_id"] = ids
    return out


def itch_orders(deltas: Records, locate: int = 1) -> Records:
    """ITCH_ORDER array of renumbered deltas: a DELETE with an ADD of the same update is a replace (U)."""
    replaced = np.zeros(len(deltas), bool)
    replaced[1:] = (
        (deltas["action"][1:] == ADD)
        & (deltas["action"][:-1] == DELETE)
        & (deltas["update_id"][1:] == deltas["update_id"][:-1])
        & (deltas["side"][1:] == deltas["side"][:-1])
        & (deltas["update_id"][1:] != 0)
    )
    kinds = np.array([b"", b"", b"A", b"X", b"D"], "S1")[deltas["action"]]
    kinds[replaced] = b"U"
    orders = np.zeros(len(deltas), ITCH_ORDER)
    orders["kind"] = kinds
    orders["locate"] = locate
    orders["order_id"] = deltas["order_id"]
    orders["new_order_id"][replaced] = deltas["order_id"][replaced]
    orders["order_id"][replaced] = deltas["order_id"][np.flatnonzero(replaced) - 1]
    orders["quantity"] = np.where(kinds == b"D", 0, deltas["quantity"])
    orders["price"] = np.where(np.isin(kinds, (b"A", b"U")), deltas["price_ticks"] * CENT, 0)
    orders["side"] = np.where(kinds == b"A", np.where(deltas["side"] == BUY, b"B", b"S"), b"")
    orders["stock"] = np.where(kinds == b"A", b"TAPE    ", b"")
    orders["time_ns"] = np.arange(len(deltas)) + 1
    keep = np.ones(len(deltas), bool)
    keep[:-1] = ~replaced[1:]
    return orders[keep]


def itch_bytes(orders: Records, passes: int) -> tuple[bytes, int]:
    """Length-prefixed ITCH of so many passes, ids of each above those before; and the number of messages."""
    most = int(max(orders["order_id"].max(), orders["new_order_id"].max()))
    parts = []
    for number in range(passes):
        each = orders.copy()
        each["order_id"] += np.uint64(number * most)
        each["new_order_id"][each["kind"] == b"U"] += np.uint64(number * most)
        parts.append(each)
    whole = np.concatenate(parts)
    return encode(whole["kind"], whole, {}), len(whole)
