"""A hub of the bus as a process: ``python -m tests.kit.hub_process DIRECTORY NUMBER STANDBY AUTOMATIC``.

It publishes quotes all the time: their bid size is the number of the hub, their bid counts. Each change of its
state is one line of JSON on standard output. It ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from nautilus.bus.hub_fence import HubFence
from nautilus.bus.sockets import make_context
from nautilus.bus.standby_hub import Hub, HubPlaces, HubState
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE

ROOT = Path(__file__).resolve().parents[2]
BEAT_NS = 20_000_000
LEASE_NS = 2_000_000_000


def places(directory: Path, number: int) -> HubPlaces:
    """Where hub 1 or 2 is."""
    return HubPlaces((f"ipc://{directory}/star{number}",), (f"ipc://{directory}/registry{number}",))


class HubProcess:
    """Starts the program, talks to it, and reads what it says."""

    def __init__(self, directory: Path, number: int, *, standby: bool = False, automatic: bool = False) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.kit.hub_process",
                str(directory),
                str(number),
                str(int(standby)),
                str(int(automatic)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self.said: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def states(self) -> list[str]:
        """Every state so far."""
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(65536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.said += [json.loads(line) for line in lines]
        return [each["state"] for each in self.said]

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end; a second time does nothing."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(60)
        for file in (self._process.stdin, self._process.stdout):
            assert file is not None
            file.close()


def main(directory: str, number: str, standby: str, automatic: str) -> None:
    """Serve until standard input is closed."""
    place, own = Path(directory), int(number)

    def tell(state: HubState, cause: str) -> None:
        print(json.dumps({"state": str(state), "cause": cause}), flush=True)

    context = make_context()
    hub = Hub(
        context,
        f"hub-{own}",
        places(place, own),
        epoch=now_ns(),
        standby=bool(int(standby)),
        others=(places(place, 3 - own),),
        fence=HubFence(place),
        automatic=bool(int(automatic)),
        beat_ns=BEAT_NS,
        lease_ns=LEASE_NS,
        on_state=tell,
    )
    if hub.state is HubState.STANDBY:
        tell(hub.state, "start")
    quotes = np.zeros(1, QUOTE)
    quotes["bid_quantity"] = own
    count, following = 0, False
    os.set_blocking(0, False)
    poller = zmq.Poller()
    poller.register(0, zmq.POLLIN)
    while True:
        if poller.poll(1) and not os.read(0, 4096):
            break
        # Many quotes behind each other, so that a stop comes in the middle of some.
        for _ in range(3):
            count += 1
            quotes["instrument_id"], quotes["bid_ticks"] = 1 + count % 3, count
            hub.publish(quotes)
        hub.poll(now_ns())
        if not following and hub.state is HubState.STANDBY and hub.followed is not None and hub.followed.frames > 30:
            following = True
            print(json.dumps({"state": "following", "cause": ""}), flush=True)
    hub.close()
    context.destroy(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
