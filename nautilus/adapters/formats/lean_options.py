"""Lean's option chains: a zip archive with a file of quote bars for each contract, as one table.

::

    aapl_quote_american_call_10000000_20150117.csv       underlying, rows, style, right, strike x 10,000, last day
    20140606 00:00,14900,15900,10400,12100,30,16300,19500,12500,13300,6
                                                         begin; bid open, high, low, close, size; the same of the ask
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from nautilus.adapters.formats.archives import EXPECTED_ZIP, members
from nautilus.adapters.formats.lean import fault_of
from nautilus.adapters.formats.recording import FormatError
from nautilus.adapters.formats.table import SCHEMAS, Table, arrow
from nautilus.adapters.formats.zones import NEW_YORK, to_utc
from nautilus.core.delimited import DECIMAL, MISSING, TIME, DelimitedDecoder

if TYPE_CHECKING:
    import pyarrow as pa

CONTRACT = re.compile(
    r"(?P<underlying>[a-z0-9.\-]+)_quote_(?P<style>american|european)_(?P<right>call|put)_(?P<strike>\d+)_(?P<expiry>\d{8})\.csv",
    re.IGNORECASE,
)
FIELDS = ("time", *(f"{side} {part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close", "size")))
SIDES = ("bid", 1), ("ask", 6)
BATCH_ROWS = 1 << 14
PRICE_UNIT = 10_000.0


def is_option_archive(path: Path) -> bool:
    """Whether every file of an archive is named like a contract."""
    return all(CONTRACT.fullmatch(PurePosixPath(name).name) for name in members(path))


class LeanOptions(Table):
    """The quotes of an option chain, contract by contract.

    Raises
    ------
    FormatError
        While reading: an archive that is damaged, or a line that is no quote bar.
    """

    format = "lean-options"

    def __init__(self, path: Path, *, symbol: str = "", zone: str = "") -> None:
        found = CONTRACT.fullmatch(PurePosixPath(members(path)[0]).name)
        assert found is not None
        super().__init__(path, symbol or f"{found['underlying'].upper()}_options", "option_quote")
        self.zone = zone or NEW_YORK
        self.report.settings |= {"rows": "option_quote", "zone": self.zone, "prices": "1/10000"}
        self._done = self._all = 0

    @property
    def progress(self) -> float:
        """Part of the contracts that was read, 0 to 1."""
        return self._done / self._all if self._all else 0.0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, contract by contract."""
        names = members(self.path)
        self._all = len(names)
        held: list[dict[str, Any]] = []
        rows = 0
        with zipfile.ZipFile(self.path) as archive:
            for name in names:
                held.append(self._contract(archive, name))
                self._done += 1
                rows += len(held[-1]["time_ns"])
                if rows >= BATCH_ROWS:
                    yield self._batch(held)
                    held, rows = [], 0
        if held:
            yield self._batch(held)

    def _contract(self, archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
        found = CONTRACT.fullmatch(PurePosixPath(name).name)
        assert found is not None
        try:
            text = archive.read(name)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
            what = f"the compressed data is damaged ({error})"
            raise FormatError(what, where=f"{self.path}:{name}", expected=EXPECTED_ZIP) from error
        decoder = DelimitedDecoder(",", (TIME, *[DECIMAL] * 10), optional=(False, *[True] * 10))
        batch = decoder.decode(text)
        self.report.rows += decoder.rows
        if batch.refused:
            raise fault_of(batch, FIELDS, f"{self.path}:{name}")
        expiry = found["expiry"]
        columns: dict[str, Any] = {
            "underlying": found["underlying"].upper(),
            "right": found["right"].lower(),
            "strike": int(found["strike"]) / PRICE_UNIT,
            "expiry": f"{expiry[:4]}-{expiry[4:6]}-{expiry[6:]}",
            "style": found["style"].lower(),
            "time_ns": to_utc(batch.values[0], self.zone),
        }
        for side, first in SIDES:
            for place, part in enumerate(("open", "high", "low", "close")):
                values = batch.values[first + place]
                columns[f"{side}_{part}"] = np.where(values == MISSING, np.nan, values / PRICE_UNIT)
            sizes = batch.values[first + 4]
            columns[f"{side}_size"] = np.where(sizes == MISSING, 0, sizes)
        self.report.missing += int(np.count_nonzero(batch.values == MISSING))
        return columns

    def _batch(self, held: list[dict[str, Any]]) -> pa.RecordBatch:
        pa = arrow(self.path)
        counts = [len(each["time_ns"]) for each in held]
        arrays, fields = [], []
        for name, kind, _ in SCHEMAS["option_quote"]:
            values = [each[name] for each in held]
            if isinstance(values[0], np.ndarray):
                joined = np.concatenate(values)
                array = pa.array(joined, mask=np.isnan(joined) if joined.dtype.kind == "f" else None)
            else:
                array = pa.array(np.repeat(np.array(values), counts).tolist(), type=pa.type_for_alias(kind))
            arrays.append(array)
            fields.append(pa.field(name, pa.type_for_alias(kind)))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
