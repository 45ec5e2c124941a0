"""Risk: soft limits that stop strategies, and what a portfolio may lose."""

from nautilus.engines.risk.engine import RiskConfig, RiskEngine

__all__ = ["RiskConfig", "RiskEngine"]
