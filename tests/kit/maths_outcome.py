"""What a call of a function of numbers came to: its numbers, or the code for which there are none."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nautilus.maths.errors import CODES, Undefined
from tests.kit.maths_inputs import every_array

MISSING = {
    "cross_section.", "factor_risk.SpecificRisk", "factor_risk.specific_risk", "factors.", "styles.",
    "implied_volatility.solve",
}  # fmt: skip
"""What says NaN where a stock takes no part, or beside a code: their docstrings tell."""
UNBOUNDED = {"crypto_margin.Brackets.cap", "optimise.Constraints"}
"""What says infinity where there is no bound, or no finite value."""


class Outcome(NamedTuple):
    """The code, or the leaves of the result: (place, numbers)."""

    code: str
    leaves: tuple[tuple[str, Any], ...] = ()


def outcome_of(name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Outcome:
    """Call it. AssertionError where a number is none, a code is unknown, or an argument has changed."""
    before = every_array(arguments, np.copy)
    named = {key: value for key, value in arguments.items() if key != "results"}
    try:
        result = function(*(value for key, value in arguments.items() if key not in named), **named)
    except Undefined as none:
        found = Outcome(_code(none))
    else:
        found = Outcome("", tuple(leaves(name, result)))
    kept = list(_arrays(arguments))
    for was, now in zip(_arrays(before), kept, strict=True):
        assert was.tobytes() == np.asarray(now).tobytes(), f"{name} changed an argument"
    return found


def _code(none: Undefined) -> str:
    assert none.code in CODES
    assert none.what
    return none.code


def leaves(place: str, value: Any, deep: bool = True) -> Iterator[tuple[str, Any]]:
    """Numbers of a result by place; properties and methods without parameters are asked for too."""
    if isinstance(value, np.ndarray) and value.dtype.names is None:
        if np.issubdtype(value.dtype, np.inexact):
            _check(place, value)
        yield place, value
    elif isinstance(value, float | np.floating):
        _check(place, np.array(value))
        yield place, float(value)
    elif isinstance(value, bool | int | str | np.integer | np.bool_) or value is None:
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(f"{place}[{key}]", each)
    elif isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        for at, each in enumerate(value):
            yield from leaves(f"{place}[{at}]", each)
    elif type(value).__module__.startswith("nautilus.maths"):
        yield from _members(f"{place.split('.')[0]}.{type(value).__name__}", value, deep)


def _members(place: str, value: Any, deep: bool) -> Iterator[tuple[str, Any]]:
    fields = (
        list(getattr(value, "_fields", ())) or [each.name for each in dataclasses.fields(value)]
        if (hasattr(value, "_fields") or dataclasses.is_dataclass(value))
        else []
    )
    for name in fields:
        yield from leaves(f"{place}.{name}", getattr(value, name))
    for name, member in vars(type(value)).items():
        if name.startswith("_") or name in fields or isinstance(member, classmethod | staticmethod):
            continue
        try:
            if isinstance(member, property):
                yield from leaves(f"{place}.{name}", getattr(value, name))
            elif deep and inspect.isfunction(member) and not _needed(member):
                yield from leaves(f"{place}.{name}()", getattr(value, name)(), deep=False)
        except Undefined as none:
            yield f"{place}.{name}", _code(none)


def _needed(function: Callable[..., Any]) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [each.name for each in parameters if each.default is each.empty]


def _check(place: str, numbers: np.ndarray) -> None:
    if place.startswith("normal."):
        return  # elementwise, NaN of NaN
    if place.startswith(tuple(UNBOUNDED)):
        assert not np.isnan(numbers).any(), f"{place}: {numbers}"
    elif place.startswith(tuple(MISSING)):
        assert not np.isinf(numbers).any(), f"{place}: {numbers}"
    else:
        assert np.isfinite(numbers).all(), f"{place}: {numbers}"


def _arrays(value: Any) -> Iterator[np.ndarray]:
    found: list[np.ndarray] = []
    every_array(value, lambda array: found.append(array) or array)
    yield from found


def same(one: Outcome, other: Outcome, relative: float = 0.0) -> bool:
    """Equal bit by bit, or to a part of the largest of a leaf's numbers."""
    if one.code != other.code or [place for place, _ in one.leaves] != [place for place, _ in other.leaves]:
        return False
    return all(_near(a, b, relative) for (_, a), (_, b) in zip(one.leaves, other.leaves, strict=True))


def _near(one: Any, other: Any, relative: float) -> bool:
    if not isinstance(one, np.ndarray | float):
        return bool(one == other)
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return False
    if np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)):
        return True
    if not relative or not np.issubdtype(a.dtype, np.inexact) or (np.isnan(a) != np.isnan(b)).any():
        return False
    known = np.where(np.isfinite(a), a, 0.0)
    largest = float(np.abs(known).max(initial=0.0))
    return bool((np.abs(known - np.where(np.isfinite(b), b, 0.0)) <= relative * max(largest, math.ulp(0.0))).all())
