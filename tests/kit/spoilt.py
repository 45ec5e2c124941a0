"""A recording some of whose ticks are bad."""

import numpy as np

from nautilus.core.depth import DepthBook
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, RecordFlag, Side


class Spoilt:
    """Quotes crossed, trades far off, a book that crosses and comes back with the next change."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def updates(self, until_ns=None):
        best = DepthBook()
        bad_level = None
        for place, update in enumerate(self._log.updates(until_ns)):
            records = update.records.copy()
            if records.dtype == QUOTE and place % 97 == 0:
                records["bid_ticks"] = records["ask_ticks"] + 5
            elif records.dtype == TRADE and place % 89 == 0:
                records["price_ticks"] *= 3
            elif records.dtype == BOOK_DELTA:
                best.apply(records)
                if records["flags"][0] & RecordFlag.SNAPSHOT:
                    pass
                elif bad_level is not None or place % 7 == 0:
                    price, lots = (best.best()[2] + 5, 1) if bad_level is None else (bad_level, 0)
                    bad_level = price if lots else None
                    row = records[-1:].copy()
                    row["price_ticks"], row["side"], row["quantity"] = price, Side.BUY, lots
                    records["flags"][-1] &= ~np.uint16(RecordFlag.LAST)
                    records = np.concatenate((records, row))
            yield update._replace(records=records)
