"""What every bench shares: repeats, pinning, the machine's conditions and jitter, and the shape of a report.

A bench is a module `perf.bench_<topology>` with `SUMMARY` (one line) and `run(report)`, which adds figures to the
report. `Report.fields()` is what `--json` writes.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.core.clock import Clock, adjust, synchronise
from nautilus.core.histogram import Histogram
from perf.native import loops

REPEATS = 7
AWAKE_NS = 150_000
ROOT = Path(__file__).resolve().parent.parent


def settle_clock(seconds: float = 1.0) -> None:
    """Make the clock of this process as quick as the system's, and set it by that.

    What a process counts by at first may be off by twenty parts in a million: forty microseconds in two seconds, where
    the times of two processes are compared.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        adjust()
        time.sleep(0.05)
    synchronise()


@dataclass(frozen=True)
class Figure:
    """One measured figure: the median of the repeats with their spread."""

    name: str
    unit: str
    median: float
    minimum: float
    maximum: float
    repeats: list[float]
    goal: float | None = None
    lower_is_better: bool = False
    other_load: float = 0.0  # cores kept busy by other processes meanwhile

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None where there is no goal."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.lower_is_better else self.median >= self.goal


@dataclass
class Report:
    """Figures of one bench, with the conditions they were taken under."""

    bench: str
    summary: str
    conditions: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    latency_ns: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # a figure against a size
    size_axis: str = "resting orders"  # what the size counts
    size_type: str = "log"
    value_axis: str = "nanoseconds"
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def measure(
        self,
        name: str,
        unit: str,
        once: Callable[[], float],
        *,
        goal: float | None = None,
        lower_is_better: bool = False,
        repeats: int = REPEATS,
    ) -> Figure:
        """Call `once` for each repeat; what it returns is the figure of that repeat, in `unit`."""
        with OtherLoad() as load:
            values = [once() for _ in range(repeats)]
        return self.add(name, unit, values, load.cores, goal=goal, lower_is_better=lower_is_better)

    def add(
        self,
        name: str,
        unit: str,
        values: list[float],
        other_load: float,
        *,
        goal: float | None = None,
        lower_is_better: bool = False,
    ) -> Figure:
        """Add a figure of repeats that were made already, with the load of others meanwhile."""
        figure = Figure(
            name,
            unit,
            statistics.median(values),
            min(values),
            max(values),
            values,
            goal,
            lower_is_better,
            other_load,
        )
        self.figures.append(figure)
        return figure

    def latency(self, name: str, nanos: np.ndarray) -> None:
        """Add percentiles of latencies in nanoseconds."""
        histogram = Histogram()
        histogram.record_many(np.ascontiguousarray(nanos, np.int64))
        check(histogram.refused == 0, f"{name}: a latency above an hour or below zero")
        self.histograms[name] = histogram
        self.latency_ns[name] = dict(histogram.summary())  # type: ignore[arg-type]

    def ask(self, name: str, ask: Callable[[], object], requests: int, warm: int, goal_ms: float) -> None:
        """Measure the p99, in milliseconds, of a question asked one at a time; the first `warm` do not count."""
        kept: list[np.ndarray] = []

        def once() -> float:
            nanos = np.empty(requests, np.int64)
            for number in range(-warm, requests):
                begun_ns = time.perf_counter_ns()
                ask()
                if number >= 0:
                    nanos[number] = time.perf_counter_ns() - begun_ns
            kept.append(nanos)
            return float(np.percentile(nanos, 99)) / 1e6

        self.measure(f"{name}, p99", "ms", once, goal=goal_ms, lower_is_better=True)
        self.latency(name, np.concatenate(kept))

    def fields(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "bench": self.bench,
            "summary": self.summary,
            "conditions": self.conditions,
            "figures": [{**asdict(figure), "met": figure.met} for figure in self.figures],
            "latency_ns": self.latency_ns,
            "curves": self.curves,
            "checks": self.checks,
            "notes": self.notes,
        }


