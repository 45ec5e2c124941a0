"""The core closes the accounts at a venue whose session is gone: by a command, and once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.counters import Counters
from nautilus.core.eventlog import EventLog
from nautilus.core.journal_reader import JournalReader
from nautilus.core.port import OWN, Port
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import CommandKind, EventKind, OrderState, Side
from nautilus.core.venue_view import ExternalVenue, external_venues, venue_of
from nautilus.model.errors import ConfigError
from nautilus.trading.recovery import recover
from nautilus.trading.settings import Setup, unknown_only
from nautilus.trading.venue_orders import VenueOrders
from nautilus.trading.venue_watch import VenueWatch, Watched, has_open
from tests.kit import builders
from tests.kit.core import SLOTS, attach, carry_out, running

OPENING = builders.batch(
    builders.instrument(1),
    builders.instrument(7, venue_reference=9),
    builders.instrument(8, venue_reference=9),
    builders.instrument(5, venue_reference=200),
    *(builders.account(number) for number in (1, 2, 3)),
)
HOUR_NS = 3_600_000_000_000


def opened(account_id: int, instrument_id: int = 7) -> np.ndarray:
    """An account is reconciled."""
    return builders.command(CommandKind.VENUE_ACCEPTED, account_id=account_id, instrument_id=instrument_id)


def session_unknowns(directory: Path) -> list[int]:
    """Instruments of the commands in the journal by which the core closed accounts."""
    found: list[int] = []
    for item in JournalReader(directory / "data" / "journal", strict=False):
        if isinstance(item, np.ndarray):
            mine = (item["kind"] == CommandKind.VENUE_UNKNOWN) & (item["order_id"] == 0)
            found += item["instrument_id"][mine].tolist()
    return found


def look_until_closed(watch: VenueWatch, core: TradingCore) -> None:
    """A look sends, the next ones see what came of it."""
    for _ in range(100_000):
        watch.look()
        if not has_open(core.kernel):
            return
    raise AssertionError("still open")


def test_a_kernel_tells_its_external_venues_and_what_is_open_there() -> None:
    kernel = Kernel(accounts=(), capacity=64, huge_pages=False)
    assert external_venues(kernel) == []
    kernel.process(OPENING)
    kernel.process(builders.batch(opened(1), opened(3), opened(2, 5)))
    assert external_venues(kernel) == [ExternalVenue(9, 7, 2), ExternalVenue(200, 5, 1)]
    assert [venue_of(kernel, number) for number in (1, 5, 7, 99)] == [0, 200, 9, 0]
    kernel.process(builders.command(CommandKind.VENUE_UNKNOWN, instrument_id=8))
    assert external_venues(kernel) == [ExternalVenue(9, 7, 0), ExternalVenue(200, 5, 1)]


def test_a_slot_is_held_by_a_living_process_that_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        assert not core.holds("venue0")
        port = attach(core, "venue0")
        assert core.holds("venue0")
        assert core.holds("venue0", HOUR_NS)
        assert not core.holds("venue0", 1), "its last sign of life is longer ago"
        port.beat()
        assert core.holds("venue0", HOUR_NS)
        port.close()
        assert not core.holds("venue0")
        with pytest.raises(ValueError, match="nobody"):
            core.holds("nobody")


def test_a_session_that_dies_has_its_accounts_closed_by_a_command(tmp_path: Path) -> None:
    with running(tmp_path, slots=(*SLOTS, "watch")) as (core, _):
        client = attach(core, "client0")
        carry_out(client, OPENING)
        counters = Counters(path=str(tmp_path / "counters"))
        watch = VenueWatch(core, {9: Watched("venue0", 0)}, counters)
        child = os.fork()
        if child == 0:
            Port(core.directory, "venue0", OWN)
            os.kill(os.getpid(), 19)  # SIGSTOP: it holds the slot until it is killed
        os.waitpid(child, os.WUNTRACED)
        try:
            carry_out(client, builders.batch(opened(1), opened(2)))
            carry_out(client, builders.new(1, Side.BUY, 10, 5, instrument_id=7))
            watch.look()
            assert has_open(core.kernel)
            assert counters.snapshot()["venue.venue0.open_accounts"] == 2
            assert counters.snapshot()["venue.venue0.session_alive"] == 1
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
        look_until_closed(watch, core)
        watch.look()
        found = counters.snapshot()
        assert (found["venue.venue0.open_accounts"], found["venue.venue0.session_alive"]) == (0, 0)
        assert found["venue.venue0.closings"] == 1
        refused = carry_out(client, builders.new(2, Side.BUY, 10, 5, instrument_id=7))
        assert refused["event"]["kind"].tolist() == [EventKind.REJECTED]
        log = EventLog(core.log.path)
    assert session_unknowns(tmp_path) == [7], "once, in the journal"
    records = log.read(1, 1_000)
    orders = VenueOrders((7, 8))
    for event, cause in zip(records["event"].tolist(), records["kind"].tolist(), strict=True):
        orders.take(event, cause, 0)
    assert [order.state for order in orders.orders.values()] == [OrderState.UNKNOWN]


def test_a_session_that_hangs_is_gone_and_others_are_let_alone(tmp_path: Path) -> None:
    with running(tmp_path, slots=(*SLOTS, "watch", "venue1")) as (core, _):
        client = attach(core, "client0")
        carry_out(client, OPENING)
        hung, lives = attach(core, "venue0"), attach(core, "venue1")
        carry_out(client, builders.batch(opened(1), opened(2, 5)))
        counters = Counters(path=str(tmp_path / "counters"))
        watch = VenueWatch(core, {9: Watched("venue0", 1), 200: Watched("venue1", HOUR_NS)}, counters)
        for _ in range(100_000):
            watch.look()
            if external_venues(core.kernel) == [ExternalVenue(9, 7, 0), ExternalVenue(200, 5, 1)]:
                break
        assert external_venues(core.kernel) == [ExternalVenue(9, 7, 0), ExternalVenue(200, 5, 1)]
        assert counters.snapshot()["venue.venue1.closings"] == 0
        hung.close()
        lives.close()
    assert session_unknowns(tmp_path) == [7]


def test_a_venue_that_nobody_has_a_session_for_is_closed_too(tmp_path: Path) -> None:
    with running(tmp_path, slots=(*SLOTS, "watch")) as (core, _):
        carry_out(attach(core, "client0"), builders.batch(*np.split(OPENING, len(OPENING)), opened(1, 5)))
        watch = VenueWatch(core, {}, Counters(path=str(tmp_path / "counters")))
        watch.close_all()
        assert not has_open(core.kernel)
    assert session_unknowns(tmp_path) == [5]


def test_an_instrument_that_moves_to_another_venue_is_refused(tmp_path: Path) -> None:
    found = recover(str(tmp_path / "data"), policy="memory", open_orders=64, segment_bytes=1 << 20)
    try:
        found.kernel.process(OPENING)
        same = [
            Setup(CommandKind.INSTRUMENT, 7, builders.instrument(7, venue_reference=9).tobytes()),
            Setup(CommandKind.INSTRUMENT, 6, builders.instrument(6, venue_reference=9).tobytes()),
            Setup(CommandKind.ACCOUNT, 1, builders.account(1).tobytes()),
        ]
        assert unknown_only(found.kernel, same)["instrument_id"].tolist() == [6]
        for venue in (0, 200):
            moved = Setup(CommandKind.INSTRUMENT, 7, builders.instrument(7, venue_reference=venue).tobytes())
            with pytest.raises(ConfigError, match=f"instrument 7 trades at venue {venue}"):
                unknown_only(found.kernel, [moved])
    finally:
        found.log.close()
        found.journal.close()
