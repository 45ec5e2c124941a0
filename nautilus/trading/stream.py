"""The journal on its way to a standby: frames, their checks, and the keys of both ends.

A frame is one ZeroMQ message: a head of 52 bytes, then its body. The checksum of each continues that of the one before
in the same direction, from the session's number on: a frame that is changed, lost, repeated or moved is found, and the
session ends; the next one begins with what the standby has.

    standby -> core   HELLO, ACKNOWLEDGED (also as a sign of life), FENCE
    core -> standby   WELCOME, SNAPSHOT, COMMANDS, HASHES, BEAT, REFUSED, FENCED

Over TCP both ends prove who they are (CURVE) and everything is encrypted; plain text is for sockets of this machine in
a directory that nobody else may enter.
"""

from __future__ import annotations

import contextlib
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zmq

from nautilus.bus.keys import KeyFileError, Keys, make_keys, read_keys
from nautilus.core.crc32c import crc32c
from nautilus.core.types import COMMAND
from nautilus.model.errors import BusError, ConfigError
from nautilus.model.records import Records

VERSION = 1
MAGIC = b"NRS1"
HEAD = struct.Struct("<4sHHQQQqII")
CHECKSUM = struct.Struct("<I")
HEAD_BYTES = HEAD.size + CHECKSUM.size
WIDE, LAST = 1, 2
MOST_BYTES = 16 << 20
"""Of a frame; more is refused unread."""
SHORT_BYTES = 64
BEAT_NS = 100_000_000
SILENCE_NS = 1_000_000_000
"""Who was not heard of for so long is gone."""
KEY_FILE = "replica.key"
ROLE_STANDBY, ROLE_CORE = "standby", "core"


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 1
    ACKNOWLEDGED = 2
    FENCE = 3
    WELCOME = 4
    SNAPSHOT = 5
    COMMANDS = 6
    HASHES = 7
    BEAT = 8
    REFUSED = 9
    FENCED = 10


class Frame(NamedTuple):
    """One frame; `first` and `commands` are of its commands, or what its kind makes of them."""

    kind: Kind
    flags: int
    session: int
    epoch: int
    first: int
    commands: int
    body: bytes


class StreamError(BusError):
    """A frame is not the one that was sent, or not the next one."""

    code = "bus.replica_stream"


class Hello(msgspec.Struct, frozen=True):
    """Who dials: a standby and what it has, or a core with a higher epoch that says so.

    `last_command` is the whole record of command `last_sequence`, by which the other end knows that it is the same.
    `hashes` are the kinds of journals that it can keep; an earlier version says nothing of them.
    """

    role: str
    layout: int
    rules: int
    last_sequence: int = 0
    last_epoch: int = 0
    last_command: bytes = b""
    version: int = VERSION
    hashes: tuple[str, ...] = ("xxh64",)


