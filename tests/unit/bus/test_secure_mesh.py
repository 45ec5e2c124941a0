"""Nodes of the mesh over TCP with keys, and what a peer may not do that has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from nautilus.bus import Delivery, MessageKind, error_fields
from nautilus.bus.envelope import Envelope
from nautilus.bus.keys import new_process, revoke
from nautilus.bus.permissions import Permissions
from nautilus.bus.security import Security
from nautilus.core.mesh_wire import pack
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import KillSwitch, SubmitOrder
from nautilus.model.enums import Priority, Side
from tests.kit.bus import Node, run, run_for
from tests.kit.ports import held_port

NAMES = ("core", "strategy", "risk")
ORDER = to_msgpack(SubmitOrder(account_id=1, instrument_id=1, order_id=1, side=Side.BUY, quantity=1))
KILL = to_msgpack(KillSwitch())


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes with keys, each at an address of its own."""
    with ExitStack() as stack:
        ports = {(name, lane): stack.enter_context(held_port()) for name in NAMES for lane in "un"}
        grants = {"core": (), "strategy": ("send:orders",), "risk": ("publish:risk.*", "send:kill")}
        for name in NAMES:
            new_process(tmp_path, name, grants[name], 1)

        def make(name: str, place: Path = tmp_path, **options: Any) -> Node:
            security = Security.load(name, place)

            def endpoint(process: str, lane: str) -> str:
                place = f"tcp://127.0.0.1:{ports[process, lane]}"
                security.expect(place, process)
                return place

            permissions = Permissions({each: (each,) for each in NAMES}, security)
            made = Node(tmp_path, name, scheme=endpoint, security=security, permissions=permissions, **options)
            stack.callback(made.close)
            return made

        yield make


def test_messages_go_both_ways_in_both_lanes(secure) -> None:
    strategy, core = secure("strategy"), secure("core")
    for _ in range(50):
        strategy.request("core", ORDER)
        strategy.request("core", ORDER, priority=Priority.URGENT)
    run([strategy, core], lambda: len(strategy.answers) == 100)
    assert core.payloads == [ORDER] * 100
    assert {each.peer for each in core.deliveries} == {"strategy"}
    assert core.mesh._routers["n"].socket.security.admitted >= 2
    assert core.mesh.malformed == 0


def test_what_was_not_granted_is_answered_and_not_delivered(secure) -> None:
    strategy, core = secure("strategy"), secure("core")
    strategy.request("core", KILL)
    strategy.post("core", KILL)
    strategy.request("core", ORDER)
    run([strategy, core], lambda: len(strategy.answers) == 2 and not strategy.mesh.pending())
    assert core.payloads == [ORDER]
    refused = strategy.answers[0]
    assert refused.kind is MessageKind.ERROR
    assert error_fields(refused.payload)["code"] == "bus.forbidden"
    assert error_fields(refused.payload)["what"] == "strategy may not send kill"
    assert [(letter.reason, letter.peer) for letter in core.letters] == [("forbidden", "strategy")] * 2
    assert core.mesh.dead_lettered == 2


def test_a_peer_that_speaks_in_the_name_of_another_is_not_heard(secure, tmp_path) -> None:
    core = secure("core")
    thief = Security.load("strategy", tmp_path)
    endpoint = core.mesh._routers["n"].socket.bound[0]
    context = secure("strategy").context
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"risk")
    keys = thief.own()
    socket.curve_secretkey, socket.curve_publickey = keys.secret.encode(), keys.public.encode()
    socket.curve_serverkey = thief.public_of("core", endpoint).encode()
    socket.connect(endpoint)
    envelope = Envelope(MessageKind.COMMAND, 1, 5, 1, 1, int(Priority.NORMAL), 0, 0, "risk", "core", KILL)
    socket.send(pack([envelope]))
    security = core.mesh._routers["n"].socket.security
    run([core], lambda: security.false_names)
    assert core.deliveries == []
    # The one of that name is heard all the same, and is not cut off by it.
    risk = secure("risk")
    risk.request("core", KILL)
    run([core, risk], lambda: risk.answers)
    assert core.payloads == [KILL]
    # Nor does the name open a way once its owner is known here.
    known = security.false_names
    for number in range(2, 5):
        socket.send(pack([Envelope(MessageKind.COMMAND, number, 5, number, 1, 2, 0, 0, "risk", "core", KILL)]))
    run([core, risk], lambda: security.false_names > known)
    run_for([core, risk], 50)
    assert core.payloads == [KILL]
    socket.close()


