"""Market data: the hub, the only publisher of ``marketdata.*``, and the books that it keeps."""

from nautilus.engines.marketdata.books import DerivedBook
from nautilus.engines.marketdata.engine import MarketDataConfig, MarketDataEngine, MarketStatus
from nautilus.engines.marketdata.recorded import RecordedBook

__all__ = ["DerivedBook", "MarketDataConfig", "MarketDataEngine", "MarketStatus", "RecordedBook"]
