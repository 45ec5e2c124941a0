"""The list of a catalog's files, instruments and positions of sources: one SQLite file, changed in transactions.

A Parquet file counts once it is on this list, and a log segment is done with by the same transaction: that is what
makes a publication all or nothing, whenever the process is killed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from nautilus.store.catalog_errors import (
    CatalogDamagedError,
    CatalogFullError,
    CatalogUnwritableError,
    CatalogVersionError,
    NoCatalogError,
)
from nautilus.store.catalog_instruments import StoredInstrument, refined
from nautilus.store.catalog_kinds import READABLE_VERSIONS, SCHEMA_VERSION

NAME: Final = "catalog.sqlite"
BUSY_MS: Final = 20_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instruments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, description BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, instrument INTEGER NOT NULL, day TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL, first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL,
    price_increment TEXT NOT NULL, lot_size TEXT NOT NULL, retired_ns INTEGER NOT NULL DEFAULT 0,
    first_day TEXT NOT NULL DEFAULT '', last_day TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS parts_where ON parts (kind, instrument, day);
CREATE TABLE IF NOT EXISTS origins (
    origin TEXT NOT NULL, kind TEXT NOT NULL, instrument TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (origin, kind, instrument)) WITHOUT ROWID;
"""


class Part(NamedTuple):
    """One Parquet file on the list.

    Attributes
    ----------
    day : the period of its rows: a day, a month or a year (`catalog_periods`).
    path : from the catalog's root.
    first_ns, last_ns : least and greatest time in it.
    price_increment, lot_size : steps of its numbers.
    first_day, last_day : of its rows; "": `day` is both.
    """

    id: int
    kind: str
    instrument: int
    day: str
    path: str
    rows: int
    bytes: int
    first_ns: int
    last_ns: int
    first_sequence: int
    last_sequence: int
    price_increment: str
    lot_size: str
    first_day: str = ""
    last_day: str = ""


class Range(NamedTuple):
    """What a catalog has of one kind of one instrument; the end is the last record's time."""

    kind: str
    instrument: str
    rows: int
    bytes: int
    parts: int
    first_ns: int
    last_ns: int
    first_day: str
    last_day: str


OriginKey = tuple[str, str, str]


