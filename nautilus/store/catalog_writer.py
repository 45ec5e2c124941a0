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
from pathlib import Path
from typing import Final

from nautilus.core.clock import now_ns
from nautilus.store.catalog_errors import (
    CatalogDamagedError,
    CatalogError,
    CatalogFullError,
    CatalogUnwritableError,
)
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_intake import PATIENCE_SECONDS, TOGETHER_BYTES, Intake
from nautilus.store.catalog_lock import take_lock
from nautilus.store.catalog_log import DIRECTORY, Batch, Damage, segments
from nautilus.store.catalog_manifest import Manifest
from nautilus.store.catalog_parts import arrow, day_of
from nautilus.store.catalog_publish import LAST_SEQUENCE, publish_segment
from nautilus.store.catalog_recovery import NUMBERED, SEGMENT, check_list, set_aside_segment, set_aside_unlisted
from nautilus.store.catalog_segment import Segment
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_upkeep import compact, purge

RETRY_SECONDS: Final = 0.25
"""Between two tries where the disk was full."""
TOGETHER_SECONDS: Final = 0.01
"""What comes within this time goes into the log together."""
MOST_BATCHES: Final = 512
"""Taken from the queue for one write."""


class CatalogWriter(Intake):
    """The writer of a catalog of files.

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
        super().__init__(str(root), config or CatalogConfig(), on_error)
        self.notices: list[Damage] = []
        """What was found wrong in the log of a writer before, or left behind by it."""
        self._lock = take_lock(self.root)
        try:
            check_list(self.root)
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
        self._publishing = threading.Condition(self._guard)
        self._compacting = threading.Lock()
        self._compacted_ns = now_ns()
        self._written = 0
        self._seal_wanted = self._sync_wanted = 0
        self._sealed: deque[tuple[int, int]] = deque()
        self._log_ended = False
        self._publish_full: CatalogFullError | None = None
        self._segment: Segment | None = None
        self._begun_ns = 0
        self._recover()
        self._positions = self._manifest.positions()
        self._next_sequence = self._manifest.number(LAST_SEQUENCE) + 1
        self._number = max(self._manifest.number(SEGMENT), self._manifest.number(NUMBERED)) + 1
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=f"catalog-{name}", daemon=True)
            for name, work in (("log", self._log), ("publish", self._publish))
        ]
        for thread in self._threads:
            thread.start()

    def _recover(self) -> None:
        """Publish what a writer before has left in its log, and set aside what it has not finished."""
        set_aside_unlisted(self.root, self._manifest, self.notices)
        for number in segments(self.root):
            self._into_files(number)
        purge(self.root, self._manifest)

    def _into_files(self, number: int) -> int:
        """Publish a segment, or set it aside where no try can; the rows that readers see."""
        try:
            return publish_segment(self.root, self._manifest, number, self.config, self.notices)
        except (CatalogFullError, CatalogUnwritableError, OSError, MemoryError):
            raise  # of the machine: the same segment can be published later
        except Exception as error:
            damage = set_aside_segment(self.root, self._manifest, number, error)
        self.notices.append(damage)
        self.counts.aside += 1
        self._tell(CatalogDamagedError(damage.what, where=damage.where))
        return 0

    def _known(self, key: str) -> StoredInstrument:
        for each in self._manifest.instruments():
            if each.key == key:
                return each
        raise CatalogError(f"instrument {key!r} is not known here", expected="its description, the first time")

    def compact(self, kinds: Sequence[str] = (), instruments: Sequence[str] | None = None) -> int:
        """Make one file of each period's many, as far as they are published; how many files were replaced."""
        with self._compacting:
            return compact(self.root, self._manifest, self.config, kinds, instruments)

    # Acknowledging.

    def flush(self, *, publish: bool = False, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once all that was accepted before survives the machine; with `publish`, once readers see it.

        Raises
        ------
        CatalogFullError
            The disk is full: it is in memory or in the log still, and goes on when there is room.
        CatalogDamagedError
            With `publish`: something of it cannot become files; its segment of the log is set aside.
        CatalogError
            It cannot be made durable, or took too long.
        """
        with self._guard:
            self._check()
            aside = self.counts.aside
            target = self._accepted
            self._sync_wanted = max(self._sync_wanted, target)
            if publish:
                self._seal_wanted = max(self._seal_wanted, target)
            self._work.notify()
            self._publishing.notify()
            self._wait_for(
                lambda: (self._published if publish else self._durable) >= target,
                lambda: self._failed or self._full or (self._publish_full if publish else None),
                timeout_seconds,
            )
            if publish and self.counts.aside > aside:
                raise CatalogDamagedError(self.notices[-1].what, where=self.notices[-1].where)

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
            if self._queue and self._full is None:
                self._work.wait_for(self._log_urgent, TOGETHER_SECONDS)
            if self._closing or self._failed is not None:
                return False
            batches = [self._queue[at] for at in range(min(len(self._queue), MOST_BATCHES))]
            sync = self._sync_wanted > self._durable
            wanted = self._sync_wanted
        try:
            if batches:
                self._into_log(batches)
            segment = self._segment
            stale = now_ns() - self._synced_ns > self.config.sync_seconds * 1e9
            if segment is not None and segment.dirty and (stale or (sync and self._written >= wanted)):
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

    def _log_urgent(self) -> bool:
        asked = self._sync_wanted > self._durable or self._seal_wanted > self._last_sealed
        return self._closing or self._failed is not None or asked or self._queued_bytes >= TOGETHER_BYTES

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
            self._done_up_to(written)

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
        if segment.dirty:
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
                    RETRY_SECONDS if self._publish_full is not None else self._compact_after() or None,
                )
                if self._failed is not None or (self._closing and self._log_ended):
                    return
                number, batches = self._sealed[0] if self._sealed else (0, 0)
            if not number:
                self._compact_days()
                continue
            try:
                rows = self._into_files(number)
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

    def _compact_after(self) -> float:
        """Seconds until days that are over are looked at; 0: never."""
        if not self.config.compact_seconds:
            return 0.0
        return max(0.01, self.config.compact_seconds - (now_ns() - self._compacted_ns) / 1e9)

    def _compact_days(self) -> None:
        """Compact days that are over, while there is nothing to publish."""
        if not self.config.compact_seconds or self._compact_after() > 0.01:
            return
        self._compacted_ns = now_ns()
        try:
            with self._compacting:
                compact(self.root, self._manifest, self.config, before_day=day_of(now_ns()))
        except (CatalogDamagedError, CatalogFullError) as error:
            self._tell(error)
