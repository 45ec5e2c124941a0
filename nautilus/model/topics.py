"""Every topic, with its one publisher and what it carries.

The star carries packed records, as arrays; the mesh carries messages, one at a time. A handler's name follows from
the topic it subscribes to.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nautilus.core.ticks import BAR, FLOW, QUARANTINE
from nautilus.core.types import BOOK_DELTA, EVENT, QUOTE, TRADE
from nautilus.model.alerts import RiskAlert
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from nautilus.model.events import (
    InstrumentSplit,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplenished,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
    PositionAdjusted,
)
from nautilus.model.factor import PortfolioAttributed
from nautilus.model.gateway import BreakerChanged, InstanceHealthChanged
from nautilus.model.marketdata import AUCTION, ECONOMIC_FACT, FUNDAMENTAL_FACT, HISTORICAL_BAR, QUOTE_FACT
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import PositionChanged
from nautilus.model.risk import LimitBreached
from nautilus.model.signals import (
    BalanceChanged,
    EnhancedToxicityWarning,
    FactorsUpdated,
    MarginStatus,
    MarketStructureChanged,
    PerformanceUpdated,
    Prediction,
    RebalanceRequested,
    ToxicityWarning,
    TradingSignal,
)


class Topic(NamedTuple):
    """One topic.

    Parameters
    ----------
    name
        On the wire an instrument or a priority follows, after a dot.
    publisher
        The one engine that publishes it.
    handler
        The method of a subscriber that takes what arrives.
    record
        Dtype of the records on the star; None on the mesh.
    messages
        Message types on the mesh.
    """

    name: str
    publisher: str
    handler: str
    record: np.dtype[np.void] | None = None
    messages: tuple[type[Message], ...] = ()
    priority: Priority = Priority.NORMAL


QUOTES: Final = Topic("marketdata.real_time.quote", "marketdata", "on_quote", QUOTE)
TRADES: Final = Topic("marketdata.real_time.trade", "marketdata", "on_trade", TRADE)
BOOK_DELTAS: Final = Topic("marketdata.real_time.book", "marketdata", "on_book", BOOK_DELTA)
AUCTIONS: Final = Topic("marketdata.real_time.auction", "marketdata", "on_auction", AUCTION)
BARS: Final = Topic("marketdata.real_time.bar", "marketdata", "on_bar", BAR)
FLOWS: Final = Topic("marketdata.real_time.flow", "marketdata", "on_flow", FLOW)
HISTORICAL_BARS: Final = Topic("marketdata.historical.bar", "marketdata", "on_historical_bar", HISTORICAL_BAR)
FUNDAMENTALS: Final = Topic("marketdata.fundamental.fact", "marketdata", "on_fundamental", FUNDAMENTAL_FACT)
ECONOMICS: Final = Topic("marketdata.economic.fact", "marketdata", "on_economic", ECONOMIC_FACT)
QUOTE_FACTS: Final = Topic("marketdata.quote.fact", "marketdata", "on_quote_fact", QUOTE_FACT)
QUARANTINES: Final = Topic("marketdata.quarantine", "marketdata", "on_quarantine", QUARANTINE)
CORE_EVENTS: Final = Topic("trading.event", "trading", "on_events", EVENT)
EXECUTION_REPORTS: Final = Topic(
    "trading.report",
    "trading",
    "on_report",
    messages=(
        OrderAccepted,
        OrderRejected,
        OrderFilled,
        OrderCancelled,
        OrderReplaced,
        OrderExpired,
        OrderTriggered,
        OrderReplenished,
        OrderRouted,
        OrderUnknown,
        PositionAdjusted,
        InstrumentSplit,
    ),
    priority=Priority.HIGH,
)
RISK_ALERTS: Final = Topic("risk.alert", "risk", "on_alert", messages=(RiskAlert,), priority=Priority.FLASH_CRASH)
RISK_WARNINGS: Final = Topic("risk.limit", "risk", "on_limit", messages=(LimitBreached,), priority=Priority.URGENT)
POSITIONS: Final = Topic("portfolio.position", "portfolio", "on_position", messages=(PositionChanged,))
SIGNALS: Final = Topic("strategy.signals", "strategy", "on_signal", messages=(TradingSignal,), priority=Priority.HIGH)
PREDICTIONS: Final = Topic("ml.prediction", "ml", "on_prediction", messages=(Prediction,), priority=Priority.HIGH)
TOXICITY: Final = Topic("vpin.toxicity", "vpin", "on_toxicity", messages=(ToxicityWarning,), priority=Priority.URGENT)
ENHANCED_TOXICITY: Final = Topic(
    "enhanced_vpin.toxicity",
    "enhanced-vpin",
    "on_enhanced_toxicity",
    messages=(EnhancedToxicityWarning,),
    priority=Priority.URGENT,
)
MARKET_STRUCTURE: Final = Topic("vpin.market_structure", "vpin", "on_structure", messages=(MarketStructureChanged,))
PERFORMANCE: Final = Topic("analytics.performance", "analytics", "on_performance", messages=(PerformanceUpdated,))
FACTORS: Final = Topic("factor.update", "factor", "on_factors", messages=(FactorsUpdated, PortfolioAttributed))
MARGIN: Final = Topic(
    "collateral.margin", "collateral", "on_margin", messages=(MarginStatus,), priority=Priority.URGENT
)
BALANCES: Final = Topic("portfolio.balance", "portfolio", "on_balance", messages=(BalanceChanged, PortfolioValued))
REBALANCE: Final = Topic(
    "portfolio.rebalance", "portfolio", "on_rebalance", messages=(RebalanceRequested,), priority=Priority.HIGH
)
BREAKERS: Final = Topic("gateway.breaker", "gateway", "on_breaker", messages=(BreakerChanged,), priority=Priority.HIGH)
INSTANCES: Final = Topic("gateway.health", "gateway", "on_instance", messages=(InstanceHealthChanged,))

TOPICS: Final = (
    QUOTES,
    TRADES,
    BOOK_DELTAS,
    AUCTIONS,
    BARS,
    FLOWS,
    HISTORICAL_BARS,
    FUNDAMENTALS,
    ECONOMICS,
    QUOTE_FACTS,
    QUARANTINES,
    CORE_EVENTS,
    EXECUTION_REPORTS,
    RISK_ALERTS,
    RISK_WARNINGS,
    POSITIONS,
    SIGNALS,
    PREDICTIONS,
    TOXICITY,
    ENHANCED_TOXICITY,
    MARKET_STRUCTURE,
    PERFORMANCE,
    FACTORS,
    MARGIN,
    BALANCES,
    REBALANCE,
    BREAKERS,
    INSTANCES,
)

BY_MESSAGE: Final[dict[type[Message], Topic]] = {message: topic for topic in TOPICS for message in topic.messages}
_BY_RECORD: Final = tuple((topic.record, topic) for topic in TOPICS if topic.record is not None)


def topic_of(event: Any) -> Topic:
    """The topic that carries this message or record array.

    Raises
    ------
    ModelError
        Nothing carries it.
    """
    topic = BY_MESSAGE.get(type(event))
    if topic is not None:
        return topic
    if isinstance(event, np.ndarray):
        dtype = event.dtype
        for record, topic in _BY_RECORD:
            if dtype is record:
                return topic
        for record, topic in _BY_RECORD:
            if dtype == record:
                return topic
        raise ModelError(f"records of {dtype}", where="publish", expected="records of a topic, such as QUOTE")
    raise ModelError(f"a {type(event).__name__}", where="publish", expected="a message or records of a known topic")
