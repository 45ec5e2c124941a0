"""The catalog: market data in Parquet files by kind, instrument and period, one writer, many readers.

::

    <root>/catalog.sqlite                                            list of files, instruments, positions of sources
    <root>/log/0000000000000042.log                                  what was handed in and is not in files yet
    <root>/trade/instrument=BTCUSDT@binance/day=2022-11-01/*.parquet

A reader sees what was published: whole segments of the log, at the latest `segment_seconds` after they were handed in,
or at once by ``writer.flush(publish=True)``. docs/catalog.md says what is guaranteed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nautilus.store.catalog_checks import Finding, verify
from nautilus.store.catalog_database import Database
from nautilus.store.catalog_errors import CatalogDamagedError, QueryError
from nautilus.store.catalog_face import CatalogFace, Names, Query, Replayed
from nautilus.store.catalog_instruments import StoredInstrument, pick
from nautilus.store.catalog_kinds import record_kind
from nautilus.store.catalog_lock import reading, writer_pid
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Manifest, Part, Range
from nautilus.store.catalog_part_reader import readable, table_time
from nautilus.store.catalog_queries import bounded, make_views, reader_of
from nautilus.store.catalog_reader import Run, Source, read_runs
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_sql import check_select
from nautilus.store.catalog_steps import factor
from nautilus.store.catalog_views import identifier, view_text
from nautilus.store.catalog_writer import CatalogWriter

if TYPE_CHECKING:
    import pyarrow as pa


class Catalog(CatalogFace):
    """A catalog to read, and the way to its writer.

    Parameters
    ----------
    path
        Directory.
    config
        Settings.
    create
        Make an empty one where there is none.

    Raises
    ------
    CatalogError
        There is none, or it cannot be read.

    Attributes
    ----------
    notices : files that were passed over because they cannot be read.
    """

    def __init__(self, path: str | Path, config: CatalogConfig | None = None, *, create: bool = False) -> None:
        self.root = Path(path).absolute()
        self.where = str(self.root)
        self.config = config or CatalogConfig()
        self.notices: list[Damage] = []
        if create and not (self.root / "catalog.sqlite").exists():
            CatalogWriter(self.root, self.config).close()
        self._manifest: Manifest | None = None
        self._process = 0
        self._damaged: set[str] = set()
        self._database = Database(self.root, self.config)

    @property
    def manifest(self) -> Manifest:
        """The list of files."""
        if self._manifest is None or self._process != os.getpid():
            # SQLite's connections do not survive a fork.
            self._manifest, self._process = Manifest(self.root), os.getpid()
        return self._manifest

    def close(self) -> None:
        """Give its files back."""
        self._database.close()
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def writer(self, on_error: Callable[[Exception], object] = lambda error: None) -> CatalogWriter:
        """The writer; CatalogBusyError where there is one already."""
        return CatalogWriter(self.root, self.config, on_error)

    # What there is.

    def instruments(self) -> list[StoredInstrument]:
        return self.manifest.instruments()

    def ranges(self) -> list[Range]:
        return self.manifest.ranges()

    def positions(self, origin: str) -> dict[tuple[str, str], int]:
        return {(kind, key): at for (_, kind, key), at in self.manifest.positions(origin).items()}

    # Reading.

    def _runs(self, wanted: Replayed) -> Iterator[Run]:
        begin_ns, end_ns = wanted.begin_ns, wanted.end_ns
        described = {kind: record_kind(kind) for kind in wanted.kinds}
        with reading(self.root):
            with self.manifest.snapshot():
                known = {each.instrument_id: each for each in self.instruments()}
                instruments = self._wanted(known.values(), wanted.instruments)
                parts = self.manifest.parts(list(described), instruments, begin_ns, end_ns)
            sources = []
            for part in parts:
                owner = known[part.instrument]
                sources.append(
                    Source(
                        part,
                        described[part.kind],
                        wanted.ids.get(owner.key, owner.instrument_id),
                        factor(part.price_increment, owner.price_increment),
                        factor(part.lot_size, owner.lot_size),
                    )
                )
            yield from read_runs(sources, self.root, begin_ns, end_ns, wanted.batch, self._on_damage(wanted.strict))

    def _whole_answer(self, query: Query) -> pa.Table:
        def once() -> pa.Table:
            with self._reader(query) as reader:
                return reader.read_all()

        return self._again_without_damaged(once)

    @contextmanager
    def _reader(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        with reading(self.root):
            with self.manifest.snapshot():
                known = {each.instrument_id: each for each in self.instruments()}
                wanted = self._wanted(known.values(), query.instruments)
                range_ns = (query.begin_ns, query.end_ns) if query.time else (None, None)
                listed = self.manifest.parts((query.kind,), wanted, *range_ns)
            parts = self._whole(listed)
            time = query.time
            if not time and not (query.begin_ns is query.end_ns is None):
                time = table_time(self.root, parts)
            text = self._query_text(query, parts, known, time)
            with self._database.cursor() as lines, bounded(lines, self.config.query_seconds):
                yield reader_of(lines, text)

    def _query_text(self, query: Query, parts: Sequence[Part], known: dict[int, StoredInstrument], time: str) -> str:
        words = ["SELECT", ", ".join(identifier(name) for name in query.columns) or "*"]
        words.append(f"FROM ({view_text(query.kind, self.root, parts, known)}) AS rows")
        limits = []
        if time and parts:
            limits += [] if query.begin_ns is None else [f"{identifier(time)} >= {int(query.begin_ns)}"]
            limits += [] if query.end_ns is None else [f"{identifier(time)} < {int(query.end_ns)}"]
        if limits:
            words.append("WHERE " + " AND ".join(limits))
        if query.order != "none" and parts:
            down = " DESC" if query.order == "-time" else ""
            words.append(
                "ORDER BY " + ", ".join(f"{name}{down}" for name in (time and identifier(time), "sequence") if name)
            )
        if query.limit:
            words.append(f"LIMIT {int(query.limit)}")
        return " ".join(words)

    def sql(self, text: str) -> pa.Table:
        def once() -> pa.Table:
            with self.sql_reader(text) as reader:
                return reader.read_all()

        return self._again_without_damaged(once)

    @contextmanager
    def sql_reader(self, text: str) -> Iterator[pa.RecordBatchReader]:
        with reading(self.root), self._database.cursor() as lines, bounded(lines, self.config.query_seconds):
            named = check_select(lines, text)
            make_views(lines, self.root, named, lambda kinds: self._whole(self.manifest.parts(kinds)), self.instruments)
            yield reader_of(lines, text)

    # Upkeep.

    def compact(self, kinds: Sequence[str] = (), instruments: Names = None) -> int:
        """Make one file of each period's many, while readers read; how many files were replaced.

        Raises
        ------
        CatalogBusyError
            There is a writer: its own `compact` does it.
        """
        with self.writer() as writer:
            return writer.compact(kinds, None if instruments is None else self._keys(instruments))

    def verify(self) -> list[Finding]:
        """Read every file and compare it with the list; what is wrong, by file."""
        with reading(self.root):
            return verify(self.root, self.manifest)

    @property
    def writer_pid(self) -> int:
        """Process that writes it now; 0: none."""
        return writer_pid(self.root)

    # Inside.

    def _keys(self, names: str | Sequence[str]) -> list[str]:
        chosen = [names] if isinstance(names, str) else names
        return [each.key for name in chosen for each in pick(self.instruments(), name)]

    def _whole(self, parts: Sequence[Part]) -> list[Part]:
        """Files that have the size they had; the others are passed over, and told."""
        return [part for part in parts if part.path not in self._damaged and self._is_there(part)]

    def _is_there(self, part: Part) -> bool:
        place = self.root / part.path
        size = place.stat().st_size if place.is_file() else -1
        if size != part.bytes:
            self.notices.append(Damage(str(place), f"{size} bytes instead of {part.bytes}; it is passed over"))
        return size == part.bytes

    def _again_without_damaged(self, once: Callable[[], pa.Table]) -> pa.Table:
        """Run a query; where it fails for files that cannot be read, once more without them."""
        try:
            return once()
        except QueryError:
            found = [part for part in self.manifest.parts() if part.path not in self._damaged and self._is_there(part)]
            torn = [part for part in found if not readable(self.root / part.path)]
            if not torn:
                raise
        for part in torn:
            self._damaged.add(part.path)
            self.notices.append(Damage(str(self.root / part.path), "cannot be read, and is passed over"))
        return once()

    def _on_damage(self, strict: bool) -> Callable[[Damage], None]:
        def tell(damage: Damage) -> None:
            if strict:
                raise CatalogDamagedError(damage.what, where=damage.where)
            self.notices.append(damage)

        return tell
