"""Margin of a portfolio under a regime: each kind of product by its rules, summed by margin group.

::

    regime      stocks and their options          futures                        perpetuals
    reg_t       Regulation T, strategies          exchange's rates; with         brackets
    portfolio   scan in the manner of TIMS        options a SPAN-like scan       brackets
    span        Regulation T, strategies          SPAN-like scan                 brackets

A requirement is an amount of equity in which everything counts at its market value, options too. Margin groups are
independent: what changes in one leaves the others' requirement as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.core.option_scan import scan
from nautilus.maths import crypto_margin, futures_margin, portfolio_margin, reg_t, span, strategies
from nautilus.maths.errors import Undefined
from nautilus.maths.margin_book import (
    CALL,
    COLUMNS,
    EQUITY,
    FUTURE,
    PERPETUAL,
    POSITION,
    PUT,
    Columns,
    Groups,
    group,
    total,
)

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Book = npt.NDArray[np.void]
REG_T, PORTFOLIO, SPAN = REGIMES = ("reg_t", "portfolio", "span")
INITIAL_FACTOR: Final = 1.0
"""Initial margin of what is scanned, by its maintenance: FINRA Rule 4210(g) asks for the same."""


class Rules(NamedTuple):
    """What is in force.

    Parameters
    ----------
    stock, option, scan
        See `reg_t`, `strategies` and `portfolio_margin`.
    brackets
        Tables of crypto brackets that the column `table` counts.
    span_initial
        Initial margin of a SPAN-like scan as a multiple of the maintenance: 1.1 for what the exchange calls heightened
        risk accounts, 1 for others.
    """

    stock: reg_t.StockRules = reg_t.StockRules()
    option: strategies.OptionRules = strategies.OptionRules()
    scan: portfolio_margin.ScanRules = portfolio_margin.ScanRules()
    brackets: Sequence[crypto_margin.Brackets] = ()
    span_initial: float = 1.0


class Requirement(NamedTuple):
    """Margin by group.

    Parameters
    ----------
    initial, maintenance
        Of each distinct margin group, (G,).
    parts
        Maintenance by component, (G,) each: ``stock``, ``option``, ``relief`` (negative), ``scan``, ``future``,
        ``perpetual``.
    groups
        Which groups these are.
    strategies
        Rows of `strategies.StrategyMargin`, with legs as places in the book; empty where none were made.
    """

    initial: Array
    maintenance: Array
    parts: dict[str, Array]
    groups: Groups
    strategies: Array


NO_ROWS: Final[Array] = np.zeros((0, 8))


def check(book: Book) -> None:
    """Undefined for a book with numbers that are not finite, negative prices of stocks and options, or expired ones."""
    numbers = np.ascontiguousarray(book).view(np.float64).reshape(len(book), POSITION.itemsize // 8)[:, : len(COLUMNS)]
    if not np.isfinite(numbers).all():
        name = COLUMNS[int(np.flatnonzero(~np.isfinite(numbers).all(axis=0))[0])]
        raise Undefined("not_finite", f"{name} of a position", "finite numbers")
    kind = book["kind"]
    if ((kind < EQUITY) | (kind > PERPETUAL)).any():
        raise Undefined("out_of_range", "a kind of position", "0 to 4")
    positive = kind != FUTURE
    if (book["price"][positive] < 0).any() or (book["spot"][positive] < 0).any():
        raise Undefined("negative_price", "a position with a price below 0", "0 or more, but for futures")
    option = (kind == CALL) | (kind == PUT)
    if (book["years"][option] < 0).any():
        raise Undefined("expired", "an option that has expired", "options that have not")
    if (book["strike"][option] <= 0).any():
        raise Undefined("negative_price", "an option with a strike that is not above 0", "strikes above 0")


def requirement(book: Book, regime: str, rules: Rules) -> Requirement:
    """Margin of a POSITION array.

    Parameters
    ----------
    book
        `margin_book.POSITION` rows.
    regime
        One of `REGIMES`.
    rules
        In force.

    Raises
    ------
    Undefined
        See `check` and the modules of the products; ``out_of_range`` for another regime.
    """
    if regime not in REGIMES:
        raise Undefined("out_of_range", f"regime {regime!r}", " or ".join(REGIMES))
    check(book)
    groups = group(book)
    rows = Columns(book, groups.order)
    _, count = groups.counts
    initial, maintenance = np.zeros(count), np.zeros(count)
    parts: dict[str, Array] = {}
    table = NO_ROWS
    if not len(rows):
        return Requirement(initial, maintenance, parts, groups, table)
    kind = rows["kind"]
    option = (kind == CALL) | (kind == PUT)
    on_future = (kind == FUTURE) | (option & (rows["of_future"] != 0))
    security = (kind == EQUITY) | (option & ~on_future)
    if security.any():
        if regime == PORTFOLIO:
            found = _scanned(rows, security, groups, rules.scan)
            parts["scan"] = found
            maintenance += found
            initial += found * INITIAL_FACTOR
        else:
            first, stock, options, relief, table = _by_strategy(rows, security, option, groups, rules)
            parts |= {"stock": stock, "option": options, "relief": -relief}
            maintenance += stock + options - relief
            initial += first + options
    if on_future.any():
        first, found = _futures(rows, on_future, option, groups, regime == SPAN, rules)
        parts["future"] = found
        initial += first
        maintenance += found
    crypto = kind == PERPETUAL
    if crypto.any():
        first, found = _perpetuals(rows, crypto, groups, rules.brackets)
        parts["perpetual"] = found
        initial += first
        maintenance += found
    if not (np.isfinite(initial).all() and np.isfinite(maintenance).all()):
        raise Undefined("out_of_range", "positions too large to work with", "numbers of a market")
    return Requirement(np.maximum(initial, maintenance), maintenance, parts, groups, table)


def _by_group(values: Array, groups: Groups) -> Array:
    """Sums of values of distinct underlyings."""
    sums: Array = np.bincount(groups.of_underlying, values, groups.counts[1]).astype(np.float64)
    return sums


def _by_strategy(
    rows: Columns, security: npt.NDArray[np.bool_], option: npt.NDArray[np.bool_], groups: Groups, rules: Rules
) -> tuple[Array, Array, Array, Array, Array]:
    underlyings, count = groups.counts
    equity = security & ~option
    initial, maintenance, options, relief = (np.zeros(count) for _ in range(4))
    shares, price = np.zeros(underlyings), np.zeros(underlyings)
    long_rate = np.full(underlyings, rules.stock.maintenance_long)
    broad = np.zeros(underlyings, bool)
    if equity.any():
        held = rows.part(equity)
        place = groups.underlying[equity]
        units = held["quantity"] * held["multiplier"]
        first, found = reg_t.requirement(units, held["price"], rules.stock, held["long_rate"])
        initial += np.bincount(groups.of_underlying[place], first, count)
        maintenance += np.bincount(groups.of_underlying[place], found, count)
        shares += np.bincount(place, units, underlyings)
        price[place] = held["price"]
        long_rate[place] = np.maximum(held["long_rate"], rules.stock.maintenance_long)
    wanted = security & option
    if not wanted.any():
        return initial, maintenance, options, relief, NO_ROWS
    held = rows.part(wanted)
    place = groups.underlying[wanted]
    price[place] = held["spot"]
    broad[place] = held["broad"] != 0
    short_rate = np.full(underlyings, rules.stock.maintenance_short)
    some = price > 0
    short_rate[some] = reg_t.short_maintenance(price[some], rules.stock) / price[some]
    margin = strategies.requirement(
        strategies.Options(
            place, held["quantity"], held["multiplier"], held["price"], held["strike"], held["years"], held["month"],
            held["kind"] == CALL,
        ),
        strategies.Underlyings(price, shares, long_rate, short_rate, broad),
        rules.option,
    )  # fmt: skip
    table = margin.rows
    if len(table):
        places = groups.order[np.flatnonzero(wanted)]
        table[:, 0] = groups.names[table[:, 0].astype(np.int64)]
        legs = table[:, 2:6].astype(np.int64)
        table[:, 2:6] = np.where(legs >= 0, places[np.maximum(legs, 0)], legs)
    return initial, maintenance, _by_group(margin.options, groups), _by_group(margin.relief, groups), table


def _gains(rows: Columns, up: Array, down: Array, vol: Array, prices: Array, vols: Array) -> Array:
    """Change of value of each whole position in each scenario."""
    out = np.empty((len(rows), len(prices)))
    kind = np.where((rows["kind"] == CALL) | (rows["kind"] == PUT), rows["kind"], 0).astype(np.int8)
    column = [rows[name] for name in ("spot", "strike", "years", "rate", "yield_rate", "sigma")]
    early = rows["early"].astype(np.int8)
    spot, strike, years, rate, yield_rate, sigma = column
    scan(kind, spot, strike, years, rate, yield_rate, sigma, early, up, down, vol, prices, vols, out)
    out *= (rows["quantity"] * rows["multiplier"])[:, None]
    return out


def _scanned(rows: Columns, wanted: npt.NDArray[np.bool_], groups: Groups, rules: portfolio_margin.ScanRules) -> Array:
    _, count = groups.counts
    held = rows.part(wanted)
    place = groups.underlying[wanted]
    broad = held["broad"] != 0
    spot = held["spot"]
    points = np.asarray(rules.points)
    up = spot * np.where(broad, rules.broad_up, rules.stock_up)
    down = spot * np.where(broad, rules.broad_down, rules.stock_down)
    still = np.zeros(len(points))
    gains = _gains(held, up, down, np.zeros(len(held)), points, still)
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    classes = place[starts]
    contract = held["kind"] != EQUITY
    least = total(np.abs(held["quantity"]) * held["multiplier"] * contract * rules.least, starts)
    return portfolio_margin.group_requirement(
        total(gains, starts), least, groups.of_underlying[classes], count, rules.offset
    )


def _futures(
    rows: Columns,
    wanted: npt.NDArray[np.bool_],
    option: npt.NDArray[np.bool_],
    groups: Groups,
    scanned: bool,
    rules: Rules,
) -> tuple[Array, Array]:
    """Initial and maintenance of futures and options on them, by group."""
    held, place = rows.part(wanted), groups.underlying[wanted]
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    products = place[starts]
    dense = np.cumsum(np.concatenate(([0], (place[1:] != place[:-1]).astype(np.int64))))
    n = len(products)
    has_option = np.bincount(dense, option[wanted], n) > 0
    by_scan = np.ones(n, bool) if scanned else has_option
    initial, maintenance = np.zeros(n), np.zeros(n)
    spread_each = np.maximum.reduceat(held["spread_each"], starts)
    if not by_scan.all():
        alone, spreads = futures_margin.outright_and_spreads(dense, held["month"], held["quantity"], n)
        charge = spreads * spread_each
        initial = alone * held["initial_each"][starts] + charge
        maintenance = alone * held["maintenance_each"][starts] + charge
    if by_scan.any():
        up = held["price_range"]
        gains = _gains(held, up, up, held["vol_range"], span.PRICE_MOVES, span.VOL_MOVES)
        delta = held["quantity"] * np.where(option[wanted], held["delta"], 1.0)
        spreads = span.month_spreads(dense, held["month"], delta, n)
        short = np.where(option[wanted] & (held["quantity"] < 0), -held["quantity"], 0.0)
        worth = np.where(option[wanted], held["quantity"] * held["multiplier"] * held["price"], 0.0)
        margin = span.requirement(
            total(gains, starts), spreads, spread_each, total(short, starts),
            np.maximum.reduceat(held["short_least"], starts), total(worth, starts),
        )  # fmt: skip
        maintenance = np.where(by_scan, margin.total, maintenance)
        initial = np.where(by_scan, margin.total * rules.span_initial, initial)
    by_underlying = np.zeros((2, groups.counts[0]))
    by_underlying[:, products] = initial, maintenance
    return _by_group(by_underlying[0], groups), _by_group(by_underlying[1], groups)


def _perpetuals(
    rows: Columns, wanted: npt.NDArray[np.bool_], groups: Groups, tables: Sequence[crypto_margin.Brackets]
) -> tuple[Array, Array]:
    """Initial and maintenance of perpetuals: the net notional of each underlying by the brackets of its table."""
    underlyings, _ = groups.counts
    held, place = rows.part(wanted), groups.underlying[wanted]
    notional = np.bincount(place, held["quantity"] * held["multiplier"] * held["price"], underlyings)
    table = np.full(underlyings, -1)
    table[place] = held["table"]
    seen = np.unique(place)
    if (table[seen] < 0).any() or (table[seen] >= len(tables)).any():
        raise Undefined("out_of_range", "a perpetual without brackets", "brackets for each, uploaded or by default")
    initial, maintenance = np.zeros(underlyings), np.zeros(underlyings)
    for number in np.unique(table[seen]):
        places = seen[table[seen] == number]
        initial[places], maintenance[places] = crypto_margin.requirement(notional[places], tables[number])
    return _by_group(initial, groups), _by_group(maintenance, groups)


__all__ = ["PORTFOLIO", "REGIMES", "REG_T", "SPAN", "Book", "Requirement", "Rules", "check", "requirement"]
