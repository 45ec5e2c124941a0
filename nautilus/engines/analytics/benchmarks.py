"""Series that portfolios are compared with, by period, and how each portfolio stands beside its own."""

from __future__ import annotations

import numpy as np

from nautilus.engines.analytics.track import Track
from nautilus.engines.panel import Panel, Series
from nautilus.maths.errors import Undefined
from nautilus.maths.returns import Floats, Whole, compounded
from nautilus.maths.running import RunningRelative
from nautilus.model.history import SeriesKind


class Beside:
    """A portfolio and a benchmark: measures of the periods that both have, kept while periods end.

    A new version of the benchmark, or a history that was put before the portfolio's, starts it again.
    """

    def __init__(self, track: Track, version: int, by_period: dict[int, float], period_ns: int) -> None:
        self.version, self._by_period, self._period_ns = version, by_period, period_ns
        self._rebuilt = track.rebuilt
        pairs = [
            (value, by_period[time // period_ns])
            for time, value in zip(track.times, track.returns.tolist(), strict=True)
            if time // period_ns in by_period
        ]
        ours, theirs = zip(*pairs, strict=True) if pairs else ((), ())
        self.running = RunningRelative.of(ours, theirs, track.running.periods_per_year)
        self._taken = track.n

    def current(self, track: Track, version: int) -> bool:
        """Bring it to the newest period; whether that could be done."""
        if version != self.version or track.rebuilt != self._rebuilt:
            return False
        returns = track.held_returns
        for place in range(self._taken, track.n):
            theirs = self._by_period.get(track.times[place] // self._period_ns)
            if theirs is not None:
                self.running.add(returns[place], theirs)
        self._taken = track.n
        return True

    def last(self, track: Track, most: int) -> Floats | None:
        """Returns of the benchmark in the last periods, up to `most`; None where one of them is not known."""
        wanted = [time // self._period_ns for time in track.times[-most:]]
        if not all(period in self._by_period for period in wanted):
            return None
        return np.array([self._by_period[period] for period in wanted])


class Benchmarks:
    """Of a panel: returns by period, computed once for each version of a series."""

    def __init__(self, panel: Panel, period_ns: int) -> None:
        self._panel, self._period_ns = panel, period_ns
        self._kept: dict[str, tuple[int, dict[int, float]]] = {}
        self._beside: dict[tuple[int, str], Beside] = {}

    def version(self, name: str) -> int:
        """Of the series; -1: there is none of that name."""
        return self._panel.series(name).version if name in self._panel else -1

    def beside(self, track: Track, name: str) -> Beside:
        """The portfolio beside that series. UnknownSeriesError: there is none."""
        series = self._panel.series(name)
        key = track.portfolio_id, name
        kept = self._beside.get(key)
        if kept is None or not kept.current(track, series.version):
            kept = Beside(track, series.version, self._returns(name, series), self._period_ns)
            self._beside[key] = kept
        return kept

    def _returns(self, name: str, series: Series) -> dict[int, float]:
        kept = self._kept.get(name)
        if kept is None or kept[0] != series.version:
            # Of several values in a period the last step alone would not be the period's.
            times, grown = compounded(*step_returns(series), self._period_ns)
            kept = series.version, dict(zip((times // self._period_ns).tolist(), grown.tolist(), strict=True))
            self._kept[name] = kept
        return kept[1]


def step_returns(series: Series) -> tuple[Whole, Floats]:
    """Ends of the steps and the simple return of each. Undefined: levels that have none (0 or less)."""
    if series.kind is SeriesKind.RETURN:
        return series.times_ns, series.values
    values = series.values
    if values.size < 2:
        return series.times_ns[:0], values[:0]
    if values.min() <= 0.0:
        raise Undefined("negative_price", f"a level of {values.min():g}", expected="levels above 0")
    with np.errstate(over="ignore"):  # who takes them finds what is too large
        return series.times_ns[1:], np.asarray(np.diff(values) / values[:-1], np.float64)


__all__ = ["Benchmarks", "Beside", "step_returns"]
