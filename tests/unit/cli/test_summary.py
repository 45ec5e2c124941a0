"""What a person reads: amounts of money and what a run came to."""

import msgspec
import pytest

from nautilus.cli.progress import money
from nautilus.cli.summary import print_summary
from nautilus.runtime.replay import run
from nautilus.runtime.report import PositionLine
from nautilus.simulation import SimulatedSource


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0.00"), ("-0.004", "0.00"), ("-0.006", "-0.01"), ("0.006", "0.01"), ("1234567.891", "1,234,567.89")],
)
def test_money_is_rounded_to_cents_and_zero_has_no_sign(amount: str, text: str) -> None:
    assert money(amount) == text


def test_a_strategy_has_a_line_for_each_position_and_one_where_it_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    report = run(SimulatedSource(seed=1), ["quoting", "momentum"], market_seconds=1)
    held = [PositionLine("quoting", 1, symbol, "0.5", "1", "-2", "USD") for symbol in ("AAAUSD", "BBBUSD")]
    print_summary("a run", msgspec.structs.replace(report, positions=held))
    lines = capsys.readouterr().out.splitlines()
    assert sum("AAAUSD" in line for line in lines) == 1
    assert sum("BBBUSD" in line for line in lines) == 1
    assert [line.split()[0] for line in lines if line.strip().startswith(("quoting", "momentum"))] == [
        "quoting",
        "momentum",
    ]
