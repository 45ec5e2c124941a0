"""The whole platform with an external venue in a process of its own: orders go there, sessions are killed.

Here the platform's own session runs: configured, started and restarted by the supervisor, watched over by the core.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nautilus.core.eventlog import EventLog
from nautilus.core.types import CommandKind, EventKind, OrderState, Side
from nautilus.model.queries import AmendRequest, CancelRequest, GetCoreState, OrderRequest
from nautilus.model.venue import OrderKey
from nautilus.runtime.client import EngineError, NotReachableError
from nautilus.runtime.clock import pause
from nautilus.runtime.status import plain, read_status
from nautilus.trading.venue_orders import VenueOrders
from tests.kit.effort import one_of
from tests.kit.platform import Platform, demo, run_cli
from tests.kit.venue_checks import check_history

EXTERNAL = {"EXTUSD": 101, "EXTEUR": 102}
ACCOUNTS = (1, 2, 3)
SECONDS = 240.0


class Venue:
    """The venue's process, and a line of the test to it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.address = f"ipc://{directory / 'venue'}"
        numbers = [str(seed), *map(str, EXTERNAL.values())]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.venue_process", "venue", str(directory), *numbers]
        )
        self._line = socket.socket(socket.AF_UNIX)
        self._line.settimeout(SECONDS)
        while self._line.connect_ex(str(directory / "venue")):  # it is there before anybody listens on it
            assert self.process.poll() is None
            pause(0.01)
        self._file = self._line.makefile("rwb")

    def say(self, what: str) -> None:
        """Tell the venue."""
        self._file.write(json.dumps({"do": what}).encode() + b"\n")
        self._file.flush()

    def truth(self) -> dict[str, Any]:
        """What it knows."""
        self.say("truth")
        return dict(json.loads(self._file.readline()))

    def end(self) -> None:
        """No more."""
        self.process.kill()
        self.process.wait()
        self._file.close()
        self._line.close()


class History:
    """What the core's events say of the venue's orders."""

    def __init__(self, running: Platform) -> None:
        self._log = EventLog(running.data / "events")
        self.orders = VenueOrders(EXTERNAL.values())
        self.events: list[np.ndarray] = []
        self.kinds: list[np.ndarray] = []
        self.fills = self._read = 0

    def read(self) -> None:
        """What is new."""
        while len(records := self._log.read(self._read + 1, 65_536)):
            events, kinds = np.ascontiguousarray(records["event"]), records["kind"].copy()
            self._read += len(records)
            which = self.orders.concerns(events, kinds)
            for event, cause in zip(events[which].tolist(), kinds[which].tolist(), strict=True):
                self.orders.take(event, cause, 0)
            self.fills += int(((events["kind"] == EventKind.FILLED) & (kinds == CommandKind.VENUE_FILL)).sum())
            at_venue = np.isin(events["instrument_id"], list(EXTERNAL.values()))
            self.events.append(events[at_venue])
            self.kinds.append(kinds[at_venue])

    def settled(self, truth: dict[str, Any]) -> bool:
        """Nothing is under way, and both know the same."""
        self.read()
        ours = {
            key.client_id: [order.price_ticks, order.quantity, order.filled]
            for key, order in self.orders.orders.items()
        }
        quiet = all(order.state == OrderState.OPEN for order in self.orders.orders.values())
        return quiet and ours == truth["working"] and self.fills == truth["executions"]


@contextmanager
def platform_with(seed: int = 1, without: str = "", **times: float) -> Iterator[tuple[Platform, Venue]]:
    """A platform without a market of its own, whose orders go to the venue."""
    with tempfile.TemporaryDirectory(prefix="nv-") as place:
        venue = Venue(Path(place), seed)
        instruments = [
            {"instrument_id": number, "symbol": symbol, "tick": "0.01", "lot": "1", "quote": symbol[3:]}
            for symbol, number in EXTERNAL.items()
        ]
        known = {"answer_seconds": 0.5, "ask_seconds": 0.2, "missing_seconds": 0.1, "silence_seconds": 2.0, **times}
        settings = (
            "venue0.adapter=lines",
            "venue0.venue_id=9",
            f"venue0.address={venue.address}",
            f"venue0.instruments={json.dumps(instruments)}",
            f"venue0.accounts={json.dumps(ACCOUNTS)}",
            "limits.message_rate=0",
            *(f"venue0.{name}={value}" for name, value in known.items()),
        )
        try:
            left_out = ("--without", without) if without else ()
            with demo("--profile", "compact", *left_out, settings=settings) as running:
                yield running, venue
        finally:
            venue.end()


def status_of(running: Platform) -> dict[str, Any]:
    """The status object."""
    return dict(plain(read_status(running.instance)))


def venue_of(running: Platform) -> dict[str, Any]:
    """Of the status object."""
    return dict(status_of(running)["venues"]["venue0"])


