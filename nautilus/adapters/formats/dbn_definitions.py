"""Instrument definitions of Databento files, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nautilus.adapters.formats.dbn import DEFINITION, UNIT_DECIMALS, Scan, pieces
from nautilus.adapters.formats.table import TIME, Table, arrow
from nautilus.core.dbn import UNDEFINED_PRICE

if TYPE_CHECKING:
    import pyarrow as pa

NO_TIME = (1 << 64) - 1
# Fields of a definition that are kept; prices become numbers.
DEFINED = (
    "raw_symbol", "instrument_class", "exchange", "asset", "currency", "underlying", "security_type", "cfi",
    "min_lot_size_round_lot",
)  # fmt: skip
PRICED = ("min_price_increment", "display_factor", "strike_price", "high_limit_price", "low_limit_price")


class DbnDefinitions(Table):
    """Instrument definitions as rows; a price that is not told is null."""

    format = "dbn"

    def __init__(self, path: Path, found: Scan, symbol: str = "") -> None:
        super().__init__(path, symbol or f"{found.dataset}_instruments", "instrument")
        self._all = sum(found.rtypes.values())
        self.report.settings = {"rows": "definition", "dataset": found.dataset}

    @property
    def progress(self) -> float:
        """Part of the records that was read, 0 to 1."""
        return self.report.rows / self._all

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The definitions in file order."""
        pa = arrow(self.path)
        for _, groups in pieces(self.path):
            for rtype, run in groups:
                if rtype != DEFINITION or not run:
                    continue
                self.report.rows += len(run)
                columns: dict[str, Any] = {
                    TIME: pa.array([int(each.ts_recv) for each in run], type=pa.int64()),
                    "instrument_id": pa.array([int(each.instrument_id) for each in run], type=pa.int64()),
                }
                for name in DEFINED:
                    values = [getattr(each, name) for each in run]
                    plain = [
                        each if isinstance(each, int) else str(getattr(each, "value", each)).strip() for each in values
                    ]
                    columns[name] = pa.array(plain)
                for name in PRICED:
                    values = [int(getattr(each, name)) for each in run]
                    columns[name] = pa.array(
                        [None if each == UNDEFINED_PRICE else each / 10**UNIT_DECIMALS for each in values],
                        type=pa.float64(),
                    )
                for name in ("activation", "expiration"):
                    stamps = [int(getattr(each, name)) for each in run]
                    columns[f"{name}_ns"] = pa.array(
                        [None if each == NO_TIME else each for each in stamps], type=pa.int64()
                    )
                yield pa.RecordBatch.from_pydict(columns)
