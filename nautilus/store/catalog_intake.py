"""Handing in to a catalog: a bounded queue that counts what it refuses, and sources whose data are not taken twice."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from nautilus.model.datasets import Fact
from nautilus.store.catalog_errors import CatalogError, QueryError
from nautilus.store.catalog_facts import check_table, checked_facts, encode_table, fact_key, fact_time
from nautilus.store.catalog_instruments import StoredInstrument, describe, named
from nautilus.store.catalog_kinds import TABLE, Records, fact_kind, record_kind
from nautilus.store.catalog_log import FACTS, MARK, RECORDS, Batch, Stream, layout_of
from nautilus.store.catalog_log import TABLE as TABLE_BATCH
from nautilus.store.catalog_manifest import OriginKey
from nautilus.store.catalog_settings import CatalogConfig

if TYPE_CHECKING:
    import pyarrow as pa

MARKED: Final = ("", "")
"""Kind and instrument of a mark of a source."""
PATIENCE_SECONDS: Final = 600.0
TOGETHER_BYTES: Final = 1 << 20
"""So much is written at once, where it comes within a moment."""
EMPTY: Final = StoredInstrument("-", "-")


class Counts(msgspec.Struct):
    """What a writer did since it was opened.

    Parameters
    ----------
    appended, refused, repeated
        Rows that were accepted, those that found the queue full, and those whose origin had them stored before.
    durable, published
        Rows that survive the machine, and those that readers see.
    aside
        Segments of the log that could not become files, and were set aside.
    """

    appended: int = 0
    refused: int = 0
    repeated: int = 0
    durable: int = 0
    published: int = 0
    segments: int = 0
    errors: int = 0
    aside: int = 0


class Intake(ABC):
    """What every writer of a catalog has in front. Any thread may hand in; order is that of the calls.

    Attributes
    ----------
    where : of the catalog, for messages.
    counts : what it did.
    """

    def __init__(self, where: str, config: CatalogConfig, on_error: Callable[[Exception], object]) -> None:
        self.where = where
        self.config = config
        self.counts = Counts()
        self._on_error = on_error
        self._guard = threading.Lock()
        self._work = threading.Condition(self._guard)
        self._done = threading.Condition(self._guard)
        self._queue: deque[Batch] = deque()
        self._queued_bytes = 0
        self._most_bytes = config.queue_mib << 20
        # Batches are counted, so that a flush knows what it waits for.
        self._accepted = self._durable = self._published = 0
        self._rows: deque[tuple[int, int]] = deque()
        self._closing = False
        self._full: CatalogError | None = None
        self._failed: Exception | None = None
        self._streams: dict[tuple[Any, ...], Stream] = {}
        self._kept_alive: list[Any] = []
        self._positions: dict[OriginKey, int] = {}
        self._next_sequence = 1

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
        """Hand in facts of providers, of any kinds and symbols; as `append`. All are accepted, or none.

        Raises
        ------
        CatalogError
            One has a value that cannot be stored, such as a whole number beyond 64 bits.
        """
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
            batches.append((FACTS, stream, checked_facts(kind, some), len(some), position))
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
            if (described.prices or described.quantities) and not (owner.price_increment and owner.lot_size):
                raise CatalogError(f"{owner.key} has no steps", expected="price_increment and lot_size")
            found = Stream(kind, owner, origin, layout_of(described.dtype), described.time)
            if not isinstance(instrument, StoredInstrument | str):
                # Its id stands for it as long as it lives.
                self._kept_alive.append(instrument)
            self._streams[key] = found
        return found

    @abstractmethod
    def _known(self, key: str) -> StoredInstrument:
        """An instrument that was described before."""

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
            waiting = bool(self._queue)
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
            # To wake the writer's thread takes the feed's time: once for what comes together.
            if not waiting or self._queued_bytes >= TOGETHER_BYTES:
                self._work.notify()
        return True

    def _check(self) -> None:
        if self._failed is not None:
            raise CatalogError(f"the writer has failed: {self._failed}", where=self.where, expected="a new one")
        if self._closing:
            raise CatalogError("the writer is closed", where=self.where)

    # For the writers.

    @abstractmethod
    def flush(self, *, publish: bool = False, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once all that was accepted before survives the machine; with `publish`, once readers see it."""

    @abstractmethod
    def close(self, *, publish: bool = True) -> None:
        """Flush, publish, and give the catalog back."""

    def _wait_for(
        self, reached: Callable[[], bool], stuck: Callable[[], Exception | None], timeout_seconds: float
    ) -> None:
        """Wait, with the guard held, until it is reached or was found stuck once more."""
        # An error of before may be over: it counts once it was seen again.
        tries = self.counts.errors
        if not self._done.wait_for(
            lambda: reached() or (stuck() is not None and self.counts.errors > tries), timeout_seconds
        ):
            raise CatalogError("a flush takes too long", where=self.where, expected=f"{timeout_seconds:g} s at most")
        if not reached():
            error = stuck()
            assert error is not None
            raise error

    def _done_up_to(self, durable: int) -> None:
        """So many batches are durable; with the guard held."""
        self._durable = durable
        while self._rows and self._rows[0][0] <= durable:
            self.counts.durable += self._rows.popleft()[1]
        self._done.notify_all()

    def _tell(self, error: Exception) -> None:
        self.counts.errors += 1
        with suppress(Exception):  # the caller's affair
            self._on_error(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self.close()


def position_of(positions: dict[OriginKey, int], origin: str) -> int:
    """How far a source is stored: as marked, else the least of its streams."""
    marked = positions.get((origin, *MARKED))
    if marked is not None:
        return marked
    return min((position for (name, _, _), position in positions.items() if name == origin), default=0)
