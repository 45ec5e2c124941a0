"""VPIN: the volume-synchronised probability of informed trading."""

from nautilus.engines.vpin.config import VpinConfig
from nautilus.engines.vpin.engine import VpinEngine

__all__ = ["VpinConfig", "VpinEngine"]
