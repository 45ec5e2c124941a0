"""Settings of engines that are on the platform's plan and not built yet: each moves beside its engine once that is.

They are read, checked and shown like all others, so that an environment written for the whole platform is not refused;
nothing acts on them before their engine is there.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RouterConfig(msgspec.Struct, frozen=True):
    """The smart order router.

    Parameters
    ----------
    latency_target_ms
        Of a routing decision.
    model_cache_size
        Results of its model that are kept.
    venue_interval_seconds
        Between two looks at a venue.
    cost_threads
        That work out costs.
    """

    latency_target_ms: Annotated[float, Meta(gt=0, le=60_000)] = 25.0
    model_cache_size: Annotated[int, Meta(ge=0, le=1 << 24)] = 1000
    venue_interval_seconds: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    cost_threads: Annotated[int, Meta(ge=1, le=256)] = 4


class BacktestingConfig(msgspec.Struct, frozen=True):
    """Backtests over many workers.

    Parameters
    ----------
    parallelism
        Workers at once.
    data_path
        Directory of historical data.
    cache_bytes
        Of data kept in memory.
    performance_target
        How many times as fast as a plain event loop in Python.
    """

    parallelism: Annotated[int, Meta(ge=1, le=4096)] = 8
    data_path: Annotated[str, Meta(min_length=1)] = "/app/data"
    cache_bytes: Annotated[int, Meta(ge=0, le=1 << 48)] = 4 << 30
    performance_target: Annotated[float, Meta(gt=0, le=1_000_000)] = 100.0


class NotificationConfig(msgspec.Struct, frozen=True):
    """Alerts to people.

    Parameters
    ----------
    target_ms
        From an alert to its delivery.
    aggregation_window_ms
        Alerts within it become one.
    concurrent
        Deliveries at once.
    retry_attempts
        After one that failed.
    """

    target_ms: Annotated[float, Meta(gt=0, le=3_600_000)] = 1000.0
    aggregation_window_ms: Annotated[float, Meta(ge=0, le=3_600_000)] = 100.0
    concurrent: Annotated[int, Meta(ge=1, le=100_000)] = 100
    retry_attempts: Annotated[int, Meta(ge=0, le=100)] = 3
