"""Settings of the factor engine."""

from __future__ import annotations

from typing import Final

import msgspec

from nautilus.maths.covariance import METHODS
from nautilus.maths.factors import CONSTRAINTS
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.factor import FactorSettings

STYLES: Final = ("momentum", "size", "value", "volatility", "liquidity")
LAGGED: Final = ("momentum", "volatility", "liquidity")
"""Styles that do not depend on the day that they are for."""
CENTRES: Final = ("equal", "cap")
DAY_SECONDS: Final = 86_400


class FactorConfig(msgspec.Struct, frozen=True):
    """The model, the covariance of its factors, and the bounds of the universe.

    Parameters
    ----------
    styles, winsor, residualize, constraint, centre, momentum_*, volatility_*, liquidity_*, size_*, value_*,
    style_winsor, specific_*, kept_days, known_before
        See `nautilus.model.factor.FactorSettings`.
    covariance, covariance_days, covariance_half_life, covariance_lags
        Estimator of `nautilus.maths.covariance`, the last days that it takes, and its parameters (-1 lags: by rule).
    annual_days
        Days of a year, for volatilities.
    day_end
        ``HH:MM`` UTC: then the day's last prices of the market become a day of the model; "": days are uploaded.
    largest_return
        A day's return beyond it, of prices of the market, is not taken: as through a split that nobody told of.
    most_stocks, most_days
        The universe holds no more.

    Raises
    ------
    ConfigError
        A value is outside of its range.
    """

    styles: tuple[str, ...] = STYLES
    winsor: float = 0.05
    residualize: bool = True
    constraint: str = "sum"
    centre: str = "equal"
    momentum_days: int = 504
    momentum_half_life: float = 126.0
    momentum_lag: int = 20
    volatility_days: int = 252
    volatility_half_life: float = 42.0
    liquidity_days: int = 63
    size_lower: float = 0.2
    size_upper: float = 0.8
    style_winsor: float = 0.01
    value_winsor: float = 0.0
    value_partial: bool = False
    covariance: str = "ledoit_wolf"
    covariance_days: int = 504
    covariance_half_life: float = 90.0
    covariance_lags: int = -1
    specific_days: int = 504
    specific_half_life: float = 84.0
    specific_lags: int = 5
    specific_fewest: int = 60
    specific_pull: float = 0.1
    kept_days: int = 504
    known_before: bool = False
    annual_days: int = 252
    day_end: str = "21:15"
    largest_return: float = 0.5
    most_stocks: int = 3_000
    most_days: int = 3_000

    def __post_init__(self) -> None:
        check_model(self.styles, self.constraint, ConfigError)
        if self.centre not in CENTRES:
            raise ConfigError(f"centre {self.centre!r}", where="factor", expected=" or ".join(CENTRES))
        if self.covariance not in METHODS:
            raise ConfigError(f"covariance {self.covariance!r}", where="factor", expected=", ".join(METHODS))
        for name in ("winsor", "style_winsor", "value_winsor"):
            self._within(name, 0.0, 0.5)
        self._within("size_lower", 0.0, self.size_upper)
        self._within("size_upper", self.size_lower, 1.0)
        for name in ("momentum_days", "volatility_days", "liquidity_days", "momentum_lag", "covariance_days"):
            self._within(name, 1, 100_000)
        for name in ("specific_days", "specific_fewest", "kept_days", "annual_days", "most_stocks", "most_days"):
            self._within(name, 1, 100_000)
        for name in ("momentum_half_life", "volatility_half_life", "covariance_half_life", "largest_return"):
            self._within(name, 1e-9, 1e9)
        for name, least in (("specific_half_life", 0), ("specific_lags", 0), ("specific_pull", 0)):
            self._within(name, least, 1e9)
        self._within("covariance_lags", -1, 100_000)
        _ = self.day_end_seconds

    @property
    def day_end_seconds(self) -> int | None:
        """Seconds from midnight UTC to the end of a day; None: no day ends by itself."""
        if not self.day_end:
            return None
        hours, colon, minutes = self.day_end.partition(":")
        if colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal():
            seconds = int(hours) * 3_600 + int(minutes) * 60
            if seconds < DAY_SECONDS and int(minutes) < 60:
                return seconds
        raise ConfigError(f"day_end {self.day_end!r}", where="factor", expected='"HH:MM", or "" for none')

    def settings(self, styles: tuple[str, ...] = (), constraint: str = "") -> FactorSettings:
        """Of a model, with other styles or another constraint where they are given."""
        names = FactorSettings.__struct_fields__
        found = FactorSettings(**{name: getattr(self, name) for name in names})
        return msgspec.structs.replace(
            found, styles=tuple(styles) or self.styles, constraint=constraint or self.constraint
        )

    def _within(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise ConfigError(f"{name} {value}", where="factor", expected=f"{least} to {most}")


def check_model(styles: tuple[str, ...], constraint: str, error: type[ConfigError] | type[ModelError]) -> None:
    """Raise the error where a style or constraint is none that there is."""
    if not set(styles) <= set(STYLES) or len(set(styles)) != len(styles):
        raise error(f"styles {list(styles)}", where="factor", expected=f"each once, of {', '.join(STYLES)}")
    if constraint not in CONSTRAINTS:
        raise error(f"constraint {constraint!r}", where="factor", expected=" or ".join(CONSTRAINTS))


__all__ = ["DAY_SECONDS", "LAGGED", "STYLES", "FactorConfig", "check_model"]
