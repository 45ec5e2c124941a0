"""Identifiers: what they count and where they end.

All are plain integers inside. Zero is never an identifier: in commands it means "every" or "none".

=================  ==========  ============================================================================
instrument_id      to 2^32-1   one instrument at one venue
account_id         to 2^32-1   one account of the core: 1 to `LAST_CLIENT_ACCOUNT` are clients', from 1001 on the
                               agents of a simulated market, from 0xFFFF0001 on recorded participants
order_id           to 2^64-1   unique within its account
strategy_id        to 2^16-1   one strategy
source_id          to 2^16-1   one sender of commands
=================  ==========  ============================================================================
"""

from __future__ import annotations

from nautilus.core.types import MAX_POSITION_LOTS, MAX_PRICE_TICKS, MAX_QUANTITY_LOTS
from nautilus.model.errors import ModelError

__all__ = [
    "CURRENCY_ALPHABET",
    "LAST_CLIENT_ACCOUNT",
    "MAX_CURRENCY_LETTERS",
    "MAX_ID_16",
    "MAX_ID_32",
    "MAX_POSITION_LOTS",
    "MAX_PRICE_TICKS",
    "MAX_QUANTITY_LOTS",
    "check_id",
    "currency_code",
    "currency_id",
]

MAX_ID_32 = 2**32 - 1
MAX_ID_16 = 2**16 - 1
LAST_CLIENT_ACCOUNT = 1000

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
