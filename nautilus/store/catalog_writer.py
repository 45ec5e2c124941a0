"""The one writer of a catalog: what is handed in goes through a bounded queue into the log, and from there to Parquet.

::

    append → queue → [log thread: one write, fdatasync] → segment → [publishing thread: Parquet, list]

`append` copies and returns; it never waits for a disk unless it is asked to.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nautilus.core.clock import now_ns
from nautilus.model.datasets import Fact
from nautilus.store.catalog_facts import check_table, encode_facts, encode_table, fact_key, fact_time
from nautilus.store.catalog_instruments import StoredInstrument, describe, named
from nautilus.store.catalog_kinds import (
    KINDS,
    TABLE,
    CatalogError,
    CatalogFullError,
    QueryError,
    Records,
    fact_kind,
    record_kind,
)
from nautilus.store.catalog_lock import take_lock
from nautilus.store.catalog_log import (
    DIRECTORY,
    FACTS,
    MARK,
    RECORDS,
    Batch,
    Damage,
    Segment,
    Stream,
    layout_of,
    segments,
)
from nautilus.store.catalog_log import TABLE as TABLE_BATCH
from nautilus.store.catalog_manifest import Manifest, OriginKey
from nautilus.store.catalog_parts import arrow, unlisted
from nautilus.store.catalog_publish import LAST_SEQUENCE, MARKED, SEGMENT, publish_segment
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_upkeep import compact, purge

if TYPE_CHECKING:
    import pyarrow as pa

RETRY_SECONDS: Final = 0.25
"""Between two tries where the disk was full."""
MOST_BATCHES: Final = 128
"""Taken from the queue for one write."""
PATIENCE_SECONDS: Final = 600.0
EMPTY: Final = StoredInstrument("-", "-")


class Counts(msgspec.Struct):
    """What a writer did since it was opened.

    Parameters
    ----------
    appended, refused, repeated
        Rows that were accepted, those that found the queue full, and those whose origin had them stored before.
    durable, published
        Rows that survive the machine, and those that readers see.
    """

    appended: int = 0
    refused: int = 0
    repeated: int = 0
    durable: int = 0
    published: int = 0
    segments: int = 0
    errors: int = 0


class CatalogWriter:
    """The writer. Any thread may hand in; order is that of the calls.

    Parameters
    ----------
    root
        Directory of the catalog; made where it is missing.
    config
        Settings.
    on_error
        Called, on a thread of the writer, with each new error: a full disk once until there was room again.

    Raises
    ------
    CatalogBusyError
        Another process, or another writer of this one, has it.
    """

    def __init__(
        self,
        root: str | Path,
        config: CatalogConfig | None = None,
        on_error: Callable[[Exception], object] = lambda error: None,
    ) -> None:
        arrow()
        self.root = Path(root)
        self.config = config or CatalogConfig()
        self.counts = Counts()
        self.notices: list[Damage] = []
        """What was found wrong in the log of a writer before, or left behind by it."""
        self._on_error = on_error
        self._lock = take_lock(self.root)
        try:
            self._manifest = Manifest(self.root, write=True)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._open()
        except BaseException:
            self._manifest.close()
            os.close(self._lock)
            raise

    def _open(self) -> None:
        self._guard = threading.Lock()
        self._work = threading.Condition(self._guard)
        self._done = threading.Condition(self._guard)
        self._publishing = threading.Condition(self._guard)
        self._queue: deque[Batch] = deque()
        self._queued_bytes = 0
        self._most_bytes = self.config.queue_mib << 20
        # Batches are counted, so that a flush knows what it waits for.
        self._accepted = self._written = self._durable = self._published = 0
        self._rows: deque[tuple[int, int]] = deque()
        self._seal_wanted = self._sync_wanted = 0
        self._sealed: deque[tuple[int, int]] = deque()
        self._closing = self._log_ended = False
        self._full: CatalogFullError | None = None
        self._publish_full: CatalogFullError | None = None
        self._failed: Exception | None = None
        self._streams: dict[tuple[Any, ...], Stream] = {}
        self._kept_alive: list[Any] = []
        self._segment: Segment | None = None
        self._begun_ns = 0
        self._recover()
        self._positions: dict[OriginKey, int] = self._manifest.positions()
        self._next_sequence = self._manifest.number(LAST_SEQUENCE) + 1
        self._number = self._manifest.number(SEGMENT) + 1
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=f"catalog-{name}", daemon=True)
            for name, work in (("log", self._log), ("publish", self._publish))
        ]
        for thread in self._threads:
            thread.start()

    def _recover(self) -> None:
        """Publish what a writer before has left in its log, and take away what it has not finished."""
        for place, unfinished in list(unlisted(self.root, KINDS, self._manifest.paths())):
            what = "a file that was never finished" if unfinished else "a file that is not on the list"
            self.notices.append(Damage(str(place), f"{what}, taken away"))
            place.unlink(missing_ok=True)
        for number in segments(self.root):
            publish_segment(self.root, self._manifest, number, self.config, self.notices)
        purge(self.root, self._manifest)

    # Handing in.

    def append(
        self,
        instrument: Any,
        kind: str,
        records: Records,
        *,
        origin: str = "",
        position: int = 0,
        wait: bool = False,
    ) -> bool:
        """Hand in records of one kind and instrument; they are copied.

        Parameters
        ----------
        instrument
            An `Instrument`, the hint of a recording, a `StoredInstrument`, or whatever has `symbol`, `venue`,
            `price_increment` and `lot_size`: the steps that the records count in.
        kind
            ``quote``, ``trade``, ``book``, ``auction``, ``bar``, ``flow``, ``tick``, ``quarantine``.
        records
            Array of the kind's dtype. Their order is kept among those of one time.
        origin, position
            Where they are from, such as ``sha256:...``, and how far that is read with them, rising from 1: what is not
            beyond the position of this origin, kind and instrument is stored already, and passed over.
        wait
            Wait for room instead of refusing.

        Returns
        -------
        bool
            False: the queue is full; they were refused, and counted.

        Raises
        ------
        CatalogError
            The writer is closed or has failed, or the instrument is malformed.
        QueryError
            No such kind, or records of another dtype.
        """
        stream = self._stream(kind, instrument, origin)
        dtype = record_kind(kind).dtype
        if records.dtype is not dtype and records.dtype != dtype:
            raise QueryError(f"records of {records.dtype.names} for kind {kind!r}", expected=f"{dtype.names}")
        return self._hand_in(RECORDS, stream, records.tobytes(), len(records), position, wait)

    def append_facts(self, facts: Sequence[Fact], *, origin: str = "", position: int = 0, wait: bool = False) -> bool:
        """Hand in facts of providers, of any kinds and symbols; as `append`. All are accepted, or none."""
        groups: dict[tuple[str, str], list[Fact]] = {}
        for fact in facts:
            groups.setdefault((fact_kind(fact), fact_key(fact).key), []).append(fact)
        batches = []
        for (kind, _), some in groups.items():
            owner = fact_key(some[0])
            key = (kind, owner.key, origin)
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = Stream(kind, owner, origin, time=fact_time(kind))
            batches.append((FACTS, stream, encode_facts(some), len(some), position))
        return self._hand_in_all(batches, wait)

    def append_table(
        self, name: str, table: pa.Table, *, time: str = "", origin: str = "", position: int = 0, wait: bool = False
    ) -> bool:
        """Hand in rows of a table of one's own; as `append`.

        Parameters
        ----------
        name
            Of the table.
        table
            Its schema may differ from that of rows before: columns that lack are null.
        time
            Its column of nanoseconds UTC, int64, where it has one.
        """
        check_table(name, table, time)
        stream = Stream(TABLE, named(name), origin, time=time)
        return self._hand_in(TABLE_BATCH, stream, encode_table(table), len(table), position, wait)

    def mark(self, origin: str, position: int, *, wait: bool = True) -> bool:
        """Say how far a source is read, behind everything that was handed in before: `position` answers it."""
        return self._hand_in(MARK, Stream("", EMPTY, origin), b"", 0, position, wait)

    def position(self, origin: str) -> int:
        """How far a source was handed in: as marked, else the least of its streams; 0: nothing of it."""
        with self._guard:
            return position_of(self._positions, origin)

    def _stream(self, kind: str, instrument: Any, origin: str) -> Stream:
        key = (kind, instrument if isinstance(instrument, StoredInstrument | str) else id(instrument), origin)
        found = self._streams.get(key)
        if found is None:
            described = record_kind(kind)
            owner = self._known(instrument) if isinstance(instrument, str) else describe(instrument)
            if not owner.price_increment or not owner.lot_size:
                raise CatalogError(f"{owner.key} has no steps", expected="price_increment and lot_size")
            found = Stream(kind, owner, origin, layout_of(described.dtype), described.time)
            if not isinstance(instrument, StoredInstrument | str):
                # Its id stands for it as long as it lives.
                self._kept_alive.append(instrument)
            self._streams[key] = found
        return found

    def _known(self, key: str) -> StoredInstrument:
        for each in self._manifest.instruments():
            if each.key == key:
                return each
        raise CatalogError(f"instrument {key!r} is not known here", expected="its description, the first time")

    def _hand_in(self, kind: int, stream: Stream, payload: bytes, count: int, position: int, wait: bool) -> bool:
        return self._hand_in_all([(kind, stream, payload, count, position)], wait)

    def _hand_in_all(self, items: Sequence[tuple[int, Stream, bytes, int, int]], wait: bool) -> bool:
        size = sum(len(payload) for _, _, payload, _, _ in items)
        rows = sum(count for _, _, _, count, _ in items)
        with self._guard:
            self._check()
            # One hand-over may be larger than the queue, where that is empty.
            while self._queued_bytes and self._queued_bytes + size > self._most_bytes:
                if not wait:
                    self.counts.refused += rows
                    return False
                self._done.wait(PATIENCE_SECONDS)
                self._check()
            for kind, stream, payload, count, position in items:
                if position and stream.origin:
                    where = MARKED if kind == MARK else (stream.kind, stream.instrument.key)
                    key = (stream.origin, *where)
                    if position <= self._positions.get(key, 0):
                        self.counts.repeated += count
                        continue
                    self._positions[key] = position
                self._queue.append(Batch(kind, stream, payload, count, self._next_sequence, position))
                self._queued_bytes += len(payload)
                self._next_sequence += count
                self._accepted += 1
                self._rows.append((self._accepted, count))
                self.counts.appended += count
            self._work.notify()
        return True

    def _check(self) -> None:
        if self._failed is not None:
            raise CatalogError(f"the writer has failed: {self._failed}", where=str(self.root), expected="a new one")
        if self._closing:
            raise CatalogError("the writer is closed", where=str(self.root))

    def compact(self, kinds: Sequence[str] = (), instruments: Sequence[str] | None = None) -> int:
        """Make one file of each day's many, as far as they are published; how many files were replaced."""
        return compact(self.root, self._manifest, self.config, kinds, instruments)

    # Acknowledging.

    def flush(self, *, publish: bool = False, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once all that was accepted before survives the machine; with `publish`, once readers see it.

        Raises
        ------
        CatalogFullError
            The disk is full: it is in memory or in the log still, and goes on when there is room.
        CatalogError
            It cannot be made durable, or took too long.
        """
        with self._guard:
            self._check()
            target = self._accepted
            self._sync_wanted = max(self._sync_wanted, target)
            if publish:
                self._seal_wanted = max(self._seal_wanted, target)
            self._work.notify()
            self._publishing.notify()
            self._wait_for(target, publish, timeout_seconds)

    def _wait_for(self, target: int, publish: bool, timeout_seconds: float) -> None:
        def reached() -> bool:
            return (self._published if publish else self._durable) >= target

        def stuck() -> Exception | None:
            return self._failed or self._full or (self._publish_full if publish else None)

        # An error of before may be over: it counts once it was seen again.
        tries = self.counts.errors
        if not self._done.wait_for(
            lambda: reached() or (stuck() is not None and self.counts.errors > tries), timeout_seconds
        ):
            raise CatalogError(
                "a flush takes too long", where=str(self.root), expected=f"{timeout_seconds:g} s at most"
            )
        if not reached():
            error = stuck()
            assert error is not None
            raise error

    def close(self, *, publish: bool = True) -> None:
        """Flush, publish, and give the catalog back.

        Raises
        ------
        CatalogFullError
            There was no room: what the log has is published by the next writer, what it has not is lost.
        """
        with self._guard:
            if self._closing:
                return
        try:
            if self._failed is None:
                self.flush(publish=publish)
        finally:
            with self._guard:
                self._closing = True
                self._work.notify()
                self._publishing.notify()
            for thread in self._threads:
                thread.join(PATIENCE_SECONDS)
            self._manifest.close()
            os.close(self._lock)

    def __enter__(self) -> CatalogWriter:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self.close()

    # The threads.

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._tell(error)
            with self._guard:
                self._failed = error
                self._done.notify_all()
                self._work.notify()
                self._publishing.notify()

    def _tell(self, error: Exception) -> None:
        self.counts.errors += 1
        with suppress(Exception):  # the caller's affair
            self._on_error(error)

    def _log(self) -> None:
        try:
            while self._log_some():
                pass
        finally:
            if self._segment is not None:
                self._segment.close()
            with self._guard:
                self._log_ended = True
                self._publishing.notify()

    def _log_some(self) -> bool:
        with self._guard:
            self._work.wait_for(self._log_due, self._log_seconds())
            if self._closing or self._failed is not None:
                return False
            batches = [self._queue[at] for at in range(min(len(self._queue), MOST_BATCHES))]
            sync = self._sync_wanted > self._durable
        try:
            if batches:
                self._into_log(batches)
            segment = self._segment
            stale = now_ns() - self._synced_ns > self.config.sync_seconds * 1e9
            if segment is not None and segment.dirty and (stale or (sync and not self._queue)):
                self._sync(segment)
            self._seal_if_due()
        except CatalogFullError as error:
            self._stuck(error)
            return True
        self._full = None
        return True

    def _log_due(self) -> bool:
        if self._closing or self._failed is not None:
            return True
        if self._full is not None:
            return False
        return bool(self._queue) or self._sync_wanted > self._durable or self._seal_wanted > self._last_sealed

    _last_sealed = 0
    _synced_ns = 0

    def _log_seconds(self) -> float:
        return RETRY_SECONDS if self._full is not None else min(self.config.sync_seconds, self.config.segment_seconds)

    def _into_log(self, batches: list[Batch]) -> None:
        if self._segment is not None and self._segment.cut:
            self._seal()
        if self._segment is None:
            (self.root / DIRECTORY).mkdir(exist_ok=True)
            self._segment = Segment(self.root, self._number)
            self._number += 1
            self._begun_ns = self._synced_ns = now_ns()
        self._segment.write(batches)
        with self._guard:
            for batch in batches:
                self._queue.popleft()
                self._queued_bytes -= len(batch.payload)
            self._written += len(batches)
            self._done.notify_all()

    def _sync(self, segment: Segment) -> None:
        written = self._written
        segment.sync()
        with self._guard:
            self._synced_ns = now_ns()
            self._durable = written
            while self._rows and self._rows[0][0] <= written:
                self.counts.durable += self._rows.popleft()[1]
            self._done.notify_all()

    def _seal_if_due(self) -> None:
        segment = self._segment
        if segment is None:
            with self._guard:
                if self._seal_wanted > self._last_sealed and self._written >= self._seal_wanted:
                    self._last_sealed = self._written
                    self._done.notify_all()
            return
        old = now_ns() - self._begun_ns > self.config.segment_seconds * 1e9
        wanted = self._last_sealed < self._seal_wanted <= self._written
        if segment.bytes >= self.config.segment_mib << 20 or old or wanted or segment.cut:
            self._seal()

    def _seal(self) -> None:
        """End the segment: it goes to Parquet."""
        segment = self._segment
        assert segment is not None
        if segment.dirty and not segment.cut:
            self._sync(segment)
        segment.close()
        self._segment = None
        with self._guard:
            self._sealed.append((segment.number, self._written))
            self._last_sealed = self._written
            self.counts.segments += 1
            self._publishing.notify()

    def _stuck(self, error: CatalogFullError) -> None:
        first = self._full is None
        with self._guard:
            self._full = error
        if first:
            self._tell(error)
        else:
            self.counts.errors += 1
        with self._guard:
            self._done.notify_all()

    def _publish(self) -> None:
        while True:
            with self._guard:
                self._publishing.wait_for(
                    lambda: (
                        self._failed is not None
                        or (self._closing and self._log_ended)
                        or (bool(self._sealed) and self._publish_full is None)
                    ),
                    RETRY_SECONDS if self._publish_full is not None else None,
                )
                if self._failed is not None or (self._closing and self._log_ended):
                    return
                number, batches = self._sealed[0]
            try:
                rows = publish_segment(self.root, self._manifest, number, self.config, self.notices)
            except CatalogFullError as error:
                first = self._publish_full is None
                self._publish_full = error
                if first:
                    self._tell(error)
                else:
                    self.counts.errors += 1
                with self._guard:
                    self._done.notify_all()
                continue
            with self._guard:
                self._publish_full = None
                self._sealed.popleft()
                self._published = batches
                self.counts.published += rows
                self._done.notify_all()


def position_of(positions: dict[OriginKey, int], origin: str) -> int:
    """How far a source is stored: as marked, else the least of its streams."""
    marked = positions.get((origin, *MARKED))
    if marked is not None:
        return marked
    return min((position for (name, _, _), position in positions.items() if name == origin), default=0)
