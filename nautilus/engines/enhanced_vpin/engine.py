"""Enhanced VPIN: toxicity over several sizes of bucket and windows, weighted by depth, blended with order flow.

Each scale is a table of its own, whose buckets follow the mean daily volume. What they say together has a confidence;
a warning begins at a high mean percentile where that is enough, and ends by the percentile alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nautilus.core.book_set import BookSet
from nautilus.core.buckets import BUCKET
from nautilus.core.flow import FlowBuilder
from nautilus.core.vpin import VpinTable
from nautilus.engines.base import Context, Operation, Stream, Work
from nautilus.engines.enhanced_vpin.config import BOOK, QUOTE, EnhancedVpinConfig
from nautilus.engines.enhanced_vpin.readings import described, scale_of
from nautilus.engines.toxicity import FULL, LIST, READ, ToxicityEngine, basis_of, has_value, why_none
from nautilus.maths.toxicity import Latch, Scale, combined, ranks
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records, joined
from nautilus.model.signals import EnhancedToxicityWarning
from nautilus.model.topics import BOOK_DELTAS, ENHANCED_TOXICITY, QUOTES, TRADES, Topic
from nautilus.model.vpin import (
    EnhancedBuckets,
    EnhancedVpinLine,
    EnhancedVpinLines,
    EnhancedVpinReading,
    GetEnhancedBuckets,
    GetEnhancedVpin,
    GetEnhancedVpins,
    vpin_buckets,
)

Said = tuple[float | None, float | None, float, float]
"""As `Scale` has it, the percentile with equal values counted once, as warnings take it."""
_NOTHING: Said = (None, None, 0.0, 0.0)


class EnhancedVpinEngine(ToxicityEngine):
    """Toxicity over several bucket sizes and windows, with depth."""

    name = "enhanced-vpin"
    patience_ns = 5_000_000
    subscribes: tuple[Topic, ...] = (TRADES, QUOTES, BOOK_DELTAS)
    publishes = (ENHANCED_TOXICITY,)
    operations = (
        Operation(
            "GET",
            "/enhanced-vpin",
            GetEnhancedVpins,
            EnhancedVpinLines,
            "Toxicity over several scales of every instrument with a complete bucket",
            **LIST,
        ),
        Operation(
            "GET",
            "/enhanced-vpin/{symbol}",
            GetEnhancedVpin,
            EnhancedVpinReading,
            "Toxicity of an instrument's order flow over several scales, and how sure it is",
            priority="high",
            **READ,
        ),
        Operation(
            "GET",
            "/enhanced-vpin/{symbol}/buckets",
            GetEnhancedBuckets,
            EnhancedBuckets,
            "The last volume buckets of one scale",
            **LIST,
        ),
    )
    streams = (
        Stream("/streams/enhanced-toxicity", ENHANCED_TOXICITY, "Warnings over several scales as they begin and end"),
    )

    def __init__(self, config: EnhancedVpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        tables = {f"scale{place}": table for place, table in enumerate(config.tables())}
        super().__init__(instruments, tables, config.bar_ns)
        self._scales: list[VpinTable] = list(tables.values())
        for table, scale in zip(self._scales, config.scales, strict=True):
            for key, found in self._instruments.items():
                table.add(key, config.days_lots.get(found.symbol, config.day_lots) // scale.buckets_per_day)
        by_quotes = config.flow_source == QUOTE
        self.subscribes = (TRADES, QUOTES if by_quotes else BOOK_DELTAS)
        self._books = BookSet()
        self._flow = FlowBuilder(updates=1, levels=1 if by_quotes else config.flow_levels)
        self._said: dict[int, list[Said]] = {}  # instrument -> what each scale said last
        self._latches: dict[int, Latch] = {}
        self._windows = np.array([scale.window for scale in config.scales])

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Depth at the touch, and order flow."""
        if self._config.flow_source == QUOTE:
            for table in self._scales:
                table.quotes(quotes)

    def on_book(self, deltas: Records, ctx: Context) -> None:
        """The same of several levels."""
        if self._config.flow_source == BOOK:
            flows = self._flow.process_books(self._books, deltas)
            for table in self._scales:
                table.flows(flows)

    def _judge(self, done: list[Records], ctx: Context) -> None:
        """Take what each scale has completed in order of time, the shortest buckets first."""
        config = self._config
        if not any(map(len, done)):
            return
        rows = joined(done, BUCKET)
        scales = np.repeat(np.arange(len(done)), [len(part) for part in done])
        kept = np.minimum(rows["number"] - self._windows[scales] + 1, config.history)
        order = np.argsort(rows["now_ns"], kind="stable")
        order = order[(rows["flags"][order] & FULL > 0) & (kept[order] >= config.least_history)]
        places = ranks(rows["percentile"], rows["ties"], kept)
        told = rows["told_volume"] / rows["volume"]
        columns = (rows["instrument_id"], scales, rows["value"], places, told)
        for instrument_id, scale, value, rank, share in zip(*(each[order].tolist() for each in columns), strict=True):
            said = self._said.get(instrument_id)
            if said is None:
                said = self._said[instrument_id] = [_NOTHING] * len(done)
            said[scale] = (value, rank, 1.0, share)
            self._warn(instrument_id, said, ctx)

    def _warn(self, instrument_id: int, said: list[Said], ctx: Context) -> None:
        latch = self._latches.get(instrument_id)
        if latch is None:
            latch = self._latches[instrument_id] = Latch(self._config.thresholds)
        known = [rank for _, rank, _, _ in said if rank is not None]
        rank = sum(known) / len(known)
        if not latch.active and rank >= self._config.enter and not self._sure(said):
            rank = 0.0
        if not latch.step(rank):
            return
        found = combined([Scale(*each) for each in said])
        assert found.value is not None
        assert found.percentile is not None
        ctx.publish(
            EnhancedToxicityWarning(
                ctx.now_ns, instrument_id, found.value, found.percentile, found.confidence, latch.active
            )
        )

    def _sure(self, said: list[Said]) -> bool:
        return combined([Scale(*each) for each in said]).confidence >= self._config.least_confidence

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer `GetEnhancedVpin`, `GetEnhancedVpins` and `GetEnhancedBuckets`."""
        if isinstance(message, GetEnhancedVpin):
            return self._reading(self._known(message.symbol), ctx.now_ns)
        if isinstance(message, GetEnhancedVpins):
            return self._lines(message, ctx.now_ns)
        if isinstance(message, GetEnhancedBuckets):
            return self._buckets(message, ctx.now_ns)
        return super().on_request(message, ctx)

    def _toxic(self, instrument_id: int) -> bool:
        latch = self._latches.get(instrument_id)
        return latch is not None and latch.active

    def _reading(self, instrument: Instrument, now_ns: int) -> EnhancedVpinReading:
        key = instrument.instrument_id
        found = combined([scale_of(table, key) for table in self._scales])
        counts = self._scales[0].counts(key)
        undefined = {} if found.value is not None else dict.fromkeys(("toxicity", "percentile"), why_none(counts))
        if found.agreement is None:
            undefined["agreement"] = "too_few"
        return EnhancedVpinReading(
            now_ns=now_ns,
            instrument_id=key,
            symbol=instrument.symbol,
            toxicity=found.value,
            percentile=found.percentile,
            confidence=found.confidence,
            filled=found.filled,
            agreement=found.agreement,
            told_share=found.told,
            toxic=self._toxic(key),
            scales=tuple(described(self._config, place, table, key) for place, table in enumerate(self._scales)),
            undefined=undefined,
            basis=basis_of(self._config.method(), [table.buckets(key) for table in self._scales], counts),
        )

    def _lines(self, message: GetEnhancedVpins, now_ns: int) -> EnhancedVpinLines:
        tables = self._scales
        page, following = self._page(tables, message)
        lines = []
        for key in page:
            found = combined([scale_of(table, key) for table in tables])
            lines.append(
                EnhancedVpinLine(
                    instrument_id=key,
                    symbol=self._instruments[key].symbol,
                    toxicity=found.value,
                    percentile=found.percentile,
                    confidence=found.confidence,
                    toxic=self._toxic(key),
                )
            )
        basis = Basis(self._config.method(), window=len(lines), source="star", missing=tables[0].unknown, version="1")
        return EnhancedVpinLines(now_ns, tuple(lines), following, basis)

    def _buckets(self, message: GetEnhancedBuckets, now_ns: int) -> EnhancedBuckets:
        instrument = self._known(message.symbol)
        if message.scale >= len(self._scales):
            raise ModelError(f"scale {message.scale}", where=self.name, expected=f"0 to {len(self._scales) - 1}")
        key, table = instrument.instrument_id, self._scales[message.scale]
        window = table.buckets(key)
        found = vpin_buckets(window[-message.limit :])
        basis = basis_of(self._config.method(), [window], table.counts(key))
        return EnhancedBuckets(now_ns, key, instrument.symbol, message.scale, found, basis)

    def state(self) -> dict[str, Any]:
        """The warnings in force, and what each scale said last."""
        return {
            "latches": [[key, latch.active, latch.buckets] for key, latch in sorted(self._latches.items())],
            "said": [[key, [list(scale) for scale in said]] for key, said in sorted(self._said.items())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`. A scale that began anew, as after other settings, has said nothing yet."""
        for key, said in state.get("said", ()):
            if key not in self._instruments or len(said) != len(self._scales):
                continue
            whole = [has_value(table, key) for table in self._scales]
            if any(whole):
                self._said[key] = [
                    (value, rank, filled, told) if there else _NOTHING
                    for there, (value, rank, filled, told) in zip(whole, said, strict=True)
                ]
        for key, active, buckets in state.get("latches", ()):
            if key in self._said:
                self._latches[key] = Latch(self._config.thresholds, active, buckets)


__all__ = ["EnhancedVpinEngine"]