class Welcome(msgspec.Struct, frozen=True):
    """What comes: commands from `first` on, behind a snapshot of `snapshot_bytes` where the standby begins anew.

    `hashes` is the kind of the core's journal, and of the hashes that come; an earlier version says nothing of it.
    """

    first: int
    capacity: int
    closed_capacity: int
    anew: bool
    snapshot_bytes: int = 0
    reason: str = ""
    hashes: str = "xxh64"


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing comes."""

    code: str
    what: str


class Line:
    """Both directions of one session: numbers, checksums."""

    def __init__(self, session: int) -> None:
        self.session = session
        self._sent = self._received = 0
        self._sent_sum = self._received_sum = session & 0xFFFFFFFF

    def pack(
        self, kind: Kind, epoch: int, *, first: int = 0, count: int = 0, flags: int = 0, body: bytes = b""
    ) -> bytes:
        """The next frame of this end."""
        self._sent += 1
        head = HEAD.pack(MAGIC, kind, flags, self.session, self._sent, epoch, first, count, len(body))
        self._sent_sum = crc32c(body, crc32c(head, self._sent_sum))
        return head + CHECKSUM.pack(self._sent_sum) + body

    def unpack(self, data: bytes) -> Frame | None:
        """A frame of the other end; None: of another session. StreamError where it is not as it was sent."""
        if len(data) < HEAD_BYTES:
            raise StreamError(f"frame of {len(data)} bytes", expected=f"at least {HEAD_BYTES}")
        magic, kind, flags, session, number, epoch, first, count, length = HEAD.unpack_from(data)
        if magic == MAGIC and session != self.session:
            return None  # a changed number shows in the next frame, which is not the one that is due
        body = data[HEAD_BYTES:]
        checksum = crc32c(body, crc32c(data[: HEAD.size], self._received_sum))
        (found,) = CHECKSUM.unpack_from(data, HEAD.size)
        if magic != MAGIC or length != len(body) or checksum != found or number != self._received + 1:
            raise StreamError(
                f"frame {number} with checksum {found:08x}", expected=f"frame {self._received + 1} with {checksum:08x}"
            )
        self._received, self._received_sum = number, checksum
        try:
            return Frame(Kind(kind), flags, session, epoch, first, count, body)
        except ValueError:
            raise StreamError(f"frame of kind {kind}", expected="one of this version") from None


def open_session(data: bytes) -> tuple[Line, Frame]:
    """The line that a HELLO begins, and the frame. StreamError where it is none."""
    if len(data) < HEAD_BYTES:
        raise StreamError(f"frame of {len(data)} bytes", expected=f"at least {HEAD_BYTES}")
    line = Line(HEAD.unpack_from(data)[3])
    frame = line.unpack(data)
    if frame is None or frame.kind is not Kind.HELLO:
        raise StreamError("a frame of no session", expected="a HELLO first")
    return line, frame


def decode(body: bytes, kind: type[Any]) -> Any:
    """A body that is a struct. StreamError where it is another."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StreamError(f"body of a {kind.__name__}: {error}", expected="one of this version") from None


def pack_commands(commands: Records) -> tuple[int, bytes]:
    """Flags and body of a COMMANDS frame: only the first cache line of each where all others are zero."""
    raw = np.ascontiguousarray(commands).view(np.uint8).reshape(len(commands), COMMAND.itemsize)
    if raw[:, SHORT_BYTES:].any():
        return WIDE, raw.tobytes()
    return 0, raw[:, :SHORT_BYTES].tobytes()


def unpack_commands(frame: Frame) -> Records:
    """The commands of a frame. StreamError where their number is another."""
    width = COMMAND.itemsize if frame.flags & WIDE else SHORT_BYTES
    if len(frame.body) != frame.commands * width:
        raise StreamError(f"{len(frame.body)} bytes of commands", expected=f"{frame.commands} of {width} bytes")
    rows = np.zeros((frame.commands, COMMAND.itemsize), np.uint8)
    rows[:, :width] = np.frombuffer(frame.body, np.uint8).reshape(frame.commands, width)
    return rows.reshape(-1).view(COMMAND)


def load_keys(data: str | Path) -> Keys:
    """The pair of an instance, made where there is none: the file `replica.key` in its data, for its user alone."""
    place = Path(data, KEY_FILE)
    if not place.exists():
        with contextlib.suppress(KeyFileError):  # another process was quicker
            return make_keys(place)
    return read_keys(place)


def check_address(address: str, *, where: str) -> str:
    """An address that a standby may dial; ConfigError for another."""
    scheme, _, rest = address.partition("://")
    if scheme == "ipc" and 0 < len(os.fsencode(rest)) <= 100:
        return address
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port.isdigit() and 0 < int(port) < 65536:
        return address
    raise ConfigError(
        f"address {address!r}", where=where, expected="tcp://HOST:PORT, or ipc://PATH of 100 bytes at most"
    )


def listen(context: zmq.Context[Any], address: str, keys: Keys | None) -> zmq.Socket[bytes]:
    """The core's end; keys: of a TCP address. ConfigError where the address cannot be had."""
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
    if keys is not None:
        socket.curve_server = True
        socket.curve_secretkey = keys.secret.encode()
        socket.curve_publickey = keys.public.encode()
        socket.zap_domain = b"replica"
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a doorkeeper nobody is let in
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close()
        raise ConfigError(f"replica.listen {address!r}: {error.strerror}", expected="an address that is free") from None
    return socket


def dial(context: zmq.Context[Any], address: str, keys: Keys | None, server: str) -> zmq.Socket[bytes]:
    """The standby's end; server: the public key of the core, of a TCP address."""
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    if keys is not None:
        socket.curve_serverkey = server.encode()
        socket.curve_secretkey = keys.secret.encode()
        socket.curve_publickey = keys.public.encode()
    socket.connect(address)
    return socket
