"""Messages to bytes and back: JSON arrays for what people and other languages read, msgpack for engines.

Every message type is listed in `MESSAGES`; the decoders take any of them and know it by its tag.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec

from nautilus.model import allocation, analytics, collateral, document, factor, features, history, portfolio, risk, vpin
from nautilus.model.account import Account
from nautilus.model.alerts import RiskAlert
from nautilus.model.basis import Basis
from nautilus.model.commands import (
    AdjustPosition,
    CancelOrder,
    CommandBatch,
    KillSwitch,
    MassCancel,
    ReplaceOrder,
    ResumeTrading,
    SetPhase,
    SplitPositions,
    SubmitOrder,
)
from nautilus.model.datasets import (
    BarFact,
    DataAnswer,
    EconomicFact,
    EventFact,
    FundamentalFact,
    GetBarFacts,
    GetData,
    GetEconomicFacts,
    GetEventFacts,
    GetFundamentalFacts,
    GetListingFacts,
    GetProviders,
    GetQuoteFact,
    ListingFact,
    Provenance,
    ProviderState,
    ProviderStates,
    QuoteFact,
)
from nautilus.model.errors import ModelError
from nautilus.model.events import (
    BatchAcknowledged,
    CommandAcknowledged,
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
from nautilus.model.gateway import BreakerChanged, InstanceHealthChanged, InvalidateCache
from nautilus.model.instrument import Instrument
from nautilus.model.limits import Limits
from nautilus.model.marketdata import Auction, Bar, BookDelta, Flow, Quote, Trade
from nautilus.model.message import Message
from nautilus.model.phases import GetPhases, PhaseLine, PhaseRequest, PhaseResult, Phases
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import (
    AmendRequest,
    Book,
    BookLevel,
    BookOrder,
    CancelRequest,
    CorePosition,
    CoreState,
    GetBook,
    GetCoreState,
    GetKillSwitch,
    GetOrders,
    GetPositions,
    GetQuarantine,
    GetQueuePlace,
    GetQuotes,
    GetRisk,
    GetStrategies,
    KillRequest,
    KillResult,
    KillSwitches,
    KillSwitchScope,
    OrderLine,
    OrderLines,
    OrderRequest,
    OrderResult,
    PositionEntry,
    Positions,
    QuarantineLine,
    QuarantineLines,
    QueuePlace,
    QuoteLine,
    QuoteLines,
    Reports,
    ReportsSince,
    RiskBreach,
    RiskState,
    SourceState,
    SourceStatus,
    StrategyState,
    StrategyStates,
)
from nautilus.model.signals import (
    BalanceChanged,
    FactorsUpdated,
    MarginStatus,
    MarketStructureChanged,
    PerformanceUpdated,
    Prediction,
    RebalanceRequested,
    ToxicityWarning,
    TradingSignal,
)

MESSAGES: Final[tuple[type[Message], ...]] = (
    Account,
    AdjustPosition,
    AmendRequest,
    Auction,
    BalanceChanged,
    Bar,
    BarFact,
    Basis,
    BatchAcknowledged,
    Book,
    BookDelta,
    BookLevel,
    BookOrder,
    BreakerChanged,
    CancelOrder,
    CancelRequest,
    CommandAcknowledged,
    CommandBatch,
    CorePosition,
    CoreState,
    DataAnswer,
    EconomicFact,
    EventFact,
    FactorsUpdated,
    Flow,
    FundamentalFact,
    GetBarFacts,
    GetBook,
    GetCoreState,
    GetData,
    GetEconomicFacts,
    GetEventFacts,
    GetFundamentalFacts,
    GetKillSwitch,
    GetListingFacts,
    GetOrders,
    GetPhases,
    GetPositions,
    GetProviders,
    GetQuarantine,
    GetQueuePlace,
    GetQuoteFact,
    GetQuotes,
    GetRisk,
    GetStrategies,
    InstanceHealthChanged,
    Instrument,
    InstrumentSplit,
    InvalidateCache,
    KillRequest,
    KillResult,
    KillSwitch,
    KillSwitchScope,
    KillSwitches,
    Limits,
    ListingFact,
    MarginStatus,
    MarketStructureChanged,
    MassCancel,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderLine,
    OrderLines,
    OrderRejected,
    OrderReplaced,
    OrderReplenished,
    OrderRequest,
    OrderResult,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
    PerformanceUpdated,
    PhaseLine,
    PhaseRequest,
    PhaseResult,
    Phases,
    Position,
    PositionAdjusted,
    PositionChanged,
    PositionEntry,
    Positions,
    Prediction,
    Provenance,
    ProviderState,
    ProviderStates,
    QuarantineLine,
    QuarantineLines,
    QueuePlace,
    Quote,
    QuoteFact,
    QuoteLine,
    QuoteLines,
    RebalanceRequested,
    ReplaceOrder,
    Reports,
    ReportsSince,
    ResumeTrading,
    RiskAlert,
    RiskBreach,
    RiskState,
    SetPhase,
    SourceState,
    SourceStatus,
    SplitPositions,
    StrategyState,
    StrategyStates,
    SubmitOrder,
    ToxicityWarning,
    Trade,
    TradingSignal,
    *allocation.MESSAGES,
    *analytics.MESSAGES,
    *collateral.MESSAGES,
    *factor.MESSAGES,
    *features.MESSAGES,
    *history.MESSAGES,
    *document.MESSAGES,
    *portfolio.MESSAGES,
    *risk.MESSAGES,
    *vpin.MESSAGES,
)

_ANY: Any = reduce(or_, MESSAGES)
_FROM_JSON = msgspec.json.Decoder(_ANY)
_FROM_MSGPACK = msgspec.msgpack.Decoder(_ANY)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def to_json(message: Message) -> bytes:
    """A message as a JSON array; whole numbers of any size are exact."""
    return msgspec.json.encode(message)


def from_json(data: bytes | str) -> Message:
    """The message in a JSON array; ModelError says where it is wrong."""
    try:
        decoded: Message = _FROM_JSON.decode(data)
    except _UNREADABLE as error:
        raise ModelError(
            str(error), where="JSON message", expected="an array that begins with a message type"
        ) from None
    return decoded


def to_msgpack(message: Message) -> bytes:
    """A message as msgpack.

    Raises
    ------
    ModelError
        It holds a whole number that msgpack has no room for (beyond 64 bits): such a message goes as JSON.
    """
    try:
        return msgspec.msgpack.encode(message)
    except OverflowError as error:
        raise ModelError(str(error), where=type(message).__name__, expected="whole numbers within 64 bits") from None


def from_msgpack(data: bytes) -> Message:
    """The message in msgpack bytes; ModelError says where it is wrong."""
    try:
        decoded: Message = _FROM_MSGPACK.decode(data)
    except _UNREADABLE as error:
        raise ModelError(
            str(error), where="msgpack message", expected="an array that begins with a message type"
        ) from None
    return decoded
