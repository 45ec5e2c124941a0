"""Stored ranges as recordings: instruments of a catalog, each a recording of its own.

Times of different instruments are merged by the market that plays them; of one instrument the catalog has the order in
which its records were appended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

import msgspec
import numpy as np

from nautilus.adapters.formats import BookCheck, InstrumentHint
from nautilus.core.types import BookAction
from nautilus.model.errors import VenueError
from nautilus.model.records import Records
from nautilus.runtime.market_name import MarketName
from nautilus.simulation.stored import END_NS, StoredRecording
from nautilus.store.catalog_settings import SCHEMES

if TYPE_CHECKING:
    from nautilus.store.catalog_instruments import StoredInstrument
    from nautilus.store.catalog_open import AnyCatalog

LIST = "catalog.sqlite"
BOOK = "book"
PLAYED = (BOOK, "trade", "quote", "auction", "bar", "flow")
"""Kinds that play; the last three are published, and do nothing in the core."""
LOOK_ROWS = 1 << 14
"""Book records that are looked at to tell whether they name single orders."""
_BY_LEVEL = (int(BookAction.SET), int(BookAction.CLEAR))


class RangeError(VenueError):
    """A stored range holds nothing that could be played."""

    code = "venue.range"


def is_catalog(path: str | Path) -> bool:
    """Whether a directory is that of a catalog, or a text the URL of one."""
    return str(path).startswith(SCHEMES) or Path(path, LIST).is_file()


def open_stored(name: MarketName) -> list[StoredRecording]:
    """The instruments of a stored range as recordings, by key, with instrument ids from 1 on.

    Raises
    ------
    CatalogError
        There is no such catalog.
    QueryError
        An instrument that it does not have.
    RangeError
        Nothing is stored of them in that range.
    """
    from nautilus.store.catalog_open import open_catalog

    catalog = open_catalog(name.paths[0])
    begin_ns, end_ns = name.begin_ns, name.end_ns or END_NS
    found = []
    try:
        for number, (instrument, first_ns, last_ns) in enumerate(_played(catalog, name), 1):
            read = partial(_read, catalog, instrument.key, number)
            found.append(
                StoredRecording(
                    hint_of(instrument),
                    partial(read, PLAYED),
                    partial(read, (BOOK,)),
                    begin_ns=begin_ns if begin_ns > first_ns else 0,
                    end_ns=end_ns,
                    instrument_id=number,
                    order_by_order=_by_order(catalog, instrument.key),
                    check=BookCheck(),
                    range_ns=(first_ns, last_ns + 1),
                )
            )
    except BaseException:
        catalog.close()
        raise
    users = _Users(catalog, len(found))
    for recording in found:
        recording.on_end = finalize(recording, users.leave)
    return found


class _Users:
    """Closes a catalog when the last recording of it has ended, or is dropped unplayed."""

    def __init__(self, catalog: AnyCatalog, count: int) -> None:
        self._catalog, self._count = catalog, count

    def leave(self) -> None:
        """One has ended."""
        self._count -= 1
        if not self._count:
            self._catalog.close()


def pinned(name: MarketName) -> MarketName:
    """The range with all that plays in it named: every process finds the same, whatever is stored meanwhile."""
    from nautilus.store.catalog_open import open_catalog

    with open_catalog(name.paths[0]) as catalog:
        played = _played(catalog, name)
    end_ns = min(name.end_ns or END_NS, max(last_ns for _, _, last_ns in played) + 1)
    return msgspec.structs.replace(name, instruments=tuple(each.key for each, _, _ in played), end_ns=end_ns)


def first_ns_of(name: MarketName) -> int:
    """When a stored range begins: the first record of any of its instruments, in it."""
    from nautilus.store.catalog_open import open_catalog

    with open_catalog(name.paths[0]) as catalog:
        return min(max(first_ns, name.begin_ns) for _, first_ns, _ in _played(catalog, name))


def hint_of(instrument: StoredInstrument) -> InstrumentHint:
    """A stored instrument as a recording tells of it."""
    currency = instrument.quote_currency or "USD"
    return InstrumentHint(
        symbol=instrument.symbol,
        venue=instrument.venue or "STORED",
        product=instrument.product or "spot",
        base_currency=instrument.base_currency or instrument.symbol,
        quote_currency=currency,
        price_increment=instrument.price_increment,
        lot_size=instrument.lot_size,
        tick_table=instrument.tick_table or (("0", instrument.price_increment),),
        negative_prices=instrument.negative_prices,
    )


def _played(catalog: AnyCatalog, name: MarketName) -> list[tuple[StoredInstrument, int, int]]:
    """What plays, with the first and last time that is stored of it; in order of keys."""
    end_ns = name.end_ns or END_NS
    wanted = [catalog.instrument(each).key for each in name.instruments]
    ranges: dict[str, tuple[int, int]] = {}
    for each in catalog.ranges():
        if each.kind not in PLAYED or each.first_ns >= end_ns or each.last_ns < name.begin_ns:
            continue
        first_ns, last_ns = ranges.get(each.instrument, (each.first_ns, each.last_ns))
        ranges[each.instrument] = min(first_ns, each.first_ns), max(last_ns, each.last_ns)
    known = {each.key: each for each in catalog.instruments()}
    keys = wanted or sorted(ranges)
    absent = [key for key in keys if key not in ranges]
    if absent or not keys:
        where = f"{catalog.where} from {name.begin_ns} to {name.end_ns or 'its end'}"
        what = f"nothing of {', '.join(absent)}" if absent else "no market data"
        raise RangeError(what, where=where, expected="a range that `nautilus data list` shows")
    return [(known[key], *ranges[key]) for key in keys]


def _read(
    catalog: AnyCatalog, key: str, number: int, kinds: Sequence[str], begin_ns: int, end_ns: int
) -> Iterator[Records]:
    for run in catalog.replay(kinds, key, begin_ns, end_ns, ids={key: number}, strict=True):
        yield run.records


def _by_order(catalog: AnyCatalog, key: str) -> bool:
    """Whether book changes name single orders: a snapshot of levels may come before the first that does."""
    looked = 0
    for records in catalog.read(BOOK, key, batch=LOOK_ROWS):
        if not np.isin(records["action"], _BY_LEVEL).all():
            return True
        looked += len(records)
        if looked >= LOOK_ROWS:
            break
    return False
