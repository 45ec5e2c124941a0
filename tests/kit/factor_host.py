"""Asks a factor engine as a host does: work goes as bytes to a job and back, and its result makes the reply."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core.ticks import BAR, BarKind
from nautilus.engines.base import Work
from nautilus.engines.factor import FactorConfig, FactorEngine
from nautilus.engines.factor.universe import DAY_NS
from nautilus.maths.errors import Undefined
from nautilus.model.factor import PutSectors, PutUniverse, UniverseField
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.runtime.wire import from_wire, to_wire
from nautilus.runtime.worker import pack, unpack
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.stock_universe import StockUniverse

FIRST_DAY = 14_610
"""2010-01-01, as days since the epoch."""
CLOSE_NS = 21 * 3_600_000_000_000
FIELDS = {
    UniverseField.RETURN: "returns",
    UniverseField.MARKET_CAP: "market_caps",
    UniverseField.BOOK_PRICE: "book_price",
    UniverseField.SALES_PRICE: "sales_price",
    UniverseField.CASH_FLOW_PRICE: "cash_flow_price",
    UniverseField.DOLLAR_VOLUME: "dollar_volumes",
}
WINDOWS: dict[str, Any] = {
    "momentum_days": 30,
    "momentum_half_life": 10.0,
    "momentum_lag": 5,
    "volatility_days": 20,
    "volatility_half_life": 7.0,
    "liquidity_days": 12,
    "specific_fewest": 20,
    "kept_days": 40,
}


def close_ns(day: int) -> int:
    """When the `day`-th day of a made-up universe closes."""
    return (FIRST_DAY + day) * DAY_NS + CLOSE_NS


def stock(place: int, **changes: Any) -> Instrument:
    """An instrument of a made-up universe, in cents and whole shares."""
    fields: dict[str, Any] = {
        "instrument_id": place + 1,
        "symbol": f"S{place:04}",
        "venue": "XNAS",
        "product": "equity",
        "base_currency": "",
        "quote_currency": "USD",
        "tick_table": (("0", "0.01"),),
        "lot_size": "1",
        "currency_decimals": 2,
    }
    return btcusdt(**(fields | changes))


class FactorHost:
    """One engine, its context, and what it was asked."""

    def __init__(self, instruments: int = 0, **settings: Any) -> None:
        self.config = FactorConfig(**(WINDOWS | settings))
        self.instruments = [stock(place) for place in range(instruments)]
        self.ctx = RecordingContext(close_ns(0))
        self.engine = FactorEngine(self.config, self.instruments)
        self.engine.on_start(self.ctx)

    def ask(self, message: Message) -> Any:
        """The reply, after both have been on the wire."""
        reply = self.engine.on_request(from_wire(to_wire(message)), self.ctx)
        if isinstance(reply, Work):
            result = unpack(pack(reply.job(*unpack(pack(reply.arguments)))))
            assert reply.finish is not None
            reply = reply.finish(result)
        return from_wire(to_wire(reply))

    def put(self, made: StockUniverse, days: slice, fields: dict[UniverseField, str] | None = None) -> Any:
        """Upload these days of a universe."""
        reply = None
        times = tuple(close_ns(day) for day in range(*days.indices(len(made.returns))))
        for field, name in (fields or FIELDS).items():
            rows = tuple(
                tuple(None if np.isnan(value) else float(value) for value in row) for row in getattr(made, name)[days]
            )
            reply = self.ask(PutUniverse(UniverseField(field).value, made.symbols, times, rows))
        return reply

    def put_sectors(self, made: StockUniverse) -> Any:
        """Upload the sectors."""
        names = dict(zip(made.symbols, (made.sector_names[code] for code in made.sector_codes), strict=True))
        return self.ask(PutSectors(names))

    def run_jobs(self) -> None:
        """Run what the engine has submitted, and hand it the results."""
        jobs, self.ctx.jobs = self.ctx.jobs, []
        for number, job, arguments in jobs:
            try:
                result = unpack(pack(job(*unpack(pack(arguments)))))
            except Undefined as error:
                result = error
            self.engine.on_result(number, result, self.ctx)

    def again(self) -> FactorHost:
        """Another one with a new engine that has the state of this one, through bytes."""
        other = FactorHost.__new__(FactorHost)
        other.config, other.instruments, other.ctx = self.config, self.instruments, RecordingContext(self.ctx.now_ns)
        other.engine = FactorEngine(self.config, self.instruments)
        parts = {name: unpack(pack(give())) for name, (_, give) in self.engine.bulk().items()}
        for name in sorted(parts, key=hash):  # files come in any order
            other.engine.restore_bulk(name, parts[name])
        other.engine.restore(unpack(pack(self.engine.state())))
        other.engine.on_start(other.ctx)
        return other


def bar_array(now_ns: int, prices: dict[int, float], lots: int = 100) -> Records:
    """Bars of a minute of instruments with a tick of 0.01, by id."""
    bars = np.zeros(len(prices), BAR)
    bars["now_ns"] = bars["end_ns"] = now_ns
    bars["instrument_id"] = list(prices)
    ticks = np.round(np.array(list(prices.values())) * 100).astype(np.int64)
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        bars[name] = ticks
    bars["volume"] = lots
    bars["notional"] = ticks * float(lots)
    bars["kind"], bars["size"] = BarKind.TIME, 60_000_000_000
    return bars
