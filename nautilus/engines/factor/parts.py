"""The parts of the factor engine that its answers are read from, and how answers say what they rest on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.config import FactorConfig
from nautilus.engines.factor.current import Market
from nautilus.engines.factor.model import Model
from nautilus.engines.factor.portfolios import Portfolios
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.factor.universe import Universe
from nautilus.model.basis import Basis
from nautilus.model.errors import UnknownInstrumentError

Array = NDArray[np.float64]

VERSION = "1"
"""Of the model's definition, in every basis."""


class Parts(NamedTuple):
    """Of one engine."""

    config: FactorConfig
    universe: Universe
    portfolios: Portfolios
    prices: LastPrices
    market: Market


def column_of(parts: Parts, symbol: str) -> int:
    column = parts.universe.column(symbol)
    if column is None:
        raise UnknownInstrumentError(f"stock {symbol!r}", where="factor", expected="one of the universe")
    return column


def sourced(parts: Parts, basis: Basis, missing: int | None = None) -> Basis:
    return msgspec.structs.replace(
        basis,
        source=", ".join(sorted(parts.universe.sources)),
        synthetic=parts.universe.synthetic,
        version=VERSION,
        missing=basis.missing if missing is None else missing,
    )


def method_of(model: Model) -> str:
    """The model in words."""
    settings = model.settings
    clipped = f"returns winsorised at {settings.winsor:g}" if settings.winsor else "returns as they are"
    balance = "sum to 0" if settings.constraint == "sum" else "sum to 0 by capitalisation"
    known = ", capitalisation and value of the day before" if settings.known_before else ""
    target = "what market and sectors leave" if settings.residualize else "returns"
    return (
        f"cross-sectional regression weighted by sqrt(market cap) (toraniko 1.1.0), {clipped}, sectors {balance}, "
        f"styles on {target}{known}; {styles_of(model)}"
    )


def styles_of(model: Model) -> str:
    """The styles in words."""
    settings = model.settings
    words = {
        "momentum": f"momentum {settings.momentum_days} days, half-life {settings.momentum_half_life:g}, "
        f"lag {settings.momentum_lag}",
        "size": f"size beyond quantiles {settings.size_lower:g} and {settings.size_upper:g}",
        "value": "value of book, sales and cash flow to price",
        "volatility": f"volatility {settings.volatility_days} days, half-life {settings.volatility_half_life:g}",
        "liquidity": f"turnover {settings.liquidity_days} days",
    }
    centre = ", centred by capitalisation" if settings.centre == "cap" else ""
    return "styles: " + ("; ".join(words[name] for name in model.styles) or "none") + centre


def floats(values: Array) -> tuple[float, ...]:
    """As a message takes them."""
    return tuple(values.tolist())


def whole(values: NDArray[np.int64]) -> tuple[int, ...]:
    """As a message takes them."""
    return tuple(values.tolist())


def or_none(value: Any, undefined: dict[str, str], name: str, code: str) -> float | None:
    """The number; None where it is not finite, and `undefined` has the code for it."""
    if math.isfinite(value):
        return float(value)
    undefined[name] = code
    return None


__all__ = ["VERSION", "Parts", "column_of", "floats", "method_of", "or_none", "sourced", "styles_of", "whole"]
