"""Risk: limits that stop strategies, and what a portfolio may lose."""

from nautilus.engines.risk.config import RiskConfig
from nautilus.engines.risk.engine import RiskEngine

__all__ = ["RiskConfig", "RiskEngine"]
