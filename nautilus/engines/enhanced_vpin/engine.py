"""Enhanced VPIN: toxicity over several sizes of bucket and windows, weighted by depth, blended with order flow.

Each scale is a table of its own, whose buckets follow the mean daily volume. What they say together has a confidence;
a warning begins at a high mean percentile where that is enough, and ends by the percentile alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nautilus.core.book_set import BookSet
from nautilus.core.buckets import BUCKET, BucketFlag
from nautilus.core.flow import FlowBuilder
from nautilus.engines.base import Context, Engine, Operation, Stream, Work
from nautilus.engines.enhanced_vpin.config import BOOK, QUOTE, EnhancedVpinConfig
from nautilus.engines.enhanced_vpin.readings import basis_of, described, scale_of
from nautilus.maths.toxicity import Latch, Scale, combined
from nautilus.maths.vpin_state import load_part, table_parts
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError, UnknownInstrumentError
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

_BARS = "bars"
# Trades of a bar may be that long on their way when the clock says that it has ended.
_GRACE_NS = 1_000_000_000
_FULL = int(BucketFlag.FULL)
_READ: dict[str, Any] = {"priority": "high", "budget_ms": 50.0, "fallback": "last"}
_LIST: dict[str, Any] = {"priority": "normal", "fallback": "last"}
Said = tuple[float | None, float | None, float, float]
"""As `Scale` has it, the percentile with equal values counted once, as warnings take it."""
_NOTHING: Said = (None, None, 0.0, 0.0)


class EnhancedVpinEngine(Engine):
    """Toxicity over several bucket sizes and windows, with depth."""

    name = "enhanced-vpin"
    takes_arrays = True
    subscribes: tuple[Topic, ...] = (TRADES, QUOTES, BOOK_DELTAS)
    publishes = (ENHANCED_TOXICITY,)
    operations = (
        Operation(
            "GET",
            "/enhanced-vpin",
            GetEnhancedVpins,
            EnhancedVpinLines,
            "Toxicity over several scales of every instrument that has traded",
            **_LIST,
        ),
        Operation(
            "GET",
            "/enhanced-vpin/{symbol}",
            GetEnhancedVpin,
            EnhancedVpinReading,
            "Toxicity of an instrument's order flow over several scales, and how sure it is",
            **_READ,
        ),
        Operation(
            "GET",
            "/enhanced-vpin/{symbol}/buckets",
            GetEnhancedBuckets,
            EnhancedBuckets,
            "The last volume buckets of one scale",
            **_LIST,
        ),
    )
    streams = (
        Stream("/streams/enhanced-toxicity", ENHANCED_TOXICITY, "Warnings over several scales as they begin and end"),
    )

    def __init__(self, config: EnhancedVpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {found.instrument_id: found for found in instruments}
        self._names = {str(key): found for key, found in self._instruments.items()}
        self._names.update({found.symbol: found for found in reversed(self._instruments.values())})
        self._tables = config.tables()
        for table, scale in zip(self._tables, config.scales, strict=True):
            for key, found in self._instruments.items():
                table.add(key, config.days_lots.get(found.symbol, config.day_lots) // scale.buckets_per_day)
        by_quotes = config.flow_source == QUOTE
        self.subscribes = (TRADES, QUOTES if by_quotes else BOOK_DELTAS)
        self._books = BookSet()
        self._flow = FlowBuilder(updates=1, levels=1 if by_quotes else config.flow_levels)
        self._said: dict[int, list[Said]] = {}  # instrument -> what each scale said last
        self._latches: dict[int, Latch] = {}
        self._windows = np.array([scale.window for scale in config.scales])
        self._armed = False
        self._traded_ns = 0

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Depth at the touch, and order flow."""
        if self._config.flow_source == QUOTE:
            for table in self._tables:
                table.quotes(quotes)

    def on_book(self, deltas: Records, ctx: Context) -> None:
        """The same of several levels."""
        if self._config.flow_source == BOOK:
            flows = self._flow.process_books(self._books, deltas)
            for table in self._tables:
                table.flows(flows)

    def on_trade(self, trades: Records, ctx: Context) -> None:
        """Pour a TRADE array into the buckets of every scale, and warn."""
        self._judge([table.process(trades) for table in self._tables], ctx)
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
        self._judge([table.advance(max(0, ctx.now_ns - _GRACE_NS)) for table in self._tables], ctx)
        self._arm(ctx)

    def _judge(self, done: list[Records], ctx: Context) -> None:
        """Take what each scale has completed in order of time, the shortest buckets first."""
        config = self._config
        if not any(map(len, done)):
            return
        rows = joined(done, BUCKET)
        scales = np.repeat(np.arange(len(done)), [len(part) for part in done])
        kept = np.minimum(rows["number"] - self._windows[scales] + 1, config.history)
        order = np.argsort(rows["now_ns"], kind="stable")
        order = order[(rows["flags"][order] & _FULL > 0) & (kept[order] >= config.least_history)]
        ranks = rows["percentile"] - rows["ties"] / np.maximum(kept, 1)
        told = rows["told_volume"] / rows["volume"]
        columns = (rows["instrument_id"], scales, rows["value"], ranks, told)
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
        ranks = [rank for _, rank, _, _ in said if rank is not None]
        rank = sum(ranks) / len(ranks)
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

    def _known(self, symbol: str) -> Instrument:
        found = self._names.get(symbol)
        if found is None:
            raise UnknownInstrumentError(
                f"instrument {symbol!r}", where=self.name, expected="a symbol or an id of the platform's instruments"
            )
        return found

    def _toxic(self, instrument_id: int) -> bool:
        latch = self._latches.get(instrument_id)
        return latch is not None and latch.active

    def _reading(self, instrument: Instrument, now_ns: int) -> EnhancedVpinReading:
        key = instrument.instrument_id
        found = combined([scale_of(table, key) for table in self._tables])
        counts = self._tables[0].counts(key)
        code = "too_few" if counts["taken"] else "zero_volume" if counts["without_volume"] else "empty"
        undefined = {} if found.value is not None else dict.fromkeys(("toxicity", "percentile"), code)
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
            scales=tuple(described(self._config, place, table, key) for place, table in enumerate(self._tables)),
            undefined=undefined,
            basis=basis_of(self._config, self._tables, key),
        )

    def _lines(self, message: GetEnhancedVpins, now_ns: int) -> EnhancedVpinLines:
        tables = self._tables
        keys = sorted(key for key in self._instruments if key > message.after and len(tables[0].last(key)))
        lines = []
        for key in keys[: message.limit]:
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
        following = lines[-1].instrument_id if len(keys) > message.limit else 0
        basis = Basis(self._config.method(), window=len(lines), source="star", missing=tables[0].unknown, version="1")
        return EnhancedVpinLines(now_ns, tuple(lines), following, basis)

    def _buckets(self, message: GetEnhancedBuckets, now_ns: int) -> EnhancedBuckets:
        instrument = self._known(message.symbol)
        if message.scale >= len(self._tables):
            raise ModelError(f"scale {message.scale}", where=self.name, expected=f"0 to {len(self._tables) - 1}")
        key, table = instrument.instrument_id, self._tables[message.scale]
        found = vpin_buckets(table.buckets(key)[-message.limit :])
        basis = basis_of(self._config, [table], key)
        return EnhancedBuckets(now_ns, key, instrument.symbol, message.scale, found, basis)

    def state(self) -> dict[str, Any]:
        """The warnings in force, and what each scale said last."""
        return {
            "latches": [[key, latch.active, latch.buckets] for key, latch in sorted(self._latches.items())],
            "said": [[key, [list(scale) for scale in said]] for key, said in sorted(self._said.items())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        for key, active, buckets in state.get("latches", ()):
            if key in self._instruments:
                self._latches[key] = Latch(self._config.thresholds, active, buckets)
        for key, said in state.get("said", ()):
            if key in self._instruments and len(said) == len(self._tables):
                self._said[key] = [(value, rank, filled, told) for value, rank, filled, told in said]

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """The tables."""
        return {
            part: found
            for place, table in enumerate(self._tables)
            for part, found in table_parts(f"scale{place}", table).items()
        }

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        place = name.partition("-")[0].removeprefix("scale")
        if place.isdigit() and int(place) < len(self._tables):
            load_part(self._tables[int(place)], part)


__all__ = ["EnhancedVpinEngine"]
