"""Endurance of the bus: very many records over the star, with the mesh beside it, while connections are broken.

`python -m tests.bus_endurance 100000000` (`make bus-endurance RECORDS=100000000`). Every few seconds all connections
are reset, and one process in turn closes what it has on the bus and opens it anew. Flat means, for each process: after
the warm-up its memory grows by at most `ALLOWED_BYTES_HOUR`, and it has no more descriptors and threads at the end.

Memory is what the process has written to and shares with nobody (Private_Dirty), without what its allocator keeps free
(`malloc_trim` before each sample, one arena: `MALLOC_ARENA_MAX`); a straight line through the samples. They are taken
at rest: nothing is sent, and nothing lies in a queue, whose size is not what this is about.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nautilus.core.clock import now_ns
from perf.network import own_network, why_not
from tests.kit.faults import Scenario
from tests.kit.history_process import PATIENCE_NS

ALLOWED_BYTES_HOUR = 1 << 20
WARM_UP = 0.25
"""Share of the run before its memory counts."""
SECOND = 1_000_000_000
PACKED = 256


class Sample(NamedTuple):
    """What one process held at a time."""

    at_ns: int
    dirty_bytes: int
    descriptors: int
    threads: int
    allocated_bytes: int = 0
    objects: int = 0


class Outcome(NamedTuple):
    """What came of a run."""

    samples: dict[str, list[Sample]]
    records: int
    delivered: int
    recovered: int
    lost: int
    wrong: int
    messages: int
    reconnects: int
    seconds: float


def sample(pid: int, state: dict[str, int]) -> Sample:
    """Of a process, now; `state` is what it said of itself."""
    here = Path("/proc") / str(pid)
    fields = dict(line.split(":", 1) for line in (here / "smaps_rollup").read_text().splitlines()[1:])
    status = dict(line.split(":", 1) for line in (here / "status").read_text().splitlines())
    return Sample(
        now_ns(),
        int(fields["Private_Dirty"].split()[0]) * 1024,
        len(os.listdir(here / "fd")),
        int(status["Threads"]),
        state["allocated"],
        state["objects"],
    )


def settled(samples: list[Sample]) -> list[Sample]:
    """The samples after the warm-up."""
    begun, ended = samples[0].at_ns, samples[-1].at_ns
    return [each for each in samples if each.at_ns >= begun + WARM_UP * (ended - begun)]


def slope(samples: list[Sample], what: str = "dirty_bytes") -> float:
    """What memory grows by in an hour after the warm-up."""
    rest = settled(samples)
    hours = [(each.at_ns - rest[0].at_ns) / (3600 * SECOND) for each in rest]
    return float(np.polyfit(hours, [getattr(each, what) for each in rest], 1)[0])


def endure(
    records: int,
    *,
    rate: int = 250_000,
    under_way: int = 20,
    breaks: int = 100,
    rests: int = 100,
    tell: Callable[[int, dict[str, list[Sample]]], object] = lambda sent, samples: None,
) -> Outcome:
    """Send so many records at `rate` a second; break connections so many times meanwhile, and sample so many times.

    `tell` is called after each sample.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")  # of the processes: what lies about in many arenas is no growth
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nau-")))
        network = None if why_not() else stack.enter_context(own_network())
        scenario = stack.enter_context(Scenario(directory, 1, network))
        module = "tests.kit.endurance_roles"
        names = ("one", "other")
        lanes = {f"{name}.{lane}": scenario.endpoint(f"{name}.{lane}") for name in ("a", "b") for lane in ("u", "n")}
        replay = scenario.endpoint("replay")
        hub = scenario.add(
            "hub",
            f"{module}:Hub",
            endpoints=[scenario.endpoint(name) for name in names],
            replay=replay,
            instruments=16,
            packed=PACKED,
            rate=rate,
            records=records,
        )
        for name in names:
            scenario.add(name, f"{module}:Reader", endpoint=scenario.endpoint(name), replay=replay)
        for name, peer in (("a", "b"), ("b", "a")):
            scenario.add(name, f"{module}:Node", endpoints=lanes, peer=peer, under_way=under_way)
        samples: dict[str, list[Sample]] = {name: [] for name in scenario.actors}
        begun_ns = now_ns()
        broken, sent, tally = 0, 0, Tally()
        while sent < records - PACKED:
            scenario.pass_time(200)
            sent = int(json.loads(hub.ask("sent"))["sent"])
            while sent * rests // records > len(samples["hub"]):
                rest(scenario)
                for name, actor in scenario.actors.items():
                    samples[name].append(sample(actor.pid, json.loads(actor.ask("state"))))
                tell(sent, samples)
                for actor in scenario.actors.values():
                    actor.ask("resume")
            while sent * breaks // records > broken:
                broken += 1
                if network is not None:
                    network.reset(*scenario.ports.values())
                victim = ("one", "a", "other", "b")[broken % 4]
                tally.leave(json.loads(scenario.actors[victim].ask("state")))
                scenario.actors[victim].ask("renew")
        rest(scenario)
        for name, actor in scenario.actors.items():
            state = json.loads(actor.ask("state"))
            samples[name].append(sample(actor.pid, state))
            tally.leave(state)
        seconds = (now_ns() - begun_ns) / SECOND
    return Outcome(
        samples, sent, tally.delivered, tally.recovered, tally.lost, tally.wrong, tally.messages, broken, seconds
    )


