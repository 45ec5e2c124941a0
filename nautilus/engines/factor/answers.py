"""What is answered of a universe and its model: exposures, covariance, risk, attribution."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.config import FactorConfig
from nautilus.engines.factor.current import Current, Market, codes_of
from nautilus.engines.factor.model import Model
from nautilus.engines.factor.portfolios import Portfolios, Weights
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.factor.universe import Universe
from nautilus.maths import factor_risk
from nautilus.maths.covariance import CovarianceEstimate, is_positive_definite
from nautilus.maths.errors import Undefined
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.factor import (
    FactorContributions,
    FactorCovariance,
    FactorExposures,
    FactorReturnsTable,
    FactorRisk,
    GetFactorAttribution,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetResidualReturns,
    PortfolioExposures,
    ResidualReturns,
    UniverseField,
)

Array = NDArray[np.float64]


class Holding(NamedTuple):
    """What of a portfolio the model knows.

    Parameters
    ----------
    columns, weights
        Of the stocks with exposures, shape (n,).
    uncovered
        Others, and why.
    coverage
        Share of the gross weight that is in `weights`.
    """

    columns: NDArray[np.int64]
    weights: Array
    uncovered: dict[str, str]
    coverage: float


class Answers:
    """Reads the engine's parts; changes none."""

    def __init__(
        self, config: FactorConfig, universe: Universe, portfolios: Portfolios, prices: LastPrices, market: Market
    ) -> None:
        self._config = config
        self._universe = universe
        self._portfolios = portfolios
        self._prices = prices
        self._market = market

    def returns(self, model: Model, asked: GetFactorReturns) -> FactorReturnsTable:
        """Rows of factor returns."""
        rows = model.rows(asked.begin_ns, asked.end_ns)
        rows = slice(max(rows.start, rows.stop - asked.limit), rows.stop)
        return FactorReturnsTable(
            model.names,
            _whole(model.days[rows]),
            tuple(_floats(row) for row in model.returns[rows]),
            _whole(model.stocks[rows]),
            _whole(model.ranks[rows]),
            self._basis(model.basis(method_of(model), model.days[rows])),
        )

    def residuals(self, model: Model, asked: GetResidualReturns) -> ResidualReturns:
        """What the factors leave of a stock's returns."""
        column = self._column(asked.symbol)
        rows = model.rows(asked.begin_ns, asked.end_ns)
        days, residuals = model.days[rows], model.residuals[rows, column]
        there = np.isfinite(residuals)
        days, residuals = days[there][-asked.limit :], residuals[there][-asked.limit :]
        if not len(days):
            raise Undefined("missing_days", f"{asked.symbol} took no part in these days", "a day with all its inputs")
        basis = model.basis(f"residual of: {method_of(model)}", days, int((~there).sum()))
        return ResidualReturns(asked.symbol, _whole(days), _floats(residuals), self._basis(basis))

    def exposures(self, model: Model, asked: GetFactorExposures) -> FactorExposures:
        """Exposures of a stock, now or as of the last day."""
        column = self._column(asked.symbol)
        if asked.at not in ("now", "close"):
            raise ModelError(f"exposures at {asked.at!r}", where="at", expected="now or close")
        current = self._market.current(self._universe, model)
        if asked.at == "now":
            code, scores = int(current.codes[column]), {name: found[column] for name, found in current.scores.items()}
            how, price, cap = "for the day to come, at the last price", current.prices[column], current.caps[column]
        else:
            row = self._universe.row(model.last_day)
            code = int(codes_of({0: self._universe.sector(asked.symbol)}, model.sector_names)[0])
            scores = dict(zip(model.styles, model.scores[:, -1, column], strict=True))
            how, price = "that the last day was estimated with", math.nan
            cap = self._universe.values(UniverseField.MARKET_CAP)[row, column] if row is not None else math.nan
        undefined: dict[str, str] = {}
        values: list[float | None] = [1.0]
        for place, name in enumerate(model.sector_names):
            values.append(None if code < 0 else float(place == code))
            if code < 0:
                undefined[name] = "empty"
        values += [_or_none(scores[name], undefined, name, "missing_days") for name in model.styles]
        specific = model.specific[column] * math.sqrt(self._config.annual_days)
        return FactorExposures(
            asked.symbol,
            model.sector_names[code] if code >= 0 else "",
            model.names,
            tuple(values),
            _or_none(cap, undefined, "market_cap", "missing_days"),
            None if math.isnan(price) else float(price),
            _or_none(specific, undefined, "specific_volatility", "too_few"),
            self._basis(model.basis(f"exposures {how}; {styles_of(model)}", model.days[-1:])),
            undefined,
        )

    def portfolio(self, model: Model, portfolio_id: int) -> PortfolioExposures:
        """Exposures of a portfolio, now."""
        weights, current, holding = self._held(model, portfolio_id)
        exposed = holding.weights @ current.exposures[holding.columns]
        basis = model.basis("weights x exposures at the last prices; " + styles_of(model), model.days[-1:])
        return PortfolioExposures(
            portfolio_id,
            model.names,
            _floats(exposed),
            weights,
            holding.coverage,
            holding.uncovered,
            self._basis(basis, len(holding.uncovered)),
        )

    def covariance(self, model: Model, asked: GetFactorCovariance | GetFactorRisk) -> FactorCovariance:
        """Covariance of the factors' returns."""
        found, basis = self._covariance(model, asked)
        values = np.linalg.eigvalsh(found.matrix)
        return FactorCovariance(
            model.names,
            tuple(_floats(row) for row in found.matrix),
            _floats(np.sqrt(np.maximum(np.diag(found.matrix), 0.0) * self._config.annual_days)),
            found.shrinkage,
            is_positive_definite(found.matrix),
            float(values[0]),
            float(values[-1]),
            self._basis(basis),
        )

    def risk(self, model: Model, asked: GetFactorRisk) -> FactorRisk:
        """Risk of a portfolio, by factors and what is specific."""
        _, current, holding = self._held(model, asked.portfolio_id, needs_specific=True)
        found, basis = self._covariance(model, asked)
        split = factor_risk.portfolio_risk(
            holding.weights,
            current.exposures[holding.columns],
            found.matrix,
            model.specific[holding.columns],
        )
        year = math.sqrt(self._config.annual_days)
        settings = model.settings
        how = (
            f"x'Cx + sum h^2 s^2, annualised by sqrt({self._config.annual_days}); C: {found.method}; s: residuals, "
            f"half-life {settings.specific_half_life:g} days, Newey-West {settings.specific_lags} lags, "
            f"shrunk to deciles of size with q {settings.specific_pull:g}"
        )
        basis = msgspec.structs.replace(basis, method=how, missing=len(holding.uncovered))
        return FactorRisk(
            asked.portfolio_id,
            split.total * year,
            split.factor * year,
            split.specific * year,
            model.names,
            _floats(split.exposures),
            _floats(split.contributions * year),
            split.specific_contribution * year,
            holding.coverage,
            holding.uncovered,
            self._basis(basis, len(holding.uncovered)),
        )

    # Attribution.

    def attribution_inputs(
        self, model: Model, portfolio_id: int, rows: slice
    ) -> tuple[tuple[Any, ...], NDArray[np.int64], dict[str, int], int]:
        """Arguments of `estimation.attribute` on the rows that it is known for, their days, and what is missing.

        Raises
        ------
        UnknownPortfolioError
        Undefined
            ``missing_days``: the portfolio's weights or the stocks' exposures are not known for any of the days.
        """
        noted = self._portfolios.noted(portfolio_id)
        known = np.array(sorted(noted), dtype=np.int64)
        days = model.days[rows]
        # What was held when the last day before ended.
        held = np.searchsorted(known, days) - 1
        places, scored = model.scores_on(days)
        good = (held >= 0) & scored
        if not good.any():
            raise Undefined(
                "missing_days",
                f"{len(days)} days without the weights of portfolio {portfolio_id}, or without exposures",
                "weights from before a day, and a day of which exposures are kept",
            )
        days, held, places = days[good], held[good], places[good]
        records = [noted[int(known[place])] for place in range(len(known))]
        symbols = sorted({symbol for place in np.unique(held) for symbol in records[place]})
        inside = [symbol for symbol in symbols if symbol in self._universe]
        columns = np.array([self._universe.column(symbol) for symbol in inside], dtype=np.int64)
        table = np.array([[record.get(symbol, 0.0) for symbol in inside] for record in records])
        weights = table.reshape(len(records), len(inside))[held]
        at = np.flatnonzero(good) + rows.start
        there = np.isfinite(model.residuals[np.ix_(at, columns)])
        uncovered = {
            symbol: int(np.sum(~there[:, place] & (weights[:, place] != 0.0))) for place, symbol in enumerate(inside)
        }
        for symbol in symbols:
            if symbol not in self._universe:
                uncovered[symbol] = sum(symbol in records[place] for place in held)
        universe_rows = np.searchsorted(self._universe.days, days)
        returns = self._universe.values(UniverseField.RETURN)[np.ix_(universe_rows, columns)]
        arguments = (
            np.where(there, weights, 0.0),
            np.where(there, returns, 0.0),
            there.astype(np.float64),
            np.where(there, model.scores[:, places][:, :, columns], 0.0),
            self._codes(model, universe_rows, columns),
            model.sectors,
            model.returns[at],
        )
        missing = len(good) - int(good.sum())
        return arguments, days, {symbol: count for symbol, count in uncovered.items() if count}, missing

    def attribution(
        self,
        model: Model,
        asked: GetFactorAttribution,
        days: NDArray[np.int64],
        uncovered: dict[str, int],
        missing: int,
        result: dict[str, Any],
    ) -> FactorContributions:
        """The answer of what `estimation.attribute` found."""
        how = "weights at the end of the day before x exposures x factor returns, linked by Carino; " + method_of(model)
        return FactorContributions(
            asked.portfolio_id,
            result["total"],
            model.names,
            _floats(result["contributions"]),
            result["specific"],
            _whole(days) if asked.daily else (),
            _floats(result["daily_totals"]) if asked.daily else (),
            tuple(_floats(row) for row in result["daily_contributions"]) if asked.daily else (),
            _floats(result["daily_specific"]) if asked.daily else (),
            uncovered,
            self._basis(model.basis(how, days, missing)),
        )

    def basis_of(self, model: Model, days: NDArray[np.int64], missing: int) -> Basis:
        """Of the estimates on these days."""
        return self._basis(model.basis(method_of(model), days, missing))

    def _codes(self, model: Model, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self._universe.sectors()
        known = {name: place for place, name in enumerate(model.sector_names)}
        translated = np.array([known.get(name, -1) for name in found.names] + [-1], dtype=np.int64)
        codes = translated[found.codes]  # -1 is the last one
        if codes.ndim == 1:
            return np.tile(codes[columns], (len(rows), 1))
        chosen: NDArray[np.int64] = codes[np.ix_(rows, columns)]
        return chosen

    def _covariance(self, model: Model, asked: GetFactorCovariance | GetFactorRisk) -> tuple[CovarianceEstimate, Basis]:
        config = self._config
        return model.covariance(
            asked.method or config.covariance,
            asked.window or config.covariance_days,
            asked.half_life or config.covariance_half_life,
            config.covariance_lags if asked.lags < 0 else asked.lags,
        )

    def _held(self, model: Model, portfolio_id: int, needs_specific: bool = False) -> tuple[Weights, Current, Holding]:
        weights, unweighed = self._portfolios.weights(portfolio_id, self._prices.last)
        current = self._market.current(self._universe, model)
        uncovered = dict.fromkeys(unweighed, "mismatch")
        columns, covered = [], []
        for symbol, weight in weights.items():
            column = self._universe.column(symbol)
            if column is None:
                uncovered[symbol] = "empty"
            elif not np.isfinite(current.exposures[column]).all():
                uncovered[symbol] = "missing_days"
            elif needs_specific and not np.isfinite(model.specific[column]):
                uncovered[symbol] = "too_few"
            else:
                columns.append(column)
                covered.append(weight)
        if not columns:
            raise Undefined("empty", f"no stock of portfolio {portfolio_id} has exposures", "one of the model's stocks")
        gross = sum(abs(weight) for weight in weights.values())
        share = sum(abs(weight) for weight in covered) / gross if gross else 1.0
        held = Holding(np.array(columns, dtype=np.int64), np.array(covered), dict(sorted(uncovered.items())), share)
        return weights, current, held

    def _column(self, symbol: str) -> int:
        column = self._universe.column(symbol)
        if column is None:
            raise UnknownInstrumentError(f"stock {symbol!r}", where="factor", expected="one of the universe")
        return column

    def _basis(self, basis: Basis, missing: int | None = None) -> Basis:
        return msgspec.structs.replace(
            basis,
            source=", ".join(sorted(self._universe.sources)),
            synthetic=self._universe.synthetic,
            version=VERSION,
            missing=basis.missing if missing is None else missing,
        )


VERSION = "1"
"""Of the model's definition, in every basis."""


def method_of(model: Model) -> str:
    """The model in words."""
    settings = model.settings
    clipped = f"returns winsorised at {settings.winsor:g}" if settings.winsor else "returns as they are"
    balance = "sum to 0" if settings.constraint == "sum" else "sum to 0 by capitalisation"
    target = "what market and sectors leave" if settings.residualize else "returns"
    return (
        f"cross-sectional regression weighted by sqrt(market cap) (toraniko 1.1.0), {clipped}, sectors {balance}, "
        f"styles on {target}; {styles_of(model)}"
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
    return "styles: " + ("; ".join(words[name] for name in model.styles) or "none")


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())


def _whole(values: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(values.tolist())


def _or_none(value: Any, undefined: dict[str, str], name: str, code: str) -> float | None:
    if math.isfinite(value):
        return float(value)
    undefined[name] = code
    return None


__all__ = ["Answers", "Holding", "method_of", "styles_of"]
