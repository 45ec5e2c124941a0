"""Enhanced VPIN: toxicity over several bucket sizes and windows, with depth."""

from nautilus.engines.enhanced_vpin.engine import EnhancedVpinConfig, EnhancedVpinEngine

__all__ = ["EnhancedVpinConfig", "EnhancedVpinEngine"]
