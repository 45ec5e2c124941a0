"""What of the engine's state a question needs, handed to a job: positions, histories, sensitivities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.base import Work
from nautilus.engines.panel import Aligned, Panel, check_known
from nautilus.engines.risk import jobs
from nautilus.engines.risk.marks import with_marks
from nautilus.engines.risk.nodes import UNIT
from nautilus.engines.risk.tree import LimitTree
from nautilus.maths import stress
from nautilus.maths.errors import Undefined
from nautilus.maths.var import DEFINITIONS
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError, UnknownPortfolioError
from nautilus.model.history import SeriesKind
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.moments import moment_ns
from nautilus.model.risk import (
    BacktestVar,
    EstimateRisk,
    MeasureDrawdowns,
    RiskPosition,
    StressPortfolio,
)

Floats = NDArray[np.float64]
_NO_TIMES = np.zeros(0, np.int64)
_NO_PRICES = np.zeros(0)
SMALLEST, LARGEST = 1e-50, 1e50
"""Sizes of exposures; fourth powers of others leave the range of a float."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Answers that take a worker.

    Attributes
    ----------
    factors : factor to its series.
    """

    tree: LimitTree
    panel: Panel
    instruments: Mapping[int, Instrument]
    currency: str
    factors: Mapping[str, str]

    def work(self, message: Message) -> Work | None:
        """The job that answers a question; None: it is another one.

        Raises
        ------
        UnknownPortfolioError
            Nobody has heard of it, and the question gives no positions.
        UnknownSeriesError
            A position without a history.
        Undefined
            `empty`: no positions; as `Panel.returns` otherwise.
        """
        if isinstance(message, EstimateRisk):
            _check_method(message.method, jobs.METHODS)
            _check_definition(message.definition)
            positions = self._positions(message.portfolio_id, message.positions)
            found = self._returns(positions, message.begin, message.end)
            basis = self._basis(message, found)
            arguments = (message, self.currency, positions, found.values, basis)
            return Work(jobs.estimate, arguments, background=message.method in (jobs.GARCH, jobs.GJR))
        if isinstance(message, MeasureDrawdowns):
            changes, found = self._changes(message)
            asked = (message.portfolio_id, message.level, self.currency, changes, bool(message.series))
            return Work(jobs.measure_drawdowns, (*asked, self._basis(message, found)))
        if isinstance(message, BacktestVar):
            _check_method(message.method, jobs.BACKTESTED)
            _check_definition(message.definition)
            changes, found = self._changes(message)
            return Work(jobs.backtest, (message, changes, found.times_ns, self._basis(message, found)))
        if isinstance(message, StressPortfolio):
            return self._stress(message)
        return None

    def holdings(self, portfolio_id: int) -> tuple[RiskPosition, ...]:
        """What a portfolio holds, by symbol, at its worth now.

        Raises
        ------
        UnknownPortfolioError
        Undefined
            ``mismatch``: an instrument in a currency without a rate.
        """
        if not self.tree.known(portfolio_id):
            raise UnknownPortfolioError(f"portfolio {portfolio_id}", where="risk", expected="one that trades here")
        worth: dict[int, int] = {}
        for leaf in self.tree.leaves_of(portfolio_id):
            if leaf.position.quantity:
                if not leaf.valued:
                    symbol = self.instruments[leaf.instrument_id].symbol
                    raise Undefined("mismatch", f"no rate of the currency of {symbol}", f"a rate into {self.currency}")
                worth[leaf.instrument_id] = worth.get(leaf.instrument_id, 0) + leaf.net
        return tuple(
            RiskPosition(self.instruments[key].symbol, units * UNIT) for key, units in sorted(worth.items()) if units
        )

    def _positions(self, portfolio_id: int, given: tuple[RiskPosition, ...]) -> tuple[RiskPosition, ...]:
        positions = given or self.holdings(portfolio_id)
        if not positions:
            raise Undefined("empty", f"portfolio {portfolio_id} holds nothing", "one position or more")
        for position in positions:
            if not all(map(np.isfinite, (position.exposure, position.gamma, position.beta or 0.0))):
                raise Undefined("not_finite", f"position {position.series!r}", "finite numbers")
            for size in (abs(position.exposure), abs(position.gamma)):
                if size and not SMALLEST <= size <= LARGEST:
                    what = f"an exposure or gamma of {size:g} in {position.series!r}"
                    raise Undefined("out_of_range", what, f"0, or a size of {SMALLEST:g} to {LARGEST:g}")
        return positions

    def _returns(self, positions: tuple[RiskPosition, ...], begin: str, end: str) -> Aligned:
        names = [position.series for position in positions]
        return self.panel.returns(names, moment_ns(begin, "begin"), moment_ns(end, "end"))

    def _basis(self, message: EstimateRisk | MeasureDrawdowns | BacktestVar, found: Aligned) -> Basis:
        """Of histories; and of the prices of what the portfolio holds, where that is what the question is about."""
        histories = found.basis("")
        series = "" if isinstance(message, EstimateRisk) else message.series
        if message.positions or series:
            return histories
        return with_marks(self.tree, message.portfolio_id, histories)

    def _changes(self, message: MeasureDrawdowns | BacktestVar) -> tuple[Floats, Aligned]:
        """Profits of the portfolio as it is, or returns of a series."""
        if message.series:
            begin_ns, end_ns = moment_ns(message.begin, "begin"), moment_ns(message.end, "end")
            found = self.panel.returns([message.series], begin_ns, end_ns)
            return np.ascontiguousarray(found.values[:, 0]), found
        positions = self._positions(message.portfolio_id, message.positions)
        if any(position.gamma for position in positions):
            raise Undefined("mismatch", "gamma", f"method {jobs.MONTE_CARLO}, or no gamma")
        found = self._returns(positions, message.begin, message.end)
        return found.values @ np.array([position.exposure for position in positions]), found

    def _stress(self, message: StressPortfolio) -> Work:
        for name in message.scenarios:
            if name not in stress.HISTORICAL:
                known = " or ".join(stress.HISTORICAL)
                raise ModelError(f"scenario {name!r}", where="risk", expected=known)
        given = [*message.shocks.values(), *message.returns.values(), *message.betas.values()]
        if not np.isfinite(given).all() or not np.isfinite(message.default_beta or 0.0):
            raise Undefined("not_finite", "a shock or a beta that is no number", "finite numbers")
        for shock in (*message.shocks.values(), *message.returns.values()):
            if shock < -1.0:
                raise Undefined("out_of_range", f"a return of {shock:g}", "-1 or more")
        positions = self._positions(message.portfolio_id, message.positions)
        factors = {}
        for factor in (stress.EQUITY, *message.shocks):
            series = self.factors.get(factor, factor)
            if series in self.panel:
                factors[factor] = self._levels(series)
            elif factor != stress.EQUITY:
                check_known([series], self.panel)
        names = [position.series for position in positions if position.series in self.panel]
        levels = tuple(self._levels(position.series) for position in positions)
        histories = [self.panel.series(name) for name in names]
        basis = Basis(
            "",
            window=max((len(found.values) for found in histories), default=0),
            begin_ns=min((int(found.times_ns[0]) for found in histories), default=0),
            end_ns=max((int(found.times_ns[-1]) for found in histories), default=0),
            source=", ".join(dict.fromkeys(found.source for found in histories)),
            missing=len(positions) - len(names),
            synthetic=any(found.synthetic for found in histories),
        )
        if not message.positions:
            basis = with_marks(self.tree, message.portfolio_id, basis)
        return Work(jobs.stress_portfolio, (message, self.currency, positions, levels, factors, basis))

    def _levels(self, name: str) -> tuple[NDArray[np.int64], Floats]:
        """Times and prices of a series, of returns the wealth of one; nothing where there is no such series."""
        if name not in self.panel:
            return _NO_TIMES, _NO_PRICES
        series = self.panel.series(name)
        if series.kind is SeriesKind.RETURN:
            return series.times_ns, np.cumprod(1.0 + series.values, dtype=np.float64)
        return series.times_ns, series.values


def _check_method(method: str, known: tuple[str, ...]) -> None:
    if method not in known:
        raise ModelError(f"method {method!r}", where="risk", expected=" or ".join(known))


def _check_definition(definition: str) -> None:
    if definition not in DEFINITIONS:
        raise ModelError(f"definition {definition!r}", where="risk", expected=" or ".join(DEFINITIONS))


__all__ = ["Questions"]
