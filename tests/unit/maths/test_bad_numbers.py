"""Every kind of bad number into the measures: a finite result or a stated reason, never a warning or another error."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nautilus.maths import (
    drawdown_risk,
    drawdowns,
    leading,
    microstructure,
    performance,
    ranks,
    stress,
    var,
)
from nautilus.maths.errors import CODES, Undefined

pytestmark = pytest.mark.filterwarnings("error")

COUNT = 60
GOOD = np.random.default_rng(3).normal(0.0, 0.01, COUNT)


def _with(value: float) -> np.ndarray:
    row = GOOD.copy()
    row[7] = value
    return row


ROWS = [
    *(GOOD[:count] for count in (0, 1, 2, 3, 4, COUNT)),
    *(np.full(COUNT, value) for value in (0.0, 0.01, -0.5, 1.0, -1.0, 1e300, 1e-300, 1.7e308, 5e-324)),
    *(GOOD * scale for scale in (1e300, 1e-300, 1e160, 1e-160, 1e59, 1e-59)),
    *(_with(value) for value in (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, -1.0, -2.0)),
    np.sort(GOOD),
    np.repeat(GOOD[: COUNT // 2], 2),
    np.tile([1e308, -1e308], COUNT // 2),
    np.full((COUNT, 1), 0.1),
    np.array(0.5),
]
NUMBERS = [0.0, 1.0, -1.0, 0.5, 0.95, 1e300, -1e300, 1e-300, 5e-324, math.nan, math.inf, -math.inf, 252.0]
NOT_MEASURES = {
    "deepest_of", "ulcer_of", "checked", "standing_quotes", "days_of", "return_between", "quantile_weights", "tail_of",
    "tail_weights", "block_bootstrap", "weight_turnover", "over_losses", "quotient", "sample_kurtosis", "kelly_of",
    "sample_skewness", "bounded_correlation", "rate_of_hits", "annual_growth", "annual_alpha", "explained_by_line",
    "newey_west", "factor_returns", "shocked_profits",
}  # fmt: skip


def functions() -> Iterator[Any]:
    for module in (performance, drawdowns, drawdown_risk, var, microstructure, ranks, leading, stress):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function) and name not in NOT_MEASURES:
                yield pytest.param(function, id=f"{module.__name__.rsplit('.', 1)[-1]}.{name}")


def finite(value: Any) -> bool:
    if isinstance(value, float | np.ndarray):
        return bool(np.isfinite(value).all())
    if dataclasses.is_dataclass(value):
        return all(finite(getattr(value, each.name)) for each in dataclasses.fields(value))
    if isinstance(value, list | tuple):
        return all(finite(each) for each in value)
    return True


@pytest.mark.parametrize("function", list(functions()))
def test_a_measure_of_bad_numbers_is_finite_or_says_why(function: Callable[..., Any]) -> None:
    draw = np.random.default_rng(len(function.__name__))
    parameters = list(inspect.signature(function).parameters.values())
    rows = [each for each in parameters if "ArrayLike" in str(each.annotation) and each.name != "valid"]
    numbers = [each for each in parameters if str(each.annotation) == "float"]
    chosen = [{rows[0].name: bad} for bad in ROWS] + [{} for _ in range(120)]
    for fixed in chosen:
        given = {each.name: ROWS[int(draw.integers(len(ROWS)))] if draw.random() < 0.5 else GOOD for each in rows}
        given |= fixed
        given |= {each.name: NUMBERS[int(draw.integers(len(NUMBERS)))] for each in numbers if draw.random() < 0.4}
        given |= {each.name: 0.01 for each in numbers if each.default is each.empty and each.name not in given}
        code, found = "", None
        try:
            found = function(**given)
        except Undefined as none:
            code = none.code
        assert code in ("", *CODES)
        assert finite(found), (given, found)
