"""Writes what the star carries into the catalog: one more reader of the star, in a process of its own.

::

    hub ──▶ ring or ZeroMQ ──▶ recorder ──▶ catalog: log (durable), then Parquet
               ▲                  │
               └── replayer ◀─────┘  what it missed, or what came while it was dead

Each record has its place in its stream (epoch, stream, sequence). The catalog keeps, in the same transaction as the
records, how far it has each stream; so a recorder that was killed goes on behind the last record that is stored, and
nothing is stored twice. The feed never waits: what the catalog has no room for stays in the ring, then in the hub's
journal of the star.
"""

from __future__ import annotations

import contextlib
import logging
import select
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import zmq

from nautilus.bus import make_context
from nautilus.bus.asking import Found, ReplayClient, ReplayError, ReplayTimeoutError
from nautilus.bus.base import (
    BY_KIND,
    HEADER,
    HEADER_BYTES,
    HEARTBEAT_STREAM,
    MAGIC,
    MOST,
    FrameFlag,
    new_socket,
    replay_endpoint,
)
from nautilus.bus.compression import MARKED
from nautilus.bus.ring import RingReader
from nautilus.core.counters import Counters
from nautilus.model.errors import NautilusError
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.catalog_place import catalog_place
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.control import Control
from nautilus.runtime.market import instruments_of
from nautilus.runtime.plan import Plan
from nautilus.store.catalog_open import AnyWriter, on_server, open_catalog
from nautilus.store.catalog_settings import CatalogConfig

BATCH: Final = 512
"""Frames looked at in a turn."""
IDLE_SECONDS: Final = 0.01
FLUSH_NS: Final = 1_000_000_000
"""Between acknowledgements: then what was handed in survives the machine."""
ASK_AGAIN_NS: Final = 1_000_000_000
"""After a question that nobody answered."""
BATCH_BYTES: Final = 1 << 20
MOST_WAITING: Final = 64 << 20
"""Bytes that wait for room in the catalog; what is more is left where it is."""
FINISH_NS: Final = 3 * FLUSH_NS
QUEUE: Final = 100_000
"""Frames that wait in ZeroMQ, where there is no ring."""
_REAL_TIME: Final = "marketdata.real_time."
_KINDS: Final = {
    kind: layout.topic.name.removeprefix(_REAL_TIME)
    for kind, layout in BY_KIND.items()
    if layout.topic.name.startswith(_REAL_TIME)
}
"""Kinds of frames that are recorded, by their names in the catalog."""
_LASTS = np.dtype([("stream", "<u8"), ("last", "<u8")])
_LOGGER = logging.getLogger("nautilus.runtime")


