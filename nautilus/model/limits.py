"""Hard limits: what the trading core checks before every order, and refuses itself."""

from __future__ import annotations

from nautilus.model.enums import CommandKind, LimitKind
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.records import Records, command_array, command_row

MAX_LIMIT = 2**63 - 1
MAX_BPS = 1_000_000
OF_ACCOUNT = frozenset(
    (
        LimitKind.DAILY_LOSS,
        LimitKind.LEVERAGE,
        LimitKind.CREDIT,
        LimitKind.OPEN_ORDERS,
        LimitKind.OPEN_VALUE,
        LimitKind.GROSS_EXPOSURE,
        LimitKind.NET_EXPOSURE,
    )
)


class Limits(Message, frozen=True):
    """Limits of one scope: an account, an instrument, the pair, or (0) every one. None: not limited here.

    Which of several scopes holds is in docs/kernel-controls.md, section Limits: mostly the smallest value.

    Parameters
    ----------
    order_quantity, position
        Lots.
    order_notional
        Money units of the instrument's quote currency.
    price_collar_bps
        A limit price may be this far through the reference price. An order without a reference is refused.
    message_rate, message_window_ns
        At most so many orders and replacements in the window; for an account or every account.
    daily_loss, credit, open_value, gross_exposure, net_exposure
        Units of base money; for an account or every account. They need a MARK of each instrument and a RATE of each
        currency (credit, open_value: rates alone), daily_loss also a SESSION that set the day's base; without these
        every order is refused.
    leverage_bps, concentration_bps
        Gross exposure of the account, of one position, in basis points of equity (ten times: 100,000). They need cash
        (ADJUST) too. Leverage is for an account or every account.
    open_orders
        Of an account.
    price_band_bps, price_band_ns
        A price may be so far from the reference of so long ago.
    executions, executions_window_ns
        Orders that trade in an instrument before a person has to RESUME the pair; with a window they are forgotten.
    duplicate_window_ns
        The same order of the same side is refused within it.
    stale_price_ns
        Age of the reference from which on orders are refused.
    permitted
        False: no order of the scope.
    volatility_band_bps, volatility_ns
        Of an instrument or every one: a match that far from the last price is held up by an auction, for so long
        (0: until a phase is set).
    credit_total
        Units of base money, of all accounts together; account_id and instrument_id are 0.

    Raises
    ------
    ModelError
        A value is negative or too large, or a limit is named with a scope that it cannot have.
    """

    account_id: int = 0
    instrument_id: int = 0
    order_quantity: int | None = None
    order_notional: int | None = None
    price_collar_bps: int | None = None
    position: int | None = None
    message_rate: int | None = None
    message_window_ns: int = 1_000_000_000
    daily_loss: int | None = None
    leverage_bps: int | None = None
    concentration_bps: int | None = None
    credit: int | None = None
    open_orders: int | None = None
    open_value: int | None = None
    gross_exposure: int | None = None
    net_exposure: int | None = None
    price_band_bps: int | None = None
    price_band_ns: int = 60_000_000_000
    executions: int | None = None
    executions_window_ns: int = 0
    duplicate_window_ns: int | None = None
    stale_price_ns: int | None = None
    permitted: bool | None = None
    volatility_band_bps: int | None = None
    volatility_ns: int = 0
    credit_total: int | None = None

    def __post_init__(self) -> None:
        for kind, value in self._values():
            if not 0 <= value <= MAX_LIMIT:
                raise ModelError(f"limit {kind.name} of {value}", where="limits", expected=f"0 to {MAX_LIMIT}")
        if self.message_rate is not None:
            if self.instrument_id:
                raise ModelError("message rate of an instrument", where="limits", expected="instrument_id 0")
            if not 1 <= self.message_rate <= self.message_window_ns <= MAX_LIMIT:
                raise ModelError(
                    f"message rate of {self.message_rate} in {self.message_window_ns} ns",
                    where="limits",
                    expected="at least one message, and no more than one a nanosecond",
                )

        if self.instrument_id and any(kind in OF_ACCOUNT for kind, _ in self._values()):
            raise ModelError(
                f"limit of an account with instrument {self.instrument_id}", where="limits", expected="instrument_id 0"
            )
        windows = (self.price_band_ns, 1), (self.executions_window_ns, 0), (self.duplicate_window_ns, 1)
        if any(window is not None and not least <= window <= MAX_LIMIT for window, least in windows):
            raise ModelError(f"window of {windows}", where="limits", expected=f"1 to {MAX_LIMIT} ns")
        if max(self.price_band_bps or 0, self.price_collar_bps or 0) > MAX_BPS:
            raise ModelError("band over 1,000,000 bps", where="limits", expected=f"0 to {MAX_BPS}")
        if self.credit_total is not None and (self.account_id or self.instrument_id):
            raise ModelError(
                f"credit in total of account {self.account_id}, instrument {self.instrument_id}",
                where="limits",
                expected="account_id and instrument_id 0",
            )
        if self.volatility_band_bps is not None:
            if self.account_id:
                raise ModelError(
                    f"volatility band of account {self.account_id}", where="limits", expected="account_id 0"
                )
            if not 1 <= self.volatility_band_bps <= MAX_BPS or not 0 <= self.volatility_ns <= MAX_LIMIT:
                raise ModelError(
                    f"volatility band of {self.volatility_band_bps} bps for {self.volatility_ns} ns",
                    where="limits",
                    expected=f"1 to {MAX_BPS} bps, 0 to {MAX_LIMIT} ns",
                )
        if self.executions == 0 or self.stale_price_ns == 0:
            raise ModelError("executions or stale_price_ns of 0", where="limits", expected="1 or more")

    def to_commands(self) -> Records:
        """One LIMIT command for each limit that is set, as a COMMAND array."""
        return command_array(
            *(
                command_row(
                    kind=CommandKind.LIMIT,
                    order_type=kind,
                    quantity=value,
                    account_id=self.account_id,
                    instrument_id=self.instrument_id,
                    expire_ns=self._windows().get(kind, 0),
                )
                for kind, value in self._values()
            )
        )

    def _values(self) -> list[tuple[LimitKind, int]]:
        values = (
            (LimitKind.ORDER_QUANTITY, self.order_quantity),
            (LimitKind.ORDER_NOTIONAL, self.order_notional),
            (LimitKind.PRICE_COLLAR, self.price_collar_bps),
            (LimitKind.POSITION, self.position),
            (LimitKind.MESSAGE_RATE, self.message_rate),
            (LimitKind.DAILY_LOSS, self.daily_loss),
            (LimitKind.LEVERAGE, self.leverage_bps),
            (LimitKind.CONCENTRATION, self.concentration_bps),
            (LimitKind.CREDIT, self.credit),
            (LimitKind.OPEN_ORDERS, self.open_orders),
            (LimitKind.OPEN_VALUE, self.open_value),
            (LimitKind.GROSS_EXPOSURE, self.gross_exposure),
            (LimitKind.NET_EXPOSURE, self.net_exposure),
            (LimitKind.PRICE_BAND, self.price_band_bps),
            (LimitKind.REPEATED, self.executions),
            (LimitKind.DUPLICATE, None if self.duplicate_window_ns is None else 1),
            (LimitKind.STALE_PRICE, self.stale_price_ns),
            (LimitKind.PERMISSION, None if self.permitted is None else int(self.permitted)),
            (LimitKind.VOLATILITY_BAND, self.volatility_band_bps),
            (LimitKind.CREDIT_TOTAL, self.credit_total),
        )
        return [(kind, value) for kind, value in values if value is not None]

    def _windows(self) -> dict[LimitKind, int]:
        return {
            LimitKind.MESSAGE_RATE: self.message_window_ns,
            LimitKind.PRICE_BAND: self.price_band_ns,
            LimitKind.REPEATED: self.executions_window_ns,
            LimitKind.DUPLICATE: self.duplicate_window_ns or 0,
            LimitKind.VOLATILITY_BAND: self.volatility_ns,
        }
