"""A real server on free ports: probes, operations, every refusal, faults of clients, start and stop.

Length: every refusal, each with its code, against one server and its fixtures.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nautilus.model.enums import EngineState, Side
from nautilus.model.queries import CancelRequest, OrderRequest, OrderResult
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.document import PROBES
from nautilus.runtime.http.protocol import HEAD_BYTES
from nautilus.runtime.http.sockets import bind_socket
from tests.kit.http_engines import JSON, OPERATIONS, ORDER, TOKEN, Engines, answer_of, call, count, problem, raw
from tests.kit.live_host import eventually

CODED = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines(HttpConfig(answer_seconds=60.0, body_seconds=60.0, body_kib=64), TOKEN)
    yield made
    made.close()


@pytest.fixture
def fresh() -> Iterator[Engines]:
    """Engines of one test alone, which may stop them."""
    made = Engines(HttpConfig(answer_seconds=60.0, connections=4), None)
    yield made
    made.close()


@pytest.fixture
def hurried() -> Iterator[Engines]:
    """Engines of one test alone, on which nobody waits long: nothing else there is sure to be in time."""
    made = Engines(HttpConfig(answer_seconds=0.2, body_seconds=0.2), None)
    yield made
    made.close()


def whole(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


@pytest.mark.parametrize("engine", ["trading", "risk"])
def test_every_probe_answers_on_every_port(engines, engine):
    assert call(engines, "GET", "/livez", engine=engine)[::2] == (200, {"status": "alive"})
    assert call(engines, "GET", "/readyz", engine=engine)[::2] == (200, {"status": "ready", "reasons": []})
    status, _, health = call(engines, "GET", "/health", engine=engine)
    assert (status, health["status"], health["engine"], health["state"]) == (200, "healthy", engine, "running")
    assert health["circuit_breaker"] == {"state": "closed", "failure_count": 0}
    assert set(health["performance"]) == {"operations", "overall"}
    assert health["hybrid_integration"] is False
    assert health["uptime_seconds"] > 0
    status, _, performance = call(engines, "GET", "/hybrid/performance", engine=engine)
    assert (status, performance["unit"]) == (200, "us")
    status, headers, _ = call(engines, "HEAD", "/livez", engine=engine)
    assert (status, headers["content-length"]) == (200, "18")


def test_metrics_are_openmetrics_that_the_public_parser_reads(engines):
    call(engines, "POST", "/orders", ORDER)
    status, headers, body = call(engines, "GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    latency = families["nautilus_operation_seconds"].samples
    counted = [
        sample.value
        for sample in latency
        if sample.name.endswith("_count") and sample.labels["operation"] == "POST /orders"
    ]
    assert counted[0] >= 1
    plain = call(engines, "GET", "/metrics", headers={"Accept": "text/plain"})
    assert plain[1]["content-type"].startswith("text/plain; version=0.0.4")
    assert "nautilus_process_open_fds" not in {
        family.name
        for family in text_string_to_metric_families(call(engines, "GET", "/metrics", engine="risk")[2].decode())
    }


def test_probes_follow_the_state_of_the_engine(fresh):
    view = fresh.views["risk"]
    view.reasons = lambda: ["no market data for 3 s"]
    assert call(fresh, "GET", "/readyz", engine="risk")[::2] == (
        503,
        {"status": "not_ready", "reasons": ["no market data for 3 s"]},
    )
    assert call(fresh, "GET", "/health", engine="risk")[2]["status"] == "degraded"
    view.state = EngineState.FAILED
    status, _, health = call(fresh, "GET", "/health", engine="risk")
    assert (status, health["status"]) == (503, "unhealthy")
    assert call(fresh, "GET", "/livez", engine="risk")[0] == 200


def test_operations_reach_the_handler_and_its_reply_comes_back(engines):
    status, headers, result = call(engines, "POST", "/orders", {**ORDER, "client_order_id": "mine"})
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store")
    assert (result["status"], result["client_order_id"], result["reason"]) == ("accepted", "mine", "NONE")
    expected = OrderRequest("BTCUSDT", Side.BUY, "1.5", "100", client_order_id="mine")
    assert engines.asked[-1] == ("trading", expected)
    assert call(engines, "DELETE", "/orders/17?account_id=2")[2]["order_id"] == 17
    assert engines.asked[-1] == ("trading", CancelRequest(17, 2))
    assert call(engines, "DELETE", "/orders/17", headers={"Authorization": JSON["Authorization"]})[0] == 200
    assert call(engines, "GET", "/orders?account_id=3")[2] == {"orders": [], "last_sequence": 5}
    assert call(engines, "POST", "/kill-switch", {"on": True})[2]["cancelled"] == 3
    assert call(engines, "HEAD", "/orders")[0] == 200


def test_routes_of_a_process_of_its_own_are_served_too(engines):
    status, _, value = call(engines, "PUT", "/own/a%2Fb%20c", {"x": 1}, engine="risk")
    assert status == 404  # a slash is a slash, however it is written
    status, _, value = call(engines, "PUT", "/own/b%20c", {"x": 1}, engine="risk")
    assert (status, value) == (201, {"name": "b c", "body": {"x": 1}})
    assert problem(engines, "PUT", "/own/x", {}, headers={}, engine="risk") == (415, "http.content_type")


@pytest.mark.parametrize(
    ("instrument", "status", "code"),
    [
        ("UNKNOWN", 404, "model.unknown_instrument"),
        ("OFFTICK", 422, "model"),
        ("DOWN", 503, "bus"),
        ("BROKEN", 500, "internal"),
        ("GONE", 503, "http.stopping"),
    ],
)
def test_errors_of_handlers_are_problems_with_their_own_code(engines, instrument, status, code):
    assert problem(engines, "POST", "/orders", {**ORDER, "instrument": instrument}) == (status, code)
    assert call(engines, "GET", "/livez")[0] == 200


def test_unforeseen_error_is_counted_and_kept_from_the_client(engines):
    before, failed = engines.errors.count, count(engines, "http.errors")
    status, _, value = call(engines, "POST", "/orders", {**ORDER, "instrument": "BUG"})
    assert (status, value["code"]) == (500, "internal")
    assert "secret" not in json.dumps(value)
    assert (engines.errors.count, count(engines, "http.errors")) == (before + 1, failed + 1)
    assert engines.errors.distinct()[-1].where.startswith("POST /orders (")


def test_no_answer_in_time_leaves_the_outcome_unknown(hurried):
    status, _, value = call(hurried, "POST", "/orders", {**ORDER, "instrument": "HELD"}, headers=JSON)
    assert (status, value["code"]) == (504, "http.timeout")
    assert "not known" in value["detail"]
    assert hurried.holding.wait(60)
    hurried.held[0].set_result(OrderResult(1, "accepted", 1.0))
    eventually(lambda: call(hurried, "POST", "/orders", ORDER)[0] == 200)


@pytest.mark.parametrize(
    ("method", "path", "change", "body", "status", "code"),
    [
        ("POST", "/orders", {"Host": "evil.example"}, ORDER, 403, "http.host"),
        ("GET", "/orders", {"Host": "evil.example:80"}, None, 403, "http.host"),
        ("GET", "/livez", {"Host": "rebound.example"}, None, 403, "http.host"),
        ("POST", "/orders", {"Origin": "http://evil.example"}, ORDER, 403, "http.origin"),
        ("POST", "/orders", {"Origin": "null"}, ORDER, 403, "http.origin"),
        ("POST", "/orders", {"Content-Type": "text/plain"}, ORDER, 415, "http.content_type"),
        ("POST", "/kill-switch", {"Content-Type": None}, None, 415, "http.content_type"),
        ("DELETE", "/orders/1", {"Content-Type": "text/plain"}, "x", 415, "http.content_type"),
        ("DELETE", "/orders/1", {"Content-Type": None, "Authorization": None}, None, 401, "http.token"),
        ("DELETE", "/orders/1", {"Content-Type": None, "Origin": "http://evil"}, None, 403, "http.origin"),
        ("OPTIONS", "/orders", {"Origin": "http://evil"}, None, 403, "http.origin"),
        ("OPTIONS", "/nowhere", {"Content-Type": None}, None, 404, "http.not_found"),
        ("TRACE", "/orders", {"Content-Type": None, "Authorization": None}, None, 405, "http.method"),
        ("TRACE", "/nowhere", {"Content-Type": None, "Authorization": None}, None, 404, "http.not_found"),
        ("PROPFIND", "/orders", {"Content-Type": None, "Authorization": None}, None, 405, "http.method"),
        ("POST", "/orders", {"Authorization": None}, ORDER, 401, "http.token"),
        ("POST", "/orders", {"Authorization": "Bearer wrong"}, ORDER, 401, "http.token"),
        ("POST", "/nowhere", {"Authorization": None}, ORDER, 401, "http.token"),
        ("POST", "/orders", {}, b"{nope", 400, "http.body"),
        ("POST", "/nowhere", {}, b"{nope", 400, "http.body"),
        ("POST", "/orders", {}, b"x" * 65537, 413, "http.body_size"),
        ("POST", "/orders", {}, {**ORDER, "colour": "red"}, 422, "http.fields"),
        ("POST", "/orders", {}, {"instrument": "BTCUSDT"}, 422, "http.fields"),
        ("POST", "/orders", {}, [1], 422, "http.fields"),
        ("POST", "/orders", {}, "null", 422, "http.fields"),
        ("POST", "/orders", {}, "", 422, "http.fields"),
        ("POST", "/kill-switch", {}, "null", 422, "http.fields"),
        ("POST", "/kill-switch", {}, "", 422, "http.fields"),
        ("POST", "/kill-switch", {}, '{"on": false, "on": true}', 422, "http.fields"),
        ("POST", "/nowhere", {}, '{"a": [{"b": 1, "b": 1}]}', 422, "http.fields"),
        ("DELETE", "/orders/1?account_id=1e3", {}, None, 422, "http.fields"),
        ("DELETE", "/orders/1.0", {}, None, 422, "http.fields"),
        ("GET", "/orders?colour=red", {}, None, 422, "http.fields"),
        ("GET", "/orders?account_id=x", {}, None, 422, "http.fields"),
        ("GET", "/nowhere", {}, None, 404, "http.not_found"),
        ("GET", "/orders/", {}, None, 404, "http.not_found"),
        ("GET", "/%00%ff", {}, None, 400, "http.path"),
        ("GET", "/%zz", {}, None, 400, "http.path"),
        ("GET", "/a/../livez", {}, None, 400, "http.path"),
        ("GET", "/a/%2e%2e/livez", {}, None, 400, "http.path"),
        ("PUT", "/orders", {}, ORDER, 405, "http.method"),
        ("POST", "/livez", {}, {}, 405, "http.method"),
        ("GET", "/orders/7", {}, None, 405, "http.method"),
    ],
)
def test_every_refusal_has_its_status_and_code_and_is_counted(engines, method, path, change, body, status, code):
    asked, refused = len(engines.asked), count(engines, "http.refused")
    headers = {name: value for name, value in {**JSON, **change}.items() if value is not None}
    assert problem(engines, method, path, body, headers=headers) == (status, code)
    assert len(engines.asked) == asked
    assert count(engines, "http.refused") == refused + 1


def test_refused_method_tells_which_are_allowed(engines):
    for method, path, allowed in (
        ("PUT", "/livez", "GET, HEAD, OPTIONS"),
        ("PUT", "/orders", "GET, HEAD, POST, OPTIONS"),
        ("GET", "/orders/1", "DELETE, OPTIONS"),
        ("TRACE", "/orders", "GET, HEAD, POST, OPTIONS"),
    ):
        status, headers, value = call(engines, method, path, {} if method == "PUT" else None)
        assert (status, headers["allow"], value["expected"]) == (405, allowed, allowed)
        status, headers, content = call(engines, "OPTIONS", path, headers={})
        assert (status, headers["allow"], content) == (204, allowed, b"")
        assert headers["content-length"] is None
    assert call(engines, "POST", "/orders", ORDER, headers={"Content-Type": "application/json"})[1][
        "www-authenticate"
    ] == ("Bearer")


def test_field_that_is_missing_or_given_twice_is_named(engines):
    assert call(engines, "POST", "/orders", {**ORDER, "quantity": None})[2]["where"] == "quantity"
    without = {name: value for name, value in ORDER.items() if name != "quantity"}
    assert call(engines, "POST", "/orders", without)[2]["where"] == "quantity"
    assert call(engines, "POST", "/orders", '{"instrument": "A", "instrument": "B"}')[2]["where"] == "instrument"


def test_own_page_may_post_and_demo_needs_no_token(engines, fresh):
    port = engines.server.ports["trading"]
    assert call(engines, "POST", "/orders", ORDER, {**JSON, "Origin": f"http://127.0.0.1:{port}"})[0] == 200
    assert call(fresh, "POST", "/orders", ORDER, {"Content-Type": "application/json"})[0] == 200
    assert problem(fresh, "POST", "/orders", ORDER, headers={}) == (415, "http.content_type")


def test_connection_goes_on_after_a_refusal(engines):
    connection = http.client.HTTPConnection("127.0.0.1", engines.server.ports["trading"], timeout=60)
    try:
        connection.request("POST", "/orders", b"x" * 200_000, JSON)
        assert answer_of(connection)[0] == 413
        used = connection.sock
        for body, status in ((b"{", 400), (json.dumps({"a": 1}), 422), (json.dumps(ORDER), 200)):
            connection.request("POST", "/orders", body, JSON)
            assert answer_of(connection)[0] == status
        assert connection.sock is used
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "http.malformed"),
        (b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, "http.malformed"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400, "http.malformed"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400, "http.malformed"),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "http.malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "http.malformed"),
        (b"GET /livez HTTP/1.1\r\n\r\n", 403, "http.host"),
        (b"GET /livez HTTP/1.0\r\n\r\n", 403, "http.host"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 403, "http.host"),
        (b"BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "http.malformed"),
        (b"GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, "http.version"),
        (b"GET /livez HTTP/0.9\r\nHost: localhost\r\n\r\n", 505, "http.version"),
        (CODED % b"gzip, chunked", 501, "http.transfer_encoding"),
        (CODED % b"chunked\r\nTransfer-Encoding: gzip, chunked", 400, "http.malformed"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nx: " + b"x" * 300_000 + b"\r\n\r\n", 431, "http.head_size"),
    ],
)
def test_malformed_requests_are_answered_with_a_problem(engines, content, status, code):
    counter = "http.errors" if status >= 500 else "http.refused"
    before = count(engines, counter)
    head, _, body = raw(engines, content).partition(b"\r\n\r\n")
    status_line, *headers = head.split(b"\r\n")
    assert status_line == b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())
    found = dict(line.split(b": ", 1) for line in headers)
    assert found[b"content-type"] == b"application/problem+json"
    assert (found[b"cache-control"], found[b"x-content-type-options"]) == (b"no-store", b"nosniff")
    assert found[b"date"].endswith(b"GMT")
    told = json.loads(body)
    assert (told["code"], told["status"], len(told["trace_id"])) == (code, status, 32)
    assert count(engines, counter) == before + 1
    assert call(engines, "GET", "/livez")[0] == 200


def test_nonsense_behind_requests_that_wait_is_told_after_their_answers(engines, caplog):
    body = json.dumps({**ORDER, "instrument": "HELD"}).encode()
    head = f"POST /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    engines.holding.clear()
    with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        assert engines.holding.wait(60)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2 + b"nonsense\r\n\r\n")
        engines.held[-1].set_result(OrderResult(1, "accepted", 1.0))
        found = whole(connection)
    assert found.index(b'"accepted"') < found.index(b'"alive"') < found.index(b"http.malformed")
    assert found.count(b'"alive"') == 2
    assert call(engines, "POST", "/orders", ORDER)[0] == 200
    assert caplog.records == []


def test_headers_without_end_are_not_collected_forever(engines):
    with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        try:
            while sent < 100 * HEAD_BYTES:
                connection.sendall(b"x-more: " + b"y" * 8000 + b"\r\n")
                sent += 8010
        except OSError:
            pass
        assert sent < 100 * HEAD_BYTES
    assert call(engines, "GET", "/livez")[0] == 200


def test_body_that_never_comes_is_given_up(hurried):
    head = "POST /orders HTTP/1.1\r\nHost: localhost\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    answer = raw(hurried, head.encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"http.slow" in answer


def test_sender_who_asks_before_a_large_body_is_told_not_to_send_it(engines):
    head = f"POST /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    answer = raw(engines, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_body_in_chunks_is_read_and_limited(engines):
    connection = http.client.HTTPConnection("127.0.0.1", engines.server.ports["trading"], timeout=60)
    try:
        text = json.dumps(ORDER).encode()
        for body, status in ((iter([text[:9], text[9:]]), 200), (iter([b"x" * 9000] * 10), 413)):
            connection.request("POST", "/orders", body, JSON, encode_chunked=True)
            assert answer_of(connection)[0] == status
    finally:
        connection.close()


def test_client_that_leaves_early_disturbs_nobody(engines):
    body = json.dumps({**ORDER, "instrument": "HELD"}).encode()
    head = f"POST /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    engines.holding.clear()
    with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        assert engines.holding.wait(60)
    engines.held[-1].set_result(OrderResult(1, "accepted", 1.0))
    assert call(engines, "POST", "/orders", ORDER)[0] == 200


def test_documents_describe_what_is_served(engines):
    _, _, document = call(engines, "GET", "/openapi.json")
    assert {(method.upper(), path) for path, methods in document["paths"].items() for method in methods} == {
        *((operation.method, operation.path) for operation in OPERATIONS),
        *(("GET", path) for path in PROBES),
    }
    status, headers, page = call(engines, "GET", "/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"Enter an order" in page
    assert b"http://" not in page.replace(b"https://", b"http://")


def test_router_that_is_included_keeps_the_rules_and_the_problems(fresh):
    from fastapi import APIRouter

    router = APIRouter(prefix="/management")

    @router.get("/numbers/{number}")
    async def numbers(number: int, broken: bool = False) -> dict[str, int]:
        return {"number": number // (0 if broken else 1)}

    fresh.apps["risk"].api.include_router(router)
    assert call(fresh, "GET", "/management/numbers/4", engine="risk")[2] == {"number": 4}
    assert problem(fresh, "GET", "/management/numbers/x", engine="risk") == (422, "http.fields")
    assert problem(fresh, "GET", "/management/numbers/4?broken=1", engine="risk") == (500, "internal")
    assert problem(fresh, "GET", "/management/numbers/4", headers={"Host": "evil"}, engine="risk") == (403, "http.host")
    assert fresh.errors.count == 1
    assert fresh.errors.distinct()[0].where.startswith("GET /management/numbers/{number} (")
    assert "/management/numbers/{number}" in call(fresh, "GET", "/openapi.json", engine="risk")[2]["paths"]


def test_concurrent_requests_each_get_their_own_answer(engines):
    def one(number):
        name = f"client-{number}"
        connection = http.client.HTTPConnection("127.0.0.1", engines.server.ports["trading"], timeout=60)
        try:
            found = []
            for part in range(20):
                connection.request("POST", "/orders", json.dumps({**ORDER, "client_order_id": f"{name}-{part}"}), JSON)
                found.append(answer_of(connection)[2]["client_order_id"])
            return found == [f"{name}-{part}" for part in range(20)]
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(16)))


def test_pipelined_requests_are_answered_in_order(engines):
    request = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
        connection.sendall(request % b"livez" + request % b"nowhere" + last)
        found = whole(connection)
    assert found.index(b"alive") < found.index(b"http.not_found") < found.index(b'"ready"')


def test_request_while_the_process_stops_is_told_so(fresh):
    connection = http.client.HTTPConnection("127.0.0.1", fresh.server.ports["trading"], timeout=60)
    try:
        connection.request("POST", "/orders", json.dumps(ORDER), JSON)
        assert answer_of(connection)[0] == 200
        fresh.server.drain()
        connection.request("POST", "/orders", json.dumps(ORDER), JSON)
        status, headers, value = answer_of(connection)
        assert (status, value["code"], headers["connection"]) == (503, "http.stopping", "close")
    finally:
        connection.close()
    assert problem(fresh, "GET", "/orders") == (503, "http.stopping")
    assert call(fresh, "GET", "/livez")[0] == 200


def test_stop_waits_for_what_is_under_way_and_closes_the_rest(fresh):
    port = fresh.server.ports["trading"]
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    idle.request("GET", "/livez")
    assert answer_of(idle)[0] == 200
    busy = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    busy.request("POST", "/orders", json.dumps({**ORDER, "instrument": "HELD"}), JSON)
    assert fresh.holding.wait(60)
    stopper = threading.Thread(target=fresh.server.stop)
    stopper.start()
    try:
        assert idle.sock.recv(1) == b""  # closed at once
        fresh.held[0].set_result(OrderResult(77, "accepted", 1.0))
        assert answer_of(busy)[2]["order_id"] == 77
    finally:
        stopper.join(60)
        idle.close()
        busy.close()
    assert not stopper.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)
    bind_socket("127.0.0.1", port).close()


def test_stop_does_not_wait_for_an_answer_that_never_comes():
    engines = Engines(HttpConfig(answer_seconds=600.0), None)
    busy = http.client.HTTPConnection("127.0.0.1", engines.server.ports["trading"], timeout=60)
    try:
        busy.request("POST", "/orders", json.dumps({**ORDER, "instrument": "HELD"}), JSON)
        assert engines.holding.wait(60)
        stopper = threading.Thread(target=engines.server.stop, args=(0.05,))
        stopper.start()
        stopper.join(60)
        assert not stopper.is_alive()
        status, headers, value = answer_of(busy)
        # It may be carried out: nobody is asked to come again.
        assert (status, value["code"], headers["retry-after"]) == (504, "http.timeout", None)
        engines.held[0].set_result(OrderResult(1, "accepted", 1.0))
    finally:
        busy.close()
        engines.close()


@pytest.mark.parametrize("rest", [b"", b'"instrument": "BTCUSDT"}'])
def test_body_that_is_awaited_at_the_stop_is_refused_as_late(rest):
    engines = Engines(HttpConfig(body_seconds=600.0), None)
    body = b"{" + rest
    head = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    head += b"Content-Length: %d\r\n\r\n" % (len(body) if rest else 100)
    try:
        with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
            connection.sendall(head)
            found = b""
            while b"100 Continue" not in found:  # the body is awaited
                found += connection.recv(1)
            assert connection.recv(len(b"\r\n\r\n")) == b"\r\n\r\n"
            stopper = threading.Thread(target=engines.server.stop, args=(5.0 if rest else 0.05,))
            stopper.start()
            if rest:
                engines.server.drain()
                connection.sendall(body)
            answer = whole(connection)
            stopper.join(60)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"application/problem+json" in answer
        assert b'"http.stopping"' in answer
        assert engines.asked == []
    finally:
        engines.close()


def test_stop_before_the_first_request_and_twice_is_harmless(fresh):
    fresh.server.stop()
    fresh.server.stop()


def test_signals_and_threads_of_the_process_stay_as_they_are():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = set(threading.enumerate())
    descriptors = len(os.listdir("/proc/self/fd"))
    engines = Engines(HttpConfig(), None)
    try:
        assert call(engines, "GET", "/livez")[0] == 200
        assert {number: signal.getsignal(number) for number in handlers} == handlers
    finally:
        engines.close()
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors
