"""Real sockets with keys: who is let in, who is not, and what is counted of it."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from nautilus.bus import Publisher
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import HEARTBEAT
from nautilus.bus.keys import AllowedKey, allow, key_place, make_keys, new_keys, new_process, revoke
from nautilus.bus.replayer import Replayer
from nautilus.bus.requests import Operation, Request, pack_request
from nautilus.bus.security import Doorkeeper, Security, named
from nautilus.bus.sockets import BusContext, EndpointError, checked_endpoints, make_context, new_socket
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE, TRADE

SECOND = 1_000_000_000


def until(condition: Callable[[], object], turn: Callable[[], object] = lambda: None) -> None:
    """Turn until something is so."""
    end_ns = now_ns() + 60 * SECOND
    while not condition():
        assert now_ns() < end_ns, "it did not come about"
        turn()
        zmq.zmq_poll([], 2)


class House:
    """A directory of keys and contexts of its processes."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self._sockets: list[Any] = []
        for name in ("server", "client", "other"):
            new_process(directory, name, (), 1)

    def context(self, name: str = "", **options: Any) -> BusContext:
        """A context with the keys of a process; "": with none."""
        security = Security.load(name, self.directory, **options) if name else None
        context = make_context(security)
        self._stack.callback(context.destroy, 0)
        return context

    def keep(self, socket: Any) -> Any:
        """Not to be collected before its context is closed."""
        self._sockets.append(socket)
        return socket

    def server(self, kind: int = zmq.ROUTER) -> Any:
        socket = self.keep(new_socket(self.context("server"), kind))
        socket.bind("tcp://127.0.0.1:*")
        return socket

    def plain(self, kind: int = zmq.DEALER) -> Any:
        """A socket of plain ZeroMQ."""
        socket = self.keep(zmq.Context.socket(self.context(), kind, socket_class=zmq.Socket))
        socket.setsockopt(zmq.LINGER, 0)
        return socket

    def client(self, context: BusContext, endpoint: str, name: bytes = b"") -> zmq.Socket[bytes]:
        socket = self.keep(new_socket(context, zmq.DEALER))
        if name:
            socket.setsockopt(zmq.ROUTING_ID, name)
        if context.security is not None:
            context.security.expect(endpoint, "server")
        socket.connect(endpoint)
        return socket


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def endpoint_of(socket: Any) -> str:
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def raw_client(house: House, endpoint: str, public: str, secret: str, server: str) -> zmq.Socket[bytes]:
    """A CURVE client of plain ZeroMQ."""
    socket = house.plain()
    socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()
    socket.curve_serverkey = server.encode()
    socket.connect(endpoint)
    return socket


def test_a_known_key_is_let_in_and_its_name_is_the_user_id(house) -> None:
    server = house.server()
    client = house.client(house.context("client"), endpoint_of(server), b"client")
    client.send(b"hello")
    identity, frame = server.recv_multipart(copy=False)
    assert bytes(frame) == b"hello"
    assert frame.get("User-Id") == "client"
    assert named(server, bytes(identity)) == "client"
    assert server.security.admitted == 1
    server.send_multipart([bytes(identity), b"back"])
    assert client.recv() == b"back"
    assert client.mechanism == zmq.CURVE


@pytest.mark.timeout(120)
def test_a_socket_is_bound_to_tcp_while_peers_dial_it_on_this_host(house, tmp_path) -> None:
    context, plain = house.context("server"), house.context()
    for number in range(200):
        place = f"ipc://{tmp_path}/{number}"
        server = new_socket(context, zmq.ROUTER)
        server.bind(place)
        clients = [plain.socket(zmq.DEALER) for _ in range(4)]
        for client in clients:
            client.connect(place)
        server.bind("tcp://127.0.0.1:*")
        assert len(server.bound) == 1
        for each in (server, *clients):
            each.close(0)


def test_a_key_that_is_not_known_is_refused_and_counted(house) -> None:
    server = house.server()
    stranger = new_keys()
    client = raw_client(house, endpoint_of(server), *stranger, server.security.own().public)
    client.send(b"hello")
    until(lambda: server.security.unknown_keys)
    assert not server.poll(100)
    assert server.security.admitted == 0


def test_a_client_with_the_wrong_key_of_the_server_gets_nowhere(house) -> None:
    server = house.server()
    keys = make_keys(key_place(house.directory, "x"))
    client = raw_client(house, endpoint_of(server), *keys, new_keys().public)
    client.send(b"hello")
    until(lambda: server.security.bad_handshakes)
    assert not server.poll(100)


