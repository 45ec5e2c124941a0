"""Refuses what no measure is defined on before it is worked with: shapes, kinds of numbers, and ranges.

Numbers that squares or products would carry out of the range of a float are refused too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.errors import LARGEST, Undefined, check_finite

SMALLEST = 1e-60
MOST_WHOLE = 1 << 53
"""Whole numbers up to it are exact as floats."""


def bounded(values: NDArray[np.float64], name: str, largest: float = LARGEST) -> NDArray[np.float64]:
    """The values; Undefined (`out_of_range`) where one is beyond `largest`, whatever its sign."""
    most = float(np.abs(values).max(initial=0.0))
    if most > largest:
        raise Undefined("out_of_range", f"{name} of {most:.6g}", f"at most {largest:g}")
    return values


def above_nought(value: float, name: str) -> float:
    """What is divided by; Undefined (`out_of_range`) where it is too small or too large for that."""
    if not SMALLEST <= value <= LARGEST:
        raise Undefined("out_of_range", f"{name} {value:.6g}", f"{SMALLEST:g} to {LARGEST:g}")
    return value


def within(value: float, name: str, least: float = -LARGEST, most: float = LARGEST) -> float:
    """A number from `least` to `most`; else Undefined (`not_finite`, `out_of_range`)."""
    if least <= value <= most:
        return value
    code = "out_of_range" if math.isfinite(value) else "not_finite"
    raise Undefined(code, f"{name} of {value:.6g}", f"{least:g} to {most:g}")


def shaped(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Finite floats of a shape (None: any size), rows in one block; else Undefined (`mismatch`, and `check_finite`)."""
    array = np.asarray(values, dtype=np.float64, order="C")
    _check_shape(array.shape, name, shape)
    check_finite(array, name)
    return array


def whole_numbers(
    values: ArrayLike, name: str, shape: tuple[int | None, ...] = (None,), least: int = -(1 << 62), most: int = 1 << 62
) -> NDArray[np.int64]:
    """Whole numbers of a shape, each from `least` to `most`; floats are taken where they are whole and exact.

    Raises
    ------
    Undefined
        ``mismatch``: the shape; ``not_finite``; ``out_of_range``: beyond a bound, or not whole.
    """
    array = np.asarray(values)
    _check_shape(array.shape, name, shape)
    if array.dtype.kind not in "biu":
        array = np.asarray(array, dtype=np.float64)
        check_finite(array, name)
        if not ((array == np.floor(array)) & (np.abs(array) <= MOST_WHOLE)).all():
            raise Undefined("out_of_range", f"{name} that are not whole", f"whole numbers up to {MOST_WHOLE}")
    if array.size and not (least <= int(array.min()) and int(array.max()) <= most):
        raise Undefined("out_of_range", f"{name} from {array.min()} to {array.max()}", f"{least} to {most}")
    return np.asarray(array, dtype=np.int64, order="C")


def _check_shape(found: tuple[int, ...], name: str, shape: tuple[int | None, ...]) -> None:
    if len(found) != len(shape) or any(one not in (None, size) for one, size in zip(shape, found, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise Undefined("mismatch", f"{name} of shape {found}", f"({wanted})")


__all__ = [
    "LARGEST",
    "MOST_WHOLE",
    "SMALLEST",
    "above_nought",
    "bounded",
    "shaped",
    "whole_numbers",
    "within",
]
