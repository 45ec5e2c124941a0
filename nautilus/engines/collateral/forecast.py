"""How far a margin call is: worked out in a process of its own, from copies of an account's columns."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from nautilus.engines.collateral.accounts import Rows
from nautilus.engines.collateral.reports import exposures, shocked, totals
from nautilus.maths import crypto_margin, margin, margin_call, portfolio_margin, reg_t, strategies
from nautilus.maths.errors import Undefined
from nautilus.maths.offsets import Offset

DAYS: Final = 365.0
ONE_IN_TWENTY: Final = 1.6448536269514722
ROUNDING: Final = 1e-12
"""Of the equity: a smaller difference of two excesses is none."""
ROUNDS: Final = 12


class Question(NamedTuple):
    """What a forecast is worked out from: plain values and arrays."""

    rows: Rows
    betas: np.ndarray
    lots: np.ndarray
    lot_sizes: np.ndarray
    spread_bps: np.ndarray
    regime: str
    rules: margin.Rules
    equity: float
    offsets: list[Offset]
    share: float
    rate: float
    horizon_days: float
    drift: float
    volatility: float


class Forecast(NamedTuple):
    """The answer, before it is a message."""

    excess: float
    move_down: float | None
    move_up: float | None
    passage: margin_call.FirstPassage
    sensitivity: float
    volatility: float
    drift: float
    shortfall: float
    cuts: list[tuple[int, int, float, float]]
    restore: bool
    undefined: dict[str, str]

    @classmethod
    def of(cls, fields: tuple[Any, ...]) -> Forecast:
        """What `forecast_job` gave."""
        found = cls(*fields)
        return found._replace(passage=margin_call.FirstPassage(*found.passage))


def _needed(question: Question, rows: Rows) -> float:
    if not len(rows):
        return 0.0
    found = margin.requirement(rows, question.regime, question.rules)
    net = exposures(rows, found)
    return totals(found, net, question.share, question.rate, question.offsets).maintenance


def _excess(question: Question, move: float) -> float:
    after, change = shocked(question.rows, question.betas, move)
    return question.equity + change - _needed(question, after)


def plain(question: Question) -> tuple[Any, ...]:
    """A question in the plain tuples and arrays that go to another process."""
    rules = question.rules
    tables = tuple(tuple(table) for table in rules.brackets)
    flat = (tuple(rules.stock), tuple(rules.option), tuple(rules.scan), tables, rules.span_initial)
    changed = {"rules": flat, "offsets": [tuple(row) for row in question.offsets]}
    return tuple(changed.get(name, value) for name, value in question._asdict().items())


def _unflattened(fields: tuple[Any, ...]) -> Question:
    question = Question(*fields)
    stock, option, scan, tables, span_initial = question.rules
    rules = margin.Rules(
        reg_t.StockRules(*stock),
        strategies.OptionRules(*option),
        portfolio_margin.ScanRules(*scan),
        tuple(crypto_margin.Brackets(*table) for table in tables),
        span_initial,
    )
    return question._replace(rules=rules, offsets=[Offset(*row) for row in question.offsets])


def forecast_job(*fields: Any) -> tuple[Any, ...]:
    """`forecast` of what `plain` made; the answer too is a plain tuple, for `Forecast.of`."""
    found = forecast(_unflattened(fields))
    return tuple(found._replace(passage=tuple(found.passage)))  # type: ignore[arg-type]


def forecast(question: Question) -> Forecast:
    """Moves, times and cuts.

    Raises
    ------
    Undefined
        Margin is not defined on what is held.
    """
    now = question.equity - _needed(question, question.rows)
    undefined: dict[str, str] = {}
    ends: dict[str, str] = {}

    def excess(move: float) -> float:
        try:
            return _excess(question, move)
        except Undefined as error:
            # So far from here there is no margin, as beyond the brackets of a perpetual: nothing is said of it.
            ends["move_down" if move < 0 else "move_up"] = error.code
            return math.inf

    down, up = margin_call.move_to_call(excess)
    for name, move in (("move_down", down), ("move_up", up)):
        if move is None:
            undefined[name] = ends.get(name, "infeasible")
    small = 1e-4
    above, below = _excess(question, small), _excess(question, -small)
    # Margin may move as the equity does, as that of a position that is paid in full: what is left then is rounding.
    rounding = ROUNDING * max(abs(question.equity), abs(above), abs(below))
    sensitivity = (above - below) / (2 * small) if abs(above - below) > rounding else 0.0
    volatility, drift = abs(sensitivity) * question.volatility, sensitivity * question.drift
    years = question.horizon_days / DAYS
    passage = margin_call.first_passage(now, drift, volatility, years)
    if passage.expected is None:
        undefined["expected_days"] = "infeasible"
    if passage.median is None:
        undefined["median_days"] = "infeasible"
    shortfall = -now
    rows = question.rows
    if now >= 0:
        # What a move against the account takes that comes once in twenty such horizons.
        against = -math.copysign(min(ONE_IN_TWENTY * question.volatility * math.sqrt(years), 0.99), sensitivity)
        after, change = shocked(rows, question.betas, against)
        shortfall = max(0.0, _needed(question, after) - question.equity - change)
        rows, equity = after, question.equity + change
    else:
        equity = question.equity
    cuts, restore = _cuts(question, rows, equity, shortfall)
    if shortfall > 0 and not restore:
        undefined["cuts"] = "infeasible"
    return Forecast(now, down, up, passage, sensitivity, volatility, drift, shortfall, cuts, restore, undefined)


def _cuts(
    question: Question, rows: Rows, equity: float, shortfall: float
) -> tuple[list[tuple[int, int, float, float]], bool]:
    """Lots to close: place, lots (signed as the order), notional, cost; and whether margin is then enough."""
    if shortfall <= 0:
        return [], True
    held = np.abs(question.lots).astype(float)
    each = np.abs(rows["price"] * rows["multiplier"]) * question.lot_sizes
    # Without a known spread the cost is the notional itself, in hundredths of a basis point: the least is traded.
    cost = each * np.where(question.spread_bps > 0, question.spread_bps / 1e4, 1e-6)
    relief = _relief(question, rows) / np.maximum(held, 1.0) - cost
    missing = shortfall
    for _ in range(ROUNDS):
        try:
            lots = margin_call.cheapest_cut(relief, cost, held, missing)
        except Undefined:
            lots = np.where(relief > 0, held, 0.0)
        after = rows.copy()
        after["quantity"] *= 1.0 - lots / np.maximum(held, 1.0)
        left = after[after["quantity"] != 0]
        short = _needed(question, left) - equity + float(cost @ lots)
        if short <= 1e-6 * max(1.0, shortfall):
            break
        if (lots >= np.where(relief > 0, held, 0.0)).all():
            break
        # A requirement that is no sum over positions frees less than its parts promise: ask for more.
        missing += max(short, 1e-3 * shortfall)
    signs = -np.sign(question.lots)
    found = [
        (
            int(place),
            int(signs[place] * lots[place]),
            float(each[place] * lots[place]),
            float(cost[place] * lots[place]),
        )
        for place in np.flatnonzero(lots)
    ]
    return found, short <= 1e-6 * max(1.0, shortfall)


def _relief(question: Question, rows: Rows) -> np.ndarray:
    """Maintenance that is freed where a position is closed as a whole, by its margin group."""
    freed = np.zeros(len(rows))
    for group in np.unique(rows["group"]):
        places = np.flatnonzero(rows["group"] == group)
        own = rows[places]
        whole = float(margin.requirement(own, question.regime, question.rules).maintenance.sum())
        for index, place in enumerate(places.tolist()):
            rest = np.delete(own, index)
            less = (
                float(margin.requirement(rest, question.regime, question.rules).maintenance.sum()) if len(rest) else 0.0
            )
            freed[place] = whole - less
    return freed


def warm_forecast() -> Any:
    """Load what a forecast needs."""
    return margin_call.first_passage(1.0, 0.0, 1.0, 1.0)


__all__ = ["Forecast", "Question", "forecast", "forecast_job", "plain", "warm_forecast"]
