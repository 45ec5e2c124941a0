"""Values as they are uploaded, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.errors import Undefined
from nautilus.model.factor import UniverseField

Array = NDArray[np.float64]

_POSITIVE: Final = (UniverseField.PRICE, UniverseField.MARKET_CAP)


def matrix_of(symbols: Sequence[str], times_ns: Sequence[int], rows: Sequence[Sequence[float | None]]) -> Array:
    """Rows as a matrix, NaN for None. Undefined (`empty`, `mismatch`, `not_finite`) where they are none."""
    if not symbols or not times_ns:
        raise Undefined("empty", "no values", "at least a symbol and a time")
    if len(set(symbols)) != len(symbols):
        raise Undefined("mismatch", "a symbol is given twice", "each once")
    if len(rows) != len(times_ns) or any(len(row) != len(symbols) for row in rows):
        raise Undefined("mismatch", f"{len(rows)} rows", f"{len(times_ns)} rows of {len(symbols)} values")
    values: Array = np.array(rows, dtype=np.float64)
    told = np.array([[value is not None for value in row] for row in rows]) if np.isnan(values).any() else None
    if np.isinf(values).any() or (told is not None and bool((np.isnan(values) & told).any())):
        raise Undefined("not_finite", "a value that is not finite", "finite values, or none")
    return values


def check_values(field: UniverseField, values: Array) -> None:
    """Undefined (`negative_price`, `out_of_range`) where a value cannot be one of the field."""
    known = values[~np.isnan(values)]
    if field in _POSITIVE and (known <= 0.0).any():
        raise Undefined("negative_price", f"{field.value} of {known.min()}", "above 0")
    if field is UniverseField.RETURN and (known <= -1.0).any():
        raise Undefined("out_of_range", f"a return of {known.min()}", "above -1")
    if field is UniverseField.DOLLAR_VOLUME and (known < 0.0).any():
        raise Undefined("out_of_range", f"a volume of {known.min()}", "0 or more")


__all__ = ["check_values", "matrix_of"]
