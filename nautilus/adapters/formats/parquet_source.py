"""A Parquet file: what its columns are by their names, its rows in batches, its times."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.batch import Numbers
from nautilus.adapters.formats.inference import ROLES, TIME_NAMES, UNITS, normal
from nautilus.adapters.formats.recording import FormatError
from nautilus.adapters.formats.table import arrow
from nautilus.adapters.formats.zones import to_utc

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_MAGIC = b"PAR1"
EXPECTED = "a whole Parquet file"
BATCH_ROWS = 1 << 16
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
Mask = npt.NDArray[np.bool_]


class ParquetSource:
    """A file with the roles of its columns."""

    def __init__(self, path: Path) -> None:
        arrow(path)
        self.path = path
        self.done = 0
        parquet = importlib.import_module("pyarrow.parquet")
        try:
            self.file = parquet.ParquetFile(path)
        except OSError as error:
            raise FormatError(_words(error), where=str(path), expected=EXPECTED) from error
        except arrow(path).ArrowException as error:
            raise FormatError(_words(error), where=str(path), expected=EXPECTED) from error
        self.schema = self.file.schema_arrow
        self.count = int(self.file.metadata.num_rows)
        if not self.count:
            raise FormatError("has no rows", where=str(path), expected="rows")
        names = [normal(name) for name in self.schema.names]
        self.roles: dict[str, int] = {}
        for role, known in ROLES.items():
            for word in known:
                if word in names:
                    self.roles.setdefault(role, names.index(word))
                    break
        self.time = self._time(names)
        found = self.roles.keys()
        self.rows = "table"
        if self.time >= 0:
            if {"open", "high", "low", "close"} <= found:
                self.rows = "bar"
            elif {"bid", "ask"} <= found:
                self.rows = "quote"
            elif {"price", "size"} <= found:
                self.rows = "trade"

    def _time(self, names: list[str]) -> int:
        types = arrow(self.path).types
        for i, name in enumerate(names):
            kind = self.schema.types[i]
            if types.is_timestamp(kind) or types.is_date(kind) or (types.is_integer(kind) and name in TIME_NAMES):
                return i
        return -1

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in file order."""
        self.done = 0
        try:
            for batch in self.file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                self.done += len(batch)
                yield batch
        except (OSError, arrow(self.path).ArrowException) as error:
            raise FormatError(_words(error), where=f"{self.path}:{self.done + 1}", expected=EXPECTED) from error

    def times(self, array: Any, zone: str) -> tuple[Numbers, Mask]:
        """A column of times as nanoseconds UTC, and which rows have one; of no zone of its own, that of `zone`."""
        pa = arrow(self.path)
        kind, there = array.type, array.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_date(kind):
            array = array.cast(pa.timestamp("s"))
        # With nulls an array would become one of floats, which have not room for nanoseconds.
        values: Numbers = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        if pa.types.is_integer(kind):
            largest = float(values.max(initial=0))
            for _, least, most, unit_ns in UNITS:
                if least <= largest < most:
                    return values * unit_ns, there
            if not there.any():
                return values, there
            first = int(values[np.argmax(there)])
            raise FormatError(f"time {first}", where=f"{self.path}:1", expected="nanoseconds, or s, ms, us")
        if pa.types.is_date(kind):
            return to_utc(values * 10**9, zone or "UTC"), there
        values = values * NANOSECONDS[kind.unit]
        return (values if kind.tz else to_utc(values, zone or "UTC")), there


def _words(error: Exception) -> str:
    return f"is damaged: {' '.join(str(error).split())[:200]}"
