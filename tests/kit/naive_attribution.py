"""A plain second implementation of attribution in exact fractions: one period, one segment at a time."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Effects(NamedTuple):
    """Linked over all periods, summed over segments."""

    allocation: Fraction
    selection: Fraction
    interaction: Fraction
    active: Fraction


Table = list[list[Fraction]]


def fractions(rows: list[list[float]]) -> Table:
    """What the floats are, exactly."""
    return [[Fraction(value) for value in row] for row in rows]


def brinson(weights: Table, returns: Table, reference: Table, reference_returns: Table, *, fachler: bool) -> Effects:
    """Linked as GRAP does: own growth before a period, the benchmark's after it."""
    totals = [sum(map(Fraction.__mul__, w, r), Fraction(0)) for w, r in zip(weights, returns, strict=True)]
    others = [sum(map(Fraction.__mul__, w, r), Fraction(0)) for w, r in zip(reference, reference_returns, strict=True)]
    parts = [Fraction(0)] * 3
    for t in range(len(totals)):
        factor = Fraction(1)
        for s in range(len(totals)):
            factor *= 1 + totals[s] if s < t else 1 + others[s] if s > t else 1
        for wp, rp, wb, rb in zip(weights[t], returns[t], reference[t], reference_returns[t], strict=True):
            level = others[t] if fachler else Fraction(0)
            parts[0] += factor * (wp - wb) * (rb - level)
            parts[1] += factor * wb * (rp - rb)
            parts[2] += factor * (wp - wb) * (rp - rb)
    growth = other = Fraction(1)
    for total, reference_total in zip(totals, others, strict=True):
        growth, other = growth * (1 + total), other * (1 + reference_total)
    return Effects(parts[0], parts[1], parts[2], growth - other)
