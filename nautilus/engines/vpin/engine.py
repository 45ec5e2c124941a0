"""VPIN: toxicity of the order flow of every instrument, from its trades, and the warnings that follow.

Two tables are kept, by the aggressor's side and by bulk classification; one of them warns. A warning has two thresholds
and a dwell, so that it neither flickers nor hangs on one bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nautilus.core.buckets import BucketFlag
from nautilus.core.vpin import VpinTable
from nautilus.engines.base import Context, Engine, Operation, Stream, Work
from nautilus.engines.vpin.config import BULK, MEASURES, SIDE, VpinConfig
from nautilus.engines.vpin.readings import basis_of, latest, measured
from nautilus.maths.toxicity import NORMAL, Latch, regime, regime_score
from nautilus.maths.vpin_state import load_part, table_parts
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.signals import MarketStructureChanged, ToxicityWarning
from nautilus.model.topics import MARKET_STRUCTURE, TOXICITY, TRADES
from nautilus.model.vpin import (
    GetVpin,
    GetVpinBuckets,
    GetVpins,
    VpinBuckets,
    VpinLine,
    VpinLines,
    VpinReading,
    vpin_buckets,
)

_BARS = "bars"
# Trades of a bar may be that long on their way when the clock says that it has ended.
_GRACE_NS = 1_000_000_000
_FULL = int(BucketFlag.FULL)
_JUDGED = ["instrument_id", "number", "vpin", "percentile", "pace", "ties"]
_READ: dict[str, Any] = {"priority": "critical", "budget_ms": 50.0, "fallback": "last"}
_LIST: dict[str, Any] = {"priority": "normal", "fallback": "last"}


class _Warnings:
    """What is in force of one instrument."""

    __slots__ = ("hurried", "one_sided", "regime", "toxic")

    def __init__(self, config: VpinConfig, saved: Iterable[Any] = ()) -> None:
        pairs = list(saved) or [(False, 1 << 62)] * 3
        kinds = (config.toxicity, config.structure, config.structure)
        self.toxic, self.one_sided, self.hurried = (
            Latch(kind, bool(active), int(buckets)) for kind, (active, buckets) in zip(kinds, pairs, strict=True)
        )
        self.regime = regime(self.one_sided.active, self.hurried.active)

    def saved(self) -> list[list[Any]]:
        return [[latch.active, latch.buckets] for latch in (self.toxic, self.one_sided, self.hurried)]


class VpinEngine(Engine):
    """The volume-synchronised probability of informed trading."""

    name = "vpin"
    takes_arrays = True
    subscribes = (TRADES,)
    publishes = (TOXICITY, MARKET_STRUCTURE)
    operations = (
        Operation("GET", "/vpin", GetVpins, VpinLines, "Toxicity of every instrument that has traded", **_LIST),
        Operation("GET", "/vpin/{symbol}", GetVpin, VpinReading, "Toxicity of an instrument's order flow", **_READ),
        Operation(
            "GET",
            "/vpin/{symbol}/buckets",
            GetVpinBuckets,
            VpinBuckets,
            "Its last volume buckets, with VPIN after each",
            **_LIST,
        ),
    )
    streams = (
        Stream("/streams/toxicity", TOXICITY, "Warnings of toxic order flow as they begin and end"),
        Stream("/streams/market-structure", MARKET_STRUCTURE, "Regimes of instruments as they change"),
    )

    def __init__(self, config: VpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {found.instrument_id: found for found in instruments}
        self._names = {str(key): found for key, found in self._instruments.items()}
        self._names.update({found.symbol: found for found in reversed(self._instruments.values())})
        self._tables: dict[str, VpinTable] = {SIDE: config.side_table(), BULK: config.bulk_table()}
        for table in self._tables.values():
            for key, found in self._instruments.items():
                table.add(key, config.buckets.get(found.symbol, config.bucket_lots))
        self._warnings: dict[int, _Warnings] = {}
        self._armed = False
        self._traded_ns = 0

    @property
    def _table(self) -> VpinTable:
        return self._tables[self._config.warn_on]

    def on_trade(self, trades: Records, ctx: Context) -> None:
        """Pour a TRADE array into the buckets, and warn."""
        for measure, table in self._tables.items():
            done = table.process(trades)
            if len(done) and measure == self._config.warn_on:
                self._judge(done, ctx)
        self._traded_ns = ctx.now_ns
        if self._config.bar_ns and not self._armed:
            self._arm(ctx)

    def _arm(self, ctx: Context) -> None:
        """Wake when the bar of the last trades has ended, if that is still to come."""
        due_ns = self._traded_ns - self._traded_ns % self._config.bar_ns + self._config.bar_ns + _GRACE_NS
        self._armed = due_ns > ctx.now_ns
        if self._armed:
            ctx.at(due_ns, _BARS)

    def on_timer(self, key: str, ctx: Context) -> None:
        """Close bars of time that no trade has closed."""
        done = self._tables[BULK].advance(max(0, ctx.now_ns - _GRACE_NS))
        if len(done) and self._config.warn_on == BULK:
            self._judge(done, ctx)
        self._arm(ctx)

    def _judge(self, done: Records, ctx: Context) -> None:
        config = self._config
        least = config.window + config.least_history - 1
        known = done[(done["flags"] & _FULL > 0) & (done["number"] >= least)]
        for instrument_id, number, vpin, percentile, pace, ties in known[_JUDGED].tolist():
            warnings = self._warnings.get(instrument_id)
            if warnings is None:
                warnings = self._warnings[instrument_id] = _Warnings(config)
            # Of equal values one alone counts: flow that is always the same is not toxic.
            rank = percentile - ties / min(number - config.window + 1, config.history)
            if warnings.toxic.step(rank):
                ctx.publish(
                    ToxicityWarning(
                        ctx.now_ns, instrument_id, vpin, percentile, warnings.toxic.active, number, config.warn_on
                    )
                )
            one_sided, hurried = warnings.one_sided.step(rank), warnings.hurried.step(pace)
            if one_sided or hurried:
                name = warnings.regime = regime(warnings.one_sided.active, warnings.hurried.active)
                score = regime_score(name, rank, pace)
                ctx.publish(MarketStructureChanged(ctx.now_ns, instrument_id, name, score))

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer `GetVpin`, `GetVpins` and `GetVpinBuckets`."""
        if isinstance(message, GetVpin):
            return self._reading(self._known(message.symbol), ctx.now_ns)
        if isinstance(message, GetVpins):
            return self._lines(message, ctx.now_ns)
        if isinstance(message, GetVpinBuckets):
            return self._buckets(message, ctx.now_ns)
        return super().on_request(message, ctx)

    def _known(self, symbol: str) -> Instrument:
        found = self._names.get(symbol)
        if found is None:
            raise UnknownInstrumentError(
                f"instrument {symbol!r}", where=self.name, expected="a symbol or an id of GET /vpin or of the settings"
            )
        return found

    def _reading(self, instrument: Instrument, now_ns: int) -> VpinReading:
        key, config = instrument.instrument_id, self._config
        measures = [measured(config, name, table, key) for name, table in self._tables.items()]
        warns = measures[MEASURES.index(config.warn_on)]
        counts, warnings = self._table.counts(key), self._warnings.get(key)
        return VpinReading(
            now_ns=now_ns,
            instrument_id=key,
            symbol=instrument.symbol,
            vpin=warns.vpin,
            percentile=warns.percentile,
            toxic=warnings is not None and warnings.toxic.active,
            regime=warnings.regime if warnings is not None else NORMAL,
            measures=tuple(measures),
            trades=counts["taken"],
            volume_lots=counts["volume"],
            late=counts["late"],
            duplicates=counts["duplicates"],
            without_volume=counts["without_volume"],
            refused=counts["refused"],
            undefined={name: code for name, code in warns.undefined.items() if name != "pace"},
            basis=warns.basis,
        )

    def _lines(self, message: GetVpins, now_ns: int) -> VpinLines:
        table = self._table
        keys = sorted(key for key in self._instruments if key > message.after and len(table.last(key)))
        lines = []
        for key in keys[: message.limit]:
            values, _ = latest(table, key, {"taken": 1})
            warnings = self._warnings.get(key)
            lines.append(
                VpinLine(
                    instrument_id=key,
                    symbol=self._instruments[key].symbol,
                    vpin=values.get("vpin"),
                    percentile=values.get("percentile"),
                    pace=values.get("pace"),
                    toxic=warnings is not None and warnings.toxic.active,
                    regime=warnings.regime if warnings is not None else NORMAL,
                    end_ns=int(table.last(key)["now_ns"][0]),
                )
            )
        following = lines[-1].instrument_id if len(keys) > message.limit else 0
        method = self._config.method(self._config.warn_on)
        basis = Basis(method, window=self._config.window, source="star", missing=table.unknown, version="1")
        return VpinLines(now_ns, tuple(lines), following, basis)

    def _buckets(self, message: GetVpinBuckets, now_ns: int) -> VpinBuckets:
        instrument = self._known(message.symbol)
        measure = message.measure or self._config.warn_on
        if measure not in MEASURES:
            raise ModelError(f"measure {measure!r}", where=self.name, expected=" or ".join(MEASURES))
        key, table = instrument.instrument_id, self._tables[measure]
        window = table.buckets(key)
        found = vpin_buckets(window[-message.limit :])
        basis = basis_of(self._config.method(measure), window, table.counts(key))
        return VpinBuckets(now_ns, key, instrument.symbol, measure, found, basis)

    def state(self) -> dict[str, Any]:
        """The warnings in force."""
        return {"warnings": [[key, found.saved()] for key, found in sorted(self._warnings.items())]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._warnings = {
            key: _Warnings(self._config, saved) for key, saved in state.get("warnings", ()) if key in self._instruments
        }

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """The tables."""
        return {part: found for name, table in self._tables.items() for part, found in table_parts(name, table).items()}

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        table = self._tables.get(name.partition("-")[0])
        if table is not None:
            load_part(table, part)


__all__ = ["VpinEngine"]
