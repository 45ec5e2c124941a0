"""Collateral: margin that is required, and how far a call is."""

from nautilus.engines.collateral.config import CollateralConfig
from nautilus.engines.collateral.engine import CollateralEngine

__all__ = ["CollateralConfig", "CollateralEngine"]
