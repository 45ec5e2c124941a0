"""What a request that fails is answered, and what is kept from the one who asked."""

from __future__ import annotations

import logging

import msgspec
import pytest

from nautilus.model.errors import (
    BusError,
    ConfigError,
    InternalError,
    ModelError,
    NautilusError,
    VenueError,
)
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.exchange import Exchange, problem_response
from nautilus.runtime.http.problems import HttpError, as_http_error, problem_of
from nautilus.runtime.http.request import Border

TRACE = "0af7651916cd43dd8448eb211c80319c"


class UnknownInstrumentError(ModelError):
    code = "model.unknown_instrument"


class BusyError(BusError):
    code = "bus.busy"


class OddError(VenueError):
    code = "other.words"


class RemoteError(NautilusError):
    """An error of another process, whose code came over the mesh."""

    def __init__(self, code: str) -> None:
        super().__init__("far away")
        self._code = code

    def as_dict(self) -> dict[str, str]:
        return {**super().as_dict(), "code": self._code}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("x"), 400, "config"),
        (ModelError("x"), 422, "model"),
        (UnknownInstrumentError("x"), 404, "model.unknown_instrument"),
        (VenueError("x"), 502, "venue"),
        (OddError("x"), 502, "other.words"),
        (BusyError("x"), 503, "bus.busy"),
        (InternalError("x"), 500, "internal"),
        (RemoteError("model.unknown_order"), 404, "model.unknown_order"),
        (RemoteError("bus.down"), 503, "bus.down"),
        (RemoteError("bus.unknown"), 504, "bus.unknown"),
        (RemoteError("bus.unanswered"), 504, "bus.unanswered"),
        (RemoteError("strange"), 500, "strange"),
        (HttpError(418, "http.teapot", "x"), 418, "http.teapot"),
        (ValueError("a secret"), 500, "internal"),
    ],
)
def test_every_error_has_its_status_and_keeps_its_code(error, status, code):
    told = as_http_error(error)
    assert (told.status, told.code) == (status, code)
    assert (dict(told.headers).get(b"retry-after") is not None) == (status == 503)


def test_problem_says_what_where_and_what_was_expected():
    error = ModelError("price 1.5 is off tick", where="BTCUSDT", expected="a multiple of 0.1")
    assert msgspec.json.decode(problem_of(as_http_error(error), "abc")) == {
        "type": "urn:nautilus:problem:model",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "price 1.5 is off tick",
        "code": "model",
        "trace_id": "abc",
        "where": "BTCUSDT",
        "expected": "a multiple of 0.1",
    }


def test_problem_without_a_place_leaves_it_out():
    assert set(msgspec.json.decode(problem_of(HttpError(404, "http.not_found", "no"), "t"))) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "trace_id",
    }


@pytest.mark.parametrize("error", [ZeroDivisionError("a secret"), InternalError("a secret")])
def test_fault_of_the_platform_is_logged_with_the_trace_of_its_answer(caplog, error):
    errors, counted = ErrorLog(), []
    border = Border(errors, counted.append, "trading")
    with caplog.at_level(logging.ERROR):
        traces = []
        for _ in range(3):
            response = border.answer(error, TRACE, "POST /orders")
            traces.append(msgspec.json.decode(response.body)["trace_id"])
    assert response.status == 500
    assert (b"secret" in response.body) == isinstance(error, InternalError)
    assert (errors.count, counted) == (3, [500, 500, 500])
    assert [record.fields["trace_id"] for record in caplog.records] == traces
    assert {record.fields["engine"] for record in caplog.records} == {"trading"}
    assert "POST /orders" in caplog.text
    assert f"{type(error).__name__}: a secret" in caplog.text


def test_what_a_sender_wrote_is_not_told_back_without_end():
    error = ModelError("quantity " + repr("9" * 900_000), where="x" * 900_000, expected="a number")
    told = msgspec.json.decode(problem_of(as_http_error(error), "t"))
    assert told["detail"] == "quantity '" + "9" * 100 + "...'"
    assert len(told["where"]) < 1_100


def test_refusals_of_the_platform_are_not_logged_as_errors(caplog):
    errors = ErrorLog()
    border = Border(errors)
    border.answer(ModelError("off tick"), TRACE, "POST /orders")
    border.answer(HttpError(404, "http.not_found", "no"), TRACE, "POST /orders")
    assert (errors.count, caplog.records) == (0, [])


def test_trace_of_the_caller_is_taken_over():
    caller = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for headers, expected in (
        ([(b"traceparent", caller)], "0af7651916cd43dd8448eb211c80319c"),
        ([(b"traceparent", b"<script>")], None),
        ([(b"traceparent", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01")], None),
        ([(b"traceparent", caller.replace(b"b7ad6b7169203331", b"0" * 16))], None),
        ([(b"traceparent", b"ff" + caller[2:])], None),
        ([], None),
    ):
        response = problem_response(as_http_error(ModelError("x")), Exchange(None, "GET", b"/", headers).trace_id)
        trace = msgspec.json.decode(response.body)["trace_id"]
        assert len(trace) == 32
        assert int(trace, 16) > 0
        assert (trace == caller[3:35].decode()) == (expected is not None)
