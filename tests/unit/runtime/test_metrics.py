"""What an engine shows of itself, as the public parsers of Prometheus read it."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nautilus import __version__
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.http import probes
from nautilus.runtime.http.probes import performance_of
from nautilus.runtime.http.scrape import FRESH_NS, MetricsPage
from nautilus.runtime.metrics import BOUNDS_NS, EngineView, SharedMeters
from tests.kit.protection import protection_of

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def view():
    counters = Counters(512)
    counters.add(counters.counter("engine.risk.requests"), 7)
    counters.add(counters.counter("engine.portfolio.requests"), 9)
    counters.add(counters.counter("star.lost"), 3)
    counters.add(counters.counter("mesh.waiting_ns"), 2_500_000_000)
    counters.set(counters.gauge("orders.open"), 4)
    counters.add(counters.counter("operation.risk.GET /risk/{account_id}.v1.errors"), 2)
    histogram = Histogram(60_000_000_000)
    for value in (900, 1_500, 1_500, 40_000, 20_000_000_000):
        histogram.record(value)
    return EngineView("risk", "accounts", counters, EngineState.RUNNING, histograms={"handle": histogram})


def samples(view, accept=OPENMETRICS, parse=parse_openmetrics):
    """{(name, labels): value} of a scrape."""
    body, _ = MetricsPage(view).render(accept)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def key(name, **labels):
    return name, frozenset(labels.items())


def test_counters_of_engine_and_process_are_shown_with_their_labels(view):
    found = samples(view)
    assert found[key("nautilus_engine_requests_total", engine="risk", process="accounts")] == 7
    assert found[key("nautilus_star_lost_total", process="accounts")] == 3
    assert found[key("nautilus_orders_open", process="accounts")] == 4
    assert key("nautilus_engine_requests_total", engine="portfolio", process="accounts") not in found
    operation = {"engine": "risk", "operation": "GET /risk/{account_id}.v1", "process": "accounts"}
    assert found[key("nautilus_operation_errors_total", **operation)] == 2


def test_load_is_the_time_that_handlers_took_since_it_was_asked_for_last(view, monkeypatch):
    now_ns = [1_000_000_000]
    monkeypatch.setattr(probes, "monotonic_ns", lambda: now_ns[0])
    load = probes._Load(view)
    found = []
    for seconds, busy_ms in ((0.5, 400), (0.5, 100), (2.0, 0), (1.0, 5000)):
        now_ns[0] += round(seconds * 1e9)
        for _ in range(busy_ms // 100):
            view.histograms["handle"].record(100_000_000)
        found.append(load.percent())
    assert found == [0.0, pytest.approx(50.0, abs=1.5), 0.0, 100.0]


def test_times_are_in_seconds(view):
    assert samples(view)[key("nautilus_mesh_waiting_seconds_total", process="accounts")] == 2.5


def test_every_name_has_the_prefix_and_labels_are_bounded(view):
    names = {"engine", "process", "operation", "what", "le", "version", "python", "nautilus_engine_state"}
    for name, labels in samples(view):
        assert name.startswith("nautilus_")
        assert {label for label, _ in labels} <= names


def test_build_state_and_readiness_are_shown(view):
    found = samples(view)
    (build,) = [labels for name, labels in found if name == "nautilus_build_info"]
    assert ("version", __version__) in build
    assert found[key("nautilus_engine_state", engine="risk", nautilus_engine_state="running")] == 1
    assert found[key("nautilus_engine_state", engine="risk", nautilus_engine_state="failed")] == 0
    assert found[key("nautilus_engine_ready", engine="risk")] == 1
    assert found[key("nautilus_breaker_open", engine="risk")] == 0
    view.reasons = lambda: ["no market data"]
    assert samples(view)[key("nautilus_engine_ready", engine="risk")] == 0


def test_latencies_are_histograms_in_seconds(view):
    found = samples(view)
    labels = {"engine": "risk", "operation": "handle"}
    for bound, count in (("1e-06", 1), ("2e-06", 3), ("5e-05", 4), ("10.0", 4), ("+Inf", 5)):
        assert found[key("nautilus_operation_seconds_bucket", le=bound, **labels)] == count
    assert found[key("nautilus_operation_seconds_count", **labels)] == 5
    assert found[key("nautilus_operation_seconds_sum", **labels)] == pytest.approx(20.0000439, rel=1e-3)
    assert sum(name == "nautilus_operation_seconds_bucket" for name, _ in found) == len(BOUNDS_NS) + 1


def test_process_is_shown_on_one_port_only(view):
    assert key("nautilus_process_resident_memory_bytes") in samples(view)
    view.process_metrics = False
    found = samples(view)
    assert key("nautilus_star_lost_total", process="accounts") not in found
    assert not [name for name, _ in found if name.startswith("nautilus_process_")]
    assert found[key("nautilus_engine_requests_total", engine="risk", process="accounts")] == 7


def test_meters_of_a_process_without_a_port_are_read_when_asked(view, tmp_path):
    view.shared = (SharedMeters("core", str(tmp_path)), SharedMeters("absent", str(tmp_path)))
    assert not [labels for _, labels in samples(view) if ("process", "core") in labels]
    core = Counters(8, tmp_path / "counters.core")
    core.add(core.counter("orders.accepted"), 11)
    core.set(core.gauge("orders.open"), 6)
    Histogram(1_000_000_000, tmp_path / "latency.core.order").record(3_000)
    found = samples(view)
    assert found[key("nautilus_orders_accepted_total", process="core")] == 11
    assert found[key("nautilus_orders_open", process="core")] == 6
    assert found[key("nautilus_orders_open", process="accounts")] == 4
    assert found[key("nautilus_latency_seconds_count", process="core", what="order")] == 1
    core.increment(core.counter("orders.accepted"))
    assert samples(view)[key("nautilus_orders_accepted_total", process="core")] == 12


def test_damaged_meters_of_another_process_are_left_out(view, tmp_path):
    (tmp_path / "counters.core").write_bytes(b"damaged")
    (tmp_path / "latency.core.order").write_bytes(b"damaged")
    view.shared = (SharedMeters("core", str(tmp_path)),)
    assert samples(view)[key("nautilus_star_lost_total", process="accounts")] == 3


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("*/*", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", "application/"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; q=0.0, */*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.7", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;q=0, */*", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;q=many", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/json", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=77", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_format_is_the_one_that_the_reader_accepts(view, accept, content_type):
    body, given = MetricsPage(view).render(accept)
    assert given.startswith(content_type)
    is_openmetrics = given.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n") == is_openmetrics
    parse = parse_openmetrics if is_openmetrics else parse_text
    assert samples(view, accept, parse)[key("nautilus_star_lost_total", process="accounts")] == 3


def test_page_is_made_anew_twice_a_second_at_most(view):
    now = [1]
    page = MetricsPage(view, lambda: now[0])
    rich, plain = page.render(OPENMETRICS), page.render("text/plain")
    view.counters.increment(view.counters.counter("star.lost"))
    now[0] += FRESH_NS
    assert page.render("*/*") is not None
    assert (page.render(OPENMETRICS), page.render("text/plain")) == (rich, plain)
    now[0] += 1
    assert b'star_lost_total{process="accounts"} 4' in page.render(OPENMETRICS)[0]
    assert b'star_lost_total{process="accounts"} 4' in page.render("text/plain")[0]


def test_protection_plugs_in_its_breaker(view):
    protection = view.protection = protection_of("risk", view.counters)
    assert samples(view)[key("nautilus_breaker_open", engine="risk")] == 0
    protection.guards["GET /risk/state"].breaker.force_open()
    protection.look()
    found = samples(view)
    assert found[key("nautilus_breaker_open", engine="risk")] == 1
    labels = {"engine": "risk", "operation": "GET /risk/state"}
    assert found[key("nautilus_breaker_state", **labels, nautilus_breaker_state="forced-open")] == 1
    assert found[key("nautilus_breaker_state", **labels, nautilus_breaker_state="closed")] == 0
    assert found[key("nautilus_breaker_changes_total", **labels, to="forced-open", cause="forced")] == 1
    assert found[key("nautilus_limit_shed_total", engine="risk", priority="low")] == 0


def test_status_follows_state_reasons_and_warnings(view):
    assert view.status() == "healthy"
    view.warnings = lambda: ["three gaps"]
    assert (view.status(), view.blockers()) == ("degraded", [])
    view.warnings = list
    for state, status, blocked in (
        (EngineState.STARTING, "degraded", True),
        (EngineState.DEGRADED, "degraded", False),
        (EngineState.STOPPING, "degraded", True),
        (EngineState.FAILED, "unhealthy", True),
        (EngineState.STOPPED, "unhealthy", True),
    ):
        view.state = state
        assert (view.status(), bool(view.blockers())) == (status, blocked)
    assert view.blockers() == ["engine is stopped"]


def test_performance_is_in_microseconds(view):
    found = performance_of(view)
    assert found["overall"]["requests"] == 7
    assert found["overall"]["count"] == 5
    handle = found["operations"]["handle"]
    assert (handle["min_us"], handle["p50_us"], handle["errors"]) == (0.9, 1.5, 0)
    assert handle["max_us"] == 20_000_000
    view.histograms.clear()
    assert performance_of(view)["overall"]["p99_us"] == 0
