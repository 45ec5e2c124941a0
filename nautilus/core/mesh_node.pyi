from collections.abc import Mapping
from typing import Any

from nautilus.core.mesh_wire import Delivery, MessageKind
from nautilus.core.receive_stream import ReceiveStream
from nautilus.core.ring_group import RingGroup
from nautilus.core.send_stream import SendStream

PACK_NS: int
MOST_WAITING: int
PUMP_LIMIT: int
MOST_FRAME_BYTES: int
FULL_NS: int
RING_LIMIT: int

class Outlet:
    open: bool
    diverted: bool
    urgent: bool
    waits: bool
    sent_ns: int
    socket: Any
    streams: dict[int, SendStream]

class Contact:
    identity: bytes
    name: str
    epoch: int
    def __init__(self, identity: bytes, name: str) -> None: ...

class Inlet:
    peer: Contact
    stream: ReceiveStream
    carrier: Any
    ringed: int
    copied: int

class MeshNode:
    sent: int
    received: int
    touched: set[Any]
    _due_ns: int
    _ways: dict[str, list[tuple[SendStream, Any] | None]]
    _waiting: list[Any]
    _answers_due: list[Any]
    _clock: Any
    _pending_limit: int
    _batch: int
    _last_id: int
    native: bool
    def post(
        self,
        process: str,
        *,
        to: str,
        sender: str,
        kind: MessageKind,
        payload: bytes,
        priority: int = 4,
        deadline_ns: int = 0,
        trace_id: int = 0,
        paths: int = 255,
    ) -> int: ...
    def pump(self, outlet: Outlet, now_ns: int) -> None: ...
    def read(
        self, socket: Any, inbound: dict[bytes, dict[int, Any]], out: list[Delivery], limit: int
    ) -> tuple[bytes, bytes | None, bool] | bool | None: ...
    def read_ring(
        self, group: RingGroup, prefix: bytes, known: list[dict[int, Any] | None], out: list[Delivery]
    ) -> None: ...
    def done(
        self, delivery: Delivery, reply: bytes | None = None, error: Exception | Mapping[str, str] | None = None
    ) -> None: ...
