"""Counters and histograms of all workers together, as each of them shows them.

A worker counts under a number of its own, in files that outlive it: the next one of that number goes on with them. So
sums over the files never go back, whoever dies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.gateway.table import name_of

_ALL = name_of(0)[:-1] + "*"


class SummedCounters:
    """Those of all workers, as `nautilus.core.counters.Counters` shows its own.

    Parameters
    ----------
    shared
        Directory of the instance's shared memory.
    """

    def __init__(self, shared: str) -> None:
        self._directory = Path(shared)

    def snapshot(self) -> dict[str, int]:
        """{name: sum}."""
        total: dict[str, int] = {}
        for counters in self._tables():
            for name, value in counters.snapshot().items():
                total[name] = total.get(name, 0) + value
        return total

    def gauges(self) -> frozenset[str]:
        """Names of those that are gauges."""
        return frozenset(name for counters in self._tables() for name in counters.gauges())

    def _tables(self) -> Iterator[Counters]:
        for path in self._directory.glob(f"counters.{_ALL}"):
            if path.suffix == ".new":  # about to take its name
                continue
            try:
                yield Counters.load(path)
            except (OSError, ValueError):
                continue


class SummedHistograms(Mapping[str, Histogram]):
    """Those of all workers by what they measure: each look adds up anew."""

    def __init__(self, shared: str) -> None:
        self._directory = Path(shared)

    def __getitem__(self, name: str) -> Histogram:
        total: Histogram | None = None
        for path in self._directory.glob(f"latency.{_ALL}.{name}"):
            try:
                found = Histogram.read(path)
            except (OSError, ValueError):
                continue
            if total is None:
                total = found
            else:
                total.merge(found)
        if total is None:
            raise KeyError(name)
        return total

    def __iter__(self) -> Iterator[str]:
        names = (path.name.split(".", 2)[2] for path in self._directory.glob(f"latency.{_ALL}.*"))
        return iter(sorted({name for name in names if not name.endswith(".new")}))

    def __len__(self) -> int:
        return sum(1 for _ in self)
