"""VPIN: toxicity of the order flow of every instrument, from its trades, and the warnings that follow.

Two tables are kept, by the aggressor's side and by bulk classification; one of them warns. A warning has two thresholds
and a dwell, so that it neither flickers nor hangs on one bucket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nautilus.core.vpin import VpinTable
from nautilus.engines.base import Context, Operation, Stream, Work
from nautilus.engines.toxicity import FULL, LIST, READ, ToxicityEngine, basis_of, has_value
from nautilus.engines.vpin.config import BULK, MEASURES, SIDE, VpinConfig
from nautilus.engines.vpin.readings import latest, measured
from nautilus.maths.toxicity import NORMAL, Latch, ranks, regime, regime_score
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError
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

_JUDGED = ["instrument_id", "number", "vpin", "percentile", "pace"]


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


class VpinEngine(ToxicityEngine):
    """The volume-synchronised probability of informed trading."""

    name = "vpin"
    subscribes = (TRADES,)
    publishes = (TOXICITY, MARKET_STRUCTURE)
    operations = (
        Operation("GET", "/vpin", GetVpins, VpinLines, "Toxicity of every instrument with a complete bucket", **LIST),
        Operation(
            "GET",
            "/vpin/{symbol}",
            GetVpin,
            VpinReading,
            "Toxicity of an instrument's order flow",
            priority="critical",
            **READ,
        ),
        Operation(
            "GET",
            "/vpin/{symbol}/buckets",
            GetVpinBuckets,
            VpinBuckets,
            "Its last volume buckets, with VPIN after each",
            **LIST,
        ),
    )
    streams = (
        Stream("/streams/toxicity", TOXICITY, "Warnings of toxic order flow as they begin and end"),
        Stream("/streams/market-structure", MARKET_STRUCTURE, "Regimes of instruments as they change"),
    )

    def __init__(self, config: VpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        super().__init__(instruments, {SIDE: config.side_table(), BULK: config.bulk_table()}, config.bar_ns)
        for table in self._tables.values():
            for key, found in self._instruments.items():
                table.add(key, config.buckets.get(found.symbol, config.bucket_lots))
        self._warnings: dict[int, _Warnings] = {}

    @property
    def _table(self) -> VpinTable:
        return self._tables[self._config.warn_on]

    def _judge(self, done: list[Records], ctx: Context) -> None:
        config = self._config
        least = config.window + config.least_history - 1
        rows = done[MEASURES.index(config.warn_on)]
        known = rows[(rows["flags"] & FULL > 0) & (rows["number"] >= least)]
        # Of equal values one alone counts: flow that is always the same is not toxic.
        places = ranks(
            known["percentile"], known["ties"], np.minimum(known["number"] - config.window + 1, config.history)
        )
        for (instrument_id, number, vpin, percentile, pace), rank in zip(
            known[_JUDGED].tolist(), places.tolist(), strict=True
        ):
            warnings = self._warnings.get(instrument_id)
            if warnings is None:
                warnings = self._warnings[instrument_id] = _Warnings(config)
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
        page, following = self._page([table], message)
        lines = []
        for key in page:
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
        basis = basis_of(self._config.method(measure), [window], table.counts(key))
        return VpinBuckets(now_ns, key, instrument.symbol, measure, found, basis)

    def state(self) -> dict[str, Any]:
        """The warnings in force."""
        return {"warnings": [[key, found.saved()] for key, found in sorted(self._warnings.items())]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`. Where the table began anew, as after other settings, nothing is in force."""
        self._warnings = {
            key: _Warnings(self._config, saved)
            for key, saved in state.get("warnings", ())
            if key in self._instruments and has_value(self._table, key)
        }


__all__ = ["VpinEngine"]
