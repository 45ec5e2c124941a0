"""What the analytics engine answers over HTTP."""

from __future__ import annotations

from typing import Any

from nautilus.engines.analytics.depths import INSTITUTIONAL, REALTIME_MS, budget_of
from nautilus.engines.base import Operation
from nautilus.engines.panel import history_operations
from nautilus.model.analytics import (
    AnalysePerformance,
    AnalyticsBatch,
    AnalyticsResult,
    AskAnalytics,
    ForecastReturns,
    Forecasts,
    GetAnalytics,
    GetAnalyticsBatch,
    GetTearSheet,
    GetTearSheetPage,
    PortfolioAnalytics,
    TearSheet,
)
from nautilus.model.attribution import (
    AttributeBrinson,
    AttributeFactors,
    BrinsonReport,
    FactorAttribution,
    GetTransactionCosts,
    TransactionCosts,
)
from nautilus.model.document import Document

_LONG: dict[str, Any] = {"budget_ms": INSTITUTIONAL.budget_ms, "scope": "read", "idempotent": True}
_PORTFOLIO = "{portfolio_id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        f"/analytics/realtime/{_PORTFOLIO}",
        GetAnalytics,
        PortfolioAnalytics,
        "How a portfolio does, now, in one of four depths",
        priority="critical",
        budget_ms=REALTIME_MS,
        budget_of=budget_of,
        fallback="last",
    ),
    Operation(
        "POST",
        "/analytics/realtime",
        GetAnalyticsBatch,
        AnalyticsBatch,
        "How many portfolios do, now",
        priority="high",
        budget_ms=REALTIME_MS,
        budget_of=budget_of,
        scope="read",
        idempotent=True,
    ),
    Operation(
        "POST",
        "/analytics/requests",
        AskAnalytics,
        AnalyticsResult,
        "Performance, risk, attribution or ml_inference of a portfolio",
        budget_of=budget_of,
        **_LONG,
    ),
    Operation(
        "POST",
        "/analytics/performance",
        AnalysePerformance,
        PortfolioAnalytics,
        "Performance of returns that come with the request",
        **_LONG,
    ),
    Operation(
        "POST",
        "/analytics/forecasts",
        ForecastReturns,
        Forecasts,
        "Volatility forecasts and regimes of returns that come with the request",
        scope="read",
        idempotent=True,
    ),
    Operation(
        "POST", "/analytics/attribution/brinson", AttributeBrinson, BrinsonReport, "Brinson attribution", **_LONG
    ),
    Operation(
        "POST",
        "/analytics/attribution/factors",
        AttributeFactors,
        FactorAttribution,
        "Attribution of returns to factors",
        **_LONG,
    ),
    Operation(
        "GET",
        f"/analytics/tear-sheet/{_PORTFOLIO}.html",
        GetTearSheetPage,
        Document,
        "Tear sheet of a portfolio as a page with plots, to open in a browser",
    ),
    Operation(
        "GET",
        f"/analytics/tear-sheet/{_PORTFOLIO}",
        GetTearSheet,
        TearSheet,
        "Tear sheet of a portfolio: figures and series",
    ),
    Operation(
        "GET",
        f"/analytics/transaction-costs/{_PORTFOLIO}",
        GetTransactionCosts,
        TransactionCosts,
        "What trading cost a portfolio, order by order",
    ),
    *history_operations("analytics"),
)

__all__ = ["OPERATIONS"]
