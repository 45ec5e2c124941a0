"""Queries of a catalog by DuckDB, in a connection of its own that reads the catalog's files and nothing else."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nautilus.store.catalog_errors import QueryError, QueryLimitError
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import FACT_KINDS, RECORD_KINDS, TABLE
from nautilus.store.catalog_manifest import Part
from nautilus.store.catalog_parts import duckdb
from nautilus.store.catalog_sql import Named
from nautilus.store.catalog_views import identifier, instruments_table, view_text

if TYPE_CHECKING:
    import pyarrow as pa

INSTRUMENTS: Final = "instruments"
BATCH_ROWS: Final = 1 << 16
_NO_MEMORY: Final = re.compile(r"bad_alloc|out of memory|cannot allocate|failed to allocate|malloc of size", re.I)
"""How an allocation that failed is told where it has no class of its own."""


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
        raise _too_long(seconds) from None
    except (db.OutOfMemoryException, MemoryError):
        raise _too_large() from None
    except db.PermissionException as error:
        raise QueryError(_first(error), expected="a query of the catalog's own views") from None
    except (db.ParserException, db.BinderException, db.CatalogException, db.ConversionException) as error:
        raise QueryError(_first(error), expected="SELECT over the views of the catalog") from None
    except (db.Error, OSError, ValueError, RuntimeError) as error:
        # What fails while the answer is streamed comes as an error of Arrow.
        if "INTERRUPT" in str(error):
            raise _too_long(seconds) from None
        if _NO_MEMORY.search(str(error)):
            raise _too_large() from None
        raise QueryError(f"the query failed: {_first(error)}") from None
    finally:
        timer.cancel()


def _too_long(seconds: float) -> QueryLimitError:
    return QueryLimitError("the query takes too long", expected=f"at most {seconds:g} s (catalog.query_seconds)")


def _too_large() -> QueryLimitError:
    return QueryLimitError(
        "the query takes too much memory", expected="less than catalog.query_mib, and catalog.process_mib over HTTP"
    )


def make_views(
    lines: Any,
    root: Path,
    named: Named,
    parts_of: Callable[[Sequence[str]], list[Part]],
    instruments_of: Callable[[], Sequence[StoredInstrument]],
) -> None:
    """The views that a query names: one a kind, one a user's table, and `instruments`.

    Raises
    ------
    QueryError
        It names what is no view and nothing that it defines itself.
    """
    kinds = [kind for kind in (*RECORD_KINDS, *FACT_KINDS) if kind in named.tables]
    parts = parts_of(kinds) if kinds else []
    table_parts = parts_of([TABLE])
    # Behind the files: of a file that a writer adds meanwhile the instrument is known too.
    instruments = instruments_of()
    known = {each.instrument_id: each for each in instruments}
    for kind in kinds:
        some = [part for part in parts if part.kind == kind]
        lines.execute(f"CREATE TEMP VIEW {identifier(kind)} AS {view_text(kind, root, some, known)}")
    if INSTRUMENTS in named.tables:
        lines.register(INSTRUMENTS, instruments_table(instruments))
    made = {*kinds, INSTRUMENTS}
    tables: dict[str, list[Part]] = {}
    for part in table_parts:
        tables.setdefault(known[part.instrument].symbol, []).append(part)
    for name, some in tables.items():
        if name.lower() in named.tables - made:
            lines.execute(f"CREATE TEMP VIEW {identifier(name)} AS {view_text(TABLE, root, some, known)}")
            made.add(name.lower())
    _check_known(named.tables - named.defined - made, {*RECORD_KINDS, *FACT_KINDS, INSTRUMENTS, *tables})


def _check_known(unknown: Set[str], there_are: Set[str]) -> None:
    if unknown:
        raise QueryError(
            f"there is no {', '.join(sorted(unknown))}",
            expected=f"a view of the catalog: {', '.join(sorted(there_are))}",
        )


def reader_of(lines: Any, text: str, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
    """Run a query; its answer as a stream of record batches."""
    return lines.sql(text).to_arrow_reader(rows)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
