"""Models of analytics, beside the packages they are compared with: regimes (hmmlearn), GARCH (arch), HAR, attribution.

The series are drawn once by a fixed seed: 2,013 daily returns that switch between a calm and a wild state, as many as
the reference values of docs/analytics-models.md rest on. hmmlearn begins at one place, our model at eight.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np

from nautilus.engines.analytics.tear_sheet import as_html
from nautilus.engines.analytics.tear_sheet_parts import Sheet
from nautilus.maths import regime, volatility
from nautilus.maths.attribution import brinson
from nautilus.maths.execution_schedule import almgren_chriss
from nautilus.maths.har import har
from perf.harness import Report, check

SUMMARY = "regimes beside hmmlearn, GARCH, HAR, attribution, a tear sheet: milliseconds a call"
LENGTH = 2013
BUDGET_MS = 50.0


def run(report: Report) -> None:
    """Each model, in milliseconds a call, with what it found checked."""
    returns = _switching(LENGTH)
    regime.warm()
    volatility.warm()
    for states in (2, 3):
        _regimes(report, returns, states)
    model = regime.fit_regimes(returns, 2)
    _add(report, "regimes of 2,013 returns read, 2 states", lambda: regime.read_regimes(model, returns))
    for name, fit in (("GARCH(1,1)", volatility.garch), ("GJR-GARCH-t", volatility.gjr_garch)):
        check(fit(returns / 100).converged, f"{name} has not converged")
        _add(report, f"{name}, fitted by arch, 5 steps ahead", lambda fit=fit: fit(returns / 100), goal=BUDGET_MS)  # type: ignore[misc]
    _add(report, "EWMA", lambda: volatility.ewma(returns / 100))
    measures = np.convolve(returns**2, np.ones(5) / 5, "valid")
    _add(report, "HAR, with Newey-West errors", lambda: har(measures), goal=BUDGET_MS)
    chance = np.random.default_rng(2)
    weights = [chance.dirichlet(np.ones(20), 120) for _ in range(2)]
    weights = [each / each.sum(axis=1, keepdims=True) for each in weights]
    moves = [chance.normal(0.005, 0.04, (120, 20)) for _ in range(2)]
    found = brinson(weights[0], moves[0], weights[1], moves[1])
    check(abs(found.residual) < 1e-12, f"attribution leaves {found.residual}")
    _add(
        report,
        "Brinson-Fachler, 120 months x 20 segments, linked",
        lambda: brinson(weights[0], moves[0], weights[1], moves[1]),
    )
    _add(report, "Almgren-Chriss, 1,000 steps", _schedule)
    sheet = _sheet(returns / 100)
    check(as_html(sheet).count("<svg") == 3, "a plot is missing on the tear sheet")
    _add(report, "tear sheet of 2,013 periods as HTML", lambda: as_html(sheet))
    report.checks.append("likelihoods are not below those of hmmlearn; GARCH converges; parts of attribution add up")


def _regimes(report: Report, returns: np.ndarray, states: int) -> None:
    from hmmlearn.hmm import GaussianHMM  # of the extra `test`

    def peer() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = GaussianHMM(states, "full", n_iter=200, tol=1e-6, random_state=0).fit(returns[:, None])
            fit.predict(returns[:, None])
            return float(fit.score(returns[:, None]))

    ours = regime.detect_regimes(returns, states).model.log_likelihood
    theirs = peer()
    check(ours >= theirs - 1e-6, f"{states} states: log-likelihood {ours} below hmmlearn's {theirs}")
    report.notes.append(f"log-likelihood, {states} states: {ours:.4f}, hmmlearn {theirs:.4f}")
    _add(report, f"regimes, {states} states", lambda: regime.detect_regimes(returns, states), goal=BUDGET_MS)
    _add(report, f"regimes, {states} states, hmmlearn", peer)


def _add(report: Report, name: str, once: Callable[[], object], goal: float | None = None) -> None:
    def timed() -> float:
        begun_ns = time.perf_counter_ns()
        once()
        return (time.perf_counter_ns() - begun_ns) / 1e6

    timed()
    report.measure(name, "ms", timed, goal=goal, lower_is_better=True)


def _switching(length: int) -> np.ndarray:
    chance = np.random.default_rng(1)
    wild, values = False, []
    for _ in range(length):
        wild = wild if chance.random() < 0.97 else not wild
        values.append(chance.normal(0.0 if wild else 0.1, 2.4 if wild else 1.0))
    return np.array(values)


def _schedule() -> object:
    return almgren_chriss(
        1e6, 5.0, 1000, volatility=0.95, temporary_impact=2.5e-6, permanent_impact=2.5e-7, risk_aversion=1e-6
    )


def _sheet(returns: np.ndarray) -> Sheet:
    wealth = np.cumprod(1.0 + returns)
    below = wealth / np.maximum.accumulate(np.maximum(wealth, 1.0)) - 1.0
    days = range(1_262_563_200, 1_262_563_200 + 86_400 * len(wealth), 86_400)
    return Sheet(
        title="Bench",
        times_ns=tuple(day * 1_000_000_000 for day in days),
        wealth=tuple(wealth.tolist()),
        drawdowns=tuple(below.tolist()),
    )
