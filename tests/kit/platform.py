"""A real platform for tests: started by the command line in private directories on free ports, all of it gone after."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np

from nautilus.core.eventlog import EventLog
from nautilus.core.region import start_of
from nautilus.core.types import EventKind
from nautilus.model.message import Message
from nautilus.model.queries import GetCoreState, GetPositions, GetStrategies, KillRequest
from nautilus.runtime.client import Client, EngineError, NotReachableError
from nautilus.runtime.clock import pause
from nautilus.runtime.instance import Instance
from nautilus.runtime.status import read_facts
from perf.platform import descendants, platform, run_cli
from tests.kit.bus_accounts import mesh_complaints, star_complaints

__all__ = ["PATIENT", "Platform", "demo", "run_cli"]

PATIENT = (
    "core.answer_ms=30000",
    "platform.handler_limit_ms=30000",
    "platform.start_seconds=240",
    "platform.stop_seconds=60",
    "http.answer_seconds=60",
    "protection.stretch=1000",
)
"""Settings of a platform whose processes may stand still for long: nothing is given up for being late."""
ANSWER_SECONDS = 60.0
NOT_TAKEN = "bus.risk_path"
"""An order is refused while risk is out of reach, a moment on a slow machine: not taken, to be sent again."""
TIMES = 100


class Platform:
    """A running instance, and what a test asks of it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @property
    def data(self) -> Path:
        return Path(self.instance.plan().data)

    def pid(self, process: str) -> int:
        """Of a process by its name in the plan, or of the ``template``."""
        state = self.instance.state()
        if process == "template":
            return state.template_pid
        return next(found.pid for found in state.processes if found.name == process)

    def restarts(self, process: str) -> int:
        return next(found.restarts for found in self.instance.state().processes if found.name == process)

    def is_ready(self, process: str) -> bool:
        return any(found.name == process and found.state == "ready" for found in self.instance.state().processes)

    @property
    def ports(self) -> dict[str, int]:
        return {engine: port for found in self.instance.state().processes for engine, port in found.ports.items()}

    def client(self, token: str | None = None) -> Client:
        own = self.instance.token() if token is None else token
        return Client(self.ports, token=own, timeout_seconds=ANSWER_SECONDS)

    def ask(self, engine: str, message: Message) -> dict[str, Any]:
        """The answer; what was not taken is sent again."""
        for _ in range(TIMES):
            try:
                return self.client().ask(engine, message)
            except EngineError as error:
                if error.code != NOT_TAKEN:
                    raise
            pause(0.05)
        raise AssertionError(f"no path to risk for {TIMES} requests")

    def try_ask(self, engine: str, message: Message) -> dict[str, Any] | None:
        """None while nobody answers."""
        try:
            return self.client().ask(engine, message, timeout_seconds=5.0)
        except (NotReachableError, TimeoutError):
            return None

    def wait(self, true: Callable[[], object], what: str, seconds: float = 120.0) -> float:
        """Until it is so; the seconds it took."""
        begun, pause = monotonic(), Event()
        while not true():
            if monotonic() - begun > seconds:
                raise AssertionError(f"no sign of {what} after {seconds:g} s")
            pause.wait(0.02)
        return monotonic() - begun

    def kill(self, process: str) -> float:
        """kill -9, and wait until another one is ready; the seconds it took."""
        pid = self.pid(process)
        os.kill(pid, signal.SIGKILL)
        if process == "template":
            return self.wait(lambda: self.pid("template") not in (0, pid), "another template")
        return self.wait(lambda: self.pid(process) not in (0, pid) and self.is_ready(process), f"another {process}")

    def freeze(self) -> None:
        """No order is taken any more: what is there can be compared."""
        self.ask("trading", KillRequest(True))

    def events(self) -> np.ndarray:
        """Every event of the event log, checked to be without a gap."""
        log, parts, first = EventLog(self.data / "events"), [], 1
        while len(records := log.read(first, 65_536)):
            parts.append(np.ascontiguousarray(records["event"]))
            first += len(records)
        events = np.concatenate(parts)
        assert events["sequence"].tolist() == list(range(1, len(events) + 1))
        return events

    def held(self, account_id: int) -> dict[str, Any]:
        """What an account holds: by the core, the portfolio engine, the fills in the event log, and its strategy."""
        core = self.ask("trading", GetCoreState((account_id,)))
        portfolio = self.ask("portfolio", GetPositions(account_id))
        fills = self.events()
        fills = fills[fills["kind"] == EventKind.FILLED]
        own, counter = fills["account_id"] == account_id, fills["counter_account_id"] == account_id
        signs = np.where(fills["side"] == 1, 1, -1)
        lots = int((signs * fills["quantity"])[own].sum() - (signs * fills["quantity"])[counter].sum())
        return {
            "core": [(p["instrument_id"], p["quantity"], p["cost"], p["realised"]) for p in core["positions"]],
            "portfolio": [
                (p["instrument_id"], p["quantity_lots"], p["cost_units"], p["realised_units"])
                for p in portfolio["positions"]
            ],
            "lots": lots,
            "fills": int(own.sum() + counter.sum()),
            "strategy_fills": [
                line["fills"]
                for line in self.ask("strategy", GetStrategies())["strategies"]
                if line["account_id"] == account_id
            ],
        }

    def agrees(self, account_id: int = 1) -> bool:
        """Core, portfolio and event log hold the same; the account's strategy has seen each fill once."""
        held = self.held(account_id)
        return bool(
            held["core"] == held["portfolio"]
            and sum(row[1] for row in held["core"]) == held["lots"]
            and held["strategy_fills"] in ([], [held["fills"]])
        )

    def bus_complaints(self) -> list[str]:
        """In what the two ends of star and mesh do not agree."""
        facts = read_facts(self.instance)
        return star_complaints(facts.positions.values(), facts.counters) + mesh_complaints(facts.counters)

    def compare_bus(self) -> None:
        """Both ends of star and mesh count the same, now or soon, whatever was done to the platform."""
        try:
            self.wait(lambda: not self.bus_complaints(), "two ends of the bus that agree")
        except AssertionError as error:
            raise AssertionError(f"{self.bus_complaints()} after all that was done") from error


@contextmanager
def demo(*arguments: str, settings: tuple[str, ...] = (), whole: bool = False) -> Iterator[Platform]:
    """The demo, or with other arguments another platform, patient unless set otherwise; nothing is left at the end.

    With the engines of analysis where it is to be `whole`.
    """
    given = arguments or ("--simulated", "--strategy", "quoting")
    with platform(*given, settings=(*PATIENT, *settings), whole=whole) as instance:
        found = Platform(instance)
        below = descendants(instance.pid)
        yield found
    left = [pid for pid in below if start_of(pid)]
    assert not left, f"processes {left} are left"
