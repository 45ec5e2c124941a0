from collections.abc import Iterable, Mapping
from typing import Any

from nautilus.core.mesh_ends import Inlet, Outlet
from nautilus.core.mesh_wire import Answer, Delivery, MessageKind
from nautilus.core.send_stream import SendStream

PACK_NS: int
MOST_WAITING: int
MOST_ANSWERS: int
LONG_BYTES: int
PUMP_LIMIT: int
MOST_FRAME_BYTES: int
FULL_NS: int

class MeshNode:
    epoch: int
    sent: int
    received: int
    acknowledged: int
    malformed: int
    stale: int
    unanswerable: int
    touched: set[Any]
    _due_ns: int
    _watch_ns: int
    _watched_sent: int
    _ways: dict[str, list[tuple[SendStream, Any] | None]]
    _readers: dict[str, dict[Any, Any]]
    _carriers: dict[int, Any]
    _looked_at: list[Any]
    _waiting: list[Any]
    _answers_due: list[Any]
    _unknown: list[int]
    _clock: Any
    _ring: Any
    _permissions: Any
    _tally: Any
    _pending_limit: int
    _batch: int
    _last_id: int
    _listed: bool
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
    def receive(
        self, limit: int = 64, *, ready: Iterable[Any] | None = None, urgent: bool = False
    ) -> list[Delivery]: ...
    def take(self, timeout_ns: int, limit: int = 64, spin_ns: int = 0) -> list[Delivery]: ...
    def take_answers(self, outlet: Outlet, frame: bytes, out: list[Delivery]) -> SendStream | None: ...
    def done(
        self, delivery: Delivery, reply: bytes | None = None, error: Exception | Mapping[str, str] | None = None
    ) -> None: ...
    def answer(self, source: Inlet, kind: int, number: int = 0, payload: bytes = b"") -> Answer: ...
    def acknowledge(self, source: Inlet) -> None: ...
    def reply(self, source: Inlet, answer: Answer) -> None: ...
    def send_now(self, source: Inlet, answer: Answer) -> None: ...
    @property
    def next_due_ns(self) -> int: ...
    def tick(self, now_ns: int) -> list[int]: ...
