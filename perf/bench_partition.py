"""A connection that goes silent: how soon that is known, and how soon nothing is missing after it is healed.

    hub ══ 1,000 quotes a second ══#══▶ reader           star, over TCP
    node ══ 1,000 events a second ══#══▶ node            mesh, over TCP
    DEALER ═════════════════════════#══▶ ROUTER          plain sockets with ZeroMQ's own heartbeats
    PUB ════════════════════════════#══▶ SUB             the same, and without them

All run in one network namespace whose loopback drops every packet of a port for a while, both ways. *Detected*: from
the first packet dropped until the end that asks for the other knows. *Resumed*: from the end of that until the first
message is handed out that was sent after it, all before it being handed out or reported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from random import Random
from typing import Any

import numpy as np
import zmq
from zmq.utils.monitor import parse_monitor_message

from nautilus.bus import Delivery, Mesh, MessageKind, Publisher, Subscriber, make_context
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import replay_endpoint
from nautilus.bus.replayer import Replayer
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.topics import QUOTES
from perf.harness import ROOT, OtherLoad, Report, check
from perf.network import Network, own_network, why_not

SUMMARY = "partition between processes: until it is known, until nothing is missing after it heals"
TRIALS = 7
EVERY_NS = 1_000_000
PORTS = {"star": 9001, "mesh": 9003, "dealer": 9005, "pub": 9007, "silent": 9009}
"""Each has the next one, too."""
HEARTBEAT_MS, SILENCE_MS, CONNECT_MS = 10, 30, 100
"""Of the plain sockets: the settings at which they are quickest here without false alarms. The star beats as often."""
STAR = f"tcp://127.0.0.1:{PORTS['star']}"
NEVER = 1 << 62
Told = dict[str, Any]


def run(report: Report) -> None:
    """Each pair alone, several partitions of random length."""
    missing = why_not()
    if missing:
        report.notes.append(f"not run: {missing}")
        return
    report.conditions["partition"] = "TCP on the loopback of one network namespace, packets of a port dropped both ways"
    with own_network() as network:
        for name, shown, detected, resumed in (
            ("star", "star", 40.0, 200.0),
            ("mesh", "mesh", 40.0, 200.0),
            ("dealer", "plain DEALER/ROUTER, heartbeats", None, None),
            ("pub", "plain PUB/SUB, heartbeats", None, None),
            ("silent", "plain PUB/SUB", None, None),
        ):
            with OtherLoad() as load:
                found = _trials(network, name)
            if name != "silent":
                values = [each["detected_ms"] for each in found]
                report.add(f"{shown}: detected", "ms", values, load.cores, goal=detected, lower_is_better=True)
            values = [each["resumed_ms"] for each in found]
            report.add(f"{shown}: resumed", "ms", values, load.cores, goal=resumed, lower_is_better=True)
            lost, told = found[-1]["missing"], found[-1]["told"]
            report.notes.append(f"{shown}: {lost:,} messages did not arrive, {told:,} of them reported")
            if name in ("star", "mesh"):
                check(lost == told, f"{name}: {lost:,} messages are missing, {told:,} were reported")
    report.checks.append("every message of star and mesh is handed out once and in order, or reported as lost")
    report.notes.append(
        f"Plain sockets: heartbeats every {HEARTBEAT_MS} ms, {SILENCE_MS} ms of silence, {CONNECT_MS} ms to connect."
    )


def _trials(network: Network, name: str) -> list[Told]:
    """Partitions of random length; for each when it was known and when it was over, in milliseconds."""
    random = Random(name)
    ports = (PORTS[name], PORTS[name] + 1)
    with ExitStack() as stack:
        ends = []
        for side in ("receive", "send"):
            words = network.command(sys.executable, "-m", "perf.bench_partition", name, side)
            process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            stack.callback(process.wait)
            stack.callback(process.kill)
            ends.append(process)
        for process in ends:
            assert process.stdout is not None
            check(process.stdout.readline() == b"ready\n", f"{name}: a process did not start")
        cuts = []
        for _ in range(TRIALS):
            time.sleep(0.6)
            begun_ns = now_ns()
            network.lose(*ports)
            time.sleep(random.uniform(0.4, 1.2))
            network.heal()
            cuts.append((begun_ns, now_ns()))
            _await(ends[0], cuts[-1][1])
        sender = _ended(ends[1])
        receiver = _ended(ends[0])
    return _compare(name, cuts, sender, receiver)


def _await(process: subprocess.Popen[bytes], sent_ns: int) -> None:
    """Until the receiving end has had a message that was sent after this."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"%d\n" % sent_ns)
    check(process.stdout.readline() == b"ready\n", "a process failed")


