"""`nautilus bus status | latency | replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from nautilus.runtime.status import Facts

COMMANDS = {
    "status": (f"{__name__}:status", "Print what both buses carried, process by process."),
    "latency": (f"{__name__}:latency", "Measure round trips to every process, now."),
    "replay": ("nautilus.cli.bus_replay:replay", "Print records of the star once more."),
    "promote": ("nautilus.cli.bus_promote:promote", "Make a standby hub the hub."),
}
STAR = ("published", "delivered", "conflated", "gaps", "recovered", "lost")
MESH = ("sent", "received", "acknowledged", "retried", "duplicates", "dead_lettered")
LANES = ("urgent", "normal")
URGENT = ("urgent_by_ring", "urgent_by_zmq", "urgent_copies")
PREFIX = "security."
SECURITY = (
    *("admitted", "unknown_keys", "revoked_keys", "plain_text", "bad_handshakes"),
    *("false_names", "refused_messages", "refused_subscriptions"),
)
"""Counters of security that are shown, in the order of the columns."""


@click.group("bus", cls=LazyGroup, commands_at=COMMANDS)
def bus() -> None:
    """Look into the star, which carries market data, and the mesh, which carries messages."""


@click.command()
@instance_option
@json_option
def status(instance_name: str | None, as_json: bool) -> None:
    """Print what the star and the mesh carried, process by process, from shared memory: no process is asked."""
    from nautilus.runtime.status import read_facts

    found = bus_status(read_facts(running(instance_name)))
    if as_json:
        print_json(found)
        return
    processes = found["processes"]
    star = [(name, *(f"{each['star'][key]:,}" for key in STAR)) for name, each in processes.items()]
    print_table("star, records", ["process", *STAR], star, right=range(1, 7))
    mesh = [(name, *(f"{each['mesh'][key]:,}" for key in MESH)) for name, each in processes.items()]
    print_table(
        "mesh, messages", ["process", "sent", "received", "acked", "retried", "twice", "dead"], mesh, right=range(1, 7)
    )
    urgent = [(name, *(f"{each['urgent'][key]:,}" for key in URGENT)) for name, each in processes.items()]
    print_table("urgent messages", ["process", "by ring", "by zmq", "copies"], urgent, right=range(1, 4))
    rows = [
        (name, peer, standing, found["paths"].get(name, {}).get("mesh", {}).get(peer, "zmq"))
        for name, peers in found["peers"].items()
        for peer, standing in peers.items()
    ]
    print_table("connections of the mesh", ["from", "to", "standing", "path"], rows)
    if any(each["host"] for each in found["hosts"].values()):
        hosts = [(name, each["host"], each["n"]) for name, each in found["hosts"].items()]
        print_table("registry of the hub", ["process", "host", "normal lane"], hosts)
    guards = [
        (name, *(f"{each['security'][key]:,}" for key in SECURITY))
        for name, each in processes.items()
        if any(each["security"].get(key) for key in SECURITY)
    ]
    if guards:
        columns = ["process", "in", "unknown", "revoked", "plain", "broken", "names", "msgs", "topics"]
        print_table("security: let in over TCP, and refused", columns, guards, right=range(1, 9))
    ways = ", ".join(f"{name} by {each['way']}" for name, each in processes.items() if each["way"])
    print(f"star: {ways or 'no readers'}")
    hub = found["hub"]
    if hub["standby"]:
        print(f"hub: {hub['process']}, epoch {hub['epoch']}; {hub['standby']} {hub['standby_is']}")
    whole = found["star"]
    print(f"star: {whole['lost']:,} records lost; {whole['uncounted']:,} streams of which nothing is known")


@click.command()
@click.option("--count", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Round trips of each.")
@instance_option
@json_option
def latency(count: int, instance_name: str | None, as_json: bool) -> None:
    """Measure round trips over the mesh to every process that hosts engines, on both lanes."""
    from nautilus.bus.client import NoAnswerError
    from nautilus.model.enums import Priority
    from nautilus.runtime.attach import attach

    instance = running(instance_name)
    plan = instance.plan()
    here = {each.name for each in instance.state().processes} if plan.joined else None
    names = [
        spec.name
        for spec in plan.processes
        if spec.kind in ("engines", "gateway") and (here is None or spec.name in here)
    ]
    found: dict[str, dict[str, dict[str, float]]] = {}
    with attach(instance, "latency") as client:
        for name in names:
            found[name] = {}
            for lane, priority in zip(LANES, (Priority.URGENT, Priority.NORMAL), strict=True):
                nanos: list[int] = []
                try:
                    client.ping(name, priority)  # the first one dials
                    nanos += [client.ping(name, priority) for _ in range(count)]
                except NoAnswerError:
                    pass
                found[name][lane] = _percentiles(nanos)
    if as_json:
        print_json({"count": count, "unit": "us", "processes": found})
        return
    rows = [
        (name, lane, *(f"{each[key]:,.1f}" if each["count"] else "-" for key in ("p50", "p90", "p99", "max")))
        for name, lanes in found.items()
        for lane, each in lanes.items()
    ]
    print_table("round trips, us", ["process", "lane", "p50", "p90", "p99", "max"], rows, right=(2, 3, 4, 5))
    silent = [name for name, lanes in found.items() if any(not each["count"] for each in lanes.values())]
    if silent:
        print(f"-: {', '.join(silent)} did not answer")


def bus_status(facts: Facts) -> dict[str, Any]:
    """What `nautilus bus status --json` prints."""
    from nautilus.bus.failover import read_paths
    from nautilus.bus.liveness import Standing
    from nautilus.bus.positions import lacking_between
    from nautilus.runtime.neighbours import hub_of, read_places
    from nautilus.runtime.status import star_of

    processes: dict[str, dict[str, Any]] = {}
    peers: dict[str, dict[str, str]] = {}
    paths: dict[str, dict[str, dict[str, str]]] = {}
    for spec in facts.plan.processes:
        counters = facts.counters.get(spec.name, {})
        peers[spec.name] = {
            name.removeprefix("peer.").removesuffix(".standing"): Standing(value).name.lower()
            for name, value in counters.items()
            if name.startswith("peer.") and name.endswith(".standing")
        }
        paths[spec.name] = {
            bus: {peer: state.path for peer, state in found.items()} for bus, found in read_paths(counters).items()
        }
        processes[spec.name] = {
            "way": {0: "zmq", 1: "ring"}[counters["star.by_ring"]] if "star.by_ring" in counters else "",
            "star": {key: counters.get(f"star.{key}", 0) for key in STAR},
            "mesh": {key: counters.get(f"mesh.{key}", 0) for key in MESH},
            "urgent": {key: counters.get(f"mesh.{key}", 0) for key in URGENT},
            "security": {
                name.removeprefix(PREFIX): value for name, value in counters.items() if name.startswith(PREFIX)
            },
        }
    plan = facts.plan
    role, hub = plan.process_of("marketdata"), hub_of(plan)
    spare = next((name for name in plan.hubs if name != hub), "")
    standing = next((each.state for each in facts.state.processes if each.name == spare), "")
    lacking = lacking_between(facts.positions.values())
    return {
        "star": {**star_of(facts), "behind": lacking.behind, "uncounted": lacking.uncounted},
        "mesh": {key: facts.total(f"mesh.{key}") for key in MESH},
        "processes": processes,
        "hub": {
            "process": hub,
            "epoch": facts.positions.get(role, {}).get("hub.epoch", 0),
            "standby": spare,
            "standby_is": "stands by" if standing == "ready" else f"is {standing}",
        },
        "hosts": {
            name: {"host": entry.host, "epoch": entry.epoch, "n": entry.endpoints.get("n", "")}
            for name, entry in read_places(facts.plan).items()
        },
        "peers": peers,
        "paths": paths,
    }


def _percentiles(nanos: list[int]) -> dict[str, float]:
    ordered = sorted(nanos)
    if not ordered:
        return {"count": 0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
    at = {key: ordered[min(int(len(ordered) * part), len(ordered) - 1)] / 1e3 for key, part in _PARTS.items()}
    return {"count": len(ordered), **at, "max": ordered[-1] / 1e3}


_PARTS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
