"""The writer of a catalog on PostgreSQL: what is handed in waits in the bounded queue and goes in by COPY.

One transaction takes several hand-overs: rows, positions of sources, and how many hand-overs of this writer are in by
then. Where the connection is lost in the middle of a commit, that number tells whether it counted, so nothing is sent
twice. It is this writer's alone, as another one may take the catalog and write while its connection is lost. When it
has the catalog again its rows are numbered behind those of the other, and what the other stored of the same sources is
not stored once more. What is committed is durable and seen by readers at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from nautilus.core.clock import now_ns
from nautilus.model.records import joined
from nautilus.store.catalog_columns import to_columns
from nautilus.store.catalog_errors import CatalogBusyError, CatalogError, CatalogFullError
from nautilus.store.catalog_facts import PROVENANCE, decode_facts, decode_table, fact_time
from nautilus.store.catalog_instruments import StoredInstrument, refined
from nautilus.store.catalog_intake import MARKED, PATIENCE_SECONDS, Intake
from nautilus.store.catalog_kinds import DAY_NS, RECORD_KINDS, SEQUENCE, TABLE, Records
from nautilus.store.catalog_log import MARK, Batch, Damage, Stream
from nautilus.store.catalog_log_reader import records_of
from nautilus.store.catalog_manifest import OriginKey
from nautilus.store.catalog_parts import day_of
from nautilus.store.catalog_periods import bounds_ns, period_of, server_unit
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_steps import factor
from nautilus.store.postgres_lines import UnreachableError, asyncpg, connect, failures, named_error, shown
from nautilus.store.postgres_rows import SCHEMA, encode_rows, layout
from nautilus.store.postgres_tables import (
    TABLES,
    check_name,
    create_partition,
    create_rows,
    fact_names,
    partition_name,
    table_type,
)

if TYPE_CHECKING:
    import pyarrow as pa

LOCK: Final = 0x6E617574_63617461
RETRY_SECONDS: Final = 0.25
ONCE_BYTES: Final = 32 << 20
"""Of one transaction, about."""
KEPT_DAYS: Final = 30
"""How long it is known how far a writer came that is not heard of any more."""


class PostgresWriter(Intake):
    """The writer.

    Parameters
    ----------
    url
        ``postgresql://user@host:port/database``.
    on_error
        Called, on the writer's thread, with each new error: a server that is away once until it is back.

    Raises
    ------
    CatalogBusyError
        Another one writes this catalog.
    UnreachableError
        The server does not answer.
    """

    def __init__(
        self,
        url: str,
        config: CatalogConfig | None = None,
        on_error: Callable[[Exception], object] = lambda error: None,
    ) -> None:
        super().__init__(shown(url), config or CatalogConfig(), on_error)
        self.notices: list[Damage] = []
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._lines: Any = None
        self._instruments: dict[str, StoredInstrument] = {}
        self._days: set[tuple[str, str]] = set()
        self._tables: set[str] = set()
        self._columns: dict[str, set[str]] = {}
        self._timescale = ""
        self._partitioned: set[str] = set()
        self._writer = secrets.randbits(62)
        self._committed = 0
        self._stored: dict[OriginKey, int] = {}
        try:
            self._loop.run_until_complete(self._open())
            self._numbered(0)
        except BaseException:
            self._loop.run_until_complete(self._leave())
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._run, name="catalog-postgres-writer", daemon=True)
        self._thread.start()

    def flush(self, *, publish: bool = False, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once all that was accepted before is committed: durable, and seen by readers.

        Raises
        ------
        UnreachableError, CatalogFullError
            The server is away, or has no room: it waits in memory, and goes on when that is over.
        """
        with self._guard:
            self._check()
            target = self._accepted
            self._work.notify()
            self._wait_for(lambda: self._durable >= target, lambda: self._failed or self._full, timeout_seconds)

    def close(self, *, publish: bool = True) -> None:
        """Flush, and give the catalog back; an error of the flush is raised once that is done."""
        with self._guard:
            if self._closing:
                return
        try:
            if self._failed is None:
                self.flush()
        finally:
            with self._guard:
                self._closing = True
                self._work.notify()
            self._thread.join(PATIENCE_SECONDS)
            self._loop.run_until_complete(self._leave())
            self._loop.close()

    def compact(self, kinds: object = (), instruments: object = None) -> int:
        """Nothing to do: the server keeps rows of a day together by itself."""
        return 0

    def append_table(self, name: str, table: pa.Table, **given: Any) -> bool:
        """As `Intake.append_table`; a name and types that the server takes."""
        check_name(name)
        for field in table.schema:
            table_type(field.type)
        return super().append_table(name, table, **given)

    def _known(self, key: str) -> StoredInstrument:
        found = self._instruments.get(key)
        if found is None:
            raise CatalogError(f"instrument {key!r} is not known here", expected="its description, the first time")
        return found

    # The thread.

    def _run(self) -> None:
        try:
            while self._some():
                pass
        except Exception as error:
            self._tell(error)
            with self._guard:
                self._failed = error
                self._done.notify_all()

    def _some(self) -> bool:
        with self._guard:
            if self._full is not None:
                self._work.wait_for(lambda: self._closing, RETRY_SECONDS)
            else:
                self._work.wait_for(lambda: self._closing or bool(self._queue))
            if self._closing:
                return False
            batches, size = [], 0
            for batch in self._queue:
                batches.append(batch)
                size += len(batch.payload)
                if size >= ONCE_BYTES:
                    break
        try:
            last = self._loop.run_until_complete(self._store(batches))
        except (UnreachableError, CatalogFullError) as error:
            first = self._full is None
            self._full = error
            if first:
                self._tell(error)
            else:
                self.counts.errors += 1
            with self._guard:
                self._done.notify_all()
            return True
        self._full = None
        with self._guard:
            while self._durable < last:
                self._durable += 1
                done = self._queue.popleft()
                self._queued_bytes -= len(done.payload)
                self.counts.published += done.rows
            self._done_up_to(last)
        return True

    async def _store(self, batches: list[Batch]) -> int:
        """Bring hand-overs in; how many are in by now."""
        try:
            if self._lines is None or self._lines.is_closed():
                await self._again()
                # What was sent when the connection was lost may be in.
                arrived = max(0, self._arrived - self._committed)
                self._committed += arrived
                if self._numbered(arrived) or arrived:
                    return self._durable + arrived
            if batches:
                try:
                    await self._transaction(batches)
                except asyncpg().CheckViolationError:
                    # No partition for a row: somebody has dropped a day that was there before.
                    self._days.clear()
                    await self._transaction(batches)
        except CatalogError:
            await self._leave()
            raise
        except failures() as error:
            await self._leave()
            raise named_error(error, self.where) from None
        self._committed += len(batches)
        return self._durable + len(batches)

    async def _transaction(self, batches: list[Batch]) -> None:
        async with self._lines.transaction():
            await self._insert(batches)

    async def _again(self) -> None:
        """Open once more. The lock may be that of the lost connection, which the server has not noticed yet."""
        try:
            await self._open()
        except CatalogBusyError as error:
            raise UnreachableError(
                f"the connection was lost, and {error.what}", where=self.where, expected="it is tried again"
            ) from None

    async def _open(self) -> None:
        self._lines = await connect(self._url, f"nautilus catalog {os.getpid()}")
        try:
            await self._prepare()
        except (asyncpg().PostgresError, OSError) as error:
            raise named_error(error, self.where) from None

    async def _prepare(self) -> None:
        lines = self._lines
        if not await lines.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            owner = await lines.fetchval(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND (classid::int8 << 32) | objid::int8 = $1 AND granted LIMIT 1",
                LOCK,
            )
            raise CatalogBusyError(f"{owner or 'another session'} writes it", where=self.where, expected="one writer")
        await lines.execute(TABLES)
        self._timescale = await _timescale(lines)
        self._tables.clear()
        self._partitioned.clear()
        self._days.clear()
        for row in await lines.fetch(f"SELECT instrument_id, description FROM {SCHEMA}.instruments"):
            known = msgspec.json.decode(row["description"], type=StoredInstrument)
            self._instruments[known.key] = msgspec.structs.replace(known, instrument_id=row["instrument_id"])
        self._sequence = await lines.fetchval(f"SELECT value FROM {SCHEMA}.meta WHERE key = 'sequence'") or 0
        for row in await lines.fetch(f"SELECT origin, kind, instrument, position FROM {SCHEMA}.origins"):
            self._stored[row["origin"], row["kind"], row["instrument"]] = row["position"]
        self._arrived = await self._enter()

    async def _enter(self) -> int:
        """Be one of the writers; how many hand-overs of this one are in."""
        await self._lines.execute(
            f"DELETE FROM {SCHEMA}.meta_writers WHERE seen_ns < $1 AND writer <> $2",
            *(now_ns() - KEPT_DAYS * DAY_NS, self._writer),
        )
        number: int = await self._lines.fetchval(
            f"INSERT INTO {SCHEMA}.meta_writers VALUES ($1, 0, $2) ON CONFLICT (writer)"
            " DO UPDATE SET seen_ns = excluded.seen_ns RETURNING batches",
            *(self._writer, now_ns()),
        )
        return number

    def _numbered(self, arrived: int) -> bool:
        """Number what waits behind all that is in, but for the first that have arrived; whether that changed it."""
        with self._guard:
            for key, position in self._stored.items():
                self._positions[key] = max(position, self._positions.get(key, 0))
            waiting = self._queue[arrived].sequence if len(self._queue) > arrived else self._next_sequence
            more = self._sequence + 1 - waiting
            if more <= 0:
                return False
            self._queue = deque(batch._replace(sequence=batch.sequence + more) for batch in self._queue)
            self._next_sequence += more
            return True

    async def _leave(self) -> None:
        lines, self._lines = self._lines, None
        if lines is not None and not lines.is_closed():
            try:
                await lines.close(timeout=5)
            except Exception:
                lines.terminate()

    async def _insert(self, batches: list[Batch]) -> None:
        groups: dict[Stream, list[Batch]] = {}
        positions: dict[tuple[str, str, str], int] = {}
        for batch in batches:
            stream = batch.stream
            if batch.position:
                place = MARKED if batch.type == MARK else (stream.kind, stream.instrument.key)
                key = (stream.origin, *place)
                if batch.position <= self._stored.get(key, 0):
                    continue  # by another writer, which had the catalog meanwhile
                positions[key] = batch.position
            if batch.rows:
                groups.setdefault(stream, []).append(batch)
        for stream, some in groups.items():
            owner = await self._instrument(stream.instrument)
            if stream.kind in RECORD_KINDS:
                await self._insert_records(stream, owner, some)
            elif stream.kind == TABLE:
                await self._insert_table(stream, owner, some)
            else:
                await self._insert_facts(stream, owner, some)
        if positions:
            await self._lines.executemany(
                f"INSERT INTO {SCHEMA}.origins VALUES ($1, $2, $3, $4) ON CONFLICT (origin, kind, instrument)"
                f" DO UPDATE SET position = greatest(origins.position, excluded.position)",
                [(*key, position) for key, position in positions.items()],
            )
        last = batches[-1]
        await self._lines.execute(
            f"INSERT INTO {SCHEMA}.meta VALUES ('sequence', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            last.sequence + last.rows - 1,
        )
        await self._lines.execute(
            f"UPDATE {SCHEMA}.meta_writers SET batches = $2, seen_ns = $3 WHERE writer = $1",
            *(self._writer, self._committed + len(batches), now_ns()),
        )

    async def _insert_records(self, stream: Stream, owner: StoredInstrument, batches: list[Batch]) -> None:
        of = layout(stream.kind)
        parts: list[Records] = [np.ascontiguousarray(records_of(batch, of.kind.dtype)) for batch in batches]
        records = joined(parts, of.kind.dtype)
        columns = to_columns(of.kind, records)
        columns[SEQUENCE] = np.concatenate([np.arange(b.sequence, b.sequence + b.rows) for b in batches])
        given = stream.instrument
        for names, times in (
            (of.kind.prices, factor(given.price_increment, owner.price_increment)),
            (of.kind.quantities, factor(given.lot_size, owner.lot_size)),
        ):
            if times != 1:
                columns |= {name: columns[name] * times for name in names}
        await self._ready(stream.kind)
        await self._days_of(stream.kind, owner, records[of.kind.time], records[of.kind.time])
        content = encode_rows(of, columns, owner.instrument_id, len(records))
        await self._lines.copy_to_table(
            f"{stream.kind}_rows", source=_pieces(content), columns=of.columns, schema_name=SCHEMA, format="binary"
        )

    async def _insert_facts(self, stream: Stream, owner: StoredInstrument, batches: list[Batch]) -> None:
        await self._ready(stream.kind)
        facts = [(f, b.sequence + at) for b in batches for at, f in enumerate(decode_facts(stream.kind, b.payload))]
        names = fact_names(stream.kind)
        rows = []
        for fact, sequence in facts:
            values = [getattr(fact, name) for name in names]
            where = [getattr(fact.provenance, field) for field in PROVENANCE.values()]
            plain = [_plain(value) for value in (*values, *where)]
            rows.append((owner.instrument_id, *plain, sequence))
        fetched = np.array([fact.provenance.fetched_ns for fact, _ in facts], np.int64)
        times = np.array([getattr(fact, fact_time(stream.kind)) for fact, _ in facts], np.int64)
        await self._days_of(stream.kind, owner, fetched, times)
        columns = ["instrument_id", *names, *PROVENANCE, SEQUENCE]
        await self._lines.copy_records_to_table(
            f"{stream.kind}_rows", records=rows, columns=columns, schema_name=SCHEMA
        )

    async def _insert_table(self, stream: Stream, owner: StoredInstrument, batches: list[Batch]) -> None:
        name = check_name(owner.symbol)
        await self._lines.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({SEQUENCE} int8 NOT NULL)")
        for batch in batches:
            table = decode_table(batch.payload)
            for field in table.schema:
                quoted = field.name.replace('"', '""')
                await self._lines.execute(
                    f'ALTER TABLE {SCHEMA}.{name} ADD COLUMN IF NOT EXISTS "{quoted}" {table_type(field.type)}'
                )
            columns = [column.to_pylist() for column in table.columns]
            sequence = range(batch.sequence, batch.sequence + batch.rows)
            await self._lines.copy_records_to_table(
                owner.symbol,
                records=list(zip(*columns, sequence, strict=True)),
                columns=[*table.column_names, SEQUENCE],
                schema_name=SCHEMA,
            )
            times = table.column(stream.time).to_numpy() if stream.time else np.zeros(len(table), np.int64)
            await self._range(TABLE, owner, day_of(now_ns()), len(table), int(times.min()), int(times.max()))

    async def _instrument(self, given: StoredInstrument) -> StoredInstrument:
        """The instrument with its number; its rows are counted anew where its steps have to become finer."""
        row = await self._lines.fetchrow(
            f"SELECT instrument_id, description FROM {SCHEMA}.instruments WHERE instrument = $1", given.key
        )
        if row is None:
            number = await self._lines.fetchval(
                f"INSERT INTO {SCHEMA}.instruments (instrument, symbol, venue, price_increment, lot_size,"
                " base_currency, quote_currency, product, description)"
                " VALUES ($1, $2, $3, $4::text::numeric, $5::text::numeric, $6, $7, $8, $9) RETURNING instrument_id",
                *(given.key, given.symbol, given.venue, given.price_increment or None, given.lot_size or None),
                *(given.base_currency, given.quote_currency, given.product, _text(given)),
            )
            known = msgspec.structs.replace(given, instrument_id=number)
        else:
            old = msgspec.json.decode(row["description"], type=StoredInstrument)
            old = msgspec.structs.replace(old, instrument_id=row["instrument_id"])
            known = refined(old, given)
            if known != old:
                await self._refine(old, known)
        self._instruments[known.key] = known
        return known

    async def _refine(self, old: StoredInstrument, new: StoredInstrument) -> None:
        price = factor(old.price_increment, new.price_increment)
        lot = factor(old.lot_size, new.lot_size)
        if self._timescale:
            # Rows of compressed chunks too, however many: it refuses over 100,000 of one transaction otherwise.
            await self._lines.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        for kind in RECORD_KINDS:
            if not await self._lines.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.{kind}_rows"):
                continue
            described = layout(kind).kind
            words = [f"{name} = {name} * {price}" for name in described.prices if price != 1]
            words += [f"{name} = {name} * {lot}" for name in described.quantities if lot != 1]
            if words:
                await self._lines.execute(
                    f"UPDATE {SCHEMA}.{kind}_rows SET {', '.join(words)} WHERE instrument_id = {new.instrument_id}"
                )
        await self._lines.execute(
            f"UPDATE {SCHEMA}.instruments SET price_increment = $2::text::numeric, lot_size = $3::text::numeric,"
            " description = $4 WHERE instrument_id = $1",
            *(new.instrument_id, new.price_increment or None, new.lot_size or None, _text(new)),
        )

    async def _ready(self, kind: str) -> None:
        if kind in self._tables:
            return
        # A table stays as it was made, whatever the server has learned since.
        sort = await self._lines.fetchval(
            "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)", f"{SCHEMA}.{kind}_rows"
        )
        timescale = "" if sort else self._timescale
        for statement in create_rows(kind, timescale):
            await self._lines.execute(statement)
        self._tables.add(kind)
        if sort == "p" or not (sort or timescale):
            self._partitioned.add(kind)

    async def _days_of(
        self, kind: str, owner: StoredInstrument, stored: np.ndarray[Any, Any], times: np.ndarray[Any, Any]
    ) -> None:
        """Partitions for rows, and what there is by day."""
        numbers = stored // DAY_NS
        for number in np.unique(numbers).tolist():
            day = day_of(number * DAY_NS)
            if kind in self._partitioned:
                await self._partition(kind, day)
            here = times[numbers == number]
            await self._range(kind, owner, day, len(here), int(here.min()), int(here.max()))

    async def _partition(self, kind: str, day: str) -> None:
        """The partition of a day: that of its month for a sparse kind, but where that has some of days already."""
        period = period_of(server_unit(kind), bounds_ns(day)[0])
        if (kind, period) in self._days or (kind, day) in self._days:
            return
        if period != day and await self._lines.fetchval(
            "SELECT count(*) FROM pg_class WHERE relnamespace = $1::regnamespace AND relname ~ $2",
            *(SCHEMA, f"^{partition_name(kind, period)}[0-9][0-9]$"),
        ):
            period = day
        await self._lines.execute(create_partition(kind, period))
        self._days.add((kind, period))

    async def _range(
        self, kind: str, owner: StoredInstrument, day: str, rows: int, first_ns: int, last_ns: int
    ) -> None:
        await self._lines.execute(
            f"INSERT INTO {SCHEMA}.ranges VALUES ($1, $2, $3::text::date, $4, $5, $6)"
            " ON CONFLICT (kind, instrument_id, day) DO UPDATE SET rows = ranges.rows + excluded.rows,"
            " first_ns = least(ranges.first_ns, excluded.first_ns),"
            " last_ns = greatest(ranges.last_ns, excluded.last_ns)",
            *(kind, owner.instrument_id, day, rows, first_ns, last_ns),
        )


async def _timescale(lines: Any) -> str:
    """Schema of TimescaleDB's functions; empty where hypertables cannot be had.

    The extension is made where it is installed and may be. Where the server did not load it at its start, asking for it
    would end the connection.
    """
    if await lines.fetchval("SELECT current_setting('timescaledb.disable_load', true)") != "off":
        return ""
    try:
        await lines.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except asyncpg().PostgresError:
        if lines.is_closed():
            raise
        return ""
    schema: str = await lines.fetchval(
        "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'timescaledb'"
    )
    return schema


async def _pieces(content: bytes) -> Any:
    for at in range(0, len(content), 1 << 20):
        yield content[at : at + (1 << 20)]


def _plain(value: Any) -> Any:
    """A field as the server takes it: no text there has a NUL."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.replace("\0", "") if isinstance(value, str) else value


def _text(instrument: StoredInstrument) -> str:
    return msgspec.json.encode(msgspec.structs.replace(instrument, instrument_id=0)).decode()
