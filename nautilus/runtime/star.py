"""The ends of the star in a process: the hub's, with what readers ask for anew, and a reader's."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from nautilus.bus import Publisher, Subscriber
from nautilus.bus.backlog import BufferReader, FrameBuffer
from nautilus.bus.base import HEARTBEAT_STREAM, new_socket, replay_endpoint
from nautilus.bus.hosts import HUB_PORTS, REGISTRY_PORT, tcp_place
from nautilus.bus.hub_fence import HubFence
from nautilus.bus.hub_star import ServedStar
from nautilus.bus.multicast import MulticastReader, MulticastSender
from nautilus.bus.positions import CAPACITY as POSITIONS
from nautilus.bus.recorder import IDLE_SECONDS, PAUSE_SECONDS, Recorder
from nautilus.bus.replayer import Archive
from nautilus.bus.ring import RingReader, RingWriter, image_of, set_aside
from nautilus.bus.ring_backlog import EarlierRing
from nautilus.bus.sockets import EndpointError
from nautilus.bus.standby_hub import Hub, HubPlaces, HubState
from nautilus.bus.star_journal import StarJournal
from nautilus.core.broadcast_reader import Reader
from nautilus.core.counters import Counters
from nautilus.core.last_values import LastValueWriter
from nautilus.model.topics import Topic
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.paths import mirror_of

if TYPE_CHECKING:
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")
_BEAT = struct.Struct("<40xQq")
"""Number and time of a heartbeat."""
IDLE_MIB = 4
"""A ring of this size has room for all that may be published while the recorder of an idle star waits."""
LAST_VALUES = 4_096
"""Streams whose last value is kept for readers of this host."""


class Star(ServedStar):
    """The publisher with all that it feeds, and the replayer beside it: a `nautilus.bus.hub_star.HubStar`.

    Where it falls silent all else stays open: the ring belongs to who has taken over, and the process ends.

    Parameters
    ----------
    places
        What it binds.
    archives
        Where else to look for frames.

    Attributes
    ----------
    beat : the last heartbeat; b"": none yet. Any thread may look.
    """

    def __init__(
        self,
        plan: Plan,
        process: str,
        places: HubPlaces,
        context: zmq.Context[Any],
        clock: Callable[[], int],
        counters: Counters,
        epoch: int,
        archives: Sequence[Archive] = (),
    ) -> None:
        self.beat = b""
        self._context = context
        self._mirror = mirror_of(plan, process, counters)
        self._undo = ExitStack()
        if self._mirror is not None:
            self._undo.callback(self._mirror.close)
        try:
            self._open(plan, process, places, context, clock, counters, epoch, archives)
        except BaseException:
            self._undo.close()
            raise

    def _open(
        self,
        plan: Plan,
        process: str,
        places: HubPlaces,
        context: zmq.Context[Any],
        clock: Callable[[], int],
        counters: Counters,
        epoch: int,
        archives: Sequence[Archive],
    ) -> None:
        settings, undo = plan.config("bus", BusConfig), self._undo
        left = set_aside(plan.ring)
        archives = (*archives, *(EarlierRing(each) for each in self._images(left)))
        writer = ring_of(plan, settings, epoch)
        if writer is not None:
            undo.callback(writer.close)
        buffer = FrameBuffer() if writer is None else None
        kept = buffer if writer is None else writer
        assert kept is not None
        journal = journal_of(plan, settings, counters) if settings.star_journal_mib else None
        if journal is not None:
            self._record(
                journal, buffer, writer, left, IDLE_SECONDS if settings.ring_mib >= IDLE_MIB else PAUSE_SECONDS
            )
        else:
            for path in left:
                path.unlink(missing_ok=True)
        sender = sender_of(settings, epoch, context, counters)
        if sender is not None:
            undo.callback(sender.close)
        values = self._values(plan, epoch)
        publisher = Publisher(
            context,
            places.star,
            epoch=epoch,
            clock=clock,
            counters=counters,
            positions=Counters(POSITIONS, plan.positions_of(process)),
            buffer=buffer,
            tap=self._tap(sender),
            ring=writer,
            values=values,
            on_beat=partial(self._note_beat, values),
        )
        undo.callback(publisher.close)
        found = (*archives, *((journal,) if journal is not None else ()))
        self.serve(context, publisher, clock, kept, found, counters)
        undo.callback(self.replayer.close)
        if sender is not None:
            self.replayer.key_of = sender.answer

    def _tap(self, sender: MulticastSender | None) -> Callable[[bytes], object] | None:
        """What else becomes of each frame: multicast, and the mirror."""
        offers: list[Callable[[bytes], object]] = []
        if sender is not None:
            offers.append(sender.offer)
        if self._mirror is not None:
            offers.append(self._mirror.offer)
        if len(offers) < 2:
            return offers[0] if offers else None
        send, offer = offers

        def send_too(frame: bytes) -> None:
            send(frame)
            offer(frame)

        return send_too

    def _values(self, plan: Plan, epoch: int) -> LastValueWriter | None:
        """The table of last values; None: it cannot be had."""
        try:
            table = LastValueWriter(plan.last_values, LAST_VALUES, epoch)
        except (OSError, ValueError) as error:
            _LOGGER.warning("no table of last values: %s", error)
            return None
        self._undo.callback(table.close)
        return table

    def _note_beat(self, values: LastValueWriter | None, frame: bytes) -> None:
        self.beat = frame
        if values is not None:
            number, sent_ns = _BEAT.unpack_from(frame)
            values.put(HEARTBEAT_STREAM, frame[40:48], number, sent_ns)

    def _images(self, left: Sequence[Path]) -> Iterator[Reader]:
        """Rings that were set aside, for the replayer."""
        for path in left:
            image = image_of(path)
            if image is not None:
                self._undo.callback(image.close)
                yield image

    def _record(
        self,
        journal: StarJournal,
        buffer: FrameBuffer | None,
        ring: RingWriter | None,
        left: Sequence[Path],
        idle_seconds: float,
    ) -> None:
        """Write the journal from here on, and into it what it lacks of the rings of earlier lives.

        It looks every few milliseconds and is never woken: a write that has to wake somebody costs the hub a call.
        """
        if ring is None:
            assert buffer is not None
            self._undo.callback(Recorder(journal, BufferReader(buffer, oldest=True), left=left).close)
        else:
            source = RingReader(ring.path, oldest=True)
            self._undo.callback(source.close)
            self._undo.callback(Recorder(journal, source, left=left, idle_seconds=idle_seconds).close)

    def dial(self) -> zmq.Socket[bytes]:
        """A DEALER to the replayer, for another thread."""
        socket = new_socket(self._context, zmq.DEALER)
        try:
            socket.connect(replay_endpoint(self.publisher.endpoints[0]))
        except BaseException:
            socket.close()
            raise
        return socket

    def close(self) -> None:
        """Say where the streams ended, and close the sockets."""
        self._undo.close()


def open_hub(
    plan: Plan,
    name: str,
    context: zmq.Context[Any],
    clock: Callable[[], int],
    epoch: int,
    counters: Callable[[], Counters],
    *,
    standby: bool = False,
    on_state: Callable[[HubState, str], object] | None = None,
) -> Hub:
    """The hub that a process of a plan is, or stands by for: the process `name` has places of its own.

    Parameters
    ----------
    counters
        Those of the hub's process, asked for when it becomes active.
    """
    role, number = plan.process_of("marketdata"), plan.hubs.index(name)
    places = [hub_places(plan, each) for each in range(len(plan.hubs))]
    own = places.pop(number)

    def open_star(epoch: int, archives: Sequence[Archive]) -> Star:
        return Star(plan, role, own, context, clock, counters(), epoch, archives)

    hub = Hub(
        context,
        name,
        own,
        epoch=epoch,
        role=role,
        standby=standby,
        others=tuple(places),
        fence=HubFence(plan.directory) if places else None,
        automatic=bool(places),
        clock=clock,
        on_state=on_state,
        open_star=open_star,
        follow=plan.config("bus", BusConfig).transport != "ring",
    )
    if hub.registry is not None:
        hub.registry.on_describe = partial(_describe, plan)
    return hub


def _describe(plan: Plan, process: str) -> bytes:
    """What a process of the plan that runs on another host has to know of it."""
    return plan.encode() if any(process in (spec.name, *spec.engines) for spec in plan.processes) else b""


def hub_places(plan: Plan, number: int) -> HubPlaces:
    """What the first hub, or the one that stands by first, binds: sockets of this host, and TCP where it is to."""
    star, registry = [plan.star_of(number)], [plan.registry_of(number)]
    if plan.listens:
        star.append(tcp_place(plan.listen_address, HUB_PORTS * number))
        registry.append(tcp_place(plan.listen_address, HUB_PORTS * number + REGISTRY_PORT))
    found = tuple(registry) if plan.has_registry else ()
    return HubPlaces(tuple(star), found, host=plan.host)


def ring_of(plan: Plan, settings: BusConfig, epoch: int) -> RingWriter | None:
    """The ring that the hub writes, which keeps its last frames also where nobody reads them there; None: none."""
    try:
        return RingWriter(plan.ring, capacity=settings.ring_mib << 20, epoch=epoch)
    except (OSError, ValueError) as error:
        _LOGGER.warning(
            "no ring of %d MiB for market data: %s; readers take them over ZeroMQ", settings.ring_mib, error
        )
        return None


def sender_of(settings: BusConfig, epoch: int, context: zmq.Context[Any], counters: Counters) -> MulticastSender | None:
    """What sends the star by multicast; None: it is not to be, or cannot be."""
    place = settings.multicast_place
    if place is None:
        return None
    try:
        return MulticastSender(place, epoch, security=getattr(context, "security", None), counters=counters)
    except EndpointError as error:
        _LOGGER.warning("market data are not sent by multicast: %s", error)
        return None


def multicast_of(plan: Plan, counters: Counters) -> MulticastReader | None:
    """What reads the star by multicast; None: it is not to be, or cannot be."""
    settings = plan.config("bus", BusConfig)
    place = settings.multicast_place
    if place is None or (settings.transport == "ring" and not plan.joined):
        return None
    try:
        return MulticastReader(place, counters=counters)
    except EndpointError as error:
        _LOGGER.warning("market data are not read by multicast: %s", error)
        return None


def journal_of(plan: Plan, settings: BusConfig, counters: Counters) -> StarJournal | None:
    """The star's journal on disk; None: it cannot be had."""
    failing = counters.gauge("star.journal_failing")

    def trouble(error: OSError | None) -> None:
        counters.set(failing, error is not None)
        if error is not None:
            _LOGGER.warning("market data are not kept on disk: %s", error)
        else:
            _LOGGER.info("market data are kept on disk again")

    total = settings.star_journal_mib << 20
    try:
        journal = StarJournal(
            Path(plan.data, "star"),
            segment_bytes=max(min(16 << 20, total // 8), 1 << 16),
            total_bytes=total,
            on_trouble=trouble,
        )
    except OSError as error:
        trouble(error)
        return None
    for torn in journal.torn:
        _LOGGER.warning("market data on disk were cut at %s", torn)
    return journal


def subscribe(
    plan: Plan,
    process: str,
    context: zmq.Context[Any],
    topics: Sequence[Topic],
    clock: Callable[[], int],
    counters: Counters,
    log: BusLog,
    patience_ns: int = 0,
) -> Subscriber:
    """A reader of these topics, which begins with images of their streams."""
    settings = plan.config("bus", BusConfig)
    return Subscriber(
        context,
        plan.stars,
        topics,
        clock=clock,
        on_gap=log.on_star_gap,
        on_epoch=log.on_star_epoch,
        counters=counters,
        positions=Counters(POSITIONS, plan.positions_of(process)),
        replay=[replay_endpoint(each) for each in plan.stars],
        images=True,
        ring=plan.ring if settings.transport == "ring" and not plan.joined else None,
        multicast=multicast_of(plan, counters),
        compression=settings.compression if plan.joined else "",
        on_way=log.on_star_way,
        patience_ns=patience_ns,
    )
