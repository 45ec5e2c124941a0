"""What each request costs of a client's connection and of its exchange; what it means is said where these are used."""

from collections.abc import Callable
from typing import Any

AHEAD_BYTES: int
"""So much is taken in of what nobody wants yet, a body or further requests; then the sender has to wait."""

def set_nobody(principal: Any) -> None:
    """Who asks, in every exchange, until the access rules have said so."""

def send_now(fd: int, data: bytes) -> int:
    """Bytes that a socket takes now; what it does not, also for an error, is its transport's to send."""

class ExchangeBase:
    """The common part of `nautilus.runtime.http.exchange.Exchange`."""

    method: str
    target: bytes
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    body_left: int
    started_ns: int
    state: int
    on_writable: Callable[[bool], None] | None
    on_abort: Callable[[], None] | None
    on_answer: Callable[[int], None] | None
    _connection: Any
    _flags: int
    _limit: int
    _body_size: int
    _answer_left: int
    _on_data: Callable[[bytes], None] | None
    _on_end: Callable[[], None] | None
    _on_body: Callable[[bytes], None] | None
    _pieces: list[bytes] | None
    _trace: str | None

    def __init__(
        self,
        connection: Any,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        flags: int = ...,
        length: int = 0,
        started_ns: int = 0,
    ) -> None: ...
    @property
    def principal(self) -> Any: ...
    @principal.setter
    def principal(self, principal: Any) -> None: ...
    @property
    def has_sink(self) -> bool:
        """Somebody takes the body, if only to throw it away."""
    def may_keep_alive(self) -> bool:
        """Whether a head that says nothing of it may promise that the connection goes on: not to HTTP/1.0."""
    def _keeps_alive(self) -> bool: ...
    def start_raw(self, head: bytes, *, keep_alive: bool) -> None:
        """Begin an answer with a whole head, which is sent as it is; so is what is written then. HTTP/1.1 alone.

        `keep_alive` has to be what the head says; ask `may_keep_alive` before.
        """
    def write(self, data: bytes) -> None:
        """Send more of an answer that has begun."""
    def end(self) -> None:
        """The answer is complete."""

class LaneBase:
    """What answers some requests before there is an exchange: see `nautilus.core.hit_lane`."""

class ConnectionsBase:
    """The common part of `nautilus.runtime.http.connections.Connections`."""

    _open: set[Any]
    _spare: dict[Any, float]

    def busy(self, connection: Any) -> None:
        """A request has come on it."""
    def spare(self, connection: Any, now: float) -> None:
        """All its requests are answered."""

class ConnectionBase:
    """The common part of `nautilus.runtime.http.protocol.Connection`; `makes` is the class of its exchanges."""

    port: Any
    transport: Any
    exchange: Any
    asked: bool
    _rest: bytes
    _chunks: Any
    _client: str | None
    _working: bool
    _in_head: bool
    _paused: bool
    _full: bool
    _ending: bool

    def __init__(self, port: Any) -> None: ...
    def data_received(self, data: bytes) -> None:
        """Take in what came."""
    def _work(self) -> None: ...
    def write(self, data: bytes) -> None:
        """Send a part of an answer: at once, as far as the operating system takes it."""
    def leave_socket(self) -> None:
        """Write no more to the socket itself: it is another's, or closed."""
    def finish(self, exchange: Any) -> None:
        """The answer is complete."""
    def release(self, exchange: Any) -> None:
        """Answer and body are complete."""
