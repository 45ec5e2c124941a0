"""Trading: the core behind request handlers, and the one place where its events become execution reports."""

from nautilus.engines.trading.engine import EventHistory, TradingConfig, TradingEngine
from nautilus.engines.trading.reports import ReportExpander

__all__ = ["EventHistory", "ReportExpander", "TradingConfig", "TradingEngine"]
