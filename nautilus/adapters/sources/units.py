"""Units as providers write them into one unit and what its values are to be multiplied by."""

from __future__ import annotations

from functools import lru_cache

_SCALES = {
    "hundred": 2,
    "hundreds": 2,
    "thous": 3,
    "tho": 3,
    "thousand": 3,
    "thousands": 3,
    "mil": 6,
    "mln": 6,
    "million": 6,
    "millions": 6,
    "hml": 8,
    "bil": 9,
    "bln": 9,
    "billion": 9,
    "billions": 9,
    "tri": 12,
    "tril": 12,
    "trn": 12,
    "trillion": 12,
    "trillions": 12,
}
_EACH = ("per", "/")
"""What a value is told for each of: "per Thousand" is part of the unit, and multiplies nothing."""
_SIGNS = {"$": "Dollars", "%": "percent", "€": "EUR", "£": "GBP", "¥": "JPY"}
_PENCE = {"GBp": ("GBP", -2), "GBX": ("GBP", -2), "ZAc": ("ZAR", -2), "ILA": ("ILS", -2)}
"""Currencies in which a price is told in hundredths, as exchanges write them."""


@lru_cache(maxsize=1024)
def scale_of(text: str) -> tuple[int, str]:
    """A unit such as ``Billions of Dollars``, ``USD THO``, ``Mil. of $`` or ``%``.

    Returns
    -------
    power, unit
        Values times ten to the power are in the unit; ``percent`` stays percent, under this one name.
    """
    words = text.split()
    power = 0
    kept: list[str] = []
    each = False
    for place, word in enumerate(words):
        found = _SCALES.get(word.strip(".,").lower())
        # The first word or the last one, or what follows one: "Hundred Million". Not "Deaths per Hundred Thousand".
        if found is not None and not each and (place == len(words) - 1 or not kept):
            power += found
            continue
        kept.append(word)
        each = word.lower() in _EACH or (each and (found is not None or word[0].isdigit()))
    if power and kept and kept[0].lower() == "of":
        kept.pop(0)
    unit = " ".join(_SIGNS.get(word, word) for word in kept)
    if unit.lower() in ("percent", "per cent", "pct"):
        unit = "percent"
    return power, unit


def scaled(value: float | str, power: int) -> float:
    """A number times ten to a power, rounded once."""
    if not power:
        return float(value)
    text = value if isinstance(value, str) else repr(value)
    if "e" in text or "E" in text:
        mantissa, _, exponent = text.lower().partition("e")
        return float(f"{mantissa}e{int(exponent) + power}")
    return float(f"{text}e{power}")


def currency_of(code: str) -> tuple[int, str]:
    """A currency as an exchange quotes in it, as ``GBp``: the power of ten that takes its prices to the currency."""
    unit, power = _PENCE.get(code, (code, 0))
    return power, unit


__all__ = ["currency_of", "scale_of", "scaled"]