@pytest.mark.parametrize("mechanism", ["null", "plain"])
def test_a_peer_that_does_not_encrypt_is_refused_and_counted(house, mechanism) -> None:
    server = house.server()
    client = house.plain()
    if mechanism == "plain":
        client.plain_username, client.plain_password = b"client", b"secret"
    client.connect(endpoint_of(server))
    client.send(b"hello")
    # Which of the two it is depends on which end sees first that the other speaks another mechanism.
    until(lambda: server.security.plain_text or server.security.bad_handshakes)
    assert not server.poll(100)
    assert server.security.admitted == 0


def test_a_server_that_does_not_encrypt_gets_nothing(house) -> None:
    plain = house.plain(zmq.ROUTER)
    port = plain.bind_to_random_port("tcp://127.0.0.1")
    client = house.client(house.context("client"), f"tcp://127.0.0.1:{port}", b"client")
    client.send(b"secret")
    assert not plain.poll(300)


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03\x00NULL", bytes(64)])
def test_bytes_that_are_no_handshake_end_at_the_door(house, junk) -> None:
    server = house.server()
    with socket.create_connection(("127.0.0.1", int(endpoint_of(server).rpartition(":")[2]))) as line:
        line.settimeout(60)
        line.sendall(junk + bytes(200))
        with contextlib.suppress(ConnectionResetError):
            while line.recv(1024):
                pass
    until(lambda: server.security.connections)
    assert server.security.admitted == 0
    client = house.client(house.context("client"), endpoint_of(server), b"client")
    client.send(b"hello")
    assert server.poll(60_000)


def test_a_key_made_later_is_let_in_without_a_restart(house) -> None:
    server = house.server()
    late = new_keys()
    client = raw_client(house, endpoint_of(server), *late, server.security.own().public)
    client.send(b"hello")
    until(lambda: server.security.unknown_keys)
    allow(house.directory, AllowedKey("late", late.public))
    # A client that is refused by ZAP does not try again by itself, so it dials anew.
    again = raw_client(house, endpoint_of(server), *late, server.security.own().public)

    def knock() -> None:
        nonlocal again
        again.close()
        again = raw_client(house, endpoint_of(server), *late, server.security.own().public)
        again.send(b"hello")
        server.poll(50)

    until(lambda: server.poll(0), knock)


def test_a_revoked_key_is_cut_off_and_others_come_back(house) -> None:
    server = house.server()
    context = server._owner
    clients = {
        name: house.client(house.context(name), endpoint_of(server), name.encode()) for name in ("client", "other")
    }
    for name, client in clients.items():
        client.send(name.encode())
        assert server.poll(60_000)
        server.recv_multipart()
    revoke(house.directory, "client", 5)
    until(context.refresh)
    heard: list[bytes] = []

    def turn() -> None:
        context.refresh()
        for client in clients.values():
            if client.poll(0, zmq.POLLOUT):
                client.send(b"again", zmq.NOBLOCK)
        while server.poll(5):
            heard.append(server.recv_multipart()[0].partition(b"\0")[0])

    until(lambda: heard.count(b"other") and server.security.revoked_keys, turn)
    heard.clear()
    until(lambda: heard.count(b"other") > 3, turn)
    assert b"client" not in heard


def test_nobody_new_is_let_in_while_the_list_cannot_be_read(house) -> None:
    server = house.server()
    (house.directory / "allowed.json").write_bytes(b"{")
    until(lambda: server.security.unreadable_lists)
    keys = server.security
    assert keys.admit(keys.allowed.by_name["client"].public, "") == ("", "list of keys cannot be read")


def test_ipc_stays_plain_and_tcp_of_the_same_socket_does_not(house, tmp_path) -> None:
    for order in (("ipc", "tcp"), ("tcp", "ipc")):
        server = house.keep(new_socket(house.context("server"), zmq.ROUTER))
        places = {"ipc": f"ipc://{tmp_path}/{order[0]}", "tcp": "tcp://127.0.0.1:*"}
        for each in checked_endpoints([places[scheme] for scheme in order]):
            server.bind(each)
            places[each.partition(":")[0]] = endpoint_of(server)
        with pytest.raises(EndpointError, match="plain endpoints before"):
            server.bind(f"ipc://{tmp_path}/late")
        plain = house.plain()
        plain.connect(places["ipc"])
        plain.send(b"over ipc")
        assert server.poll(60_000)
        assert server.recv_multipart()[1] == b"over ipc"
        refused = house.plain()
        refused.connect(places["tcp"])
        refused.send(b"over tcp")
        # Which of the two it is depends on which end sees first that the other speaks another mechanism.
        until(lambda server=server: server.security.plain_text or server.security.bad_handshakes)
        assert not server.poll(50)


