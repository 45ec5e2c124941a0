"""Why a number is not defined on what was given. Nothing in `maths` returns NaN or infinity in place of saying so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

CODES: Final = (
    "constant",
    "duplicate_time",
    "empty",
    "expired",
    "infeasible",
    "mismatch",
    "missing_days",
    "negative_price",
    "not_converged",
    "not_finite",
    "out_of_range",
    "singular",
    "too_few",
    "undefined",
    "unsorted",
    "zero_volume",
)
"""Every reason, stable for machines."""
LARGEST: Final = 1e60
"""Beyond it, either side, squares and products would leave the range of a float: such input is refused."""


class Undefined(ValueError):  # noqa: N818 - it is a finding about numbers, not a fault
    """The number asked for does not exist.

    Parameters
    ----------
    code
        One of `CODES`.
    what
        What was found, as one short sentence without a full stop.
    expected
        What would have been right.
    """

    def __init__(self, code: str, what: str, expected: str = "") -> None:
        assert code in CODES, code
        super().__init__(what)
        self.code = code
        self.what = what
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.what}; expected {self.expected}" if self.expected else self.what

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.what, self.expected)


def finite(values: ArrayLike, name: str, least: int = 1) -> NDArray[np.float64]:
    """The values as one row of at least so many finite floats; else Undefined (`empty`, `too_few`, and as below)."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise Undefined("mismatch", f"{name} of {array.ndim} dimensions", "one row of numbers")
    if not array.size and least:
        raise Undefined("empty", f"no {name}", f"at least {least}")
    if array.size < least:
        raise Undefined("too_few", f"{array.size} {name}", f"at least {least}")
    check_finite(array, name)
    return array


def check_finite(array: NDArray[np.float64], name: str) -> None:
    """Undefined where one is NaN or infinite (`not_finite`), or beyond `LARGEST` (`out_of_range`); names the first."""
    good = np.isfinite(array)
    if not good.all():
        place = tuple(int(each) for each in np.argwhere(~good)[0])
        raise Undefined("not_finite", f"{name} {list(place)} is {array[place]}", "finite numbers")
    if array.size and not (float(array.max()) <= LARGEST and float(array.min()) >= -LARGEST):
        place = tuple(int(each) for each in np.argwhere(np.abs(array) > LARGEST)[0])
        raise Undefined("out_of_range", f"{name} {list(place)} is {array[place]:.6g}", f"at most {LARGEST:g}")


def check_times(times_ns: NDArray[np.int64], name: str = "times", *, equal: bool = False) -> None:
    """Undefined (`duplicate_time`, `unsorted`) unless each is later than the one before, or `equal` to it."""
    if times_ns.ndim != 1:
        raise Undefined("mismatch", f"{name} of {times_ns.ndim} dimensions", "one row")
    # Compared, not subtracted: a difference of whole numbers may wrap.
    wrong = times_ns[1:] < times_ns[:-1] if equal else times_ns[1:] <= times_ns[:-1]
    if wrong.any():
        place = int(np.argmax(wrong)) + 1
        same = bool(times_ns[place] == times_ns[place - 1])
        raise Undefined(
            "duplicate_time" if same else "unsorted",
            f"{name} [{place}] is {'that' if same else 'before that'} of the one before",
            "increasing times",
        )


def same_length(name: str, lengths: Iterable[int]) -> None:
    """Undefined (`mismatch`) unless all are equal."""
    found = list(lengths)
    if len(set(found)) > 1:
        raise Undefined("mismatch", f"{name} of lengths {found}", "equal lengths")


__all__ = ["CODES", "LARGEST", "Undefined", "check_finite", "check_times", "finite", "same_length"]
