"""What takes more than a millisecond: pure functions of arrays that a worker runs. It alone loads numba or `arch`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.undefined import Measures
from nautilus.maths import drawdown_risk, stress, var, var_backtest, var_parts, volatility
from nautilus.maths.errors import Undefined
from nautilus.maths.filtered_var import filtered_returns
from nautilus.model.basis import Basis
from nautilus.model.errors import ConfigError
from nautilus.model.risk import (
    BacktestVar,
    EstimateRisk,
    RiskComponent,
    RiskDrawdowns,
    RiskEstimate,
    RiskPosition,
    StressedPosition,
    StressPortfolio,
    StressResult,
    StressScenario,
    VarBacktest,
)

Floats = NDArray[np.float64]
Levels = tuple[NDArray[np.int64], Floats]
HISTORICAL, NORMAL, CORNISH_FISHER, MONTE_CARLO = "historical", "normal", "cornish_fisher", "monte_carlo"
EWMA, GARCH, GJR = "filtered_ewma", "filtered_garch", "filtered_gjr"
METHODS: Final = (HISTORICAL, NORMAL, CORNISH_FISHER, EWMA, GARCH, GJR, MONTE_CARLO)
BACKTESTED: Final = (HISTORICAL, NORMAL, CORNISH_FISHER, EWMA)
_QUANTILES: Final = {
    var.EMPYRICAL: "linear interpolation (empyrical)",
    var.RISKFOLIO: "order statistic ceil(n tail) (riskfolio)",
    var.SKFOLIO: "order statistic floor(n tail) + 1 (skfolio)",
}
_MOST_TOLD: Final = 1_000
_MOST_LOOKED_AT: Final = 10_000_000
"""Days of a backtest times its window: more takes longer than an answer may."""


class PackageError(ConfigError):
    """A package that is not installed would be needed."""

    code = "config.package"


def warm() -> None:
    """Load and compile what simulation needs.

    `arch` takes seconds to be imported, and more memory than all else: the first question for such a filter loads it,
    into a process that is there for the time of such questions.
    """
    from nautilus.maths.monte_carlo import warm as simulate

    simulate()


def estimate(
    question: EstimateRisk, currency: str, positions: tuple[RiskPosition, ...], returns: Floats, basis: Basis
) -> RiskEstimate:
    """Answer `EstimateRisk`.

    Parameters
    ----------
    returns
        T x N, of the positions' histories.
    basis
        Without a method.
    """
    exposures = np.array([position.exposure for position in positions])
    gammas = np.array([position.gamma for position in positions])
    measures = Measures()
    given: dict[str, Any] = {}
    if question.method == MONTE_CARLO:
        method, given = _simulated(question, positions, exposures, gammas, returns)
    else:
        if gammas.any():
            raise Undefined("mismatch", f"gamma with method {question.method}", f"method {MONTE_CARLO}, or no gamma")
        profits = var_parts.profits_of(exposures, returns)
        total = profits.sum(axis=1)
        method = _estimated(question, measures, total)
        if question.components:
            given["components"] = _components(question, measures, positions, exposures, profits, returns)
        if question.method == HISTORICAL:
            measures.take("evar", lambda: var.entropic_var(total, question.level))
    found = {"var": None, "cvar": None, "evar": None} | measures.values | given
    return RiskEstimate(
        portfolio_id=question.portfolio_id,
        currency=currency,
        method=question.method,
        definition=question.definition,
        level=question.level,
        gross_exposure=float(np.abs(exposures).sum()),
        net_exposure=float(exposures.sum()),
        basis=_of(basis, method),
        undefined=measures.undefined,
        **found,
    )


def measure_drawdowns(
    portfolio_id: int, level: float, currency: str, changes: Floats, compounded: bool, basis: Basis
) -> RiskDrawdowns:
    """Answer `MeasureDrawdowns`: of profits in money, or of returns."""
    found = drawdown_risk.drawdown_risk(changes, level, compounded)
    path = "compounded returns" if compounded else "sums of profits"
    method = f"drawdowns of {path}; at risk: order statistic, conditional: Rockafellar-Uryasev (riskfolio)"
    return RiskDrawdowns(portfolio_id, currency, level, compounded, *found, basis=_of(basis, method))


def backtest(question: BacktestVar, changes: Floats, times_ns: NDArray[np.int64], basis: Basis) -> VarBacktest:
    """Answer `BacktestVar`: each step's value at risk from the `window` steps before it.

    Raises
    ------
    Undefined
        ``too_few``: no more steps than the window; ``out_of_range``: too much to look at.
    """
    window, level = question.window, question.level
    if changes.size <= window:
        raise Undefined("too_few", f"{changes.size} steps with a window of {window}", "more than the window")
    looked_at = (changes.size - window) * window
    if looked_at > _MOST_LOOKED_AT:
        raise Undefined("out_of_range", f"{looked_at} steps in all windows", f"at most {_MOST_LOOKED_AT}")
    views = np.lib.stride_tricks.sliding_window_view(changes, window)[:-1]
    said = np.array([_said(question, view) for view in views])
    later = changes[window:]
    hits = var_backtest.exceedances(later, said)
    count, days = int(hits.sum()), int(hits.size)
    failures = var_backtest.kupiec(count, days, level)
    alone = var_backtest.independence(hits)
    both = var_backtest.conditional_coverage(hits, level)
    light = var_backtest.traffic_light(count, days, level)
    pairs = var_backtest.transitions(hits)
    return VarBacktest(
        portfolio_id=question.portfolio_id,
        method=question.method,
        level=level,
        days=days,
        exceedances=count,
        expected=days * var.tail_of(level),
        kupiec=failures.statistic,
        kupiec_p=failures.p_value,
        independence=alone.statistic,
        independence_p=alone.p_value,
        conditional_coverage=both.statistic,
        conditional_coverage_p=both.p_value,
        zone=light.zone,
        zone_probability=light.cumulative,
        transitions=(pairs[0], pairs[1], pairs[2], pairs[3]),
        exceedances_ns=tuple(int(time) for time in times_ns[window:][hits][-_MOST_TOLD:]),
        basis=_of(basis, f"{question.method} VaR of {window} steps before each; Kupiec, Christoffersen, Basel zones"),
    )


def stress_portfolio(
    question: StressPortfolio,
    currency: str,
    positions: tuple[RiskPosition, ...],
    levels: tuple[Levels, ...],
    factors: dict[str, Levels],
    basis: Basis,
) -> StressResult:
    """Answer `StressPortfolio`.

    Parameters
    ----------
    levels
        Of each position: times and prices; empty where it has none.
    factors
        Factor to the times and prices of its series, of those that have one.
    """
    scenarios = list(question.scenarios) or ([] if question.shocks or question.returns else list(stress.HISTORICAL))
    found = []
    for name in scenarios:
        scenario = stress.HISTORICAL[name]
        lines = [
            _shocked(question, position, prices, factors, scenario.shocks, scenario)
            for position, prices in zip(positions, levels, strict=True)
        ]
        found.append(
            _scenario(
                scenario.name, scenario.title, scenario.begin, scenario.end, scenario.shocks, lines, scenario.source
            )
        )
    if question.shocks or question.returns:
        lines = [
            _shocked(question, position, prices, factors, question.shocks, None)
            for position, prices in zip(positions, levels, strict=True)
        ]
        found.append(_scenario("custom", "As asked for", "", "", question.shocks, lines, "request"))
    method = (
        "exposure r + gamma r^2 / 2; r: as given, or own prices of those days, or beta times the factor "
        "(least squares over common times), not below -1"
    )
    return StressResult(question.portfolio_id, currency, tuple(found), _of(basis, method))


def _estimated(question: EstimateRisk, measures: Measures, total: Floats) -> str:
    level, definition = question.level, question.definition
    if question.method == HISTORICAL:
        measures.take("var", lambda: var.historical_var(total, level, definition))
        measures.take("cvar", lambda: var.historical_cvar(total, level, definition))
        return f"historical VaR, {_QUANTILES[definition]}; EVaR of Ahmadi-Javid"
    if question.method == NORMAL:
        measures.take("var", lambda: var.normal_var(total, level))
        measures.take("cvar", lambda: var.normal_cvar(total, level))
        return "parametric VaR, normal, sample deviation n - 1 (quantstats)"
    if question.method == CORNISH_FISHER:
        measures.take("var", lambda: var.cornish_fisher_var(total, level))
        measures.take("cvar", lambda: var.cornish_fisher_cvar(total, level))
        return "parametric VaR, Cornish-Fisher of the fourth moment; CVaR: its integral (Maillard)"
    filtered, model = _filtered(question.method, total, question.decay)
    measures.take("var", lambda: var.historical_var(filtered, level, definition))
    measures.take("cvar", lambda: var.historical_cvar(filtered, level, definition))
    return f"filtered historical VaR ({model}), {_QUANTILES[definition]}"


def _filtered(method: str, total: Floats, decay: float) -> tuple[Floats, str]:
    """Past profits at the volatility to come."""
    scale = _scale(total)
    if method == EWMA:
        model = volatility.ewma(total / scale, decay, horizon=1)
        name = f"EWMA, decay {decay:g}"
    else:
        try:
            model = (volatility.garch if method == GARCH else volatility.gjr_garch)(total / scale, horizon=1)
        except ModuleNotFoundError as error:
            raise PackageError(
                f"no package {error.name}", where="risk", expected="pip install 'nautilus[quant]'"
            ) from None
        name = "GARCH(1,1)" if method == GARCH else "GJR-GARCH-t"
    unit = model.scale / scale
    mean = model.parameters.get("mu", 0.0) / unit
    return filtered_returns(total, model.variances / unit**2, float(model.forecast_variances[0]) / unit**2, mean), name


def _scale(total: Floats) -> float:
    """What makes profits in money as large as returns, for the optimisers of volatility models."""
    spread = float(np.std(total))
    return spread * 100.0 if spread > 0.0 and math.isfinite(spread) else 1.0


def _simulated(
    question: EstimateRisk, positions: tuple[RiskPosition, ...], exposures: Floats, gammas: Floats, returns: Floats
) -> tuple[str, dict[str, Any]]:
    from nautilus.maths.monte_carlo import Paths

    if returns.shape[0] < 2:
        raise Undefined("too_few", f"{returns.shape[0]} returns", "two or more for a covariance")
    means = returns.mean(axis=0)
    centred = returns - means
    covariance = centred.T @ centred / (returns.shape[0] - 1)
    paths = Paths(exposures, covariance, gammas, means, question.degrees, question.paths, question.seed)
    value = paths.value_at_risk(question.level, question.definition)
    beyond = paths.tail_mean(question.level, question.definition)
    components: tuple[RiskComponent, ...] = ()
    if question.components:
        of_var, of_cvar = paths.tail_parts(question.level, question.definition)
        components = _lines(positions, exposures, of_var.components, of_cvar.components, [None] * len(positions))
        value = value._replace(value=of_var.total)
        beyond = beyond._replace(value=of_cvar.total)
    law = f"Student's t, {question.degrees:g} degrees of freedom" if question.degrees else "normal"
    kind = "delta-gamma" if gammas.any() else "linear"
    return (
        f"Monte-Carlo VaR, {kind}, {law}, {question.paths} paths, seed {question.seed}, "
        f"{paths.dimensions} numbers a path, single precision; {_QUANTILES[question.definition]}",
        {
            "var": value.value,
            "cvar": beyond.value,
            "evar": None,
            "var_error": value.standard_error,
            "cvar_error": beyond.standard_error,
            "paths": question.paths,
            "seed": question.seed,
            "dimensions": paths.dimensions,
            "components": components,
        },
    )


def _components(
    question: EstimateRisk,
    measures: Measures,
    positions: tuple[RiskPosition, ...],
    exposures: Floats,
    profits: Floats,
    returns: Floats,
) -> tuple[RiskComponent, ...]:
    """Components; the totals become their sums. Methods without derivatives of their own say so in `undefined`."""
    if question.method == HISTORICAL:
        of_var = var_parts.historical_var_parts(profits, question.level, question.definition)
        of_cvar = var_parts.historical_cvar_parts(profits, question.level, question.definition)
        incremental: list[float | None] = var_parts.incremental_var(
            profits, question.level, question.definition
        ).tolist()
    elif question.method == NORMAL:
        of_var, of_cvar = var_parts.sample_parts(exposures, returns, question.level)
        incremental = [None] * len(positions)
    else:
        measures.undefined["components"] = "undefined"
        return ()
    measures.values["var"], measures.values["cvar"] = of_var.total, of_cvar.total
    return _lines(positions, exposures, of_var.components, of_cvar.components, incremental)


def _lines(
    positions: tuple[RiskPosition, ...],
    exposures: Floats,
    of_var: Floats,
    of_cvar: Floats,
    incremental: list[float | None],
) -> tuple[RiskComponent, ...]:
    slopes = var_parts.marginal(of_var, exposures)
    return tuple(
        RiskComponent(position.series, position.exposure, float(one), float(two), slope, without)
        for position, one, two, slope, without in zip(positions, of_var, of_cvar, slopes, incremental, strict=True)
    )


def _said(question: BacktestVar, past: Floats) -> float:
    if question.method == HISTORICAL:
        return var.historical_var(past, question.level, question.definition)
    if question.method == NORMAL:
        return var.normal_var(past, question.level)
    if question.method == CORNISH_FISHER:
        return var.cornish_fisher_var(past, question.level)
    filtered, _ = _filtered(EWMA, past, question.decay)
    return var.historical_var(filtered, question.level, question.definition)


def _shocked(
    question: StressPortfolio,
    position: RiskPosition,
    prices: Levels,
    factors: dict[str, Levels],
    shocks: Mapping[str, float],
    scenario: stress.Scenario | None,
) -> StressedPosition:
    """What a position does: as it is told, as it did in those days, or as its sensitivities say."""
    if position.series in question.returns:
        return _line(position, question.returns[position.series], "given")
    try:
        if scenario is not None and scenario.own_prices and prices[1].size:
            days = stress.days_of(prices[0])
            own = _own_return(days, prices[1], scenario)
            if own is not None:
                return _line(position, own, "own prices")
        if not shocks:
            return _line(position, 0.0, "not shocked")
        row = [_beta(question, position, factor, prices, factors) for factor in shocks]
        shock = float(stress.factor_returns([row], list(shocks.values()))[0])
        return _line(position, shock, "beta")
    except Undefined as error:
        return StressedPosition(position.series, position.exposure, None, None, error.code)


def _own_return(days: NDArray[np.int64], closes: Floats, scenario: stress.Scenario) -> float | None:
    """None: the prices do not reach over the scenario."""
    try:
        return stress.return_between(days, closes, scenario.begin, scenario.end)
    except Undefined as error:
        if error.code == "missing_days":
            return None
        raise


def _beta(
    question: StressPortfolio, position: RiskPosition, factor: str, prices: Levels, factors: dict[str, Levels]
) -> float:
    """As given, else estimated, else the default; Undefined: none of them."""
    if factor == stress.EQUITY:
        given = question.betas.get(position.series, position.beta)
        if given is not None:
            return given
    index = factors.get(factor)
    if index is not None and prices[1].size:
        _, own, others = np.intersect1d(prices[0], index[0], assume_unique=True, return_indices=True)
        if own.size > 3:
            return stress.beta(_steps(prices[1][own]), _steps(index[1][others]))
    if factor == stress.EQUITY and question.default_beta is not None:
        return question.default_beta
    raise Undefined("missing_days", f"no sensitivity of {position.series} to {factor}", "histories of both, or a beta")


def _steps(levels: Floats) -> Floats:
    return np.asarray(levels[1:] / levels[:-1] - 1.0, dtype=np.float64)


def _line(position: RiskPosition, shock: float, how: str) -> StressedPosition:
    profit = stress.shocked_profits([position.exposure], [shock], [position.gamma])
    return StressedPosition(position.series, position.exposure, shock, float(profit[0]), how)


def _scenario(
    name: str, title: str, begin: str, end: str, shocks: Mapping[str, float], lines: list[StressedPosition], source: str
) -> StressScenario:
    undefined = {line.series: line.how for line in lines if line.profit is None}
    profit = None if undefined else math.fsum(line.profit or 0.0 for line in lines)
    return StressScenario(name, title, begin, end, dict(shocks), profit, tuple(lines), source, undefined)


def _of(basis: Basis, method: str) -> Basis:
    return Basis(
        method, basis.window, basis.begin_ns, basis.end_ns, basis.source, basis.missing, basis.synthetic, basis.version
    )


__all__ = [
    "BACKTESTED",
    "METHODS",
    "PackageError",
    "backtest",
    "estimate",
    "measure_drawdowns",
    "stress_portfolio",
    "warm",
]
