"""Settings of recorded and of simulated markets."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from nautilus.model.errors import ConfigError

Cancellation = Literal["back", "proportion"]
DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
MOST_AGENTS = 1_000
"""Of each kind; also the most levels of a maker."""


class RecordingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a recording plays into the core.

    `cancel`: where a decrease that no trade explains leaves a level's queue: from the `back` first (conservative: a
    strategy's orders do not move up for nothing) or in `proportion` over its orders. `price_increment` and `lot_size`:
    decimals for a Binance log where what its head shows is too coarse; empty: inferred.
    """

    cancel: Cancellation = "back"
    price_increment: str = ""
    lot_size: str = ""

    def __post_init__(self) -> None:
        for name in ("price_increment", "lot_size"):
            text = getattr(self, name)
            if text and not (DECIMAL.fullmatch(text) and text.strip("0.")):
                raise ConfigError(
                    f"{name} {text!r}", where="recording", expected="a positive decimal such as 0.001, or empty"
                )


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who trades in the simulated market, and how. Basis points are of the price, times in seconds of the market.

    The default is a liquid market: about 300 commands and 20 trades a second, a volatility of one basis point per
    square root of a second (56 % a year), a spread that rests near one basis point.

    Raises
    ------
    ConfigError
        A number that makes no sense: no maker, a price, quantity, time or spread that is not positive, a wild value.
    """

    initial_price_ticks: int = 600_000
    typical_lots: int = 100
    makers: int = 3
    noise_traders: int = 4
    momentum_traders: int = 3
    informed_traders: int = 2

    volatility_bps: float = 1.0
    reversion_seconds: float = 1_800.0
    jumps_per_minute: float = 2.0
    jump_bps: float = 4.0

    maker_seconds: float = 0.04
    maker_levels: int = 4
    maker_lots: int = 200
    level_spacing: float = 0.7
    patience: float = 0.06
    half_spread_bps: float = 0.3
    skew: float = 0.15
    impact_bps: float = 0.1
    stress: float = 0.25
    stress_seconds: float = 3.0
    volatility_weight: float = 0.1
    follow_seconds: float = 1.0

    noise_seconds: float = 0.12
    momentum_seconds: float = 0.4
    momentum_bps: float = 2.0
    informed_seconds: float = 0.12
    informed_edge_bps: float = 0.1

    def __post_init__(self) -> None:
        for name in ("makers", "maker_levels", "maker_lots", "typical_lots", "initial_price_ticks", "reversion_seconds",
                     "maker_seconds", "noise_seconds", "momentum_seconds", "informed_seconds", "stress_seconds",
                     "follow_seconds", "half_spread_bps", "momentum_bps"):  # fmt: skip
            self._check(name, getattr(self, name) > 0, "more than 0")
        for name in ("noise_traders", "momentum_traders", "informed_traders", "volatility_bps", "jumps_per_minute",
                     "jump_bps", "level_spacing", "patience", "skew", "impact_bps", "stress", "volatility_weight",
                     "informed_edge_bps"):  # fmt: skip
            self._check(name, getattr(self, name) >= 0, "0 or more")

        for name, most in (("volatility_bps", 1_000), ("jump_bps", 10_000), ("jumps_per_minute", 6_000),
                           ("makers", MOST_AGENTS), ("noise_traders", MOST_AGENTS), ("momentum_traders", MOST_AGENTS),
                           ("informed_traders", MOST_AGENTS), ("maker_levels", MOST_AGENTS)):  # fmt: skip
            self._check(name, getattr(self, name) <= most, f"at most {most}")

    def _check(self, name: str, sound: bool, expected: str) -> None:
        # NaN compares false and is refused with the rest.
        if not sound:
            raise ConfigError(f"{name} {getattr(self, name)}", where="simulation", expected=expected)
