"""Features of stored quotes and trades: the rows that the engine would have had of them, in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from nautilus.core.bars import BarBuilder
from nautilus.core.feature_feed import BARS, QUOTES, TRADES, FeatureFeed
from nautilus.core.indicators import Bank
from nautilus.engines.features import FeaturesConfig
from nautilus.maths.indicators import INPUTS, Compiled, FeatureTable, chosen, whole
from nautilus.model.features import BuildFeatureSet
from nautilus.store.catalog_face import CatalogFace
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import Records
from nautilus.store.catalog_open import open_catalog

_KINDS = {"bar": (BARS, ("trade",)), "quote": (QUOTES, ("quote",)), "trade": (TRADES, ("quote", "trade"))}

Found = tuple[str, npt.NDArray[np.int64], Compiled, FeatureTable, int]


def stored_tables(place: str, message: BuildFeatureSet) -> Iterator[Found]:
    """(key, times of the rows, program, features, untold steps) of each instrument that is asked for.

    Raises
    ------
    QueryError, CatalogError
        There is no such instrument, or no catalog.
    Undefined
        ``empty``: it has no rows in the range.
    """
    made = chosen(str(message.source), tuple(sorted(message.names)))
    with open_catalog(place) as catalog:
        for name in message.stored:
            instrument = catalog.instrument(name)
            times, rows, steps = _rows(catalog, instrument, made, message)
            columns = dict(zip(INPUTS[made.source], rows, strict=True))
            yield instrument.key, times[0], made, whole(made, columns), steps


def _rows(
    catalog: CatalogFace, instrument: StoredInstrument, made: Compiled, message: BuildFeatureSet
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], int]:
    kind, size = FeaturesConfig(bars=message.bars).rule
    source, wanted = _KINDS[made.source]
    feed = FeatureFeed(Bank(made.program), source, bar_kind=int(kind), bar_size=size, collects=True)
    steps = (Decimal(instrument.price_increment or "1"), Decimal(instrument.lot_size or "1"))
    feed.add(instrument.instrument_id, *(float(part) for step in steps for part in step.as_integer_ratio()))
    builder = BarBuilder(kind, size, venue_clock=False)
    begin_ns, end_ns = message.begin_ns or None, message.end_ns or None
    for run in catalog.replay(wanted, [instrument.key], begin_ns, end_ns):
        records = np.ascontiguousarray(run.records)
        _take(feed, builder, records, source, run.kind)
    return *feed.collected(), feed.splits(0)[2]


def _take(feed: FeatureFeed, builder: BarBuilder, records: Records, source: int, kind: str) -> None:
    if source == BARS:
        feed.bars(builder.process(records))
    elif kind == "quote":
        feed.quotes(records)
    else:
        feed.trades(records)


__all__ = ["stored_tables"]
