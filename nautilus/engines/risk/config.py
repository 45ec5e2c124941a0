"""Settings of the risk engine."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from nautilus.engines.risk.limits import LimitRule, parse_rule
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import EXACT

SCALE: Final = 18
"""Profit of instruments whose money units differ is added up in units of 10^-18 of their currency."""
IGNORE, SOFT, HARD = ACTIONS = ("ignore", "soft", "hard")


class RiskConfig(msgspec.Struct, frozen=True):
    """Soft limits of each account and strategy that stop strategies, and the tree of limits. 0 or "": not limited.

    Parameters
    ----------
    max_position
        Lots, long or short, of one instrument.
    max_loss
        Realised and unrealised together, as a decimal in the quote currency.
    max_orders, window_ns
        New orders and replacements of a strategy in its account in the window; of a person, in the account.
    kill_switch
        A breach also sets the core's kill switch of the account.
    currency
        That limits of money are in; "": the quote currency of the first instrument.
    rates
        What one unit of another currency is worth in it, as decimals.
    desks
        Name to portfolios.
    limits
        Of the tree, one text each: ``"portfolio/* gross soft 8e6 hard 1e7"`` (docs/risk.md).
    release
        A breach is over when the value has come down to this part of its limit.
    var_level, var_window
        Of the limits on value at risk: confidence, and steps of the histories.
    margin_call, toxicity, market_structure
        What a margin call, toxic order flow in an instrument that is held, and a change of its regime to one of
        `regimes` do: ``ignore``, ``soft`` (a warning) or ``hard`` (strategies stop).
    regimes
        Of market structure, that are dangerous (docs/vpin.md names them).
    factors
        Factor of stress tests to the series that it is estimated from.
    """

    max_position: int = 10_000
    max_loss: str = "10000"
    max_orders: int = 500
    window_ns: int = 1_000_000_000
    kill_switch: bool = False
    currency: str = ""
    rates: dict[str, str] = msgspec.field(default_factory=dict)
    desks: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    limits: tuple[str, ...] = ()
    release: float = 0.95
    var_level: float = 0.99
    var_window: int = 500
    margin_call: str = SOFT
    toxicity: str = SOFT
    market_structure: str = SOFT
    regimes: tuple[str, ...] = ("stressed",)
    factors: dict[str, str] = msgspec.field(default_factory=lambda: {"equity": "SP500"})

    def __post_init__(self) -> None:
        if self.max_position < 0 or self.max_orders < 0:
            raise ConfigError("negative limit", where="risk", expected="max_position and max_orders of 0 or more")
        if self.window_ns <= 0:
            raise ConfigError(f"window_ns {self.window_ns}", where="risk", expected="more than 0")
        if not 0.0 < self.release <= 1.0:
            raise ConfigError(f"release {self.release}", where="risk", expected="above 0, at most 1")
        if not 0.5 <= self.var_level < 1.0:
            raise ConfigError(f"var_level {self.var_level}", where="risk", expected="0.5 up to 1")
        if not 10 <= self.var_window <= 5_000:
            raise ConfigError(f"var_window {self.var_window}", where="risk", expected="10 to 5000 steps")
        for name in ("margin_call", "toxicity", "market_structure"):
            if getattr(self, name) not in ACTIONS:
                raise ConfigError(f"{name} {getattr(self, name)!r}", where="risk", expected=" or ".join(ACTIONS))
        seen: set[int] = set()
        for name, portfolios in self.desks.items():
            if not name or "/" in name or name == "*":
                raise ConfigError(f"desk {name!r}", where="risk", expected="a name without a slash")
            if seen & set(portfolios) or any(portfolio <= 0 for portfolio in portfolios):
                raise ConfigError(f"portfolios of desk {name!r}", where="risk", expected="each one once, above 0")
            seen |= set(portfolios)
        _ = self.loss, self.rules, self.conversions

    @property
    def loss(self) -> int | None:
        """`max_loss` in units of 10^-18 of the currency; None: not limited."""
        if not self.max_loss:
            return None
        value = _decimal(self.max_loss)
        if not value.is_finite() or value <= 0 or value.adjusted() > 30:
            raise ConfigError(f"max_loss {self.max_loss!r}", where="risk", expected="a decimal number above 0")
        return int(EXACT.scaleb(value, SCALE))

    @property
    def rules(self) -> tuple[LimitRule, ...]:
        """The limits of the tree."""
        return tuple(parse_rule(text) for text in self.limits)

    @property
    def conversions(self) -> dict[str, Decimal]:
        """The rates."""
        found = {currency: _decimal(rate) for currency, rate in self.rates.items()}
        for currency, rate in found.items():
            if not rate.is_finite() or rate <= 0 or abs(rate.adjusted()) > 18:
                raise ConfigError(f"rate {rate} of {currency}", where="risk", expected="a decimal number above 0")
        return found


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


__all__ = ["HARD", "IGNORE", "SCALE", "SOFT", "RiskConfig"]
