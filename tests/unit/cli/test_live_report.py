"""The report of a live run: when positions are equal, what the exit code says, what a person reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nautilus.cli.live_report import (
    LiveMarket,
    LiveReport,
    live_market,
    pnl_of,
    position_lines,
    positions_equal,
    strategy_lines,
)
from nautilus.cli.live_summary import print_live_summary

PERCENTILES = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p99.9": 4.0, "max": 5.0, "count": 10.0}
STRATEGIES = {
    "strategies": [
        {
            "name": "quoting",
            "strategy_id": 1,
            "account_id": 1,
            "orders": 5,
            "fills": 4,
            "refused": 1,
            "open_orders": 0,
            "stopped": False,
        }
    ]
}
POSITIONS = {
    "positions": [
        {
            "account_id": account_id,
            "instrument_id": 1,
            "symbol": "SIMUSD",
            "quantity": "-0.01",
            "average_price": "60000",
            "realised": "1.5",
            "unrealised": "-0.25",
            "currency": "USD",
            "quantity_lots": -10,
            "cost_units": "-9223372036854775809",
            "realised_units": "150",
        }
        for account_id in (1, 9)
    ]
}
CORE = {
    "positions": [
        {
            "account_id": account_id,
            "instrument_id": 1,
            "quantity": -10,
            "cost": "-9223372036854775809",
            "realised": "150",
        }
        for account_id in (1, 9)
    ]
}


def report(**changes: Any) -> LiveReport:
    made = LiveReport(
        title="nautilus demo", instance="main", profile="native", market="simulated", seconds=10.0, market_seconds=8.0,
        speed=1.0, seed=1, orders=5, fills=4, refused=1, order_events={"accepted": 50, "open": 3, "unknown": 0},
        pnl=pnl_of(POSITIONS), positions=position_lines(STRATEGIES, POSITIONS), positions_equal=True,
        strategies=strategy_lines(STRATEGIES), alerts=[], latency_us={"round_trip": PERCENTILES, "core": PERCENTILES},
        star={"published": 9, "delivered": 18, "conflated": 0, "gaps": 0, "recovered": 0, "lost": 0},
        mesh={"sent": 7, "acknowledged": 7, "retried": 0, "dead_lettered": 0}, gaps=0, lost=0, restarts={},
        commands=100, events=120, journal=None, journal_sequence={"last_sequence": 100, "durable_sequence": 100},
        journal_hash="a" * 16, state_hash="b" * 16, event_hash="c" * 16, errors={}, complete=False, broken="",
        missing=[], versions={},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def changed(name: str, value: Any) -> dict[str, Any]:
    """The core's positions with one value another."""
    first, *rest = CORE["positions"]
    return {"positions": [{**first, name: value}, *rest]}


def test_positions_are_equal_to_the_last_unit_or_they_are_not() -> None:
    assert positions_equal(CORE, POSITIONS)
    assert not positions_equal(changed("cost", "-9223372036854775808"), POSITIONS)
    assert not positions_equal(changed("quantity", -9), POSITIONS)
    assert not positions_equal(changed("realised", "151"), POSITIONS)
    assert not positions_equal({"positions": CORE["positions"][:1]}, POSITIONS)


def test_a_position_that_never_was_makes_no_difference() -> None:
    nothing = {"account_id": 3, "instrument_id": 1, "quantity": 0, "cost": "0", "realised": "0"}
    assert positions_equal({"positions": [*CORE["positions"], nothing]}, POSITIONS)


def test_profit_is_added_up_for_each_currency() -> None:
    assert pnl_of(POSITIONS) == {"USD": {"realised": "3", "unrealised": "-0.5", "total": "2.5"}}
    assert pnl_of({}) == {}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, 0, ""),
        ({"restarts": {"core": 1}}, 0, ""),
        ({"lost": 3}, 1, "3 records lost"),
        ({"gaps": 1}, 1, "1 gaps"),
        ({"positions_equal": False}, 1, "differ from the core's"),
        ({"broken": "x.gz:7: not JSON"}, 1, "x.gz:7: not JSON"),
        ({"errors": {"strategy": 3}}, 1, "strategy: 3 handler errors"),
        ({"missing": ["portfolio"], "positions_equal": None}, 1, "no answer from portfolio"),
        ({"positions_equal": None}, 0, ""),
    ],
)
def test_the_exit_code_says_whether_all_was_well(changes: dict[str, Any], code: int, words: str) -> None:
    made = report(**changes)
    assert made.exit_code == code
    assert (words in "; ".join(fault.what for fault in made.faults)) if words else made.faults == []


def test_the_object_is_plain_and_says_all() -> None:
    plain = report().to_dict()
    assert msgspec.json.decode(msgspec.json.encode(plain)) == plain
    assert plain["positions"][0]["strategy"] == "quoting"
    assert plain["positions"][1]["strategy"] == ""


def test_the_tables_fit_eighty_columns_and_name_what_is_unusual(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_live_summary(report(restarts={"core": 2}, positions_equal=False, journal="run/journal", speed=20.0))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for words in ("core 2", "DIFFER", "run/journal", "20 times as fast", "account 9", "quoting", "p99.9"):
        assert words in shown, words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"market": "none", "market_seconds": 0.0}, "up for 10.0 s"),
        ({}, "8.0 s of market; up for 10.0 s"),
        ({"market": "x.gz"}, "8.0 s of market; stopped before the end; up for 10.0 s"),
        ({"market": "x.gz", "broken": "x.gz:7: not JSON"}, "8.0 s of market; the recording broke off; up for 10.0 s"),
    ],
)
def test_the_summary_says_how_the_market_ended(
    changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_live_summary(report(**changes))
    assert words in capsys.readouterr().out.splitlines()


def test_how_well_a_live_market_was_seen_is_added_up_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    quotes = [
        {"symbol": "BTCUSDT", "blind_since_ns": 0, "blind_ns": 1_500_000_000, "gaps": 2},
        {"symbol": "ETHUSDT", "blind_since_ns": 7_000_000_000, "blind_ns": 0, "gaps": 1},
        {"symbol": "XRPUSDT", "blind_since_ns": 0, "blind_ns": 0, "gaps": 0},
    ]
    assert live_market({"quotes": quotes}, 0, 10_000_000_000) is None, "nothing listened"
    seen = live_market({"quotes": quotes}, 3, 10_000_000_000)
    assert seen == LiveMarket(
        blind_seconds={"BTCUSDT": 1.5, "ETHUSDT": 3.0, "XRPUSDT": 0.0},
        gaps={"BTCUSDT": 2, "ETHUSDT": 1, "XRPUSDT": 0},
        blind=["ETHUSDT"],
        feed_restarts=2,
    )
    print_live_summary(report(live=seen, recorded=1234, restarts={"recorder": 1}))
    shown = " ".join(capsys.readouterr().out.split())
    assert "blind, times ETHUSDT 3.0 s in 1 (still), BTCUSDT 1.5 s in 2 feed restarts 2" in shown
    assert "recorded 1,234 records since the recorder was started again" in shown
    print_live_summary(report(live=live_market({"quotes": quotes[2:]}, 1, 0), recorded=7))
    shown = " ".join(capsys.readouterr().out.split())
    assert "blind, times never feed restarts 0 recorded 7 records" in shown
    print_live_summary(report())
    assert "feed restarts" not in capsys.readouterr().out


def test_positions_that_were_not_compared_are_neither_equal_nor_different(capsys: pytest.CaptureFixture[str]) -> None:
    print_live_summary(report(positions_equal=None))
    shown = capsys.readouterr().out
    assert "not compared" in shown
    assert "DIFFER" not in shown
