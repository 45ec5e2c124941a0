"""The catalog: market data in Parquet files by kind, instrument and day, one writer, many readers.

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
from typing import TYPE_CHECKING, Any

from nautilus.store.catalog_checks import Finding, verify
from nautilus.store.catalog_database import Database
from nautilus.store.catalog_errors import CatalogDamagedError, QueryError
from nautilus.store.catalog_facts import fact_time, facts_of
from nautilus.store.catalog_instruments import StoredInstrument, pick
from nautilus.store.catalog_intake import position_of
from nautilus.store.catalog_kinds import FACT_KINDS, RECORD_KINDS, TABLE, Records, check_kind, record_kind
from nautilus.store.catalog_lock import reading, writer_pid
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Manifest, Part, Range
from nautilus.store.catalog_part_reader import readable, table_time
from nautilus.store.catalog_queries import bounded, check_select, make_views, reader_of
from nautilus.store.catalog_reader import BATCH, Run, Source, read_runs
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_steps import factor
from nautilus.store.catalog_views import identifier, view_text
from nautilus.store.catalog_writer import CatalogWriter

if TYPE_CHECKING:
    import pyarrow as pa

Names = str | Sequence[str] | None


class Catalog:
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

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def writer(self, on_error: Callable[[Exception], object] = lambda error: None) -> CatalogWriter:
        """The writer; CatalogBusyError where there is one already."""
        return CatalogWriter(self.root, self.config, on_error)

    # What there is.

    def instruments(self) -> list[StoredInstrument]:
        """Every instrument, symbol of a provider and table, with its description and number."""
        return self.manifest.instruments()

    def instrument(self, name: str) -> StoredInstrument:
        """One instrument by its key, or by its symbol where only one has it.

        Raises
        ------
        QueryError
            There is none, or several.
        """
        found = pick(self.instruments(), name)
        if len(found) > 1:
            raise QueryError(f"{name!r} is {', '.join(each.key for each in found)}", expected="one of these keys")
        return found[0]

    def ranges(self) -> list[Range]:
        """What there is of each kind and instrument: rows, bytes, times, days."""
        return self.manifest.ranges()

    @property
    def where(self) -> str:
        """The directory, for messages."""
        return str(self.root)

    def positions(self, origin: str) -> dict[tuple[str, str], int]:
        """How far a source is stored of each kind and instrument, and as marked (`catalog_intake.MARKED`)."""
        return {(kind, key): at for (_, kind, key), at in self.manifest.positions(origin).items()}

    def position(self, origin: str) -> int:
        """How far a source is stored and published: as marked, else the least of its streams; 0: nothing of it."""
        return position_of(self.manifest.positions(origin), origin)

    def tables(self) -> list[str]:
        """Names of the users' tables."""
        return [each.instrument for each in self.ranges() if each.kind == TABLE]

    # Reading.

    def read(
        self,
        kind: str,
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        batch: int = BATCH,
        ids: dict[str, int] | None = None,
        strict: bool = False,
    ) -> Iterator[Records]:
        """Records of one kind in exact order of time, those of one time as they were appended.

        Parameters
        ----------
        kind
            ``quote``, ``trade``, ``book``, ``auction``, ``bar``, ``flow``, ``tick``, ``quarantine``.
        instruments
            Keys or symbols; None: all.
        begin_ns, end_ns
            Nanoseconds UTC; the end is not included.
        batch
            Records in one array, at most.
        ids
            `instrument_id` of the records by key; else that of the catalog.
        strict
            Raise CatalogDamagedError at a file that cannot be read; else it is passed over, and in `notices`.
        """
        for run in self.replay((kind,), instruments, begin_ns, end_ns, batch=batch, ids=ids, strict=strict):
            yield run.records

    def replay(
        self,
        kinds: Sequence[str],
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        batch: int = BATCH,
        ids: dict[str, int] | None = None,
        strict: bool = False,
    ) -> Iterator[Run]:
        """Records of several kinds merged by (time, order of appending), as runs of one kind each; as `read`."""
        described = {kind: record_kind(kind) for kind in kinds}
        with reading(self.root):
            with self.manifest.snapshot():
                known = {each.instrument_id: each for each in self.instruments()}
                wanted = self._wanted(known, instruments)
                parts = self.manifest.parts(list(described), wanted, begin_ns, end_ns)
            sources = []
            for part in parts:
                owner = known[part.instrument]
                sources.append(
                    Source(
                        part,
                        described[part.kind],
                        (ids or {}).get(owner.key, owner.instrument_id),
                        factor(part.price_increment, owner.price_increment),
                        factor(part.lot_size, owner.lot_size),
                    )
                )
            yield from read_runs(sources, self.root, begin_ns, end_ns, batch, self._on_damage(strict))

    def facts(
        self, kind: str, names: Names = None, begin_ns: int | None = None, end_ns: int | None = None
    ) -> list[Any]:
        """Facts of providers, by time; the newest fetched last among those of one time."""
        if kind not in FACT_KINDS:
            raise QueryError(f"kind {kind!r} of facts", expected=", ".join(FACT_KINDS))
        return facts_of(kind, self.query(kind, names, begin_ns, end_ns))

    def query(
        self,
        kind: str,
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> pa.Table:
        """Rows of a kind as an Arrow table.

        Parameters
        ----------
        columns
            Of the kind's view (docs/catalog.md); (): all.
        limit
            Rows, at most; 0: all.
        order
            ``time``, ``-time`` (the newest first), or ``none``.

        Raises
        ------
        QueryError
            An unknown name, a range of a table without one time column, or more than a query may take.
        """

        def once() -> pa.Table:
            with self.query_reader(
                kind, instruments, begin_ns, end_ns, columns=columns, limit=limit, order=order
            ) as reader:
                return reader.read_all()

        return self._again_without_damaged(once)

    @contextmanager
    def query_reader(
        self,
        kind: str,
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> Iterator[pa.RecordBatchReader]:
        """As `query`, as a stream of record batches that is open inside of the block."""
        check_kind(kind)
        if order not in ("time", "-time", "none"):
            raise QueryError(f"order {order!r}", expected="time, -time or none")
        with reading(self.root):
            with self.manifest.snapshot():
                known = {each.instrument_id: each for each in self.instruments()}
                wanted = self._wanted(known, instruments)
                range_ns = (None, None) if kind == TABLE else (begin_ns, end_ns)
                listed = self.manifest.parts((kind,), wanted, *range_ns)
            parts = self._whole(listed)
            if kind == TABLE:
                time = "" if begin_ns is None and end_ns is None else table_time(self.root, parts)
            else:
                time = record_kind(kind).time if kind in RECORD_KINDS else fact_time(kind)
            text = self._query_text(kind, parts, known, time, begin_ns, end_ns, columns, limit, order)
            with self._database.cursor() as lines, bounded(lines, self.config.query_seconds):
                yield reader_of(lines, text)

    def _query_text(
        self,
        kind: str,
        parts: Sequence[Part],
        known: dict[int, StoredInstrument],
        time: str,
        begin_ns: int | None,
        end_ns: int | None,
        columns: Sequence[str],
        limit: int,
        order: str,
    ) -> str:
        words = ["SELECT", ", ".join(identifier(name) for name in columns) or "*"]
        words.append(f"FROM ({view_text(kind, self.root, parts, known)}) AS rows")
        limits = []
        if time and parts:
            limits += [] if begin_ns is None else [f"{identifier(time)} >= {int(begin_ns)}"]
            limits += [] if end_ns is None else [f"{identifier(time)} < {int(end_ns)}"]
        if limits:
            words.append("WHERE " + " AND ".join(limits))
        if order != "none" and parts:
            down = " DESC" if order == "-time" else ""
            words.append(
                "ORDER BY " + ", ".join(f"{name}{down}" for name in (time and identifier(time), "sequence") if name)
            )
        if limit:
            words.append(f"LIMIT {int(limit)}")
        return " ".join(words)

    def sql(self, text: str) -> pa.Table:
        """Answer one SELECT over the views: one of each kind, each user's table, and `instruments`.

        Raises
        ------
        QueryError
            It is not one SELECT, is wrong, reaches outside of the catalog, or takes more than it may.
        """

        def once() -> pa.Table:
            with self.sql_reader(text) as reader:
                return reader.read_all()

        return self._again_without_damaged(once)

    @contextmanager
    def sql_reader(self, text: str) -> Iterator[pa.RecordBatchReader]:
        """As `sql`, as a stream of record batches that is open inside of the block."""
        with reading(self.root), self._database.cursor() as lines, bounded(lines, self.config.query_seconds):
            check_select(lines, text)
            make_views(lines, self.root, text, lambda kinds: self._whole(self.manifest.parts(kinds)), self.instruments)
            yield reader_of(lines, text)

    # Upkeep.

    def compact(self, kinds: Sequence[str] = (), instruments: Names = None) -> int:
        """Make one file of each day's many, while readers read; how many files were replaced.

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

    def _wanted(self, known: dict[int, StoredInstrument], names: Names) -> list[int] | None:
        if names is None:
            return None
        chosen = [names] if isinstance(names, str) else names
        return [each.instrument_id for name in chosen for each in pick(known.values(), name)]

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
