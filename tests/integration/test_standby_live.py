"""The commands of a standby, on whole platforms: one is kept, promoted, and trades on; the core before does not."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.core.eventlog import EventLog
from nautilus.core.types import EventKind
from nautilus.runtime.clock import monotonic_ns, pause
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.status import plain, read_status
from perf.platform import private_place, run_cli
from tests.kit.platform import PATIENT

SETTINGS = ("platform.ports=free", "platform.processes=compact", "limits.message_rate=0")


@contextmanager
def two() -> Iterator[tuple[str, str, str]]:
    """Names of two instances of one place, and an address; both are down at the end."""
    with private_place() as name, tempfile.TemporaryDirectory(prefix="ns-") as directory:
        names = (f"{name}a", f"{name}b")
        try:
            yield (*names, f"ipc://{directory}/stream")
        finally:
            for each in names:
                if status(each):
                    run_cli("down", "--instance", each, "--timeout", "240")


def up(name: str, *arguments: str, settings: tuple[str, ...] = ()) -> None:
    sets = [word for setting in (*PATIENT, *SETTINGS, *settings) for word in ("--set", setting)]
    run_cli("up", "--detach", "--simulated", "--strategy", "quoting", "--instance", name, *sets, *arguments)


def status(name: str) -> dict[str, Any]:
    """The object of `nautilus status --json`; empty where the instance is not there, or only starting."""
    try:
        found: dict[str, Any] = plain(read_status(Instance.find(name)))
    except NotRunningError:
        return {}
    return found


def wait(name: str, true: Callable[[dict[str, Any]], object], what: str, seconds: float = 120.0) -> dict[str, Any]:
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not ((found := status(name)) and true(found)):
        assert monotonic_ns() < end_ns, f"no sign of {what} within {seconds:g} s: {found}; {last_words(name)}"
        pause(0.1)
    return found


def last_words(name: str) -> str:
    """What its supervisor said last."""
    logs = data_of(name) / "logs"
    said = [path.read_text()[-1500:] for path in (logs / "supervisor.jsonl", logs / "supervisor.out") if path.exists()]
    return "\n".join(said)


def data_of(name: str) -> Path:
    return Path(os.environ["XDG_DATA_HOME"], "nautilus", name)


def events(name: str) -> np.ndarray:
    parts, log, first = [], EventLog(data_of(name) / "events"), 1
    while len(found := log.read(first, 65_536)):
        parts.append(np.ascontiguousarray(found["event"]))
        first += len(found)
    return np.concatenate(parts)


@pytest.mark.long
def test_a_standby_is_promoted_and_trades_on_and_the_core_before_is_none_any_more() -> None:
    with two() as (core, standby, address):
        up(core, settings=("core.acknowledge=replica", f"replica.listen={address}"))
        wait(core, lambda found: (found["status"], found["replica"]["state"]) == ("unhealthy", "none"), "a core alone")
        up(standby, "--standby-of", address)
        wait(core, lambda found: found["orders"]["filled"] > 5, "fills of the core")
        found = wait(standby, lambda found: found["status"] == "healthy", "a standby that is attached")
        assert found["replica"]["role"] == "standby"
        assert not found["engines"]
        # Whether the core confirms it in time is the machine's affair; that it learns of it is not.
        promoted = json.loads(run_cli("trading", "promote", "--instance", standby, "--json"))
        assert promoted["epoch"] == 2
        before = wait(core, lambda found: found["replica"]["fenced_by"] == 2, "a core that knows it is fenced")
        assert before["status"] == "unhealthy"
        found = wait(
            standby, lambda found: found["orders"].get("filled", 0) > 5 and found["status"] == "healthy", "new fills"
        )
        assert (found["replica"]["role"], found["replica"]["epoch"]) == ("core", 2)
        run_cli("down", "--instance", standby, "--timeout", "240")
        shown, logged = events(core), events(standby)
        assert logged[: len(shown)].tobytes() == shown.tobytes()
        assert len(logged) > promoted["last_event_sequence"] >= len(shown)
        matches = logged["match_id"][logged["kind"] == EventKind.FILLED]
        assert len(np.unique(matches)) == len(matches)
        # A service that is started again as it was first comes back as the core.
        up(standby, "--standby-of", address)
        assert wait(standby, lambda found: found["status"] == "healthy", "the core again")["replica"]["epoch"] == 2
