"""What the gateway's lead and its workers say to each other, and the line on which they do.

A line is a pair of local sockets that keep messages apart; descriptors travel along: listening sockets to workers, and
connections from a worker that is replaced to the one in its place. Nobody waits on it: what does not fit is kept, in
order, until it does.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
from collections import deque
from collections.abc import Sequence

import msgspec

MOST_DESCRIPTORS = 64
"""That go with one message; the operating system ends at 253."""
MOST_BYTES = 1 << 20
SENDABLE_BYTES = 1 << 20


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To a worker: its first message; its listening sockets come along: the plain one, and that for TLS, if any.

    Parameters
    ----------
    plan
        As `Plan.encode` gives it.
    slot
        Which of the listening sockets it has.
    number
        Under which it counts: of the workers that live at one time each has another.
    generation
        Of the worker: higher than that of every one before.
    """

    plan: bytes
    slot: int
    number: int
    generation: int


class Engines(msgspec.Struct, frozen=True, tag=True):
    """To a worker: where the engines are now, {engine: port}; those that are not there are left out."""

    ports: dict[str, int]


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """To a worker: connections of clients come along."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """To a worker: another one is in its place; take nothing new, give idle connections away, end what is under way."""

    seconds: float


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To a worker: the gateway stops; answer what is under way, and end."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it answers requests."""


class Alive(msgspec.Struct, frozen=True, tag=True):
    """From a worker, ten times a second: its loop turns."""


class Known(msgspec.Struct, frozen=True, tag=True):
    """From a worker of an earlier lead that has found this one; its listening sockets come along, unless it drains.

    Parameters
    ----------
    pid, slot, number, generation
        Its own.
    drains
        It was told to.
    """

    pid: int
    slot: int
    number: int
    generation: int
    drains: bool


class Handed(msgspec.Struct, frozen=True, tag=True):
    """From a worker that drains: idle connections come along, for the one in its place."""


class Tell(msgspec.Struct, frozen=True, tag=True):
    """From a worker: a message of the vocabulary, as msgpack, for the engine of the gateway."""

    message: bytes


class Broken(msgspec.Struct, frozen=True, tag=True):
    """From a worker: a connection to an instance of an engine broke, or could not be had."""

    engine: str
    instance: str
    cause: str


class Look(msgspec.Struct, frozen=True, tag=True):
    """From a worker: look at the health of an engine now, and answer with `Looked` of the same number."""

    number: int
    engine: str


class Looked(msgspec.Struct, frozen=True, tag=True):
    """To a worker: what came of it, an `EngineReport` as JSON; empty where the engine is not watched."""

    number: int
    report: bytes


Words = Begin | Engines | Adopt | Drain | Stop | Ready | Alive | Known | Handed | Tell | Broken | Look | Looked

_decoder = msgspec.msgpack.Decoder(Words)
_encode = msgspec.msgpack.Encoder().encode


class Line:
    """One end of a line. Neither `send` nor `receive` waits.

    Attributes
    ----------
    closed : the other end is gone.
    waiting : something could not be sent yet; call `flush` when `fileno` can be written.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENDABLE_BYTES)
        self._socket = end
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self.closed = False
        self._ended = False
        """Nothing is left to receive. It may be `closed` before: last words of the other end are still there."""

    @classmethod
    def pair(cls) -> tuple[Line, socket.socket]:
        """One end, and the socket of the other for another process."""
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(own), other

    @property
    def waiting(self) -> bool:
        """See the class."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """Readable when there is something to `receive`; -1 where it is closed."""
        return self._socket.fileno()

    def send(self, message: Words, descriptors: Sequence[int] = ()) -> None:
        """Send a message with duplicates of at most `MOST_DESCRIPTORS` descriptors."""
        if self.closed:
            return
        self._unsent.append((_encode(message), [os.dup(each) for each in descriptors]))
        self.flush()

    def flush(self) -> None:
        """Send what has waited."""
        while self._unsent:
            content, descriptors = self._unsent[0]
            try:
                self._socket.sendmsg([content], _rights(descriptors), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:
                    return  # as many descriptors are on their way as may be: some have to be taken first
                self.closed = True
                self._drop()
                return
            self._unsent.popleft()
            _close(descriptors)

    def receive(self) -> list[tuple[Words, list[int]]]:
        """What has come, with its descriptors, which are the caller's now; sets `closed` at the end."""
        found: list[tuple[Words, list[int]]] = []
        while not self._ended:
            try:
                content, descriptors, _, _ = socket.recv_fds(self._socket, MOST_BYTES, MOST_DESCRIPTORS)
            except BlockingIOError:
                break
            except ConnectionResetError:  # the other end had not read all; what it said comes after this
                continue
            except OSError:
                content, descriptors = b"", []
            if not content:
                self._ended = self.closed = True
                break
            for each in descriptors:
                os.set_inheritable(each, False)
            found.append((_decoder.decode(content), list(descriptors)))
        return found

    def receive_one(self) -> tuple[Words, list[int]] | None:
        """Wait for one message; None: the other end is gone."""
        self._socket.setblocking(True)
        try:
            content, descriptors, _, _ = socket.recv_fds(self._socket, MOST_BYTES, MOST_DESCRIPTORS)
        finally:
            self._socket.setblocking(False)
        return (_decoder.decode(content), list(descriptors)) if content else None

    def close(self) -> None:
        """Let go of it; what was not sent is not."""
        self._ended = self.closed = True
        self._drop()
        self._socket.close()

    def _drop(self) -> None:
        for _, descriptors in self._unsent:
            _close(descriptors)
        self._unsent.clear()


def _rights(descriptors: list[int]) -> list[tuple[int, int, bytes]]:
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]


def _close(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)
