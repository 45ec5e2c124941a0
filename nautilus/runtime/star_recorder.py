"""Writes what the star carries into the catalog: one more reader of the star, in a process of its own.

::

    hub ──▶ ring or ZeroMQ ──▶ recorder ──▶ catalog: log (durable), then Parquet
               ▲                  │
               └── replayer ◀─────┘  what it missed, or what came while it was dead

Each record has its place in its stream (epoch, stream, sequence). The catalog keeps, in the same transaction as the
records, how far it has each stream; so a recorder that was killed goes on behind the last record that is stored, and
nothing is stored twice. The feed never waits: what the catalog has no room for stays in the ring, then in the hub's
journal of the star.

What nobody has any more is a row of the catalog's table ``recorder_gaps``, and counted. At its start, and when a hub
begins anew, it asks where the lives of the hub since the last one that it knows ended, and for what it lacks of them.

A stream of facts has those of many symbols: the catalog keeps the number of the last fact of each (origin
``star:EPOCH/STREAM``), and as a mark of that origin how far the stream was taken.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Final, Protocol

import numpy as np
import zmq

from nautilus.bus.asking import Found, ReplayError, ReplayTimeoutError
from nautilus.bus.base import (
    BY_KIND,
    HEADER,
    HEADER_BYTES,
    HEARTBEAT_STREAM,
    MAGIC,
    MOST,
    FrameFlag,
)
from nautilus.bus.requests import Answer, Status
from nautilus.core.counters import Counters
from nautilus.model.errors import NautilusError
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import FactFlag
from nautilus.model.records import Records
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.recorded_gaps import Gaps
from nautilus.runtime.recorded_streams import (
    FACTS,
    ORIGIN,
    RECORDED,
    RECORDS,
    FactGroup,
    Owners,
    fact_groups,
    key_of,
    origin_of,
    taken_of,
)
from nautilus.store.catalog_open import AnyWriter

BATCH: Final = 512
"""Frames looked at in a turn."""
FLUSH_NS: Final = 1_000_000_000
"""Between acknowledgements: then what was handed in survives the machine."""
ASK_AGAIN_NS: Final = 1_000_000_000
"""After a question that nobody answered."""
BATCH_BYTES: Final = 1 << 20
MOST_WAITING: Final = 64 << 20
"""Bytes that wait for room in the catalog; what is more is left where it is."""
FINISH_NS: Final = 3 * FLUSH_NS
TO_THE_END: Final = MOST - 2
"""Last record to ask for where all there are are wanted; the replayer answers with the number behind it."""
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
Ends = Callable[[int], Answer]
"""(epoch): where that life of the hub ended, and which one followed; raises `ReplayTimeoutError`."""


class Batch:
    """Records of one stream on their way to the catalog, in pieces of at most about `BATCH_BYTES` together.

    Attributes
    ----------
    parts : each with the number of its first record.
    groups : of facts, what is still to be handed in; None: it is not known yet.
    kept : of facts, how far the catalog had those of each key at first.
    """

    __slots__ = ("count", "epoch", "groups", "kept", "last", "parts", "size", "stream")

    def __init__(self, epoch: int, stream: int, kept: Mapping[tuple[str, str], int]) -> None:
        self.epoch, self.stream, self.kept = epoch, stream, kept
        self.last = self.count = self.size = 0
        self.parts: list[tuple[int, Records]] = []
        self.groups: deque[FactGroup] | None = None

    def add(self, first: int, records: Records) -> None:
        """Take in what follows."""
        self.parts.append((first, records))
        self.last = first + len(records) - 1
        self.count += len(records)
        self.size += records.nbytes


class Life:
    """How far the streams of one life of the hub were taken.

    Attributes
    ----------
    lasts : last record of a stream that was taken, or is stored from before.
    kept : what the catalog had of it at first, by kind and key; of facts by their stream.
    told : last record of a stream that there is known to be.
    tails : streams whose end is still to be asked for; of a life that is over.
    """

    def __init__(self, epoch: int, kept: Mapping[tuple[str, str], int]) -> None:
        self.epoch, self.kept = epoch, kept
        self.kept_facts: dict[int, Mapping[tuple[str, str], int]] = {}
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
    ends
        Where earlier lives of the hub ended; None: nobody knows.
    counters
        Table to keep ``recorder.records``, ``durable``, ``lost``, ``recovered``, ``unknown``, ``waiting``,
        ``unanswered`` (questions that are asked again), ``missing`` (known of, and not had yet), ``ends_unknown``
        (lives of the hub of which nobody knows where they ended), ``cut`` (facts with a text that did not fit its
        column), ``malformed`` and ``outdated`` (frames) in.
    """

    def __init__(
        self,
        writer: AnyWriter,
        stored: Callable[[str], Mapping[tuple[str, str], int]],
        instruments: Mapping[int, Instrument],
        frames: Frames,
        ask: Ask,
        counters: Counters,
        ends: Ends | None = None,
    ) -> None:
        self._writer = writer
        self._stored = stored
        self._owners = Owners(instruments.values())
        self._frames = frames
        self._ask = ask
        self._ends = ends
        self._unasked: deque[int] = deque()  # lives of which it is not known where they ended
        self._marked = 0
        self._life = Life(0, {})
        self._before: deque[Life] = deque()
        self._ask_ns = 0
        self._pending: deque[Batch] = deque()
        self._pending_bytes = 0
        self._counters = counters
        self._numbers = {
            name: counters.counter(f"recorder.{name}")
            for name in ("records", "lost", "recovered", "unknown", "unanswered", "cut", "malformed", "outdated")
        }
        self._ends_unknown = counters.counter("recorder.ends_unknown")
        self._missing = counters.gauge("recorder.missing")
        self._gaps = Gaps(writer)
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
            if (self._before or self._unasked) and not self._pending:
                self._ask_for_tails()
                done += self._hand_in()
            if self._marked != self._life.epoch and not (self._before or self._unasked or self._pending):
                # All of the lives before this one: the next recorder begins to ask with this one.
                self._marked = self._life.epoch
                self._gaps.begin(self._marked)
                self._gaps.hand_in()
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
        unread, missing, counts = self._frames.lag, self._count_missing(), self._writer.counts
        adrift = max(counts.appended - counts.durable, 0)
        if waiting or unread or missing or adrift:
            _LOGGER.error(
                "stopped with %d records, %d bytes of the ring, %d records that nobody sent again and %d that could not"
                " be written not in the catalog", waiting, unread, missing, adrift,
            )  # fmt: skip
        return waiting + unread + missing + adrift

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
        self._counters.set(self._missing, self._count_missing())

    def _count_missing(self) -> int:
        """Records that there are known to be, and that nobody has sent again yet."""
        lives = (self._life, *self._before)
        return sum(max(last - life.lasts.get(each, 0), 0) for life in lives for each, last in life.told.items())

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
        if schema not in RECORDED or layout is None or size < layout.record_size:
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
        known = before.epoch or taken_of(self._stored(ORIGIN))
        if self._ends is not None and 0 < known < epoch and known not in self._unasked:
            self._unasked.append(known)
        self._life = Life(epoch, self._stored(origin_of(epoch)))

    def _ask_for_ends(self) -> bool:
        """Learn where earlier lives of the hub ended, one after the other; False: it is to be asked again."""
        while self._unasked and self._ends is not None:
            if monotonic_ns() < self._ask_ns:
                return False
            epoch = self._unasked[0]
            try:
                answer = self._ends(epoch)
            except (ReplayTimeoutError, zmq.ZMQError) as error:
                self._ask_ns = monotonic_ns() + ASK_AGAIN_NS
                self._counters.add(self._numbers["unanswered"], 1)
                _LOGGER.warning("where life %d of the hub ended: %s", epoch, error)
                return False
            self._unasked.popleft()
            if not answer.status & Status.KNOWN:
                self._counters.add(self._ends_unknown, 1)
                self._gaps.add_unknown(epoch)
                _LOGGER.error("nobody knows any more what life %d of the hub said last", epoch)
            life = next((each for each in self._before if each.epoch == epoch), None)
            if life is None:
                life = Life(epoch, self._stored(origin_of(epoch)))
                self._before.append(life)
            for stream, last in answer.rows:
                if stream >> 32 in RECORDED:
                    self._last(life, stream)
                    life.told[stream] = max(life.told.get(stream, 0), last)
            known = life.lasts.keys() | life.told.keys()
            if answer.status & Status.KNOWN:  # there is no more than that
                known = {each for each in known if life.told.get(each, 0) > life.lasts.get(each, 0)}
            life.tails = sorted(known)
            if 0 < answer.next_epoch < self._life.epoch:
                self._unasked.appendleft(answer.next_epoch)
        return True

    def _ask_for_tails(self) -> None:
        """Ask for what earlier lives of the hub said last."""
        if not self._ask_for_ends():
            return
        while self._before:
            life = self._before[0]
            while life.tails:
                if not self._fill(life, life.tails[-1], TO_THE_END, life.told.get(life.tails[-1], 0)):
                    return
                life.tails.pop()
            self._before.popleft()

    def _last(self, life: Life, stream: int) -> int:
        """The last record of a stream that was taken, or is stored from before."""
        last = life.lasts.get(stream)
        if last is None:
            if stream >> 32 in FACTS:
                life.kept_facts[stream] = kept = self._stored(origin_of(life.epoch, stream))
                last = taken_of(kept)
            else:
                owner = self._owners.of(stream)
                last = 0 if owner is None else life.kept.get((RECORDS.get(stream >> 32, ""), key_of(owner)), 0)
            life.lasts[stream] = last
        return last

    def _fill(self, life: Life, stream: int, upto: int, told: int | None = None) -> bool:
        """Ask for what is missing of a stream up to this record; False: it is to be asked again.

        What the replayer says is gone is lost, and counted, as far as there is known to be something (`told`). Where
        nobody answers, or the catalog has no room, it stays missing, and nothing behind it is taken.
        """
        if stream >> 32 not in RECORDED or self._last(life, stream) >= upto:
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
        last = self._last(life, stream)
        self._gaps.add(life.epoch, stream, self._owners.of(stream), last + 1, last + count)
        life.lasts[stream] = last + count
        self._counters.add(self._numbers["lost"], count)
        _LOGGER.error("%d records of stream %x are nowhere any more, and not in the catalog", count, stream)

    def _add(self, life: Life, stream: int, first: int, records: Records) -> int:
        """Records of a stream from this number on, without what was taken before; how many."""
        known = self._last(life, stream) + 1 - first
        if known >= len(records):
            return 0
        first, records = first + max(known, 0), records[max(known, 0) :]
        life.lasts[stream] = first + len(records) - 1
        if stream >> 32 in FACTS:
            self._counters.add(self._numbers["cut"], int(np.count_nonzero(records["flags"] & FactFlag.CUT)))
        elif self._owners.of(stream) is None:
            self._counters.add(self._numbers["unknown"], len(records))
            return 0
        batch = self._pending[-1] if self._pending else None
        same = batch is not None and (batch.epoch, batch.stream, batch.groups) == (life.epoch, stream, None)
        if batch is None or not same or batch.size >= BATCH_BYTES:
            batch = Batch(life.epoch, stream, life.kept_facts.get(stream, {}))
            self._pending.append(batch)
        batch.add(first, records)
        self._pending_bytes += records.nbytes
        return len(records)

    def _hand_in(self) -> int:
        """Give the catalog what waits, in order, as far as it has room."""
        done = 0
        while self._gaps.hand_in() and self._pending:
            batch = self._pending[0]
            if not (self._hand_in_facts(batch) if batch.stream >> 32 in FACTS else self._hand_in_records(batch)):
                break
            self._pending.popleft()
            self._pending_bytes -= batch.size
            self._counters.add(self._numbers["records"], batch.count)
            done += 1
        self._counters.set(self._waiting, sum(batch.count for batch in self._pending))
        return done

    def _hand_in_records(self, batch: Batch) -> bool:
        owner, kind = self._owners.of(batch.stream), RECORDS[batch.stream >> 32]
        if len(batch.parts) > 1 or not batch.parts[0][1].flags.c_contiguous:
            batch.parts = [(batch.parts[0][0], np.concatenate([records for _, records in batch.parts]))]
        return self._writer.append(owner, kind, batch.parts[0][1], origin=origin_of(batch.epoch), position=batch.last)

    def _hand_in_facts(self, batch: Batch) -> bool:
        """Each key's facts with the number of the last of them, then how far the stream is taken with all of them."""
        origin = origin_of(batch.epoch, batch.stream)
        if batch.groups is None:
            groups, unfit = fact_groups(FACTS[batch.stream >> 32], batch.parts, batch.kept)
            batch.groups = deque(groups)
            self._counters.add(self._numbers["unknown"], unfit)
        while batch.groups:
            group = batch.groups[0]
            if not self._writer.append_facts(group.facts, origin=origin, position=group.position):
                return False
            batch.groups.popleft()
        return self._writer.mark(origin, batch.last, wait=False)


def _generated(found: Iterable[Found]) -> Generator[Found, None, None]:
    yield from found
