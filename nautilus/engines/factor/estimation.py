"""What the factor engine has computed elsewhere: functions of arrays alone, which a worker process runs.

Everything goes by the day's own row, so a day that is estimated behind others has the numbers, to the last bit, that it
has when all are estimated together; `rows_before` says how many rows its windows reach back to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.maths import factor_risk, factors, styles
from nautilus.maths.errors import Undefined
from nautilus.model.factor import FactorSettings, UniverseField

Array = NDArray[np.float64]
Fields = Mapping[str, Array]

LATELY_DAYS = 21
"""A stock that was not there on any of so many days has no exposures for the next one."""
VALUE_FIELDS = (UniverseField.BOOK_PRICE, UniverseField.SALES_PRICE, UniverseField.CASH_FLOW_PRICE)


def fields_of(settings: FactorSettings) -> tuple[UniverseField, ...]:
    """What a model needs of the universe."""
    needed = [UniverseField.RETURN, UniverseField.MARKET_CAP]
    if "value" in settings.styles:
        needed += VALUE_FIELDS
    if "liquidity" in settings.styles:
        needed.append(UniverseField.DOLLAR_VOLUME)
    return tuple(needed)


def rows_before(settings: FactorSettings, fields: Fields, first: int) -> int:
    """The row from which on everything is needed to estimate those from `first` on, and the day after the last."""
    row = max(first - LATELY_DAYS, 0) if settings.known_before else first
    return min(
        (_reaching_back(_observed(name, fields), first, _reach(name, settings)) for name in settings.styles),
        default=row,
    )


def last_before(values: Array, row: int) -> Array:
    """Last values before the row of the stocks that have none from it on, shape (N,); NaN: of the others, or none."""
    result = np.full(values.shape[1], np.nan)
    gone = np.flatnonzero(~np.isfinite(values[row:]).any(axis=0))
    if row and len(gone):
        result[gone] = _last(values[:row, gone])
    return result


def estimate(
    settings: FactorSettings,
    fields: dict[str, Array],
    sector_names: tuple[str, ...],
    sector_codes: NDArray[np.int64],
    first: int,
    residuals: Array,
    caps_before: Array,
) -> dict[str, Any]:
    """Factor returns and residuals of the rows from `first` on, exposures, and specific risk at the end.

    Parameters
    ----------
    fields
        By name of the field, shape (T, N).
    sector_codes
        Shape (N,) or (T, N).
    residuals
        Of the days before, shape (D, N): specific risk takes them too.
    caps_before
        Last capitalisations of stocks that have none in these rows, shape (N,): specific risk goes by size.

    Returns
    -------
    dict
        ``names``; ``rows`` with a result (T' of them), ``returns``, ``residuals``, ``stocks``, ``ranks``; ``scores``
        (styles, last rows, N) of the last `kept_days`; ``ahead`` (N) by name of the lagged styles for the day after;
        ``specific`` and ``observations`` (N).

    Raises
    ------
    Undefined
        ``empty``: no day has a stock with all inputs, or a style lacks one of its inputs altogether.
    """
    _check_inputs(settings, fields)
    scores = _scores(settings, fields, first)
    codes = sector_codes if sector_codes.ndim == 1 else sector_codes[first:]
    found = factors.estimate(
        fields["return"][first:],
        _taken(settings, fields["market_cap"], first),
        factors.Sectors(sector_names, codes),
        scores,
        winsor=settings.winsor or None,
        residualize=settings.residualize,
        constraint=settings.constraint,
    )
    every = np.concatenate([residuals, found.residuals])[-settings.specific_days :]
    caps = _last(fields["market_cap"])
    caps = np.where(np.isfinite(caps), caps, caps_before)
    specific = factor_risk.specific_risk(
        every,
        caps,
        settings.specific_half_life,
        settings.specific_lags,
        settings.specific_fewest,
        settings.specific_pull,
    )
    kept = [scores[name][-settings.kept_days :] for name in sorted(scores)]
    rows, stocks = fields["return"][first:].shape
    return {
        "names": found.names,
        "rows": found.days + first,
        "returns": found.returns,
        "residuals": found.residuals,
        "stocks": found.stocks,
        "ranks": found.ranks,
        "scores": np.stack(kept) if kept else np.empty((0, min(rows, settings.kept_days), stocks)),
        "ahead": _ahead(settings, fields),
        "specific": specific.deviations,
        "observations": specific.observations,
    }


def current_scores(
    settings: FactorSettings, ahead: Mapping[str, Array], caps: Array, values: tuple[Array, Array, Array] | None
) -> dict[str, Array]:
    """Scores of styles for the day to come, shape (N,) each: size and value of what is given, the others known."""
    weights = caps if settings.centre == "cap" else None
    scores = {}
    for name in sorted(settings.styles):
        if name == "size":
            scores[name] = styles.size(caps, settings.size_lower, settings.size_upper, weights)
        elif name == "value":
            assert values is not None
            scores[name] = _value(settings, *values, weights)
        else:
            scores[name] = ahead[name]
    return scores


def attribute(
    weights: Array,
    returns: Array,
    market: Array,
    scores: Array,
    codes: NDArray[np.int64],
    sectors: int,
    factor_returns: Array,
) -> dict[str, Any]:
    """Attribution of a portfolio's return on D days.

    Parameters
    ----------
    weights, returns
        Shape (D, n): of stocks that take part on the day, else 0.
    market
        Exposure to the market, shape (D, n): 1, or 0 where the stock does not take part.
    scores
        Of the styles, shape (K, D, n).
    codes
        Sector of each stock, shape (D, n).
    factor_returns
        Shape (D, 1 + sectors + K).
    """
    held = weights * market
    exposures = np.empty((len(held), 1 + sectors + len(scores)))
    exposures[:, 0] = held.sum(axis=1)
    for sector in range(sectors):
        exposures[:, 1 + sector] = np.where(codes == sector, held, 0.0).sum(axis=1)
    for place, score in enumerate(scores):
        exposures[:, 1 + sectors + place] = np.where(held != 0.0, held * score, 0.0).sum(axis=1)
    total = np.where(held != 0.0, held * returns, 0.0).sum(axis=1)
    found = factor_risk.linked(total, exposures * factor_returns)
    return {
        "total": found.compounded,
        "contributions": found.linked,
        "specific": found.linked_specific,
        "daily_totals": found.total,
        "daily_contributions": found.contributions,
        "daily_specific": found.specific,
    }


def _scores(settings: FactorSettings, fields: Fields, first: int) -> dict[str, Array]:
    """Of the rows from `first` on."""
    caps = _taken(settings, fields["market_cap"], first)
    weights = caps if settings.centre == "cap" else None
    scores = {}
    for name in settings.styles:
        if name == "size":
            scores[name] = styles.size(caps, settings.size_lower, settings.size_upper, weights)
        elif name == "value":
            book, sales, cash_flow = (_taken(settings, fields[field.value], first) for field in VALUE_FIELDS)
            scores[name] = _value(settings, book, sales, cash_flow, weights)
        else:
            scores[name] = styles.scored(_raw(name, settings, fields, first), settings.style_winsor, weights)
    return scores


def _taken(settings: FactorSettings, values: Array, first: int) -> Array:
    """Capitalisations or value inputs that explain the rows from `first` on: of the day, or the last ones before it."""
    if not settings.known_before:
        return values[first:]
    begin = max(first - LATELY_DAYS, 0)
    block = values[begin:]
    rows = np.arange(len(block))[:, None]
    last = np.maximum.accumulate(np.where(np.isfinite(block), rows, -LATELY_DAYS), axis=0)[:-1]
    result = np.full(block.shape, np.nan)
    known = (last >= 0) & (rows[1:] - last <= LATELY_DAYS)
    result[1:] = np.where(known, np.take_along_axis(block, np.maximum(last, 0), axis=0), np.nan)
    return result[first - begin :]


def _value(settings: FactorSettings, book: Array, sales: Array, cash_flow: Array, weights: Array | None) -> Array:
    return styles.value(book, sales, cash_flow, settings.value_winsor or None, settings.value_partial, weights)


def _raw(name: str, settings: FactorSettings, fields: Fields, first: int) -> Array:
    """What a lagged style scores, of the rows from `first` on, from no more rows before than its window takes."""
    returns = fields["return"]
    begin = _reaching_back(_observed(name, fields), first, _reach(name, settings))
    if name == "momentum":
        window, half_life, lag = settings.momentum_days, settings.momentum_half_life, settings.momentum_lag
        raw = styles.raw_momentum(returns[begin:], window, half_life, lag)
    elif name == "volatility":
        raw = styles.raw_volatility(returns[begin:], settings.volatility_days, settings.volatility_half_life, lag=1)
    else:
        volumes, caps = fields["dollar_volume"][begin:], fields["market_cap"][begin:]
        raw = styles.raw_liquidity(volumes, caps, settings.liquidity_days, lag=1)
    return raw[first - begin :]


def _reach(name: str, settings: FactorSettings) -> int:
    """Observations that a day's window and lag of a style take, with the day itself."""
    if name == "momentum":
        return settings.momentum_days + settings.momentum_lag
    if name == "volatility":
        return settings.volatility_days + 1
    return settings.liquidity_days + 1 if name == "liquidity" else 1


def _observed(name: str, fields: Fields) -> NDArray[np.bool_]:
    """Whether a stock's window of a style counts a day."""
    if name == "liquidity":
        return np.isfinite(fields["dollar_volume"]) & np.isfinite(fields["market_cap"])
    return np.isfinite(fields["return"])


def _ahead(settings: FactorSettings, fields: Fields) -> dict[str, Array]:
    """Scores of the lagged styles on the day after the last one, for stocks that were there lately."""
    lagged = [name for name in settings.styles if name not in ("size", "value")]
    if not lagged:
        return {}
    lately = np.any(np.isfinite(fields["return"][-LATELY_DAYS:]), axis=0)
    begin = rows_before(settings, fields, len(fields["return"]))
    needed = {"return", "market_cap", "dollar_volume"} & set(fields)
    # What a lagged style makes of the day itself is of no account; there has to be something.
    after = {name: np.concatenate([fields[name][begin:], np.ones((1, fields[name].shape[1]))]) for name in needed}
    last = len(fields["return"]) - begin
    raw = {name: np.where(lately, _raw(name, settings, after, last)[-1], np.nan) for name in lagged}
    weights = _last(fields["market_cap"][-LATELY_DAYS:]) if settings.centre == "cap" else None
    return {name: styles.scored(values, settings.style_winsor, weights) for name, values in raw.items()}


def _reaching_back(present: NDArray[np.bool_], first: int, reach: int) -> int:
    """The row from which on every stock of interest has `reach` observations before `first`, or all it has.

    Of interest are those that are there from `first` on, and those that were there lately: the day after the last has
    exposures of these too.
    """
    lately = max(min(first, len(present) - LATELY_DAYS), 0)
    there = present[lately:].any(axis=0)
    wanted = np.minimum(present[:first, there].sum(axis=0), reach)
    rows = max(reach, LATELY_DAYS)
    while rows < first and (present[first - rows : first, there].sum(axis=0) < wanted).any():
        rows *= 2
    return max(first - rows, 0)


def _last(values: Array) -> Array:
    """Each stock's last value, shape (N,); NaN: it has none."""
    present = np.isfinite(values)
    place = len(values) - 1 - np.argmax(present[::-1], axis=0)
    return np.where(present.any(axis=0), values[place, np.arange(values.shape[1])], np.nan)


def _check_inputs(settings: FactorSettings, fields: Fields) -> None:
    for field in fields_of(settings):
        if field.value not in fields or not np.isfinite(fields[field.value]).any():
            raise Undefined(
                "empty", f"no values of {field.value}", "them, or a model without the style that needs them"
            )


__all__ = [
    "LATELY_DAYS",
    "VALUE_FIELDS",
    "attribute",
    "current_scores",
    "estimate",
    "fields_of",
    "rows_before",
]