def open_accounts_shown(running: Platform) -> list[tuple[dict[str, str], float]]:
    """By /metrics, which says it of the core alone."""
    families = text_string_to_metric_families(page(running, "/metrics"))
    samples = [sample for family in families for sample in family.samples]
    return [(each.labels, each.value) for each in samples if each.name == "nautilus_venue_open_accounts"]


def is_live(running: Platform) -> bool:
    return venue_of(running)["session"] == "live" and venue_of(running)["open_accounts"] == len(ACCOUNTS)


def order(symbol: str = "EXTUSD", account_id: int = 1, price: str = "1.00", quantity: str = "5") -> OrderRequest:
    return OrderRequest(symbol, Side.BUY, quantity, price, account_id=account_id)


def page(running: Platform, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", running.ports["trading"], timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def client_id(order_id: int, account_id: int = 1, instrument_id: int = 101) -> str:
    return OrderKey(account_id, order_id, instrument_id).client_id


def test_a_killed_session_leaves_its_accounts_closed_until_everything_is_known_again() -> None:
    with platform_with(heartbeat_seconds=60.0, silence_seconds=60.0) as (running, venue):
        venue.say("calm")
        running.wait(lambda: is_live(running), "a session that is live", SECONDS)
        name = ("--instance", running.instance.name)
        placed = [running.ask("trading", order()) for _ in range(2)]
        line = ("order", "submit", "EXTUSD", "buy", "5", "--price", "1.00", "--account", "1")
        placed.append(json.loads(run_cli(*line, *name, "--json")))
        assert [found["status"] for found in placed] == ["routed"] * 3
        ids = [client_id(found["order_id"]) for found in placed]
        history = History(running)
        running.wait(
            lambda: history.settled(venue.truth()) and set(venue.truth()["working"]) == set(ids), "orders there"
        )
        running.wait(lambda: status_of(running)["status"] == "healthy", "a platform that is well")
        running.wait(
            lambda: re.search(
                r"^venue0 +name venue0, 9 venue id, session live, 3 open accounts", run_cli("status", *name), re.M
            ),
            "the venue in the status",
        )
        listed = json.loads(run_cli("order", "list", "--account", "1", *name, "--json"))["orders"]
        assert {line["order_id"] for line in listed} == {found["order_id"] for found in placed}

        venue.process.send_signal(signal.SIGSTOP)
        before = running.pid("venue0")
        os.kill(before, signal.SIGKILL)
        running.wait(lambda: running.pid("venue0") not in (0, before), "another session")
        running.wait(lambda: venue_of(running)["open_accounts"] == 0, "accounts that are closed")
        refused = running.ask("trading", order())
        assert (refused["status"], refused["reason"]) == ("rejected", "RECONCILE")
        cancelled = running.ask("trading", CancelRequest(placed[0]["order_id"], account_id=1))
        assert cancelled["status"] != "rejected"
        running.wait(
            lambda: (
                "accounts are closed" in (health := page(running, "/health"))
                and json.loads(health)["status"] == "degraded"
            ),
            "a warning in /health",
        )
        closed = ({"process": "core", "venue": "venue0"}, 0)
        running.wait(lambda: open_accounts_shown(running) == [closed], "closed accounts in /metrics")
        running.wait(
            lambda: (found := status_of(running))["status"] == "degraded" and found["orders"]["unknown"] == 3,
            "three orders that nobody knows of",
        )

        venue.process.send_signal(signal.SIGCONT)
        running.wait(lambda: is_live(running), "a session that is live again", SECONDS)
        last = running.ask("trading", order(quantity="7"))
        assert last["status"] == "routed"
        running.wait(lambda: history.settled(venue.truth()), "the same orders here and there", SECONDS)
        truth = venue.truth()
        assert set(truth["working"]) == {ids[1], ids[2], client_id(last["order_id"])}
        assert set(truth["submits"].values()) == {1}
        assert all(truth["queries"][each] for each in ids)
        assert not check_history(np.concatenate(history.events), np.concatenate(history.kinds))
        running.wait(lambda: "accounts are closed" not in page(running, "/health"), "no warning any more")
        running.wait(lambda: status_of(running)["orders"]["unknown"] == 0, "no order that nobody knows of")


@pytest.mark.long
def test_a_session_that_hangs_is_called_gone_and_asks_after_everything_when_it_wakes() -> None:
    with platform_with(heartbeat_seconds=3.0, silence_seconds=60.0) as (running, venue):
        venue.say("calm")
        running.wait(lambda: is_live(running), "a session that is live", SECONDS)
        closings = venue_of(running)["closings"]
        first = running.ask("trading", order())
        assert first["status"] == "routed"
        running.wait(
            lambda: client_id(first["order_id"]) in venue.truth()["working"], "an order that is there", SECONDS
        )
        pid = running.pid("venue0")
        os.kill(pid, signal.SIGSTOP)
        late = running.ask("trading", order(price="1.01"))
        running.wait(
            lambda: (
                (found := venue_of(running))["closings"] > closings
                and (found["session"], found["open_accounts"]) == ("gone", 0)
            ),
            "a core that closes the accounts",
        )
        assert running.ask("trading", order())["reason"] == "RECONCILE"
        os.kill(pid, signal.SIGCONT)
        running.wait(lambda: is_live(running), "a session that is live again", SECONDS)
        assert running.pid("venue0") == pid
        history = History(running)
        running.wait(lambda: history.settled(venue.truth()), "the same orders here and there", SECONDS)
        truth = venue.truth()
        assert set(truth["submits"].values()) == {1}
        # The one that was routed while nobody read was sent, once, or it never was and came back refused.
        assert set(truth["working"]) in (
            {client_id(first["order_id"])},
            {client_id(first["order_id"]), client_id(late["order_id"])},
        )


@pytest.mark.long
def test_a_session_that_was_left_out_runs_in_the_foreground() -> None:
    with platform_with(without="venue0") as (running, venue):
        venue.say("calm")
        name = ("--instance", running.instance.name)
        assert "venue0" not in {process.name for process in running.instance.state().processes}
        assert plain(read_status(running.instance))["status"] == "degraded"
        assert running.ask("trading", order())["reason"] == "RECONCILE"
        words = [sys.executable, "-m", "nautilus", "engine", "run", "venue0", *name]
        for life in (1, 2):  # and once more: what the first life left is known to the second
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as apart:
                assert apart.stdout is not None
                assert re.fullmatch(r"venue0 is ready \(pid \d+\)\n", apart.stdout.readline())
                running.wait(lambda: is_live(running), "a session that is live", SECONDS)
                running.wait(lambda: plain(read_status(running.instance))["status"] == "healthy", "health", SECONDS)
                assert running.ask("trading", order())["status"] == "routed"
                # A session that ends with a request unread does not send it: the order is asked after.
                running.wait(lambda n=life: len(venue.truth()["submits"]) == n, "an order at the venue", SECONDS)
                apart.send_signal(signal.SIGTERM)
                assert apart.wait(SECONDS) == 0
            running.wait(lambda: venue_of(running)["open_accounts"] == 0, "accounts that are closed", SECONDS)
            assert running.ask("trading", order())["reason"] == "RECONCILE"
        assert set(venue.truth()["submits"].values()) == {1}
        assert len(venue.truth()["submits"]) == 2
        history = History(running)
        history.read()
        assert sum(int((events["kind"] == EventKind.ROUTED).sum()) for events in history.events) == 2


def trade(running: Platform, random: Random, known: list[tuple[int, int]]) -> None:
    """One request of a person, whatever becomes of it."""
    account, symbol = random.choice(ACCOUNTS), random.choice(list(EXTERNAL))
    request: Any
    if known and random.random() < 0.3:
        order_id, account = random.choice(known)
        request = CancelRequest(order_id, account_id=account)
    elif known and random.random() < 0.2:
        order_id, account = random.choice(known)
        request = AmendRequest(order_id, account_id=account, quantity=str(random.randint(1, 30)), price="1.00")
    else:
        side = random.choice((Side.BUY, Side.SELL))
        quantity, price = str(random.randint(1, 20)), f"{random.randint(90, 110) / 100:.2f}"
        request = OrderRequest(symbol, side, quantity, price, account_id=account)
    with suppress(EngineError, NotReachableError, TimeoutError):
        found = running.ask("trading", request)
        if found["status"] == "routed":
            known.append((found["order_id"], account))


@pytest.mark.parametrize("seed", one_of(1, 2))
def test_end_states_are_the_venues_whatever_is_killed_while_it_misbehaves(seed: int) -> None:
    random = Random(seed)
    with platform_with(seed, heartbeat_seconds=1.0) as (running, venue):
        known: list[tuple[int, int]] = []
        for victims in (("venue0",), ("core",), ("venue0", "core"), ("venue0",), ()):
            begun = len(known)
            running.wait(
                lambda begun=begun: trade(running, random, known) or len(known) >= begun + 15, "orders", SECONDS
            )
            pids = {victim: running.pid(victim) for victim in victims}
            for pid in pids.values():
                os.kill(pid, signal.SIGKILL)
            for victim, pid in pids.items():
                running.wait(lambda v=victim, pid=pid: running.pid(v) not in (0, pid), f"another {victim}", SECONDS)
        venue.say("calm")
        history = History(running)
        running.wait(lambda: is_live(running) and history.settled(venue.truth()), "the same here and there", SECONDS)
        truth = venue.truth()
        held = {
            (account, position["instrument_id"]): position["quantity"]
            for account in ACCOUNTS
            for position in running.ask("trading", GetCoreState((account,)))["positions"]
            if position["quantity"]
        }
        assert held == {(account, number): lots for account, number, lots in truth["positions"]}
        assert set(truth["submits"].values()) == {1}
        assert not check_history(np.concatenate(history.events), np.concatenate(history.kinds))
        assert truth["executions"] > 10
        assert truth["sessions"] > 4
