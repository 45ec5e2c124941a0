"""Made-up stocks for tests of the factor model: returns, capitalisations, sectors, value inputs, and holes in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class StockUniverse(NamedTuple):
    """Shape (T, N) each; sectors (N,). Where `present` is False, every matrix has NaN."""

    symbols: tuple[str, ...]
    returns: Array
    market_caps: Array
    book_price: Array
    sales_price: Array
    cash_flow_price: Array
    dollar_volumes: Array
    sector_names: tuple[str, ...]
    sector_codes: NDArray[np.int64]
    present: NDArray[np.bool_]


def stock_universe(days: int, stocks: int, sectors: int, seed: int = 0, holes: float = 0.0) -> StockUniverse:
    """Prices that follow a market, their sector and themselves; `holes` is the share of stock days that are missing."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, sectors, stocks)
    codes[:sectors] = np.arange(sectors)  # none without a stock
    market = 0.0004 + 0.01 * draw.standard_normal((days, 1))
    sector = 0.006 * draw.standard_normal((days, sectors))
    own = draw.uniform(0.008, 0.03, stocks) * draw.standard_t(5, (days, stocks))
    returns = np.maximum(market * draw.uniform(0.5, 1.5, stocks) + sector[:, codes] + own, -0.9)
    prices = np.cumprod(1.0 + returns, axis=0)
    caps = np.exp(22.0 + 1.5 * draw.standard_normal(stocks)) * prices
    present = draw.random((days, stocks)) >= holes
    holes_at = np.where(present, 0.0, np.nan)
    return StockUniverse(
        symbols=tuple(f"S{place:04}" for place in range(stocks)),
        returns=returns + holes_at,
        market_caps=caps + holes_at,
        book_price=np.exp(draw.normal(-0.7, 0.6, stocks)) / prices + holes_at,
        sales_price=np.exp(draw.normal(0.1, 0.8, stocks)) / prices + holes_at,
        cash_flow_price=draw.normal(0.05, 0.08, stocks) / prices + holes_at,
        dollar_volumes=caps * np.exp(draw.normal(-5.5, 0.7, (days, stocks))) + holes_at,
        sector_names=tuple(f"sector{place:02}" for place in range(sectors)),
        sector_codes=codes.astype(np.int64),
        present=present,
    )