class Tally:
    """Adds up what processes had counted when they were renewed, and at the end."""

    def __init__(self) -> None:
        self.delivered = self.recovered = self.lost = self.wrong = self.messages = 0

    def leave(self, state: dict[str, Any]) -> None:
        """Counts that begin anew after this."""
        self.delivered += state.get("delivered", 0)
        self.recovered += state.get("recovered", 0)
        self.lost += state.get("lost", 0)
        self.wrong += state.get("wrong", 0)
        for each in state.get("first_wrong", ()):
            print(f"wrong: {each}", flush=True)
        self.messages += state.get("handled", 0)


def rest(scenario: Scenario) -> None:
    """Until nothing is sent, readers have the last of each stream, and nothing is pending on the mesh."""
    lasts = json.loads(scenario.actors["hub"].ask("quiet"))["lasts"]
    for name in ("a", "b"):
        scenario.actors[name].ask("quiet")
    end_ns = now_ns() + PATIENCE_NS
    while True:
        states = {name: json.loads(actor.ask("look")) for name, actor in scenario.actors.items()}
        known = [dict(states[name]["known"]) for name in ("one", "other")]
        behind = any(each.get(stream, 0) < last for each in known for stream, last in lasts)
        if not behind and not states["a"]["pending"] and not states["b"]["pending"]:
            return
        assert now_ns() < end_ns, "it does not come to rest"
        scenario.pass_time(20)


def complaints(outcome: Outcome) -> list[str]:
    """What is not flat, or not right; the slope of memory is judged by `main`, as it needs a long run."""
    found = [] if not outcome.wrong else [f"{outcome.wrong} frames were not what they should be"]
    for name, samples in outcome.samples.items():
        first, last = settled(samples)[0], samples[-1]
        for what in ("descriptors", "threads"):
            before, after = getattr(first, what), getattr(last, what)
            if after > before:
                found.append(f"{name} has {after} {what}, {before} after the warm-up")
    return found


def show(sent: int, samples: dict[str, list[Sample]]) -> None:
    """A line of what each holds now, in KiB: dirty and allocated."""
    found = [
        f"{name} {taken[-1].dirty_bytes >> 10} {taken[-1].allocated_bytes >> 10}" for name, taken in samples.items()
    ]
    seconds = (samples["hub"][-1].at_ns - samples["hub"][0].at_ns) / SECOND
    print(f"{seconds:8.0f} s {sent:>12,} records", *found, sep="  ", file=sys.stderr, flush=True)


def main() -> None:
    """Print what came of it, and judge."""
    outcome = endure(int(sys.argv[1]), rate=int(sys.argv[2]) if len(sys.argv) > 2 else 250_000, tell=show)
    found = complaints(outcome)
    print(
        f"{outcome.records:,} records sent; two readers had {outcome.delivered:,}, {outcome.recovered:,} of them"
        f" sent again, {outcome.lost:,} lost and told; {outcome.messages:,} messages;"
        f" {outcome.reconnects} times all connections broken; {outcome.seconds:,.0f} s"
    )
    for name, samples in outcome.samples.items():
        grown, last = slope(samples), samples[-1]
        print(
            f"{name:8} {last.dirty_bytes / 2**20:8.2f} MiB, {grown / 2**20:+8.2f} MiB an hour;"
            f" allocated {last.allocated_bytes / 2**20:8.2f} MiB, {slope(samples, 'allocated_bytes') / 2**20:+8.2f}"
            f" MiB an hour; {last.objects:,} objects, {slope(samples, 'objects'):+,.0f} an hour;"
            f" {last.descriptors} descriptors, {last.threads} threads"
        )
        if grown > ALLOWED_BYTES_HOUR:
            found.append(f"{name} grows by {grown / 2**20:.2f} MiB an hour")
    print("\n".join(found) or "flat")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
