"""Steps of prices and quantities, as decimals."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from math import gcd
from typing import Any

from nautilus.store.catalog_errors import CatalogError

MOST_DECIMALS = 18


def common_step(steps: Iterable[str]) -> str:
    """The largest decimal of which all are multiples; "" counts for nothing."""
    values = [Decimal(step) for step in steps if step]
    if not values:
        return ""
    places = max(max(0, -int(value.as_tuple().exponent)) for value in values)
    return f"{Decimal(gcd(*(int(value.scaleb(places)) for value in values))).scaleb(-places):f}"


def factor(part: str, whole: str) -> int:
    """How many of the instrument's steps one step of a part is."""
    if part == whole or not part or not whole:
        return 1
    times = Decimal(part) / Decimal(whole)
    if times != times.to_integral_value() or times < 1:
        raise CatalogError(f"a part in steps of {part}", expected=f"a multiple of {whole}")
    return int(times)


def decimals(step: str) -> int:
    """Places behind the point of a step."""
    return max(0, -int(Decimal(step).normalize().as_tuple().exponent)) if step else 0


def _step(value: Any, where: str) -> str:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0 or decimals(str(number)) > MOST_DECIMALS or number.adjusted() > 30:
        raise CatalogError(
            f"step {value!r}", where=where, expected=f"a positive decimal of at most {MOST_DECIMALS} places"
        )
    return f"{number.normalize():f}"
