"""Identifiers: what they count and where they end.

All are plain integers inside. Zero is never an identifier: in commands it means "every" or "none".
"""

from __future__ import annotations

from nautilus.core.types import MAX_POSITION_LOTS, MAX_PRICE_TICKS, MAX_QUANTITY_LOTS
from nautilus.model.errors import ModelError

__all__ = [
    "CURRENCY_ALPHABET",
    "FIRST_RESERVED_ACCOUNT",
    "MAX_CURRENCY_LETTERS",
    "MAX_ID_16",
    "MAX_ID_32",
    "MAX_POSITION_LOTS",
    "MAX_PRICE_TICKS",
    "MAX_QUANTITY_LOTS",
    "AccountId",
    "InstrumentId",
    "OrderId",
    "SourceId",
    "StrategyId",
    "check_id",
    "currency_code",
    "currency_id",
]

InstrumentId = int
"""One instrument at one venue; 1 to 2^32 - 1."""
AccountId = int
"""One account of the trading core; 1 to 2^32 - 1. From `FIRST_RESERVED_ACCOUNT` on: recorded participants."""
OrderId = int
"""Unique within its account; 1 to 2^64 - 1."""
StrategyId = int
"""One strategy; 1 to 2^16 - 1."""
SourceId = int
"""One sender of commands; 1 to 2^16 - 1."""

MAX_ID_32 = 2**32 - 1
MAX_ID_16 = 2**16 - 1
FIRST_RESERVED_ACCOUNT = 0xFFFF0001

CURRENCY_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_CURRENCY_LETTERS = 5


def check_id(value: int, name: str, maximum: int, where: str = "") -> None:
    """Refuse an identifier outside 1 to `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ModelError(f"{name} {value!r}", where=where, expected=f"a whole number from 1 to {maximum}")


def currency_id(code: str) -> int:
    """The number by which the core knows a currency: its code read in base 37, so that no registry is needed.

    Raises
    ------
    ModelError
        The code is not one to five letters A-Z or digits.
    """
    if not 1 <= len(code) <= MAX_CURRENCY_LETTERS or any(letter not in CURRENCY_ALPHABET for letter in code):
        raise ModelError(f"currency {code!r}", expected="one to five capital letters or digits, such as USD or USDT")
    number = 0
    for letter in code:
        number = number * 37 + CURRENCY_ALPHABET.index(letter) + 1
    return number


def currency_code(number: int) -> str:
    """Inverse of `currency_id`."""
    letters = ""
    rest = number
    while rest > 0:
        rest, digit = divmod(rest, 37)
        if digit == 0:
            break
        letters = CURRENCY_ALPHABET[digit - 1] + letters
    if not letters or len(letters) > MAX_CURRENCY_LETTERS or currency_id(letters) != number:
        raise ModelError(f"currency number {number}", expected="a number made by currency_id")
    return letters
