"""Answers of what was: returns of factors, and what they leave of a stock's."""

from __future__ import annotations

import numpy as np

from nautilus.engines.factor.model import Model
from nautilus.engines.factor.parts import Parts, column_of, floats, method_of, sourced, whole
from nautilus.maths.errors import Undefined
from nautilus.model.factor import FactorReturnsTable, GetFactorReturns, GetResidualReturns, ResidualReturns


def returns(parts: Parts, model: Model, asked: GetFactorReturns) -> FactorReturnsTable:
    """Rows of factor returns."""
    rows = model.rows(asked.begin_ns, asked.end_ns)
    rows = slice(max(rows.start, rows.stop - asked.limit), rows.stop)
    return FactorReturnsTable(
        model.names,
        whole(model.days[rows]),
        tuple(floats(row) for row in model.returns[rows]),
        whole(model.stocks[rows]),
        whole(model.ranks[rows]),
        sourced(parts, model.basis(method_of(model), model.days[rows])),
    )


def residuals(parts: Parts, model: Model, asked: GetResidualReturns) -> ResidualReturns:
    """What the factors leave of a stock's returns."""
    column = column_of(parts, asked.symbol)
    rows = model.rows(asked.begin_ns, asked.end_ns)
    days, residuals = model.days[rows], model.residuals[rows, column]
    there = np.isfinite(residuals)
    days, residuals = days[there][-asked.limit :], residuals[there][-asked.limit :]
    if not len(days):
        raise Undefined("missing_days", f"{asked.symbol} took no part in these days", "a day with all its inputs")
    basis = model.basis(f"residual of: {method_of(model)}", days, int((~there).sum()))
    return ResidualReturns(asked.symbol, whole(days), floats(residuals), sourced(parts, basis))


__all__ = ["residuals", "returns"]
