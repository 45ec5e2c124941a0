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
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

import zmq

from nautilus.bus.followed import FollowedStar
from nautilus.bus.hub_fence import HubFence
from nautilus.bus.hub_star import HubStar, OpenStar, PlainStar
from nautilus.bus.registry import BEAT_NS, LEASE_NS, Entry
from nautilus.bus.registry_service import RegistryClient, RegistryService
from nautilus.bus.replayer import Archive
from nautilus.core.clock import now_ns as machine_ns
from nautilus.model.errors import BusError
from nautilus.model.records import Records

_LOGGER = logging.getLogger("nautilus.bus")
JOIN_BEATS: Final = 10
START: Final = "start"
"""Why a hub is active that found nobody else."""
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


class FencedError(BusError):
    """This hub was replaced by one with a higher epoch."""

    code = "bus.fenced"


class HubPlaces(NamedTuple):
    """Where one hub is to be found: endpoints of its star and its registry, its host and what else it registers.

    Without endpoints of a registry it has none, and is the only hub.
    """

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
    role
        The process as which it registers while it is active; "": its own name.
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
    open_star
        What it publishes with; None: a `PlainStar`.
    follow
        Whether a standby keeps the frames of the active hub; not needed where that leaves them in a ring.
    publisher
        Further arguments of the `PlainStar`.

    Attributes
    ----------
    state, epoch, fenced_by
        What it is; its epoch as a hub; the higher epoch that fenced it, 0: none.
    withheld
        Records that it was given and did not publish, as it was not the hub.
    star
        What it publishes with; None: it is not active.
    due_ns
        When `poll` is to be called again at the latest.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        name: str,
        places: HubPlaces,
        *,
        epoch: int,
        role: str = "",
        standby: bool = False,
        others: tuple[HubPlaces, ...] = (),
        fence: HubFence | None = None,
        automatic: bool = False,
        clock: Callable[[], int] = machine_ns,
        beat_ns: int = BEAT_NS,
        lease_ns: int = LEASE_NS,
        on_state: Callable[[HubState, str], object] | None = None,
        open_star: OpenStar | None = None,
        follow: bool = True,
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
        self.due_ns = 0
        self.star: HubStar | None = None
        self.followed: FollowedStar | None = None
        self.registry: RegistryService | None = None
        self.client: RegistryClient | None = None
        self._role = role or name
        self._places = places
        self._fence = fence
        self._automatic = automatic
        self._on_state = on_state
        self._open_star: OpenStar = open_star or partial(_open_plain, context, places.star, clock, publisher)
        self._checked_ns = 0
        self._begin_ns = 0
        self._higher = 0
        try:
            if places.registry:
                self._open_registry(context, others, lease_ns, beat_ns)
            if others and follow:
                self.followed = FollowedStar(context, tuple(other.star[0] for other in others))
            if not standby and (fence is not None or not others):
                self._begin(START)
            elif not standby:
                self._begin_ns = machine_ns() + JOIN_BEATS * beat_ns
        except BaseException:
            self.close()
            raise

    def _open_registry(
        self, context: zmq.Context[Any], others: tuple[HubPlaces, ...], lease_ns: int, beat_ns: int
    ) -> None:
        self.registry = RegistryService(
            context,
            self._places.registry,
            epoch=self.epoch,
            active=False,
            lease_ns=lease_ns,
            beat_ns=beat_ns,
            on_higher=self._hear,
        )
        self.registry.on_promote = self._on_promote
        self.client = RegistryClient(
            context,
            tuple(each.registry[0] for each in (HubPlaces((), self.registry.endpoints), *others)),
            name=self.name,
            beat_ns=beat_ns,
            on_hub=lambda higher, endpoint: self._hear(higher),
        )

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
        if self.star is None:
            self.withheld += len(records)
            return 0
        return self.star.publish(records)

    def poll(self, now_ns: int) -> int:
        """Do what is due; when to call again at the latest."""
        if self.followed is not None and self.state is HubState.STANDBY:
            self.followed.poll(now_ns)
            self._note_higher(self.followed.epoch)
        due_ns = now_ns + BEAT_NS if self.state is HubState.ACTIVE else now_ns + CHECK_NS
        if self.registry is not None and self.client is not None:
            due_ns = min(due_ns, self.registry.poll(now_ns), self.client.poll(now_ns))
        self._check()
        if self._begin_ns and machine_ns() >= self._begin_ns:
            self._begin_ns = 0
            if self.state is HubState.STANDBY and (self.client is None or self.client.silent):
                self._begin("start, and no other hub was heard of")
        if self.star is not None:
            due_ns = min(due_ns, self.star.poll(now_ns))
            if self.star.answer():
                due_ns = 0
        self.due_ns = due_ns
        return due_ns

    def answer(self) -> None:
        """A reader asks for something: do some of it."""
        if self.star is not None and self.star.answer():
            self.due_ns = 0

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To be polled for reading; they change with the state."""
        lines = () if self.client is None else self.client.sockets()
        parts = (self.registry, self.star, self.followed)
        return [*lines, *(part.socket for part in parts if part is not None)]

    def announce(self, mesh: Mapping[str, str]) -> None:
        """Register these lanes of the mesh with what else it is while it is active."""
        self._places = self._places._replace(mesh=tuple(mesh.items()))
        if self.star is not None:
            self._register(self.star)

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

    def close(self, *, for_good: bool = False) -> None:
        """Leave and close everything; the lock goes, so that a standby of this host may take over.

        for_good: there is to be no hub any more, and none takes over by itself.
        """
        if self._fence is not None and for_good and self.state is HubState.ACTIVE:
            self._fence.retire()
        if self.client is not None:
            self.client.leave()
            self.client.close()
        if self.star is not None:
            star, self.star = self.star, None
            star.close()
        if self.followed is not None:
            self.followed.close()
        if self.registry is not None:
            self.registry.close()
        if self._fence is not None:
            self._fence.close()

    # What it becomes.

    def _activate(self, cause: str) -> None:
        if self.followed is not None:
            self.followed.poll(machine_ns())
        self.star = self._open_star(self.epoch, () if self.followed is None else (self.followed,))
        self._register(self.star)
        self._checked_ns = machine_ns()
        self._set(HubState.ACTIVE, cause)

    def _register(self, star: HubStar) -> None:
        if self.registry is None or self.client is None:
            return
        self.registry.epoch, self.registry.active = self.epoch, True
        endpoints = {
            **dict(self._places.mesh),
            "star": star.endpoint,
            "replay": star.replay,
            "registry": self.registry.endpoints[-1],
        }
        security = self.registry.socket.security
        public = security.keys.public if security is not None and security.keys is not None else ""
        self.client.change(Entry(self._role, self._places.host, endpoints, self.epoch, public))

    def _become_fenced(self, epoch: int, cause: str) -> None:
        self.fenced_by = epoch
        if self.star is not None:
            self.star.fall_silent()
            self.star = None
        if self.registry is not None and self.client is not None:
            self.registry.active = False
            self.client.leave()
        if self._fence is not None:
            self._fence.close()
        self._set(HubState.FENCED, cause)

    def _set(self, state: HubState, cause: str) -> None:
        self.state = state
        level = logging.ERROR if state is HubState.FENCED else logging.INFO if cause == START else logging.WARNING
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
        elif self._automatic and self.state is HubState.STANDBY and known.name and not self._fence.alive(known.epoch):
            self._begin(f"the process of {known.name}, epoch {known.epoch}, is dead")


def _open_plain(
    context: zmq.Context[Any],
    endpoints: tuple[str, ...],
    clock: Callable[[], int],
    options: dict[str, Any],
    epoch: int,
    archives: Sequence[Archive],
) -> HubStar:
    return PlainStar(context, endpoints, epoch=epoch, clock=clock, archives=archives, **options)
