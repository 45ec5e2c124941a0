"""Queries of a catalog by DuckDB, in a connection of its own that reads the catalog's files and nothing else."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import FACT_KINDS, RECORD_KINDS, TABLE
from nautilus.store.catalog_manifest import Part
from nautilus.store.catalog_parts import duckdb
from nautilus.store.catalog_views import identifier, instruments_table, view_text

if TYPE_CHECKING:
    import pyarrow as pa

INSTRUMENTS: Final = "instruments"
LONGEST_SQL: Final = 64 << 10
BATCH_ROWS: Final = 1 << 16
_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@contextmanager
def bounded(lines: Any, seconds: float) -> Iterator[None]:
    """Break a query off after so long, and give its errors the catalog's names."""
    db = duckdb()
    timer = threading.Timer(seconds, lines.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except db.InterruptException:
        raise QueryError(
            "the query takes too long", expected=f"at most {seconds:g} s (catalog.query_seconds)"
        ) from None
    except (db.OutOfMemoryException, MemoryError) as error:
        raise QueryError(f"the query takes too much memory: {_first(error)}", expected="catalog.query_mib") from None
    except db.PermissionException as error:
        raise QueryError(_first(error), expected="a query of the catalog's own views") from None
    except (db.ParserException, db.BinderException, db.CatalogException, db.ConversionException) as error:
        raise QueryError(_first(error), expected="SELECT over the views of the catalog") from None
    except (db.Error, OSError, ValueError) as error:
        # What fails while the answer is streamed comes as an error of Arrow.
        if "INTERRUPT" in str(error):
            raise QueryError("the query takes too long", expected=f"at most {seconds:g} s") from None
        raise QueryError(f"the query failed: {_first(error)}") from None
    finally:
        timer.cancel()


def check_select(lines: Any, text: str) -> None:
    """Refuse what is not one SELECT."""
    if len(text) > LONGEST_SQL:
        raise QueryError(f"a query of {len(text)} characters", expected=f"at most {LONGEST_SQL}")
    db = duckdb()
    try:
        statements = lines.extract_statements(text)
    except db.Error as error:
        raise QueryError(_first(error), expected="one SELECT") from None
    if len(statements) != 1 or statements[0].type != db.StatementType.SELECT:
        found = ", ".join(str(each.type).rpartition(".")[2] for each in statements) or "nothing"
        raise QueryError(f"{found}", where="the query", expected="one SELECT")


def make_views(
    lines: Any,
    root: Path,
    text: str,
    parts_of: Callable[[Sequence[str]], list[Part]],
    instruments_of: Callable[[], Sequence[StoredInstrument]],
) -> None:
    """The views that a query names: one a kind, one a user's table, and `instruments`."""
    words = {word.lower() for word in _WORDS.findall(text)}
    kinds = [kind for kind in (*RECORD_KINDS, *FACT_KINDS) if kind in words]
    parts = parts_of(kinds) if kinds else []
    table_parts = parts_of([TABLE])
    # Behind the files: of a file that a writer adds meanwhile the instrument is known too.
    instruments = instruments_of()
    known = {each.instrument_id: each for each in instruments}
    for kind in kinds:
        some = [part for part in parts if part.kind == kind]
        lines.execute(f"CREATE TEMP VIEW {identifier(kind)} AS {view_text(kind, root, some, known)}")
    if INSTRUMENTS in words:
        lines.register(INSTRUMENTS, instruments_table(instruments))
    tables: dict[int, list[Part]] = {}
    for part in table_parts:
        if known[part.instrument].symbol in text:
            tables.setdefault(part.instrument, []).append(part)
    for owner, some in tables.items():
        name = known[owner].symbol
        if name not in kinds and name != INSTRUMENTS:
            lines.execute(f"CREATE TEMP VIEW {identifier(name)} AS {view_text(TABLE, root, some, known)}")


def reader_of(lines: Any, text: str, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
    """Run a query; its answer as a stream of record batches."""
    return lines.sql(text).to_arrow_reader(rows)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
