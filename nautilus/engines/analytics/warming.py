"""What answers are computed with, loaded before the first question: each job of the worker once, on next to nothing."""

from __future__ import annotations

import numpy as np

from nautilus.engines.analytics.attribution import attribute_brinson, attribute_factors
from nautilus.engines.analytics.batch import analyse
from nautilus.engines.analytics.positions import prepare
from nautilus.engines.analytics.sheet import draw
from nautilus.model.analytics import AnalysePerformance, TearSheet
from nautilus.model.attribution import AttributeBrinson, AttributeFactors

RETURNS = (0.01, -0.02, 0.015, 0.005)


def warm() -> None:
    """Run every job that somebody waits for. Fits of models are not among them: they have a process of their own."""
    answer = analyse(AnalysePerformance(RETURNS))
    column = np.array(RETURNS)
    prepare(np.column_stack([column, column[::-1]]), column)
    weights, returns = ((0.5, 0.5),), ((0.1, 0.2),)
    attribute_brinson(AttributeBrinson(("a", "b"), weights, returns, weights, returns))
    attribute_factors(AttributeFactors(("a",), RETURNS, tuple((value,) for value in RETURNS[::-1])))
    draw(TearSheet(0, answer, tuple(range(1, 5)), (1.0, 1.1, 1.2, 1.3), (0.0, 0.0, 0.0, 0.0)), None)


__all__ = ["warm"]
