from enum import IntEnum
from typing import Any, final

MOST: int
"""The largest number that goes over the mesh: whatever is one more than another has room in 64 bits."""
MOST_NAME_BYTES: int
MOST_OPEN: int

class MessageKind(IntEnum):
    COMMAND = 1
    EVENT = 2
    REQUEST = 3
    SETTLED = 4
    GIVEN_UP = 5
    REPLY = 6
    ERROR = 7
    ACKNOWLEDGED = 8
    RESEND = 9

@final
class Envelope:
    id: int
    epoch: int
    sequence: int
    base: int
    priority: int
    deadline_ns: int
    sender: str
    to: str
    payload: bytes
    paths: int
    def __init__(
        self,
        kind: int,
        id: int,
        epoch: int,
        sequence: int,
        base: int,
        priority: int,
        deadline_ns: int = 0,
        trace_id: int = 0,
        sender: str = "",
        to: str = "",
        payload: bytes = b"",
        paths: int = 255,
    ) -> None: ...
    @property
    def kind(self) -> MessageKind: ...
    @kind.setter
    def kind(self, kind: int) -> None: ...
    @property
    def trace_id(self) -> int: ...

@final
class Answer:
    id: int
    epoch: int
    receiver: int
    priority: int
    received: int
    handled: int
    payload: bytes
    done: int
    open: tuple[int, ...]
    def __init__(
        self,
        kind: int,
        id: int,
        epoch: int,
        receiver: int,
        priority: int,
        received: int,
        handled: int,
        payload: bytes = b"",
        done: int = 0,
        open: tuple[int, ...] = (),
    ) -> None: ...
    @property
    def kind(self) -> MessageKind: ...

@final
class Delivery:
    id: int
    peer: str
    sender: str
    to: str
    payload: bytes
    priority: int
    deadline_ns: int
    epoch: int
    sequence: int
    source: Any
    def __init__(
        self,
        kind: int,
        id: int,
        peer: str,
        sender: str,
        to: str,
        payload: bytes,
        priority: int,
        deadline_ns: int = 0,
        trace_id: int = 0,
        epoch: int = 0,
        sequence: int = 0,
        source: Any = None,
    ) -> None: ...
    @property
    def kind(self) -> MessageKind: ...
    @property
    def trace_id(self) -> int: ...
    @trace_id.setter
    def trace_id(self, trace_id: int) -> None: ...

def is_place(envelope: Envelope) -> bool: ...
def pack(envelopes: list[Envelope]) -> bytes: ...
def unpack(frame: bytes) -> list[Envelope] | None: ...
def pack_answers(answers: list[Answer]) -> bytes: ...
def unpack_answers(frame: bytes) -> list[Answer] | None: ...
def head_of(frame: bytes) -> tuple[bool, int, int] | None: ...
