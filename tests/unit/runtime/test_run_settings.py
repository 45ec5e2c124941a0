"""Latency, limits, strategies and errors as a user gives and sees them."""

import logging

import numpy as np
import pytest

from nautilus.engines.strategy import Momentum, Quoting, QuotingConfig, Strategy
from nautilus.model.errors import ConfigError
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.latency import NONE, LatencyModel, parse_latency
from nautilus.runtime.report import percentiles
from nautilus.runtime.settings import LimitsConfig, LockStepConfig
from nautilus.runtime.strategies import load_strategies
from tests.kit.context import btcusdt


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("1ms", LatencyModel()),
        ("250us", LatencyModel(250_000, 250_000)),
        ("250us/2ms", LatencyModel(250_000, 2_000_000)),
        (" 1.5 ms / 7ns ", LatencyModel(1_500_000, 7)),
        ("1ms+100us", LatencyModel(1_000_000, 1_000_000, 100_000)),
        ("none", NONE),
    ],
)
def test_a_latency_is_read(text, model):
    assert parse_latency(text) == model


@pytest.mark.parametrize("text", ["0ms", "1ms/0ms", "0us"])
def test_zero_latency_is_had_only_by_name(text):
    with pytest.raises(ConfigError, match="none"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["", "fast", "1", "-1ms", "1ms/", "1m", "1ms+", "90000s", "1ms+" + "9" * 400 + "s"])
def test_a_latency_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigError, match="latency"):
        LockStepConfig(latency=text)


def test_a_negative_delay_is_refused():
    with pytest.raises(ConfigError, match="jitter_ns"):
        LatencyModel(1, 1, -1)


def test_limits_are_set_for_each_account_and_instrument():
    limits = LimitsConfig(order_notional="1000.5", price_collar_bps=100).limits([1, 2], [btcusdt()])
    assert [(limit.account_id, limit.instrument_id) for limit in limits] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert limits[0].price_collar_bps == 100
    assert limits[1].order_notional == 100_050_000_000
    nothing = LimitsConfig(0, "", 0, 0, 0).limits([1], [btcusdt()])
    assert sum(len(limit.to_commands()) for limit in nothing) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"position": -1},
        {"position": 2**63},
        {"message_rate": 2_000_000_000},
        {"order_notional": "lots"},
        {"order_notional": "-1"},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="limits"):
        LimitsConfig(**settings)


def test_strategies_are_found_by_name_with_their_settings():
    config = QuotingConfig(quantity=3)
    own = Strategy()
    quoting, momentum, given = load_strategies(["quoting", "momentum", own], {"quoting": config})
    assert isinstance(quoting, Quoting)
    assert quoting._config is config
    assert isinstance(momentum, Momentum)
    assert given is own


def test_a_strategy_is_found_in_a_file_or_module(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from nautilus.engines.strategy import Strategy\nclass Mine(Strategy):\n    pass\n")
    [mine] = load_strategies([f"{file}:Mine"])
    assert type(mine).__name__ == "Mine"
    [momentum] = load_strategies(["nautilus.engines.strategy.momentum:Momentum"])
    assert isinstance(momentum, Momentum)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qouting", "did you mean 'quoting'"),
        ("nowhere.py:Mine", "no strategy file nowhere.py"),
        ("nowhere.at.all:Mine", "no module nowhere.at.all; expected a module that Python finds"),
        ("nautilus.engines.strategy:Nothing", "no class Nothing"),
        ("nautilus.engines.strategy:Desk", "is no strategy"),
        ("nautilus.engines.strategy:strategy_name", "is no strategy"),
    ],
)
def test_a_strategy_that_is_not_there_is_refused_with_what_is(name, message):
    with pytest.raises(ConfigError, match=message):
        load_strategies([name])


def test_a_strategy_that_wants_arguments_or_does_not_parse_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from nautilus.engines.strategy import Strategy\n"
        "class Mine(Strategy):\n    def __init__(self, x):\n        pass\n"
    )
    with pytest.raises(ConfigError, match="without arguments"):
        load_strategies([f"{file}:Mine"])
    file.write_text("class Mine(")
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_strategies([f"{file}:Mine"])


def test_a_strategy_whose_own_code_raises_is_named_with_its_line(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("size = 1 / 0\n")
    with pytest.raises(ConfigError, match=r"cannot be imported: ZeroDivisionError.*\(mine\.py:1\)"):
        load_strategies([f"{file}:Mine"])
    file.write_text(
        "from nautilus.engines.strategy import Strategy\n"
        "class Mine(Strategy):\n    def __init__(self):\n        raise ValueError('no luck')\n"
    )
    with pytest.raises(ConfigError, match=r"cannot be made: ValueError: no luck \(mine\.py:4\)"):
        load_strategies([f"{file}:Mine"])
    file.write_text(
        "from nautilus.engines.strategy import QuotingConfig, Strategy\n"
        "class Mine(Strategy):\n    def __init__(self):\n        QuotingConfig(quantity=0)\n"
    )
    with pytest.raises(ConfigError, match=r"quantity 0 .*\(mine\.py:4\)"):
        load_strategies([f"{file}:Mine"])


def test_distinct_errors_are_logged_once_and_all_are_counted(caplog):
    log = ErrorLog()
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            try:
                raise ValueError(f"number {number}")
            except ValueError as error:
                log.add("strategy.on_quote", error)
        log.add("risk.on_quote", ExceptionGroup("two", [KeyError("a"), ValueError("b")]))
    assert log.count == 5
    assert [(error.error, error.count) for error in log.distinct()] == [
        ("ValueError: number 0", 3),
        ("KeyError: 'a'", 1),
        ("ValueError: b", 1),
    ]
    assert len(caplog.records) == 3


def test_percentiles_are_values_that_were_measured():
    result = percentiles(np.arange(1, 1001) * 1000)
    assert result == {"p50": 500.0, "p90": 900.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0, "count": 1000}
    assert percentiles(np.zeros(0))["count"] == 0


def test_the_clock_goes_forward():
    assert monotonic_ns() <= monotonic_ns()
