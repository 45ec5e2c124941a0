"""VPIN: the volume-synchronised probability of informed trading."""

from nautilus.engines.vpin.engine import VpinConfig, VpinEngine

__all__ = ["VpinConfig", "VpinEngine"]
