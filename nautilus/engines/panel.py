"""Histories that engines of analysis work on: series by name, checked once as they come, aligned when they are used.

Series come as values over the operations of `history_operations`, or the hub asks a data provider for them. A series is
one large part of its engine's state (`Engine.bulk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.base import Context, Operation
from nautilus.maths.errors import Undefined, check_finite, check_times
from nautilus.model.basis import Basis
from nautilus.model.datasets import BarFact, DataAnswer, DataKind, GetData
from nautilus.model.errors import UnknownSeriesError
from nautilus.model.history import (
    DropHistory,
    GetHistories,
    GetHistory,
    HistoryState,
    HistoryStates,
    LoadHistory,
    PutHistory,
    SeriesKind,
)
from nautilus.model.message import Message
from nautilus.model.moments import moment_ns

HUB = "marketdata"
LOAD_NS = 30_000_000_000
"""The hub has so long to answer."""
MOST_SERIES = 20_000
MOST_VALUES = 20_000_000
"""Of all series together: 320 MB."""
Times = NDArray[np.int64]
Values = NDArray[np.float64]


class Series(NamedTuple):
    """One history. Arrays are never changed.

    Parameters
    ----------
    times_ns
        End of each step, increasing.
    values
        One for each.
    adjusted
        Prices are after splits and dividends.
    version
        Higher than that of any series before it.
    """

    kind: SeriesKind
    times_ns: Times
    values: Values
    source: str
    synthetic: bool
    adjusted: bool
    version: int


class Aligned(NamedTuple):
    """Several series on their common times.

    Parameters
    ----------
    names
        Of the columns.
    times_ns
        Shape (T,).
    values
        Shape (T, N).
    missing
        Times within the range that some of the series have, and not all.
    sources
        Where they are from, each once.
    """

    names: tuple[str, ...]
    times_ns: Times
    values: Values
    missing: int
    sources: tuple[str, ...]
    synthetic: bool

    def basis(self, method: str, version: str = "") -> Basis:
        """What a number made of these rests on."""
        return Basis(
            method=method,
            window=len(self.times_ns),
            begin_ns=int(self.times_ns[0]) if len(self.times_ns) else 0,
            end_ns=int(self.times_ns[-1]) if len(self.times_ns) else 0,
            source=", ".join(self.sources),
            missing=self.missing,
            synthetic=self.synthetic,
            version=version,
        )


class Panel:
    """Series by name.

    Parameters
    ----------
    accept
        Called with a name and its series before that is kept: what it raises (`Undefined`) keeps it out.
    """

    def __init__(self, accept: Callable[[str, Series], object] | None = None) -> None:
        self._accept = accept
        self._series: dict[str, Series] = {}
        self._loading: dict[str, HistoryState] = {}
        self._version = 0
        self._count = 0

    def __contains__(self, name: str) -> bool:
        return name in self._series

    def names(self) -> list[str]:
        """In order."""
        return sorted(self._series)

    def series(self, name: str) -> Series:
        """The series of that name. UnknownSeriesError: there is none."""
        try:
            return self._series[name]
        except KeyError:
            raise UnknownSeriesError(f"series {name!r}", expected="one that was uploaded or loaded") from None

    def put(
        self,
        name: str,
        kind: SeriesKind,
        times_ns: Sequence[int] | Times,
        values: Sequence[float] | Values,
        *,
        append: bool = False,
        source: str = "uploaded",
        synthetic: bool = False,
        adjusted: bool = False,
        accepted: bool = True,
    ) -> Series:
        """Keep a series, or append to it; `accepted` False: it is taken back as it was, and nobody is asked.

        Raises
        ------
        Undefined
            `empty`, `mismatch` (lengths, or another kind than before), `unsorted`, `duplicate_time`, `not_finite`,
            `negative_price` (a price, volume or size that is not positive), `out_of_range` (a return of -1 or less; or
            too much to keep), or what `accept` raises. Nothing is changed then.
        """
        times = np.array(times_ns, dtype=np.int64)
        numbers = np.array(values, dtype=np.float64)
        if not times.size:
            raise Undefined("empty", f"series {name!r} without values", "at least one")
        if times.ndim != 1 or times.shape != numbers.shape:
            raise Undefined("mismatch", f"{times.size} times and {numbers.size} values", "one value for each time")
        check_times(times)
        check_finite(numbers, "values")
        _check_range(kind, numbers)
        before = self._series.get(name)
        if append and before is not None:
            if before.kind != kind:
                raise Undefined("mismatch", f"series {name!r} of {before.kind} values", f"not {kind} values behind it")
            times = np.concatenate([before.times_ns, times])
            numbers = np.concatenate([before.values, numbers])
            check_times(times)
            adjusted, synthetic = adjusted or before.adjusted, synthetic or before.synthetic
        count = self._count + numbers.size - (before.values.size if before else 0)
        if count > MOST_VALUES or (before is None and len(self._series) >= MOST_SERIES):
            raise Undefined(
                "out_of_range",
                f"{count} values of {len(self._series)} series",
                f"at most {MOST_VALUES} of {MOST_SERIES}",
            )
        times.flags.writeable = numbers.flags.writeable = False
        made = Series(kind, times, numbers, source, synthetic, adjusted, self._version + 1)
        if accepted and self._accept is not None:
            self._accept(name, made)
        self._count = count
        self._version += 1
        self._series[name] = made
        self._loading.pop(name, None)
        return made

    def drop(self, name: str) -> None:
        """Forget a series. UnknownSeriesError: there is none."""
        self._count -= self.series(name).values.size
        del self._series[name]

    def levels(self, names: Sequence[str], begin_ns: int = 0, end_ns: int = 0) -> Aligned:
        """Values on common times; of returns the wealth of one invested before the first, at the end of each step.

        Raises
        ------
        UnknownSeriesError
        Undefined
            `missing_days`: they have no time in common in the range (end not included; 0: open).
        """
        found = [self.series(name) for name in names]
        if not found:
            raise Undefined("empty", "no series", "at least one")
        rows = [_within(series.times_ns, begin_ns, end_ns) for series in found]
        common = found[0].times_ns[rows[0]]
        every = common
        for series, row in zip(found[1:], rows[1:], strict=True):
            times = series.times_ns[row]
            if times.shape != common.shape or not np.array_equal(times, common):
                every = np.union1d(every, times)
                common = np.intersect1d(common, times, assume_unique=True)
        if not common.size:
            raise Undefined("missing_days", f"no time that all of {len(found)} series have", "a common range")
        columns = np.empty((common.size, len(found)))
        for place, (series, row) in enumerate(zip(found, rows, strict=True)):
            values: Values = series.values
            if series.kind is SeriesKind.RETURN:
                values = np.cumprod(1.0 + values, dtype=np.float64)
            values = values[row]
            if values.size != common.size:
                values = values[np.searchsorted(series.times_ns[row], common)]
            columns[:, place] = values
        return Aligned(tuple(names), common, columns, int(every.size - common.size), *_origin(found))

    def returns(self, names: Sequence[str], begin_ns: int = 0, end_ns: int = 0) -> Aligned:
        """Simple returns between common times, shape (T, N), at the end of each step.

        Of series that are all of returns and have the same times, those are taken as they are. Errors as `levels`, and
        `too_few` where less than two times are common, `negative_price` where a level is not positive.
        """
        found = [self.series(name) for name in names]
        if found and all(series.kind is SeriesKind.RETURN for series in found):
            rows = [_within(series.times_ns, begin_ns, end_ns) for series in found]
            times = found[0].times_ns[rows[0]]
            if times.size and all(
                np.array_equal(series.times_ns[row], times) for series, row in zip(found, rows, strict=True)
            ):
                columns = np.column_stack([series.values[row] for series, row in zip(found, rows, strict=True)])
                return Aligned(tuple(names), times, columns, 0, *_origin(found))
        levels = self.levels(names, begin_ns, end_ns)
        if len(levels.times_ns) < 2:
            raise Undefined("too_few", "one common time", "at least two for a return")
        if levels.values.min() <= 0.0:
            raise Undefined("negative_price", f"a level of {levels.values.min():g}", "levels above 0 for a return")
        values = levels.values[1:] / levels.values[:-1] - 1.0
        return levels._replace(times_ns=levels.times_ns[1:], values=values)

    # What engines answer with it.

    def on_request(self, message: Message, ctx: Context) -> Message | None:
        """The answer to a question of this module's operations; None: it is another one."""
        if isinstance(message, PutHistory):
            self.put(
                message.series,
                message.kind,
                message.times_ns,
                message.values,
                append=message.append,
                source=message.source or "uploaded",
                synthetic=message.synthetic,
            )
            return self.state_of(message.series)
        if isinstance(message, GetHistories):
            return HistoryStates(tuple(self.state_of(name) for name in sorted({*self._series, *self._loading})))
        if isinstance(message, GetHistory):
            return self.state_of(message.series)
        if isinstance(message, DropHistory):
            state = self.state_of(message.series)
            self.drop(message.series)
            return state
        return None

    def state_of(self, name: str) -> HistoryState:
        """How a series stands. UnknownSeriesError: nobody has heard of it."""
        loading = self._loading.get(name)
        if loading is not None:
            return loading
        series = self.series(name)
        return HistoryState(
            name,
            series.kind,
            "ready",
            len(series.values),
            int(series.times_ns[0]),
            int(series.times_ns[-1]),
            series.source,
            series.synthetic,
            series.adjusted,
        )

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`: each series is a part."""
        return {f"series {name}": (series.version, _giver(series)) for name, series in self._series.items()}

    def restore_bulk(self, name: str, part: Any) -> bool:
        """For `Engine.restore_bulk`: whether the part was a series."""
        kind, _, series = name.partition(" ")
        if kind != "series":
            return False
        self.put(
            series,
            SeriesKind(part["kind"]),
            part["times_ns"],
            part["values"],
            source=part["source"],
            synthetic=part["synthetic"],
            adjusted=part["adjusted"],
            accepted=False,
        )
        return True

    def loading(self, name: str, state: HistoryState | None) -> None:
        """Note how loading a series stands; None: it is over."""
        if state is None:
            self._loading.pop(name, None)
        else:
            self._loading[name] = state


class Histories:
    """A panel with what is asked of the hub for it: an engine hands its messages here first.

    ::

        def on_request(self, message, ctx):
            reply = self.histories.on_request(message, ctx)
            if reply is not None:
                return reply
            ...

    and calls `on_reply` and `on_unknown` likewise; each says whether the message was for it.
    """

    def __init__(self, panel: Panel | None = None) -> None:
        self.panel = Panel() if panel is None else panel
        self._asked: dict[int, str] = {}

    def on_request(self, message: Message, ctx: Context) -> Message | None:
        """See `Panel.on_request`; `LoadHistory` too."""
        if isinstance(message, LoadHistory):
            return self.load(message, ctx)
        return self.panel.on_request(message, ctx)

    def load(self, message: LoadHistory, ctx: Context) -> HistoryState:
        """Ask the hub for bars of a symbol."""
        name, symbol = message.series, message.symbol or message.series
        begin_ns, end_ns = moment_ns(message.begin, "begin"), moment_ns(message.end, "end")
        question = GetData(DataKind.BAR, symbol, message.source, message.interval, begin_ns, end_ns)
        number = ctx.request(HUB, question, ctx.now_ns + LOAD_NS)
        self._asked[number] = name
        state = HistoryState(name, SeriesKind.PRICE, "loading", 0, source=message.source)
        self.panel.loading(name, state)
        return state

    def on_reply(self, number: int, reply: Message, ctx: Context) -> bool:
        """Bars that were asked for."""
        name = self._asked.pop(number, None)
        if name is None:
            return False
        if not isinstance(reply, DataAnswer):
            self._failed(name, f"the hub answered with {type(reply).__name__}")
            return True
        bars = [fact for fact in reply.facts if isinstance(fact, BarFact)]
        adjusted = bool(bars) and all(bar.adjusted_close is not None for bar in bars)
        try:
            self.panel.put(
                name,
                SeriesKind.PRICE,
                [bar.end_ns for bar in bars],
                [bar.close if not adjusted or bar.adjusted_close is None else bar.adjusted_close for bar in bars],
                source=reply.source,
                synthetic=reply.provenance.synthetic or any(bar.provenance.synthetic for bar in bars),
                adjusted=adjusted,
            )
        except Undefined as error:
            self._failed(name, f"analysis.{error.code}: {error}", reply.source)
        return True

    def on_unknown(self, number: int, message: Message, ctx: Context) -> bool:
        """No answer came, or a refusal."""
        name = self._asked.pop(number, None)
        if name is None:
            return False
        self._failed(name, "no provider answered")
        return True

    def _failed(self, name: str, reason: str, source: str = "") -> None:
        self.panel.loading(name, HistoryState(name, SeriesKind.PRICE, "failed", 0, source=source, reason=reason))


def history_operations(engine: str) -> tuple[Operation, ...]:
    """Operations on an engine's histories, under its name."""
    base = f"/{engine}/history"
    return (
        Operation("GET", base, GetHistories, HistoryStates, "Histories that there are"),
        Operation("GET", f"{base}/{{series}}", GetHistory, HistoryState, "How a history stands"),
        Operation(
            "PUT", f"{base}/{{series}}", PutHistory, HistoryState, "Give a history", idempotent=True, durable=True
        ),
        Operation("DELETE", f"{base}/{{series}}", DropHistory, HistoryState, "Forget a history", durable=True),
        Operation("POST", f"{base}/{{series}}/load", LoadHistory, HistoryState, "Load a history through the hub"),
    )


def _check_range(kind: SeriesKind, values: Values) -> None:
    if kind is SeriesKind.LEVEL:
        return
    least = -1.0 if kind is SeriesKind.RETURN else 0.0
    bad = values < least if kind is SeriesKind.VOLUME else values <= least
    if bad.any():
        place = int(np.argmax(bad))
        code = "out_of_range" if kind is SeriesKind.RETURN else "negative_price"
        raise Undefined(code, f"values [{place}] is {values[place]:g}, of a {kind}", f"above {least:g}")


def _within(times_ns: Times, begin_ns: int, end_ns: int) -> slice:
    first = int(np.searchsorted(times_ns, begin_ns)) if begin_ns else 0
    last = int(np.searchsorted(times_ns, end_ns)) if end_ns else len(times_ns)
    return slice(first, last)


def _origin(found: Sequence[Series]) -> tuple[tuple[str, ...], bool]:
    """Sources of series, each once, and whether some of it was made up."""
    return tuple(dict.fromkeys(series.source for series in found)), any(series.synthetic for series in found)


def _giver(series: Series) -> Callable[[], Any]:
    return lambda: {
        "kind": series.kind.value,
        "times_ns": series.times_ns,
        "values": series.values,
        "source": series.source,
        "synthetic": series.synthetic,
        "adjusted": series.adjusted,
    }


def check_known(names: Iterable[str], panel: Panel) -> None:
    """UnknownSeriesError for the first name without a series."""
    for name in names:
        panel.series(name)


__all__ = [
    "Aligned",
    "Histories",
    "Panel",
    "Series",
    "check_known",
    "history_operations",
]
