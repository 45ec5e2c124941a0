"""What a person reads: amounts of money and what a run came to."""

import pytest

from nautilus.cli.progress import money


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0.00"), ("-0.004", "0.00"), ("-0.006", "-0.01"), ("0.006", "0.01"), ("1234567.891", "1,234,567.89")],
)
def test_money_is_rounded_to_cents_and_zero_has_no_sign(amount: str, text: str) -> None:
    assert money(amount) == text
