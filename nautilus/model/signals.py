"""What engines of analysis tell those that decide: signals, predictions, warnings, factors, performance, margin.

Scores and rates are floats: nothing is booked from them. Prices and quantities are whole, as everywhere.
"""

from __future__ import annotations

from enum import StrEnum

from nautilus.model.enums import Priority
from nautilus.model.message import Message


class SignalAction(StrEnum):
    """What a signal asks for."""

    BUY = "buy"
    SELL = "sell"


class TradingSignal(Message, frozen=True):
    """A strategy wants to trade. `quantity` in lots; `confidence` from 0 to 1."""

    now_ns: int
    strategy_id: int
    instrument_id: int
    action: SignalAction
    quantity: int
    confidence: float = 1.0


class Prediction(Message, frozen=True):
    """What a model expects of an instrument: `value` of what `target` names, `horizon_ns` from now."""

    now_ns: int
    instrument_id: int
    model: str
    target: str
    value: float
    confidence: float
    horizon_ns: int


class ToxicityWarning(Message, frozen=True):
    """Order flow of an instrument is toxic, or no longer. `vpin` and its place in its own history, both 0 to 1.

    `bucket`: number of the volume bucket that showed it; `measure`: how it was classified, ``side`` or ``bulk``.
    """

    now_ns: int
    instrument_id: int
    vpin: float
    percentile: float
    active: bool
    bucket: int = 0
    measure: str = ""


class EnhancedToxicityWarning(Message, frozen=True):
    """Order flow of an instrument is toxic over several scales, or no longer; all from 0 to 1."""

    now_ns: int
    instrument_id: int
    toxicity: float
    percentile: float
    confidence: float
    active: bool


class MarketStructureChanged(Message, frozen=True):
    """The way an instrument trades has changed: `regime` names it, `score` says how clearly, 0 to 1."""

    now_ns: int
    instrument_id: int
    regime: str
    score: float


class PerformanceUpdated(Message, frozen=True):
    """How a portfolio does: returns as parts of one, risk annualised. None: too few of `periods` have ended for it."""

    now_ns: int
    portfolio_id: int
    total_return: float
    volatility: float | None
    sharpe: float | None
    max_drawdown: float
    periods: int = 0


class FactorsUpdated(Message, frozen=True):
    """Returns of factors on one day, as parts of one, in the order of `names`."""

    now_ns: int
    day: int
    names: tuple[str, ...]
    returns: tuple[float, ...]


class MarginStatus(Message, frozen=True):
    """Margin of an account, in units of 10^-8 of its reporting currency; `call`: it must be met.

    `warning`: usage (maintenance by equity) is above the engine's warning level, and not yet well below it again;
    `cushion`: the part of the equity that may be lost before a call; `complete`: no position is missing; `synthetic`:
    marks in it are not as a venue sent them (`RecordFlag.SYNTHETIC`).
    """

    now_ns: int
    account_id: int
    equity: int
    initial: int
    maintenance: int
    call: bool = False
    warning: bool = False
    excess: int = 0
    usage: float = 0.0
    cushion: float = 0.0
    regime: str = ""
    currency: str = ""
    complete: bool = True
    synthetic: bool = False


class BalanceChanged(Message, frozen=True):
    """Cash of an account in one currency, in money units."""

    now_ns: int
    account_id: int
    currency: str
    balance: int
    available: int


class RebalanceRequested(Message, frozen=True):
    """A portfolio is to hold these parts of itself, by instrument.

    `lots` are those to trade, + to buy, by instrument; sells go before buys.
    """

    now_ns: int
    portfolio_id: int
    action: str
    instruments: tuple[int, ...]
    target_allocation: tuple[float, ...]
    lots: tuple[int, ...] = ()
    priority: Priority = Priority.HIGH
