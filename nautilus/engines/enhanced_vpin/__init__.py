"""Enhanced VPIN: toxicity over several bucket sizes and windows, with depth."""

from nautilus.engines.enhanced_vpin.config import EnhancedVpinConfig, ScaleConfig
from nautilus.engines.enhanced_vpin.engine import EnhancedVpinEngine

__all__ = ["EnhancedVpinConfig", "EnhancedVpinEngine", "ScaleConfig"]
