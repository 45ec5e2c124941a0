"""Requests to messages and replies back, without a server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import msgspec
import pytest

from nautilus.core.histogram import Histogram
from nautilus.engines.base import Operation
from nautilus.model.enums import GroupKind, OrderType, Reason, Side, TriggerSource
from nautilus.model.errors import ModelError
from nautilus.model.queries import (
    Book,
    BookLevel,
    CancelRequest,
    CoreState,
    GetBook,
    GetCoreState,
    KillRequest,
    KillResult,
    OrderRequest,
    OrderResult,
)
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import BODY_KEY, Request
from nautilus.runtime.http.operations import OperationHandler
from nautilus.runtime.http.problems import HttpError

ENTER = Operation("POST", "/orders", OrderRequest, OrderResult, "Enter an order")
CANCEL = Operation("DELETE", "/orders/{order_id}", CancelRequest, OrderResult, "Take an order out")
BOOK = Operation("GET", "/book/{instrument}", GetBook, Book, "Best levels")
KILL = Operation("POST", "/kill", KillRequest, KillResult, "The kill switch")
STATE = Operation("GET", "/state", GetCoreState, CoreState, "State of the core")
RESULT = OrderResult(7, "accepted", 12.5)


def request_of(operation, *, query="", body=NO_BODY, **path):
    return Request(
        {
            "method": operation.method,
            "path": operation.path,
            "query_string": query.encode(),
            "headers": [],
            "path_params": path,
            BODY_KEY: body,
        }
    )


def asked(operation, reply=RESULT, **request):
    """What the engine is asked, and the body of the answer."""
    seen = []

    def ask(engine, message):
        seen.append((engine, message))
        answer = concurrent.futures.Future()
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)
        return answer

    handler = OperationHandler("trading", operation, ask)
    response = asyncio.run(handler(request_of(operation, **request)))
    (asking,) = seen
    return asking, msgspec.json.decode(response.body)


def refused(operation, **request):
    with pytest.raises(HttpError) as caught:
        asked(operation, **request)
    error = caught.value
    assert (error.status, error.code) == (422, "http.fields")
    return error


def test_body_becomes_the_message_that_the_mesh_would_bring():
    asking, answer = asked(ENTER, body={"instrument": "BTC", "side": "SELL", "quantity": "1.5", "post_only": True})
    assert asking == ("trading", OrderRequest("BTC", Side.SELL, "1.5", post_only=True))
    assert answer["order_id"] == 7
    assert answer["reason"] == "NONE"


def test_path_and_query_are_converted_by_type():
    asking, _ = asked(CANCEL, order_id="18446744073709551615")
    assert asking == ("trading", CancelRequest(2**64 - 1))
    asking, _ = asked(CANCEL, order_id="12", query="account_id=9007199254740993")
    assert asking == ("trading", CancelRequest(12, 9007199254740993))
    book = Book(1, "BTC", (BookLevel("1", "2"),), (), "", 3, 4)
    asking, answer = asked(BOOK, reply=book, instrument="12", query="levels=3")
    assert asking == ("trading", GetBook("12", 3))
    assert answer["bids"] == [{"price": "1", "quantity": "2", "orders": 0}]
    asking, _ = asked(KILL, reply=KillResult(True, 0, 1.0), query="on=false&account_id=2", body={"instrument_id": 5})
    assert asking == ("trading", KillRequest(False, 2, 5))


def test_every_wish_of_an_order_is_a_field_by_name():
    body = {"instrument": "BTC", "side": "SELL", "quantity": "1.5", "order_type": "TRAILING_STOP_LIMIT"}
    body |= {"trigger": "9", "offset": "50", "trail_bps": True, "trigger_source": "QUOTE", "price": "1"}
    body |= {"group": "OUO", "group_id": "7", "parent_order_id": str(2**63), "reduce_only": True}
    asking, _ = asked(ENTER, body=body)
    assert asking == (
        "trading",
        OrderRequest(
            "BTC",
            Side.SELL,
            "1.5",
            "1",
            order_type=OrderType.TRAILING_STOP_LIMIT,
            trigger="9",
            offset="50",
            trail_bps=True,
            trigger_source=TriggerSource.QUOTE,
            group=GroupKind.OUO,
            group_id=7,
            parent_order_id=2**63,
            reduce_only=True,
        ),
    )


def test_repeated_query_fields_fill_a_sequence():
    reply = CoreState(1, 2, 3)
    asking, _ = asked(STATE, reply=reply, query="accounts=1&accounts=2&hashes=true")
    assert asking == ("trading", GetCoreState((1, 2), True))


def test_whole_numbers_of_any_size_stay_exact():
    _, answer = asked(CANCEL, reply=OrderResult(2**70 + 1, "cancelled", 1.0, reason=Reason.REQUESTED), order_id="1")
    assert answer["order_id"] == 2**70 + 1
    assert answer["reason"] == "REQUESTED"


@pytest.mark.parametrize(
    ("operation", "request_", "where", "word"),
    [
        (ENTER, {"body": {"instrument": "BTC", "side": "SELL"}}, "quantity", "quantity"),
        (ENTER, {}, "instrument", "instrument"),
        (KILL, {"body": {}}, "on", "on"),
        (ENTER, {"body": [1]}, "body", "object"),
        (ENTER, {"body": None}, "body", "object"),
        (KILL, {"query": "on=true", "body": None}, "body", "object"),
        (CANCEL, {"order_id": "1", "body": {"account_id": 1.0}}, "account_id", "float"),
        (CANCEL, {"order_id": "1", "body": {"account_id": "1e3"}}, "account_id", "regex"),
        (CANCEL, {"order_id": "1", "query": "account_id=1e3"}, "account_id", "1e3"),
        (CANCEL, {"order_id": "1", "query": "account_id=1.0"}, "account_id", "1.0"),
        (CANCEL, {"order_id": "1", "query": "account_id=%2B1"}, "account_id", "+1"),
        (CANCEL, {"order_id": "01"}, "order_id", "01"),
        (CANCEL, {"order_id": "9" * 20}, "order_id", "from 0 to"),
        (CANCEL, {"order_id": "1" * 21}, "order_id", "from 0 to"),
        (CANCEL, {"order_id": "1" * 900_000}, "order_id", "111..."),
        (STATE, {"query": "accounts=1&accounts=2.0"}, "accounts", "2.0"),
        (ENTER, {"body": {"instrument": "B", "side": "SELL", "quantity": "1", "colour": 1}}, "body", "colour"),
        (ENTER, {"body": {"instrument": "B", "side": "BOUGHT", "quantity": "1"}}, "side", "BOUGHT"),
        (ENTER, {"body": {"instrument": "B", "side": 1, "quantity": "1"}}, "side", "int"),
        (ENTER, {"body": {"instrument": "B", "side": "BUY", "quantity": 1}}, "quantity", "int"),
        (CANCEL, {"order_id": "x"}, "order_id", "int"),
        (CANCEL, {"order_id": "1.5"}, "order_id", "int"),
        (CANCEL, {"order_id": "1", "query": "colour=red"}, "query", "colour"),
        (CANCEL, {"order_id": "1", "query": "account_id=1&account_id=2"}, "query", "twice"),
        (CANCEL, {"order_id": "1", "query": "order_id=2"}, "order_id", "twice"),
        (CANCEL, {"order_id": "1", "body": {"order_id": 1}}, "order_id", "twice"),
        (KILL, {"query": "on=perhaps"}, "on", "bool"),
        (KILL, {"query": "on=true", "body": {"strategy_id": 65_536}}, "strategy_id", "65535"),
        *(
            (ENTER, {"body": {"instrument": "B", "side": "BUY", "quantity": "1", field: value}}, field, word)
            for field, value, word in (
                ("order_type", "ICEBERG", "ICEBERG"),
                ("time_in_force", "AT_NOON", "AT_NOON"),
                ("trigger", 5, "int"),
                ("offset", -0.5, "float"),
                ("display_quantity", None, "null"),
                ("min_quantity", ["1"], "array"),
                ("trigger_source", "BEST", "BEST"),
                ("peg", 2, "int"),
                ("group", "OTO", "OTO"),
                ("group_id", 65_536, "65535"),
                ("group_id", -1, ">= 0"),
                ("parent_order_id", "-1", "regex"),
                ("hidden", "yes", "str"),
                ("trail_bps", 1, "int"),
            )
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_named(operation, request_, where, word):
    error = refused(operation, **request_)
    assert error.where == where
    assert word in error.what


def test_refusal_says_what_would_have_been_right():
    order = {"instrument": "B", "side": "BOUGHT", "quantity": "1"}
    assert refused(ENTER, body=order).expected == "one of BUY, SELL"
    assert refused(CANCEL, order_id="x").expected.startswith("a whole number")
    assert "account_id" in refused(CANCEL, order_id="1", query="colour=red").expected
    assert "order_type" in refused(ENTER, body={**order, "side": "BUY", "colour": 1}).expected


def test_errors_of_the_handler_are_passed_on():
    with pytest.raises(ModelError, match="off tick"):
        asked(CANCEL, reply=ModelError("off tick"), order_id="1")


def test_answer_may_come_from_another_thread_and_late():
    waiting = []

    def ask(engine, message):
        answer = concurrent.futures.Future()
        waiting.append(threading.Timer(0.01, answer.set_result, (RESULT,)))
        waiting[0].start()
        return answer

    latency = Histogram()
    handler = OperationHandler("trading", CANCEL, ask, latency=latency)
    response = asyncio.run(handler(request_of(CANCEL, order_id="1")))
    waiting[0].join()
    assert msgspec.json.decode(response.body)["status"] == "accepted"
    assert len(latency) == 1
    assert latency.minimum >= 10_000_000


def test_coroutine_answers_as_well():
    async def answer():
        return RESULT

    handler = OperationHandler("trading", CANCEL, lambda engine, message: answer())
    assert asyncio.run(handler(request_of(CANCEL, order_id="1"))).status == 200


def test_no_answer_in_time_is_unknown_and_its_owner_may_still_complete_it():
    late = concurrent.futures.Future()
    handler = OperationHandler("trading", CANCEL, lambda engine, message: late, answer_seconds=0.01)

    async def run():
        with pytest.raises(HttpError, match="not known") as caught:
            await handler(request_of(CANCEL, order_id="1"))
        late.set_result(RESULT)  # must not raise: the host knows nothing of clients that left
        passed = asyncio.Event()
        asyncio.get_running_loop().call_soon(passed.set)
        await passed.wait()
        return caught.value

    error = asyncio.run(run())
    assert (error.status, error.code, error.where) == (504, "http.timeout", "trading")


@pytest.mark.parametrize("result", [ModelError("off tick"), ZeroDivisionError(), None])
def test_latency_of_what_failed_is_recorded_too(result):
    answer = concurrent.futures.Future()
    if result is not None:
        answer.set_exception(result)
    latency = Histogram()
    handler = OperationHandler("trading", CANCEL, lambda engine, message: answer, 0.01, latency)
    with pytest.raises((ModelError, ZeroDivisionError, HttpError)):
        asyncio.run(handler(request_of(CANCEL, order_id="1")))
    assert len(latency) == 1
    assert (latency.maximum >= 10_000_000) == (result is None)


def test_request_that_is_refused_takes_no_part_in_latencies():
    latency = Histogram()
    handler = OperationHandler("trading", CANCEL, lambda engine, message: None, latency=latency)
    with pytest.raises(HttpError):
        asyncio.run(handler(request_of(CANCEL, order_id="x")))
    assert len(latency) == 0


def test_end_of_the_server_leaves_the_outcome_unknown():
    async def run():
        handler = OperationHandler("trading", CANCEL, lambda engine, message: concurrent.futures.Future())
        task = asyncio.ensure_future(handler(request_of(CANCEL, order_id="1")))
        begun = asyncio.Event()
        asyncio.get_running_loop().call_soon(begun.set)
        await begun.wait()
        task.cancel()
        return await task

    with pytest.raises(HttpError, match="not known") as caught:
        asyncio.run(run())
    assert (caught.value.status, caught.value.code) == (504, "http.timeout")


def test_answer_after_the_loop_has_ended_disturbs_nobody():
    late = concurrent.futures.Future()
    handler = OperationHandler("trading", CANCEL, lambda engine, message: late, answer_seconds=0.01)
    with pytest.raises(HttpError):
        asyncio.run(handler(request_of(CANCEL, order_id="1")))
    late.set_result(RESULT)
