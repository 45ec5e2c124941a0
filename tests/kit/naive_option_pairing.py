"""The margin of an option account by trying every pairing, contract by contract."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple


class Leg(NamedTuple):
    """One contract, or a lot of stock (strike 0, expiry 0)."""

    strike: float
    expiry: int
    value: float
    naked: float
    is_call: bool


class Market(NamedTuple):
    spot: float
    multiplier: float
    long_rate: float
    short_rate: float


Unit = tuple[str, Leg, Leg | None, float]


def two_leg_pairings(
    short_calls: list[Leg], short_puts: list[Leg], calls: list[Leg | None], puts: list[Leg | None], market: Market
) -> Iterator[tuple[float, list[Unit], list[Leg | None], list[Leg | None]]]:
    """Every way to cover, join or leave naked each short; None among the covers is a lot of stock."""
    if not short_calls and not short_puts:
        yield 0.0, [], calls, puts
        return
    if short_calls:
        short, *rest = short_calls
        for cost, units, *left in two_leg_pairings(rest, short_puts, calls, puts, market):
            yield cost + short.naked, [("naked", short, None, short.naked), *units], *left
        for place, other in enumerate(short_puts):
            joined = max(short.naked + other.value, other.naked + short.value)
            remaining = short_puts[:place] + short_puts[place + 1 :]
            for cost, units, *left in two_leg_pairings(rest, remaining, calls, puts, market):
                yield cost + joined, [("straddle", short, other, joined), *units], *left
        for place, cover in enumerate(calls):
            if cover is not None and cover.expiry < short.expiry:
                continue
            loss = _cover(short, cover, market)
            for cost, units, *left in two_leg_pairings(
                rest, short_puts, calls[:place] + calls[place + 1 :], puts, market
            ):
                yield cost + loss, [("call", short, cover, loss), *units], *left
        return
    short, *rest = short_puts
    for cost, units, *left in two_leg_pairings([], rest, calls, puts, market):
        yield cost + short.naked, [("naked", short, None, short.naked), *units], *left
    for place, cover in enumerate(puts):
        if cover is not None and cover.expiry < short.expiry:
            continue
        loss = _cover(short, cover, market)
        for cost, units, *left in two_leg_pairings([], rest, calls, puts[:place] + puts[place + 1 :], market):
            yield cost + loss, [("put", short, cover, loss), *units], *left


def _cover(short: Leg, cover: Leg | None, market: Market) -> float:
    if cover is None and short.is_call:
        loss = max(market.spot - short.strike, 0.0) * (1 - market.long_rate)
    elif cover is None:
        loss = max(short.strike - market.spot, 0.0) * (1 + market.short_rate)
    elif short.is_call:
        loss = max(cover.strike - short.strike, 0.0)
    else:
        loss = max(short.strike - cover.strike, 0.0)
    return min(short.naked, loss * market.multiplier)


def least_two_legged(shorts: list[Leg], longs: list[Leg], lots: int, market: Market) -> float:
    """The least requirement of all pairings of two legs."""
    return min(cost for cost, *_ in _pairings(shorts, longs, lots, market))


def least(shorts: list[Leg], longs: list[Leg], lots: int, market: Market) -> float:
    """The least of all pairings with joined spreads and protected stock, or an expiry's largest loss in their place."""
    options = shorts + longs
    best = math.inf
    days = sorted({leg.expiry for leg in options})
    for count in range(len(days) + 1):
        for taken in itertools.combinations(days, count):
            losses = sum(_largest_loss(shorts, longs, day, market) for day in taken)
            if losses == math.inf:
                continue
            kept = [[leg for leg in side if leg.expiry not in taken] for side in (shorts, longs)]
            for cost, units, calls, puts in _pairings(kept[0], kept[1], lots, market):
                if cost + losses - best > _most_saved(units, lots, market):
                    continue
                found = cost + losses - _joined(units, market) - _protected(units, calls, puts, lots, market)
                best = min(best, found)
    return best


