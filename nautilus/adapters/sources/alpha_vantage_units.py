"""Units of the figures of a company's overview at Alpha Vantage, which names the currency alone.

As EDGAR writes them: ``USD``, ``USD/shares``, ``shares``, and ``pure`` for what has none (a ratio; 0.05 is 5 %).
"""

from __future__ import annotations

AMOUNTS = frozenset(("MarketCapitalization", "EBITDA", "RevenueTTM", "GrossProfitTTM"))
PRICES = frozenset(("AnalystTargetPrice", "52WeekHigh", "52WeekLow", "50DayMovingAverage", "200DayMovingAverage"))
PER_SHARE = frozenset(("BookValue", "DividendPerShare", "EPS", "RevenuePerShareTTM", "DilutedEPSTTM"))
PURE = frozenset(
    (
        "PERatio",
        "PEGRatio",
        "TrailingPE",
        "ForwardPE",
        "PriceToSalesRatioTTM",
        "PriceToBookRatio",
        "EVToRevenue",
        "EVToEBITDA",
        "Beta",
        "DividendYield",
        "ProfitMargin",
        "OperatingMarginTTM",
        "ReturnOnAssetsTTM",
        "ReturnOnEquityTTM",
        "QuarterlyEarningsGrowthYOY",
        "QuarterlyRevenueGrowthYOY",
    )
)


def unit_of(concept: str, currency: str) -> str:
    """The unit of a figure; "" where it is not known."""
    if concept in AMOUNTS or concept in PRICES:
        return currency
    if concept in PER_SHARE:
        return f"{currency}/shares" if currency else ""
    if concept in PURE:
        return "pure"
    if concept.startswith("Shares"):  # outstanding, float
        return "shares"
    if concept.startswith("Percent"):  # held by insiders, by institutions
        return "percent"
    return "analysts" if concept.startswith("AnalystRating") else ""


__all__ = ["unit_of"]
