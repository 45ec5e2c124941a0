"""Settings of margin."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from nautilus.maths.margin import REG_T, REGIMES
from nautilus.maths.portfolio_margin import ScanRules
from nautilus.maths.reg_t import StockRules
from nautilus.maths.strategies import OptionRules
from nautilus.model.errors import ConfigError

TABLES: Final[dict[str, Any]] = {"stock_rules": StockRules, "option_rules": OptionRules, "scan_rules": ScanRules}
"""Settings that change tables of rules, and what these hold."""


class CollateralConfig(msgspec.Struct, frozen=True):
    """Settings of margin.

    Parameters
    ----------
    regime
        ``reg_t``, ``portfolio`` or ``span`` (docs/collateral.md).
    warn_usage, warn_clear
        A warning begins where maintenance by equity is above the first, and ends below the second.
    call_clear
        A call ends where equity is above the maintenance by this part of it.
    publish_change, publish_seconds
        A status goes out at once where a flag changed, or equity or maintenance by this part; else at most so often.
    concentration_share, concentration_rate
        Add-on: a rate on the part of an underlying's exposure above this share of all. Rate 0: none.
    interest_rate, volatility
        Of options without quotes that tell a volatility.
    volatility_seconds
        How often implied volatilities are solved anew.
    factor_volatility
        Of the one factor of forecasts, a year.
    vol_range
        Full move of the volatility in a SPAN-like scan, where an instrument's terms have none.
    span_initial
        Initial margin of a SPAN-like scan as a multiple of the maintenance.
    stock_rules, option_rules, scan_rules
        Numbers in place of those of the tables (`maths.reg_t.StockRules`, `maths.strategies.OptionRules`,
        `maths.portfolio_margin.ScanRules`), by their names there, whatever the day.
    spot_rate
        Maintenance of spot assets (what is no stock, option or derivative): 1 is paid in full.
    rates
        Reporting currency for one unit of another currency.
    currency
        Reporting currency, until the portfolio engine tells it.

    Raises
    ------
    ConfigError
        A value out of its range.
    """

    regime: str = REG_T
    warn_usage: float = 0.90
    warn_clear: float = 0.85
    call_clear: float = 0.02
    publish_change: float = 0.001
    publish_seconds: float = 1.0
    concentration_share: float = 0.40
    concentration_rate: float = 0.0
    interest_rate: float = 0.03
    volatility: float = 0.30
    volatility_seconds: float = 1.0
    factor_volatility: float = 0.20
    vol_range: float = 0.05
    span_initial: float = 1.10
    stock_rules: dict[str, float] = {}
    option_rules: dict[str, float] = {}
    scan_rules: dict[str, float] = {}
    spot_rate: float = 1.0
    rates: dict[str, float] = {}
    currency: str = "USD"

    def __post_init__(self) -> None:
        if self.regime not in REGIMES:
            raise ConfigError(f"regime {self.regime!r}", where="collateral", expected=" or ".join(REGIMES))
        if not 0 < self.warn_clear <= self.warn_usage <= 1:
            raise ConfigError(
                f"warn_clear {self.warn_clear} and warn_usage {self.warn_usage}",
                where="collateral",
                expected="0 < warn_clear <= warn_usage <= 1",
            )
        if not 0 < self.concentration_share <= 1:
            raise ConfigError(
                f"concentration_share {self.concentration_share}", where="collateral", expected="above 0, at most 1"
            )
        for name in ("volatility", "volatility_seconds", "factor_volatility", "span_initial"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} {value}", where="collateral", expected="a number above 0")
        for name in ("call_clear", "publish_change", "publish_seconds", "concentration_rate", "vol_range", "spot_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} {value}", where="collateral", expected="a number of 0 or more")
        for setting, rules in TABLES.items():
            known = [name for name, value in rules._field_defaults.items() if isinstance(value, float)]
            for name, value in getattr(self, setting).items():
                if name not in known:
                    raise ConfigError(f"{name!r}", where=f"collateral.{setting}", expected=" or ".join(known))
                if not (math.isfinite(value) and value >= 0):
                    raise ConfigError(
                        f"{name} {value}", where=f"collateral.{setting}", expected="a number of 0 or more"
                    )
        for currency, rate in self.rates.items():
            if not (math.isfinite(rate) and rate > 0):
                raise ConfigError(f"rate {rate} of {currency}", where="collateral", expected="a number above 0")


__all__ = ["CollateralConfig"]
