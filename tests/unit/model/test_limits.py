"""Limits as commands: kinds, scopes, windows, and what is refused before the core sees it."""

from __future__ import annotations

from typing import Any

import pytest

from nautilus.core import Kernel
from nautilus.model.enums import LimitKind
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.limits import Limits
from nautilus.runtime.settings import LimitsConfig


def test_every_limit_is_taken_by_the_core() -> None:
    limits = Limits(
        account_id=1, order_quantity=1, order_notional=2, price_collar_bps=3, position=4, message_rate=5, daily_loss=6,
        leverage_bps=7, concentration_bps=8, credit=9, open_orders=10, open_value=11, gross_exposure=12,
        net_exposure=13, price_band_bps=14, executions=15, duplicate_window_ns=16, stale_price_ns=17, permitted=False,
    )  # fmt: skip
    commands = limits.to_commands()
    kinds = set(commands["order_type"].tolist())
    of_all = Limits(volatility_band_bps=500, volatility_ns=60, credit_total=20)
    whole = of_all.to_commands()
    assert kinds == set(LimitKind) - set(whole["order_type"].tolist())
    assert whole[["order_type", "quantity", "expire_ns"]].tolist() == [
        (LimitKind.VOLATILITY_BAND, 500, 60), (LimitKind.CREDIT_TOTAL, 20, 0),
    ]  # fmt: skip
    windows = dict(zip(commands["order_type"].tolist(), commands["expire_ns"].tolist(), strict=True))
    assert {kind: window for kind, window in windows.items() if window} == {
        LimitKind.MESSAGE_RATE: 1_000_000_000,
        LimitKind.PRICE_BAND: 60_000_000_000,
        LimitKind.DUPLICATE: 16,
    }
    Kernel(limits=[limits, of_all], capacity=8, closed_capacity=8, huge_pages=False)


@pytest.mark.parametrize(
    "values",
    [
        {"leverage_bps": 1, "instrument_id": 1},
        {"daily_loss": -1},
        {"price_band_bps": 1_000_001},
        {"price_band_bps": 1, "price_band_ns": 0},
        {"executions": 0},
        {"stale_price_ns": 0},
        {"duplicate_window_ns": 0},
        {"volatility_band_bps": 0},
        {"volatility_band_bps": 1_000_001},
        {"volatility_band_bps": 1, "volatility_ns": -1},
        {"volatility_band_bps": 1, "account_id": 1},
        {"credit_total": 1, "account_id": 1},
        {"credit_total": 1, "instrument_id": 1},
    ],
)
def test_limit_that_the_core_would_refuse_is_none(values: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        Limits(**values)


def test_settings_become_limits_of_each_account() -> None:
    (limits,) = LimitsConfig(leverage=10, concentration=0.1, daily_loss=100_000, duplicate_ms=5).limits([4], [])
    assert (limits.leverage_bps, limits.concentration_bps, limits.daily_loss) == (100_000, 1_000, 100_000)
    assert (limits.account_id, limits.duplicate_window_ns, limits.stale_price_ns) == (4, 5_000_000, None)


@pytest.mark.parametrize(
    "values", [{"leverage": -1.0}, {"concentration": float("nan")}, {"credit": -1}, {"duplicate_ms": -1}]
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LimitsConfig(**values)
