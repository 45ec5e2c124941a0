"""Factor: the cross-sectional model of returns."""

from nautilus.engines.factor.config import FactorConfig
from nautilus.engines.factor.engine import FactorEngine

__all__ = ["FactorConfig", "FactorEngine"]
