"""Plain names of the environment: what their texts mean, what comes before what, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.cli.settings import sections
from nautilus.model.errors import ConfigError
from nautilus.runtime.config import Configuration, Flag, examine, load
from nautilus.runtime.plain_names import (
    PLAIN_NAMES,
    parse_bool,
    parse_cores,
    parse_factor,
    parse_size,
    parse_time,
    parse_whole,
    variable_of,
)

SECTIONS = sections()
EXAMPLES: dict[str, tuple[str, Any]] = {
    "HYBRID_ROUTING_ENABLED": ("false", False),
    "HYBRID_DEFAULT_STRATEGY": ("gateway_only", "gateway_only"),
    "HEALTH_CHECK_INTERVAL": ("15", 15.0),
    "ENGINE_TIMEOUT_MS": ("2500", 2500.0),
    "CIRCUIT_BREAKER_ENABLED": ("False", False),
    "STRATEGY_FAILURE_THRESHOLD": ("5", 5),
    "RISK_FAILURE_THRESHOLD": ("7", 7),
    "HTTP2_ENABLED": ("off", False),
    "CONNECTION_POOL_SIZE": ("40", 40),
    "KEEPALIVE_TIMEOUT": ("1m", 60.0),
    "ENABLE_HYBRID": ("false", False),
    "STRATEGY_LATENCY_TARGET": ("20ms", 20.0),
    "CPU_AFFINITY": ("4,5,6,7", (4, 5, 6, 7)),
    "MEMORY_HUGEPAGES": ("false", False),
    "NETWORK_MODE": ("host", "host"),
    "GC_TUNING": ("no", False),
    "FRED_API_KEY": ("0123abcd", "0123abcd"),
    "ALPHAVANTAGE_API_KEY": ("AB12", "AB12"),
    "TRADING_ECONOMICS_KEY": ("me:mine", "me:mine"),
    "DATA_GOV_API_KEY": ("AbC0", "AbC0"),
    "ROUTING_LATENCY_TARGET": ("30ms", 30.0),
    "ML_MODEL_CACHE_SIZE": ("2000", 2000),
    "VENUE_MONITOR_INTERVAL": ("500ms", 0.5),
    "COST_CALCULATION_THREADS": ("2", 2),
    "BACKTEST_PARALLELISM": ("16", 16),
    "HISTORICAL_DATA_PATH": ("data/history", "data/history"),
    "BACKTEST_CACHE_SIZE": ("512M", 512 << 20),
    "PERFORMANCE_TARGET": ("50x_improvement", 50.0),
    "NOTIFICATION_TARGET_MS": ("2000", 2000.0),
    "AGGREGATION_WINDOW_MS": ("50", 50.0),
    "CONCURRENT_NOTIFICATIONS": ("10", 10),
    "RETRY_ATTEMPTS": ("0", 0),
}
AS_DOCUMENTED = {
    "HYBRID_ROUTING_ENABLED": "true",
    "HYBRID_DEFAULT_STRATEGY": "hybrid_intelligent",
    "HEALTH_CHECK_INTERVAL": "30",
    "ENGINE_TIMEOUT_MS": "5000",
    "CIRCUIT_BREAKER_ENABLED": "true",
    "STRATEGY_FAILURE_THRESHOLD": "3",
    "RISK_FAILURE_THRESHOLD": "3",
    "HTTP2_ENABLED": "true",
    "CONNECTION_POOL_SIZE": "25",
    "KEEPALIVE_TIMEOUT": "30",
    "ENABLE_HYBRID": "true",
    "STRATEGY_LATENCY_TARGET": "30ms",
    "MEMORY_HUGEPAGES": "true",
    "NETWORK_MODE": "host",
    "GC_TUNING": "true",
    "FRED_API_KEY": "",
    "ALPHAVANTAGE_API_KEY": "",
    "TRADING_ECONOMICS_KEY": "",
    "DATA_GOV_API_KEY": "",
    "ROUTING_LATENCY_TARGET": "25ms",
    "ML_MODEL_CACHE_SIZE": "1000",
    "VENUE_MONITOR_INTERVAL": "1s",
    "COST_CALCULATION_THREADS": "4",
    "BACKTEST_PARALLELISM": "8",
    "HISTORICAL_DATA_PATH": "/app/data",
    "BACKTEST_CACHE_SIZE": "4G",
    "PERFORMANCE_TARGET": "100x_improvement",
    "NOTIFICATION_TARGET_MS": "1000",
    "AGGREGATION_WINDOW_MS": "100",
    "CONCURRENT_NOTIFICATIONS": "100",
    "RETRY_ATTEMPTS": "3",
}
BAD = {
    "HYBRID_ROUTING_ENABLED": "maybe",
    "HYBRID_DEFAULT_STRATEGY": "hybrid_inteligent",
    "HEALTH_CHECK_INTERVAL": "-30",
    "ENGINE_TIMEOUT_MS": "nan",
    "CIRCUIT_BREAKER_ENABLED": "",
    "STRATEGY_FAILURE_THRESHOLD": "3.5",
    "RISK_FAILURE_THRESHOLD": "0",
    "HTTP2_ENABLED": "2",
    "CONNECTION_POOL_SIZE": "1e3",
    "KEEPALIVE_TIMEOUT": "30 parsecs",
    "ENABLE_HYBRID": "truee",
    "STRATEGY_LATENCY_TARGET": "inf",
    "CPU_AFFINITY": "7-4",
    "MEMORY_HUGEPAGES": "t",
    "NETWORK_MODE": "bridge",
    "GC_TUNING": "nope",
    "FRED_API_KEY": "a key",
    "ALPHAVANTAGE_API_KEY": "a key",
    "TRADING_ECONOMICS_KEY": "a key",
    "DATA_GOV_API_KEY": "a key",
    "ROUTING_LATENCY_TARGET": "0ms",
    "ML_MODEL_CACHE_SIZE": "-1",
    "VENUE_MONITOR_INTERVAL": "soon",
    "COST_CALCULATION_THREADS": "many",
    "BACKTEST_PARALLELISM": "0",
    "HISTORICAL_DATA_PATH": "",
    "BACKTEST_CACHE_SIZE": "4GG",
    "PERFORMANCE_TARGET": "100y",
    "NOTIFICATION_TARGET_MS": "-1",
    "AGGREGATION_WINDOW_MS": "--",
    "CONCURRENT_NOTIFICATIONS": "",
    "RETRY_ATTEMPTS": "three",
}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def resolve(environment: dict[str, str], **options: Any) -> Configuration:
    return load(SECTIONS, environment=environment, plain=PLAIN_NAMES, **options)


def setting(name: str, configuration: Configuration) -> tuple[Any, str]:
    plain = PLAIN_NAMES[name]
    for each in configuration.settings:
        if (each.section, each.key) == (plain.section, plain.key):
            return each.value, each.origin
    raise AssertionError(name)


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_plain_name_sets_its_key_and_is_its_origin(name: str) -> None:
    text, value = EXAMPLES[name]
    configuration = resolve({name: text})
    assert setting(name, configuration) == (value, f"environment {name}")
    plain = PLAIN_NAMES[name]
    assert getattr(configuration.sections[plain.section], plain.key) == value


@pytest.mark.parametrize(("name", "text"), AS_DOCUMENTED.items())
def test_the_documented_default_is_the_default(name: str, text: str) -> None:
    assert setting(name, resolve({name: text}))[0] == setting(name, resolve({}))[0]


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_bad_text_is_one_error_that_names_the_variable_and_what_was_expected(name: str) -> None:
    _, problems = examine(SECTIONS, environment={name: BAD[name]}, plain=PLAIN_NAMES)
    (problem,) = problems
    assert isinstance(problem, ConfigError)
    assert problem.where == f"environment {name}"
    assert problem.expected
    assert "\n" not in str(problem)


def test_the_tables_of_this_test_have_every_name() -> None:
    assert set(EXAMPLES) == set(BAD) == set(PLAIN_NAMES)
    assert set(AS_DOCUMENTED) == set(PLAIN_NAMES) - {"CPU_AFFINITY"}, "cores that most machines lack are no default"


def test_each_name_sets_a_key_that_exists_and_no_other_name_does() -> None:
    places = [(plain.section, plain.key) for plain in PLAIN_NAMES.values()]
    assert len(set(places)) == len(places)
    assert [place for place in places if place[1] not in SECTIONS[place[0]].__struct_fields__] == []
    assert {variable_of(*place) for place in places} == set(PLAIN_NAMES)
    assert variable_of("lockstep", "seed") == ""


def test_default_gives_way_to_file_to_plain_name_to_own_name_to_flag(tmp_path: Any) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[gateway]\npool_size = 2\n")
    plain, own = {"CONNECTION_POOL_SIZE": "3"}, {"NAUTILUS__GATEWAY__POOL_SIZE": "4"}
    flag = [Flag("gateway", "pool_size", "5", "--set gateway.pool_size")]
    seen = [
        resolve({}),
        resolve({}, path=str(file)),
        resolve(plain, path=str(file)),
        resolve(plain | own, path=str(file)),
        resolve(plain | own, path=str(file), flags=flag),
    ]
    assert [setting("CONNECTION_POOL_SIZE", each) for each in seen] == [
        (25, "default"),
        (2, f"{file}:2"),
        (3, "environment CONNECTION_POOL_SIZE"),
        (4, "environment NAUTILUS__GATEWAY__POOL_SIZE"),
        (5, "--set gateway.pool_size"),
    ]


def test_a_wrong_plain_name_is_told_even_where_another_one_wins() -> None:
    _, problems = examine(
        SECTIONS, environment={"RETRY_ATTEMPTS": "x", "NAUTILUS__NOTIFICATION__RETRY_ATTEMPTS": "1"}, plain=PLAIN_NAMES
    )
    assert [problem.where for problem in problems] == ["environment RETRY_ATTEMPTS"]


def test_names_of_sections_that_are_not_there_set_nothing() -> None:
    some = {"lockstep": SECTIONS["lockstep"]}
    configuration = load(some, environment={"CONNECTION_POOL_SIZE": "x"}, plain=PLAIN_NAMES)
    assert {each.origin for each in configuration.settings} == {"default"}


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (parse_bool, parse_whole, parse_size, parse_cores, parse_factor, lambda each: parse_time(each, "s")):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value not in (float("inf"), float("-inf"))
        assert value == value, "a NaN is not equal to itself"


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s"]))
def test_a_bare_number_is_in_the_unit_of_the_setting(number: int, unit: str) -> None:
    assert parse_time(str(number), unit) == parse_time(f"{number}{unit}", unit) == float(number)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("30ms", "ms", 30.0), ("1s", "ms", 1000.0), ("250ms", "s", 0.25), ("2m", "s", 120.0), ("1.5 s", "ms", 1500.0)],
)
def test_units_of_time(text: str, unit: str, value: float) -> None:
    assert parse_time(text, unit) == value


@pytest.mark.parametrize(
    ("text", "value"), [("4G", 4 << 30), ("4GiB", 4 << 30), ("512mb", 512 << 20), ("100", 100), ("1 K", 1024)]
)
def test_units_of_size(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize(("text", "value"), [("4-7", [4, 5, 6, 7]), ("6,4,4", [4, 6]), ("", []), ("0-1,8", [0, 1, 8])])
def test_lists_of_processors(text: str, value: list[int]) -> None:
    assert parse_cores(text) == value


def test_a_key_that_is_none_is_not_shown() -> None:
    _, problems = examine(SECTIONS, environment={"FRED_API_KEY": "my own key"}, plain=PLAIN_NAMES)
    assert "own" not in str(problems[0])
    _, problems = examine(SECTIONS, flags=[Flag("source_fred", "key", 12345, "--set source_fred.key")])
    assert "12345" not in str(problems[0])
    assert "***" in str(problems[0])
