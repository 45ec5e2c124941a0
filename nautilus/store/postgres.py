"""The catalog on PostgreSQL: the same questions and the same answers as of the catalog of files.

Tables are in the schema ``market_data``: for each kind the rows (``trade_rows``), partitioned by day, as a hypertable
where TimescaleDB is there, and a view (``trade``) with decimals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from nautilus.store.catalog_checks import Finding
from nautilus.store.catalog_columns import to_records
from nautilus.store.catalog_errors import CatalogError, NoCatalogError, QueryError, QueryLimitError
from nautilus.store.catalog_face import CatalogFace, Names, Query, Replayed
from nautilus.store.catalog_instruments import StoredInstrument, pick
from nautilus.store.catalog_kinds import SEQUENCE, TABLE, record_kind
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Range
from nautilus.store.catalog_parts import arrow
from nautilus.store.catalog_periods import bounds_ns, period_of, server_unit
from nautilus.store.catalog_reader import BATCH, Chunk, Run, complete, merged
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.postgres_lines import Loop, asyncpg, connect, named_error, shown
from nautilus.store.postgres_rows import HEADER, SCHEMA, TRAILER, decode_rows, layout
from nautilus.store.postgres_sql import check_query
from nautilus.store.postgres_tables import check_name
from nautilus.store.postgres_writer import PostgresWriter

if TYPE_CHECKING:
    import pyarrow as pa

FETCH: Final = 20_000
"""Rows asked for at a time, at most."""
FIRST_FETCH: Final = 1
IDLE_MS: Final = "60000"
"""Until the server ends a query whose client does nothing."""
PORTION: Final = 4 << 20
"""Bytes asked for at a time, by what rows before have had."""
VALUE_BYTES: Final = 32
"""Of a value in memory that has no length of its own."""
AHEAD: Final = 8
"""Pieces that the server may be ahead of a reader."""
_ARROW: Final = {
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float32",
    "float8": "float64",
    "bool": "bool_",
    "text": "string",
    "varchar": "string",
    "name": "string",
    "date": "date32",
}
_FIXED: Final = frozenset({*_ARROW, "timestamp", "timestamptz"} - {"text", "varchar"})
"""Types whose values have no length of their own."""


class PostgresCatalog(CatalogFace):
    """A catalog on a server; as `nautilus.store.catalog.Catalog`, which says what each question means.

    Parameters
    ----------
    url
        ``postgresql://user@host:port/database``.
    create
        Make an empty one where there is none.
    """

    def __init__(self, url: str, config: CatalogConfig | None = None, *, create: bool = False) -> None:
        asyncpg()
        self._url = url
        self.where = shown(url)
        self.config = config or CatalogConfig()
        self.notices: list[Damage] = []
        self._loop: Loop | None = None
        if create:
            self.writer().close()

    def close(self) -> None:
        """Give back what is open."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def writer(self, on_error: Callable[[Exception], object] = lambda error: None) -> PostgresWriter:
        """The writer; CatalogBusyError where there is one already."""
        return PostgresWriter(self._url, self.config, on_error)

    # What there is.

    def instruments(self) -> list[StoredInstrument]:
        rows = self._rows(f"SELECT instrument_id, description FROM {SCHEMA}.instruments ORDER BY 1")
        return [
            msgspec.structs.replace(msgspec.json.decode(text, type=StoredInstrument), instrument_id=number)
            for number, text in rows
        ]

    def ranges(self) -> list[Range]:
        """What there is of each kind and instrument; bytes and parts are the server's affair, and 0."""
        rows = self._rows(
            "SELECT kind, instrument, sum(rows)::int8, 0, 0, min(first_ns), max(last_ns), min(day)::text,"
            f" max(day)::text FROM {SCHEMA}.ranges JOIN {SCHEMA}.instruments USING (instrument_id)"
            " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [Range(*row) for row in rows]

    def positions(self, origin: str) -> dict[tuple[str, str], int]:
        rows = self._rows(f"SELECT kind, instrument, position FROM {SCHEMA}.origins WHERE origin = $1", origin)
        return {(kind, key): position for kind, key, position in rows}

    def compact(self, kinds: Sequence[str] = (), instruments: Names = None) -> int:
        """Nothing to do: the server keeps rows of a day together by itself."""
        return 0

    def verify(self) -> list[Finding]:
        """Compare the rows that there are with those that were counted."""
        findings = []
        counted: dict[str, int] = {}
        for each in self.ranges():
            counted[each.kind] = counted.get(each.kind, 0) + each.rows
        for kind, rows in counted.items():
            if kind != TABLE:
                found = self._rows(f"SELECT count(*) FROM {SCHEMA}.{kind}_rows")[0][0]
                if found != rows:
                    findings.append(Finding(f"{kind}_rows", f"{found} rows instead of {rows}"))
        return findings

    # Reading.

    def _runs(self, wanted: Replayed) -> Iterator[Run]:
        """The server sorts a period at a time."""
        begin_ns, end_ns = wanted.begin_ns, wanted.end_ns
        names = list(dict.fromkeys(wanted.kinds))
        for kind in names:
            record_kind(kind)
        known = self.instruments()
        instruments = self._wanted(known, wanted.instruments)
        given = np.zeros(max((each.instrument_id for each in known), default=0) + 1, np.uint32)
        for each in known:
            given[each.instrument_id] = wanted.ids.get(each.key, each.instrument_id)
        openers = []
        for kind, first_ns, last_ns in self._periods(names, instruments, begin_ns, end_ns):
            begin = max(first_ns, begin_ns) if begin_ns is not None else first_ns
            end = min(last_ns, end_ns) if end_ns is not None else last_ns
            openers.append((begin, partial(self._chunks, kind, names.index(kind), instruments, begin, end, given)))
        for chunks in complete(openers):
            yield from merged(chunks, names, wanted.batch)

    def _whole_answer(self, query: Query) -> pa.Table:
        if query.kind == TABLE:
            return self._ask(self._table_text(query), trusted=True)
        time = query.time
        words = [] if query.begin_ns is None else [f"{time} >= {int(query.begin_ns)}"]
        words += [] if query.end_ns is None else [f"{time} < {int(query.end_ns)}"]
        wanted = self._wanted(self.instruments(), query.instruments)
        if wanted is not None:
            words.append(f"instrument_id IN ({', '.join(map(str, wanted))})")
        text = f"SELECT {_named(query.columns)} FROM {SCHEMA}.{query.kind}"
        text += f" WHERE {' AND '.join(words)}" if words else ""
        if query.order != "none":
            down = " DESC" if query.order == "-time" else ""
            text += f" ORDER BY {time}{down}, {SEQUENCE}{down}"
        return self._ask(text + (f" LIMIT {int(query.limit)}" if query.limit else ""), trusted=True)

    @contextmanager
    def _reader(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        """The whole answer is in memory."""
        yield self._whole_answer(query).to_reader(BATCH)

    def sql(self, text: str) -> pa.Table:
        """Answer one SELECT that keeps to the schema, in a transaction that can only read, of no superuser."""
        return self._ask(text, trusted=False)

    @contextmanager
    def sql_reader(self, text: str) -> Iterator[pa.RecordBatchReader]:
        """As `sql`, as a stream of record batches; the whole answer is in memory."""
        yield self.sql(text).to_reader(BATCH)

    # Inside.

    def _table_text(self, query: Query) -> str:
        """SELECT of one of the users' tables, whose rows have no columns in common with those of another."""
        names = query.instruments
        chosen = self.tables() if names is None else [names] if isinstance(names, str) else list(names)
        found = [each.symbol for name in chosen for each in pick(self.instruments(), name)]
        if len(found) != 1:
            raise QueryError(f"{len(found)} tables", where=self.where, expected="one: its name")
        text = f"SELECT {_named(query.columns)} FROM {SCHEMA}.{check_name(found[0])} ORDER BY {SEQUENCE}"
        return text + (f" LIMIT {int(query.limit)}" if query.limit else "")

    def _run(self, work: Any) -> Any:
        if self._loop is None:
            self._loop = Loop()
        return self._loop.run(work)

    def _rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        async def ask() -> list[tuple[Any, ...]]:
            lines = await connect(self._url, "nautilus catalog reader")
            try:
                return [tuple(row) for row in await lines.fetch(text, *values)]
            except asyncpg().UndefinedTableError:
                raise NoCatalogError("no catalog", where=self.where, expected="one that a writer has made") from None
            except (asyncpg().PostgresError, asyncpg().InterfaceError, OSError) as error:
                raise named_error(error, self.where) from None
            finally:
                await lines.close()

        rows: list[tuple[Any, ...]] = self._run(ask())
        return rows

    def _periods(
        self, kinds: Sequence[str], wanted: list[int] | None, begin_ns: int | None, end_ns: int | None
    ) -> list[tuple[str, int, int]]:
        """Kinds, begins and ends of the periods that may have what is asked for, by time."""
        rows = self._rows(
            "SELECT DISTINCT kind, (extract(epoch FROM day)::int8) * 1000000000 AS first_ns"
            f" FROM {SCHEMA}.ranges WHERE kind = ANY($1) AND ($2::int4[] IS NULL OR instrument_id = ANY($2))"
            " AND last_ns >= $3 AND first_ns < $4 ORDER BY first_ns, kind",
            *(list(kinds), wanted, -(1 << 63) if begin_ns is None else begin_ns),
            (1 << 63) - 1 if end_ns is None else end_ns,
        )
        found = {(*bounds_ns(period_of(server_unit(kind), first_ns)), kind): None for kind, first_ns in rows}
        return [(kind, begin, end) for begin, end, kind in sorted(found)]

    def _chunks(
        self, kind: str, source: int, wanted: list[int] | None, begin_ns: int, end_ns: int, given: Any
    ) -> Generator[Chunk, None, None]:
        of = layout(kind)
        owners = "" if wanted is None else f" AND instrument_id IN ({', '.join(map(str, wanted)) or 'NULL'})"
        text = (
            f"SELECT {', '.join(of.columns)} FROM {SCHEMA}.{kind}_rows WHERE {of.kind.time} >= {begin_ns}"
            f" AND {of.kind.time} < {end_ns}{owners} ORDER BY {of.kind.time}, {SEQUENCE}"
        )
        pieces = self._copied(text)
        try:
            held = b""
            for piece in pieces:
                held += piece
                if held.startswith(HEADER):
                    held = held[len(HEADER) :]
                whole = len(held) // of.row.itemsize * of.row.itemsize
                if whole:
                    columns = decode_rows(of, held[:whole])
                    held = held[whole:]
                    numbers = columns.pop("instrument_id")
                    records = to_records(of.kind, columns, len(numbers), 0)
                    if "instrument_id" in (records.dtype.names or ()):
                        records["instrument_id"] = given[numbers]
                    yield Chunk(source, columns[of.kind.time], columns[SEQUENCE], records)
            if held != TRAILER:
                raise CatalogError(f"{len(held)} bytes behind the last row", where=f"{self.where} {kind}_rows")
        finally:
            pieces.close()

    def _copied(self, text: str) -> Any:
        """What COPY gives, piece by piece, no more than a few pieces ahead."""
        queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(AHEAD)

        async def copy() -> None:
            try:
                lines = await connect(self._url, "nautilus catalog reader")
                try:
                    joined = _Joined(queue)
                    await lines.copy_from_query(text, output=joined.put, format="binary")
                    await joined.end()
                finally:
                    lines.terminate()
                await queue.put(None)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                await queue.put(error if isinstance(error, CatalogError) else named_error(error, self.where))

        async def begin() -> asyncio.Task[None]:
            return asyncio.ensure_future(copy())

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task = self._run(begin())
        try:
            while (piece := self._run(queue.get())) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self._run(end())

    def _ask(self, text: str, trusted: bool) -> pa.Table:
        names, types, rows = self._run(self._fetch(text, trusted))
        pa = arrow()
        columns = []
        for at, kind in enumerate(types):
            columns.append(_column([row[at] for row in rows], kind))
        return pa.table(columns, names=_distinct(names))

    async def _fetch(self, text: str, trusted: bool) -> tuple[list[str], list[str], list[Any]]:
        pg = asyncpg()
        most_ms = str(int(self.config.query_seconds * 1000))
        lines = await connect(
            self._url,
            "nautilus catalog query",
            search_path=f"{SCHEMA}, pg_catalog",
            default_transaction_read_only="on",
            standard_conforming_strings="on",
            statement_timeout=most_ms,
            lock_timeout=most_ms,
            idle_in_transaction_session_timeout=IDLE_MS,
        )
        try:
            if not trusted and await lines.fetchval("SELECT current_setting('is_superuser')") == "on":
                # A superuser's SELECT reads files of the server, and more.
                raise QueryError(
                    "SQL of a superuser",
                    where=self.where,
                    expected="store.url of a user that may only read market_data",
                )
            async with lines.transaction(readonly=True):
                if not trusted:
                    await check_query(lines, text)
                statement = await lines.prepare(text)
                attributes = statement.get_attributes()
                # Only what gives rows and changes nothing can be a cursor.
                await lines.fetch(f"DECLARE answer NO SCROLL CURSOR FOR {text}")
                types = [each.type.name for each in attributes]
                return [each.name for each in attributes], types, await self._fetched(lines, types)
        except (pg.PostgresError, pg.InterfaceError, OSError) as error:
            found = named_error(error, self.where)
            if isinstance(error, pg.UndefinedTableError):
                found = QueryError(str(error), expected="a view of the catalog")
            raise found from None
        finally:
            await lines.close()

    async def _fetched(self, lines: Any, types: Sequence[str]) -> list[Any]:
        """All rows of the cursor, in portions by the size of those before; QueryLimitError where they are too large."""
        long = [at for at, kind in enumerate(types) if kind not in _FIXED]
        rows: list[Any] = []
        size, count = 0, FIRST_FETCH
        while some := await lines.fetch(f"FETCH {count} FROM answer"):
            rows += some
            taken = len(some) * VALUE_BYTES * (1 + len(types)) + sum(_length(row[at]) for row in some for at in long)
            size += taken
            if size > self.config.query_mib << 20:
                raise QueryLimitError(
                    f"an answer of over {self.config.query_mib} MiB",
                    expected="a limit, a shorter range, or catalog.query_mib",
                )
            count = max(1, min(FETCH, 8 * count, PORTION * len(some) // taken))
        return rows


class _Joined:
    """Gathers what COPY gives row by row into larger pieces."""

    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue
        self._held: list[bytes] = []
        self._size = 0

    async def put(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= 1 << 20:
            await self.end()

    async def end(self) -> None:
        await self._queue.put(b"".join(self._held))
        self._held, self._size = [], 0


def _length(value: Any) -> int:
    """Bytes of a value beyond those of any other, about."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(VALUE_BYTES + _length(each) for each in value)
    return 0 if value is None else len(str(value))


def _named(columns: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in columns) or "*"


def _column(values: list[Any], kind: str) -> Any:
    pa = arrow()
    if kind == "numeric":
        places = max((-int(value.as_tuple().exponent) for value in values if value is not None), default=0)
        digits = max((len(value.as_tuple().digits) for value in values if value is not None), default=1)
        if max(digits, places) <= 38:
            return pa.array(values, pa.decimal128(38, max(places, 0)))
        return pa.array([None if value is None else f"{Decimal(value):f}" for value in values], pa.string())
    if kind in ("timestamp", "timestamptz"):
        return pa.array(values, pa.timestamp("us", "UTC" if kind == "timestamptz" else None))
    if kind in _ARROW:
        return pa.array(values, getattr(pa, _ARROW[kind])())
    if kind in ("text[]", "_text"):
        return pa.array(values, pa.list_(pa.string()))
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _distinct(names: list[str]) -> list[str]:
    """Names as they are, with a number where one comes again."""
    return [name if names.index(name) == at else f"{name}_{at}" for at, name in enumerate(names)]
