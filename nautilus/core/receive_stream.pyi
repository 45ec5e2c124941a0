from enum import Enum
from typing import Any, Final, Literal, final

from nautilus.core.mesh_wire import Answer, Delivery, Envelope

class Verdict(Enum):
    DELIVER = 1
    SKIP = 2
    DUPLICATE = 3
    AHEAD = 4
    REFUSED = 5
    MALFORMED = 6
    LATE = 7

DELIVER: Final[Literal[Verdict.DELIVER]]
SKIP: Final[Literal[Verdict.SKIP]]
DUPLICATE: Final[Literal[Verdict.DUPLICATE]]
AHEAD: Final[Literal[Verdict.AHEAD]]
REFUSED: Final[Literal[Verdict.REFUSED]]
MALFORMED: Final[Literal[Verdict.MALFORMED]]
LATE: Final[Literal[Verdict.LATE]]
OPEN_TOLD: int
KEPT_REPLIES: int
SWEEP_AT: int

@final
class ReceiveStream:
    epoch: int
    base: int
    expected: int
    handled: int
    skipped: tuple[int, int] | None
    replies: dict[int, Answer]
    due: bool
    @property
    def open(self) -> tuple[int, ...]: ...
    def accept(self, envelope: Envelope) -> Verdict: ...
    def take(
        self, frame: bytes, peer: str, source: Any, now_ns: int, out: list[Delivery], odd: list[tuple[Any, Any]]
    ) -> bool: ...
    def ask(self, sequence: int) -> bool: ...
    def finish(self, sequence: int) -> bool: ...
    def finished(self, sequence: int) -> bool: ...
    def reply(self, sequence: int, answer: Answer) -> bool: ...
    def tell(self, answer: Answer) -> None: ...
    def keep(self, sequence: int, answer: Answer) -> None: ...
