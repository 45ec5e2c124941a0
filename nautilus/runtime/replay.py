"""Run strategies in a market, recorded or simulated, in lock-step: the main job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from nautilus.core import COMMAND, Kernel
from nautilus.engines import CATALOGUE, QUANTITATIVE
from nautilus.engines.base import NoFeatureStore
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.strategy import Strategy, StrategyEngine
from nautilus.engines.trading import TradingConfig
from nautilus.model.errors import ConfigError, VenueError
from nautilus.model.topics import CORE_EVENTS
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.latency import parse_latency
from nautilus.runtime.lockstep import LockStep
from nautilus.runtime.matching import MatchingConfig
from nautilus.runtime.report import Progress, Report
from nautilus.runtime.sections import section_name
from nautilus.runtime.settings import LimitsConfig, LockStepConfig
from nautilus.runtime.sources import derives, open_source
from nautilus.runtime.strategies import load_strategies
from nautilus.runtime.tally import Tally
from nautilus.runtime.timing import TimedCore
from nautilus.simulation.config import RecordingConfig
from nautilus.simulation.source import MarketSource
from nautilus.store.no_feature_sets import NoFeatureSets

PROGRESS_NS = NANOSECONDS // 10
S = TypeVar("S", bound=msgspec.Struct)
OPEN_ORDERS = 1 << 18


def run(
    source: MarketSource | str | Path,
    strategies: Sequence[str | Strategy] = ("quoting",),
    *,
    sections: Mapping[str, msgspec.Struct] | None = None,
    seed: int | None = None,
    latency: str | None = None,
    for_seconds: float | None = None,
    market_seconds: float | None = None,
    journal: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Run strategies in a market.

    Parameters
    ----------
    source
        A market, or the path of a recording.
    strategies
        Strategies, their names, or ``file.py:Class``.
    sections
        Settings by section name (``lockstep``, ``limits``, ``risk``, ``quoting`` and so on); missing: the defaults.
    seed, latency
        Override the section ``lockstep``.
    for_seconds
        Stop after so much wall time.
    market_seconds
        Stop after so much virtual time.
    journal
        The core writes its journal here; None: none.
    progress
        Called about ten times a second.

    Raises
    ------
    NautilusError
        The recording, a setting or a strategy's name is wrong.
    """
    settings = sections or {}
    if isinstance(source, str | Path):
        source = open_source(source, section(settings, "recording", RecordingConfig))
    this = Run(source, strategies, settings, seed, latency, journal)
    try:
        return this.run(for_seconds, market_seconds, progress)
    finally:
        this.close()