class OtherLoad:
    """While it is entered: how many cores processes kept busy that are none of this one, nor children that ended.

    Attributes
    ----------
    cores : known after the end.
    """

    def __init__(self) -> None:
        self.cores = 0.0
        self._begun = (0.0, 0.0, 0.0)

    def __enter__(self) -> OtherLoad:
        self._begun = (time.monotonic(), _busy_seconds(), sum(os.times()[:4]))
        return self

    def __exit__(self, *error: object) -> None:
        start, busy, own = self._begun
        others = (_busy_seconds() - busy) - (sum(os.times()[:4]) - own)
        self.cores = round(max(0.0, others / max(time.monotonic() - start, 0.1)), 2)


class CheckError(Exception):
    """A bench found that its own result is wrong; its figures count for nothing."""


def check(true: bool, message: str) -> None:
    """Refuse the figures of a bench whose result is not what it must be."""
    if not true:
        raise CheckError(message)


def cores() -> list[int]:
    """Cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def paced(count: int, rate: float, ask: Callable[[int], object]) -> tuple[np.ndarray, np.ndarray]:
    """Call `ask(number)` at `rate` a second, whatever becomes of it: the next is due also while one is under way.

    Returns
    -------
    from_due, from_sent : nanoseconds of each call from when it was due (what a user of the system waits), and from when
        it began (a stall counts once there, however many calls it keeps waiting: coordinated omission).
    """
    from_due, from_sent = np.zeros(count, np.int64), np.zeros(count, np.int64)
    begun_ns = time.perf_counter_ns() + 1_000_000
    for number in range(count):
        due_ns = begun_ns + round(number * 1e9 / rate)
        # To be woken takes a while, so the last part of the wait is spent awake.
        while (left_ns := due_ns - time.perf_counter_ns()) > AWAKE_NS:
            time.sleep((left_ns - AWAKE_NS) / 1e9)
        while (sent_ns := time.perf_counter_ns()) < due_ns:
            pass
        ask(number)
        answered_ns = time.perf_counter_ns()
        from_due[number], from_sent[number] = answered_ns - due_ns, answered_ns - sent_ns
    return from_due, from_sent


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the calling thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def jitter(seconds: float = 1.0) -> dict[str, float]:
    """What else happens on a core: the times that a loop which does nothing but read the clock was held up.

    Returns
    -------
    dict
        Stalls per second above 1, 10 and 100 microseconds, the longest in microseconds, and the share of time lost.
    """
    stalls = np.zeros(1 << 18, np.int64)
    with pinned(cores()[-1]):
        found, elapsed_ns = loops().stalls(stalls, int(seconds * 1e9), 1_000)
    stalls = stalls[: min(found, len(stalls))]
    elapsed = elapsed_ns / 1e9
    return {
        "over_1_us_per_second": found / elapsed,
        "over_10_us_per_second": int((stalls > 10_000).sum()) / elapsed,
        "over_100_us_per_second": int((stalls > 100_000).sum()) / elapsed,
        "longest_us": int(stalls.max(initial=0)) / 1e3,
        "lost_share": int(stalls.sum()) / elapsed_ns,
    }


def conditions() -> dict[str, Any]:
    """Machine, versions and load, with the jitter run."""
    clock = Clock()
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "machine": {
            "processor": _processor(),
            "cores": cores(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
            "virtual": "hypervisor" in _read("/proc/cpuinfo"),
            "clock": clock.source,
            "clock_hz": round(clock.ticks_per_second),
            "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "cython", "pyzmq", "msgspec", "uvloop")},
            "c_library": " ".join(platform.libc_ver()),
        },
        "load_average": list(os.getloadavg()),
        "jitter": jitter(),
    }


def _busy_seconds() -> float:
    """Processor time of the whole machine that was not idle, stolen time among it."""
    words = _read("/proc/stat").partition("\n")[0].split()[1:9]
    ticks = [int(word) for word in words]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()
