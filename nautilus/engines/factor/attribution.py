"""Where a portfolio's return came from: what a job is given for it, and the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.model import Model
from nautilus.engines.factor.parts import Parts, floats, method_of, sourced, whole
from nautilus.engines.factor.portfolios import Held
from nautilus.maths.errors import Undefined
from nautilus.model.factor import FactorContributions, GetFactorAttribution, UniverseField


def inputs(
    parts: Parts, model: Model, portfolio_id: int, rows: slice
) -> tuple[tuple[Any, ...], NDArray[np.int64], dict[str, int], int]:
    """Arguments of `estimation.attribute` on the rows that it is known for, their days, and what is missing.

    Raises
    ------
    UnknownPortfolioError
    Undefined
        ``missing_days``: the portfolio's weights or the stocks' exposures are not known for any of the days.
    """
    noted = parts.portfolios.noted(portfolio_id)
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
    used, record = np.unique(held, return_inverse=True)
    symbols, table = _table([noted[int(known[place])] for place in used])
    inside = np.array([symbol in parts.universe for symbol in symbols], dtype=bool)
    columns = np.array(
        [parts.universe.column(symbol) for symbol in symbols if symbol in parts.universe], dtype=np.int64
    )
    at = np.flatnonzero(good) + rows.start
    there = np.zeros((len(days), len(symbols)), dtype=bool)
    there[:, inside] = np.isfinite(model.residuals[np.ix_(at, columns)])
    weights = table[record]
    counts = np.sum(~there & (weights != 0.0), axis=0)
    uncovered = {symbol: int(count) for symbol, count in zip(symbols, counts, strict=True) if count}
    weights, there = weights[:, inside], there[:, inside]
    universe_rows = np.searchsorted(parts.universe.days, days)
    returns = parts.universe.values(UniverseField.RETURN)[np.ix_(universe_rows, columns)]
    arguments = (
        np.where(there, weights, 0.0),
        np.where(there, returns, 0.0),
        there.astype(np.float64),
        np.where(there, model.scores[:, places][:, :, columns], 0.0),
        _codes(parts, model, universe_rows, columns),
        model.sectors,
        model.returns[at],
    )
    missing = len(good) - int(good.sum())
    return arguments, days, uncovered, missing


def _table(records: list[Held]) -> tuple[list[str], NDArray[np.float64]]:
    """Every symbol of the records, and a row of weights for each record."""
    symbols = sorted({symbol for names in {record.symbols for record in records} for symbol in names})
    place = {symbol: number for number, symbol in enumerate(symbols)}
    table = np.zeros((len(records), len(symbols)))
    names: tuple[str, ...] | None = None
    places = np.empty(0, dtype=np.int64)
    for row, record in enumerate(records):
        if record.symbols is not names:
            names = record.symbols
            places = np.array([place[symbol] for symbol in names], dtype=np.int64)
        table[row, places] = record.weights
    return symbols, table


def answer(
    parts: Parts,
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
        floats(result["contributions"]),
        result["specific"],
        whole(days) if asked.daily else (),
        floats(result["daily_totals"]) if asked.daily else (),
        tuple(floats(row) for row in result["daily_contributions"]) if asked.daily else (),
        floats(result["daily_specific"]) if asked.daily else (),
        uncovered,
        sourced(parts, model.basis(how, days, missing)),
    )


def _codes(parts: Parts, model: Model, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    found = parts.universe.sectors()
    known = {name: place for place, name in enumerate(model.sector_names)}
    translated = np.array([known.get(name, -1) for name in found.names] + [-1], dtype=np.int64)
    codes = translated[found.codes]  # -1 is the last one
    if codes.ndim == 1:
        return np.tile(codes[columns], (len(rows), 1))
    chosen: NDArray[np.int64] = codes[np.ix_(rows, columns)]
    return chosen


__all__ = ["answer", "inputs"]
