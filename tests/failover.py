"""Many rounds of what hubs and hosts go through: ``python -m tests.failover --rounds 20 --seed 1`` (`make failover`).

A platform with two hubs, whose risk engine runs on another host. In each round something is done to it, drawn from the
seed; afterwards every reader, the one on the other host too, has to get market data again, and nobody may have lost a
record without having counted it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nautilus.runtime.instance import Instance
from nautilus.runtime.status import read_facts
from tests.kit.two_instances import Hosted, Joined, hosted

READERS = ("portfolio", "strategy")


class Rounds:
    """The platform, the process that has joined it, and what is done to them."""

    def __init__(self, platform: Hosted, seed: int) -> None:
        self._platform = platform
        self._random = random.Random(seed)
        self.joined: Joined = platform.join("risk")
        self.does: dict[str, Callable[[], None]] = {
            "the hub is killed": self._kill,
            "the hub is stopped, replaced and continued": self._replace,
            "the hub is stopped for a while": self._pause,
            "risk leaves and joins": self._leave,
        }

    def run(self) -> str:
        """One round; what was done."""
        what = self._random.choice(sorted(self.does))
        self.does[what]()
        self._settle(what)
        return what

    def _pid(self, process: str) -> int:
        state = Instance.find(self._platform.name).state()
        return next(found.pid for found in state.processes if found.name == process)

    def _hub(self) -> dict[str, Any]:
        found: dict[str, Any] = self._platform.bus()["hub"]
        return found

    def _kill(self) -> None:
        before = self._hub()["process"]
        os.kill(self._pid(before), signal.SIGKILL)
        self._platform.until(lambda: self._hub()["process"] != before, "a successor")

    def _replace(self) -> None:
        before = self._hub()
        pid = self._pid(before["process"])
        os.kill(pid, signal.SIGSTOP)
        try:
            self._platform.run("bus", "promote", "--instance", self._platform.name, "--timeout", "60")
            self._platform.until(lambda: self._hub()["process"] != before["process"], "a successor")
        finally:
            os.kill(pid, signal.SIGCONT)
        self._platform.until(lambda: self._pid(before["process"]) not in (0, pid), "its end")

    def _pause(self) -> None:
        self._platform.until(lambda: self._ways() == ["ring"] * len(READERS), "the ring")
        before = self._hub()
        pid = self._pid(before["process"])
        os.kill(pid, signal.SIGSTOP)
        try:
            self._platform.until(lambda: "ring" not in self._ways(), "silence")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert self._hub()["epoch"] == before["epoch"]

    def _ways(self) -> list[str]:
        processes = self._platform.bus()["processes"]
        return [processes[name]["way"] for name in READERS]

    def _leave(self) -> None:
        assert self.joined.leave() == 0
        self.joined.close()
        self._platform.until(lambda: "risk" not in self._platform.bus()["hosts"], "its end in the registry")
        self.joined = self._platform.join("risk")

    def _stars(self) -> dict[str, dict[str, int]]:
        found = {name: self._platform.bus()["processes"][name]["star"] for name in READERS}
        counters = read_facts(self._platform.instance("risk")).counters["risk"]
        names = ("delivered", "gaps", "lost", "recovered")
        return found | {"risk": {name: counters.get(f"star.{name}", 0) for name in names}}

    def _settle(self, what: str) -> None:
        self._platform.until(lambda: self._hub()["standby_is"] == "stands by", f"a standby after {what}")
        before = self._stars()
        self._platform.until(
            lambda: all(each["delivered"] > before[name]["delivered"] for name, each in self._stars().items()),
            f"market data for every reader after {what}",
        )
        for name, each in self._stars().items():
            assert each["lost"] == 0, f"{name} lost records: {each}"


def main(arguments: list[str]) -> int:
    """Run the rounds; 0 where all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    given = ("--simulated", "--strategy", "quoting", "--without", "risk")
    with (
        tempfile.TemporaryDirectory() as place,
        hosted(Path(place), *given, settings=("bus.standby=true",)) as platform,
    ):
        platform.give_key("risk")
        rounds = Rounds(platform, options.seed)
        try:
            for number in range(1, options.rounds + 1):
                print(f"{number}: {rounds.run()}", flush=True)
        finally:
            rounds.joined.close()
    print(f"{options.rounds} rounds, no record lost")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
