"""A hub that can be followed and replaced: star, replayer and registry, and which of several hubs is the one.

::

    active  ── star frames ──▶ standby: keeps them, to close the epoch      promote ─▶ epoch raised ─▶ active
            ◀─ "there is a higher epoch" ── everybody who knows of one ───▶ fenced: publishes nothing

Epochs decide: readers of the star, streams of the mesh and clients of the registry refuse what has a lower one, so that
a hub that was stopped and comes back is heard by nobody who has heard of its successor. It is told by each of them with
their next beat, and on the same host by a file that it looks at before it publishes after a pause; then it is fenced:
it publishes nothing, and says so.

A standby takes over by order of a person (`promote`). By itself it does so only where nothing can go wrong: on the same
host, where the lock of the active hub shows that its process is dead. Silence is no reason: who is stopped, or cut off,
may still be the hub for others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, NamedTuple

import zmq

from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import replay_endpoint
from nautilus.bus.followed import FollowedStar
from nautilus.bus.hub_fence import HubFence
from nautilus.bus.publisher import Publisher
from nautilus.bus.registry import BEAT_NS, LEASE_NS, Entry
from nautilus.bus.registry_service import RegistryClient, RegistryService
from nautilus.bus.replayer import Replayer
from nautilus.core.clock import now_ns as machine_ns
from nautilus.model.errors import BusError
from nautilus.model.records import Records

_LOGGER = logging.getLogger("nautilus.bus")
JOIN_BEATS: Final = 10
CHECK_NS: Final = 10_000_000
"""Between looks at the record of the fence; a pause longer than this is followed by one before anything goes out."""


class HubState(StrEnum):
    """What a hub is."""

    ACTIVE = "active"
    STANDBY = "standby"
    FENCED = "fenced"


class NotStandbyError(BusError):
    """A hub that is no standby is not promoted."""

    code = "bus.not_standby"


class HubPlaces(NamedTuple):
    """Where one hub is to be found: endpoints of its star and its registry, its host and what else it registers."""

    star: tuple[str, ...]
    registry: tuple[str, ...]
    host: str = ""
    mesh: tuple[tuple[str, str], ...] = ()


class Hub:
    """One of the hubs of an instance; one thread calls `publish` and `poll`.

    Parameters
    ----------
    name
        Of its process, another one for each hub; over TCP that of its key.
    places
        What it binds. The replayer is where `replay_endpoint` of the first endpoint of the star says.
    epoch
        Higher than that of every earlier life of this process.
    standby
        Whether it begins as a standby in any case; else it is the hub, unless another one is: on this host one that
        lives, on others one that is heard of within `JOIN_BEATS` beats.
    others
        The places of the other hubs.
    fence
        The record of this host; None: the others are on other hosts, and only a person can promote.
    automatic
        Take over by itself when the record's hub is dead; needs a fence.
    clock
        Platform time in nanoseconds.
    on_state
        Called with (state, cause) when it becomes something else.
    publisher
        Further arguments of the `Publisher`.

    Attributes
    ----------
    state, epoch, fenced_by
        What it is; its epoch as a hub; the higher epoch that fenced it, 0: none.
    withheld
        Records that it was given and did not publish, as it was not the hub.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        name: str,
        places: HubPlaces,
        *,
        epoch: int,
        standby: bool = False,
        others: tuple[HubPlaces, ...] = (),
        fence: HubFence | None = None,
        automatic: bool = False,
        clock: Callable[[], int] = machine_ns,
        beat_ns: int = BEAT_NS,
        lease_ns: int = LEASE_NS,
        on_state: Callable[[HubState, str], object] | None = None,
        **publisher: Any,
    ) -> None:
        if automatic and fence is None:
            raise BusError(
                "a standby that takes over by itself without a fence",
                where=name,
                expected="one on the host of the active hub, or a person who promotes it",
            )
        self.name = name
        self.state = HubState.STANDBY
        self.epoch = epoch
        self.fenced_by = 0
        self.withheld = 0
        self.publisher: Publisher | None = None
        self.replayer: Replayer | None = None
        self.followed: FollowedStar | None = None
        self._context = context
        self._places = places
        self._fence = fence
        self._automatic = automatic
        self._clock = clock
        self._on_state = on_state
        self._options = publisher
        self._checked_ns = 0
        self._begin_ns = 0
        self._higher = 0
        self.registry = RegistryService(
            context,
            places.registry,
            epoch=epoch,
            active=False,
            lease_ns=lease_ns,
            beat_ns=beat_ns,
            on_higher=self._hear,
        )
        self.registry.on_promote = self._on_promote
        try:
            self.client = RegistryClient(
                context,
                tuple(each.registry[0] for each in (HubPlaces((), self.registry.endpoints), *others)),
                name=name,
                beat_ns=beat_ns,
                on_hub=lambda higher, endpoint: self._hear(higher),
            )
            if others:
                self.followed = FollowedStar(context, tuple(other.star[0] for other in others))
            if not standby and fence is not None:
                self._begin("start")
            elif not standby:
                self._begin_ns = machine_ns() + (JOIN_BEATS * beat_ns if others else 0)
        except BaseException:
            self.close()
            raise

    def _begin(self, cause: str) -> None:
        """Become the hub, unless there is one that lives, or was heard of."""
        epoch = max(self.epoch, self._higher + 1)
        if self._fence is not None:
            epoch = self._fence.claim_of_dead(epoch, self.name)
            if not epoch:
                _LOGGER.warning("hub %s stands by: %s is the hub", self.name, self._fence.read().name)
                return
        self.epoch = epoch
        self._activate(cause)

    # What the host calls.

    def publish(self, records: Records) -> int:
        """Publish where this is the hub; the frames. 0: it is not, and the records are withheld."""
        if machine_ns() - self._checked_ns > CHECK_NS:
            self._check()
        if self.publisher is None:
            self.withheld += len(records)
            return 0
        return self.publisher.publish(records)

    def poll(self, now_ns: int) -> int:
        """Do what is due; when to call again at the latest."""
        if self.followed is not None and self.state is HubState.STANDBY:
            self.followed.poll(now_ns)
            self._note_higher(self.followed.epoch)
        due_ns = min(self.registry.poll(now_ns), self.client.poll(now_ns), now_ns + CHECK_NS)
        self._check()
        if self._begin_ns and machine_ns() >= self._begin_ns:
            self._begin_ns = 0
            if self.state is HubState.STANDBY and self.client.silent:
                self._begin("start, and no other hub was heard of")
        if self.publisher is not None:
            due_ns = min(due_ns, self.publisher.poll(now_ns))
        if self.replayer is not None and self.replayer.poll():
            due_ns = now_ns
        return due_ns

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To be polled for reading; they change with the state."""
        parts = (self.publisher, self.replayer, self.followed)
        return [self.registry.socket, *self.client.sockets(), *(part.socket for part in parts if part is not None)]

    def promote(self, by: str) -> int:
        """Become the hub, with a higher epoch than any that was heard of; that epoch. NotStandbyError: it is none."""
        if self.state is not HubState.STANDBY:
            raise NotStandbyError(f"{self.name} is {self.state}", where="hub", expected="a standby")
        wanted = max(self.epoch, self._higher + 1, machine_ns())
        self.epoch = wanted if self._fence is None else self._fence.claim(wanted, self.name)
        self._activate(by)
        return self.epoch

    def _on_promote(self) -> bool:
        """Somebody on this machine says so."""
        if self.state is not HubState.STANDBY:
            return False
        self.promote("a person")
        return True

    def health(self) -> dict[str, Any]:
        """For `/health`: what it is, and why."""
        found: dict[str, Any] = {"hub": self.name, "state": str(self.state), "epoch": self.epoch}
        if self.fenced_by:
            found |= {"fenced_by": self.fenced_by, "withheld": self.withheld}
        if self.followed is not None and self.state is HubState.STANDBY:
            found |= {"follows": self.followed.epoch, "frames": self.followed.frames, "gaps": self.followed.gaps}
        return found

    def close(self) -> None:
        """Leave and close everything; the lock goes, so that a standby of this host may take over."""
        if hasattr(self, "client"):
            self.client.leave()
            self.client.close()
        self._close_star()
        if self.followed is not None:
            self.followed.close()
        self.registry.close()
        if self._fence is not None:
            self._fence.close()

    # What it becomes.

    def _activate(self, cause: str) -> None:
        followed, star = self.followed, self._places.star
        if followed is not None:
            followed.poll(machine_ns())
        buffer = FrameBuffer()
        self.publisher = Publisher(
            self._context, star, epoch=self.epoch, clock=self._clock, buffer=buffer, **self._options
        )
        try:
            self.replayer = Replayer(
                self._context,
                replay_endpoint(self.publisher.endpoints[0]),
                epoch=self.epoch,
                clock=self._clock,
                frames=buffer,
                archives=() if followed is None else (followed,),
                earlier=(self.publisher.earlier,),
            )
        except BaseException:
            self._close_star()
            raise
        self.registry.epoch, self.registry.active = self.epoch, True
        endpoints = {
            **dict(self._places.mesh),
            "star": self.publisher.endpoints[0],
            "replay": self.replayer.endpoint,
            "registry": self.registry.endpoints[0],
        }
        security = self.registry.socket.security
        public = security.keys.public if security is not None and security.keys is not None else ""
        self.client.change(Entry(self.name, self._places.host, endpoints, self.epoch, public))
        self._checked_ns = machine_ns()
        self._set(HubState.ACTIVE, cause)

    def _become_fenced(self, epoch: int, cause: str) -> None:
        self.fenced_by = epoch
        self.registry.active = False
        self._close_star()
        if self.state is HubState.ACTIVE:
            self.client.leave()
        if self._fence is not None:
            self._fence.close()
        self._set(HubState.FENCED, cause)

    def _close_star(self) -> None:
        if self.publisher is not None:
            self.publisher.socket.close(0)  # without a last word: there is another hub
            self.publisher = None
        if self.replayer is not None:
            self.replayer.close()
            self.replayer = None

    def _set(self, state: HubState, cause: str) -> None:
        self.state = state
        level = logging.ERROR if state is HubState.FENCED else logging.WARNING
        _LOGGER.log(level, "hub %s of epoch %d is %s: %s", self.name, self.epoch, state, cause)
        if self._on_state is not None:
            self._on_state(state, cause)

    # Who else is the hub.

    def _hear(self, epoch: int) -> None:
        self._note_higher(epoch)
        if self.state is HubState.ACTIVE and epoch > self.epoch:
            self._become_fenced(epoch, f"told of a hub of epoch {epoch}")

    def _note_higher(self, epoch: int) -> None:
        self._higher = max(self._higher, epoch)

    def _check(self) -> None:
        """Look at the record of this host."""
        now_ns = machine_ns()
        if self._fence is None or now_ns - self._checked_ns < CHECK_NS:
            self._checked_ns = now_ns if self._fence is None else self._checked_ns
            return
        self._checked_ns = now_ns
        known = self._fence.read()
        self._note_higher(known.epoch)
        if self.state is HubState.ACTIVE and known.epoch > self.epoch:
            self._become_fenced(known.epoch, f"{known.name} has epoch {known.epoch}")
        elif self._automatic and self.state is HubState.STANDBY and known.epoch and not self._fence.alive(known.epoch):
            self._begin(f"the process of {known.name}, epoch {known.epoch}, is dead")
