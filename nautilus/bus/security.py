"""Who may connect: the keys of a process, the list of those that are let in, and the doorkeeper that ZeroMQ asks.

::

    TCP ─▶ CURVE handshake ─▶ ZAP (RFC 27) ─▶ Doorkeeper ─▶ Security: allowed, revoked, unknown
                                                  │ every 100 ms
                                                  ▼
                                             allowed.json, changed ─▶ revision ─▶ `BusContext.refresh` cuts off

A connection's user id is the name that its key has in the list. On the mesh a peer is known by the routing id that it
gives itself, which CURVE does not bind to its key; so a routing id carries a proof: a hash with the secret that its key
and the server's have in common. A client of this host without a key has a hash with the token of the instance, which
its user alone can read. Nobody else can make it, and what is checked once for each routing id is never looked
at again: a name cannot be taken over, at no cost for messages.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.utils import z85

from nautilus.bus.grants import granted
from nautilus.bus.keys import (
    ALLOWED,
    AllowedKey,
    AllowList,
    KeyFileError,
    Keys,
    key_bytes,
    key_place,
    read_allowed,
    read_keys,
)
from nautilus.bus.sockets import EndpointError, is_loopback, monitored
from nautilus.bus.tally import Tally
from nautilus.bus.x25519 import multiply
from nautilus.core.counters import Counters

_LOGGER = logging.getLogger("nautilus.bus")
ZAP: Final = "inproc://zeromq.zap.01"
ZAP_VERSION: Final = b"1.0"
LOOK_MS: Final = 100
"""Between looks at the list of keys."""
CLIENTS: Final = "client."
"""What the names of clients on the mesh begin with; then comes the name of the key."""
_CLIENTS: Final = CLIENTS.encode()
PROOF_BYTES: Final = 16
MARK: Final = b"\0"
COUNTED: Final = (
    "connections",
    "admitted",
    "unknown_keys",
    "revoked_keys",
    "plain_text",
    "bad_handshakes",
    "bad_requests",
    "false_names",
    "refused_messages",
    "refused_subscriptions",
    "unreadable_lists",
)
_WATCH: Final = b"watch"
_numbers = count()
_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_EVENTS: Final = _ACCEPTED | int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL) | int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_PROTOCOL: Final = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_OTHER_MECHANISM: Final = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)

Admit = Callable[[str, str], tuple[str, str]]
"""(public key, address) -> name of who that is, and why it is not let in; "": it is."""


class Security:
    """Keys of one process, whom it lets in, and what it counts of that.

    Parameters
    ----------
    name
        Of the process.
    keys
        Its pair; None: it has no TCP, but plain on loopback where `plain_loopback` allows that.
    directory
        Of the list of keys that are let in, which is looked at again and again; None: `allowed` alone counts.
    allowed
        The list, where there is no directory.
    plain_loopback
        TCP of this machine alone stays plain.
    counters
        Table to keep ``security.admitted`` and so on in.
    token
        Of the instance, which its user alone can read: clients without a key prove their names with it; "": they
        cannot, where a process is bound to TCP.

    Attributes
    ----------
    revision : moves when somebody is not let in any more who was.
    version : moves with every change of the list.
    connections, admitted, unknown_keys, revoked_keys
        Connections over TCP; of these let in; refused as nobody knows their key; as it was revoked.
    plain_text, bad_handshakes, bad_requests
        Connections of peers that do not encrypt; that broke off, or had another key of this process; questions of ZAP
        that are none.
    false_names, refused_messages, refused_subscriptions
        Routing ids that prove nothing; messages, subscriptions that were not granted.
    unreadable_lists
        Looks at a list that cannot be read: until it can, nobody new is let in.
    """

    def __init__(
        self,
        name: str,
        keys: Keys | None = None,
        *,
        directory: str | Path | None = None,
        allowed: Iterable[AllowedKey] = (),
        plain_loopback: bool = False,
        counters: Counters | None = None,
        token: str = "",
    ) -> None:
        self.name = name
        self.keys = keys
        self.plain_loopback = plain_loopback
        self.revision = self.version = 0
        self.connections = self.admitted = self.unknown_keys = self.revoked_keys = self.plain_text = (
            self.bad_handshakes
        ) = 0
        self.bad_requests = self.false_names = self.refused_messages = self.refused_subscriptions = 0
        self.unreadable_lists = 0
        self.allowed = AllowList(allowed)
        self._directory = None if directory is None else Path(directory)
        self._stamp: tuple[int, ...] | None = None
        self._readable = True
        self._servers: dict[str, str] = {}
        self._secrets: dict[str, bytes] = {}
        self._token = blake2b(token.encode(), digest_size=32).digest() if token else b""
        self._tally = Tally(counters, "security", self, COUNTED)
        self._doorkeeper: DoorkeeperThread | None = None
        if self._directory is not None:
            self.allowed = read_allowed(self._directory)
            self._stamp = self._stamp_now()

    @classmethod
    def load(cls, name: str, directory: str | Path, **options: Any) -> Security:
        """Of a process whose pair and list lie in a directory of keys. KeyFileError where they do not."""
        return cls(name, read_keys(key_place(directory, name)), directory=directory, **options)

    # Addresses and keys.

    def expect(self, endpoint: str, process: str) -> None:
        """Say whose endpoint one is: who answers there has to have the key of that name."""
        self._servers[endpoint] = process

    def server_of(self, endpoint: str) -> str:
        """Whose endpoint it is; "": not known."""
        return self._servers.get(endpoint, "")

    def own(self) -> Keys:
        """The pair of this process."""
        if self.keys is None:
            raise EndpointError(f"{self.name} has no keys", where="bus", expected=f"`nautilus keys new {self.name}`")
        return self.keys

    def public_of(self, process: str, endpoint: str) -> str:
        """The public key of who is to answer at an endpoint. EndpointError where none is known that was not revoked."""
        key = self.allowed.by_name.get(process)
        if key is None:
            raise EndpointError(
                f"no key of {process!r}" if process else "whose it is was not said",
                where=endpoint,
                expected="a process with a key in the list of those allowed",
            )
        return key.public

    def is_key_of(self, process: str, public: str) -> bool:
        """Whether that is the key of a process now, and was not revoked."""
        key = self.allowed.by_name.get(process)
        return key is not None and key.public == public

    def can_dial(self, process: str, endpoint: str) -> bool:
        """Whether there is a key of who is to answer at an endpoint, where one is needed."""
        return self.keys is None or process in self.allowed.by_name or (self.plain_loopback and is_loopback(endpoint))

    def key_of(self, process: str) -> AllowedKey | None:
        """The key of a process in the list, its last one where that was revoked; None: it never had one.

        A client's name ends with the number of its process, which its key's does not.
        """
        found = self.allowed.by_name.get(process)
        if found is not None:
            return found
        if process.startswith(CLIENTS):
            return self.key_of(process[len(CLIENTS) :].rpartition("-")[0])
        revoked = [key for key in self.allowed.keys if key.name == process]
        return revoked[-1] if revoked else None

    # Names on the mesh.

    def identity(self, name: bytes, server: str) -> bytes:
        """The routing id by which a process is known to a server: its name, and the proof where there are keys.

        A client without a key proves that it knows the token of the instance.
        """
        if self.keys is not None:
            proof = self._proof(server, name, server.encode())
        else:
            proof = self._user_proof(name, server.encode()) if name.startswith(_CLIENTS) else b""
        return name + MARK + proof if proof else name

    def named(self, identity: bytes, *, proven: bool) -> str:
        """The name in a routing id; "": it is none, or is not proven though it has to be (then it is counted)."""
        name, mark, proof = identity.partition(MARK)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return ""
        if not proven and (not mark or self.keys is None):  # it has no TCP: who gets at it is its own user
            return text
        if mark:
            wanted = self._proof(text, name, self.name.encode()) if self.keys is not None else b""
            users = self._user_proof(name, self.name.encode()) if name.startswith(_CLIENTS) else b""
            if any(each and hmac.compare_digest(each, proof) for each in (wanted, users)):
                return text
        self.false_names += 1
        return ""

    def _user_proof(self, client: bytes, server: bytes) -> bytes:
        """What only who can read the token of the instance can say of a routing id; b"": there is none."""
        if not self._token:
            return b""
        named = client + MARK + server
        return blake2b(named, digest_size=PROOF_BYTES, key=self._token, person=b"nautilus.client").digest()

    def _proof(self, other: str, client: bytes, server: bytes) -> bytes:
        """What only this process and the other one can say of a routing id; b"": it has no key here."""
        key = self.key_of(other)
        if key is None or key.revoked_ns:
            return b""
        secret = self._secrets.get(key.public)
        if secret is None:
            try:
                secret = multiply(key_bytes(self.own().secret), key_bytes(key.public))
            except ValueError:
                return b""
            self._secrets[key.public] = secret
        return blake2b(client + MARK + server, digest_size=PROOF_BYTES, key=secret, person=b"nautilus.mesh").digest()

    # Who is let in.

    def admit(self, public: str, address: str) -> tuple[str, str]:
        """See `Admit`."""
        key = self.allowed.by_public.get(public)
        if key is None or not self._readable:
            self.unknown_keys += 1
            return "", "key not known" if self._readable else "list of keys cannot be read"
        if key.revoked_ns:
            self.revoked_keys += 1
            return key.name, "key revoked"
        self.admitted += 1
        return key.name, ""

    def may_read(self, user: str, topic: str) -> bool:
        """Whether who is connected may subscribe to a topic; it is counted where not."""
        key = self.allowed.by_name.get(user)
        if key is not None and granted(key.grants, "read", topic):
            return True
        self.refused_subscriptions += 1
        return False

    def look(self) -> None:
        """Read the list again where it has changed; a revoked key, or one that is gone, moves `revision`."""
        if self._directory is None:
            return
        stamp = self._stamp_now()
        if stamp == self._stamp and self._readable:
            return
        try:
            found = read_allowed(self._directory)
            if stamp is None:
                raise KeyFileError("not there", where=str(self._directory / ALLOWED), expected="the list of keys")
        except KeyFileError as error:
            if self._readable:
                _LOGGER.error("nobody new is let in: %s", error)
            self._readable = False
            self.unreadable_lists += 1  # last: who sees it counted finds it so
            return
        self._stamp, self._readable = stamp, True
        self.replace(found)

    def replace(self, allowed: AllowList) -> None:
        """Put another list in the place of the one in force."""
        before, self.allowed = self.allowed, allowed
        self.version += 1
        live = {key.public for key in allowed.by_name.values()}
        gone = [key.name for key in before.by_name.values() if key.public not in live]
        if gone:
            _LOGGER.warning("keys not let in any more: %s", ", ".join(sorted(gone)))
            self.revision += 1

    def _stamp_now(self) -> tuple[int, ...] | None:
        assert self._directory is not None
        try:
            found = (self._directory / ALLOWED).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    # The doorkeeper.

    def doorkeeper(self, context: zmq.Context[Any]) -> DoorkeeperThread:
        """The thread that answers ZeroMQ for this context, started where there is none."""
        if self._doorkeeper is None:
            self._doorkeeper = DoorkeeperThread(context, self)
        return self._doorkeeper

    def close(self) -> None:
        """Stop the doorkeeper; before its context ends."""
        if self._doorkeeper is not None:
            self._doorkeeper.close()
            self._doorkeeper = None
        self.write()

    def write(self) -> None:
        """Bring the table of counters up to date."""
        self._tally.write()

    def count_in(self, counters: Counters) -> None:
        """Keep what is counted in this table from now on."""
        self._tally = Tally(counters, "security", self, COUNTED)

    def counts(self) -> dict[str, int]:
        """What is counted, by name."""
        return {name: getattr(self, name) for name in COUNTED}

    def note(self, event: int, value: int) -> None:
        """Somebody dialled, or the handshake failed: whether the peer does not encrypt, or cannot."""
        if event == _ACCEPTED:
            self.connections += 1
        elif event == _PROTOCOL and value == _OTHER_MECHANISM:
            self.plain_text += 1
        else:
            self.bad_handshakes += 1


class Doorkeeper:
    """Lets in who has one of the keys that are allowed: ZeroMQ asks it for every connection.

    It belongs to one thread, which polls `socket` and calls `answer`.

    Parameters
    ----------
    allowed
        Public keys, or whom to ask about one.
    """

    def __init__(self, context: zmq.Context[Any], allowed: Iterable[str] | Admit) -> None:
        self.refused = 0
        self.malformed = 0
        self._admit = allowed if callable(allowed) else _among(frozenset(allowed))
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ZAP)

    def answer(self) -> None:
        """Answer what was asked; it never waits."""
        while True:
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self.judge(request))

    def judge(self, request: list[bytes]) -> list[bytes]:
        """The answer to a question of ZAP, whatever that is."""
        version, number = (*request, b"", b"")[:2]
        if len(request) < 6 or version != ZAP_VERSION:
            self.malformed += 1
            self.refused += 1
            return [ZAP_VERSION, number, b"500", b"no question of this version", b"", b""]
        address, mechanism, credentials = request[3], request[5], request[6:]
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            self.malformed += 1
            self.refused += 1
            return [ZAP_VERSION, number, b"400", b"not encrypted", b"", b""]
        user, reason = self._admit(z85.encode(credentials[0]).decode(), address.decode(errors="replace"))
        if reason:
            self.refused += 1
            return [ZAP_VERSION, number, b"400", reason.encode(), b"", b""]
        return [ZAP_VERSION, number, b"200", b"OK", user.encode(), b""]


def _among(keys: frozenset[str]) -> Admit:
    return lambda public, address: ("", "") if public in keys else ("", "key not allowed")


class DoorkeeperThread:
    """A doorkeeper with a thread of its own, so that a busy process keeps nobody waiting at the door.

    It looks after the list of keys too, and counts who dials sockets that are `watch`ed, and the handshakes that fail.
    """

    def __init__(self, context: zmq.Context[Any], security: Security) -> None:
        self._context = context
        self._security = security
        self._address = f"inproc://doorkeeper.{id(self):x}"
        self._handed: deque[zmq.Socket[bytes]] = deque()
        """Monitors that the thread has not taken yet."""
        ours = context.socket(zmq.PAIR)
        ours.setsockopt(zmq.LINGER, 0)
        ours.bind(self._address)
        self._orders = context.socket(zmq.PAIR)
        self._orders.setsockopt(zmq.LINGER, 0)
        self._orders.connect(self._address)
        self._keeper = Doorkeeper(context, security.admit)
        self._thread = threading.Thread(target=self._run, args=(ours,), name="doorkeeper", daemon=True)
        self._thread.start()

    def watch(self, socket: zmq.Socket[bytes]) -> None:
        """Count who dials a socket; by the thread that has it."""
        place = f"inproc://door.{next(_numbers)}"
        socket.monitor(place, _EVENTS)
        # Connected here and now: until it is, a thread of ZeroMQ that tells of something waits with a lock that whoever
        # binds the socket next needs too, and he has the lock of Python, for which the thread here would wait.
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(place)
        self._handed.append(monitor)
        self._orders.send(_WATCH)

    def close(self) -> None:
        """Stop it."""
        with contextlib.suppress(zmq.ZMQError):
            self._orders.send(b"")
        self._thread.join()
        self._orders.close()

    def _run(self, orders: zmq.Socket[bytes]) -> None:
        security, keeper = self._security, self._keeper
        poller = zmq.Poller()
        poller.register(orders, zmq.POLLIN)
        poller.register(keeper.socket, zmq.POLLIN)
        monitors: list[zmq.Socket[bytes]] = []
        try:
            while True:
                ready = dict(poller.poll(LOOK_MS))
                if orders in ready:
                    if orders.recv() != _WATCH:
                        return
                    monitors.append(self._handed.popleft())
                    poller.register(monitors[-1], zmq.POLLIN)
                keeper.answer()
                security.bad_requests = keeper.malformed
                for monitor in monitors:
                    while monitor.poll(0):
                        security.note(*monitored(monitor.recv_multipart(zmq.NOBLOCK)))
                security.look()
        except zmq.ContextTerminated:
            pass
        finally:
            for each in (orders, keeper.socket, *monitors, *self._handed):
                each.close()


def named(socket: Any, identity: bytes) -> str:
    """The name of a peer of the mesh in its routing id; "": it has none, or one that is not its own.

    Where a socket is bound to TCP, every peer has to prove its name, also one that dialled over ipc.
    """
    security: Security | None = getattr(socket, "security", None)
    if security is not None:
        return security.named(identity, proven=socket.remote)
    try:
        return identity.decode()
    except UnicodeDecodeError:
        return ""
