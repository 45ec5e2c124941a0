"""Analytics: how portfolios do, and why."""

from nautilus.engines.analytics.config import AnalyticsConfig
from nautilus.engines.analytics.engine import AnalyticsEngine

__all__ = ["AnalyticsConfig", "AnalyticsEngine"]
