"""What an engine shows, as the text that Prometheus reads: written line by line, as a scrape keeps orders waiting.

What a name becomes is worked out once; after that a line is one text and one number. In both formats a sample reads
the same, only what stands above a family differs.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector

from nautilus import __version__
from nautilus.core.breaker import STATES
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.metrics import BOUNDS_NS, DESCRIPTIONS, LABELS, PREFIX, UNITS, EngineView, ReadableCounters

_WORDS = re.compile(r"[^a-zA-Z0-9_]+")
_LE = [f'le="{bound / NANOSECONDS!r}"}} ' for bound in BOUNDS_NS] + ['le="+Inf"} ']


class _Counter:
    """What a counter becomes: its family, the beginning of its line, by what it is divided."""

    __slots__ = ("engine", "family", "head", "unit")

    def __init__(self, full_name: str, process: str, *, gauge: bool) -> None:
        name, labels = parts_of(full_name)
        self.engine = labels.get("engine")
        unit = next((unit for unit in UNITS if name.endswith(unit)), "")
        self.unit = UNITS.get(unit, 0)
        self.family = name.removesuffix(unit) + "_seconds" if unit else name
        labels["process"] = process
        self.head = f"{PREFIX}{self.family}{'' if gauge else '_total'}{_labels(labels)} "


class Exposition:
    """The page of one view."""

    def __init__(self, view: EngineView) -> None:
        self._view = view
        self._known: dict[tuple[str, str, bool], _Counter] = {}
        self._heads: dict[tuple[str, str, str], list[str]] = {}
        self._process: ProcessCollector | None = None
        if view.process_metrics and view.sums is None:  # one of several would tell of itself alone
            self._process = ProcessCollector(namespace=PREFIX.rstrip("_"), registry=CollectorRegistry())
        names = _labels({"engine": view.name})
        self._ready = f"{PREFIX}engine_ready{names} "
        self._uptime = f"{PREFIX}engine_uptime_seconds{names} "
        self._breaker = f"{PREFIX}breaker_open{names} "
        self._build = f"{PREFIX}build_info" + _labels({"version": __version__, "python": platform.python_version()})
        self._states = [
            (state, f"{PREFIX}engine_state" + _labels({"engine": view.name, f"{PREFIX}engine_state": name}) + " ")
            for state, name in ((each, each.name.lower()) for each in EngineState)
        ]

    def render(self, *, rich: bool) -> bytes:
        """The page as it is now: OpenMetrics (`rich`), or the older text format."""
        view = self._view
        page = _Page(rich=rich)
        page.add("build", "info", "Version of the platform.", [f"{self._build} 1.0"])
        page.add("engine_ready", "gauge", "The engine takes requests.", [self._ready + _truth(not view.blockers())])
        page.add(
            "engine_uptime_seconds", "gauge", "Since the engine started.", [f"{self._uptime}{view.uptime_seconds}"]
        )
        states = [head + _truth(state is view.state) for state, head in self._states]
        page.add("engine_state", "stateset", "Where the engine is in its life.", states)
        shut = view.protection.breaker().state != "closed"
        page.add("breaker_open", "gauge", "The circuit breaker is not closed.", [self._breaker + _truth(shut)])
        self._add_protection(page)
        self._add_counters(page, view.process, view.counted(), every=view.process_metrics)
        self._add_histograms(page, "operation_seconds", ("engine", "operation"), view.name, view.measured().items())
        for shared in view.shared:
            counters = shared.counters()
            if counters is not None:
                self._add_counters(page, shared.process, counters, every=True)
            self._add_histograms(page, "latency_seconds", ("process", "what"), shared.process, shared.histograms())
        if self._process is not None:
            for metric in self._process.collect():
                lines = [f"{sample.name}{_labels(sample.labels)} {sample.value!r}" for sample in metric.samples]
                page.add(metric.name.removeprefix(PREFIX), metric.type, metric.documentation, lines)
        return page.text()

    def _add_protection(self, page: _Page) -> None:
        meters = self._view.protection.meters()
        if meters is None:
            return
        engine = self._view.name
        states = [
            f"{PREFIX}breaker_state"
            + _labels({"engine": engine, "operation": operation, f"{PREFIX}breaker_state": each})
            + f" {_truth(each == state)}"
            for operation, state in meters.states.items()
            for each in STATES
        ]
        page.add("breaker_state", "stateset", "State of the breaker of an operation.", states)
        changes = [
            f"{PREFIX}breaker_changes_total"
            + _labels({"engine": engine, "operation": operation, "to": state, "cause": cause})
            + f" {count}"
            for (operation, state, cause), count in meters.changes.items()
        ]
        page.add("breaker_changes", "counter", "Changes of the state of an operation's breaker.", changes)
        own = _labels({"engine": engine})
        text = "Requests that the engine takes at once, as it has learned."
        page.add("limit_requests", "gauge", text, [f"{PREFIX}limit_requests{own} {meters.limit}"])
        text = "Requests under way."
        page.add("limit_under_way", "gauge", text, [f"{PREFIX}limit_under_way{own} {meters.under_way}"])
        shed = [
            f"{PREFIX}limit_shed_total{_labels({'engine': engine, 'priority': priority})} {count}"
            for priority, count in meters.shed.items()
        ]
        page.add("limit_shed", "counter", "Requests turned away as there was too much to do.", shed)

    def _add_counters(self, page: _Page, process: str, counters: ReadableCounters, *, every: bool) -> None:
        gauges = counters.gauges()
        own = self._view.name
        known = self._known
        families = page.families
        for full_name, value in counters.snapshot().items():
            gauge = full_name in gauges
            counter = known.get((process, full_name, gauge))
            if counter is None:
                counter = known[process, full_name, gauge] = _Counter(full_name, process, gauge=gauge)
            engine = counter.engine
            if engine != own and (engine is not None or not every):
                continue
            lines = families.get(counter.family)
            if lines is None:
                text = DESCRIPTIONS.get(
                    counter.family, f"{counter.family if engine == own else full_name}, as the process counts it."
                )
                lines = page.add(counter.family, "gauge" if gauge else "counter", text, [])
            lines.append(f"{counter.head}{value / counter.unit if counter.unit else value}")

    def _add_histograms(
        self, page: _Page, name: str, labels: tuple[str, str], owner: str, histograms: Iterable[tuple[str, Histogram]]
    ) -> None:
        for what, histogram in list(histograms):
            lines = page.families.get(name)
            if lines is None:
                lines = page.add(name, "histogram", "Latency.", [])
            heads = self._heads.get((name, owner, what))
            if heads is None:
                heads = self._heads[name, owner, what] = _bucket_heads(
                    name, dict(zip(labels, (owner, what), strict=True))
                )
            counts = histogram.cumulative(BOUNDS_NS)
            total = len(histogram)
            lines += [f"{head}{count}" for head, count in zip(heads, (*counts, total, total), strict=False)]
            lines.append(f"{heads[-1]}{histogram.mean() * total / NANOSECONDS}")


class _Page:
    """Families in the order they came, each with its lines together."""

    def __init__(self, *, rich: bool) -> None:
        self._rich = rich
        self._heads: list[str] = []
        self.families: dict[str, list[str]] = {}

    def add(self, name: str, kind: str, text: str, lines: list[str]) -> list[str]:
        """Begin a family, with what it has so far."""
        shown = PREFIX + name
        if not self._rich:
            shown += {"counter": "_total", "info": "_info"}.get(kind, "")
            kind = {"info": "gauge", "stateset": "gauge", "unknown": "untyped"}.get(kind, kind)
        text = text.replace("\\", "\\\\").replace("\n", "\\n")
        if self._rich:
            text = text.replace('"', '\\"')
        self._heads.append(f"# HELP {shown} {text}\n# TYPE {shown} {kind}\n")
        self.families[name] = lines
        return lines

    def text(self) -> bytes:
        """All of it."""
        pieces: list[str] = []
        for head, lines in zip(self._heads, self.families.values(), strict=True):
            if lines:
                pieces += (head, "\n".join(lines), "\n")
        if self._rich:
            pieces.append("# EOF\n")
        return "".join(pieces).encode()


def parts_of(name: str) -> tuple[str, dict[str, str]]:
    """Name of the metric and labels of a counter's name."""
    group, _, rest = name.partition(".")
    labels = {}
    if group in LABELS and "." in rest:
        labels[LABELS[group]], _, rest = rest.partition(".")
        if group == "operation" and "." in rest:
            labels["operation"], _, rest = rest.rpartition(".")
        name = f"{group}.{rest}"
    return _WORDS.sub("_", name).removesuffix("_total"), labels


def _bucket_heads(name: str, labels: dict[str, str]) -> list[str]:
    """The beginnings of the lines of a histogram: buckets, count, sum."""
    known = _labels(labels)
    opened = known[:-1] + ","
    buckets = [f"{PREFIX}{name}_bucket{opened}{le}" for le in _LE]
    return [*buckets, f"{PREFIX}{name}_count{known} ", f"{PREFIX}{name}_sum{known} "]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _truth(value: bool) -> str:
    return "1.0" if value else "0.0"
