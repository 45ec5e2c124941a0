"""Answers of covariance and risk."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from nautilus.engines.factor.exposures import held
from nautilus.engines.factor.model import Model
from nautilus.engines.factor.parts import Parts, floats, sourced
from nautilus.maths import factor_risk
from nautilus.maths.covariance import CovarianceEstimate, is_positive_definite
from nautilus.model.basis import Basis
from nautilus.model.factor import FactorCovariance, FactorRisk, GetFactorCovariance, GetFactorRisk


def covariance(parts: Parts, model: Model, asked: GetFactorCovariance | GetFactorRisk) -> FactorCovariance:
    """Covariance of the factors' returns."""
    found, basis = _estimated(parts, model, asked)
    values = np.linalg.eigvalsh(found.matrix)
    return FactorCovariance(
        model.names,
        tuple(floats(row) for row in found.matrix),
        floats(np.sqrt(np.maximum(np.diag(found.matrix), 0.0) * parts.config.annual_days)),
        found.shrinkage,
        is_positive_definite(found.matrix),
        float(values[0]),
        float(values[-1]),
        sourced(parts, basis),
    )


def risk(parts: Parts, model: Model, asked: GetFactorRisk) -> FactorRisk:
    """Risk of a portfolio, by factors and what is specific."""
    _, current, holding = held(parts, model, asked.portfolio_id, needs_specific=True)
    found, basis = _estimated(parts, model, asked)
    split = factor_risk.portfolio_risk(
        holding.weights,
        current.exposures[holding.columns],
        found.matrix,
        model.specific[holding.columns],
    )
    year = math.sqrt(parts.config.annual_days)
    settings = model.settings
    how = (
        f"x'Cx + sum h^2 s^2, annualised by sqrt({parts.config.annual_days}); C: {found.method}; s: residuals, "
        f"half-life {settings.specific_half_life:g} days, Newey-West {settings.specific_lags} lags, "
        f"shrunk to deciles of size with q {settings.specific_pull:g}"
    )
    basis = msgspec.structs.replace(basis, method=how, missing=len(holding.uncovered))
    return FactorRisk(
        asked.portfolio_id,
        split.total * year,
        split.factor * year,
        split.specific * year,
        model.names,
        floats(split.exposures),
        floats(split.contributions * year),
        split.specific_contribution * year,
        holding.coverage,
        holding.uncovered,
        sourced(parts, basis, len(holding.uncovered)),
    )


def _estimated(
    parts: Parts, model: Model, asked: GetFactorCovariance | GetFactorRisk
) -> tuple[CovarianceEstimate, Basis]:
    config = parts.config
    return model.covariance(
        asked.method or config.covariance,
        asked.window or config.covariance_days,
        asked.half_life or config.covariance_half_life,
        config.covariance_lags if asked.lags < 0 else asked.lags,
    )


__all__ = ["covariance", "risk"]
