"""What a running core asks of the machine: what it got is in its log, in `/metrics` and in `nautilus doctor`."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import pytest

from nautilus.core import affinity
from nautilus.model.enums import Side
from nautilus.model.queries import OrderRequest
from tests.kit.platform import Platform, demo, run_cli

SETTINGS = (
    "core.pin=auto",
    "core.realtime_priority=1",
    "core.lock_memory=true",
    "core.huge_pages=true",
    "core.numa_local=true",
    "core.cpu_dma_latency_us=0",
    "core.ready_orders=100",
    "core.open_orders=400",
    "limits.message_rate=0",
)


def metrics(running: Platform) -> dict[str, float]:
    """Of the core, by name without its process."""
    connection = HTTPConnection("127.0.0.1", running.ports["trading"], timeout=60)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    found = {}
    for line in lines:
        if line.startswith(("nautilus_machine_", "nautilus_pool_", "nautilus_core_")):
            name, _, value = line.rpartition(" ")
            found[
                name.replace(',process="core"', "").replace('process="core",', "").replace('{process="core"}', "")
            ] = float(value)
    return found


def wishes(running: Platform) -> dict[str, bool]:
    """What the core's log says of each."""
    found = {}
    for line in (running.data / "logs" / "core.jsonl").read_text().splitlines():
        words = json.loads(line)["event"].split(": ")
        if words[0] == "machine":
            what = words[1]
            found[what.removesuffix(" not granted").removesuffix(" granted")] = not what.endswith(" not granted")
    return found


@pytest.mark.long
def test_what_was_granted_is_shown_and_is_so() -> None:
    with demo("--profile", "compact", settings=SETTINGS) as running:
        pid = running.pid("core")
        running.wait(lambda: metrics(running).get('nautilus_pool_ready{pool="orders"}', 0) >= 100, "pools")
        found, asked = metrics(running), wishes(running)
        assert {"memory lock", "NUMA", "wake-up", "rings", "pools"} <= set(asked)
        assert found["nautilus_machine_wishes_refused"] == list(asked.values()).count(False)
        threads = [each for each in affinity.threads_of(pid) if each["thread"].startswith("core-")]
        assert found["nautilus_machine_realtime_threads"] == sum(each["policy"] == "fifo" for each in threads)
        assert found["nautilus_machine_pinned_threads"] == sum(
            asked.get(f"pin {name}", False) for name in affinity.THREADS
        )
        assert found["nautilus_machine_wake_up_held"] == asked["wake-up"] == affinity.latency_held(pid)
        assert (found["nautilus_machine_locked_bytes"] > 0) == (affinity.locked_bytes_of(pid) > 0)
        assert asked["memory lock"] is (affinity.locked_bytes_of(pid) > 64 << 20)
        if affinity.huge_pages()["mode"] in ("always", "madvise"):
            assert affinity.huge_bytes_of(pid) > 0
        assert found['nautilus_pool_capacity{pool="orders"}'] == 401
        assert asked["pools"]

        doctor = json.loads(run_cli("doctor", "--json"))
        line = next(check["found"] for check in doctor["checks"] if check["name"] == "running cores")
        own = next(part for part in line.split(f"{running.instance.name}: ")[1:])
        assert "core-kernel on" in own
        assert "on huge pages" in own
        assert "orders ready" in own

        for number in range(1, 402):
            answer = running.ask(
                "trading", OrderRequest("SIMUSD", Side.BUY, "0.001", f"{10 + number % 7}", account_id=2)
            )
            if number <= 400:
                assert answer["status"] == "accepted", answer
        assert (answer["status"], answer["reason"]) == ("rejected", "POOL_FULL")
        full = {
            'nautilus_pool_used{pool="orders"}': 400.0,
            'nautilus_pool_ready{pool="orders"}': 401.0,
            "nautilus_core_pool_full_total": 1.0,
        }
        running.wait(lambda: metrics(running).items() >= full.items(), "a full pool")
        found = metrics(running)
        # As many as the thread was too late for were page faults, and nothing else.
        assert found['nautilus_pool_late_total{pool="orders"}'] <= 300
