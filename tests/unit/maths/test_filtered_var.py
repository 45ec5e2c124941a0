"""Filtered historical simulation: against a plain loop, and what has no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nautilus.maths import var
from nautilus.maths.errors import Undefined
from nautilus.maths.filtered_var import filtered_returns


def test_each_return_is_rescaled_to_the_volatility_to_come() -> None:
    rng = np.random.default_rng(1)
    variances = np.exp(rng.normal(size=200)) * 1e-4
    returns = rng.standard_normal(200) * np.sqrt(variances) + 0.001
    found = filtered_returns(returns, variances, 4e-4, 0.001)
    plain = [0.001 + (r - 0.001) / math.sqrt(v) * 0.02 for r, v in zip(returns, variances, strict=True)]
    assert found == pytest.approx(plain, rel=1e-12)
    assert var.historical_var(found, 0.95) == pytest.approx(0.0329, rel=0.2)


def test_constant_volatility_changes_nothing() -> None:
    returns = np.random.default_rng(2).standard_normal(50)
    assert filtered_returns(returns, np.full(50, 2.0), 2.0) == pytest.approx(returns, rel=1e-15)


@pytest.mark.parametrize(
    ("returns", "variances", "after", "code"),
    [
        ([], [], 1.0, "empty"),
        ([0.1, math.nan], [1.0, 1.0], 1.0, "not_finite"),
        ([0.1, 0.2], [1.0], 1.0, "mismatch"),
        ([0.1, 0.2], [1.0, 0.0], 1.0, "constant"),
        ([0.1, 0.2], [1.0, 1.0], 0.0, "constant"),
        ([0.1, 0.2], [1.0, 1.0], math.nan, "constant"),
        ([0.1, 0.2], [1.0, 1.0], math.inf, "not_finite"),
    ],
)
def test_bad_input_has_a_code(returns: Any, variances: Any, after: float, code: str) -> None:
    with pytest.raises(Undefined) as error:
        filtered_returns(returns, variances, after)
    assert error.value.code == code