def _pairings(shorts: list[Leg], longs: list[Leg], lots: int, market: Market) -> Iterator[tuple]:
    calls: list[Leg | None] = [leg for leg in longs if leg.is_call]
    puts: list[Leg | None] = [leg for leg in longs if not leg.is_call]
    calls += [None] * max(lots, 0)
    puts += [None] * max(-lots, 0)
    return two_leg_pairings(
        [leg for leg in shorts if leg.is_call], [leg for leg in shorts if not leg.is_call], calls, puts, market
    )


def _most_saved(units: list[Unit], lots: int, market: Market) -> float:
    return sum(unit[3] for unit in units) + abs(lots) * market.spot * market.multiplier * 2


def _largest_loss(shorts: list[Leg], longs: list[Leg], day: int, market: Market) -> float:
    legs = [(leg, -1) for leg in shorts if leg.expiry == day] + [(leg, 1) for leg in longs if leg.expiry == day]
    if sum(sign for leg, sign in legs if leg.is_call) < 0:
        return math.inf
    worst = 0.0
    for price in (0.0, *(leg.strike for leg, _ in legs)):
        payoff = sum(sign * max((price - leg.strike) * (1 if leg.is_call else -1), 0.0) for leg, sign in legs)
        worst = max(worst, -payoff)
    return worst * market.multiplier


def _joined(units: list[Unit], market: Market) -> float:
    """What pairs of a call spread and a put spread of one expiry save at most."""
    calls = [unit for unit in units if unit[0] == "call" and unit[2] is not None]
    puts = [unit for unit in units if unit[0] == "put" and unit[2] is not None]
    if not calls or not puts:
        return 0.0
    first, *rest = calls
    best = _joined([*rest, *puts], market)
    for place, put in enumerate(puts):
        saved = _saved_by(first, put, market)
        if saved > 0:
            best = max(best, saved + _joined([*rest, *puts[:place], *puts[place + 1 :]], market))
    return best


def _saved_by(call: Unit, put: Unit, market: Market) -> float:
    legs = [(call[1], -1), (call[2], 1), (put[1], -1), (put[2], 1)]
    if len({leg.expiry for leg, _ in legs}) > 1:
        return 0.0
    worst = 0.0
    for price in (leg.strike for leg, _ in legs):
        payoff = sum(sign * max((price - leg.strike) * (1 if leg.is_call else -1), 0.0) for leg, sign in legs)
        worst = max(worst, -payoff)
    return max(0.0, call[3] + put[3] - worst * market.multiplier)


def _protected(units: list[Unit], calls: list[Leg | None], puts: list[Leg | None], lots: int, market: Market) -> float:
    """What long options that cover nothing save on the maintenance of stock, at most."""
    if not lots:
        return 0.0
    left = puts if lots > 0 else calls
    options = [leg for leg in left if leg is not None]
    covering = [unit[1] for unit in units if unit[0] in ("call", "put") and unit[2] is None]
    held: list[Leg | None] = [*covering, *([None] * (abs(lots) - len(covering)))]
    return _assign(options, held, lots > 0, market)


def _assign(options: list[Leg], held: list[Leg | None], long_stock: bool, market: Market) -> float:
    if not options or not held:
        return 0.0
    option, *rest = options
    best = _assign(rest, held, long_stock, market)
    for place, short in enumerate(held):
        saved = _relief(option, short, long_stock, market)
        if saved > 0:
            best = max(best, saved + _assign(rest, held[:place] + held[place + 1 :], long_stock, market))
    return best


def _relief(option: Leg, short: Leg | None, long_stock: bool, market: Market) -> float:
    rate = market.long_rate if long_stock else market.short_rate
    away = max(market.spot - option.strike, 0.0) if long_stock else max(option.strike - market.spot, 0.0)
    if short is None:
        rule = min(0.1 * option.strike + away, rate * market.spot)
        return max(0.0, rate * market.spot - rule) * market.multiplier
    if short.expiry != option.expiry or (option.strike - short.strike) * (1 if long_stock else -1) > 0:
        return 0.0
    base = min(market.spot, short.strike) if long_stock else max(market.spot, short.strike)
    if option.strike == short.strike:
        rule = 0.1 * option.strike
    else:
        rule = min(0.1 * option.strike + away, rate * short.strike)
    return max(0.0, rate * base - rule) * market.multiplier
