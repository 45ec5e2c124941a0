"""What the collateral engine answers over HTTP."""

from __future__ import annotations

from typing import Any

from nautilus.engines.base import Operation
from nautilus.model.collateral import (
    Contracts,
    ForecastReport,
    GetContracts,
    GetForecast,
    GetMargin,
    ImpliedVolatilities,
    MarginReport,
    OptionPrices,
    PriceOptions,
    PutBrackets,
    PutCollateral,
    PutContracts,
    PutFuturesRates,
    PutHaircuts,
    PutOffsets,
    SolveVolatility,
    Uploaded,
    WhatIf,
    WhatIfReport,
)

_ASK: dict[str, Any] = {"scope": "read", "idempotent": True}
_PUT: dict[str, Any] = {"scope": "admin", "idempotent": True, "durable": True}
MARGIN_MS = 100.0

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/collateral/margin/{portfolio_id}",
        GetMargin,
        MarginReport,
        "Margin of a portfolio now, by group and strategy",
        priority="high",
        budget_ms=MARGIN_MS,
        fallback="last",
    ),
    Operation(
        "POST",
        "/collateral/what-if/{portfolio_id}",
        WhatIf,
        WhatIfReport,
        "Margin of a portfolio after trades and a move of the market",
        budget_ms=MARGIN_MS,
        **_ASK,
    ),
    Operation(
        "GET",
        "/collateral/forecast/{portfolio_id}",
        GetForecast,
        ForecastReport,
        "How far a margin call is, in price and in time, and what to close",
        budget_ms=5_000.0,
    ),
    Operation("POST", "/collateral/greeks", PriceOptions, OptionPrices, "Prices and greeks of options", **_ASK),
    Operation(
        "POST",
        "/collateral/implied-volatility",
        SolveVolatility,
        ImpliedVolatilities,
        "Volatilities that prices of options tell",
        **_ASK,
    ),
    Operation("GET", "/collateral/contracts", GetContracts, Contracts, "Terms that were uploaded"),
    Operation("PUT", "/collateral/contracts", PutContracts, Uploaded, "Terms of options, futures and stocks", **_PUT),
    Operation(
        "PUT",
        "/collateral/futures-rates/{product}",
        PutFuturesRates,
        Uploaded,
        "An exchange's margin of a future by the day from which it holds",
        **_PUT,
    ),
    Operation("PUT", "/collateral/brackets/{product}", PutBrackets, Uploaded, "A venue's brackets of notional", **_PUT),
    Operation("PUT", "/collateral/haircuts", PutHaircuts, Uploaded, "Haircuts by class and by currency", **_PUT),
    Operation("PUT", "/collateral/offsets", PutOffsets, Uploaded, "Cross-margin offsets between groups", **_PUT),
    Operation(
        "PUT", "/collateral/pledged/{portfolio_id}", PutCollateral, Uploaded, "What is pledged for a portfolio", **_PUT
    ),
)

__all__ = ["MARGIN_MS", "OPERATIONS"]
