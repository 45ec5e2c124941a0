"""A platform that records, as a user has it: up, the recorder killed, down, then listed and played again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from nautilus.adapters.formats import open_recording
from nautilus.core.counters import Counters
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES, topic_of
from nautilus.runtime.instance import Instance
from nautilus.runtime.market_name import catalog_name
from nautilus.runtime.stored import open_stored
from perf.platform import FREE_PORTS, private_place, run_cli
from tests.kit.data import BTCUSDT_PERPETUAL, recording
from tests.kit.live_host import eventually
from tests.kit.platform import PATIENT

KINDS = {QUOTES.name: "quote", TRADES.name: "trade", BOOK_DELTAS.name: "book"}
SETS = [word for setting in (FREE_PORTS, *PATIENT) for word in ("--set", setting)]
MARKET_SECONDS = "5"


def streams(updates: Any) -> dict[str, bytes]:
    """Records of each kind, one after another."""
    found: dict[str, bytearray] = {kind: bytearray() for kind in KINDS.values()}
    for _, _, records in updates:
        found[KINDS[topic_of(records).name]] += records.tobytes()
    return {kind: bytes(rows) for kind, rows in found.items()}


def recorder(instance: Instance) -> tuple[int, int]:
    """Its process, and how many records it says are durable."""
    state = instance.state()
    pid = next(process.pid for process in state.processes if process.name == "recorder")
    return pid, Counters.read(instance.plan().counters_of("recorder")).get("recorder.durable", 0)


def test_what_a_platform_records_plays_again_though_its_recorder_was_killed() -> None:
    path = recording(BTCUSDT_PERPETUAL)
    with private_place() as name:
        catalog = Path(os.environ["XDG_DATA_HOME"], "nautilus", name, "catalog")
        run_cli(
            "up", "--detach", "--record", "--replay", str(path), "--speed", "10", "--instance", name, *SETS
        )  # fmt: skip
        try:
            instance = Instance.find(name)
            eventually(lambda: recorder(instance)[1] > 0)
            killed = recorder(instance)[0]
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: recorder(instance)[0] not in (0, killed))
            eventually(lambda: recorder(instance)[1] > 0)
        finally:
            run_cli("down", "--instance", name, "--timeout", "240")
        listed = json.loads(run_cli("data", "list", "--catalog", str(catalog), "--json"))
        rows = {each["kind"]: each["rows"] for each in listed["ranges"]}

        [stored] = open_stored(catalog_name(catalog, ["BTCUSDT"]))
        recorded = streams(stored.updates())
        given = streams(open_recording(path).updates(until_ns=stored._last_ns))
        assert set(rows) == set(KINDS.values())
        for kind, records in recorded.items():
            assert len(records) // rows[kind] * rows[kind] == len(records) > 0
            assert given[kind].startswith(records), f"{kind}: once, in order, without a hole"
        again, first = (
            json.loads(run_cli("replay", *words, "--market-for", MARKET_SECONDS, "--json"))
            for words in ((str(catalog), "--instruments", "BTCUSDT"), (str(path),))
        )
        assert again["event_hash"] == first["event_hash"]
        assert again["fills"] == first["fills"] > 0
