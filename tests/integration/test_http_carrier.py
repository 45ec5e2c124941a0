"""The mesh over a real HTTP server, where neither ZeroMQ nor Redis reaches a process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus import MessageKind
from nautilus.bus.allowed import paths_of
from nautilus.bus.http_carrier import FRAMES_PATH, HttpCarrier
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import EngineState, Priority, Side
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.frames import frames_route
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sockets import bind_socket
from nautilus.runtime.metrics import EngineView
from tests.kit.bus import Node, run

TOKEN = "token-of-this-test"


class Pair:
    """Nodes a and b without a wire between their sockets, and an engine's port that takes frames for b."""

    def __init__(self, directory: Path, stack: ExitStack, token: str = TOKEN) -> None:
        counters, config = Counters(64), HttpConfig()
        view = EngineView("risk", "b", counters, EngineState.RUNNING)
        rules = AccessRules(TOKEN, config=config)
        app = EngineApp(view, (), _nobody, rules, config=config, routes=[frames_route(str(directory), ["a", "b"])])
        self.server = HttpServer({"risk": (app, bind_socket("127.0.0.1", 0, "risk"))}, counters, config)
        self.server.start()
        stack.callback(self.server.stop)
        self.port = self.server.ports["risk"]
        self.ports = [self.port]
        self.carriers = {
            name: HttpCarrier(str(directory), name, lambda peer: self.ports if peer == "b" else [], token, now_ns)
            for name in "ab"
        }
        self.nodes: dict[str, Node] = {}
        for name in "ab":
            node = Node(directory, name, scheme=_scheme(directory, name), fallbacks=[self.carriers[name]])
            self.nodes[name] = node
            stack.callback(node.close)

    @property
    def a(self) -> Node:
        return self.nodes["a"]

    @property
    def b(self) -> Node:
        return self.nodes["b"]

    def until(self, so: Callable[[], object]) -> None:
        run(self.nodes.values(), so)


def _scheme(directory: Path, own: str) -> Callable[[str, str], str]:
    return lambda process, lane: f"ipc://{directory}/{process}.{lane}{'' if process == own else '.nowhere'}"


def _nobody(engine: str, message: object) -> Any:
    raise AssertionError("no operation is asked here")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def test_messages_go_over_http_in_order_and_each_request_has_its_reply(pair: Pair) -> None:
    numbers = []
    for number in range(300):
        numbers.append(pair.a.request("b", b"%d" % number, priority=Priority.NORMAL))
        if number % 10 == 0:
            pair.a.post("b", b"alert %d" % number, MessageKind.EVENT, priority=Priority.FLASH_CRASH)
    pair.until(lambda: len(pair.a.answers) == 300 and not pair.a.mesh.pending())
    assert sorted(each.id for each in pair.a.answers) == numbers
    had = pair.b.payloads
    assert [each for each in had if not each.startswith(b"alert")] == [b"%d" % number for number in range(300)]
    assert [each for each in had if each.startswith(b"alert")] == [b"alert %d" % number for number in range(0, 300, 10)]
    assert pair.a.mesh.paths["b"].path == "http"
    assert (pair.a.letters, pair.a.unknown) == ([], [])


def test_a_new_order_goes_over_http_with_the_number_that_it_has(pair: Pair) -> None:
    order = SubmitOrder(1, 1, 4711, Side.BUY, 1, price_ticks=100, source_id=77, source_sequence=12)
    sent = pair.a.request("b", to_msgpack(order), priority=Priority.HIGH, paths=paths_of(order))
    pair.until(lambda: pair.a.answers)
    assert pair.a.answers[0].id == sent
    assert pair.b.payloads == [to_msgpack(order)]


def test_what_is_given_twice_is_handled_once(pair: Pair) -> None:
    pair.a.post("b", b"x")
    pair.until(lambda: pair.a.mesh.acknowledged)
    carrier = pair.carriers["a"]
    for _ in range(20):
        pair.a.request("b", b"y")
    pair.until(lambda: len(pair.a.answers) == 20)
    assert pair.b.payloads == [b"x", *[b"y"] * 20]
    assert carrier.http_failed == 0


def test_a_port_that_does_not_answer_is_not_usable_until_it_does(pair: Pair) -> None:
    port, pair.ports[0] = pair.ports[0], 1
    pair.a.request("b", b"x")
    pair.until(lambda: pair.a.mesh.paths.get("b") is not None and pair.a.mesh.paths["b"].path == "local")
    pair.until(lambda: pair.carriers["a"].http_failed > 2)
    assert not pair.carriers["a"].usable("b")
    assert pair.a.mesh.paths["b"].path == "local"
    pair.ports[0] = port
    pair.until(lambda: pair.a.answers)
    assert pair.b.payloads == [b"x"]


def _ask(port: int, body: object, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    try:
        line.request("POST", FRAMES_PATH, json.dumps(body), headers)
        response = line.getresponse()
        return response.status, json.loads(response.read())
    finally:
        line.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"sender": "a", "to": "b"}, 422),
        ({"sender": "a", "to": "../b", "frames": []}, 422),
        ({"sender": "stranger", "to": "b", "frames": []}, 422),
        ({"sender": "a", "to": "b", "frames": [["n", "?"]]}, 422),
        ({"sender": "a", "to": "b", "frames": [["n"]]}, 422),
    ],
)
def test_what_is_no_frame_is_refused(pair: Pair, body: object, status: int) -> None:
    assert _ask(pair.port, body)[0] == status


def test_without_the_token_nothing_gets_in(tmp_path: Path) -> None:
    with ExitStack() as stack:
        pair = Pair(tmp_path, stack, token="another")
        assert _ask(pair.port, {"sender": "a", "to": "b", "frames": []}, "another")[0] == 401
        pair.a.post("b", b"x")
        pair.until(lambda: pair.carriers["a"].http_failed)
        assert pair.b.payloads == []


def test_a_process_that_is_gone_takes_no_frames_and_that_is_said(pair: Pair) -> None:
    pair.nodes["b"].close()
    status, problem = _ask(pair.port, {"sender": "a", "to": "b", "frames": [["n", "eA=="]]})
    assert (status, problem["code"]) == (503, "bus.not_reachable")
