"""Rows of delimited text that are no records, as tables of declared schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.batch import Numbers
from nautilus.adapters.formats.delimited import Rows, name_of
from nautilus.adapters.formats.inference import Layout
from nautilus.adapters.formats.table import SCHEMAS, TIME, Table, arrow
from nautilus.adapters.formats.validation import RowCheck
from nautilus.adapters.formats.zones import NEW_YORK
from nautilus.core.delimited import DECIMAL, FLOAT, MISSING, TEXT, WHOLE, DelimitedBatch
from nautilus.core.delimited import TIME as TIME_FIELD

if TYPE_CHECKING:
    import pyarrow as pa

ARROW = {WHOLE: "int64", FLOAT: "double", TEXT: "string", TIME_FIELD: "int64", DECIMAL: "double"}


class DelimitedTable(Table):
    """Rows of delimited text as a table of a declared schema.

    Parameters
    ----------
    zone
        Of times that name none; left out: UTC, for factors and margins New York.
    """

    format = "csv"

    def __init__(self, path: Path, layout: Layout, *, symbol: str = "", zone: str = "") -> None:
        rows = layout.rows if layout.rows in (*SCHEMAS, "panel", "table") else "table"
        name = symbol or name_of(path)
        if rows == "series" and not symbol:
            name = layout.names[1 - layout.time]
        super().__init__(path, name, rows, TIME if layout.time >= 0 else "")
        if rows in ("factor", "margin") and not zone:
            zone = NEW_YORK
        self._layout = layout
        self._rows = Rows(path, layout, zone, {}, None, self.report)

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._rows.reader.progress

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows; see `Table.batches`."""
        pa = arrow(self.path)
        check = RowCheck(self.report)
        for batch in self._rows.batches():
            if not len(batch):
                continue
            times = self._rows.times(batch) if self._layout.time >= 0 else None
            if times is not None:
                check.add(times, batch.lines)
            columns = self._columns(batch, times)
            arrays = [pa.array(values, mask=mask, type=pa.type_for_alias(kind)) for _, values, mask, kind in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=[each[0] for each in columns])

    def _columns(self, batch: DelimitedBatch, times: Numbers | None) -> list[tuple[str, Any, Any, str]]:
        """(name, values, mask, type) of each column of the schema."""
        layout = self._layout
        out: list[tuple[str, Any, Any, str]] = []
        if self.schema_name in SCHEMAS:
            values = iter([i for i in range(len(layout.names)) if i != layout.time])
            for name, kind, _ in SCHEMAS[self.schema_name]:
                if name == TIME:
                    out.append((name, times, None, kind))
                elif kind == "string":
                    out.append((name, [self.name] * len(batch), None, kind))
                else:
                    out.append((name, *self._values(batch, next(values), real=True), kind))
            return out
        if times is not None:
            out.append((TIME, times, None, "int64"))
        for i, name in enumerate(layout.names):
            if i == layout.time:
                continue
            real = self.schema_name == "panel"
            values_, mask = self._values(batch, i, real=real)
            kind = "double" if real else ARROW[layout.types[i]]
            out.append((name if name != TIME else f"{name}_", values_, mask, kind))
        return out

    def _values(self, batch: DelimitedBatch, column: int, *, real: bool) -> tuple[Any, npt.NDArray[np.bool_] | None]:
        kind = self._layout.types[column]
        if kind == TEXT:
            texts = batch.texts(column)
            self.report.missing += texts.count("")
            return texts, None
        values: Any = batch.floats(column) if kind == FLOAT else batch.values[column]
        mask = np.isnan(values) if kind == FLOAT else values == MISSING
        self.report.missing += int(np.count_nonzero(mask))
        if real and kind != FLOAT:
            values = values.astype(np.float64)
        return values, mask
