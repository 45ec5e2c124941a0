"""Portfolios: their value, cash, attribution, corporate actions, reconciliation, optimisation and rebalancing.

A portfolio is an account of the core; its id is the account's. What is booked is in whole money units (as text: it can
exceed 64 bits); what is valued in a reporting currency is a float, rounded against the trader.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, field

from nautilus.model.basis import Basis
from nautilus.model.ids import MAX_ID_32
from nautilus.model.message import Message
from nautilus.model.queries import PositionEntry
from nautilus.model.signals import PerformanceUpdated, TradingSignal

PortfolioId = Annotated[int, Meta(ge=1, le=MAX_ID_32)]
LONGEST_TEXT = 96
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
DecimalText = Annotated[str, Meta(max_length=64)]


class PortfolioValued(Message, frozen=True):
    """A portfolio's value in its reporting currency, at most once a second and only when something changed.

    Parameters
    ----------
    nav
        Cash and open positions at their marks, after fees.
    cash
        Of every currency, converted.
    gross_exposure, net_exposure
        Sum of the sizes of the positions at their marks, and their signed sum.
    realised, unrealised, fees
        Since the account began.
    nav_units, cash_units, realised_units, unrealised_units, fees_units
        The same in whole units of ``10^-8`` of the reporting currency, as they were added up.
    complete
        Everything had a mark and a rate; else what had none is missing from the sums, and `missing` names it.
    missing
        Currencies without a rate and instruments (by symbol) without a mark.
    sequence
        Of the last event of the core that is contained.
    income
        Dividends and cash in lieu, since the account began.
    booked
        Deposits less withdrawals, since the account began: what a return has to leave out.
    synthetic
        A mark or rate in it is of a quote that is not as a venue sent it (`RecordFlag.SYNTHETIC`).
    """

    now_ns: int
    portfolio_id: int
    currency: str
    nav: float
    cash: float
    gross_exposure: float
    net_exposure: float
    realised: float
    unrealised: float
    fees: float
    nav_units: str = "0"
    cash_units: str = "0"
    realised_units: str = "0"
    unrealised_units: str = "0"
    fees_units: str = "0"
    complete: bool = True
    missing: tuple[str, ...] = ()
    sequence: int = 0
    income: float = 0.0
    booked: float = 0.0
    synthetic: bool = False


class GetPortfolios(Message, frozen=True):
    """Every portfolio's value."""


class Portfolios(Message, frozen=True):
    """Values of all portfolios, by id."""

    portfolios: tuple[PortfolioValued, ...]
    currency: str
    sequence: int = 0


class GetPortfolio(Message, frozen=True):
    """Everything of one portfolio; without `positions` all but those, which is as quick with ten thousand of them."""

    portfolio_id: PortfolioId
    positions: bool = True


class CashLine(Message, frozen=True):
    """Cash in one currency, as decimals.

    Parameters
    ----------
    balance
        ``booked + income + trading - fees``.
    booked
        Deposits less withdrawals.
    income
        Dividends and cash in lieu.
    trading
        What fills moved: of a cash product its purchases and sales, of one that is settled by margin what it realised.
    fees
        Paid to the venues.
    value
        Of the balance in the reporting currency; None: there is no rate.
    """

    currency: str
    balance: str
    booked: str
    income: str
    trading: str
    fees: str
    value: float | None = None


class PortfolioState(Message, frozen=True):
    """A portfolio: value, positions, cash, and what others said of it.

    Parameters
    ----------
    performance
        As analytics told it last; None: not yet.
    signals
        Trading signals of strategies in this account so far; `last_signal`: the newest.
    """

    valued: PortfolioValued
    positions: tuple[PositionEntry, ...]
    cash: tuple[CashLine, ...]
    basis: Basis
    performance: PerformanceUpdated | None = None
    signals: int = 0
    last_signal: TradingSignal | None = None


class GetAttribution(Message, frozen=True):
    """Where the profit of a portfolio comes from."""

    portfolio_id: PortfolioId


class AttributionLine(Message, frozen=True):
    """Profit of one instrument, as decimals of its currency.

    Parameters
    ----------
    total
        ``realised + unrealised + income - fees``.
    value
        Of the total in the reporting currency; None: there is no rate.
    share
        Of the sum of all; None: that is 0 or not known.
    """

    instrument_id: int
    symbol: str
    currency: str
    realised: str
    unrealised: str
    income: str
    fees: str
    total: str
    value: float | None = None
    share: float | None = None


class Attribution(Message, frozen=True):
    """Profit by instrument; `total` is the sum of those values that are known, less what rounding took."""

    portfolio_id: int
    currency: str
    lines: tuple[AttributionLine, ...]
    total: float
    basis: Basis
    undefined: dict[str, str] = field(default_factory=dict)


class BookCash(Message, frozen=True):
    """Cash that came in or went out.

    Parameters
    ----------
    entry_id
        The sender's own: what was booked under it is not booked again.
    amount
        A decimal; negative: a withdrawal.
    """

    portfolio_id: PortfolioId
    entry_id: Name
    currency: Name
    amount: DecimalText


class CashBooked(Message, frozen=True):
    """The balance after an entry; `repeated`: it was booked before, and nothing was changed."""

    portfolio_id: int
    entry_id: str
    currency: str
    amount: str
    balance: str
    repeated: bool = False


class SetRates(Message, frozen=True):
    """What one unit of each currency is worth in the reporting currency, as decimals."""

    rates: dict[str, str]
    source: Annotated[str, Meta(max_length=LONGEST_TEXT)] = "request"


class GetRates(Message, frozen=True):
    """Rates that reports are converted with."""


