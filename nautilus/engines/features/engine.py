"""Features: indicators and microstructure of instruments, point in time.

Each instrument has its state: bars, quotes and trades of the star go through the compiled steps one row at a time, and
a vector is what stands after the newest of them. A value names the time of that row and knows of nothing later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from nautilus.core.bars import BarBuilder
from nautilus.core.ticks import GAP_FLAG, BarKind
from nautilus.engines.base import Context, Engine, FeatureSets, Operation, Work
from nautilus.engines.features.feeds import SourceFeed
from nautilus.engines.features.histories import compute, steps_in_words
from nautilus.engines.features.registry import Output, Registry
from nautilus.maths.errors import Undefined
from nautilus.maths.ranks import Floats, percentile_ranks, ranks, standard_scores
from nautilus.model.basis import Basis
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError
from nautilus.model.features import (
    ApplySplit,
    BuildFeatureSet,
    ComputeFeatures,
    CrossSection,
    FeatureColumns,
    FeatureRegistry,
    FeatureSet,
    FeatureStatus,
    FeatureVector,
    GetCrossSection,
    GetFeatureRegistry,
    GetFeatures,
    GetFeatureStatus,
)
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import BARS, QUOTES, TRADES

UNITS_NS = {"ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
_RULE = re.compile(r"(?P<kind>[a-z]+):(?P<size>[1-9]\d{0,14})(?P<unit>[a-z]*)")
_EXPECTED = "time:1m, tick:100, volume:1000, dollar:1000000 or imbalance:100"
INLINE_VALUES = 2_000
"""An answer of at most so many is made at once: it takes less than to hand its history to another process."""


class FeaturesConfig(msgspec.Struct, frozen=True):
    """Settings.

    Parameters
    ----------
    bars
        What a bar is: ``time:1m``, ``tick:100``, ``volume:1000`` (lots), ``dollar:1000000`` (ticks times lots),
        ``imbalance:100``.
    bars_from
        ``trades``: bars are made here, of the star's trades; ``hub``: those that the hub publishes (`marketdata.bars`)
        by the same rule.
    kept_instruments
        So many instruments, the first of the list, keep their state over a restart; the others warm up anew.
    """

    bars: str = "time:1m"
    bars_from: Literal["trades", "hub"] = "trades"
    kept_instruments: Annotated[int, msgspec.Meta(ge=0)] = 1_000

    def __post_init__(self) -> None:
        _ = self.rule

    @property
    def rule(self) -> tuple[BarKind, int]:
        """Kind and size of bars. ConfigError: `bars` is none."""
        found = _RULE.fullmatch(self.bars)
        kind = found["kind"].upper() if found else ""
        if found is None or kind not in BarKind.__members__ or (found["unit"] in UNITS_NS) != (kind == "TIME"):
            raise ConfigError(f"bars {self.bars!r}", where="features.bars", expected=_EXPECTED)
        if kind != "TIME" and found["unit"]:
            raise ConfigError(f"bars {self.bars!r}", where="features.bars", expected=_EXPECTED)
        return BarKind[kind], int(found["size"]) * UNITS_NS.get(found["unit"], 1)


class FeaturesEngine(Engine):
    """Answers with vectors, cross-sections and histories of features.

    Parameters
    ----------
    instruments
        Whose records it takes.
    feature_sets
        Writes sets for training.
    """

    name = "features"
    takes_arrays = True
    patience_ns = 20_000_000
    subscribes = (QUOTES, TRADES, BARS)
    operations = (
        Operation(
            "GET",
            "/features/registry",
            GetFeatureRegistry,
            FeatureRegistry,
            "Definitions of all features, with versions",
        ),
        Operation("GET", "/features/status", GetFeatureStatus, FeatureStatus, "What was taken of the star, and not"),
        Operation(
            "GET",
            "/features/cross-section",
            GetCrossSection,
            CrossSection,
            "One feature of all instruments, ranked",
            budget_ms=200.0,
        ),
        Operation(
            "GET",
            "/features/{symbol}",
            GetFeatures,
            FeatureVector,
            "Features of an instrument, now",
            budget_ms=200.0,
            fallback="last",
        ),
        Operation(
            "POST",
            "/features/batch",
            ComputeFeatures,
            FeatureColumns,
            "Features of a history",
            scope="read",
            idempotent=True,
        ),
        Operation(
            "POST",
            "/features/split",
            ApplySplit,
            FeatureStatus,
            "Tell of a split: what came before it counts in shares of after",
            scope="admin",
            idempotent=True,
        ),
        Operation(
            "POST", "/features/offline", BuildFeatureSet, FeatureSet, "Write a set for training", idempotent=True
        ),
    )

    def __init__(self, config: FeaturesConfig, instruments: Iterable[Instrument], feature_sets: FeatureSets) -> None:
        self._config = config
        self._sets = feature_sets
        listed = list(instruments)
        self._instruments = {each.instrument_id: each for each in listed}
        self._by_symbol: dict[str, list[Instrument]] = {}
        for each in listed:
            self._by_symbol.setdefault(each.symbol, []).append(each)
        self.registry = Registry()
        kind, size = config.rule
        made = self.registry.programs
        self.bars = SourceFeed(made["bar"], listed, f"bars {config.bars} ({config.bars_from})", kind, size)
        self.quotes = SourceFeed(made["quote"], listed, "quotes")
        self.trades = SourceFeed(made["trade"], listed, "trades")
        self.feeds = {"bar": self.bars, "quote": self.quotes, "trade": self.trades}
        self._builder = BarBuilder(kind, size, venue_clock=False) if config.bars_from == "trades" else None
        self._timed = size if kind is BarKind.TIME and self._builder is not None else 0
        self._due_ns = 0
        self._begun: set[int] = set()
        self._splits: dict[int, tuple[int, float]] = {}  # the newest one of an instrument

    # Market data, whole arrays.

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Take quotes."""
        rows = np.ascontiguousarray(quotes)
        self.quotes.feed.quotes(rows)
        self.trades.feed.quotes(rows)

    def on_trade(self, trades: Records, ctx: Context) -> None:
        """Take trades, and the bars that they end."""
        rows = np.ascontiguousarray(trades)
        if self._builder is not None and len(rows):
            now_ns = int(rows["now_ns"][0])
            if self._timed and now_ns >= self._due_ns:
                self._take_bars(self._builder.advance(now_ns))
                self._due_ns = now_ns - now_ns % self._timed + self._timed
            bars = self._builder.process(rows)
            if len(bars):
                self._take_bars(bars)
        self.trades.feed.trades(rows)

    def on_bar(self, bars: Records, ctx: Context) -> None:
        """Take the hub's bars, where they are the ones."""
        if self._builder is None:
            self.bars.feed.bars(np.ascontiguousarray(bars))

    def _take_bars(self, bars: Records) -> None:
        # The first bar of an instrument began before its first trade was seen here.
        first = [at for at, number in enumerate(bars["instrument_id"].tolist()) if self._is_first(number)]
        if first:
            bars["flags"][first] |= GAP_FLAG
        self.bars.feed.bars(bars)

    def _is_first(self, instrument_id: int) -> bool:
        if instrument_id in self._begun:
            return False
        self._begun.add(instrument_id)
        return True

    def _split(self, instrument_id: int, time_ns: int, ratio: float) -> None:
        if time_ns > self._splits.get(instrument_id, (0, 0.0))[0]:
            self._splits[instrument_id] = time_ns, ratio
            for feed in self.feeds.values():
                feed.split(instrument_id, time_ns, ratio)

    # Questions.

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer a question of its operations."""
        if isinstance(message, GetFeatures):
            return self.vector(message)
        if isinstance(message, GetCrossSection):
            return self.cross_section(message)
        if isinstance(message, GetFeatureStatus):
            return self.status()
        if isinstance(message, ApplySplit):
            self.apply_split(message, ctx.now_ns)
            return self.status()
        if isinstance(message, GetFeatureRegistry):
            return self.registry.answer(message.source.lower(), message.family.lower())
        if isinstance(message, ComputeFeatures):
            outputs = self.registry.select(message.names, message.source)
            longest = max(len(message.history.close), len(message.history.bid), len(message.history.price))
            return compute(message) if longest * len(outputs) <= INLINE_VALUES else Work(compute, (message,))
        if isinstance(message, BuildFeatureSet):
            self.registry.select(message.names, message.source)
            _ = FeaturesConfig(bars=message.bars)  # refused here, by its name
            return Work(self._sets.write, (*self._sets.places, message))
        return super().on_request(message, ctx)

    def status(self) -> FeatureStatus:
        """What was taken of the star, and what was not."""
        sources = tuple(feed.status() for feed in self.feeds.values())
        config = self._config
        return FeatureStatus(len(self._instruments), config.bars, config.bars_from, self.registry.digest, sources)

    def apply_split(self, message: ApplySplit, now_ns: int) -> None:
        """What came before a split counts in shares of after. UnknownInstrumentError; ModelError: it is to come."""
        instrument = self._instrument(message.symbol, message.venue)
        if message.time_ns > now_ns:
            raise ModelError(f"split at {message.time_ns}", where="features", expected=f"one that was, up to {now_ns}")
        ratio = message.new / message.old if message.old else 0.0
        self._split(instrument.instrument_id, message.time_ns, ratio)

    def vector(self, message: GetFeatures) -> FeatureVector:
        """The newest values. UnknownInstrumentError, UnknownFeatureError."""
        instrument = self._instrument(message.symbol, message.venue)
        number = instrument.instrument_id
        outputs = self.registry.select(message.names)
        values: dict[str, float | None] = {}
        undefined: dict[str, str] = {}
        sources = dict.fromkeys(output.source for output in outputs)
        found = {source: self.feeds[source].vector(number) for source in sources}
        for output in outputs:
            row, valid, rows = found[output.source]
            if valid[output.column]:
                values[output.name] = row[output.column]
            else:
                values[output.name] = None
                undefined[output.name] = _reason(output, rows)
        times = [self.feeds[source].times(number) for source in sources]
        return FeatureVector(
            instrument.symbol,
            instrument.venue,
            number,
            max((time_ns for time_ns, _ in times), default=0),
            max((known_ns for _, known_ns in times), default=0),
            values,
            {output.definition.name: output.definition.version for output in outputs},
            undefined,
            tuple(self.feeds[source].basis(number, self.registry.digest[:16]) for source in sources),
        )

    def cross_section(self, message: GetCrossSection) -> CrossSection:
        """One output of many. UnknownInstrumentError, UnknownFeatureError; Undefined `empty`: nobody has a value."""
        output = self.registry.output(message.feature)
        source = self.feeds[output.source]
        if message.symbols:
            numbers = [self._instrument(symbol, "").instrument_id for symbol in dict.fromkeys(message.symbols)]
        else:
            numbers = list(self._instruments)
        slots = np.array([source.slots[number] for number in numbers], np.int32)
        times, _, _, made_up = source.feed.times()[:, slots] if len(slots) else np.zeros((4, 0), np.int64)
        column, there = source.bank.column(slots, output.column)
        if message.max_age_ns and there.any():
            there &= times >= int(times[there].max()) - message.max_age_ns
        if not there.any():
            raise Undefined("empty", f"no instrument has a value of {output.name}", "one that is behind its warm-up")
        undefined: dict[str, str] = {}
        order = np.lexsort((np.array(numbers), column))
        order = order[there[order]]
        listed = [self._instruments[numbers[at]] for at in order.tolist()]
        newest, oldest = int(times[order].max()), int(times[order].min())
        steps = sum(source.feed.splits(slot)[2] for slot in slots[order].tolist())
        basis = Basis(
            method="rank: mean of ties; percentile (rank - 1) / (n - 1); score in standard deviations, divisor n"
            + steps_in_words(steps),
            window=len(listed),
            begin_ns=oldest,
            end_ns=newest,
            source="star",
            missing=len(numbers) - len(listed),
            synthetic=bool(made_up[order].any()),
            version=self.registry.digest[:16],
        )
        return CrossSection(
            output.name,
            output.definition.version,
            newest,
            oldest,
            tuple(each.symbol for each in listed),
            tuple(each.venue for each in listed),
            tuple(each.instrument_id for each in listed),
            tuple(times[order].tolist()),
            tuple(column[order].tolist()),
            tuple(ranks(column, there)[order].tolist()),
            _or_none(undefined, "percentiles", partial(percentile_ranks, column, there), order),
            _or_none(undefined, "scores", partial(standard_scores, column, there), order),
            undefined,
            basis,
        )

    def _instrument(self, symbol: str, venue: str) -> Instrument:
        found = [each for each in self._by_symbol.get(symbol, ()) if venue in ("", each.venue)]
        if not found:
            raise UnknownInstrumentError(f"{symbol!r}", where="features", expected="a symbol that is listed")
        if len(found) > 1:
            venues = ", ".join(each.venue for each in found)
            raise ModelError(f"{symbol!r} at several venues", where="features", expected=f"a venue of {venues}")
        return found[0]

    # State: each instrument and source is a part.

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """Parts `source instrument_id`."""
        kept = list(self._instruments)[: self._config.kept_instruments]
        parts: dict[str, tuple[int, Callable[[], Any]]] = {}
        for source, feed in self.feeds.items():
            for number in kept:
                slot = feed.slots[number]
                if feed.bank.rows_of(slot):
                    parts[f"{source} {number}"] = (feed.version(slot), partial(feed.part, slot))
        return parts

    def restore_bulk(self, name: str, part: Any) -> None:
        """Take one over; of other definitions or another instrument it is left, and warms up anew."""
        source, _, number = name.partition(" ")
        feed = self.feeds.get(source)
        if feed is not None:
            feed.restore(int(number), part)

    def state(self) -> dict[str, Any]:
        """The newest split of each instrument: a part may have been saved before it."""
        return {"splits": [[number, *found] for number, found in sorted(self._splits.items())]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        for number, time_ns, ratio in state.get("splits", ()):
            if number in self._instruments:
                self._split(number, time_ns, ratio)


def _reason(output: Output, rows: int) -> str:
    return "too_few" if rows <= output.warm_up else output.definition.lacks or "undefined"


def _or_none(
    undefined: dict[str, str], name: str, compute_all: Callable[[], Floats], order: NDArray[np.int64]
) -> tuple[float, ...]:
    try:
        return tuple(compute_all()[order].tolist())
    except Undefined as error:
        undefined[name] = error.code
        return ()


__all__ = ["FeaturesConfig", "FeaturesEngine"]