class Run:
    """One run: a core, a market, the engines around it, and the tally."""

    def __init__(
        self,
        source: MarketSource,
        strategies: Sequence[str | Strategy],
        sections: Mapping[str, msgspec.Struct],
        seed: int | None,
        latency: str | None,
        journal: str | Path | None,
    ) -> None:
        self._started_ns = monotonic_ns()
        lockstep = section(sections, "lockstep", LockStepConfig)
        limits = section(sections, "limits", LimitsConfig)
        matching = section(sections, "matching", MatchingConfig)
        positions = section(sections, "portfolio", PortfolioConfig)
        clients = section(sections, "trading", TradingConfig).last_client_account
        self._seed = lockstep.seed if seed is None else seed
        self._latency = lockstep.latency if latency is None else latency
        self._source = source
        self._journal = str(journal) if journal is not None else None
        instruments = source.instruments()
        if not instruments:
            raise ConfigError("no instrument", where="market source", expected="at least one")

        services: dict[str, Any] = {
            "instruments": instruments,
            "strategies": load_strategies(strategies, sections),
            "feature_sets": NoFeatureSets(),
            "feature_store": NoFeatureStore(),
        }
        strategy_engine = CATALOGUE["strategy"].build(sections.get("strategy"), **services)
        assert isinstance(strategy_engine, StrategyEngine)
        self.strategies = strategy_engine
        accounts = [desk.account_id for desk in strategy_engine.desks]
        if accounts and not 1 <= accounts[0] <= accounts[-1] <= clients:
            raise ConfigError(
                f"accounts {accounts[0]} to {accounts[-1]}", where="strategy.first_account", expected=f"1 to {clients}"
            )
        self._kernel = Kernel(
            instruments=matching.instruments(instruments),
            accounts=np.concatenate(matching.accounts(accounts, positions) or [np.empty(0, COMMAND)]),
            limits=(*matching.limits(), *limits.limits(accounts, instruments)),
            capacity=OPEN_ORDERS,
            huge_pages=False,  # a run is short: memory kept small beats the last nanoseconds
            journal=journal,
        )
        core = services["core"] = TimedCore(self._kernel)
        hub = section(sections, "marketdata", MarketDataConfig)
        checks = hub.validate == "all" and not derives(source)  # as `runtime.market.hub_config` has it
        derive = msgspec.structs.replace(hub, derive=derives(source), checks=checks)
        engines = {
            name: entry.build(derive if name == "marketdata" else sections.get(section_name(name)), **services)
            for name, entry in CATALOGUE.items()
            # Nobody asks anything over HTTP here, and of engines of analysis only some may matter to a strategy.
            if name not in ("strategy", "gateway") and (name not in QUANTITATIVE or name in lockstep.engines)
        }
        engines["strategy"] = strategy_engine
        market_data = engines["marketdata"]
        assert isinstance(market_data, MarketDataEngine)
        gate = market_data.gate
        source.check = gate.passed if gate is not None else None
        portfolio = engines["portfolio"]
        assert isinstance(portfolio, PortfolioEngine)
        kernel = self._kernel
        self._host = LockStep(
            engines.values(), parse_latency(self._latency), self._seed, next_timer_ns=lambda: kernel.next_timer_ns
        )
        self._host.tap(CORE_EVENTS, source.on_events)
        self._tally = Tally(self._host, source, core, portfolio, strategy_engine)

    def run(
        self, for_seconds: float | None, market_seconds: float | None, progress: Callable[[Progress], None] | None
    ) -> Report:
        """Run until the market ends or a time is over, then stop the engines and report."""
        source, host = self._source, self._host
        source.attach(self._kernel)
        begin_ns = source.next_ns() or 0
        setup = source.setup()
        host.start(begin_ns)
        if len(setup):
            host.feed(setup)
        deadline_ns = None if for_seconds is None else self._started_ns + round(for_seconds * NANOSECONDS)
        until_ns = None if market_seconds is None else begin_ns + round(market_seconds * NANOSECONDS)
        next_progress_ns = 0

        def keep_on() -> bool:
            nonlocal next_progress_ns
            now_ns = monotonic_ns()
            if progress is not None and now_ns >= next_progress_ns:
                next_progress_ns = now_ns + PROGRESS_NS
                progress(self._tally.progress(begin_ns, self._seconds()))
            return deadline_ns is None or now_ns < deadline_ns

        broken = None
        try:
            host.run(source, until_ns, keep_on)
            complete = source.next_ns() is None
        except VenueError as error:
            # What lies before the fault was played, and is reported.
            complete, broken = False, str(error)
        host.stop()
        if progress is not None:
            progress(self._tally.progress(begin_ns, self._seconds()))
        self.close()
        return self._tally.report(
            begin_ns,
            self._seconds(),
            complete=complete,
            broken=broken,
            seed=self._seed,
            latency=self._latency,
            journal=self._journal,
        )

    def close(self) -> None:
        """Close the core's journal."""
        self._kernel.close()

    def _seconds(self) -> float:
        return (monotonic_ns() - self._started_ns) / NANOSECONDS


def section(sections: Mapping[str, msgspec.Struct], name: str, kind: type[S]) -> S:
    """The settings of a section; the defaults where it is missing."""
    found = sections.get(name)
    if found is None:
        return kind()
    if not isinstance(found, kind):
        raise ConfigError(f"section {name} is a {type(found).__name__}", expected=kind.__name__)
    return found