def test_plain_tcp_is_of_this_machine_and_only_where_it_may_be(house) -> None:
    for security in (None, Security("a", plain_loopback=True)):
        context = make_context(security)
        try:
            with new_socket(context, zmq.ROUTER) as socket:
                socket.bind("tcp://127.0.0.1:*")
                with pytest.raises(EndpointError, match="keys"):
                    socket.bind("tcp://0.0.0.0:*")
                with pytest.raises(EndpointError, match="keys"):
                    socket.connect("tcp://192.0.2.1:1")
        finally:
            context.destroy(0)
    context = make_context(Security("a"))
    try:
        with new_socket(context, zmq.ROUTER) as socket, pytest.raises(EndpointError, match="plain_loopback"):
            socket.bind("tcp://127.0.0.1:*")
    finally:
        context.destroy(0)


def test_with_keys_loopback_is_encrypted_too_unless_it_is_said_otherwise(house) -> None:
    with new_socket(house.context("server"), zmq.ROUTER) as socket:
        socket.bind("tcp://127.0.0.1:*")
        assert socket.mechanism == zmq.CURVE
    with new_socket(house.context("server", plain_loopback=True), zmq.ROUTER) as socket:
        socket.bind("tcp://127.0.0.1:*")
        assert socket.mechanism == zmq.NULL


def test_whose_endpoint_it_is_has_to_be_known_before_it_is_dialled(house) -> None:
    socket = house.keep(new_socket(house.context("client"), zmq.DEALER))
    with pytest.raises(EndpointError, match="whose it is was not said"):
        socket.connect("tcp://127.0.0.1:9")
    socket.security.expect("tcp://127.0.0.1:9", "nobody")
    with pytest.raises(EndpointError, match="no key of 'nobody'"):
        socket.connect("tcp://127.0.0.1:9")


def test_a_name_on_the_mesh_needs_the_key_of_that_name(house) -> None:
    server = house.server()
    context = house.context("client")
    honest = context.security.identity(b"client", "server")
    assert named(server, honest) == "client"
    # Its own proof under another name, another's name without a proof, a proof for another server.
    for false in (
        b"other" + honest[len("client") :],
        b"other",
        b"client",
        b"client\0",
        honest[:-1],
        honest + b"\0",
        context.security.identity(b"client", "other"),
        context.security.identity(b"other", "server"),
        b"\xff" + honest,
    ):
        assert named(server, false) == ""
    assert server.security.false_names >= 8


def test_a_client_without_a_key_is_known_by_the_token_of_the_instance(tmp_path) -> None:
    new_process(tmp_path, "server", (), 1)
    server = Security.load("server", tmp_path, token="secret")
    user = Security("tap", token="secret")
    honest = user.identity(b"client.tap-1", "server")
    assert server.named(honest, proven=True) == "client.tap-1"
    for false in (
        b"client.tap-1",
        b"client.tap-2" + honest[len("client.tap-1") :],
        honest[:-1],
        user.identity(b"client.tap-1", "other"),
        user.identity(b"risk", "server"),
        b"risk" + honest[len("client.tap-1") :],
        Security("tap", token="another").identity(b"client.tap-1", "server"),
        Security("tap").identity(b"client.tap-1", "server"),
    ):
        assert server.named(false, proven=True) == ""
    assert server.false_names == 8
    assert Security.load("server", tmp_path).named(honest, proven=True) == "", "it has no token"


def test_a_process_without_keys_takes_a_proven_name_too() -> None:
    honest = Security("tap", token="secret").identity(b"client.tap-1", "core")
    assert Security("core").named(honest, proven=False) == "client.tap-1"


def test_a_peer_that_takes_the_name_of_another_is_not_that(house) -> None:
    server = house.server()
    thief = house.client(house.context("client"), endpoint_of(server), b"other")
    thief.send(b"I am the other")
    identity, _ = server.recv_multipart()
    assert identity.startswith(b"other\0")
    assert named(server, identity) == ""


