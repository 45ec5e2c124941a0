"""Factor: the cross-sectional model of returns."""

from nautilus.engines.factor.engine import FactorConfig, FactorEngine

__all__ = ["FactorConfig", "FactorEngine"]
