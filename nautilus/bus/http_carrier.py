"""The mesh over HTTP: a carrier beside the sockets (`nautilus.bus.carriers`), for where Redis is not there either.

::

    mesh ─▶ send ─▶ thread ══ POST /bus/frames, token ══▶ engine's port ─▶ socket {process}.h ─▶ receive ─▶ mesh
                           ◀═ answers in the response ═══ engine's port ◀─ its own socket ◀── send ◀────────┘

Who has a port takes frames for every process of its directory and puts them into that one's socket; so a process
without a port is reached too. What answers come while the request waits go back in its response; one that comes later
is asked for again by the sender's retry. The calls are made by a thread of their own, which is started with the first,
and sleeps as long as every peer is reached by a better path.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from nautilus.bus.caller import Caller
from nautilus.bus.carriers import HTTP
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.core.mesh_wire import head_of

FRAMES_PATH = "/bus/frames"
PROBE_NS = 2_000_000_000
"""So long a port that answered counts as one that does."""
AGAIN_NS = 100_000_000
"""Between attempts at one that does not."""
ASKED_NS = 1_000_000_000
"""So long after it was last asked about, a process is of interest."""
CALL_SECONDS = 1.0
PATIENCE_NS = 100_000_000
"""A request that takes no answers for so long does not wait for them."""
MOST_WAITING = 1_024
"""Frames for a process that wait for the thread."""
PIECE = 64
"""Frames in one request."""
MOST_BYTES = 150_000
"""Of a frame: what a local socket takes in one piece."""
COUNTED = ("http_sent", "http_received", "http_calls", "http_failed")
UNREADABLE = (msgspec.DecodeError, ValueError, UnicodeDecodeError)
Packed = tuple[str, str, bytes]
_pack = msgspec.msgpack.Encoder().encode
# What goes through a local socket: the sender, and (lane, frame) in order. One piece each way, as few find room in it.
_unpack = msgspec.msgpack.Decoder(tuple[str, list[tuple[str, bytes]]]).decode


class HttpFrames(msgspec.Struct, frozen=True):
    """The body of a request and of its response: who sends, to whom, and (lane, frame in base 64) in order."""

    sender: str
    to: str
    frames: tuple[tuple[str, str], ...]


def socket_of(directory: str, process: str) -> str:
    """Where a process takes in what came for it by HTTP."""
    return f"{directory}/{process}.h"


class _Peer:
    __slots__ = ("asked_ns", "healthy", "probe_ns", "waiting")

    def __init__(self) -> None:
        self.healthy = False
        self.probe_ns = self.asked_ns = 0
        self.waiting: deque[tuple[str, bytes]] = deque()


class HttpCarrier:
    """The carrier of one process; of one thread, which it never keeps waiting.

    Parameters
    ----------
    directory
        Of the instance.
    process
        Name of this process on the mesh.
    ports
        Process -> ports at which it, or one that takes frames for it, may be found; asked for by the thread.
    token
        That those want; None: none.
    clock
        Nanoseconds.

    Attributes
    ----------
    http_sent, http_received, http_calls, http_failed : frames; requests, and those without a response.
    """

    name = "http"
    path = HTTP
    most_bytes = MOST_BYTES
    on_demand = True

    def __init__(
        self,
        directory: str,
        process: str,
        ports: Callable[[str], Sequence[int]],
        token: str | None,
        clock: Callable[[], int],
        counters: Counters | None = None,
    ) -> None:
        self.http_sent = self.http_received = self.http_calls = self.http_failed = 0
        self.cause = "not tried"
        self.process = process
        self._directory = directory
        self._ports = ports
        self._token = token
        self._clock = clock
        self._tally = Tally(counters, "bus", self, COUNTED)
        self._peers: dict[str, _Peer] = {}
        self._doors: dict[str, str] = {}
        self._answers: deque[Packed] = deque()
        self._unsent: deque[tuple[str, bytes, int]] = deque(maxlen=MOST_WAITING)
        """Answers for which their request had no room yet, and since when."""
        path = socket_of(directory, process)
        with suppress(FileNotFoundError):
            os.unlink(path)
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._inbox.bind(path)
        self._caller = Caller("bus-http", self._run)
        self._epoll = select.epoll()
        self._epoll.register(self._inbox, select.EPOLLIN)
        self._epoll.register(self._caller.fileno(), select.EPOLLIN)

    def usable(self, peer: str) -> bool:
        """Whether its port answered lately; it is asked from now on."""
        known = self._peers.get(peer)
        if known is None:
            known = self._peers[peer] = _Peer()
        now_ns = known.asked_ns = self._clock()
        if now_ns >= known.probe_ns:
            self._caller.wake()
            # What nobody has asked for since says nothing of now.
            return known.healthy and now_ns < known.probe_ns + PROBE_NS
        return known.healthy

    def send(self, peer: str, lane: str, frame: bytes) -> bool:
        """Take a frame: an answer for a request that waits, or anything else for the thread."""
        head = head_of(frame)
        if len(frame) > MOST_BYTES or head is None:
            return False
        if head[0]:
            door = self._doors.get(peer)
            if door is None:
                return False
            self._unsent.append((door, _pack((self.process, [(lane, frame)])), self._clock()))
            self._flush()
            self.http_sent += 1
            return True
        known = self._peers.get(peer)
        if known is None or not known.healthy or len(known.waiting) >= MOST_WAITING:
            return False
        known.waiting.append((lane, frame))
        self.http_sent += 1
        self._caller.wake()
        return True

    def receive(self, limit: int) -> list[Packed]:
        """At most `limit` frames: what others have put into the socket, and answers that the thread has got."""
        out: list[Packed] = []
        self._caller.told()
        self._flush()
        with suppress(BlockingIOError):
            while len(self._answers) < limit:
                data, door = self._inbox.recvfrom(1 << 18)
                with suppress(*UNREADABLE):
                    sender, frames = _unpack(data)
                    if door and frames:
                        self._doors[sender] = door
                    self._answers.extend((sender, lane, frame) for lane, frame in frames)
        while self._answers and len(out) < limit:
            out.append(self._answers.popleft())
        if self._answers or self._unsent:
            self._caller.tell()
        self.http_received += len(out)
        self._tally.write()
        return out

    def forget(self, peer: str) -> None:
        """Its port is asked no longer, nor is it answered."""
        self._peers.pop(peer, None)
        self._doors.pop(peer, None)

    def fileno(self) -> int:
        """Readable while `receive` has something."""
        return self._epoll.fileno()

    def close(self) -> None:
        """End the thread, and take no more."""
        self._caller.close()
        self._tally.write()
        self._epoll.close()
        self._inbox.close()
        with suppress(FileNotFoundError):
            os.unlink(socket_of(self._directory, self.process))

    def _flush(self) -> None:
        """Answer the requests that wait, each in order; one that takes nothing keeps no other one waiting."""
        full: set[str] = set()
        for _ in range(len(self._unsent)):
            door, data, since_ns = self._unsent.popleft()
            if door not in full:
                try:
                    self._inbox.sendto(data, door)
                    continue
                except BlockingIOError:
                    full.add(door)
                except OSError:
                    continue  # it waits no longer
            if self._clock() - since_ns < PATIENCE_NS:
                self._unsent.append((door, data, since_ns))
        if self._unsent:
            self._caller.tell()

    # The thread.

    def _run(self) -> None:
        caller = self._caller
        while not caller.closing:
            busy = wanted = False
            for name, peer in list(self._peers.items()):
                now_ns = self._clock()
                if peer.waiting:
                    busy = True
                    self._post(name, peer, self._piece(peer))
                elif now_ns - peer.asked_ns <= ASKED_NS:
                    wanted = True
                    if now_ns >= peer.probe_ns:
                        self._call(name, peer, ())
            with caller.work:
                if not (busy or caller.called or caller.closing):
                    caller.work.wait(0.05 if wanted else None)
                caller.called = False

    @staticmethod
    def _piece(peer: _Peer) -> list[tuple[str, bytes]]:
        piece = [peer.waiting.popleft()]
        size = len(piece[0][1])
        while peer.waiting and len(piece) < PIECE and size + len(peer.waiting[0][1]) <= MOST_BYTES:
            piece.append(peer.waiting.popleft())
            size += len(piece[-1][1])
        return piece

    def _post(self, name: str, peer: _Peer, piece: list[tuple[str, bytes]]) -> None:
        frames = tuple((lane, b64encode(frame).decode()) for lane, frame in piece)
        content = self._call(name, peer, frames)
        if content is None:
            peer.waiting.clear()  # the mesh has them still
            return
        with suppress(*UNREADABLE):
            for lane, text in msgspec.json.decode(content, type=HttpFrames).frames:
                self._answers.append((name, lane, b64decode(text)))
        self._caller.tell()

    def _call(self, name: str, peer: _Peer, frames: tuple[tuple[str, str], ...]) -> bytes | None:
        """The content of the response of the first port that gives one; None: none does. Without frames: a probe."""
        body = msgspec.json.encode(HttpFrames(self.process, name, frames))
        headers = {"content-type": "application/json"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        self.cause = "no port is known"
        for port in self._ports(name):
            self.http_calls += 1
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS)
            try:
                line.request("POST", FRAMES_PATH, body, headers)
                response = line.getresponse()
                content = response.read()
                if response.status < 300:
                    peer.healthy, peer.probe_ns = True, self._clock() + PROBE_NS
                    return content
                self.cause = f"status {response.status}"
            except (OSError, http.client.HTTPException) as error:
                self.cause = str(error) or type(error).__name__
            finally:
                line.close()
        self.http_failed += 1
        peer.healthy, peer.probe_ns = False, self._clock() + AGAIN_NS
        return None


class Door:
    """A socket of a request that waits: it puts frames into a process's own, and takes what that answers."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = f"{directory}/{os.getpid()}.{id(self):x}.door"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(self._path)

    def put(self, request: HttpFrames) -> None:
        """Hand frames over; OSError where the process is not there or takes no more."""
        frames = [(lane, b64decode(text, validate=True)) for lane, text in request.frames]
        self.socket.sendto(_pack((request.sender, frames)), socket_of(self._directory, request.to))

    @staticmethod
    def taken(data: bytes) -> list[tuple[str, str]]:
        """(lane, frame in base 64) of what came."""
        return [(lane, b64encode(frame).decode()) for lane, frame in _unpack(data)[1]]

    def close(self) -> None:
        """Take no more."""
        self.socket.close()
        Path(self._path).unlink(missing_ok=True)
