"""Analytics: how portfolios do, and why."""

from nautilus.engines.analytics.engine import AnalyticsConfig, AnalyticsEngine

__all__ = ["AnalyticsConfig", "AnalyticsEngine"]
