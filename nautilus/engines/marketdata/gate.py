"""What is not fit to be published: quotes and trades that are checked before, and a table of those that are refused.

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
from nautilus.core.ticks import TICK, TickKind, TickReason
from nautilus.model.instrument import Instrument
from nautilus.model.queries import QuarantineLine
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, topic_of

KEPT = 1_000
"""Refused records that are kept; the oldest go."""
_QUOTE, _TRADE = int(TickKind.QUOTE), int(TickKind.TRADE)


class Gate:
    """Checks records before they are published.

    Parameters
    ----------
    instruments
        Known ones; records of others are refused.
    jump_bps
        A price that is so far from the last one is refused until others agree with it; 0: none is.

    Attributes
    ----------
    refused : QUARANTINE records, the oldest first.
    counts : refusals so far, by reason.
    """

    def __init__(self, instruments: Iterable[Instrument], jump_bps: int) -> None:
        # Prices and quantities are counts of steps already: one step is the unit of the ticks.
        self._normaliser = Normaliser(consecutive=(), jump_bps=jump_bps, locked=True)
        for each in instruments:
            self._normaliser.add(
                each.instrument_id, price_increment="1", lot_size="1", negative_prices=each.negative_prices
            )
        self.refused: deque[Any] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self._tick = np.zeros(1, TICK)

    def passed(self, records: Records) -> Records:
        """Those of the records that pass."""
        kind = topic_of(records)
        if kind is not QUOTES and kind is not TRADES:
            return records
        fill = self._quote if kind is QUOTES else self._trade
        kept = []
        for place, row in enumerate(records):
            fill(row)
            *_, quarantine = self._normaliser.process(self._tick)
            if len(quarantine):
                self.refused.append(quarantine[0].copy())
                self.counts[TickReason(int(quarantine["reason"][0])).name] += 1
            else:
                kept.append(place)
        return records if len(kept) == len(records) else records[kept]

    def lines(self, limit: int, symbols: Mapping[int, str]) -> Iterator[QuarantineLine]:
        """The newest refused records, the newest first."""
        for row in list(self.refused)[: -limit - 1 : -1]:
            tick = row["tick"]
            number = int(tick["instrument_id"])
            price, quantity, price_2, quantity_2, sequence = (
                int(tick[name]) for name in ("price", "quantity", "price_2", "quantity_2", "sequence")
            )
            yield QuarantineLine(
                now_ns=int(tick["receive_ns"]),
                symbol=symbols.get(number, str(number)),
                kind=TickKind(int(tick["kind"])).name,
                reason=TickReason(int(row["reason"])).name,
                price=price,
                quantity=quantity,
                price_2=price_2,
                quantity_2=quantity_2,
                sequence=sequence,
                reference=int(row["reference"]),
            )

    def _quote(self, row: Any) -> None:
        self._tick[0] = (
            0, row["now_ns"], row["update_id"], row["bid_ticks"], row["bid_quantity"], row["ask_ticks"],
            row["ask_quantity"], row["instrument_id"], _QUOTE, 0, 0, 0,
        )  # fmt: skip

    def _trade(self, row: Any) -> None:
        self._tick[0] = (
            row["venue_ns"], row["now_ns"], row["trade_id"], row["price_ticks"], row["quantity"], 0, 0,
            row["instrument_id"], _TRADE, row["side"], 0, 0,
        )  # fmt: skip


__all__ = ["Gate"]
