"""The way of each request through a proxy, as far as every request takes it; the rest is said where these are used."""

from collections.abc import Callable
from typing import Any

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.hit_lane import HitLane
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_lane import Aimed

def outcome_of(status: int, body: bytes) -> int:
    """What a whole answer says of the engine; 429, or a problem of code ``limit.*``: it has too much to do."""

class HeadsBase:
    """The common part of `nautilus.gateway.headers.Heads`."""

    answer_lines: bytes
    answer_drop: tuple[bytes, ...]
    _cut: int
    _given: bytes
    _drop: tuple[bytes, ...]
    _from: dict[tuple[str, bytes, bool], bytes]
    _who: dict[tuple[Any, str], bytes]

    def request(
        self,
        method: str,
        target: bytes,
        fields: list[tuple[bytes, bytes]],
        *,
        authority: bytes,
        client: str,
        host: bytes,
        tls: bool,
        principal: tuple[str, frozenset[str], str],
        priority: str,
        trace: bytes,
        length: int = ...,
        upgrade: bool = False,
    ) -> bytes:
        """The head for the engine at `authority`."""

class EndpointBase:
    """The common part of `nautilus.gateway.endpoints.Endpoint`."""

    engine: str
    name: str
    scope: str
    priority: int
    budget_ns: int
    safe: bool
    watch_ns: int
    exempt: bool
    joined: bool
    latency: Histogram
    answered_ns: int

class EngineBase:
    """The common part of `nautilus.gateway.proxy.Engine`."""

    name: str
    prefix_size: int
    table: Any
    known: dict[tuple[str, bytes], Any]
    heads: Any
    answer_lines: bytes
    answer_fields: list[tuple[bytes, bytes]]
    by_status: list[int]
    timeout_ns: int
    group: Any
    gate: Any
    requests: int
    cut: int

class ForwardBase(Aimed):
    """The common part of `nautilus.gateway.forward.Forward`.

    Attributes
    ----------
    begun : its answer has.
    done : it has come to its end.
    streams : its body is sent on as it comes.
    room : the client takes its answer as it comes.
    ready_ns : all of it that is read before it is sent had come; what it takes is counted from there.
    own_ns : what the gateway took of that itself, there and back; 0: it has not been answered.
    """

    proxy: Any
    endpoint: Any
    exchange: Any
    fill: Any
    begun: bool
    ready_ns: int
    own_ns: int
    done: bool
    streams: bool
    room: bool
    _twin: Any
    _failure: tuple[str, str] | None
    _facts: tuple[int, bytes, bytes, bytes, bool]
    _principal: tuple[str, frozenset[str], str]
    _body: bytes
    _left: int
    _size: int
    _pause_ns: int

    def __init__(
        self,
        proxy: Any,
        engine: Any,
        endpoint: Any,
        exchange: Any,
        facts: tuple[int, bytes, bytes, bytes, bool],
        principal: tuple[str, frozenset[str], str],
        priority: int,
        fill: Any = None,
    ) -> None: ...
    def has_come(self, now_ns: int) -> None:
        """All of it is there: its time begins."""
    def begin(self, body: bytes) -> None:
        """Send it, with its whole body."""
    def aim(self, instance: Any) -> None:
        """It goes to this instance, now or once more."""
    def payload_for(self, instance: Any) -> bytes:
        """The head for an instance, and the body where that is here."""
    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer."""
    def own_time(self, now_ns: int) -> int:
        """Nanoseconds that the gateway took: until it was sent, and from the first of the answer until now."""
    def settle(self, outcome: int, now_ns: int) -> None:
        """It has come to an end, whatever that was."""

class ProxyBase:
    """The common part of `nautilus.gateway.proxy.Proxy`: `makes` is the class of its calls, `refuses` that of the
    errors it answers with, `base_size` the length of its base path."""

    door: Any
    lane: HitLane
    streams: Any
    spin: Callable[[int], None] | None
    audit: Any
    engines: Any
    latency: Histogram
    own: Histogram
    _access: Any
    _counters: Counters
    _body_bytes: int
    _requests: int
    _errors: int
    _slow: bool

    def __call__(self, exchange: Any) -> None:
        """Pass a request on."""
    def _begin(self, exchange: Any) -> None: ...
    def _send(self, call: Any, admitted: Any) -> None: ...
    def let_in(self, call: Any, now_ns: int) -> None:
        """Through the gate of its engine; HttpError where not."""
    def answered(self, call: Any, head: AnswerHead) -> None:
        """The head of an answer is there."""
    def settled(self, call: Any, outcome: int, now_ns: int) -> None:
        """A request has come to an end."""
