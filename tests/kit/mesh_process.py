"""A process on the mesh that writes down what it handles: ``python -m tests.kit.mesh_process PLACE NAME LOG``.

PLACE is a directory for sockets, or a TCP port: then the lane u is there, and n at the next one.

Each message is one line of LOG, written before it is acknowledged: epoch, sender's epoch, kind, payload. A request is
answered with its payload; one of "block:PATH" is handled once somebody has written to the FIFO of that path. It ends
when its standard input is closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import zmq

from nautilus.bus import Delivery
from nautilus.core.clock import now_ns
from tests.kit.bus import Node

ROOT = Path(__file__).resolve().parents[2]


class MeshProcess:
    """Starts the program, kills it, and reads what it wrote."""

    def __init__(self, directory: Path, name: str, place: str = "") -> None:
        self.name = name
        self.place = place or str(directory)
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it need not be up yet."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.mesh_process", self.place, self.name, str(self.log)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    def lives(self) -> dict[int, list[tuple[int, int, bytes]]]:
        """{epoch: (sender's epoch, kind, payload) of each message it handled, in order}."""
        found: dict[int, list[tuple[int, int, bytes]]] = {}
        # What comes after the last line's end was not acknowledged.
        for line in self.log.read_bytes().split(b"\n")[:-1]:
            epoch, sender, kind, payload = line.split(b" ", 3)
            found.setdefault(int(epoch), []).append((int(sender), int(kind), payload))
        return found


def tcp_scheme(ports: Mapping[str, int]) -> Callable[[str, str], str]:
    """Endpoints of processes that have a TCP port, and the one after it."""
    return lambda process, lane: f"tcp://127.0.0.1:{ports[process] + (lane == 'n')}"


def main(place: str, name: str, log: str) -> None:
    """Serve until standard input is closed."""
    epoch = now_ns()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def handle(delivery: Delivery) -> bytes:
        if delivery.payload.startswith(b"block:"):
            Path(delivery.payload[6:].decode()).read_bytes()
        os.write(written, b"%d %d %d %s\n" % (epoch, delivery.epoch, delivery.kind, delivery.payload))
        return delivery.payload

    scheme = tcp_scheme({name: int(place)}) if place.isdecimal() else None
    node = Node(Path(place), name, epoch, handle, scheme=scheme)
    poller = zmq.Poller()
    for socket in node.mesh.sockets():
        poller.register(socket, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    while sys.stdin.fileno() not in dict(poller.poll(20)):
        node.turn()
        node.deliveries.clear()
    node.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
