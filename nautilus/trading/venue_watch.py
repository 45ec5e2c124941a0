"""Closes the accounts at a venue whose session is gone: a command in the journal, as everything that changes the core.

Threading contract: the thread of the core's process. It looks ten times a second whether each venue where accounts may
trade has a session: a living process on its slot, that says so. Where it has none VENUE_UNKNOWN is sent: the accounts
are closed to new orders there and every order at the venue is UNKNOWN, until a session has asked after all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.eventlog import DELIVERY
from nautilus.core.kernel import Kernel
from nautilus.core.port import OWN, Port
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import COMMAND, CommandKind
from nautilus.core.venue_view import external_venues
from nautilus.model.errors import InternalError

_LOG = logging.getLogger("nautilus.trading")
WATCH_SLOT = "watch"
AGAIN_NS = 1_000_000_000
"""A command that was not carried out is sent again after this time."""
START_NS = 10_000_000_000


class Watched(NamedTuple):
    """A venue that has a session.

    Attributes
    ----------
    slot : of its session; also its name in counters.
    silence_ns : a session that has not moved for so long is called gone.
    """

    slot: str
    silence_ns: int


def has_open(kernel: Kernel) -> bool:
    """Whether accounts may trade at an external venue."""
    return any(venue.open_accounts for venue in external_venues(kernel))


class VenueWatch:
    """Looks after the sessions of a core.

    Parameters
    ----------
    venues
        By venue id. Any other venue has no session, and its accounts are closed too.
    counters
        Of the core's process.
    """

    def __init__(self, core: TradingCore, venues: Mapping[int, Watched], counters: Counters) -> None:
        self._core = core
        self._venues = venues
        self._port: Port | None = None
        self._counters = counters
        self._out = np.zeros(256, DELIVERY)
        self._sent_ns: dict[int, int] = {}
        names = {venue_id: venues[venue_id].slot if venue_id in venues else str(venue_id) for venue_id in range(1, 256)}
        self._names = names
        self._closings: dict[int, int] = {}
        self._gauges: dict[int, tuple[int, int]] = {}
        for venue_id in venues:
            self._show(venue_id, 0, False)

    def look(self) -> None:
        """Close what has to be closed, and show how it is."""
        found = external_venues(self._core.kernel)
        if not found:
            return
        if self._port is not None:
            while self._port.receive(self._out):
                pass  # answers; what came of it is seen in the kernel
        for venue in found:
            watched = self._venues.get(venue.venue_id)
            lives = watched is not None and self._core.holds(watched.slot, watched.silence_ns)
            if venue.open_accounts and not lives:
                self._close(venue.venue_id, venue.instrument_id, venue.open_accounts)
            if watched is not None:
                self._show(venue.venue_id, venue.open_accounts, lives)

    def close_all(self) -> None:
        """At the start of a core, before it takes orders: no session of the life before counts.

        Raises
        ------
        InternalError
            The core does not carry it out.
        """
        end_ns = now_ns() + START_NS
        while has_open(self._core.kernel):
            self.look()
            if self._port is not None:
                self._port.receive(self._out, 1_000_000)
            if now_ns() > end_ns:
                raise InternalError("accounts at external venues are not closed", expected="a core that takes commands")

    def _close(self, venue_id: int, instrument_id: int, accounts: int) -> None:
        now = now_ns()
        if now - self._sent_ns.get(venue_id, -AGAIN_NS) < AGAIN_NS:
            return
        if self._port is None:
            self._port = Port(self._core.directory, WATCH_SLOT, OWN)
        row = np.zeros(1, COMMAND)
        row["kind"], row["instrument_id"] = CommandKind.VENUE_UNKNOWN, instrument_id
        if not self._port.send(row):
            return
        self._sent_ns[venue_id] = now
        name = self._names[venue_id]
        _LOG.warning(
            "%s has no session: %d accounts are closed there until they are reconciled",
            f"venue {venue_id}" if name == str(venue_id) else f"venue {venue_id} ({name})",
            accounts,
        )
        if venue_id not in self._closings:
            self._closings[venue_id] = self._counters.counter(f"venue.{name}.closings")
        self._counters.increment(self._closings[venue_id])

    def _show(self, venue_id: int, accounts: int, lives: bool) -> None:
        counters = self._counters
        if venue_id not in self._gauges:
            name = self._names[venue_id]
            self._gauges[venue_id] = (
                counters.gauge(f"venue.{name}.open_accounts"),
                counters.gauge(f"venue.{name}.session_alive"),
            )
            self._closings[venue_id] = counters.counter(f"venue.{name}.closings")
        opened, alive = self._gauges[venue_id]
        counters.set(opened, accounts)
        counters.set(alive, lives)
