"""What an engine shows, as objects of the public library, and its text of them."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from nautilus import __version__
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.metrics import BOUNDS_NS, DESCRIPTIONS, LABELS, PREFIX, UNITS, EngineView, ReadableCounters


def naive_page(view: EngineView, *, rich: bool) -> bytes:
    """The page as the library writes it, without what the library knows of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(view))
    return (generate_openmetrics if rich else generate_latest)(registry)


class EngineCollector(Collector):
    """Reads a view whenever Prometheus asks."""

    def __init__(self, view: EngineView) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        view = self._view
        labels = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}build", "Version of the platform.", value=labels)
        yield _gauge("engine_ready", "The engine takes requests.", view.name, float(not view.blockers()))
        yield _gauge("engine_uptime_seconds", "Since the engine started.", view.name, view.uptime_seconds)
        state = StateSetMetricFamily(f"{PREFIX}engine_state", "Where the engine is in its life.", labels=["engine"])
        state.add_metric([view.name], {each.name.lower(): each is view.state for each in EngineState})
        yield state
        breaker = view.protection.breaker()
        yield _gauge("breaker_open", "The circuit breaker is not closed.", view.name, float(breaker.state != "closed"))
        families: dict[str, Metric] = {}
        self._add_counters(families, view.process, view.counted(), every=view.process_metrics)
        _add_histograms(families, "operation_seconds", ("engine", "operation"), view.name, view.measured().items())
        for shared in view.shared:
            counters = shared.counters()
            if counters is not None:
                self._add_counters(families, shared.process, counters, every=True)
            _add_histograms(families, "latency_seconds", ("process", "what"), shared.process, shared.histograms())
        yield from families.values()

    def _add_counters(
        self, families: dict[str, Metric], process: str, counters: ReadableCounters, *, every: bool
    ) -> None:
        gauges = counters.gauges()
        for full_name, value in counters.snapshot().items():
            name, labels = _parts(full_name)
            own = labels.get("engine") == self._view.name
            if not own and ("engine" in labels or not every):
                continue
            unit = next((unit for unit in UNITS if name.endswith(unit)), "")
            name = name.removesuffix(unit) + "_seconds" if unit else name
            labels["process"] = process
            family = families.get(name)
            if family is None:
                make = GaugeMetricFamily if full_name in gauges else CounterMetricFamily
                text = DESCRIPTIONS.get(name, f"{full_name if own is False else name}, as the process counts it.")
                family = families[name] = make(PREFIX + name, text, labels=list(labels))
            assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
            family.add_metric(list(labels.values()), value / UNITS[unit] if unit else value)


def _parts(name: str) -> tuple[str, dict[str, str]]:
    """Name of the metric and labels of a counter's name."""
    group, _, rest = name.partition(".")
    labels = {}
    if group in LABELS and "." in rest:
        labels[LABELS[group]], _, rest = rest.partition(".")
        if group == "operation" and "." in rest:
            labels["operation"], _, rest = rest.rpartition(".")
        name = f"{group}.{rest}"
    return re.sub(r"[^a-zA-Z0-9_]+", "_", name).removesuffix("_total"), labels


def _gauge(name: str, text: str, engine: str, value: float) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=["engine"])
    family.add_metric([engine], value)
    return family


def _add_histograms(
    families: dict[str, Metric],
    name: str,
    labels: tuple[str, str],
    owner: str,
    histograms: Iterable[tuple[str, Histogram]],
) -> None:
    for what, histogram in list(histograms):
        family = families.get(name)
        if family is None:
            family = families[name] = HistogramMetricFamily(PREFIX + name, "Latency.", labels=labels)
        assert isinstance(family, HistogramMetricFamily)
        counts = histogram.cumulative(BOUNDS_NS)
        total = len(histogram)
        buckets = [(repr(bound / NANOSECONDS), count) for bound, count in zip(BOUNDS_NS, counts, strict=True)]
        family.add_metric([owner, what], [*buckets, ("+Inf", total)], histogram.mean() * total / NANOSECONDS)
