"""What the live table shows, as plain values: made by `nautilus.cli.sampler`, drawn by `nautilus.cli.table`."""

from __future__ import annotations

import msgspec


class EngineLine(msgspec.Struct, frozen=True):
    """An engine, or the core. What belongs to a process that several engines share stands at the first of them."""

    name: str
    process: str
    state: str
    pid: int
    uptime_seconds: float
    restarts: int
    per_second: float
    p50_us: float
    p99_us: float
    errors: int = 0
    cpu_percent: float | None = None
    memory_mib: float | None = None
    port: int = 0


class QuoteRow(msgspec.Struct, frozen=True):
    """Best bid and ask of an instrument, decimals as text."""

    symbol: str
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    last_price: str


class StrategyRow(msgspec.Struct, frozen=True):
    """What a strategy did, and its position in one instrument; `open_orders` and the counts at its first row only."""

    name: str
    stopped: bool
    orders: int | None
    fills: int | None
    open_orders: int | None
    position: str
    realised: str
    unrealised: str
    total: str
    currency: str


class View(msgspec.Struct, frozen=True):
    """Everything at one moment.

    Parameters
    ----------
    seconds, market_seconds
        Since the instance began, and since its market began.
    progress
        Part of the market that was played, 0 to 1; None where it has no end.
    has_strategies
        Whether there are any; `strategies` is empty until they were asked.
    latency_us
        ``round_trip`` and ``core``, each with p50, p99, p99.9, max and count.
    warnings
        The newest lines of the logs at level warning or above, the newest last.
    hint
        What Ctrl-C does.
    missing
        Engines that did not answer in time: what they know is from before, or not there.
    """

    title: str
    instance: str
    profile: str
    status: str
    seconds: float
    market: str = ""
    market_seconds: float = 0.0
    speed: float = 1.0
    progress: float | None = None
    finished: bool = False
    broken: str = ""
    engines: tuple[EngineLine, ...] = ()
    quotes: tuple[QuoteRow, ...] = ()
    strategies: tuple[StrategyRow, ...] = ()
    has_strategies: bool = False
    orders: dict[str, int] = {}
    latency_us: dict[str, dict[str, float]] = {}
    star: dict[str, int] = {}
    mesh: dict[str, int] = {}
    journal: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    hint: str = ""
    missing: tuple[str, ...] = ()
