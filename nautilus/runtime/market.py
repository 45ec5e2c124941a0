"""The market of a plan: what plays and what trades there, what the core has to know of it, who plays it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nautilus.core.port import PortError, core_facts
from nautilus.core.types import CommandKind
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.portfolio import PortfolioConfig
from nautilus.engines.strategy import StrategyConfig
from nautilus.engines.trading import TradingConfig
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.clock import PlatformClock
from nautilus.runtime.market_driver import MarketDriver
from nautilus.runtime.market_name import MarketName, market_name
from nautilus.runtime.matching import MatchingConfig
from nautilus.runtime.plan import Plan
from nautilus.runtime.settings import LimitsConfig
from nautilus.runtime.sources import begin_ns_of, derives, open_source
from nautilus.runtime.venues import venue_instruments
from nautilus.simulation import MarketSource, RecordingConfig, SimulatedSource, SimulationConfig
from nautilus.simulation.market import INSTRUMENT
from nautilus.trading.client import CoreClient
from nautilus.trading.epochs import read_epoch

if TYPE_CHECKING:
    from nautilus.runtime.live import LiveHost
    from nautilus.trading.settings import Setup

NONE, SIMULATED = "none", "simulated"
SOURCE_ID = 4
"""The market's participants, as a sender of commands."""
SLOT = "marketdata"
CLIENT_ACCOUNTS = range(1, 17)
"""Open for people and other programs, besides those of the strategies."""
_FOLLOWED = ("ready", "not ready")
_LOGGER = logging.getLogger("nautilus.runtime")


def open_market(plan: Plan) -> MarketSource | None:
    """The market source of a plan; None where only clients trade.

    Raises
    ------
    FormatError
        The recording is none that is known, or cannot be read.
    """
    if plan.market == NONE:
        return None
    if plan.market == SIMULATED:
        return SimulatedSource(seed=plan.seed, config=plan.config("simulation", SimulationConfig))
    name = market_name(plan.market)
    if name.kind == "live":
        return open_live(plan, name)
    if name.kind == "ticks":
        from nautilus.runtime.tick_source import TickSource

        config = plan.config("marketdata", MarketDataConfig)
        return TickSource(
            name.paths[0], plan.listed, config, Path(plan.data, "ticks.position"), PlatformClock(plan.clock).now_ns
        )
    return open_source(name, plan.config("recording", RecordingConfig))


def open_live(plan: Plan, name: MarketName) -> MarketSource:
    """A live market; it listens once it is attached."""
    from nautilus.adapters.sources.binance_config import BinanceConfig
    from nautilus.runtime.live_feed import FeedSettings, steps_of
    from nautilus.runtime.live_source import LiveSource

    config = plan.config(section_of(name.venue), BinanceConfig)
    instruments = {each.symbol: each.instrument_id for each in plan.listed}
    settings = FeedSettings(
        name.venue,
        msgspec.to_builtins(config),
        instruments,
        plan.clock,
        plan.data,
        steps_of(plan.listed),
    )
    cancel = plan.config("recording", RecordingConfig).cancel
    return LiveSource(plan.listed, settings, PlatformClock(plan.clock).now_ns, cancel=cancel)


def section_of(venue: str) -> str:
    """Section of the settings of a live venue."""
    return venue.replace("-", "_")


def instruments_of(plan: Plan) -> tuple[Instrument, ...]:
    """What trades in a plan, here and at external venues; without a market the simulated one's instrument."""
    if plan.market in (NONE, SIMULATED):
        own: tuple[Instrument, ...] = (INSTRUMENT,)
    elif plan.listed:
        own = plan.listed
    else:
        source = open_market(plan)
        assert source is not None
        own = source.instruments()
    return (*own, *venue_instruments(plan, own))


def market_begin_ns(path: str | Path, config: RecordingConfig | None = None) -> int:
    """Receive stamp of the first record of a market that was recorded or stored; only heads are read."""
    return begin_ns_of(market_name(str(path)), config)


