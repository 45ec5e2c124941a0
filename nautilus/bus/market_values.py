"""Last quotes and trades for a client: from the table that the hub keeps in shared memory, else from the hub itself.

::

    table, as long as the hub beats ─▶ image from the replayer ─▶ what was known last, marked stale
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from nautilus.bus.asking import ReplayClient, ReplayTimeoutError
from nautilus.bus.base import HEARTBEAT_STREAM, layout_of, stream_id
from nautilus.core.clock import now_ns
from nautilus.core.last_values import LastValues, LastView
from nautilus.model.enums import RecordFlag
from nautilus.model.errors import BusError
from nautilus.model.marketdata import Quote, Trade, quotes, trades
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, Topic

STALE_NS = 100_000_000
STALE = int(RecordFlag.STALE)
"""Five heartbeats of the hub: without one for so long, what its table says may be out of date."""
TOPICS_OF = {"QUOTE": QUOTES, "TRADE": TRADES}


class Value(NamedTuple):
    """What is known of an instrument.

    Attributes
    ----------
    value : ``QUOTE``: `Quote`; ``TRADE``: `Trade`; ``LEVEL2``, ``LEVEL3``: `Book`; else a `DataAnswer`.
    stale : the hub was not reached, has said nothing of it in its present life, or says itself that it is not to be
        trusted (flag STALE): this is the last that is known.
    at_ns : of a quote or trade, when the platform received it; of a book, when it was asked for.
    """

    value: Message
    stale: bool
    at_ns: int


class MarketValues:
    """Reads last values.

    Parameters
    ----------
    instruments
        {symbol: instrument id}.
    table
        File of the hub's table on this host; None: there is none.
    ask
        Makes the way to the replayer; called when it is needed first.

    Attributes
    ----------
    hits, misses : values that were in the table; that the hub was asked for.
    """

    def __init__(self, instruments: Mapping[str, int], table: str | None, ask: Callable[[], ReplayClient]) -> None:
        self.hits = self.misses = 0
        self._instruments = dict(instruments)
        self._values = LastValues(table) if table is not None else None
        self._ask = ask
        self._replayer: ReplayClient | None = None
        self._views: dict[tuple[str, str], tuple[LastView, Records]] = {}
        self._known: dict[tuple[str, str], Value] = {}
        self._beat: LastView | None = None
        if self._values is not None:
            self._beat = self._values.bind(HEARTBEAT_STREAM, np.zeros(1, np.uint64))

    @property
    def fresh(self) -> bool:
        """Whether the hub still writes its table."""
        beat = self._beat
        return beat is not None and beat.read() != 0 and now_ns() - beat.at_ns <= STALE_NS

    def get(self, symbol: str, kind: str) -> Value:
        """The last ``QUOTE`` or ``TRADE`` of an instrument.

        Raises
        ------
        BusError
            No instrument has that symbol; nothing is known of it.
        """
        number = self._instruments.get(symbol)
        if number is None:
            known = ", ".join(sorted(self._instruments))
            raise BusError(f"no {kind} of {symbol!r}", where="get_data", expected=known)
        topic = TOPICS_OF[kind]
        if self._values is not None and self.fresh:
            view, out = self._views.get((symbol, kind)) or self._bind(symbol, kind, number, topic)
            if view.read():
                self.hits += 1
                # The table of a later life keeps the values of an earlier one.
                value = self._known[symbol, kind] = _value(topic, out, stale=not view.current)
                return value
        self.misses += 1
        return self._fetch(symbol, kind, number, topic)

    def close(self) -> None:
        """Close the way to the replayer."""
        if self._replayer is not None:
            self._replayer.close()

    def _bind(self, symbol: str, kind: str, number: int, topic: Topic) -> tuple[LastView, Records]:
        assert self._values is not None
        layout = layout_of(topic)
        out: Records = np.zeros(1, layout.dtype)
        made = self._views[symbol, kind] = (self._values.bind(stream_id(layout.kind, number), out), out)
        return made

    def _fetch(self, symbol: str, kind: str, number: int, topic: Topic) -> Value:
        """An image from the hub; the last that is known, where it does not answer or has none in its present life."""
        if self._replayer is None:
            self._replayer = self._ask()
        layout = layout_of(topic)
        value = self._known.get((symbol, kind))
        if value is not None:
            value = value._replace(stale=True)
        try:
            for found in self._replayer.images([stream_id(layout.kind, number)]):
                value = _value(topic, found.records[-1:])
        except ReplayTimeoutError:
            value = None if value is None else value._replace(stale=True)
        if value is None:
            raise BusError(f"no {kind} of {symbol!r}", where="get_data", expected="one that was published")
        self._known[symbol, kind] = value
        return value


def _value(topic: Topic, records: Records, *, stale: bool = False) -> Value:
    found: Quote | Trade = (quotes if topic is QUOTES else trades)(records)[0]
    # The hub has said itself that it cannot be trusted: a live market's book went lost.
    stale = stale or bool(int(records["flags"][0]) & STALE)
    return Value(found, stale, found.now_ns)


__all__ = ["MarketValues", "Value"]
