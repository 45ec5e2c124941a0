"""Markets that play into the core: recordings as participants, and a simulated market of agents."""

from nautilus.simulation.source import CoreView, MarketSource, Step

__all__ = ["CoreView", "MarketSource", "Step"]
