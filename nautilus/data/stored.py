"""Stored data on this machine or on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nautilus.data.questions import Names, Questions
from nautilus.data.times import Time, nanoseconds
from nautilus.store.catalog_open import AnyCatalog, open_catalog
from nautilus.store.catalog_views import instruments_table, ranges_table

if TYPE_CHECKING:
    import pyarrow as pa


class Stored(Questions):
    """A catalog. `catalog` is the object below it, which also gives records and its writer."""

    def __init__(self, catalog: AnyCatalog) -> None:
        self.catalog = catalog

    def instruments(self) -> pa.Table:
        return instruments_table(self.catalog.instruments())

    def ranges(self) -> pa.Table:
        return ranges_table(self.catalog.ranges())

    def query(
        self,
        kind: str,
        instruments: Names = None,
        begin: Time = None,
        end: Time = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> pa.Table:
        return self.catalog.query(
            kind, instruments, nanoseconds(begin), nanoseconds(end), columns=columns, limit=limit, order=order
        )

    def sql(self, text: str) -> pa.Table:
        return self.catalog.sql(text)

    def close(self) -> None:
        self.catalog.close()


def open(where: str | Path) -> Stored:
    """Stored data of a directory, or of ``postgresql://user@host/database``.

    Raises
    ------
    CatalogError
        There is no catalog.
    ConfigError
        The extra ``data`` is not installed.
    """
    catalog = open_catalog(where)
    catalog.ranges()
    return Stored(catalog)
