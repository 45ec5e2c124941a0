"""External venues of a plan: what the core and its clients know of them, the process of each session, how they are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nautilus.core.counters import Counters
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.model.venue import VenueAdapter, VenuePlace
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.plan import Plan
from nautilus.runtime.states import READY, SEEN
from nautilus.runtime.venue_settings import VENUES, VenueConfig, check_venues

if TYPE_CHECKING:
    from nautilus.runtime.control import Control
    from nautilus.trading.venue_session import VenueSession
    from nautilus.trading.venue_watch import Watched

ADAPTERS = {"lines": "nautilus.adapters.lines:LinesAdapter"}
WAIT_NS = 20_000_000
MIRROR_NS = 100_000_000
END_NS = NANOSECONDS
STATES = {1: "begun", 2: "connecting", 3: "recovering", 4: "reconciling", 5: "live"}
"""As `SessionState` has them."""


def venues_of(plan: Plan) -> dict[str, VenueConfig]:
    """The venues of a plan by their sections; those without an adapter are none."""
    found = {section: plan.config(section, VenueConfig) for section in VENUES}
    return {section: config for section, config in found.items() if config.adapter}


def venue_instruments(plan: Plan, others: tuple[Instrument, ...]) -> tuple[Instrument, ...]:
    """What trades at external venues, beside the others.

    Raises
    ------
    ConfigError
        A venue or an instrument is there twice.
    """
    venues = venues_of(plan)
    check_venues(venues, {other.instrument_id: other.symbol for other in others})
    return tuple(instrument for section, config in venues.items() for instrument in config.known(section))


def watched_venues(plan: Plan) -> dict[int, Watched]:
    """What the core watches over, by venue id."""
    from nautilus.trading.venue_watch import Watched

    return {
        config.venue_id: Watched(section, int(config.heartbeat_seconds * NANOSECONDS))
        for section, config in venues_of(plan).items()
    }


def make_adapter(section: str, config: VenueConfig) -> VenueAdapter:
    """The adapter of a venue.

    Raises
    ------
    ConfigError
        There is none of that name, or it cannot be made.
    """
    place, colon, name = ADAPTERS.get(config.adapter, config.adapter).rpartition(":")
    known = ", ".join(ADAPTERS)
    if not colon:
        raise ConfigError(f"adapter {config.adapter!r}", where=section, expected=f"{known} or package.module:Class")
    venue = VenuePlace(
        config.venue_id,
        config.address,
        connect_ns=int(config.connect_seconds * NANOSECONDS),
        silence_ns=int(config.silence_seconds * NANOSECONDS),
        missing_ns=int(config.missing_seconds * NANOSECONDS),
    )
    try:
        made: VenueAdapter = getattr(importlib.import_module(place), name)(venue)
    except ConfigError:
        raise
    except Exception as error:  # a class of somebody else's may raise anything
        raise ConfigError(
            f"adapter {config.adapter!r} cannot be made: {type(error).__name__}: {error}",
            where=section,
            expected=f"{known} or a class that is made with a VenuePlace",
        ) from error
    return made


def run_venue(plan: Plan, name: str, control: Control) -> int:
    """Run a venue's session until told to stop; the exit code."""
    from nautilus.runtime.market import client_accounts
    from nautilus.runtime.watchdog import Watchdog
    from nautilus.trading.client import CoreClient
    from nautilus.trading.epochs import read_epoch
    from nautilus.trading.process import event_log
    from nautilus.trading.venue_session import VENUE_SOURCES, VenueSession

    config = plan.config(name, VenueConfig)
    client = CoreClient(
        plan.shared,
        name,
        source_id=VENUE_SOURCES | config.venue_id,
        log=event_log(plan.data),
        least_epoch=read_epoch(plan.data).epoch,
    )
    session = VenueSession(
        make_adapter(name, config),
        client,
        [instrument.instrument_id for instrument in config.instruments],
        patience_ns=int(config.answer_seconds * NANOSECONDS),
        ask_every_ns=int(config.ask_seconds * NANOSECONDS),
        accounts=config.accounts or client_accounts(plan),
    )
    meters = SessionMeters(name, session, Counters(path=plan.counters_of(name)))
    turns = Turns()
    watchdog = Watchdog(int(config.heartbeat_seconds * 100), turns.current, partial(str, f"the session of {name}"))
    watchdog.start()
    try:
        meters.show(at_once=True)
        control.ready({})
        while not control.stop_requested:
            with turns:
                session.step()
            meters.show()
            session.wait(WAIT_NS, control.fileno())
            control.poll()
        session.end(END_NS)
        meters.show(at_once=True)
    finally:
        watchdog.stop()
        session.close()
    return 0


