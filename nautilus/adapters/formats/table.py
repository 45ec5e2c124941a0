"""Tables: rows that are no quotes, trades, book changes or bars, with a declared schema and as Arrow."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from nautilus.adapters.formats.validation import ValidationReport
from nautilus.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

TIME = "time_ns"


class Column(NamedTuple):
    """A column of a declared schema: its Arrow type by name, and what it means."""

    name: str
    type: str
    meaning: str


SCHEMAS: dict[str, tuple[Column, ...]] = {
    "margin": (
        Column("instrument", "string", "symbol of the future"),
        Column(TIME, "int64", "valid from, nanoseconds UTC"),
        Column("initial", "double", "initial margin of one contract"),
        Column("maintenance", "double", "maintenance margin of one contract"),
    ),
    "series": (
        Column("series", "string", "name of the series"),
        Column(TIME, "int64", "of the value, nanoseconds UTC"),
        Column("value", "double", "the value; null: none that day"),
    ),
    "factor": (
        Column("instrument", "string", "symbol of the share"),
        Column(TIME, "int64", "last day of the factors, nanoseconds UTC"),
        Column("price_factor", "double", "for dividends"),
        Column("split_factor", "double", "for splits"),
        Column("reference_price", "double", "close of the day before"),
    ),
    "option_quote": (
        Column("underlying", "string", "symbol of the share"),
        Column("right", "string", "call or put"),
        Column("strike", "double", "strike price"),
        Column("expiry", "string", "last day, YYYY-MM-DD"),
        Column("style", "string", "american or european"),
        Column(TIME, "int64", "begin of the bar, nanoseconds UTC"),
        *(Column(f"bid_{name}", "double", "of the bid; null: no bid") for name in ("open", "high", "low", "close")),
        Column("bid_size", "int64", "of the last bid"),
        *(Column(f"ask_{name}", "double", "of the ask; null: no ask") for name in ("open", "high", "low", "close")),
        Column("ask_size", "int64", "of the last ask"),
    ),
}
"""Schemas that are fixed. A ``panel`` has `time_ns` and a double a series; a ``table`` the columns of its file."""


def arrow(where: object = "") -> Any:
    """The package pyarrow.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ConfigError(
            "pyarrow is not installed", where=str(where), expected="pip install nautilus-hybrid[data]"
        ) from error


class Table(ABC):
    """Rows of a file as Arrow record batches, read once from front to back.

    Attributes
    ----------
    path : the file.
    name : what the rows are of, such as the symbol or the series; the name of the table in a catalog.
    schema_name : a key of `SCHEMAS`, ``panel``, ``instrument`` or ``table``.
    time : the column of nanoseconds UTC, "" where the rows have none.
    report : what was found; complete once all batches were read.
    """

    format: ClassVar[str]

    def __init__(self, path: Path, name: str, schema_name: str, time: str = TIME) -> None:
        self.path = path
        self.name = name
        self.schema_name = schema_name
        self.time = time
        self.report = ValidationReport(refusals=[], notes=[], columns={}, settings={})

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in file order.

        Raises
        ------
        FormatError
            After everything before the fault has been given.
        """

    @property
    @abstractmethod
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""

    def read(self) -> pa.Table:
        """All rows."""
        pa = arrow(self.path)
        batches = list(self.batches())
        return pa.Table.from_batches(batches) if batches else pa.table({})

    def summary(self) -> dict[str, Any]:
        """Counters as plain values."""
        return {"format": self.format, "schema": self.schema_name, "name": self.name, "report": self.report.plain()}
