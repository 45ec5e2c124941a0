"""What a reader found wrong or worth knowing in a file: the report that an import prints and keeps."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

SHOWN = 20
OUTLIER_FACTOR = 10.0
"""A price so many times the one before it, or a tenth of it, is named: it is kept, since markets do such things."""
GAP_FACTOR = 4
"""A pause so many times the usual distance of bars is a gap, unless it spans a night or a weekend."""
DAY_NS = 86_400_000_000_000


class Refusal(msgspec.Struct, frozen=True):
    """A row that was not read."""

    line: int
    field: str
    reason: str


class ValidationReport(msgspec.Struct):
    """What became of the rows of a file.

    Parameters
    ----------
    rows
        Rows seen, the head not counted.
    refused
        Rows not read; the first twenty are in `refusals`.
    missing
        Empty fields in rows that were read.
    duplicates, out_of_order
        Rows equal to the row before them, and those whose time is before its; they are read all the same.
    gaps
        Pauses between bars that are longer than usual.
    outliers
        Prices ten times, or a tenth of, the one before, and bars whose high or low does not hold open and close.
    rounded
        Numbers with more places than are kept.
    columns
        Name and type of each column, as inferred.
    settings
        What was inferred about the file: delimiter, time column, its unit and zone, what the rows are.
    """

    rows: int = 0
    refused: int = 0
    missing: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    gaps: int = 0
    outliers: int = 0
    rounded: int = 0
    refusals: list[Refusal] = []
    notes: list[str] = []
    columns: dict[str, str] = {}
    settings: dict[str, str] = {}

    def refuse(self, line: int, field: str, reason: str) -> None:
        """Count a row that is not read."""
        self.refused += 1
        if len(self.refusals) < SHOWN:
            self.refusals.append(Refusal(line, field, reason))

    def note(self, text: str) -> None:
        """Keep a sentence, at most twenty."""
        if len(self.notes) < SHOWN and text not in self.notes:
            self.notes.append(text)

    def plain(self) -> dict[str, Any]:
        """The report as plain values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def without(records: npt.NDArray[np.void], field: str) -> npt.NDArray[np.void]:
    """The records with nothing in a field whose values were made up; "": as they are."""
    if not field:
        return records
    plain = records.copy()
    plain[field] = 0
    return plain


class RowCheck:
    """Looks at rows as they go by; keeps the last one of the block before."""

    def __init__(self, report: ValidationReport, bar_ns: int = 0) -> None:
        self.report = report
        self.bar_ns = bar_ns
        self._last: dict[int, tuple[int, float, bytes]] = {}

    def add(
        self,
        times: npt.NDArray[np.int64],
        lines: npt.NDArray[np.int64],
        prices: npt.NDArray[Any] | None = None,
        raw: npt.NDArray[np.void] | None = None,
        stream: int = 0,
    ) -> None:
        """Take in the next rows of a stream.

        Parameters
        ----------
        times
            Nanoseconds.
        lines
            Line of each row.
        prices
            In any unit; 0: none.
        raw
            The records: equal neighbours are duplicates.
        stream
            Which of the file's instruments.
        """
        if not len(times):
            return
        last_ns, last_price, last_raw = self._last.get(stream, (int(times[0]), 0.0, b""))
        steps = np.diff(times, prepend=last_ns)
        back = steps < 0
        self.report.out_of_order += int(np.count_nonzero(back))
        if back.any():
            self.report.note(f"line {int(lines[np.argmax(back)])}: its time is before that of the row before it")
        if self.bar_ns:
            long = steps > GAP_FACTOR * self.bar_ns
            if self.bar_ns < DAY_NS:
                long &= times // DAY_NS == (times - steps) // DAY_NS
            else:
                long &= steps > 5 * DAY_NS
            self.report.gaps += int(np.count_nonzero(long))
            if long.any():
                at = int(np.argmax(long))
                self.report.note(f"line {int(lines[at])}: {steps[at] / 1e9:,.0f} s without a bar before it")
        if raw is not None:
            width = raw.dtype.itemsize
            flat = np.ascontiguousarray(raw).view(np.uint8).reshape(len(raw), width)
            same = (flat[1:] == flat[:-1]).all(axis=1)
            first = flat[0].tobytes() == last_raw
            self.report.duplicates += int(np.count_nonzero(same)) + first
            last_raw = flat[-1].tobytes()
        if prices is not None:
            values = prices[prices > 0].astype(np.float64)
            if len(values):
                before = np.empty_like(values)
                before[0] = last_price or values[0]
                before[1:] = values[:-1]
                odd = (values > before * OUTLIER_FACTOR) | (values * OUTLIER_FACTOR < before)
                self.report.outliers += int(np.count_nonzero(odd))
                if odd.any():
                    at = int(np.flatnonzero(prices > 0)[np.argmax(odd)])
                    self.report.note(f"line {int(lines[at])}: a price far from the one before it")
                last_price = float(values[-1])
        self._last[stream] = int(times[-1]), last_price, last_raw
