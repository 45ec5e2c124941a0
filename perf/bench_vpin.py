"""VPIN: trades a second on one core, cost per trade as instruments grow, a warning's way from the trade to risk.

    trades ──▶ table ──▶ engine ── ToxicityWarning, URGENT, mesh over ipc ──▶ answering end, decoded

Arrays hold 1,000 trades of instruments in random turn; volumes are such that an instrument's bucket takes fifty trades.
Where flowrisk is importable (``pip install --no-deps flowrisk==0.3.0``, with pandas and scipy) it takes turns with
`nautilus.maths.vpin_bars` on the same minute bars, and both give the same values.
"""

from __future__ import annotations

import csv
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from nautilus.core.affinity import LatencyHold
from nautilus.core.buckets import Classification
from nautilus.core.types import QUOTE, TRADE
from nautilus.core.vpin import VpinTable
from nautilus.engines.enhanced_vpin import EnhancedVpinConfig, EnhancedVpinEngine
from nautilus.engines.vpin import VpinConfig, VpinEngine
from nautilus.maths.vpin import vpin_of_trades
from nautilus.maths.vpin_bars import vpin_of_bars
from nautilus.model.enums import Priority
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.signals import ToxicityWarning
from nautilus.model.vpin import GetVpin
from perf.harness import REPEATS, ROOT, OtherLoad, Report, check, cores, pinned
from perf.mesh_pair import Asking, peer

SUMMARY = "VPIN: trades a second, cost per trade over instruments, flowrisk beside it, a warning's way to risk"
GOAL = 2_000_000.0
TRADES, ARRAY = 1_000_000, 1_000
BUCKET_LOTS = 2_500  # fifty trades
INSTRUMENTS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
WARM_UP, WARNINGS, PAUSE_NS = 200, 2_000, 1_000_000
BUDGET_US = 900.0
READINGS = 2_000
RECORDINGS = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "vpin_minute"


