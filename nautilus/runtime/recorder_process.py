"""The recorder's process: opens catalog, star and replayer, and records until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import select
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import zmq

from nautilus.bus import make_context
from nautilus.bus.asking import Found, ReplayClient, ReplayError, ReplayTimeoutError
from nautilus.bus.base import new_socket, replay_endpoint
from nautilus.bus.compression import MARKED
from nautilus.bus.requests import Answer, Status
from nautilus.bus.ring import RingReader
from nautilus.core.counters import Counters
from nautilus.model.errors import NautilusError
from nautilus.model.instrument import Instrument
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.catalog_place import catalog_place
from nautilus.runtime.control import Control
from nautilus.runtime.market import instruments_of
from nautilus.runtime.plan import Plan
from nautilus.runtime.star_recorder import BATCH, Frames, StarRecorder
from nautilus.store.catalog_open import AnyWriter, on_server, open_catalog
from nautilus.store.catalog_settings import CatalogConfig

IDLE_SECONDS: Final = 0.01
QUEUE: Final = 100_000
"""Frames that wait in ZeroMQ, where there is no ring."""
_LOGGER = logging.getLogger("nautilus.runtime")


class StarSocket:
    """Frames of the star over ZeroMQ, where there is no ring."""

    def __init__(self, context: zmq.Context[Any], endpoints: Iterable[str]) -> None:
        self._socket = new_socket(context, zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, QUEUE)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        for endpoint in endpoints:
            self._socket.connect(endpoint)

    def drain(self, limit: int = BATCH) -> list[bytes]:
        """The next frames."""
        frames: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while len(frames) < limit:
                frame = self._socket.recv(zmq.NOBLOCK)
                if not frame or frame[0] not in MARKED:  # those come once more, compressed, for others
                    frames.append(frame)
        return frames

    @property
    def lag(self) -> int:
        """Nobody tells; `drain` says that nothing waits."""
        return 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)


@contextlib.contextmanager
def open_recorder(
    place: str,
    settings: CatalogConfig,
    stars: Sequence[str],
    ring: str | Path | None,
    instruments: Iterable[Instrument],
    counters: Counters,
) -> Iterator[StarRecorder]:
    """A recorder of a star into a catalog; at the end all that it took in is in files.

    Parameters
    ----------
    place, settings
        Of the catalog: a directory, or ``postgresql://...``.
    stars
        Endpoints of the star, of which one is that of the hub.
    ring
        File of the ring; None: frames come over ZeroMQ.
    """
    if not on_server(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        context = make_context()
        undo.callback(context.destroy, 0)
        catalog = open_catalog(place, settings)
        undo.callback(catalog.close)
        writer = catalog.writer(lambda error: _LOGGER.error("catalog: %s", error))
        undo.callback(_close, writer)
        for notice in writer.notices:
            _LOGGER.warning("catalog: %s: %s", notice.where, notice.what)

        frames: Frames = RingReader(ring, oldest=True) if ring is not None else StarSocket(context, stars)
        undo.callback(frames.close)

        def ask(epoch: int, stream: int, first: int, last: int) -> Iterator[Found]:
            error: ReplayError | None = None
            for star in stars:
                with ReplayClient(context, replay_endpoint(star), timeout_seconds=1.0) as client:
                    try:
                        yield from client.replay(epoch, stream, first, last)
                    except ReplayError as found:
                        # Who does not answer may have them, whatever others say.
                        if not isinstance(error, ReplayTimeoutError):
                            error = found
                    else:
                        return
            if error is not None:
                raise error

        def ends(epoch: int) -> Answer:
            unknown: Answer | None = None
            for star in stars:
                with (
                    contextlib.suppress(ReplayTimeoutError),
                    ReplayClient(context, replay_endpoint(star), timeout_seconds=1.0) as client,
                ):
                    answer = client.end(epoch)
                    if answer.status & Status.KNOWN:
                        return answer
                    unknown = answer
            if unknown is None:
                raise ReplayTimeoutError("no answer", where="replayer", expected="an instance whose hub runs")
            return unknown

        known = {each.instrument_id: each for each in instruments}
        yield StarRecorder(writer, catalog.positions, known, frames, ask, counters, ends)


def run_recorder(plan: Plan, name: str, control: Control) -> int:
    """Record market data until told to stop, and then to the end of what the hub said; the exit code."""
    rings = plan.config("bus", BusConfig).transport == "ring" and not plan.joined
    with open_recorder(
        catalog_place(plan),
        plan.config("catalog", CatalogConfig),
        plan.stars,
        plan.ring if rings else None,
        instruments_of(plan),
        Counters(path=plan.counters_of(name)),
    ) as recorder:
        control.ready({})
        while not control.stop_requested:
            done = recorder.turn()
            if select.select([control.fileno()], [], [], 0 if done else IDLE_SECONDS)[0]:
                control.poll()
        recorder.finish()
    return 0


def _close(writer: AnyWriter) -> None:
    try:
        writer.close()
    except NautilusError as error:
        _LOGGER.error("market data that were not recorded: %s", error)