def hub_config(plan: Plan) -> MarketDataConfig:
    """Settings of the hub: a recording brings its own market data, else they come of the core's events."""
    name, config = market_name(plan.market), plan.config("marketdata", MarketDataConfig)
    checks = config.validate == "all" or (config.validate == "live" and name.lives)
    return msgspec.structs.replace(config, derive=name.derives, checks=checks and not name.derives)


def setup_commands(plan: Plan) -> list[Setup]:
    """What the core is set up with: instruments, accounts and limits of strategies and clients, the market's own.

    Raises
    ------
    ConfigError
        A strategy's account is none that clients may have, or an instrument of a venue is there already.
    """
    from nautilus.trading.settings import Setup

    source = open_market(plan)
    matching = plan.config("matching", MatchingConfig)
    own = matching.instruments((INSTRUMENT,) if source is None else source.instruments())
    instruments = (*own, *venue_instruments(plan, own))
    accounts = client_accounts(plan)
    parts: list[Records] = [instrument.to_commands() for instrument in instruments]
    parts += matching.accounts(accounts, plan.config("portfolio", PortfolioConfig))
    parts += [limits.to_commands() for limits in matching.limits()]
    parts += [limits.to_commands() for limits in plan.config("limits", LimitsConfig).limits(accounts, instruments)]
    if source is not None:
        parts.append(source.setup())
    keys = {CommandKind.INSTRUMENT: "instrument_id", CommandKind.ACCOUNT: "account_id"}
    found = []
    for row in (row for part in parts for row in part):
        kind = CommandKind(int(row["kind"]))
        found.append(Setup(kind, int(row[keys[kind]]) if kind in keys else 0, row.tobytes()))
    return found


def client_accounts(plan: Plan) -> tuple[int, ...]:
    """Accounts of the strategies, and those that are open for others."""
    first = plan.config("strategy", StrategyConfig).first_account
    last = plan.config("trading", TradingConfig).last_client_account
    own = range(first, first + len(plan.strategies))
    if own and not 1 <= own[0] <= own[-1] <= last:
        raise ConfigError(f"accounts {own[0]} to {own[-1]}", where="strategy.first_account", expected=f"1 to {last}")
    return tuple(sorted({*own, *(account_id for account_id in CLIENT_ACCOUNTS if account_id <= last)}))


def market_part(host: LiveHost, plan: Plan, finished: Callable[[str], object] | None = None) -> MarketDriver:
    """The part of the hub's process that plays the market and feeds the hub; to be put into `LiveHost.parts`.

    `finished`: called when the market has come to its end, with what ended it early ("": nothing).
    """
    source = open_market(plan)
    assert source is None or derives(source) == hub_config(plan).derive
    number = plan.hubs.index(host.hub.name) if host.hub is not None and plan.standbys else 0
    return MarketDriver(
        host,
        host.contexts[MarketDataEngine.name],
        lambda hub: connect(plan, hub, slot_of(number)),
        source,
        host.counters,
        name=market_name(plan.market).title,
        speed=plan.speed,
        directory=plan.directory,
        epoch=plan.epoch,
        finished=finished,
    )


def slot_of(number: int) -> str:
    """The place at the core of one of the processes that may be the hub: one that is stopped keeps its own."""
    return f"{SLOT}{number + 1}" if number else SLOT


def connect(plan: Plan, hub: MarketDataEngine, slot: str = SLOT) -> CoreClient | None:
    """The hub's line to the core, with the events that it lacks; None while there is no core."""
    from nautilus.trading.process import event_log

    try:
        facts = core_facts(plan.shared)
    except (PortError, OSError):
        return None
    if not facts["alive"] or facts["state"] not in _FOLLOWED:
        return None
    if hub.last_sequence > facts["events"]:
        _LOGGER.error("books of event %d, but the core has %d: built anew", hub.last_sequence, facts["events"])
        hub.restore({"last_sequence": 0, "books": []})
    return CoreClient(
        plan.shared,
        slot,
        source_id=SOURCE_ID,
        log=event_log(plan.data),
        after=hub.last_sequence,
        least_epoch=read_epoch(plan.data).epoch,
    )