class RateLine(Message, frozen=True):
    """A rate into the reporting currency: `bid` for what is owned, `ask` for what is owed.

    `way`: the currencies that it goes through; `now_ns`: of the older part of it.
    """

    currency: str
    bid: float | None
    ask: float | None
    way: tuple[str, ...]
    source: str
    now_ns: int


class Rates(Message, frozen=True):
    """Last rates; `missing`: currencies of instruments and cash that have none."""

    currency: str
    rates: tuple[RateLine, ...]
    missing: tuple[str, ...] = ()


class ActionKind(StrEnum):
    """Kinds of corporate actions; ``position`` is a position that is booked by hand."""

    SPLIT = "split"
    STOCK_DIVIDEND = "stock_dividend"
    CASH_DIVIDEND = "cash_dividend"
    SYMBOL_CHANGE = "symbol_change"
    POSITION = "position"


class ApplyAction(Message, frozen=True):
    """Apply a corporate action to every portfolio, once.

    Parameters
    ----------
    action_id
        The sender's own: an action is applied once, however often it is sent.
    instrument
        Symbol, or the id as text.
    new, old
        Of a split: so many lots for so many. Of a stock dividend: so many more for so many.
    price
        Of a split: what a whole new unit is worth, for the cash in lieu of fractions. Of ``position``: its price.
    amount
        Of a cash dividend: per unit held, a decimal in the instrument's currency or `currency`.
    symbol
        Of a change: the new one.
    portfolio_id, quantity
        Of ``position`` alone: whose, and how much (negative: sold).
    """

    action_id: Name
    kind: ActionKind
    instrument: Name
    new: Annotated[int, Meta(ge=0, le=2**20)] = 0
    old: Annotated[int, Meta(ge=0, le=2**20)] = 0
    price: DecimalText = ""
    amount: DecimalText = ""
    currency: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""
    symbol: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""
    portfolio_id: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0
    quantity: DecimalText = ""


class GetActions(Message, frozen=True):
    """Corporate actions, the newest first."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class GetAction(Message, frozen=True):
    """One corporate action."""

    action_id: Name


class ActionCash(Message, frozen=True):
    """What an action paid to one portfolio (negative: took from a short one)."""

    portfolio_id: int
    currency: str
    amount: str


class ActionState(Message, frozen=True):
    """A corporate action.

    Parameters
    ----------
    status
        ``sent`` to the core, ``applied``, ``refused`` by it (`reason`), or ``unknown``: no answer came, the core's
        report will say.
    sequence
        Of the core's event that applied it; 0: it is none of the core's.
    repeated
        It had been sent before; nothing was changed.
    """

    action_id: str
    kind: ActionKind
    instrument_id: int
    symbol: str
    status: str
    now_ns: int
    reason: str = ""
    sequence: int = 0
    cash: tuple[ActionCash, ...] = ()
    new: int = 0
    old: int = 0
    repeated: bool = False


class ActionStates(Message, frozen=True):
    """Corporate actions."""

    actions: tuple[ActionState, ...]


class Reconcile(Message, frozen=True):
    """Compare a portfolio with a venue's statement; nothing is changed by it.

    Parameters
    ----------
    source
        Whose statement it is.
    quantities
        Symbol (or id as text) to quantity held, as decimals; what is not named is held at 0.
    prices
        Symbol to average price; compared within the decimals that are given. Not named: not compared.
    cash
        Currency to balance, likewise. Empty: not compared.
    """

    portfolio_id: PortfolioId
    source: Name
    quantities: dict[str, str]
    prices: dict[str, str] = field(default_factory=dict)
    cash: dict[str, str] = field(default_factory=dict)


class ReconcileCore(Message, frozen=True):
    """Compare a portfolio with the core: its answer comes a little later, with `GetReconciliations`."""

    portfolio_id: PortfolioId


class GetReconciliations(Message, frozen=True):
    """The last comparison of a portfolio with each source."""

    portfolio_id: PortfolioId


class DifferenceKind(StrEnum):
    """What does not agree."""

    QUANTITY = "quantity"
    PRICE = "price"
    COST = "cost"
    REALISED = "realised"
    FEES = "fees"
    CASH = "cash"
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    UNKNOWN_INSTRUMENT = "unknown_instrument"


class Difference(Message, frozen=True):
    """One thing that does not agree; empty text: that side has none."""

    kind: DifferenceKind
    subject: str
    here: str
    there: str
    instrument_id: int = 0


class Reconciliation(Message, frozen=True):
    """A comparison.

    Parameters
    ----------
    status
        ``equal``, ``different``, ``asked`` (no answer yet) or ``unknown`` (none came).
    compared
        Positions and balances that were looked at.
    sequence, source_sequence
        Of the last event that is contained here, and there.
    attempts
        Of the core a difference is looked at again while events are under way.
    """

    portfolio_id: int
    source: str
    status: str
    now_ns: int
    differences: tuple[Difference, ...] = ()
    compared: int = 0
    sequence: int = 0
    source_sequence: int = 0
    attempts: int = 1


class Reconciliations(Message, frozen=True):
    """The last comparisons."""

    reconciliations: tuple[Reconciliation, ...]


MESSAGES: Final[tuple[type[Message], ...]] = (
    ActionCash,
    ActionState,
    ActionStates,
    ApplyAction,
    Attribution,
    AttributionLine,
    BookCash,
    CashBooked,
    CashLine,
    Difference,
    GetAction,
    GetActions,
    GetAttribution,
    GetPortfolio,
    GetPortfolios,
    GetRates,
    GetReconciliations,
    PortfolioState,
    PortfolioValued,
    Portfolios,
    RateLine,
    Rates,
    Reconcile,
    ReconcileCore,
    Reconciliation,
    Reconciliations,
    SetRates,
)