class Frames(Protocol):
    """Where frames come from: a `RingReader`, or a `StarSocket`."""

    def drain(self, limit: int = ...) -> list[bytes]:
        """The next frames."""
        ...

    @property
    def lag(self) -> int:
        """Bytes that are there and were not taken."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


Ask = Callable[[int, int, int, int], Iterable[Found]]
"""(epoch, stream, first, last): records that were published, from who has them; raises `ReplayError`."""


class Batch:
    """Records of one stream on their way to the catalog, in pieces of at most about `BATCH_BYTES` together."""

    __slots__ = ("count", "epoch", "kind", "last", "parts", "size", "stream")

    def __init__(self, epoch: int, stream: int, kind: str) -> None:
        self.epoch, self.stream, self.kind = epoch, stream, kind
        self.last = self.count = self.size = 0
        self.parts: list[Records] = []

    def add(self, records: Records, last: int) -> None:
        """Take in what follows."""
        self.parts.append(records)
        self.last = last
        self.count += len(records)
        self.size += records.nbytes


class Life:
    """How far the streams of one life of the hub were taken.

    Attributes
    ----------
    lasts : last record of a stream that was taken, or is stored from before.
    kept : what the catalog had of it at first, by kind and key.
    told : last record of a stream that there is known to be.
    tails : streams whose end is still to be asked for; of a life that is over.
    """

    def __init__(self, epoch: int, kept: Mapping[tuple[str, str], int]) -> None:
        self.epoch, self.kept = epoch, kept
        self.lasts: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.tails: list[int] = []


class StarRecorder:
    """Reads frames and hands their records to the catalog, each once.

    Parameters
    ----------
    writer
        Of the catalog.
    stored
        (origin) -> {(kind, key): position}: what the catalog has of it already.
    instruments
        By id.
    frames, ask
        Where frames come from, and what is missing among them.
    counters
        Table to keep ``recorder.records``, ``durable``, ``lost``, ``recovered``, ``unknown``, ``waiting``,
        ``unanswered`` (questions that are asked again), ``malformed`` and ``outdated`` (frames) in.
    """

    def __init__(
        self,
        writer: AnyWriter,
        stored: Callable[[str], Mapping[tuple[str, str], int]],
        instruments: Mapping[int, Instrument],
        frames: Frames,
        ask: Ask,
        counters: Counters,
    ) -> None:
        self._writer = writer
        self._stored = stored
        self._instruments = dict(instruments)
        self._frames = frames
        self._ask = ask
        self._life = Life(0, {})
        self._before: deque[Life] = deque()
        self._ask_ns = 0
        self._pending: deque[Batch] = deque()
        self._pending_bytes = 0
        self._counters = counters
        self._numbers = {
            name: counters.counter(f"recorder.{name}")
            for name in ("records", "lost", "recovered", "unknown", "unanswered", "malformed", "outdated")
        }
        self._durable = counters.gauge("recorder.durable")
        self._waiting = counters.gauge("recorder.waiting")
        self._failing = counters.gauge("recorder.failing")
        self._flush_ns = 0
        self._trouble = ""

    def turn(self) -> int:
        """Take in frames and hand their records on; how many frames and batches that were. It never waits."""
        done = self._hand_in()
        if not self._pending:
            frames = self._frames.drain(BATCH)
            for frame in frames:
                self._take(frame)
            done += len(frames) + self._hand_in()
            if self._before and not self._pending:
                self._ask_for_tails()
                done += self._hand_in()
        if monotonic_ns() >= self._flush_ns:
            self.flush()
        return done

    def finish(self) -> int:
        """Take in what is left, hand it on as far as that goes within `FINISH_NS`, and acknowledge it.

        Returns 0 where all of it is in the catalog; else the log says what is not.
        """
        until_ns = monotonic_ns() + FINISH_NS
        while (self.turn() or self._pending) and monotonic_ns() < until_ns:
            if self._pending:
                self.flush()
        self.flush()
        waiting = sum(batch.count for batch in self._pending)
        unread = self._frames.lag
        if waiting or unread:
            _LOGGER.error("stopped with %d records and %d bytes of the ring not in the catalog", waiting, unread)
        return waiting + unread

    def flush(self) -> None:
        """Acknowledge: what was handed in survives the machine from here on."""
        self._flush_ns = monotonic_ns() + FLUSH_NS
        try:
            self._writer.flush()
        except NautilusError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _LOGGER.error("market data are not recorded for now: %s", error)
            self._counters.set(self._failing, 1)
        else:
            if self._trouble:
                self._trouble = ""
                _LOGGER.info("market data are recorded again")
            self._counters.set(self._failing, 0)
        self._counters.set(self._durable, self._writer.counts.durable)

    def _take(self, frame: bytes) -> None:
        if len(frame) < HEADER_BYTES:
            self._counters.add(self._numbers["malformed"], 1)
            return
        _, magic, schema, _, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
        if magic != MAGIC or len(frame) != HEADER_BYTES + size * count:
            self._counters.add(self._numbers["malformed"], 1)
            return
        if epoch < self._life.epoch:
            self._counters.add(self._numbers["outdated"], 1)
            return
        if epoch > self._life.epoch:
            self._begin(epoch)
        life = self._life
        if stream == HEARTBEAT_STREAM:
            # All before it has come: what a heartbeat tells of and was not here is missing.
            for row in np.frombuffer(frame, _LASTS, count, HEADER_BYTES).tolist():
                self._fill(life, *row)
            return
        layout = BY_KIND.get(schema)
        if schema not in _KINDS or layout is None or size < layout.record_size:
            self._counters.add(self._numbers["unknown"], count)
            return
        if not self._fill(life, stream, first - 1):
            # It comes with what is missing before it, when that is asked for again.
            life.told[stream] = max(life.told.get(stream, 0), first + count - 1)
            return
        records = np.ndarray((count,), layout.dtype, frame, HEADER_BYTES, (size,))
        self._add(life, stream, first, records)

    def _begin(self, epoch: int) -> None:
        """A life of the hub: what the catalog has of it is known by kind and key; of the one before, the end is due."""
        before = self._life
        if before.epoch:
            before.tails = sorted(before.lasts.keys() | before.told.keys())
            self._before.append(before)
        self._life = Life(epoch, self._stored(origin_of(epoch)))

    def _ask_for_tails(self) -> None:
        """Ask for what earlier lives of the hub said last."""
        while self._before:
            life = self._before[0]
            while life.tails:
                if not self._fill(life, life.tails[-1], MOST - 1, life.told.get(life.tails[-1], 0)):
                    return
                life.tails.pop()
            self._before.popleft()

    def _last(self, life: Life, stream: int) -> int:
        """The last record of a stream that was taken, or is stored from before."""
        last = life.lasts.get(stream)
        if last is None:
            instrument = self._instruments.get(stream & 0xFFFF_FFFF)
            kind = _KINDS.get(stream >> 32, "")
            last = life.kept.get((kind, key_of(instrument)), 0) if instrument is not None else 0
            life.lasts[stream] = last
        return last

    def _fill(self, life: Life, stream: int, upto: int, told: int | None = None) -> bool:
        """Ask for what is missing of a stream up to this record; False: it is to be asked again.

        What the replayer says is gone is lost, and counted, as far as there is known to be something (`told`). Where
        nobody answers, or the catalog has no room, it stays missing, and nothing behind it is taken.
        """
        if stream >> 32 not in _KINDS or self._last(life, stream) >= upto:
            return True
        told = upto if told is None else told
        life.told[stream] = max(life.told.get(stream, 0), told)
        if monotonic_ns() < self._ask_ns or self._pending_bytes > MOST_WAITING:
            return False
        try:
            with contextlib.closing(_generated(self._ask(life.epoch, stream, life.lasts[stream] + 1, upto))) as answer:
                for found in answer:
                    if found.flags & FrameFlag.SNAPSHOT:  # an image, of what is gone
                        break
                    missed = found.sequence - 1 - self._last(life, stream)
                    if missed > 0:
                        self._lose(life, stream, missed)
                    taken = self._add(life, stream, found.sequence, found.records)
                    self._counters.add(self._numbers["recovered"], taken)
                    self._hand_in()
                    if self._pending_bytes > MOST_WAITING:
                        return False
        except (ReplayTimeoutError, zmq.ZMQError) as error:
            self._ask_ns = monotonic_ns() + ASK_AGAIN_NS
            self._counters.add(self._numbers["unanswered"], 1)
            _LOGGER.warning("records from %d of stream %x: %s", self._last(life, stream) + 1, stream, error)
            return False
        except ReplayError as error:
            if told > self._last(life, stream):
                _LOGGER.warning("records from %d of stream %x: %s", self._last(life, stream) + 1, stream, error)
        left = told - self._last(life, stream)
        if left > 0:
            self._lose(life, stream, left)
        return True

    def _lose(self, life: Life, stream: int, count: int) -> None:
        life.lasts[stream] = self._last(life, stream) + count
        self._counters.add(self._numbers["lost"], count)
        _LOGGER.error("%d records of stream %x are nowhere any more, and not in the catalog", count, stream)

    def _add(self, life: Life, stream: int, first: int, records: Records) -> int:
        """Records of a stream from this number on, without what was taken before; how many."""
        known = self._last(life, stream) + 1 - first
        if known >= len(records):
            return 0
        records = records[max(known, 0) :]
        last = life.lasts[stream] = first + max(known, 0) + len(records) - 1
        if (stream & 0xFFFF_FFFF) not in self._instruments:
            self._counters.add(self._numbers["unknown"], len(records))
            return 0
        batch = self._pending[-1] if self._pending else None
        if batch is None or (batch.epoch, batch.stream) != (life.epoch, stream) or batch.size >= BATCH_BYTES:
            batch = Batch(life.epoch, stream, _KINDS[stream >> 32])
            self._pending.append(batch)
        batch.add(records, last)
        self._pending_bytes += records.nbytes
        return len(records)

    def _hand_in(self) -> int:
        """Give the catalog what waits, in order, as far as it has room."""
        done = 0
        while self._pending:
            batch = self._pending[0]
            instrument = self._instruments[batch.stream & 0xFFFF_FFFF]
            if len(batch.parts) > 1 or not batch.parts[0].flags.c_contiguous:
                batch.parts = [np.concatenate(batch.parts)]
            records = batch.parts[0]
            origin = origin_of(batch.epoch)
            if not self._writer.append(instrument, batch.kind, records, origin=origin, position=batch.last):
                break
            self._pending.popleft()
            self._pending_bytes -= batch.size
            self._counters.add(self._numbers["records"], len(records))
            done += 1
        self._counters.set(self._waiting, sum(batch.count for batch in self._pending))
        return done


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


def _generated(found: Iterable[Found]) -> Generator[Found, None, None]:
    yield from found


def origin_of(epoch: int) -> str:
    """Name of a life of the hub as a source of the catalog."""
    return f"star:{epoch}"


def key_of(instrument: Instrument) -> str:
    """An instrument's key in the catalog."""
    from nautilus.store.catalog_instruments import describe

    return describe(instrument).key


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

        known = {each.instrument_id: each for each in instruments}
        yield StarRecorder(writer, catalog.positions, known, frames, ask, counters)


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
