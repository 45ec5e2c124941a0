"""Portfolio: positions, profit, cash and what is to be held."""

from nautilus.engines.portfolio.engine import AVERAGE, FIFO, METHODS, PortfolioConfig, PortfolioEngine

__all__ = ["AVERAGE", "FIFO", "METHODS", "PortfolioConfig", "PortfolioEngine"]