class Turns:
    """Numbers the turns of a session, for the watchdog: 0 between them."""

    def __init__(self) -> None:
        self._count = self._current = 0

    def current(self) -> int:
        """The turn that is being taken."""
        return self._current

    def __enter__(self) -> None:
        self._count += 1
        self._current = self._count

    def __exit__(self, *raised: object) -> None:
        self._current = 0


class SessionMeters:
    """How a session is, in shared counters."""

    def __init__(self, name: str, session: VenueSession, counters: Counters) -> None:
        self._session, self._counters = session, counters
        self._shown_ns = 0
        self._gauges: dict[str, tuple[int, Callable[[], int]]] = {
            READY: (counters.gauge(READY), lambda: session.live),
            SEEN: (counters.gauge(SEEN), wall_ns),
        }
        shown: dict[str, Callable[[], int]] = {
            "state": lambda: int(session.state),
            "orders_open": lambda: len(session.orders),
            "orders_unknown": lambda: sum(1 for _ in session.orders.unknown()),
            "accounts_reconciled": lambda: session.reconciled,
            "reports_under_way": lambda: session.under_way,
            "strays_open": lambda: session.straying,
        }
        for what, value in shown.items():
            self._gauges[what] = (counters.gauge(f"venue.{name}.{what}"), value)
        # Counters go on over the lives of the process.
        counted: dict[str, Callable[[], int]] = {
            "lines_lost": lambda: session.lost,
            "strays": lambda: session.strays,
            "foreign_reports": lambda: getattr(session.adapter, "foreign", 0),
        }
        self._counts = [(counters.counter(f"venue.{name}.{what}"), value) for what, value in counted.items()]
        self._counted = [0] * len(self._counts)

    def show(self, *, at_once: bool = False) -> None:
        """Bring them up to date, ten times a second."""
        now = wall_ns()
        if now - self._shown_ns < MIRROR_NS and not at_once:
            return
        self._shown_ns = now
        for gauge, value in self._gauges.values():
            self._counters.set(gauge, value())
        for place, (counter, value) in enumerate(self._counts):
            self._counters.add(counter, value() - self._counted[place])
            self._counted[place] = value()


def venues_status(plan: Plan, counters: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Any]]:
    """How the venues are, by section, from the counters of each process; empty where there are none.

    Whether accounts are open is the core's word; the rest is what the session last said of itself.
    """
    found: dict[str, dict[str, Any]] = {}
    core = counters.get("core", {})
    for section, config in venues_of(plan).items():
        own = counters.get(section, {})
        alive = bool(core.get(f"venue.{section}.session_alive"))
        found[section] = {
            "name": config.name or section,
            "venue_id": config.venue_id,
            "session": STATES.get(own.get(f"venue.{section}.state", 0), "begun") if alive else "gone",
            "open_accounts": core.get(f"venue.{section}.open_accounts", 0),
            "closings": core.get(f"venue.{section}.closings", 0),
            **{
                what: own.get(f"venue.{section}.{what}", 0)
                for what in ("orders_open", "orders_unknown", "lines_lost", "strays")
            },
        }
    return found


def venue_warnings(plan: Plan) -> list[str]:
    """What is wrong with the venues, for `/health`."""
    counters: dict[str, Mapping[str, int]] = {}
    for name in ("core", *venues_of(plan)):
        try:
            counters[name] = Counters.read(plan.counters_of(name))
        except (OSError, ValueError):
            counters[name] = {}
    found = []
    for section, status in venues_status(plan, counters).items():
        if status["session"] == "gone":
            found.append(f"{section}: no session; its accounts are closed until they are reconciled")
        elif status["session"] != "live":
            found.append(f"{section}: session {status['session']}; its accounts are closed until they are reconciled")
    return found
