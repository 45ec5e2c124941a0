"""WebSockets (RFC 6455): the handshake, and frames read strictly and made. Pure: no socket, no clock.

No extension and no subprotocol is ever agreed on, so a frame means the same to everybody, and one that is made once may
go to any number of clients.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NamedTuple

from nautilus.runtime.http.problems import HttpError

if TYPE_CHECKING:
    from nautilus.runtime.http.exchange import Exchange

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, GOING, PROTOCOL, UNACCEPTABLE, NO_STATUS = 1000, 1001, 1002, 1003, 1005
NOT_UTF8, POLICY, TOO_BIG = 1007, 1008, 1009
RESTARTS, LATER = 1012, 1013
"""Why a WebSocket closes (RFC 6455 7.4, IANA): service restart; try again later."""
MOST_CONTROL = 125
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LAST = 0x80
_MASKED = 0x80
_SENDABLE = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))


class FrameError(Exception):
    """The other side breaks the rules: the connection ends with this code."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what


class Frame(NamedTuple):
    """One frame.

    Attributes
    ----------
    end : index behind it.
    """

    opcode: int
    final: bool
    payload: bytes
    end: int


def accepted(exchange: Exchange) -> bytes:
    """The answer's Sec-WebSocket-Accept. HttpError where a request asks for no WebSocket that can be had here.

    Whether a page of this origin may have one the access rules have said.
    """
    upgrade = exchange.header(b"upgrade").strip().lower()
    if exchange.http2 or exchange.method != "GET" or upgrade != b"websocket":
        raise _wanted("this is a stream")
    if b"upgrade" not in {word.strip().lower() for word in exchange.header(b"connection").split(b",")}:
        raise _wanted("this is a stream")
    if exchange.header(b"sec-websocket-version").strip() != b"13":
        raise _wanted("another version of the protocol")
    key = exchange.header(b"sec-websocket-key").strip()
    try:
        size = len(b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 16:
        raise HttpError(
            400, "http.websocket", "the key is malformed", where="Sec-WebSocket-Key", expected="16 bytes in base 64"
        )
    return accept_of(key)


def accept_of(key: bytes) -> bytes:
    """What proves that the key was read."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def new_key() -> bytes:
    """The key of a client."""
    return b64encode(os.urandom(16))


def switching(accept: bytes, lines: bytes = b"") -> bytes:
    """The head of the answer that switches."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: %b\r\n%b\r\n" % (accept, lines)
    )


def frame_of(opcode: int, payload: bytes, *, masked: bool = False) -> bytes:
    """One whole frame; a client's is masked."""
    size, mask = len(payload), _MASKED if masked else 0
    if size <= MOST_CONTROL:
        head = bytes((_LAST | opcode, mask | size))
    elif size < 1 << 16:
        head = bytes((_LAST | opcode, mask | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_LAST | opcode, mask | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + _masked(payload, key)


def close_frame(code: int, reason: str = "", *, masked: bool = False) -> bytes:
    """The frame that ends a WebSocket; NO_STATUS: without a reason."""
    payload = b"" if code == NO_STATUS else code.to_bytes(2, "big") + reason.encode()[: MOST_CONTROL - 2]
    return frame_of(CLOSE, payload, masked=masked)


def close_code(payload: bytes) -> int:
    """The code of a frame that closes, NO_STATUS where it names none. FrameError where there is no such code."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _SENDABLE:
        raise FrameError(PROTOCOL, f"close code {code}")
    _check_text(payload[2:])
    return code


def read_frame(data: bytes, at: int, most_bytes: int, *, masked: bool) -> Frame | None:
    """The frame that begins at `at`; None: not all of it is there. FrameError where it is none.

    Parameters
    ----------
    most_bytes
        Largest payload.
    masked
        It comes from a client, and has to be.
    """
    if len(data) - at < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, size = first & 0x0F, second & 0x7F
    if first & 0x70 or opcode in (3, 4, 5, 6, 7) or opcode > PONG:
        raise FrameError(PROTOCOL, f"a frame that begins with {first:#04x}")
    if bool(second & _MASKED) != masked:
        raise FrameError(PROTOCOL, "a frame that is not masked" if masked else "a masked frame")
    if opcode >= CLOSE and (size > MOST_CONTROL or not first & _LAST):
        raise FrameError(PROTOCOL, "a control frame in pieces, or too long")
    at += 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(data) - at < width:
            return None
        size = int.from_bytes(data[at : at + width], "big")
        if size < (126 if width == 2 else 1 << 16) or size >> 63:
            raise FrameError(PROTOCOL, "a length that is not written the shortest way")
        at += width
    if size > most_bytes:
        raise FrameError(TOO_BIG, f"{size} bytes, at most {most_bytes}")
    key = b""
    if masked:
        key, at = data[at : at + 4], at + 4
    end = at + size
    if len(data) < end:
        return None
    payload = data[at:end]
    return Frame(opcode, first & _LAST != 0, _masked(payload, key) if masked else payload, end)


class MessageReader:
    """Messages of a server, put together from their frames; control frames as they come, also between those.

    Parameters
    ----------
    most_bytes
        Largest message.
    """

    __slots__ = ("_kind", "_most", "_pieces", "_rest", "_size")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rest = b""
        self._pieces: list[bytes] = []
        self._size = self._kind = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """What is complete now: opcodes and payloads. FrameError where the rules are broken."""
        data = self._rest + data if self._rest else data
        at, found = 0, []
        while (frame := read_frame(data, at, self._most, masked=False)) is not None:
            at = frame.end
            if frame.opcode >= CLOSE:
                found.append((frame.opcode, frame.payload))
                continue
            if (frame.opcode == CONTINUATION) != bool(self._kind):
                raise FrameError(PROTOCOL, "a piece of no message, or a message within another")
            self._kind = self._kind or frame.opcode
            self._pieces.append(frame.payload)
            self._size += len(frame.payload)
            if self._size > self._most:
                raise FrameError(TOO_BIG, f"more than {self._most} bytes")
            if frame.final:
                whole = b"".join(self._pieces)
                if self._kind == TEXT:
                    _check_text(whole)
                found.append((self._kind, whole))
                self._pieces, self._size, self._kind = [], 0, 0
        self._rest = data[at:]
        return found


def _check_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8, "text that is no UTF-8") from None


def _masked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


def _wanted(what: str) -> HttpError:
    return HttpError(
        426, "http.upgrade", what, where="Upgrade", expected="a WebSocket, version 13",
        headers=((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")),
    )  # fmt: skip
