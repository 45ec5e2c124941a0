"""Collateral: margin that is required, and how far a call is."""

from nautilus.engines.collateral.engine import CollateralConfig, CollateralEngine

__all__ = ["CollateralConfig", "CollateralEngine"]
