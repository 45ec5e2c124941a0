"""Does VPIN lead volatility? A study on the recordings, reported whichever way it goes.

At every step of a clock, within a session: VPIN of the last completed bucket, and the realised volatility (root of the
sum of squared returns from step to step) and volume of the window that ends there. Asked is whether VPIN tells the
logarithm of the volatility of the window that follows:

    log RV(t, t+H) = a + b VPIN(t) + c log RV(t-H, t) + d log volume(t-H, t) + e

VPIN in units of its standard deviation. b is given with and without the two controls, and with a third one beside them,
the logarithm of the volatility over as long as a window of VPIN takes on average: VPIN looks back further than H, and
volatility lasts; its error after Newey and West with 2 H / step lags, and
an interval by a moving-block bootstrap with blocks of that length, as the windows overlap. It leads where, with the two
controls, b is above zero by both; with so many tests at 5 % one in forty does so by chance.
Windows in which nothing traded or no price changed are left out. The size of buckets is that of the whole recording's
volume, which a trader would not have known; all else is known at t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.errors import Undefined
from nautilus.maths.leading import Regression, block_bootstrap, newey_west, spearman
from nautilus.maths.vpin import Buckets, vpin_of_trades
from perf.harness import Report, check
from perf.vpin_recordings import MINUTE, SECOND, Recording, recordings

SUMMARY = "study: does VPIN lead volatility on the recordings; rank correlation, regression, bootstrap"
DRAWS, SEED = 500, 1
DECILES = 10
COLUMNS = (
    "recording, measure, H",
    "rows / windows side by side",
    "rank correlation",
    "b alone (t)",
    "b with controls (t) [interval]",
    "R2 by VPIN",
    "b, third control (t)",
    "verdict",
)
Floats = NDArray[np.float64]


class Panel(NamedTuple):
    """One row a time, in order: VPIN, log volatility after and before it, log volume before it.

    `longer`: log volatility over the mean length of a window of VPIN; NaN where there is not as much before.
    """

    vpin: Floats
    after: Floats
    before: Floats
    volume: Floats
    longer: Floats
    left_out: int


class Finding(NamedTuple):
    """What came of one recording, measure and horizon."""

    name: str
    rows: int
    independent: int
    rank: float
    rank_interval: tuple[float, float]
    alone: Regression
    controlled: Regression
    strict: Regression | None
    interval: tuple[float, float]
    gain: float

    @property
    def verdict(self) -> str:
        """By both the error and the interval of b, with the controls."""
        low, high = self.interval
        if self.controlled.p_values[1] < 0.05 and low * high > 0.0:
            return "leads" if low > 0.0 else "leads the other way"
        return "does not lead"


def run(report: Report) -> None:
    """Every recording, by the side and by bulk classification where both can be told."""
    report.size_axis, report.size_type = "decile of VPIN", "linear"
    report.value_axis = "volatility that follows, against its mean"
    found: list[Finding] = []
    report.notes += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for recording in recordings():
        for measure in ("bulk",) if recording.bars else ("side", "bulk"):
            for horizon in recording.horizons:
                finding = study(recording, measure, horizon, report)
                if finding is not None:
                    found.append(finding)
                    _tell(report, finding)
    check(bool(found) or bool(report.notes), "no recording below NAUTILUS_DATA")
    counts = {verdict: sum(each.verdict == verdict for each in found) for verdict in sorted({f.verdict for f in found})}
    report.notes.append(f"{len(found)} tests: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    report.checks.append("each VPIN is of buckets completed at its time or before; windows do not leave a session")


def study(recording: Recording, measure: str, horizon: int, report: Report | None = None) -> Finding | None:
    """None, with a note, where the recording is too short."""
    length = (
        f"{horizon * recording.step_ns / MINUTE:g} min"
        if recording.step_ns >= MINUTE or (horizon * recording.step_ns % MINUTE == 0)
        else f"{horizon * recording.step_ns / SECOND:g} s"
    )
    name = f"{recording.name}, {measure}, {length}"
    try:
        panel = sampled(recording, buckets_of(recording, measure), horizon)
        finding = found_in(name, panel, horizon)
    except Undefined as none:
        if report is not None:
            report.notes.append(f"{name}: {none}")
        return None
    if report is not None:
        report.curves[name] = _deciles(panel)
    return finding


def buckets_of(recording: Recording, measure: str) -> Buckets:
    """VPIN over the whole recording."""
    bar_ns = recording.step_ns if measure == "bulk" else 0
    return vpin_of_trades(
        recording.now_ns,
        recording.ticks,
        recording.lots,
        recording.sides,
        bucket_lots=max(1, int(recording.lots.sum()) // recording.buckets),
        window=recording.window,
        bar_ns=bar_ns,
    )


def sampled(recording: Recording, buckets: Buckets, horizon: int) -> Panel:
    """The rows of one study."""
    step = recording.step_ns
    stamps, values = buckets.now_ns[recording.window - 1 :], buckets.vpin
    parts: list[Floats] = []
    left_out, passed = 0, np.zeros(0)
    length = round(_steps(recording) * recording.window / recording.buckets)
    for session in np.unique(recording.session):
        own = recording.session == session
        now, prices = recording.now_ns[own], np.log(recording.ticks[own].astype(np.float64))
        times = np.arange(now[0] // step + 1, now[-1] // step + 1) * step
        if len(times) < 2 * horizon + 2:
            continue
        last = np.searchsorted(now, times, side="right") - 1
        steps = np.square(np.diff(prices[last], prepend=prices[last[0]]))
        squares = np.cumsum(steps)
        # Over nights, which count as no time and no return.
        passed = np.concatenate([passed, steps])
        whole, here = np.cumsum(passed), len(passed) - len(steps)
        total = np.concatenate([[0], np.cumsum(recording.lots[own])])[last + 1].astype(np.float64)
        at = np.arange(horizon, len(times) - horizon)
        place = np.searchsorted(stamps, times[at], side="right") - 1
        after, before = squares[at + horizon] - squares[at], squares[at] - squares[at - horizon]
        volume = total[at] - total[at - horizon]
        tiny = 1e-14  # less than any change of price, more than what sums lose
        good = (place >= 0) & (after > tiny) & (before > tiny) & (volume > 0.0)
        left_out += int((~good).sum())
        then = here + at - length
        longer = np.where(then >= 0, whole[here + at] - whole[np.maximum(then, 0)], np.nan)
        rows = [values[np.maximum(place, 0)], after, before, volume, np.maximum(longer, tiny)]
        parts.append(np.column_stack(rows)[good])
    if not parts:
        raise Undefined("too_few", "no session is as long as two windows", "a longer recording")
    vpin, after, before, volume, longer = np.concatenate(parts).T
    return Panel(vpin, 0.5 * np.log(after), 0.5 * np.log(before), np.log(volume), 0.5 * np.log(longer), left_out)


def _steps(recording: Recording) -> int:
    """Steps of the clock within sessions."""
    ends = [recording.now_ns[recording.session == each][[0, -1]] for each in np.unique(recording.session)]
    return int(sum(last - first for first, last in ends)) // recording.step_ns


def found_in(name: str, panel: Panel, horizon: int) -> Finding:
    """Correlation, regressions and intervals."""
    rows, lags = len(panel.vpin), 2 * horizon
    if rows < 4 * lags:
        raise Undefined("too_few", f"{rows} rows for blocks of {lags}", "at least four blocks")
    spread = float(panel.vpin.std())
    if spread == 0.0:
        raise Undefined("constant", "VPIN never changes", "values that differ")
    vpin = (panel.vpin - panel.vpin.mean()) / spread
    columns = np.column_stack([vpin, panel.before, panel.volume])
    alone = newey_west(panel.after, vpin[:, None], lags)
    without = newey_west(panel.after, columns[:, 1:], lags)
    controlled = newey_west(panel.after, columns, lags)
    long = ~np.isnan(panel.longer)
    strict = None
    if int(long.sum()) >= 4 * lags:
        strict = newey_west(panel.after[long], np.column_stack([columns, panel.longer])[long], lags)
    design = np.column_stack([np.ones(rows), columns])

    def slope(places: NDArray[np.int64]) -> float:
        drawn = design[places]
        return float(np.linalg.lstsq(drawn.T @ drawn, drawn.T @ panel.after[places], rcond=None)[0][1])

    def rank(places: NDArray[np.int64]) -> float:
        return spearman(vpin[places], panel.after[places])

    return Finding(
        name=name,
        rows=rows,
        independent=rows // horizon,
        rank=spearman(vpin, panel.after),
        rank_interval=block_bootstrap(rows, lags, DRAWS // 5, rank, SEED),
        alone=alone,
        controlled=controlled,
        strict=strict,
        interval=block_bootstrap(rows, lags, DRAWS, slope, SEED),
        gain=controlled.r_squared - without.r_squared,
    )


def _deciles(panel: Panel) -> list[tuple[float, float]]:
    """Mean volatility that follows, by decile of VPIN, against that of all rows."""
    edges = np.quantile(panel.vpin, np.linspace(0, 1, DECILES + 1)[1:-1])
    decile = np.searchsorted(edges, panel.vpin, side="right")
    volatility = np.exp(panel.after)
    return [
        (float(place + 1), float(volatility[decile == place].mean() / volatility.mean()))
        for place in range(DECILES)
        if (decile == place).any()
    ]


def _tell(report: Report, finding: Finding) -> None:
    """A line of the table of docs/vpin.md."""
    alone, controlled, strict = finding.alone, finding.controlled, finding.strict
    report.add(f"{finding.name}: b with controls", "log/sd", [float(controlled.coefficients[1])], 0.0)
    cells = (
        finding.name,
        f"{finding.rows:,} / {finding.independent:,}",
        f"{finding.rank:+.2f} [{finding.rank_interval[0]:+.2f}, {finding.rank_interval[1]:+.2f}]",
        _cell(alone),
        f"{_cell(controlled)} [{finding.interval[0]:+.3f}, {finding.interval[1]:+.3f}]",
        f"{finding.gain:.3f} of {controlled.r_squared:.2f}",
        _cell(strict) if strict is not None else "too short",
        finding.verdict,
    )
    report.notes.append(f"| {' | '.join(cells)} |")


def _cell(found: Regression) -> str:
    return f"{found.coefficients[1]:+.3f} ({found.t_values[1]:+.1f})"
