"""Errors of handlers: counted, logged but not without end, and over after a while."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from nautilus.core.counters import Counters
from nautilus.model.enums import EngineState
from nautilus.model.errors import BusError, ModelError
from nautilus.runtime import calls as calls_module
from nautilus.runtime.calls import Calls
from nautilus.runtime.errorlog import QUIET_NS, TRACED_LINES, ErrorLog, shortened


class Clock:
    """Time that a test moves."""

    def __init__(self):
        self.ns = 1

    def __call__(self):
        return self.ns

    now_ns = __call__


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock, caplog):
    caplog.set_level(logging.DEBUG)
    return ErrorLog(clock)


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_kind_has_one_line_a_minute_with_its_count(log, clock, caplog):
    for _ in range(5):
        log.add("risk.on_quote", raised(ValueError("odd")), engine="risk")
    clock.ns += QUIET_NS
    log.add("risk.on_quote", raised(ValueError("odd")), engine="risk")
    first, second = caplog.records
    assert first.fields == {"count": 1, "engine": "risk", "code": "internal", "error": "ValueError: odd"}
    assert (second.fields["count"], second.levelname) == (6, "ERROR")
    assert first.exc_info[0] is ValueError
    assert "raise error" in caplog.text
    assert log.count == 6


def test_requests_find_their_trace_up_to_a_number_a_minute(log, clock, caplog):
    for number in range(TRACED_LINES + 5):
        log.add("POST /orders", raised(KeyError("k")), trace_id=f"{number}")
    assert [record.fields["trace_id"] for record in caplog.records] == [str(number) for number in range(TRACED_LINES)]
    assert [bool(record.exc_info) for record in caplog.records] == [True] + [False] * (TRACED_LINES - 1)
    clock.ns += QUIET_NS
    log.add("POST /orders", raised(KeyError("k")), trace_id="later")
    assert caplog.records[-1].fields["trace_id"] == "later"
    assert caplog.records[-1].exc_info


def test_mistakes_of_senders_are_no_concern_and_no_flood(log, clock, caplog):
    for _ in range(100):
        log.add("trading.on_request", raised(ModelError("quantity " + repr("0" * 900_000))), mistake=True)
    (line,) = caplog.records
    assert (line.levelname, len(line.getMessage()) < 300) == ("INFO", True)
    assert log.recent() == []
    assert [(each.count, len(each.error) < 300) for each in log.distinct()] == [(100, True)]


def test_what_does_not_come_back_is_over_after_a_minute(log, clock):
    log.add("risk.on_quote", raised(ValueError("odd")))
    clock.ns += QUIET_NS - 1
    assert [each.count for each in log.recent()] == [1]
    log.add("risk.on_quote", raised(ValueError("odd")))
    clock.ns += QUIET_NS - 1
    assert [each.count for each in log.recent()] == [2]
    clock.ns += 1
    assert log.recent() == []
    assert [each.count for each in log.distinct()] == [2]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("quantity '0'", "quantity '0'"),
        ("quantity '" + "1" * 101 + "' of 'X'", "quantity '" + "1" * 100 + "...' of 'X'"),
        ('name "' + "'" * 300 + '"', 'name "' + "'" * 100 + '..."'),
        ("plain " * 500, ("plain " * 500)[:1000] + "..."),
        ("'" + "1" * 100 + "' is \n" + "long " * 30 + "'x'", "'" + "1" * 100 + "' is \n" + "long " * 30 + "'x'"),
    ],
)
def test_quoted_values_and_whole_texts_are_cut_short(text, short):
    assert shortened(text) == short


class Asked:
    """An engine whose request handler raises what it is asked for."""

    name = "trading"

    def on_request(self, error, context):
        raise error

    def on_quote(self, error, context):
        raise error


@pytest.fixture
def host(clock, monkeypatch):
    """Calls of one engine, and its context, on a clock that the test moves."""
    monkeypatch.setattr(calls_module, "monotonic_ns", clock)
    counters = Counters(8)
    calls = Calls(clock, 100, counters)
    calls.errors = ErrorLog(clock)
    context = SimpleNamespace(
        name="trading",
        engine=Asked(),
        state=EngineState.RUNNING,
        errors=counters.counter("engine.trading.errors"),
        handled=counters.counter("engine.trading.handled"),
        record=lambda ns: True,
    )
    return calls, context, counters


def test_a_mistake_of_a_sender_leaves_its_engine_sound(host):
    calls, context, counters = host
    with pytest.raises(ModelError):
        calls.serve(context, ModelError("quantity '0'"))
    assert context.state is EngineState.RUNNING
    assert counters.snapshot()["engine.trading.errors"] == 0
    assert calls.errors.recent() == []


@pytest.mark.parametrize("handler", ["on_request", "on_quote"])
def test_an_engine_is_sound_again_after_a_minute_without_errors(host, clock, handler):
    calls, context, counters = host
    assert not calls.call(context, getattr(context.engine, handler), BusError("the core is away"))
    assert (context.state, counters.snapshot()["engine.trading.errors"]) == (EngineState.DEGRADED, 1)
    clock.ns += QUIET_NS
    calls.recover(context)
    assert context.state is EngineState.DEGRADED
    clock.ns += 1
    calls.recover(context)
    assert context.state is EngineState.RUNNING


def test_an_engine_that_stops_stays_as_it_is(host, clock):
    calls, context, _ = host
    calls.call(context, context.engine.on_quote, BusError("the core is away"))
    context.state = EngineState.STOPPING
    clock.ns += QUIET_NS + 1
    calls.recover(context)
    assert context.state is EngineState.STOPPING
