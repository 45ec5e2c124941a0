"""Python face of the reader of signatures."""

from typing import Any

from nautilus.core.throttle import Throttle

READ: int
UNREADABLE: int
UNKNOWN: int
WRONG: int

class SigningKey:
    """What signatures of one key are checked with."""

    number: int
    def __init__(self, secret: bytes, number: int) -> None: ...

class Verifier:
    """Reads a signed request and checks it, one after the other; not for two threads at once."""

    key: Any
    def check(self, header: bytes, method: bytes, target: bytes, keys: dict[str, Any]) -> int:
        """Read a header, find its key, and check its signature."""
    def dated(self, throttle: Throttle, now_ns: int) -> int:
        """What `claim` has to say of the time alone: ACCEPTED, LATE or EARLY."""
    def claim(self, throttle: Throttle, now_ns: int) -> int:
        """Take the nonce of the request that was read last; as `Throttle.claim`."""
    def has_digest(self, digest: bytes) -> bool:
        """Whether it says this one of the body."""
    @property
    def algorithm(self) -> int:
        """Of the request that was read last."""
    @property
    def digest(self) -> bytes:
        """What it says of the body."""

def read_signature(
    header: bytes, method: bytes, target: bytes
) -> tuple[str, int, int, bytes, bytes, bytes, bytes] | None:
    """What a header says, and the message that its signature is of; None where it is not as it has to be."""
