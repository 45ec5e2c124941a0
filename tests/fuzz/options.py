"""Arbitrary numbers into what pairs options and what values them in scenarios."""

from __future__ import annotations

import math
import struct

import numpy as np

from nautilus.core.option_pairing import MAX_LOSS, PROTECTED, pair_options
from nautilus.core.option_scan import scan
from tests.fuzz.reader import Reader
from tests.kit.naive_option_scan import scan_row

REAL = (0.0, -0.0, 1.0, 0.5, 2.0, 1e-9, 1e-300, 1e9, 1e15, 1e150, 1e300, 1.7e308, math.nan, math.inf, -1.0, -math.inf)
MOST_LEGS = 24


def _real(reader: Reader, near: float, wild: bool) -> float:
    what = reader.number(1)
    if not wild or what < 0x80:
        return near + (what % 16) * near / 8.0
    if what < 0xE0:
        return REAL[what % len(REAL)]
    return float(struct.unpack("<d", reader.take(8).ljust(8, b"\0"))[0])


def pairing(data: bytes) -> None:
    """Every short is used once, no long too often, and the rows add up; or the numbers are refused."""
    reader = Reader(data)
    mode = reader.number(1)
    wild = bool(mode & 1)
    groups = 1 + (mode >> 1) % 3
    sizes = [reader.number(1) % MOST_LEGS for _ in range(groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    count = int(starts[-1])
    quantity = np.array([reader.choose((-1, 1, -2, 2, 3, -5)) * _real(reader, 1.0, wild) for _ in range(count)])
    if not wild:
        quantity = np.trunc(quantity)
    strike = np.array([_real(reader, 50.0, wild) for _ in range(count)])
    value = np.array([_real(reader, 10.0, wild) for _ in range(count)])
    naked = value + np.array([_real(reader, 1_000.0, wild) for _ in range(count)])
    expiry = np.array([reader.number(1) % 4 for _ in range(count)], np.int64)
    is_call = np.array([reader.number(1) & 1 for _ in range(count)], np.int8)
    if wild and mode & 0x80:
        starts[reader.number(1) % len(starts)] = reader.wide()
    per_group = [np.array([_real(reader, near, wild) for _ in sizes]) for near in (100.0, 1.0, 100.0, 0.25, 0.3)]
    if mode & 0x40:
        per_group[1] = -per_group[1]
    columns = [quantity, strike, expiry, value, naked, is_call, starts, *per_group]
    if wild and mode & 0x20:
        at = reader.number(1) % len(columns)
        columns[at] = columns[at][: reader.number(1)].copy()
    requirement, relief, rows = pair_options(*columns)
    assert np.isfinite(requirement).all()
    assert np.isfinite(relief).all()
    assert np.isfinite(rows).all()
    if not wild:
        _adds_up(quantity, expiry, starts, requirement, relief, rows)


def _adds_up(
    quantity: np.ndarray, expiry: np.ndarray, starts: np.ndarray, requirement: np.ndarray, relief: np.ndarray,
    rows: np.ndarray,
) -> None:  # fmt: skip
    told, saved, used = np.zeros(len(requirement)), np.zeros(len(requirement)), np.zeros(len(quantity))
    whole: set[tuple[int, int]] = set()
    group_of = np.repeat(np.arange(len(requirement)), np.diff(starts))
    for group, kind, *legs, amount, cost in rows.tolist():
        if kind == PROTECTED:
            saved[int(group)] -= amount * cost
            used[int(legs[0])] += amount
            continue
        told[int(group)] += amount * cost
        if kind == MAX_LOSS:
            whole.add((int(group), int(expiry[int(legs[0])])))
            continue
        for leg in legs:
            if leg >= 0:
                used[int(leg)] += amount
    np.testing.assert_allclose(told, requirement, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(saved, relief, rtol=1e-9, atol=1e-6)
    for place, held in enumerate(quantity.tolist()):
        if (int(group_of[place]), int(expiry[place])) in whole:
            assert used[place] == 0
        elif held < 0:
            assert abs(used[place] + held) < 1e-6
        else:
            assert used[place] <= held + 1e-6


def scanning(data: bytes) -> None:
    """Sound positions change as they do one by one; any others write no more than their own row."""
    reader = Reader(data)
    wild, count, scenarios = bool(reader.number(1) & 1), reader.number(1) % 12, reader.number(1) % 20
    kind = np.array([reader.number(1) % 3 if not wild else reader.number(1) - 128 for _ in range(count)], np.int8)
    nears = (100.0, 90.0, 0.5, 0.01, 0.01, 0.3)
    columns = [np.array([_real(reader, near, wild) for _ in range(count)]) for near in nears]
    early = np.array([reader.number(1) & 1 for _ in range(count)], np.int8)
    ranges = [np.array([_real(reader, near, wild) for _ in range(count)]) for near in (10.0, 12.0, 0.1)]
    moves = [np.array([_real(reader, 0.1, wild) - 0.2 for _ in range(scenarios)]) for _ in range(2)]
    whole = np.full((count + 2, scenarios), 7.0)
    scan(kind, *columns, early, *ranges, *moves, whole[1 : count + 1])
    assert (whole[[0, -1]] == 7.0).all()
    if wild:
        return
    for place in range(count):
        spot, *terms = (float(column[place]) for column in columns)
        wide = tuple(float(each[place]) for each in ranges)
        pairs = list(zip(moves[0].tolist(), moves[1].tolist(), strict=True))
        expected = scan_row(int(kind[place]), spot, tuple(terms), bool(early[place]), wide, pairs)
        np.testing.assert_allclose(whole[place + 1], expected, rtol=0, atol=1e-9 * max(1.0, abs(spot)))
