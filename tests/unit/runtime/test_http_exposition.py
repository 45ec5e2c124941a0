"""The page of metrics against the public library: the same families, types, texts and samples, in both formats."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.http.exposition import Exposition, parts_of
from nautilus.runtime.metrics import EngineView, SharedMeters
from tests.kit.naive_metrics import naive_page

WORDS = st.sampled_from(
    ["engine", "risk", "star", "lost", "mesh", "waiting_ns", "took_us", "age_ms", "peer", "bytes_total", "x-y"]
)
OPERATIONS = st.sampled_from(["GET /a", "POST /orders/{id}.v1", 'PUT /"quoted"\\', "handle", "DELETE /two\nlines"])
NAMES = st.one_of(
    st.lists(WORDS, min_size=2, max_size=4).map(".".join),
    st.tuples(st.sampled_from(["risk", "other"]), OPERATIONS).map(lambda both: f"operation.{both[0]}.{both[1]}.errors"),
)
PARSERS = {True: parse_openmetrics, False: parse_text}


def families(page, rich):
    """All that a page says, without what differs from one moment to the next."""
    text = re.sub(r"(?m)^(nautilus_engine_uptime_seconds\S*) .*$", r"\1 7.0", page.decode())
    return [
        (
            family.name,
            family.type,
            family.documentation,
            sorted((s.name, sorted(s.labels.items()), s.value) for s in family.samples),
        )
        for family in PARSERS[rich](text)
    ]


@settings(max_examples=80)
@given(
    st.dictionaries(NAMES, st.tuples(st.booleans(), st.integers(0, 2**53)), max_size=20),
    st.dictionaries(OPERATIONS, st.lists(st.integers(0, 20 * 10**9), max_size=5), max_size=3),
    st.booleans(),
    st.sampled_from(EngineState),
    st.booleans(),
)
def test_page_says_what_the_library_says(named, measured, every, state, rich):
    counters = Counters(64)
    kinds: dict[str, bool] = {}
    sets: dict[str, set[str]] = {}
    for name, (gauge, value) in named.items():
        # Of one family all are of one kind.
        family = re.sub(r"_(ns|us|ms)$", "_seconds", parts_of(name)[0])
        gauge = kinds.setdefault(family, gauge)
        if sets.setdefault(family, set(parts_of(name)[1])) != set(parts_of(name)[1]):
            continue  # the library puts a value under the label of another set
        if gauge:
            counters.set(counters.gauge(name), value)
        else:
            counters.add(counters.counter(name), value)
    histograms = {}
    for name, values in measured.items():
        histograms[name] = Histogram(60 * 10**9)
        for value in values:
            histograms[name].record(value)
    view = EngineView("risk", "accounts", counters, state, histograms=histograms, process_metrics=False)
    view.process_metrics = every
    try:
        expected = families(naive_page(view, rich=rich), rich)
    except (AssertionError, ValueError):
        return  # names of two kinds, or of two sets of labels: the library takes none of them
    exposition = Exposition(view)
    exposition._process = None
    for _ in range(2):  # what is known of names by then changes nothing
        assert families(exposition.render(rich=rich), rich) == expected


@pytest.mark.parametrize("rich", [True, False])
def test_meters_of_other_processes_are_shown_beside(rich, tmp_path):
    core = Counters(8, tmp_path / "counters.core")
    core.add(core.counter("orders.accepted"), 11)
    Histogram(1_000_000_000, tmp_path / "latency.core.order").record(3_000)
    counters = Counters(8)
    counters.add(counters.counter("orders.accepted"), 1)
    shared = (SharedMeters("core", str(tmp_path)),)
    view = EngineView("risk", "accounts", counters, EngineState.RUNNING, shared=shared)
    exposition = Exposition(view)
    found = families(exposition.render(rich=rich), rich)
    expected = families(naive_page(view, rich=rich), rich)
    assert found[: len(expected)] == expected
    assert {name for name, *_ in found[len(expected) :]} >= {"nautilus_process_resident_memory_bytes"}