def test_over_ipc_a_name_has_to_be_proven_too_where_a_node_is_on_tcp(tmp_path) -> None:
    for name in ("core", "risk"):
        new_process(tmp_path, name, ("send:*",), 1)
    securities = {name: Security.load(name, tmp_path) for name in ("core", "risk")}

    def endpoint(own: str, process: str, lane: str) -> Any:
        place = f"ipc://{tmp_path}/{process}.{lane}"
        securities[own].expect(place, process)
        return (place, "tcp://127.0.0.1:*") if process == own == "core" else place

    with ExitStack() as stack:
        nodes = {}
        for name in ("core", "risk", "plain"):
            scheme = (
                partial(endpoint, name)
                if name != "plain"
                else lambda process, lane: f"ipc://{tmp_path}/{process}.{lane}"
            )
            nodes[name] = Node(tmp_path, name, scheme=scheme, security=securities.get(name))
            stack.callback(nodes[name].close)
        nodes["plain"].post("core", KILL)
        nodes["risk"].request("core", KILL)
        run(nodes.values(), lambda: nodes["risk"].answers and securities["core"].false_names)
        assert [each.peer for each in nodes["core"].deliveries] == ["risk"]


def test_a_revoked_peer_is_cut_off_and_the_others_lose_nothing(secure, tmp_path) -> None:
    core, risk, strategy = secure("core"), secure("risk"), secure("strategy")
    risk.request("core", KILL)
    strategy.request("core", ORDER)
    run([core, risk, strategy], lambda: risk.answers and strategy.answers)
    revoke(tmp_path, "risk", 9)
    run([core, risk, strategy], core.context.refresh)
    for _ in range(20):
        risk.request("core", KILL)
        strategy.request("core", ORDER)
    run([core, risk, strategy], lambda: core.context.refresh() or len(strategy.answers) == 21)
    security = core.mesh._routers["n"].socket.security
    run([core, risk, strategy], lambda: core.context.refresh() or security.revoked_keys)
    run_for([core, risk, strategy], 100)
    assert core.payloads.count(KILL) == 1
    assert core.payloads.count(ORDER) == 21
    assert len(risk.answers) == 1


def test_what_was_dialled_to_a_revoked_peer_ends_too(secure, tmp_path) -> None:
    there = tmp_path / "there"
    shutil.copytree(tmp_path, there)
    risk, strategy = secure("risk"), secure("strategy", there)
    risk.post("strategy", KILL)
    run([risk, strategy], lambda: strategy.payloads)
    revoke(tmp_path, "strategy", 9)
    run([risk, strategy], risk.context.refresh)
    risk.post("strategy", KILL)
    run_for([risk, strategy], 300)
    assert strategy.payloads == [KILL], "its own list has not heard of it, and it listens on"
    assert risk.mesh.pending()


def test_a_stopped_and_restarted_peer_with_a_key_is_the_same_peer(secure) -> None:
    core = secure("core")
    lives: list[Delivery] = []
    for _ in range(3):
        strategy = secure("strategy")
        strategy.request("core", ORDER)
        run([core, strategy], lambda strategy=strategy: strategy.answers)
        lives += strategy.answers
        strategy.close()
    assert [answer.kind for answer in lives] == [MessageKind.REPLY] * 3
    assert len(core.restarts) == 3
    assert len(core.mesh._peers_in) == 1
