"""A portfolio's tear sheet: its figures, and the series that the plots show."""

from __future__ import annotations

from nautilus.engines.analytics.config import AnalyticsConfig
from nautilus.engines.analytics.track import Track
from nautilus.maths.drawdowns import drawdown_series
from nautilus.maths.errors import Undefined
from nautilus.maths.returns import Floats, wealth
from nautilus.maths.rolling import rolling_sharpe, rolling_volatility
from nautilus.model.analytics import PortfolioAnalytics, TearSheet
from nautilus.model.errors import ModelError

WINDOW = 126
"""Periods of the rolling plots; half of what there is, where that is less."""
LEAST_WINDOW = 5
JSON, HTML = FORMS = ("json", "html")


class UnknownFormError(ModelError):
    """A form that a tear sheet does not have."""

    code = "model.form"


def sheet_of(analytics: PortfolioAnalytics, track: Track, config: AnalyticsConfig) -> TearSheet:
    """Figures and series of a portfolio's ended periods.

    Raises
    ------
    Undefined
        ``empty``: no period has ended.
    """
    returns = track.returns
    grown, below = wealth(returns), drawdown_series(returns)
    window = min(WINDOW, returns.size // 2)
    sharpe: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    if window >= LEAST_WINDOW:
        spread = tuple(rolling_volatility(returns, window, config.periods_per_year).tolist())
        try:
            sharpe = tuple(rolling_sharpe(returns, window, config.risk_free, config.periods_per_year).tolist())
        except Undefined:
            sharpe = ()  # in one of the windows returns never change: the plot is left out
    return TearSheet(
        track.portfolio_id,
        analytics,
        tuple(track.times),
        tuple(grown.tolist()),
        tuple(below.tolist()),
        window if spread else 0,
        sharpe,
        spread,
    )


def check_form(form: str) -> bool:
    """Whether a page is wanted. UnknownFormError: a form that there is not."""
    if form not in FORMS:
        raise UnknownFormError(f"form {form!r}", where="form", expected=" or ".join(FORMS))
    return form == HTML


def draw(sheet: TearSheet, benchmark: Floats | None) -> str:
    """The page of a sheet: a job. The benchmark is drawn where its returns of all periods are known."""
    from nautilus.engines.analytics.tear_sheet_content import page_of

    grown = () if benchmark is None else tuple(wealth(benchmark).tolist())
    return page_of(sheet, benchmark_wealth=grown)


__all__ = ["FORMS", "UnknownFormError", "check_form", "draw", "sheet_of"]