class Manifest:
    """The list. One object may be used by several threads.

    Parameters
    ----------
    root
        Directory of the catalog.
    write
        Make it where it is missing, and change it.
    name
        Of its file: another one while it is made anew.
    """

    def __init__(self, root: Path, *, write: bool = False, name: str = NAME) -> None:
        self.path = root / name
        self._guard = threading.RLock()
        self._root = root
        if not write and not self.path.exists():
            raise NoCatalogError("no catalog", where=str(root), expected=f"a directory with {NAME}")
        try:
            self._lines = self._connect(write)
            with self._wrapped():
                if write:
                    self._lines.execute("PRAGMA journal_mode=WAL")
                    self._lines.execute("PRAGMA synchronous=FULL")
                    self._check_version()
                    self._lines.executescript(_TABLES)
                    self._renew()
                self._check_version()
        except BaseException:
            with contextlib.suppress(AttributeError):
                self._lines.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        with self._guard:
            self._lines.close()

    def _connect(self, write: bool) -> sqlite3.Connection:
        def open_as(mode: str) -> sqlite3.Connection:
            uri = f"{self.path.absolute().as_uri()}?{mode}"
            return sqlite3.connect(uri, uri=True, timeout=BUSY_MS / 1e3, isolation_level=None, check_same_thread=False)

        if write:
            with self._wrapped():
                return open_as("mode=rwc")
        with self._wrapped():
            lines = open_as("mode=ro")
            try:
                lines.execute("SELECT 1 FROM sqlite_schema").fetchone()
            except sqlite3.OperationalError as error:
                lines.close()
                if "readonly" not in str(error) and "unable to open" not in str(error):
                    raise
                # A directory that nobody can write to: no reader's marks can be made, and no writer is there.
                lines = open_as("immutable=1")
            return lines

    def _renew(self) -> None:
        """Make a list of an older layout one of this."""
        self._lines.execute("BEGIN IMMEDIATE")
        if not self._has_days():
            for name in ("first_day", "last_day"):
                self._lines.execute(f"ALTER TABLE parts ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
        self._lines.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
        self._lines.execute("COMMIT")

    def _has_days(self) -> bool:
        """Whether the list has the days of files of a longer period."""
        found = self._lines.execute("SELECT 1 FROM pragma_table_info('parts') WHERE name = 'last_day'").fetchall()
        return bool(found)

    def _check_version(self) -> None:
        try:
            row = self._lines.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return
            raise
        if row is not None and row[0] not in READABLE_VERSIONS:
            raise CatalogVersionError(
                f"layout {row[0]} of a catalog", where=str(self._root), expected=f"layout {SCHEMA_VERSION}, or before"
            )

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "full" in text or "disk I/O" in text:
                raise CatalogFullError(f"its list cannot be written: {text}", where=str(self.path)) from None
            raise CatalogUnwritableError(f"its list cannot be used: {text}", where=str(self.path)) from None
        except sqlite3.DatabaseError as error:
            raise CatalogDamagedError(
                f"its list is damaged: {error}",
                where=str(self.path),
                expected="`nautilus.store.catalog_checks.rebuild` makes it anew from the files",
            ) from None

    def _rows(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._guard, self._wrapped():
            return self._lines.execute(text, values).fetchall()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside is of one moment, though a writer goes on."""
        with self._guard, self._wrapped():
            if self._lines.in_transaction:
                yield
                return
            self._lines.execute("BEGIN")
            try:
                yield
            finally:
                self._lines.execute("ROLLBACK")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is changed inside counts, or nothing."""
        with self._guard, self._wrapped():
            self._lines.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._lines.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._lines.execute("ROLLBACK")
                raise

    # What is read.

    def number(self, key: str) -> int:
        """A number kept by name; 0: it was never set."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return int(rows[0][0]) if rows else 0

    def instruments(self) -> list[StoredInstrument]:
        """All, by their number."""
        return [_instrument(*row) for row in self._rows("SELECT id, description FROM instruments ORDER BY id")]

    def parts(
        self,
        kinds: Sequence[str] = (),
        instruments: Sequence[int] | None = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
    ) -> list[Part]:
        """Files that may have what is asked for, by time; the end is not included."""
        words: list[str] = ["retired_ns = 0"]
        values: list[str | int] = []
        if kinds:
            words.append(f"kind IN ({','.join('?' * len(kinds))})")
            values += list(kinds)
        if begin_ns is not None:
            words.append("last_ns >= ?")
            values.append(begin_ns)
        if end_ns is not None:
            words.append("first_ns < ?")
            values.append(end_ns)
        with self._guard, self._wrapped():
            days = "first_day, last_day" if self._has_days() else "'', ''"
        rows = self._rows(
            "SELECT id, kind, instrument, day, path, rows, bytes, first_ns, last_ns, first_sequence, last_sequence,"
            f" price_increment, lot_size, {days} FROM parts WHERE {' AND '.join(words)}"
            " ORDER BY first_ns, first_sequence",
            values,
        )
        wanted = None if instruments is None else set(instruments)
        return [Part(*row) for row in rows if wanted is None or row[2] in wanted]

    def ranges(self) -> list[Range]:
        """What there is, by kind and instrument."""
        with self._guard, self._wrapped():
            first, last = ("first_day", "last_day") if self._has_days() else ("''", "''")
        rows = self._rows(
            "SELECT kind, key, sum(rows), sum(bytes), count(*), min(first_ns), max(last_ns),"
            f" min(coalesce(nullif({first}, ''), day)), max(coalesce(nullif({last}, ''), day)) FROM parts"
            " JOIN instruments ON instruments.id = instrument WHERE retired_ns = 0"
            " GROUP BY kind, key ORDER BY kind, key"
        )
        return [Range(*row) for row in rows]

    def positions(self, origin: str | None = None) -> dict[OriginKey, int]:
        """How far each stream of a source is stored: (origin, kind, instrument) to position."""
        text, values = "SELECT origin, kind, instrument, position FROM origins", ()
        rows = self._rows(text) if origin is None else self._rows(f"{text} WHERE origin = ?", (*values, origin))
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def retired(self) -> list[tuple[int, str, int]]:
        """Files that were replaced: number, path, and when."""
        rows = self._rows("SELECT id, path, retired_ns FROM parts WHERE retired_ns > 0")
        return [(row[0], row[1], row[2]) for row in rows]

    def paths(self) -> set[str]:
        """Every path on the list, replaced ones too."""
        return {row[0] for row in self._rows("SELECT path FROM parts")}

    # What is changed, inside of `transaction`.

    def set_number(self, key: str, value: int) -> None:
        """Keep a number by name."""
        self._lines.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    def know(self, given: StoredInstrument) -> StoredInstrument:
        """The instrument with its number; new to the list, or with finer steps than before, it is written there."""
        rows = self._rows("SELECT id, description FROM instruments WHERE key = ?", (given.key,))
        if rows:
            known = _instrument(*rows[0])
            finer = refined(known, given)
            if finer != known:
                self._lines.execute(
                    "UPDATE instruments SET description = ? WHERE id = ?", (_encode(finer), known.instrument_id)
                )
            return finer
        cursor = self._lines.execute(
            "INSERT INTO instruments (key, description) VALUES (?, ?)", (given.key, _encode(given))
        )
        return msgspec.structs.replace(given, instrument_id=cursor.lastrowid or 0)

    def add(self, parts: Iterable[Part]) -> None:
        """Put files on the list; their `id` is given by it."""
        self._lines.executemany(
            "INSERT INTO parts (kind, instrument, day, path, rows, bytes, first_ns, last_ns, first_sequence,"
            " last_sequence, price_increment, lot_size, first_day, last_day)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [part[1:] for part in parts],
        )

    def retire(self, parts: Iterable[int], now_ns: int) -> None:
        """Take files off what is read; they are deleted once no reader can be at them."""
        self._lines.executemany("UPDATE parts SET retired_ns = ? WHERE id = ?", [(now_ns, part) for part in parts])

    def forget(self, parts: Iterable[int]) -> None:
        """Take files off the list."""
        self._lines.executemany("DELETE FROM parts WHERE id = ?", [(part,) for part in parts])

    def reach(self, positions: dict[OriginKey, int]) -> None:
        """Positions of sources that are stored now."""
        self._lines.executemany(
            "INSERT INTO origins VALUES (?, ?, ?, ?) ON CONFLICT (origin, kind, instrument)"
            " DO UPDATE SET position = max(position, excluded.position)",
            [(*key, position) for key, position in positions.items()],
        )


def _instrument(number: int, description: bytes) -> StoredInstrument:
    known = msgspec.json.decode(description, type=StoredInstrument)
    return msgspec.structs.replace(known, instrument_id=number)


def _encode(instrument: StoredInstrument) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(instrument, instrument_id=0))
