"""Settings of the lock-step host and of the core's hard limits, with defaults that suit a demonstration."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import msgspec

from nautilus.engines import QUANTITATIVE
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.limits import Limits
from nautilus.runtime.latency import parse_latency


class LockStepConfig(msgspec.Struct, frozen=True):
    """Settings of the lock-step host.

    Parameters
    ----------
    seed
        Of everything random.
    latency
        ``1ms``; ``250us/1ms`` (from the venue / to the venue); ``1ms+100us`` (with jitter); ``none``.
    engines
        Engines of analysis that run too: what a strategy hears of them live, it is to hear here.
    """

    seed: int = 1
    latency: str = "1ms"
    engines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_latency(self.latency)
        for name in self.engines:
            if name not in QUANTITATIVE:
                raise ConfigError(
                    f"engine {name!r}", where="lockstep.engines", expected=f"some of {', '.join(QUANTITATIVE)}"
                )


MAX_MS = (2**63 - 1) // 1_000_000
WHOLE = (
    "order_quantity",
    "position",
    "price_collar_bps",
    "message_rate",
    "open_orders",
    "executions",
    "daily_loss",
    "credit",
    "open_value",
    "gross_exposure",
    "net_exposure",
)


class LimitsConfig(msgspec.Struct, frozen=True):
    """Hard limits of each strategy's account, checked by the core. 0 or "": not limited.

    Parameters
    ----------
    order_quantity, position
        Lots, of each instrument.
    order_notional
        Value of one order, as a decimal in the quote currency.
    price_collar_bps
        How far through the reference price a limit price may be; an order before the first trade is then refused.
    message_rate
        Orders and replacements a second.
    open_orders
        At once.
    duplicate_ms, stale_price_ms
        The same order again, or an order at an older reference, is refused within, after, so many milliseconds.
    executions
        Orders that trade in one instrument before a person has to resume it.
    daily_loss, leverage, concentration, credit, open_value, gross_exposure, net_exposure
        Of each account, in units of base money; leverage in times and concentration as a part of equity. Off, because
        they refuse every order until the core has cash, a mark of each instrument and a rate of each currency, which a
        market that is only watched or simulated does not send. The usual values are 100,000, 10 and 0.1.
    """

    order_quantity: int = 1_000_000
    order_notional: str = "10000000"
    position: int = 1_000_000
    price_collar_bps: int = 0
    message_rate: int = 1_000
    open_orders: int = 0
    duplicate_ms: int = 0
    stale_price_ms: int = 0
    executions: int = 0
    daily_loss: int = 0
    leverage: float = 0.0
    concentration: float = 0.0
    credit: int = 0
    open_value: int = 0
    gross_exposure: int = 0
    net_exposure: int = 0

    def __post_init__(self) -> None:
        for name in ("duplicate_ms", "stale_price_ms"):
            if not 0 <= getattr(self, name) <= MAX_MS:
                raise ConfigError(f"{name} {getattr(self, name)}", where="limits", expected=f"0 to {MAX_MS}")
        for name in ("leverage", "concentration"):
            if not 0 <= getattr(self, name) <= 1_000_000:
                raise ConfigError(f"{name} {getattr(self, name)}", where="limits", expected="0 to 1,000,000")
        for name in WHOLE:
            if not 0 <= getattr(self, name) < 2**63:
                raise ConfigError(f"{name} {getattr(self, name)}", where="limits", expected=f"0 to {2**63 - 1}")
        if self.message_rate > 1_000_000_000:
            raise ConfigError(
                f"message_rate {self.message_rate}", where="limits", expected="at most 1,000,000,000 a second"
            )
        self._notional()

    def limits(self, accounts: Iterable[int], instruments: Iterable[Instrument]) -> tuple[Limits, ...]:
        """The limits of each account, and of each account in each instrument."""
        known = tuple(instruments)
        notional = self._notional()
        found = []
        for account_id in accounts:
            found.append(
                Limits(
                    account_id=account_id,
                    order_quantity=self.order_quantity or None,
                    position=self.position or None,
                    price_collar_bps=self.price_collar_bps or None,
                    message_rate=self.message_rate or None,
                    open_orders=self.open_orders or None,
                    duplicate_window_ns=self.duplicate_ms * 1_000_000 or None,
                    stale_price_ns=self.stale_price_ms * 1_000_000 or None,
                    executions=self.executions or None,
                    daily_loss=self.daily_loss or None,
                    leverage_bps=round(self.leverage * 10_000) or None,
                    concentration_bps=round(self.concentration * 10_000) or None,
                    credit=self.credit or None,
                    open_value=self.open_value or None,
                    gross_exposure=self.gross_exposure or None,
                    net_exposure=self.net_exposure or None,
                )
            )
            if notional:
                found.extend(
                    Limits(
                        account_id=account_id,
                        instrument_id=instrument.instrument_id,
                        order_notional=min(int(EXACT.scaleb(notional, instrument.currency_decimals)), 2**63 - 1),
                    )
                    for instrument in known
                )
        return tuple(found)

    def _notional(self) -> Decimal:
        try:
            value = Decimal(self.order_notional or "0")
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or value < 0 or value.adjusted() > 30:
            raise ConfigError(
                f"order_notional {self.order_notional!r}", where="limits", expected="a decimal number of 0 or more"
            )
        return value