class Noting:
    """The context of an engine alone: keeps what it publishes."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.published: list[Any] = []

    def publish(self, event: Message | Records, /) -> None:
        """Keep it."""
        self.published.append(event)

    def at(self, ns: int, key: str, /) -> None:
        """No timer is ever due."""


def run(report: Report) -> None:
    """All of it, on one core but for the mesh."""
    report.conditions["pinning"] = f"core {cores()[-1]}; the mesh: none"
    with pinned(cores()[-1]):
        _streams(report)
        _over_instruments(report)
        _readings(report)
        _beside_flowrisk(report)
    _to_risk(report)
    report.checks.append("no lot is lost; the stream has the values of the batch to the bit; every warning arrived")


def flow(instruments: int, count: int = TRADES, seed: int = 1) -> Records:
    """Trades of instruments in random turn."""
    rng = np.random.default_rng(seed)
    trades = np.zeros(count, TRADE)
    trades["now_ns"] = 1_000 * np.arange(count)
    trades["trade_id"] = np.arange(count) + 1
    trades["price_ticks"] = 100_000 + np.cumsum(rng.integers(-1, 2, count))
    trades["quantity"] = rng.integers(1, 100, count)
    trades["instrument_id"] = rng.integers(1, instruments + 1, count)
    trades["side"] = rng.integers(1, 3, count)
    return trades


def listed(count: int) -> list[Instrument]:
    """Instruments by number."""
    return [
        Instrument(
            instrument_id=number,
            symbol=f"I{number}",
            venue="X",
            base_currency="XXX",
            quote_currency="USD",
            tick_table=(("0", "0.01"),),
            lot_size="1",
        )
        for number in range(1, count + 1)
    ]


def _filled(table: VpinTable, instruments: int) -> VpinTable:
    for number in range(1, instruments + 1):
        table.add(number, BUCKET_LOTS)
    return table


def _rate(make: Callable[[], Callable[[Records], object]], trades: Records, array: int = ARRAY) -> float:
    take = make()
    parts = [trades[begin : begin + array] for begin in range(0, len(trades), array)]
    begun = time.perf_counter()
    for part in parts:
        take(part)
    return len(trades) / (time.perf_counter() - begun)


def _streams(report: Report) -> None:
    trades = flow(100)
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("by the aggressor's side", {}),
        ("bulk, normal, bars of 1 ms", {"classification": Classification.NORMAL, "bar_ns": 1_000_000}),
        ("bulk, Student's t, bars of 1 ms", {"classification": Classification.STUDENT, "bar_ns": 1_000_000}),
    )
    for name, settings in kinds:

        def take(settings: dict[str, Any] = settings) -> Callable[[Records], object]:
            return _filled(VpinTable(**settings), 100).process

        report.measure(f"table, 100 instruments, {name}", "trades/s", partial(_rate, take, trades), goal=GOAL)
    one_by_one = partial(_rate, lambda: _filled(VpinTable(), 100).process, trades[:100_000], 1)
    report.measure("the same, arrays of one trade, by the aggressor's side", "trades/s", one_by_one)
    context: Any = Noting()

    def engine() -> Callable[[Records], object]:
        made = VpinEngine(VpinConfig(bucket_lots=BUCKET_LOTS), listed(100))
        return lambda part: made.on_trade(part, context)

    def enhanced() -> Callable[[Records], object]:
        made = EnhancedVpinEngine(EnhancedVpinConfig(day_lots=BUCKET_LOTS * 200), listed(100))
        quotes = np.array([(0, 0, 0, 99, 5, 101, 5, number, 1, 0) for number in range(1, 101)], QUOTE)
        made.on_quote(quotes, context)
        return lambda part: made.on_trade(part, context)

    report.measure("engine vpin: both tables and warnings", "trades/s", partial(_rate, engine, trades), goal=GOAL)
    report.measure(
        "engine enhanced-vpin: three scales, fifty trades in the least bucket",
        "trades/s",
        partial(_rate, enhanced, trades),
        goal=GOAL,
    )
    _check(trades)


def _check(trades: Records) -> None:
    table = _filled(VpinTable(), 100)
    found = np.concatenate([table.process(trades[begin : begin + ARRAY]) for begin in range(0, len(trades), ARRAY)])
    for number in (1, 50, 100):
        own = trades[trades["instrument_id"] == number]
        counts = table.counts(number)
        in_buckets = counts["completed"] * BUCKET_LOTS + int(table.open_bucket(number)["volume"][0])
        check(in_buckets == counts["volume"] == int(own["quantity"].sum()), f"instrument {number}: lots are lost")
        batch = vpin_of_trades(own["now_ns"], own["price_ticks"], own["quantity"], own["side"], bucket_lots=BUCKET_LOTS)
        stream = found[found["instrument_id"] == number][table.window - 1 :]
        check(stream["vpin"].tobytes() == batch.vpin.tobytes(), f"instrument {number}: another VPIN")
        check(stream["percentile"].tobytes() == batch.percentile.tobytes(), f"instrument {number}: another percentile")


def _over_instruments(report: Report) -> None:
    """Each table has had a million trades before; arrays of a thousand."""
    report.size_axis = "instruments"
    points = []
    medians = []
    for count in INSTRUMENTS:
        warm, trades = flow(count), flow(count, seed=2)
        trades["now_ns"] += warm["now_ns"][-1] + 1

        def take(count: int = count, warm: Records = warm) -> Callable[[Records], object]:
            table = _filled(VpinTable(), count)
            table.process(warm)
            return table.process

        values = []
        with OtherLoad() as load:
            values = [1e9 / _rate(take, trades) for _ in range(REPEATS)]
        figure = report.add(f"a trade, {count:,} instruments", "ns", values, load.cores, lower_is_better=True)
        points.append((float(count), figure.median))
        medians.append(figure.median)
    report.curves["nanoseconds a trade"] = points
    report.notes.append(f"10 to 10,000 instruments: {medians[-1] / medians[0]:.2f} times the cost of a trade")


def _readings(report: Report) -> None:
    """What `GET /vpin/{symbol}` costs the engine, ten thousand instruments being measured."""
    context: Any = Noting()
    engine = VpinEngine(VpinConfig(bucket_lots=100), listed(10_000))
    engine.on_trade(flow(10_000), context)
    nanos = np.zeros(READINGS, np.int64)
    for place in range(READINGS):
        asked = GetVpin(f"I{place + 1}")
        begun = time.perf_counter_ns()
        engine.on_request(asked, context)
        nanos[place] = time.perf_counter_ns() - begun
    report.latency("a reading, 10,000 instruments", nanos)
    report.add(
        "a reading, 10,000 instruments, p99",
        "us",
        [float(np.percentile(nanos, 99)) / 1e3],
        0.0,
        goal=5_000.0,
        lower_is_better=True,
    )


def _beside_flowrisk(report: Report) -> None:
    path = RECORDINGS / "AAPL_2018_11_22.csv"
    if not path.exists():
        report.notes.append("no minute bars below NAUTILUS_DATA: flowrisk's definition was not measured")
        return
    with path.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    prices = np.array([float(row["4. close"]) for row in rows])
    volumes = np.array([float(row["5. volume"]) for row in rows])
    theirs = _flowrisk(path)
    ours: list[float] = []
    others: list[float] = []
    with OtherLoad() as load:
        for _ in range(REPEATS):
            begun = time.perf_counter()
            found = vpin_of_bars(prices, volumes)
            ours.append(len(prices) / (time.perf_counter() - begun))
            if theirs is not None:
                begun = time.perf_counter()
                values = theirs()
                others.append(len(prices) / (time.perf_counter() - begun))
                check(bool(np.abs(values - found).max() <= 1e-9), "flowrisk has other values")
    report.add("flowrisk's definition, here", "bars/s", ours, load.cores)
    if theirs is None:
        report.notes.append("flowrisk is not importable: pip install --no-deps flowrisk==0.3.0")
        return
    report.add("flowrisk 0.3.0", "bars/s", others, load.cores)
    ratio = [mine / other for mine, other in zip(ours, others, strict=True)]
    report.add("times flowrisk", "x", ratio, load.cores, goal=10.0)


def _flowrisk(path: Path) -> Callable[[], Any] | None:
    # It calls `np.math`, which numpy 2 has no more.
    vars(np).setdefault("math", math)
    warnings.filterwarnings("ignore", module="flowrisk")
    try:
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]
        from flowrisk.toxicity.vpin import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
            BulkVPIN,
            BulkVPINConfig,
        )
    except ImportError:
        return None
    config = BulkVPINConfig()
    config.N_TIME_BAR_FOR_INITIALIZATION = 50
    config.TIME_BAR_TIME_STAMP_COL_NAME = "date"
    config.TIME_BAR_PRICE_COL_NAME, config.TIME_BAR_VOLUME_COL_NAME = "4. close", "5. volume"
    bars = pd.read_csv(path)
    return lambda: BulkVPIN(config).estimate(bars)["vpin"].to_numpy()


class _Turning:
    """An engine that warns, and takes its warning back, with each of its arrays of trades."""

    def __init__(self, count: int) -> None:
        settings = VpinConfig(bucket_lots=1_000_000, window=1, dwell_buckets=0, least_history=10)
        self._engine = VpinEngine(settings, listed(1))
        self._context = cast("Any", Noting())
        self._arrays = iter([self._bucket(number) for number in range(1, count + 100)])
        while not self._context.published:
            self._engine.on_trade(next(self._arrays), self._context)

    @staticmethod
    def _bucket(number: int) -> Records:
        """Further from balance than all before, or nearer."""
        apart = 200_000 + number if number % 2 else 100_000 - number
        rows = np.zeros(2, TRADE)
        rows["now_ns"], rows["price_ticks"], rows["instrument_id"] = number, 100, 1
        rows["quantity"], rows["side"] = (500_000 + apart, 500_000 - apart), (1, 2)
        return rows

    def __call__(self, now_ns: int) -> Message:
        """The warning that follows from the next trades; `now_ns` is from before they came."""
        told = self._context.published
        told.clear()
        self._context.now_ns = now_ns
        self._engine.on_trade(next(self._arrays), self._context)
        found = [each for each in told if type(each) is ToxicityWarning]
        check(len(found) == 1, f"{len(found)} warnings of one bucket")
        return found[0]


def _to_risk(report: Report) -> None:
    hold = LatencyHold(0)
    report.conditions["wake-up"] = hold.grant.found
    with ExitStack() as stack:
        stack.callback(hold.close)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(peer(directory, "mesh0"))
        mesh = Asking(directory)
        turning = _Turning(WARM_UP + WARNINGS)
        mesh.send_messages(turning, WARM_UP, Priority.URGENT, PAUSE_NS)
        with OtherLoad() as load:
            nanos = mesh.send_messages(turning, WARNINGS, Priority.URGENT, PAUSE_NS)
        mesh.close()
    check(len(nanos) == WARNINGS, f"{len(nanos)} of {WARNINGS} warnings arrived")
    report.latency("trades in, warning decoded at risk", nanos)
    for share in (50, 99):
        report.add(
            f"trades in, warning decoded at risk, p{share}",
            "us",
            [float(np.percentile(nanos, share)) / 1e3],
            load.cores,
            goal=BUDGET_US / 10,
            lower_is_better=True,
        )
