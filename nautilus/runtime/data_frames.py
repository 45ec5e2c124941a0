"""What the hub's door and its child process say to each other: msgpack arrays behind their length.

The child sends answers encoded, as the hub hands them out: the hub's thread neither decodes nor encodes a fact. Of a
`DataAnswer` it has everything before `age_seconds`, as msgpack and as JSON; the four fields from there on are joined to
it when it is handed out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from nautilus.model.datasets import DataAnswer, GetData, ProviderState
from nautilus.model.errors import BusError

LENGTH: Final = struct.Struct("<I")
_TAIL: Final = msgspec.msgpack.encode((0.0, False, False, ""))[1:]
_JSON_TAIL: Final = b',"age_seconds":0.0,"stale":false,"cached":false,"reason":""}'


class Frame(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Anything that is said."""


class Begin(Frame, frozen=True):
    """To the child, by its input, before all else: what it works with.

    Parameters
    ----------
    sections
        Of the configuration, those of the sources.
    instruments
        Instrument id by symbol, for records of the star.
    publish
        Records of an answer at most.
    answer_bytes
        Of an answer at most, in both forms together.
    """

    sections: dict[str, Any]
    shared: str
    data: str
    allow_synthetic: bool
    instruments: dict[str, int]
    publish: int
    ask_seconds: float
    answer_bytes: int = 32 << 20


class Ask(Frame, frozen=True):
    """To the child: a question; exactly one `Found` or `Failed` of that number follows.

    Parameters
    ----------
    may_make_up
        Where that is allowed at all: the hub has nothing that is true, be it old.
    """

    number: int
    question: GetData
    may_make_up: bool = True


class Found(Frame, frozen=True):
    """An answer.

    Parameters
    ----------
    wire, body
        See the module.
    topic, rows
        Records that nobody was told yet, and the topic that carries them; "": none does.
    """

    number: int
    source: str
    wire: bytes
    body: bytes
    fetched_ns: int
    synthetic: bool
    topic: str = ""
    rows: bytes = b""


class Failed(Frame, frozen=True):
    """There is no answer. `retry_seconds`: so long asking again makes no sense; 0: the source does not say."""

    number: int
    code: str
    what: str
    where: str
    expected: str
    retry_seconds: float = 0.0


class States(Frame, frozen=True):
    """How the sources stand: first of all, then where that has changed: before each answer, and once a second."""

    sources: tuple[ProviderState, ...]


FromChild = Found | Failed | States
_BEGIN: Final = msgspec.msgpack.Decoder(Begin)
_TO_CHILD: Final = msgspec.msgpack.Decoder(Ask)
_FROM_CHILD: Final = msgspec.msgpack.Decoder(FromChild)


class FrameError(BusError):
    """What came is no frame."""

    code = "bus.data_frame"


def packed(frame: Frame) -> bytes:
    """A frame behind its length."""
    content = msgspec.msgpack.encode(frame)
    return LENGTH.pack(len(content)) + content


def begin_bytes(begin: Begin) -> bytes:
    """What the child is started with: it is as large as there are instruments, and a socket takes only so much."""
    return msgspec.msgpack.encode(begin)


def to_begin(content: bytes) -> Begin:
    """What the hub started the child with."""
    return _BEGIN.decode(content)


def to_child(content: bytes) -> Ask:
    """What the hub said."""
    return _TO_CHILD.decode(content)


class Frames:
    """Puts together what the child says, however it comes.

    Parameters
    ----------
    most
        Bytes of a frame; more is an error.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._received = bytearray()

    def take(self, data: bytes) -> Iterator[FromChild]:
        """The frames that are complete with this. FrameError where it is none."""
        self._received += data
        at = 0
        try:
            while len(self._received) - at >= LENGTH.size:
                length = LENGTH.unpack_from(self._received, at)[0]
                if length > self._most:
                    raise FrameError(f"{length} bytes", where="data process", expected=f"at most {self._most}")
                if len(self._received) - at < LENGTH.size + length:
                    break
                begin = at + LENGTH.size
                at = begin + length
                try:
                    yield _FROM_CHILD.decode(memoryview(self._received)[begin:at])
                except msgspec.DecodeError as error:
                    raise FrameError(str(error), where="data process") from None
        finally:
            del self._received[:at]


def wire_head(answer: DataAnswer) -> bytes:
    """An answer as msgpack, without its last four fields."""
    content = msgspec.msgpack.encode(answer)
    assert content.endswith(_TAIL)
    return content[: -len(_TAIL)]


def body_head(content: bytes) -> bytes:
    """The JSON form of an answer, without them."""
    assert content.endswith(_JSON_TAIL)
    return content[: -len(_JSON_TAIL)]


def wire_tail(age_seconds: float, *, stale: bool, cached: bool, reason: str) -> bytes:
    """What completes `wire_head`."""
    return msgspec.msgpack.encode((age_seconds, stale, cached, reason))[1:]


def body_tail(age_seconds: float, *, stale: bool, cached: bool, reason: str) -> bytes:
    """What completes `body_head`."""
    return b',"age_seconds":%.6f,"stale":%b,"cached":%b,"reason":%b}' % (
        age_seconds,
        b"true" if stale else b"false",
        b"true" if cached else b"false",
        msgspec.json.encode(reason),
    )


__all__ = [
    "Ask",
    "Begin",
    "Failed",
    "Found",
    "FrameError",
    "Frames",
    "FromChild",
    "States",
    "begin_bytes",
    "body_head",
    "body_tail",
    "packed",
    "to_begin",
    "to_child",
    "wire_head",
    "wire_tail",
]
