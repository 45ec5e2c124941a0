"""Naive twin of `nautilus.core.bybit.BybitDecoder`: Python's own JSON, one line at a time."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

from nautilus.model.enums import BookAction, RecordFlag, Side

LAST, SNAPSHOT = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)
MOST_TENTHS = 9_223_372_036_854_775_799
"""In the finest decimals of the step."""
MOST_MILLISECONDS = 9_223_372_036_854
WHOLE = re.compile(r"\d{1,19}", re.ASCII)
DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
Row = tuple[int, ...]


class FaultError(Exception):
    """A line is at fault."""


class UnjudgedError(Exception):
    """A line of which the twin says nothing: no JSON by Python's rules, an escape, or a name that comes twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnjudgedError
    return found


def parsed(line: bytes) -> dict[str, Any]:
    """An object; its numbers are their texts."""
    if b"\\" in line:
        raise UnjudgedError
    try:
        found = json.loads(line.decode(), object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise UnjudgedError from None
    if not isinstance(found, dict):
        raise FaultError
    return found


def _whole(value: Any, most: int = (1 << 63) - 1) -> int:
    if not isinstance(value, str) or not WHOLE.fullmatch(value) or int(value) > most:
        raise FaultError
    return int(value)


def _steps(value: Any, step: str) -> int:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise FaultError
    decimals = len(step.rstrip("0").partition(".")[2])
    exact = Fraction(value) / Fraction(step)
    if exact.denominator != 1 or Fraction(value) * 10**decimals > MOST_TENTHS:
        raise FaultError
    return exact.numerator


def _levels(value: Any, steps: tuple[str, str]) -> list[tuple[int, int]]:
    if not isinstance(value, list) or any(not isinstance(each, list) or len(each) != 2 for each in value):
        raise FaultError
    return [(_steps(price, steps[0]), _steps(lots, steps[1])) for price, lots in value]


def decoded(
    line: bytes, symbol: str, steps: tuple[str, str], number: int, instrument_id: int = 1
) -> tuple[Row, list[Row]] | None:
    """(stamps, update, sequence, line, kind) and the deltas of a line; None: another topic or symbol, or blank."""
    if not line.strip(b" \t\r"):
        return None
    if line.lstrip(b" \t\r")[:1] != b"{":
        raise FaultError
    message = parsed(line)
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    if not str(message.get("topic")).startswith("orderbook.") or ("s" in data and data["s"] != symbol):
        return None
    kind = {"snapshot": 1, "delta": 2}.get(str(message.get("type")))
    if kind is None:
        raise FaultError
    now_ns = _whole(message.get("ts"), MOST_MILLISECONDS) * 10**6
    venue_ns = _whole(message["cts"], MOST_MILLISECONDS) * 10**6 if "cts" in message else now_ns
    update = _whole(data.get("u"))
    sequence = _whole(data["seq"]) if "seq" in data else 0
    flags = SNAPSHOT if kind == 1 else 0
    rows: list[list[int]] = []
    for side, name in ((Side.BUY, "b"), (Side.SELL, "a")):
        head, tail = [now_ns, venue_ns, update, 0], [instrument_id, int(side)]
        if kind == 1:
            rows.append([*head, 0, 0, *tail, int(BookAction.CLEAR), flags])
        for price, lots in _levels(data.get(name), steps):
            rows.append([*head, price, lots, *tail, int(BookAction.SET), flags])
    if rows:
        rows[-1][-1] |= LAST
    return (now_ns, venue_ns, update, sequence, number, kind), [tuple(row) for row in rows]
