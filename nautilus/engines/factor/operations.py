"""What the factor engine answers over HTTP, as over the mesh."""

from __future__ import annotations

from typing import Any, Final

from nautilus.engines.base import Operation
from nautilus.engines.panel import history_operations
from nautilus.model.factor import (
    CollectUniverse,
    DropUniverse,
    EstimateFactors,
    FactorContributions,
    FactorCovariance,
    FactorExposures,
    FactorPortfolioState,
    FactorReturnsTable,
    FactorRisk,
    FactorsEstimated,
    GetFactorAttribution,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetPortfolioExposures,
    GetResidualReturns,
    GetUniverse,
    PortfolioExposures,
    PutFactorPortfolio,
    PutSectors,
    PutUniverse,
    ResidualReturns,
    UniverseState,
    UpdateFactors,
)

_READ: Final[dict[str, Any]] = {"fallback": "last"}
_PUT: Final[dict[str, Any]] = {"idempotent": True, "durable": True}

OPERATIONS: Final = (
    Operation("GET", "/factor/universe", GetUniverse, UniverseState, "Stocks, days, and how far the model is"),
    Operation("DELETE", "/factor/universe", DropUniverse, UniverseState, "Forget stocks, days and model", durable=True),
    Operation("PUT", "/factor/universe/sectors", PutSectors, UniverseState, "Give sectors", **_PUT),
    Operation("PUT", "/factor/universe/{field}", PutUniverse, UniverseState, "Give values of a field", **_PUT),
    Operation("POST", "/factor/universe/collect", CollectUniverse, UniverseState, "Take prices over from histories"),
    *history_operations("factor"),
    Operation("POST", "/factor/estimate", EstimateFactors, FactorsEstimated, "Estimate the model on all days"),
    Operation("POST", "/factor/update", UpdateFactors, FactorsEstimated, "Estimate the days that came since"),
    Operation("GET", "/factor/returns", GetFactorReturns, FactorReturnsTable, "Returns of factors", **_READ),
    Operation(
        "GET",
        "/factor/residuals/{symbol}",
        GetResidualReturns,
        ResidualReturns,
        "What factors leave of a stock",
        **_READ,
    ),
    Operation(
        "GET", "/factor/exposures/{symbol}", GetFactorExposures, FactorExposures, "Exposures of a stock", **_READ
    ),
    Operation(
        "GET",
        "/factor/exposures/portfolio/{portfolio_id}",
        GetPortfolioExposures,
        PortfolioExposures,
        "Exposures of a portfolio",
        **_READ,
    ),
    Operation("GET", "/factor/covariance", GetFactorCovariance, FactorCovariance, "Covariance of factors", **_READ),
    Operation("GET", "/factor/risk/{portfolio_id}", GetFactorRisk, FactorRisk, "Risk of a portfolio, split", **_READ),
    Operation(
        "GET",
        "/factor/attribution/{portfolio_id}",
        GetFactorAttribution,
        FactorContributions,
        "Return of a portfolio by factors",
        **_READ,
    ),
    Operation(
        "PUT",
        "/factor/portfolio/{portfolio_id}",
        PutFactorPortfolio,
        FactorPortfolioState,
        "Say what a portfolio is made of",
        **_PUT,
    ),
)
