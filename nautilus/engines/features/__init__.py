"""Features: indicators and microstructure of instruments, point in time."""

from nautilus.engines.features.engine import FeaturesConfig, FeaturesEngine

__all__ = ["FeaturesConfig", "FeaturesEngine"]
