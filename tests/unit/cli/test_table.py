"""The live table: it fits the screen, says what is left out, and shows what is wrong."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from nautilus.cli import display
from nautilus.cli.sampler import strategy_rows, warning_text
from nautilus.cli.status import _lines as status_lines
from nautilus.cli.table import clock, draw, plain_line, short, us
from nautilus.cli.view import EngineLine, QuoteRow, StrategyRow, View

PERCENTILES = {"p50": 231.2, "p90": 400.0, "p99": 873.5, "p99.9": 1820.0, "max": 5230.1, "count": 122.0}
NAMES = ("core", "trading", "marketdata", "risk", "portfolio", "strategy")


def engine(name: str, state: str = "ready", restarts: int = 0) -> EngineLine:
    return EngineLine(name, name, state, 4194304, 7200.0, restarts, 212345.0, 12.3, 98765.0, 0, 100.0, 12345.6, 65535)


def view(**changes: object) -> View:
    made = View(
        title="nautilus demo",
        instance="default",
        profile="native",
        status="healthy",
        seconds=7205.0,
        market="simulated",
        market_seconds=7200.0,
        engines=tuple(map(engine, NAMES)),
        quotes=(QuoteRow("BTCUSDT", "60000.10", "0.123", "60000.20", "12.345", "60000.10"),),
        strategies=(
            StrategyRow("quoting", False, 12345, 6789, 2, "-0.035 BTCUSDT", "1234.5", "-3.2", "1231.3", "USD"),
        ),
        orders={"accepted": 999999, "rejected": 2, "filled": 345678, "cancelled": 77777, "open": 231, "unknown": 0},
        latency_us={"round_trip": PERCENTILES, "core": PERCENTILES},
        star={"published": 123456789, "delivered": 493826800, "gaps": 0, "lost": 0, "recovered": 0},
        mesh={"sent": 123456, "acknowledged": 123456, "retried": 1, "dead_lettered": 0},
        journal={"last_sequence": 1234567, "durable_sequence": 1234000},
    )
    return msgspec.structs.replace(made, **changes)


def lines(shown: View, width: int = 80, height: int = 24) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=False).print(draw(shown, width, height))
    return out.getvalue().splitlines()


def test_each_engine_has_its_port() -> None:
    engines = (msgspec.structs.replace(engine("core"), port=0), msgspec.structs.replace(engine("gateway"), port=8001))
    [head, core, gateway] = [line.split() for line in lines(view(engines=engines))[2:5]]
    assert head[:3] == ["engine", "port", "state"]
    assert core[:2] == ["core", "ready"]
    assert gateway[:3] == ["gateway", "8001", "ready"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (200, 60)])
def test_the_table_fits_the_screen(width: int, height: int) -> None:
    shown = lines(view(), width, height)
    assert len(shown) <= height
    assert max(map(len, shown)) <= width


def test_nothing_that_matters_is_cut_at_eighty_columns() -> None:
    text = "\n".join(lines(view()))
    for word in ("98,765", "0.21M", "12,346", "60000.20", "1,231.30", "p99.9 1,820", "lost 0", "dead 0", "77,777"):
        assert word in text, word
    assert "\N{HORIZONTAL ELLIPSIS}" not in text


def test_long_lists_are_cut_and_their_rest_is_counted() -> None:
    quotes = tuple(QuoteRow(f"I{number:03d}", "1", "1", "2", "1", "1") for number in range(50))
    strategies = tuple(StrategyRow(f"S{number:03d}", False, 1, 1, 0, "", "", "", "", "") for number in range(30))
    shown = lines(view(quotes=quotes, strategies=strategies))
    assert len(shown) <= 24
    assert any(line.startswith("instrument +49 ") for line in shown)
    assert any(line.startswith("strategy +28 ") for line in shown)
    assert any("I000" in line for line in shown)
    assert any("S000" in line for line in shown)
    tall = lines(view(quotes=quotes, strategies=strategies), height=120)
    assert not any(" +" in line for line in tall)


def test_an_engine_that_is_down_says_so_and_how_often_it_was_started_again() -> None:
    engines = (engine("core"), engine("risk", "restarting", 3))
    line = next(line for line in lines(view(engines=engines, status="degraded")) if line.startswith("risk"))
    assert "restarting 3" in line
    assert "2:00:00" not in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warnings": ("14:02:11 risk peer lost",)}, "14:02:11 risk peer lost"),
        ({"missing": ("portfolio",)}, "no answer from portfolio"),
        ({"broken": "log.gz:77: not JSON"}, "log.gz:77: not JSON"),
        ({"finished": True}, "finished"),
        ({"progress": 0.42, "speed": 20.0}, "x20 42%"),
        ({"orders": {"unknown": 3}}, "unknown 3"),
        ({"quotes": (), "strategies": ()}, "no quote yet"),
        ({"latency_us": {}}, "no order yet"),
    ],
)
def test_what_is_wrong_or_missing_is_said(changes: dict[str, object], words: str) -> None:
    assert any(words in line for line in lines(view(**changes)))


def test_a_high_screen_shows_more_warnings_and_a_low_one_the_newest() -> None:
    warnings = tuple(f"warning {number}" for number in range(8))
    low, high = lines(view(warnings=warnings)), lines(view(warnings=warnings), height=40)
    assert (low[-1], high[-1]) == ("warning 7", "warning 7")
    assert len(low) <= 24
    assert sum(line.startswith("warning ") for line in high) == 8


def test_the_plain_line_tells_of_strategies_profit_and_warnings() -> None:
    text = plain_line(view(warnings=("old", "disk is full")))
    assert text.startswith("7205.0 s  healthy, 6 of 6 ready, 12,345 orders, 6,789 fills, P&L 1,231.30 USD, p99 874 us")
    assert text.endswith("; disk is full")


def test_a_warning_is_one_line_with_what_it_carries() -> None:
    line = {
        "time": "2026-01-02T03:04:05.123456789Z", "level": "error", "event": "process has ended",
        "process": "supervisor", "name": "core", "how": "killed by SIGKILL", "traceback": "many lines",
    }  # fmt: skip
    assert warning_text(line) == "03:04:05 supervisor process has ended name=core how=killed by SIGKILL"


def test_positions_of_a_strategy_are_rows_under_its_name() -> None:
    strategies = {
        "strategies": [
            {"name": "a", "stopped": False, "orders": 3, "fills": 2, "open_orders": 1, "account_id": 1},
            {"name": "b", "stopped": True, "orders": 0, "fills": 0, "open_orders": 0, "account_id": 2},
        ]
    }
    positions = {
        "positions": [
            {"account_id": 1, "symbol": "X", "quantity": "1", "realised": "2", "unrealised": "-5", "currency": "USD"},
            {"account_id": 1, "symbol": "Y", "quantity": "0", "realised": "1", "unrealised": "0", "currency": "USD"},
        ]
    }
    rows = strategy_rows(strategies, positions)
    assert [(row.name, row.position, row.total) for row in rows] == [
        ("a", "1 X", "-3"),
        ("", "0 Y", "1"),
        ("b", "", ""),
    ]
    assert strategy_rows({}, {}) == ()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (99_999, "99,999"), (123_456, "0.12M"), (1_234_567, "1.23M"), (2e9, "2.00G")],
)
def test_counts_are_short(count: float, text: str) -> None:
    assert short(count) == text


def test_times_read_as_on_a_clock() -> None:
    assert [clock(0), clock(61.9), clock(3600 * 25), clock(-1)] == ["0:00:00", "0:01:01", "25:00:00", "0:00:00"]
    assert [us(0), us(12.34), us(1234.5)] == ["", "12.3", "1,234"]


def test_the_plain_line_counts_orders_only_once_it_is_known_whose() -> None:
    first = plain_line(view(strategies=(), has_strategies=True))
    assert "orders" not in first
    assert "fill" not in first
    assert "all orders: 999,999, 345,678 filled" in plain_line(view(strategies=(), has_strategies=False))
    assert "12,345 orders, 6,789 fills" in plain_line(view(has_strategies=True))


def test_what_the_disk_has_is_said_where_somebody_waits_for_it() -> None:
    assert any("durable 1.23M" in line for line in lines(view()))
    memory = view(journal={"last_sequence": 1234567, "durable_sequence": 0})
    assert any("durable not tracked" in line for line in lines(memory))


@pytest.mark.parametrize(("terminal", "table"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_cannot_go_back_is_given_lines(
    terminal: str, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(display.sys, "stdout", Terminal())
    assert display._can_go_back() is table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_counters_of_status_are_broken_between_two_of_them() -> None:
    text = status_lines(["1,870 published", "465 delivered", "0 lost"], 34)
    assert text.splitlines() == ["1,870 published, 465 delivered,", "0 lost"]
    assert max(map(len, text.splitlines())) <= 34
