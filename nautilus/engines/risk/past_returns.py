"""Past returns of instruments on common times: a row for each, added one by one as instruments come to be held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.panel import Panel, Series
from nautilus.maths.errors import Undefined
from nautilus.model.history import SeriesKind
from nautilus.model.instrument import Instrument

Floats = NDArray[np.float64]


class PastReturns:
    """The newest steps that all of the measured instruments have.

    Parameters
    ----------
    window
        Steps at most.

    Attributes
    ----------
    rows : instrument to its row in `returns`; others have no history, or none that goes with the rest.
    """

    def __init__(self, panel: Panel, instruments: Mapping[int, Instrument], window: int) -> None:
        self._panel = panel
        self._instruments = instruments
        self._window = window
        self.rows: dict[int, int] = {}
        self._times = np.zeros(0, np.int64)
        self._plain = False  # all are series of returns on the same times, which are taken as they are
        self._matrix = np.zeros((0, 0))

    @property
    def returns(self) -> Floats:
        """Instruments x steps."""
        return self._matrix[: len(self.rows)]

    @property
    def steps(self) -> int:
        """How many there are."""
        return self._matrix.shape[1]

    def measure(self, instrument_ids: Iterable[int]) -> None:
        """Take these, on the times that they have in common now."""
        names = {key: self._instruments[key].symbol for key in instrument_ids}
        known = [key for key, name in names.items() if name in self._panel]
        self.rows, self._times, self._matrix = {}, np.zeros(0, np.int64), np.zeros((0, 0))
        if not known:
            return
        try:
            found = self._panel.returns([names[key] for key in known])
        except Undefined:
            return
        kinds = {self._panel.series(names[key]).kind for key in known}
        self._plain = kinds == {SeriesKind.RETURN} and not found.missing
        self._matrix = np.ascontiguousarray(found.values[-self._window :].T)
        self._times = found.times_ns[-self._window :]
        if not self._plain:
            levels = self._panel.levels([names[key] for key in known]).times_ns
            self._times = levels[-self._window - 1 :]
        self.rows = {key: row for row, key in enumerate(known)}

    def add(self, instrument_id: int) -> bool:
        """Take one more on the same times, and leave the rest as it is; False: it does not go with them."""
        name = self._instruments[instrument_id].symbol
        if instrument_id in self.rows or name not in self._panel:
            return True
        values = self._of(self._panel.series(name)) if self.rows else None
        if values is None:
            return False
        row = len(self.rows)
        if row == self._matrix.shape[0]:
            grown = np.empty((max(16, 2 * row), self.steps))
            grown[:row] = self._matrix
            self._matrix = grown
        self._matrix[row] = values
        self.rows[instrument_id] = row
        return True

    def _of(self, series: Series) -> Floats | None:
        places = np.searchsorted(series.times_ns, self._times)
        if places.size and places[-1] >= series.times_ns.size:
            return None
        if not np.array_equal(series.times_ns[places], self._times):
            return None
        if self._plain:
            if series.kind is not SeriesKind.RETURN or np.any(np.diff(places) != 1):
                return None
            return np.asarray(series.values[places], dtype=np.float64)
        levels = series.values
        if series.kind is SeriesKind.RETURN:
            levels = np.cumprod(1.0 + levels, dtype=np.float64)
        found = levels[places]
        return np.asarray(found[1:] / found[:-1] - 1.0, dtype=np.float64)


__all__ = ["PastReturns"]
