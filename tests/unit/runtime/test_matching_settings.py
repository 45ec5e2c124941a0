"""Settings of the matching reach the kernel: allocation, self-match mode, volatility band, method of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nautilus.core import COMMAND, AccountFlag, Kernel, SelfMatch
from nautilus.engines.portfolio import PortfolioConfig
from nautilus.model.account import Account
from nautilus.model.enums import CommandKind
from nautilus.model.errors import ConfigError, ModelError
from nautilus.runtime.market import setup_commands
from nautilus.runtime.matching import SELF_MATCH, MatchingConfig
from nautilus.trading.settings import Setup, unknown_only
from tests.kit.builders import BUY, SELL, batch, new
from tests.kit.context import btcusdt
from tests.kit.live_host import make_plan
from tests.kit.pair import reasons


def opened(matching: MatchingConfig, method: str = "average") -> Kernel:
    return Kernel(
        instruments=matching.instruments([btcusdt()]),
        accounts=np.concatenate(matching.accounts(range(1, 5), PortfolioConfig(method))),
        limits=matching.limits(),
        capacity=64,
        huge_pages=False,
    )


def test_pro_rata_shares_the_best_price_out() -> None:
    resting = batch(new(1, BUY, 100, 30), new(2, BUY, 100, 10, account_id=2))
    taking = new(3, SELL, 100, 20, account_id=3)
    left = {}
    for allocation in ("price-time", "pro-rata"):
        kernel = opened(MatchingConfig(allocation))
        kernel.process(resting)
        kernel.process(taking)
        left[allocation] = kernel.book(1)["quantity"].tolist()
    assert left == {"price-time": [10, 10], "pro-rata": [15, 5]}


@pytest.mark.parametrize(
    ("self_match", "expected"),
    [
        ("cancel-newest", ["ACCEPTED", "CANCELLED SELF_MATCH"]),
        ("cancel-oldest", ["ACCEPTED", "CANCELLED SELF_MATCH"]),
        ("cancel-both", ["ACCEPTED", "CANCELLED SELF_MATCH", "CANCELLED SELF_MATCH"]),
        ("decrement", ["ACCEPTED", "CANCELLED SELF_MATCH", "CANCELLED SELF_MATCH"]),
        ("none", ["ACCEPTED", "FILLED"]),
    ],
)
def test_self_match_mode_is_that_of_every_client(self_match: str, expected: list[str]) -> None:
    kernel = opened(MatchingConfig(self_match=self_match))
    assert kernel.account(2).self_match == SELF_MATCH[self_match]
    kernel.process(new(1, BUY, 100, 5, account_id=2))
    assert reasons(kernel.process(new(2, SELL, 100, 4, account_id=2))) == expected


def test_every_self_match_mode_has_a_name() -> None:
    assert set(SELF_MATCH.values()) == set(SelfMatch)


def test_volatility_band_holds_a_match_up() -> None:
    kernel = opened(MatchingConfig(volatility_band_bps=100, volatility_ms=5))
    kernel.process(batch(new(1, BUY, 1_000, 1), new(2, SELL, 1_000, 1, account_id=2), new(3, SELL, 1_020, 1)))
    assert "PHASE" in reasons(kernel.process(new(4, BUY, 1_020, 1, account_id=2)))
    assert kernel.next_timer_ns == 5_000_000


def test_method_of_positions_is_that_of_the_cores_accounts() -> None:
    assert opened(MatchingConfig()).account(1).flags == 0
    assert opened(MatchingConfig(), "fifo").account(1).flags == AccountFlag.FIFO


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"allocation": "fair"}, "price-time or pro-rata"),
        ({"self_match": "cancel"}, "cancel-newest, cancel-oldest"),
        ({"volatility_band_bps": -1}, "0 to 1000000"),
        ({"volatility_band_bps": 1_000_001}, "0 to 1000000"),
        ({"volatility_ms": 5}, "0 without a band"),
        ({"volatility_band_bps": 5, "volatility_ms": -1}, "0 to "),
    ],
)
def test_a_setting_that_is_none_is_refused_with_what_was_expected(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as refusal:
        MatchingConfig(**values)
    assert refusal.value.where == "matching"


@pytest.mark.parametrize("values", [{"self_match_group": 1 << 16}, {"self_match_group": -1}, {"flags": AccountFlag(8)}])
def test_an_account_that_the_core_would_refuse_is_none(values: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="account 3"):
        Account(3, **values)


def test_the_core_of_a_plan_is_set_up_with_them(tmp_path: Any) -> None:
    sections = {"matching": MatchingConfig("pro-rata", "decrement", 50, 1_000), "portfolio": PortfolioConfig("fifo")}
    plan = make_plan(tmp_path, {"marketdata": ("marketdata",)}, sections=sections)
    setup = setup_commands(plan)
    kernel = Kernel(accounts=(), huge_pages=False, capacity=1 << 10)
    kernel.process(np.frombuffer(bytearray(b"".join(each.row for each in setup)), COMMAND))
    assert (kernel.account(3).flags, kernel.account(3).self_match) == (AccountFlag.FIFO, SelfMatch.DECREMENT)
    assert set(unknown_only(kernel, setup)["kind"].tolist()) == {CommandKind.LIMIT}, "the rest is as it is to be"


def test_an_account_that_is_to_be_otherwise_is_opened_again_and_refused_while_in_use() -> None:
    kernel = opened(MatchingConfig())
    fifo = MatchingConfig().accounts([1, 2], PortfolioConfig("fifo"))
    setup = [Setup(CommandKind.ACCOUNT, int(row["account_id"][0]), row.tobytes()) for row in fifo]
    kernel.process(new(1, BUY, 100, 5, account_id=2))
    commands = unknown_only(kernel, setup)
    assert commands["account_id"].tolist() == [1, 2]
    assert reasons(kernel.process(commands)) == ["APPLIED", "REJECTED MALFORMED"]
