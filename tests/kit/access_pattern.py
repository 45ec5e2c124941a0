"""What the twelve engines beside the hub ask the eight providers for in five minutes: generated, not recorded.

No recording of such a platform is known to us. The trace is modelled on what engines of these names do - dashboards
that poll, desks that poll quicker, nightly pulls of the same universe by several engines one after the other,
calendars, rates - and is the same for a seed; a test pins its digest, so that it does not change unseen.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import NamedTuple

from nautilus.model.datasets import DataKind, GetData

SEED = 7
SECONDS = 300
ENGINES = (
    "analytics",
    "backtesting",
    "collateral",
    "factor",
    "features",
    "ml",
    "notification",
    "portfolio",
    "risk",
    "strategy",
    "vpin",
    "websocket",
)
UNIVERSE = tuple(f"SYM{number:02}" for number in range(40))
DESK = UNIVERSE[:8]
HELD = UNIVERSE[:25]
SHOWN = UNIVERSE[:20]
FRED = ("DFF", "SOFR", "DGS2", "DGS10", "CPIAUCSL", "UNRATE", "GDP", "VIXCLS")
DBNOMICS = ("ECB/EXR/USD", "IMF/IFS/US", "OECD/MEI/US", "BIS/CBPOL/US")
QUOTE, BAR, FUNDAMENTAL = DataKind.QUOTE, DataKind.BAR, DataKind.FUNDAMENTAL
ECONOMIC, LISTING, EVENT = DataKind.ECONOMIC, DataKind.LISTING, DataKind.EVENT


class Asked(NamedTuple):
    """One question of an engine, and when."""

    at_ns: int
    engine: str
    question: GetData


def access_pattern(seed: int = SEED) -> list[Asked]:
    """All questions, in order of time."""
    draw = random.Random(seed)
    found: list[Asked] = []

    def ask(at: float, engine: str, kind: DataKind, symbol: str, source: str, interval: str = "") -> None:
        if at < SECONDS:
            found.append(Asked(round(at * 1e9), engine, GetData(kind, symbol, source, interval)))

    def poll(engine: str, every: float, kind: DataKind, symbols: tuple[str, ...], source: str, bars: str = "") -> None:
        at = draw.uniform(0, every)
        while at < SECONDS:
            for place, symbol in enumerate(symbols):
                ask(at + 0.005 * place, engine, kind, symbol, source, bars)
            at += every * draw.uniform(0.95, 1.05)

    def pull(engine: str, at: float, kind: DataKind, symbols: tuple[str, ...], source: str, bars: str = "") -> None:
        for symbol in symbols:
            ask(at, engine, kind, symbol, source, bars)
            at += draw.uniform(0.02, 0.15)

    # What every engine looks up when it starts: each asks each provider.
    for place, engine in enumerate(ENGINES):
        at = 1.0 + 2.0 * place + draw.uniform(0, 1)
        for kind, symbol, source in (
            (QUOTE, UNIVERSE[0], "ibkr"),
            (BAR, UNIVERSE[0], "alpha_vantage"),
            (ECONOMIC, FRED[0], "fred"),
            (FUNDAMENTAL, UNIVERSE[0], "edgar"),
            (LISTING, "rates", "datagov"),
            (EVENT, "united states", "trading_economics"),
            (ECONOMIC, DBNOMICS[0], "dbnomics"),
            (QUOTE, UNIVERSE[0], "yahoo"),
        ):
            ask(at, engine, kind, symbol, source, "1d" if kind is BAR else "")
            at += draw.uniform(0.01, 0.1)
    poll("websocket", 5, QUOTE, SHOWN, "yahoo")
    poll("strategy", 2, QUOTE, DESK, "ibkr")
    poll("strategy", 60, BAR, DESK, "ibkr", "1m")
    poll("vpin", 60, BAR, DESK, "ibkr", "1m")
    poll("risk", 10, QUOTE, HELD, "yahoo")
    poll("portfolio", 15, QUOTE, HELD, "yahoo")
    poll("collateral", 20, QUOTE, HELD[:10], "yahoo")
    poll("collateral", 60, ECONOMIC, FRED[:3], "fred")
    poll("notification", 30, EVENT, ("united states", "euro area"), "trading_economics")
    poll("notification", 60, EVENT, HELD[:5], "edgar")
    # Nightly pulls of one universe, by one engine after the other.
    for night in (40.0, 180.0):
        for place, engine in enumerate(("factor", "features", "ml", "analytics", "backtesting")):
            at = night + 12 * place
            pull(engine, at, BAR, UNIVERSE, "alpha_vantage", "1d")
            if engine in ("factor", "features", "analytics"):
                pull(engine, at + 5, FUNDAMENTAL, UNIVERSE, "edgar")
            pull(engine, at + 9, ECONOMIC, FRED, "fred")
            pull(engine, at + 10, ECONOMIC, DBNOMICS, "dbnomics")
    for engine in ("backtesting", "analytics"):
        for _ in range(3):
            some = tuple(draw.sample(UNIVERSE, 10))
            pull(engine, draw.uniform(90, SECONDS - 20), BAR, some, "alpha_vantage", "1d")
    return sorted(found)


def digest(trace: list[Asked]) -> str:
    """Of a trace."""
    return blake2b(repr([tuple(each) for each in trace]).encode(), digest_size=8).hexdigest()


def windows(trace: list[Asked], span_ns: int) -> list[list[Asked]]:
    """Questions that come while a provider that takes so long has not answered the first of them."""
    found: list[list[Asked]] = []
    for asked in trace:
        if found and asked.at_ns - found[-1][0].at_ns < span_ns:
            found[-1].append(asked)
        else:
            found.append([asked])
    return found
