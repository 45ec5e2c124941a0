"""What is not fit to be published: quotes and trades that are checked first, and a table of those that are refused.

The market's source asks before a record acts in the core (`MarketSource.check`), so a refused one does nothing at all.

The checks are the normaliser's (docs/marketdata-kernels.md): crossed quotes, jumps, what is out of order or repeated,
prices, quantities and stamps out of range. Changes of books are checked by their venue's own rules of sequence, where
they are read.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE, TICK, TickKind, TickReason
from nautilus.model.instrument import Instrument
from nautilus.model.queries import QuarantineLine
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, topic_of

_WHOLE = np.dtype((np.void, TICK.itemsize))
_LONGER = np.dtype([("tick", _WHOLE), ("rest", np.void, QUARANTINE.itemsize - TICK.itemsize)])
KEPT = 1_000
"""Refused records that are kept; the oldest go."""
_BOTH = {"receive_ns": "now_ns", "instrument_id": "instrument_id"}
# A quote's stamp is not looked at: venues stamp quotes of one update alike.
_QUOTE_FIELDS = (
    TickKind.QUOTE,
    {
        **_BOTH,
        "sequence": "update_id",
        "price": "bid_ticks",
        "quantity": "bid_quantity",
        "price_2": "ask_ticks",
        "quantity_2": "ask_quantity",
    },
)
_TRADE_FIELDS = (
    TickKind.TRADE,
    {
        **_BOTH,
        "venue_ns": "venue_ns",
        "sequence": "trade_id",
        "price": "price_ticks",
        "quantity": "quantity",
        "side": "side",
    },
)


class Gate:
    """Checks records before they are published.

    Parameters
    ----------
    instruments
        Known ones; records of others are refused.
    jump_bps
        A price that is so far from the last one is refused until others agree with it; 0: none is.
    skew_ns
        A venue's stamp may be so far ahead of ours.

    Attributes
    ----------
    refused : QUARANTINE records, the oldest first.
    counts : refusals so far, by reason.
    """

    def __init__(self, instruments: Iterable[Instrument], jump_bps: int, skew_ns: int) -> None:
        # Prices and quantities are counts of steps already: one step is the unit of the ticks.
        self._normaliser = Normaliser(consecutive=(), jump_bps=jump_bps, future_ns=skew_ns, locked=True)
        for each in instruments:
            self._normaliser.add(
                each.instrument_id, price_increment="1", lot_size="1", negative_prices=each.negative_prices
            )
        self.refused: deque[Any] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()

    def passed(self, records: Records) -> Records:
        """Those of the records that pass."""
        kind = topic_of(records)
        if kind is not QUOTES and kind is not TRADES:
            return records
        ticks = _ticks(records, *(_QUOTE_FIELDS if kind is QUOTES else _TRADE_FIELDS))
        *_, refused = self._normaliser.process(ticks)
        if not len(refused):
            return records
        self.note(refused)
        # Refused ones are in the order of their ticks; of equal ones it does not matter which is left out.
        keep, at = np.ones(len(records), bool), 0
        given = ticks.view(_WHOLE)
        for each in refused.view(_LONGER)["tick"]:
            while given[at] != each:
                at += 1
            keep[at] = False
            at += 1
        return records[keep]

    def note(self, refused: Records) -> None:
        """Count and keep QUARANTINE records, wherever they were found."""
        self.refused.extend(refused.copy())
        for reason, count in zip(*np.unique(refused["reason"], return_counts=True), strict=True):
            self.counts[TickReason(int(reason)).name] += int(count)

    def lines(self, limit: int, symbols: Mapping[int, str]) -> Iterator[QuarantineLine]:
        """The newest refused records, the newest first."""
        for row in list(self.refused)[: -limit - 1 : -1]:
            number = int(row["instrument_id"])
            price, quantity, price_2, quantity_2, sequence = (
                int(row[name]) for name in ("price", "quantity", "price_2", "quantity_2", "sequence")
            )
            yield QuarantineLine(
                now_ns=int(row["receive_ns"]),
                symbol=symbols.get(number, str(number)),
                kind=TickKind(int(row["kind"])).name,
                reason=TickReason(int(row["reason"])).name,
                price=price,
                quantity=quantity,
                price_2=price_2,
                quantity_2=quantity_2,
                sequence=sequence,
                reference=int(row["reference"]),
            )


def _ticks(records: Records, kind: TickKind, fields: Mapping[str, str]) -> Records:
    """The records as ticks, whose units are steps of the instrument."""
    ticks = np.zeros(len(records), TICK)
    ticks["kind"] = kind
    for name, source in fields.items():
        ticks[name] = records[source]
    return ticks


__all__ = ["Gate"]
