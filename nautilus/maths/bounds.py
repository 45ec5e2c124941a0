"""Refuses numbers that squares or products would carry out of the range of a float, before they do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.errors import LARGEST, Undefined

SMALLEST = 1e-60


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


__all__ = ["LARGEST", "SMALLEST", "above_nought", "bounded"]
