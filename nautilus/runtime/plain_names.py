"""Variables of the environment that have a plain name beside `NAUTILUS__SECTION__KEY`, and what their texts mean.

A number without a unit is in the unit of its setting: `HEALTH_CHECK_INTERVAL=30` is 30 seconds, and so is `30s`. Where
both names of a setting are given, `NAUTILUS__SECTION__KEY` is the one that counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nautilus.runtime.config import HIDDEN, PlainName

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
MOST_CORES = 4096
_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(ns|us|ms|s|m|h)?")
_SIZE = re.compile(r"(\d{1,15}) ?(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)
_CORES = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_FACTOR = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(?:x(?:_improvement)?)?")
_WHOLE = re.compile(r"-?\d{1,15}")


def parse_bool(text: str) -> bool:
    """``true``, ``yes``, ``on``, ``1``, or their contraries, in upper or lower case."""
    word = text.strip().lower()
    if word not in (*TRUE, *FALSE):
        raise ValueError(text)
    return word in TRUE


def parse_whole(text: str) -> int:
    """A whole number."""
    return int(_matched(_WHOLE, text)[0])


def parse_time(text: str, unit: str) -> float:
    """A length of time such as ``30ms``, in the unit of the setting; a bare number is in that already."""
    match = _matched(_TIME, text)
    number = float(match[1])
    return number if match[2] in (None, unit) else round(number * SECONDS[match[2]] / SECONDS[unit], 9)


def parse_size(text: str) -> int:
    """A size in bytes such as ``4G``, by powers of 1024."""
    match = _matched(_SIZE, text)
    return int(match[1]) * BYTES[(match[2] or "").upper()]


def parse_cores(text: str) -> list[int]:
    """Numbers of processors such as ``4,5,6,7`` or ``4-7``; none for an empty text."""
    found: list[int] = []
    for part in text.split(",") if text.strip() else ():
        match = _matched(_CORES, part)
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < MOST_CORES:
            raise ValueError(text)
        found += range(first, last + 1)
    return sorted(set(found))


def parse_factor(text: str) -> float:
    """How many times as fast: ``100``, ``100x`` or ``100x_improvement``."""
    return float(_matched(_FACTOR, text)[1])


def parse_key(text: str) -> str:
    """A key of a provider: printable characters without spaces."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(HIDDEN)
    return key


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return match


def _bool(section: str, key: str) -> PlainName:
    return PlainName(section, key, parse_bool, "true or false")


def _whole(section: str, key: str) -> PlainName:
    return PlainName(section, key, parse_whole, "a whole number")


def _text(section: str, key: str) -> PlainName:
    return PlainName(section, key, str, "a text")


def _time(section: str, key: str, unit: str) -> PlainName:
    def parse(text: str) -> float:
        return parse_time(text, unit)

    return PlainName(section, key, parse, f"a time such as 30, in {_UNITS[unit]}, or 250ms, 1s, 2m")


def _other(section: str, key: str, parse: Callable[[str], Any], expected: str) -> PlainName:
    return PlainName(section, key, parse, expected)


def _key(section: str) -> PlainName:
    return PlainName(section, "key", parse_key, "a key without spaces")


_UNITS = {"s": "seconds", "ms": "milliseconds"}

PLAIN_NAMES: dict[str, PlainName] = {
    "HYBRID_ROUTING_ENABLED": _bool("gateway", "hybrid_routing_enabled"),
    "HYBRID_DEFAULT_STRATEGY": _text("gateway", "default_strategy"),
    "HEALTH_CHECK_INTERVAL": _time("gateway", "health_interval_seconds", "s"),
    "ENGINE_TIMEOUT_MS": _time("gateway", "engine_timeout_ms", "ms"),
    "CIRCUIT_BREAKER_ENABLED": _bool("gateway", "circuit_breakers"),
    "STRATEGY_FAILURE_THRESHOLD": _whole("gateway", "strategy_failure_threshold"),
    "RISK_FAILURE_THRESHOLD": _whole("gateway", "risk_failure_threshold"),
    "HTTP2_ENABLED": _bool("gateway", "http2"),
    "CONNECTION_POOL_SIZE": _whole("gateway", "pool_size"),
    "KEEPALIVE_TIMEOUT": _time("gateway", "keepalive_seconds", "s"),
    "ENABLE_HYBRID": _bool("protection", "enabled"),
    "STRATEGY_LATENCY_TARGET": _time("strategy", "latency_target_ms", "ms"),
    "CPU_AFFINITY": _other("strategy", "cpu_affinity", parse_cores, "processors such as 4,5,6,7 or 4-7"),
    "MEMORY_HUGEPAGES": _bool("strategy", "huge_pages"),
    "NETWORK_MODE": _text("strategy", "network_mode"),
    "GC_TUNING": _bool("strategy", "gc_tuning"),
    "FRED_API_KEY": _key("source_fred"),
    "ALPHAVANTAGE_API_KEY": _key("source_alpha_vantage"),
    "TRADING_ECONOMICS_KEY": _key("source_trading_economics"),
    "DATA_GOV_API_KEY": _key("source_datagov"),
    "ROUTING_LATENCY_TARGET": _time("router", "latency_target_ms", "ms"),
    "ML_MODEL_CACHE_SIZE": _whole("router", "model_cache_size"),
    "VENUE_MONITOR_INTERVAL": _time("router", "venue_interval_seconds", "s"),
    "COST_CALCULATION_THREADS": _whole("router", "cost_threads"),
    "BACKTEST_PARALLELISM": _whole("backtesting", "parallelism"),
    "HISTORICAL_DATA_PATH": _text("backtesting", "data_path"),
    "BACKTEST_CACHE_SIZE": _other("backtesting", "cache_bytes", parse_size, "a size such as 512M or 4G"),
    "PERFORMANCE_TARGET": _other(
        "backtesting", "performance_target", parse_factor, "a factor such as 100x_improvement"
    ),
    "NOTIFICATION_TARGET_MS": _time("notification", "target_ms", "ms"),
    "AGGREGATION_WINDOW_MS": _time("notification", "aggregation_window_ms", "ms"),
    "CONCURRENT_NOTIFICATIONS": _whole("notification", "concurrent"),
    "RETRY_ATTEMPTS": _whole("notification", "retry_attempts"),
}
"""Variable -> what it sets. The same table stands in `docs/gateway.md`, and a test compares the two."""


def variable_of(section: str, key: str) -> str:
    """The plain name of a setting; "": it has none."""
    return next((name for name, plain in PLAIN_NAMES.items() if (plain.section, plain.key) == (section, key)), "")


__all__ = [
    "PLAIN_NAMES",
    "parse_bool",
    "parse_cores",
    "parse_factor",
    "parse_size",
    "parse_time",
    "parse_whole",
    "variable_of",
]
