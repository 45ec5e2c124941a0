"""The way of each request between a proxy and the pools of an engine; what is rare is said where these are used."""

from typing import Any

from nautilus.core.breaker import Breaker
from nautilus.core.limiter import Limiter
from nautilus.core.proxy_upstream import Call
from nautilus.core.route import Routes

class InstanceBase:
    """The common part of `nautilus.gateway.failover.Instance`."""

    authority: bytes
    pool: Any
    silent: bool
    """It has not answered a probe, nor anything since."""
    life: int
    """How often it was found to have died."""

class Aimed(Call):
    """A call that a group sends where it thinks right.

    Attributes
    ----------
    instance : which it is sent to.
    engine : whom it is for.
    target : in the table of routes; -1: none.
    write : it changes something.
    watch_ns : an instance that has said nothing for so long is looked at.
    sends : how often it was sent in one life of its instance, or taken elsewhere.
    life : of its instance, when it was sent there.
    deaths : how often its instance has died with it.
    doubted : instance that broke its connection, of which it is not known yet whether it lives; since `broken_ns`.
    not_before_ns : it is kept until then, where it is parked.
    limit_ticket, breaker_ticket : of the gate; below 0: none.
    """

    instance: Any
    engine: Any
    target: int
    write: bool
    watch_ns: int
    sends: int
    life: int
    deaths: int
    doubted: Any
    broken_ns: int
    not_before_ns: int
    limit_ticket: int
    breaker_ticket: int

    def aim(self, instance: Any) -> None:
        """Make `payload` for an instance."""
    def on_trouble(self) -> None:
        """What it takes from now on says nothing about the load of the engine."""
    def on_again(self, now_ns: int) -> None:
        """It is about to be sent again."""
    def may_double(self) -> bool:
        """Whether it may be under way twice at once, and is not."""
    def double(self) -> Aimed:
        """The same request as a second call, which answers for this one too."""

class ChooserBase:
    """The common part of `nautilus.gateway.choosing.Chooser`."""

    _routes: Routes
    _flags: int
    _groups: list[int]
    _by_target: dict[int, Any]
    _targets: dict[tuple[Any, bool], int]

    def choose(self, write: bool, now_ns: int) -> Any | None:
        """The instance for a request; None: the table knows of none."""
    def begin(self, instance: Any, write: bool) -> int:
        """A request goes there now; the target, for `end`."""
    def end(self, target: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        """How it went."""

class GateBase:
    """The common part of `nautilus.gateway.gate.Gate`.

    Parameters
    ----------
    how
        What the limit is told, by the outcome that the breaker is.
    """

    breaker: Breaker | None
    limiter: Limiter | None

    def __init__(self, how: list[int]) -> None: ...
    def enter(self, call: Aimed, now_ns: int) -> None:
        """Let a call in; HttpError where not."""
    def again(self, call: Aimed, now_ns: int) -> None:
        """It is about to be sent again: what it took so far is not the engine's, which would be slow by it."""
    def leave(self, call: Aimed, now_ns: int, outcome: int) -> None:
        """It has come to an end."""

class GroupBase:
    """The common part of `nautilus.gateway.failover.Group`."""

    name: str
    instances: list[Any]
    chooser: Any
    usable: bool
    _retries: Any
    _hedges: Any
    _outage_ns: int

    def came(self, call: Aimed, now_ns: int) -> None:
        """A new request: a part of one more may be sent again."""
    def dispatch(self, call: Aimed, now_ns: int, avoid: Any | None = None) -> None:
        """Send a call, or keep it until an instance is back."""
    def settle(self, call: Aimed, latency_ns: int, ok: bool, now_ns: int) -> None:
        """How a call went that was sent to an instance."""
