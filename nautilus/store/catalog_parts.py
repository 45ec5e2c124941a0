"""Parquet files of a catalog: written whole or not at all, sorted by time, with statistics and checksums of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from nautilus.model.errors import ConfigError
from nautilus.store.catalog_columns import to_columns
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import DAY_NS, SEQUENCE, Kind, Records
from nautilus.store.catalog_names import safe_name
from nautilus.store.catalog_periods import unit_of

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX, UNFINISHED = ".parquet", ".unfinished"
ROW_GROUP: Final = 1 << 17
"""Rows that have statistics of their own, and are read or passed over together."""
META: Final = b"nautilus"
COMPRESSIONS: Final = ("zstd", "snappy", "lz4", "none")


class PartMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file says of itself, so that the list can be made anew from the files.

    Parameters
    ----------
    day
        The period of the file; `first_day` and `last_day` are of its rows, where that is no day.
    """

    kind: str
    instrument: StoredInstrument
    day: str
    first_ns: int
    last_ns: int
    first_sequence: int
    last_sequence: int
    replaces: tuple[str, ...] = ()
    segment: int = 0
    schema: int = 1
    time: str = ""
    first_day: str = ""
    last_day: str = ""


def arrow() -> Any:
    """pyarrow.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "pyarrow is not installed", where="the catalog", expected='pip install "nautilus-hybrid[data]"'
        ) from None
    return pyarrow


def duckdb() -> Any:
    """DuckDB; ConfigError where it is not installed."""
    try:
        import duckdb
    except ImportError:
        raise ConfigError(
            "duckdb is not installed", where="the catalog", expected='pip install "nautilus-hybrid[data]"'
        ) from None
    return duckdb


def day_of(time_ns: int) -> str:
    """Date, UTC."""
    return str(np.datetime64(time_ns // DAY_NS, "D"))


def part_path(kind: str, key: str, period: str, name: str) -> str:
    """Where a file lies, from the catalog's root."""
    return f"{kind}/instrument={safe_name(key)}/{unit_of(period)}={period}/{name}{SUFFIX}"


def record_table(kind: Kind, records: Records, sequence: npt.NDArray[np.int64]) -> pa.Table:
    """Arrow table of records in order of time."""
    pa = arrow()
    columns = to_columns(kind, records)
    columns[SEQUENCE] = sequence
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def in_order(times: npt.NDArray[np.int64], sequence: npt.NDArray[np.int64]) -> npt.NDArray[np.intp] | None:
    """Order by (time, sequence); None: they are in it."""
    later = times[1:] > times[:-1]
    if later.all() or (later | ((times[1:] == times[:-1]) & (sequence[1:] > sequence[:-1]))).all():
        return None
    return np.lexsort((sequence, times))
