"""Requests to messages and replies back, without a server."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from nautilus.core.breaker import CANCELLED, FAILURE, IGNORED, OVERLOADED, SUCCESS, TIMEOUT, Breakers
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.limiter import Limiters
from nautilus.engines.base import Operation
from nautilus.model.document import Document
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
from nautilus.policy.keys import Principal, widened
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.document import describe
from nautilus.runtime.http.exchange import Exchange
from nautilus.runtime.http.operations import OperationHandler
from nautilus.runtime.http.problems import HttpError, as_http_error
from nautilus.runtime.http.request import Request
from nautilus.runtime.protection import EngineProtection, LateError, ShedError
from nautilus.runtime.protection_config import ProtectionConfig
from tests.kit.http_wire import passes
from tests.kit.protection import protection_of

ENTER = Operation("POST", "/orders", OrderRequest, OrderResult, "Enter an order")
CANCEL = Operation("DELETE", "/orders/{order_id}", CancelRequest, OrderResult, "Take an order out")
BOOK = Operation("GET", "/book/{instrument}", GetBook, Book, "Best levels")
KILL = Operation("POST", "/kill", KillRequest, KillResult, "The kill switch")
STATE = Operation("GET", "/state", GetCoreState, CoreState, "State of the core")
RESULT = OrderResult(7, "accepted", 12.5)


def request_of(operation, *, query="", body=NO_BODY, principal=None, **path):
    target = operation.path.encode() + (b"?" + query.encode() if query else b"")
    exchange = Exchange(None, operation.method, target, [])
    if principal is not None:
        exchange.principal = principal
    return Request(exchange, body, path)


async def answer_of(handler, request):
    """What a handler answers, raised where it is an error."""
    answer = asyncio.get_running_loop().create_future()

    def done(result):
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    handler.begin(request, done)
    return await answer


def asked(operation, reply=RESULT, **request):
    """What the engine is asked, and the body of the answer."""
    seen = []

    def ask(engine, message, trace, told, priority):
        seen.append((engine, message))
        told(reply)

    handler = OperationHandler("trading", operation, ask)
    response = asyncio.run(answer_of(handler, request_of(operation, **request)))
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


def test_an_answer_that_is_a_document_is_the_body_with_its_own_content_type():
    operation = Operation("GET", "/page/{instrument}.html", GetBook, Document, "A page")
    handler = OperationHandler("trading", operation, lambda *asking: asking[3](Document("<p>\u00e9</p>")))
    response = asyncio.run(answer_of(handler, request_of(operation, instrument="12")))
    assert (response.body.decode(), response.content_type) == ("<p>\u00e9</p>", "text/html; charset=utf-8")
    assert dict(response.headers)[b"content-security-policy"].startswith(b"default-src 'none'")
    described = describe("trading", (operation,))["paths"]["/page/{instrument}.html"]["get"]
    assert described["operationId"] == "get_page_instrument_html"
    assert described["responses"]["200"]["content"] == {"text/html": {"schema": {"type": "string"}}}


def test_what_a_field_says_may_take_another_scope():
    operation = KILL._replace(scopes=(("on", False, "admin"),))
    trader, admin = (Principal("desk", widened((scope,))) for scope in ("trade", "admin"))
    result = KillResult(True, 0, 1.0)
    assert asked(operation, reply=result, principal=trader, body={"on": True})[0][1] == KillRequest(True)
    for body in ({"on": False}, {"on": False, "account_id": 3}):
        with pytest.raises(HttpError) as caught:
            asked(operation, reply=result, principal=trader, body=body)
        assert (caught.value.status, caught.value.code) == (403, "access.scope")
    assert asked(operation, reply=result, principal=admin, body={"on": False})[0][1] == KillRequest(False)


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

    def ask(engine, message, trace, told, priority):
        waiting.append(threading.Timer(0.01, told, (RESULT,)))
        waiting[0].start()

    latency = Histogram()
    handler = OperationHandler("trading", CANCEL, ask, latency=latency)
    response = asyncio.run(answer_of(handler, request_of(CANCEL, order_id="1")))
    waiting[0].join()
    assert msgspec.json.decode(response.body)["status"] == "accepted"
    assert len(latency) == 1
    assert latency.minimum >= 10_000_000


def test_answers_of_many_requests_find_the_one_they_belong_to():
    tellers = []
    handler = OperationHandler(
        "trading", CANCEL, lambda engine, message, trace, told, priority: tellers.append((message, told))
    )

    def tell():
        for message, told in reversed(tellers):
            told(OrderResult(message.order_id, "cancelled", 1.0))

    async def run():
        answers = [asyncio.ensure_future(answer_of(handler, request_of(CANCEL, order_id=str(n)))) for n in range(100)]
        asyncio.get_running_loop().call_soon(threading.Thread(target=tell).start)
        return [msgspec.json.decode(response.body)["order_id"] for response in await asyncio.gather(*answers)]

    assert asyncio.run(run()) == list(range(100))


def test_no_answer_in_time_is_unknown_and_its_owner_may_still_complete_it():
    tellers = []

    async def run():
        handler = OperationHandler("trading", CANCEL, lambda *asking: tellers.append(asking[3]), answer_seconds=0.01)
        with pytest.raises(HttpError, match="not known") as caught:
            await answer_of(handler, request_of(CANCEL, order_id="1"))
        tellers[0](RESULT)  # must not raise: the host knows nothing of clients that left
        passed = asyncio.Event()
        asyncio.get_running_loop().call_soon(passed.set)
        await passed.wait()
        return caught.value

    error = asyncio.run(run())
    assert (error.status, error.code, error.where) == (504, "http.timeout", "trading")


def test_each_request_has_its_own_time():
    tellers = []

    async def run():
        handler = OperationHandler("trading", CANCEL, lambda *asking: tellers.append(asking[3]), answer_seconds=0.02)
        first = asyncio.ensure_future(answer_of(handler, request_of(CANCEL, order_id="1")))
        with pytest.raises(HttpError):
            await first
        second = asyncio.ensure_future(answer_of(handler, request_of(CANCEL, order_id="2")))
        third = asyncio.ensure_future(answer_of(handler, request_of(CANCEL, order_id="3")))
        asyncio.get_running_loop().call_soon(lambda: tellers[2](RESULT))
        with pytest.raises(HttpError):
            await second
        return (await third).status

    assert asyncio.run(run()) == 200


def test_a_request_has_the_time_that_its_operation_says_for_it():
    """Of two requests that nobody answers, the one with less time is told first, though it came second."""
    operation = BOOK._replace(budget_ms=100.0, budget_of=lambda asked: 10.0 if asked.levels == 1 else 60_000.0)
    guards = EngineProtection(
        "trading", (operation,), ProtectionConfig(), Counters(), Breakers(32), Limiters(4), lambda name: Histogram()
    ).guards
    tellers = []

    async def run():
        handler = OperationHandler(
            "trading",
            operation,
            lambda *asking: tellers.append(asking[3]),
            answer_seconds=120.0,
            guard=guards["GET /book/{instrument}"],
        )
        deep = asyncio.ensure_future(answer_of(handler, request_of(operation, instrument="12", query="levels=9")))
        await passes()
        with pytest.raises(HttpError, match=r"no answer within 0\.009 s") as caught:
            await answer_of(handler, request_of(operation, instrument="12", query="levels=1"))
        assert not deep.done()
        tellers[0](Book(1, "BTC", (), (), "", 3, 4))
        return caught.value, (await deep).status

    error, status = asyncio.run(run())
    assert (error.status, error.code, status) == (504, "http.timeout", 200)


@pytest.mark.parametrize("result", [ModelError("off tick"), ZeroDivisionError(), None])
def test_latency_of_what_failed_is_recorded_too(result):
    def ask(engine, message, trace, told, priority):
        if result is not None:
            told(result)

    latency, failed = Histogram(), []
    handler = OperationHandler("trading", CANCEL, ask, 0.01, latency, failed=lambda: failed.append(1))
    with pytest.raises((ModelError, ZeroDivisionError, HttpError)):
        asyncio.run(answer_of(handler, request_of(CANCEL, order_id="1")))
    assert len(latency) == 1
    assert (latency.maximum >= 10_000_000) == (result is None)
    assert len(failed) == (not isinstance(result, ModelError))


def test_request_that_is_refused_takes_no_part_in_latencies():
    latency = Histogram()
    handler = OperationHandler("trading", CANCEL, lambda *asking: None, latency=latency)
    with pytest.raises(HttpError):
        asyncio.run(answer_of(handler, request_of(CANCEL, order_id="x")))
    assert len(latency) == 0


def test_end_of_the_server_leaves_the_outcome_unknown():
    async def run():
        handler = OperationHandler("trading", CANCEL, lambda *asking: None)
        asyncio.get_running_loop().call_soon(handler.give_up)
        return await answer_of(handler, request_of(CANCEL, order_id="1"))

    with pytest.raises(HttpError, match="not known") as caught:
        asyncio.run(run())
    assert (caught.value.status, caught.value.code) == (504, "http.timeout")


def test_answer_after_the_loop_has_ended_disturbs_nobody():
    tellers = []
    handler = OperationHandler("trading", CANCEL, lambda *asking: tellers.append(asking[3]), answer_seconds=0.01)
    with pytest.raises(HttpError):
        asyncio.run(answer_of(handler, request_of(CANCEL, order_id="1")))
    tellers[0](RESULT)


class Gate:
    """A guard that notes what passes it."""

    def __init__(self, budget_seconds=0.0, instead=None, *, shut=False):
        self.budget_seconds = budget_seconds
        self.instead = instead
        self.shut = shut
        self.left = []

    def enter(self, now_ns, priority):
        assert now_ns > 0
        if self.shut:
            raise HttpError(503, "breaker.open", "shut", headers=((b"retry-after", b"1"),))
        return 7

    def leave(self, ticket, now_ns, outcome):
        assert (ticket, now_ns > 0) == (7, True)
        self.left.append(outcome)

    def remember(self, message, reply):
        assert (message, reply) == (CancelRequest(1), RESULT)

    def fallback(self, message, error):
        assert message == CancelRequest(1)
        return self.instead


def guarded(gate, reply):
    """The answer to a request behind a guard; an HttpError is given, not raised. None: there is no reply."""

    def ask(engine, message, trace, told, priority):
        if reply is not None:
            told(reply)

    handler = OperationHandler("trading", CANCEL, ask, guard=gate)
    try:
        return asyncio.run(answer_of(handler, request_of(CANCEL, order_id="1")))
    except (HttpError, ModelError, ZeroDivisionError) as error:
        return error


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (RESULT, SUCCESS),
        (ModelError("off tick"), IGNORED),
        (ZeroDivisionError(), FAILURE),
        (HttpError(504, "bus.unknown", "x"), TIMEOUT),
        (asyncio.CancelledError(), CANCELLED),
    ],
)
def test_guard_learns_what_became_of_each_request(reply, outcome):
    gate = Gate()
    guarded(gate, reply)
    assert gate.left == [outcome]


def test_guard_that_is_shut_keeps_requests_from_the_engine():
    gate = Gate(shut=True)
    assert guarded(gate, RESULT).code == "breaker.open"
    gate.instead = RESULT
    assert msgspec.json.decode(guarded(gate, None).body)["order_id"] == 7
    assert gate.left == []


def test_budget_of_the_guard_is_the_time_there_is():
    gate = Gate(0.01)
    assert guarded(gate, None).code == "http.timeout"
    assert gate.left == [TIMEOUT]
    gate.instead = RESULT
    assert guarded(gate, None).status == 200
    assert guarded(gate, ZeroDivisionError()).status == 200
    assert isinstance(guarded(gate, ModelError("off tick")), ModelError)


def test_time_that_a_sender_took_for_its_body_is_not_the_engines():
    guard = protection_of("trading").guards["POST /orders"]
    tellers = []
    handler = OperationHandler(
        "trading", ENTER, lambda engine, message, trace, told, priority: tellers.append(told), guard=guard
    )  # fmt: skip
    request = request_of(ENTER, body={"instrument": "BTC", "side": "SELL", "quantity": "1.5"})
    request.exchange.started_ns = monotonic_ns() - 60 * NANOSECONDS  # its head

    async def run():
        answer = asyncio.ensure_future(answer_of(handler, request))
        await passes()
        handler._lane.expire()  # as for one that came before
        tellers[0](RESULT)
        return await answer

    assert asyncio.run(run()).status == 200
    found = guard.breaker.metrics(monotonic_ns())
    assert (found.successes, found.timeouts, found.slow) == (1, 0, 0)


class Waiting:
    """A question in line."""

    def __init__(self, begun_ns=0):
        self.begun_ns = begun_ns

    def withdraw(self):
        return not self.begun_ns


@pytest.mark.parametrize(
    ("begun", "exempt", "status", "code", "outcome"),
    [
        ("never", False, 503, "limit.shed", IGNORED),
        ("late", False, 504, "limit.late", OVERLOADED),
        ("at once", False, 504, "http.timeout", TIMEOUT),
        ("never", True, 504, "http.timeout", TIMEOUT),
    ],
)
def test_who_waits_too_long_for_a_turn_is_late_because_of_the_load(begun, exempt, status, code, outcome):
    gate = Gate(0.01)
    questions = []

    def ask(engine, message, trace, told, priority):
        times = {"never": 0, "late": monotonic_ns() + NANOSECONDS, "at once": monotonic_ns()}
        questions.append(Waiting(times[begun]))
        return questions[-1]

    handler = OperationHandler("trading", CANCEL._replace(exempt=exempt), ask, guard=gate)
    with pytest.raises((ShedError, LateError, HttpError)) as caught:
        asyncio.run(answer_of(handler, request_of(CANCEL, order_id="1")))
    told = as_http_error(caught.value)
    assert (told.status, told.code, gate.left) == (status, code, [outcome])


@pytest.mark.parametrize(
    ("own", "asked_for", "scopes", "expected"),
    [
        ("high", b"low", ("read",), 3),
        ("high", b" Critical ", ("read",), 1),
        ("high", b"critical", ("read", "admin"), 0),
        ("high", b"whatever", ("admin",), 1),
        ("low", None, ("admin",), 3),
    ],
)
def test_priority_is_the_operations_or_the_one_asked_for(own, asked_for, scopes, expected):
    found = []

    def ask(engine, message, trace, told, priority):
        found.append(priority)
        told(RESULT)

    request = request_of(CANCEL, order_id="1")
    request.exchange.principal = Principal("x", frozenset(scopes))
    if asked_for is not None:
        request.exchange.headers.append((b"nautilus-priority", asked_for))
    asyncio.run(answer_of(OperationHandler("trading", CANCEL._replace(priority=own), ask), request))
    assert found == [expected]
