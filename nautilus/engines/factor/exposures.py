"""Answers of how stocks and portfolios are exposed to the factors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.current import Current, codes_of
from nautilus.engines.factor.model import Model
from nautilus.engines.factor.parts import Parts, column_of, floats, or_none, sourced, styles_of
from nautilus.engines.factor.portfolios import Weights
from nautilus.maths.errors import Undefined
from nautilus.model.errors import ModelError
from nautilus.model.factor import FactorExposures, GetFactorExposures, PortfolioExposures, UniverseField

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


def exposures(parts: Parts, model: Model, asked: GetFactorExposures) -> FactorExposures:
    """Exposures of a stock, now or as of the last day."""
    column = column_of(parts, asked.symbol)
    if asked.at not in ("now", "close"):
        raise ModelError(f"exposures at {asked.at!r}", where="at", expected="now or close")
    current = parts.market.current(parts.universe, model)
    if asked.at == "now":
        code, scores = int(current.codes[column]), {name: found[column] for name, found in current.scores.items()}
        how, price, cap = "for the day to come, at the last price", current.prices[column], current.caps[column]
    else:
        row = parts.universe.row(model.last_day)
        code = int(codes_of({0: parts.universe.sector(asked.symbol, model.last_day)}, model.sector_names)[0])
        scores = dict(zip(model.styles, model.scores[:, -1, column], strict=True))
        how, price = "that the last day was estimated with", math.nan
        cap = parts.universe.values(UniverseField.MARKET_CAP)[row, column] if row is not None else math.nan
    undefined: dict[str, str] = {}
    values: list[float | None] = [1.0]
    for place, name in enumerate(model.sector_names):
        values.append(None if code < 0 else float(place == code))
        if code < 0:
            undefined[name] = "empty"
    values += [or_none(scores[name], undefined, name, "missing_days") for name in model.styles]
    specific = model.specific[column] * math.sqrt(parts.config.annual_days)
    return FactorExposures(
        asked.symbol,
        model.sector_names[code] if code >= 0 else "",
        model.names,
        tuple(values),
        or_none(cap, undefined, "market_cap", "missing_days"),
        None if math.isnan(price) else float(price),
        or_none(specific, undefined, "specific_volatility", "too_few"),
        sourced(parts, model.basis(f"exposures {how}; {styles_of(model)}", model.days[-1:])),
        undefined,
    )


def portfolio(parts: Parts, model: Model, portfolio_id: int) -> PortfolioExposures:
    """Exposures of a portfolio, now."""
    weights, current, holding = held(parts, model, portfolio_id)
    exposed = holding.weights @ current.exposures[holding.columns]
    basis = model.basis("weights x exposures at the last prices; " + styles_of(model), model.days[-1:])
    return PortfolioExposures(
        portfolio_id,
        model.names,
        floats(exposed),
        weights,
        holding.coverage,
        holding.uncovered,
        sourced(parts, basis, len(holding.uncovered)),
    )


def held(
    parts: Parts, model: Model, portfolio_id: int, needs_specific: bool = False
) -> tuple[Weights, Current, Holding]:
    """A portfolio's weights, the exposures of now, and what of it has them (and a specific risk, where needed)."""
    weights, unweighed = parts.portfolios.weights(portfolio_id, parts.prices.last)
    current = parts.market.current(parts.universe, model)
    uncovered = dict.fromkeys(unweighed, "mismatch")
    places = [parts.universe.column(symbol) for symbol in weights]
    columns = np.array([-1 if place is None else place for place in places], dtype=np.int64)
    sizes = np.array(list(weights.values()))
    exposed = (columns >= 0) & np.isfinite(current.exposures[columns]).all(axis=1)
    covered = exposed & np.isfinite(model.specific[columns]) if needs_specific else exposed
    for place in np.flatnonzero(~covered):
        code = "empty" if columns[place] < 0 else "too_few" if exposed[place] else "missing_days"
        uncovered[list(weights)[place]] = code
    if not covered.any():
        raise Undefined("empty", f"no stock of portfolio {portfolio_id} has exposures", "one of the model's stocks")
    gross = float(np.abs(sizes).sum())
    share = float(np.abs(sizes[covered]).sum()) / gross if gross else 1.0
    found = Holding(columns[covered], sizes[covered], dict(sorted(uncovered.items())), share)
    return weights, current, found


__all__ = ["Holding", "exposures", "held", "portfolio"]