def _ended(process: subprocess.Popen[bytes]) -> Told:
    """Let a process end; what it tells."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    told: Told = json.loads(process.stdout.read())
    check(process.wait(60) == 0, "a process failed")
    return told


def _compare(name: str, cuts: list[tuple[int, int]], sender: Told, receiver: Told) -> list[Told]:
    """When it was known, and when it was over."""
    silences = [*sender["silences"], *receiver["silences"]]
    sent, got = np.array(receiver["sent_ns"], np.int64), np.array(receiver["got_ns"], np.int64)
    numbers = np.array(receiver["numbers"], np.int64)
    check(bool((np.diff(numbers) > 0).all()), f"{name}: out of order, or twice")
    missing = int(numbers[-1] - numbers[0] + 1 - len(numbers))
    found = []
    for begun_ns, healed_ns in cuts:
        known = [at for at in silences if begun_ns <= at < healed_ns]
        check(bool(known) or name == "silent", f"{name}: a partition was not noticed")
        after = got[sent >= healed_ns]
        check(len(after) > 0, f"{name}: nothing came any more")
        found.append(
            {
                "detected_ms": (min(known, default=NEVER) - begun_ns) / 1e6,
                "resumed_ms": (int(after.min()) - healed_ns) / 1e6,
                "missing": missing,
                "told": receiver["told"],
            }
        )
    return found


# -- one end -----------------------------------------------------------------------------------------------------------


class _End:
    """One process: `turn` is called every few hundred microseconds until standard input is closed."""

    def __init__(self) -> None:
        self.context = make_context()
        self.silences: list[int] = []
        self.numbers: list[int] = []
        self.sent_ns: list[int] = []
        self.got_ns: list[int] = []
        self.told = 0
        self.next_ns = now_ns()
        self.number = 0

    def sockets(self) -> list[zmq.Socket[bytes]]:
        raise NotImplementedError

    def turn(self) -> None:
        raise NotImplementedError

    def due(self) -> Iterator[bytes]:
        """The messages that are due: their number, and now."""
        while (at := now_ns()) >= self.next_ns:
            self.next_ns += EVERY_NS
            self.number += 1
            yield b"%d %d" % (self.number, at)

    def take(self, message: bytes) -> None:
        """One message that arrived."""
        number, sent = map(int, message.split())
        self.numbers.append(number)
        self.sent_ns.append(sent)
        self.got_ns.append(now_ns())

    def serve(self) -> None:
        """Be this end."""
        awaited = NEVER
        print("ready", flush=True)
        while True:
            poller = zmq.Poller()
            for socket in (sys.stdin, *self.sockets()):
                poller.register(socket, zmq.POLLIN)
            if sys.stdin.fileno() in dict(poller.poll(1)):
                line = sys.stdin.readline()
                if not line:
                    break
                awaited = int(line)
            self.turn()
            if self.sent_ns and self.sent_ns[-1] >= awaited:
                awaited = NEVER
                print("ready", flush=True)
        names = ("silences", "numbers", "sent_ns", "got_ns", "told")
        print(json.dumps({name: getattr(self, name) for name in names}), flush=True)
        self.context.destroy(linger=0)


class _StarHub(_End):
    def __init__(self) -> None:
        super().__init__()
        buffer, epoch = FrameBuffer(), now_ns()
        self.publisher = Publisher(
            self.context, STAR, epoch=epoch, clock=now_ns, heartbeat_ns=HEARTBEAT_MS * 1_000_000, buffer=buffer
        )
        self.replayer = Replayer(self.context, replay_endpoint(STAR), epoch=epoch, clock=now_ns, frames=buffer)
        self.record = np.zeros(1, QUOTE)

    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [self.publisher.socket, self.replayer.socket]

    def turn(self) -> None:
        self.publisher.poll(now_ns())
        self.replayer.poll()
        for message in self.due():
            self.record["update_id"], self.record["now_ns"] = map(int, message.split())
            self.publisher.publish(self.record)


class _StarReader(_End):
    def __init__(self) -> None:
        super().__init__()
        self.subscriber = Subscriber(
            self.context,
            STAR,
            [QUOTES],
            clock=now_ns,
            on_gap=self.on_gap,
            replay=replay_endpoint(STAR),
            heartbeat_ns=HEARTBEAT_MS * 1_000_000,
        )
        self.silent = False

    def on_gap(self, topic: object, stream: int, first: int, last: int) -> None:
        self.told += last - first + 1

    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [*self.subscriber.sockets]

    def turn(self) -> None:
        for _, records in self.subscriber.drain(1 << 20):
            for record in records:
                self.take(b"%d %d" % (record["update_id"], record["now_ns"]))
        silent = self.subscriber.is_stale(now_ns())
        if silent and not self.silent:
            self.silences.append(now_ns())
        self.silent = silent


class _MeshEnd(_End):
    def __init__(self, name: str, peer: str) -> None:
        super().__init__()
        ports = {("b", "n"): PORTS["mesh"], ("b", "u"): PORTS["mesh"] + 1, ("a", "n"): 9011, ("a", "u"): 9012}
        self.mesh = Mesh(
            self.context,
            name,
            now_ns(),
            lambda process, lane: f"tcp://127.0.0.1:{ports[process, lane]}",
            now_ns,
            on_peer=self.on_peer,
        )
        self.peer = peer
        if peer:
            self.mesh.dial(peer)

    def on_peer(self, peer: str, up: bool) -> None:
        if not up:
            self.silences.append(now_ns())

    def sockets(self) -> list[zmq.Socket[bytes]]:
        return self.mesh.sockets()

    def turn(self) -> None:
        if self.peer:
            for message in self.due():
                self.mesh.post(self.peer, to="b", sender="a", kind=MessageKind.EVENT, payload=message)
        deliveries: list[Delivery] = self.mesh.receive(256)
        for delivery in deliveries:
            self.take(delivery.payload)
            self.mesh.done(delivery)
        self.mesh.tick(now_ns())


class _PlainEnd(_End):
    """A socket and, where it dials, its monitor."""

    def __init__(self, kind: int, port: int, *, dials: bool, heartbeats: bool = True) -> None:
        super().__init__()
        self.sends = kind in (zmq.DEALER, zmq.PUB)
        self.socket = self.context.socket(kind)
        self.monitor: zmq.Socket[bytes] | None = None
        for option, value in (
            (zmq.RECONNECT_IVL, 5),
            (zmq.CONNECT_TIMEOUT, CONNECT_MS),
            *(((zmq.HEARTBEAT_IVL, HEARTBEAT_MS), (zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)) if heartbeats else ()),
        ):
            self.socket.setsockopt(option, value)
        if kind == zmq.SUB:
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        if dials:
            self.monitor = self.socket.get_monitor_socket(int(zmq.EVENT_DISCONNECTED))
            self.socket.connect(f"tcp://127.0.0.1:{port}")
        else:
            self.socket.bind(f"tcp://127.0.0.1:{port}")

    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [] if self.sends else [self.socket]

    def turn(self) -> None:
        if self.sends:
            for message in self.due():
                with suppress(zmq.Again):
                    self.socket.send(message, zmq.NOBLOCK)
        else:
            while self.socket.poll(0):
                self.take(self.socket.recv_multipart(zmq.NOBLOCK)[-1])
        while self.monitor is not None and self.monitor.poll(0):
            parse_monitor_message(self.monitor.recv_multipart(zmq.NOBLOCK))
            self.silences.append(now_ns())


ENDS: dict[tuple[str, str], Callable[[], _End]] = {
    ("star", "send"): _StarHub,
    ("star", "receive"): _StarReader,
    ("mesh", "send"): lambda: _MeshEnd("a", "b"),
    ("mesh", "receive"): lambda: _MeshEnd("b", ""),
    ("dealer", "send"): lambda: _PlainEnd(zmq.DEALER, PORTS["dealer"], dials=True),
    ("dealer", "receive"): lambda: _PlainEnd(zmq.ROUTER, PORTS["dealer"], dials=False),
    ("pub", "send"): lambda: _PlainEnd(zmq.PUB, PORTS["pub"], dials=False),
    ("pub", "receive"): lambda: _PlainEnd(zmq.SUB, PORTS["pub"], dials=True),
    ("silent", "send"): lambda: _PlainEnd(zmq.PUB, PORTS["silent"], dials=False, heartbeats=False),
    ("silent", "receive"): lambda: _PlainEnd(zmq.SUB, PORTS["silent"], dials=True, heartbeats=False),
}


if __name__ == "__main__":
    ENDS[sys.argv[1], sys.argv[2]]().serve()