def test_a_plain_router_takes_names_as_they_are(tmp_path) -> None:
    context = make_context()
    try:
        with new_socket(context, zmq.ROUTER) as socket:
            assert named(socket, b"a") == "a"
            assert named(socket, b"\xff") == ""
    finally:
        context.destroy(0)


def test_whatever_is_asked_of_the_doorkeeper_it_answers_and_lets_nobody_in() -> None:
    chance = random.Random(3)
    context = make_context()
    keeper = Doorkeeper(context, [new_keys().public])
    try:
        asker = context.socket(zmq.REQ)
        asker.setsockopt(zmq.LINGER, 0)
        asker.connect("inproc://zeromq.zap.01")
        good = [b"1.0", b"1", b"nautilus", b"127.0.0.1", b"", b"CURVE", bytes(32)]
        for number in range(300):
            request = list(good)
            for _ in range(chance.randint(0, 3)):
                place = chance.randrange(len(request)) if request else 0
                action = chance.randrange(4)
                if action == 0 and request:
                    request[place] = chance.randbytes(chance.choice((0, 1, 31, 33, 300)))
                elif action == 1 and request:
                    del request[place]
                elif action == 2:
                    request.insert(place, chance.randbytes(3))
                elif request:
                    request[place] = request[place][::-1]
            asker.send_multipart(request or [b""])
            until(lambda: asker.poll(0), keeper.answer)
            answer = asker.recv_multipart()
            assert len(answer) == 6
            assert answer[0] == b"1.0"
            assert answer[2] in (b"400", b"500")
            assert keeper.refused == number + 1
        assert keeper.malformed
    finally:
        keeper.socket.close()
        context.destroy(0)


def test_over_tcp_a_reader_hears_what_it_has_a_grant_for(house) -> None:
    allow_all = {"all": ("read:*",), "quotes": ("read:marketdata.real_time.quote",), "none": ("send:ask",)}
    for name, grants in allow_all.items():
        new_process(house.directory, name, grants, 1)
    buffer = FrameBuffer()
    context = house.context("server")
    publisher = Publisher(
        context, [f"ipc://{house.directory}/star", "tcp://127.0.0.1:*"], epoch=1, clock=now_ns, buffer=buffer
    )
    replayer = Replayer(context, "tcp://127.0.0.1:*", epoch=1, clock=now_ns, frames=buffer)
    readers: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for name in (*allow_all, "local"):
        own = house.context(name if name in allow_all else "")
        place = publisher.endpoints[1 if name in allow_all else 0]
        if own.security is not None:
            own.security.expect(place, "server")
            own.security.expect(replayer.endpoint, "server")
            requests[name] = house.keep(new_socket(own, zmq.DEALER))
            requests[name].connect(replayer.endpoint)
        readers[name] = house.keep(new_socket(own, zmq.SUB))
        readers[name].setsockopt(zmq.SUBSCRIBE, bytes((1,)))
        readers[name].setsockopt(zmq.SUBSCRIBE, bytes((2,)))
        readers[name].setsockopt(zmq.SUBSCRIBE, b"\xff")
        readers[name].connect(place)
    heard: dict[str, set[int]] = {name: set() for name in readers}

    def turn() -> None:
        publisher.publish(np.zeros(1, QUOTE))
        publisher.publish(np.zeros(1, TRADE))
        publisher.poll(now_ns())
        for name, reader in readers.items():
            while reader.poll(1):
                heard[name].add(reader.recv()[0])

    until(lambda: all(HEARTBEAT in kinds for kinds in heard.values()), turn)
    for _ in range(20):
        turn()
    assert heard == {"all": {1, 2, 255}, "quotes": {1, 255}, "none": {255}, "local": {1, 2, 255}}
    security = context.security
    assert security.refused_subscriptions == 3
    # Nor does it get them by asking for them again.
    for name, asker in requests.items():
        for kind in (1, 2):
            asker.send(pack_request(Request(Operation.REPLAY, kind, 1, kind << 32, 1, 1)))
        until(lambda: security.refused_subscriptions >= 3, replayer.poll)
        if name != "none":
            until(lambda asker=asker: asker.poll(0), replayer.poll)
    until(lambda: security.refused_subscriptions == 6, replayer.poll)
    assert not requests["none"].poll(50)
    publisher.close()
    replayer.close()
