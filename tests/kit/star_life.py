"""Lives of a hub and of readers in processes of their own: ``python -m tests.kit.star_life hub|reader|crowd OPTIONS``.

OPTIONS is one JSON object. A hub publishes numbered quotes of three instruments until a line comes on its standard
input; it then says where its streams stand, and serves on until its input is closed. No file of a hub grows beyond
`most_bytes`, as on a disk that is full. A reader reads until it has settled all that a line of its input tells of, and
says what it had.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from nautilus.bus import Subscriber, make_context
from nautilus.bus.backlog import BufferReader
from nautilus.bus.recorder import Recorder
from nautilus.bus.ring import RingReader, set_aside
from nautilus.bus.star_journal import StarJournal
from nautilus.core.clock import now_ns
from nautilus.core.wake import Waiting
from nautilus.model.topics import QUOTES
from tests.kit.star import Hub, quotes

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 60_000
MILLISECOND = 1_000_000


class Life:
    """A process of a role; it is killed at the end."""

    def __init__(self, role: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.star_life", role, json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def tell(self, what: Any) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        self.process.stdin.flush()

    def readable(self, wait_ms: int = 0) -> bool:
        """Whether it has said something."""
        assert self.process.stdout is not None
        poller = zmq.Poller()
        poller.register(self.process.stdout, zmq.POLLIN)
        return bool(poller.poll(wait_ms))

    def answer(self) -> Any:
        """The next line that it says."""
        assert self.process.stdout is not None
        assert self.readable(PATIENCE_MS), "it says nothing"
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def hub(options: dict[str, Any]) -> None:
    """See above. Options: endpoint, epoch, ring, journal (paths), most_bytes, high_water, rate (frames a ms)."""
    if options.get("most_bytes"):
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (options["most_bytes"], hard))
    ring = Path(options["ring"]) if options.get("ring") else None
    with ExitStack() as stack:
        troubles: list[str] = []
        journal, left = None, ()
        if options.get("journal"):
            journal = StarJournal(options["journal"], on_trouble=lambda error: troubles.append(str(error)))
            left = set_aside(ring) if ring is not None else ()
        made = Hub(
            make_context(),
            options["endpoint"],
            options["epoch"],
            ring=ring,
            capacity=1 << 22,
            replay={"archives": [journal]} if journal is not None else None,
            high_water=options.get("high_water", 10_000),
        )
        stack.callback(made.close)
        if journal is not None:
            if ring is not None:
                source = RingReader(ring, oldest=True)
                recorder = Recorder(journal, source, lambda: source.wait(Waiting(), 5 * MILLISECOND), left)
            else:
                assert made.buffer is not None
                recorder = Recorder(journal, BufferReader(made.buffer, oldest=True))
            stack.callback(recorder.close)
        poller = zmq.Poller()
        for each in (made.publisher.socket, made.replayer.socket, sys.stdin):
            poller.register(each, zmq.POLLIN)
        number, publishes = 0, True
        while True:
            ready = dict(poller.poll(1))
            if sys.stdin.fileno() in ready:
                if not sys.stdin.readline():
                    return
                publishes = False
                missing = 0 if journal is None else journal.missing
                said = {"lasts": list(made.publisher.last_sequences().items()), "missing": missing}
                print(json.dumps(said | {"troubles": troubles}), flush=True)
            made.turn()
            for _ in range(options.get("rate", 5) if publishes else 0):
                number += 1
                made.quotes(number % 3 + 1, number % 7 + 1)


def reader(options: dict[str, Any]) -> None:
    """See above. Options: endpoint, ring, high_water, images, instruments."""
    last: dict[int, int] = {}
    begun: dict[int, int] = {}
    holes = 0
    with ExitStack() as stack:
        subscriber = Subscriber(
            make_context(),
            options["endpoint"],
            [QUOTES],
            clock=now_ns,
            instruments=options.get("instruments"),
            high_water=options.get("high_water", 10_000),
            replay=f"{options['endpoint']}.replay",
            images=options.get("images", False),
            ring=options.get("ring"),
            heartbeat_ns=1_000 * MILLISECOND,  # a busy machine delays them
        )
        stack.callback(subscriber.close)
        print(json.dumps("up"), flush=True)
        poller = zmq.Poller()
        for each in (*subscriber.sockets, sys.stdin):
            poller.register(each, zmq.POLLIN)
        if options.get("ring"):
            poller.register(subscriber.fileno(), zmq.POLLIN)
        wanted: dict[int, int] | None = None
        while wanted is None or any(
            subscriber.positions().get(stream, (0, 0, 0))[2] < at for stream, at in wanted.items()
        ):
            if subscriber.arm() and sys.stdin.fileno() in dict(poller.poll(5)):
                wanted = dict(json.loads(sys.stdin.readline() or "[]"))
                poller.unregister(sys.stdin)
            if now_ns() >= subscriber.due_ns:
                subscriber.poll(now_ns())
            for _, records in subscriber.drain():
                instrument, ids = int(records["instrument_id"][0]), records["update_id"].astype(np.int64)
                holes += not (np.diff(ids) == 1).all()
                begun.setdefault(instrument, int(ids[0]))
                holes += instrument in last and last[instrument] + 1 != ids[0]
                last[instrument] = int(ids[-1])
        names = ("delivered", "lost", "gaps", "recovered", "duplicates", "images", "snapshotted", "way")
        found = {name: getattr(subscriber, name) for name in names}
        print(json.dumps(found | {"holes": int(holes), "begun": begun, "last": last}), flush=True)


def crowd(options: dict[str, Any]) -> None:
    """Many readers in one process. Options: endpoint, count, heartbeat_ns, slow (the first), leaves (the second).

    The slow one takes a frame at a time, after all others have had theirs; the other one leaves after ten records.
    """
    with ExitStack() as stack:
        context = make_context()
        readers = []
        for _ in range(options["count"]):
            made = Subscriber(
                context,
                options["endpoint"],
                [QUOTES],
                clock=now_ns,
                replay=f"{options['endpoint']}.replay",
                heartbeat_ns=options["heartbeat_ns"],
            )
            stack.callback(made.close)
            readers.append(made)
        by_socket = {socket: each for each in readers for socket in each.sockets}
        slow = readers[0] if options.get("slow") else None
        leaver = readers[1] if options.get("leaves") else None
        staying = [each for each in readers if each is not leaver]
        print(json.dumps("up"), flush=True)
        poller = zmq.Poller()
        for item in (*by_socket, sys.stdin):
            poller.register(item, zmq.POLLIN)
        wanted: dict[int, int] | None = None
        behind = set(staying)
        while wanted is None or behind:
            ready = dict(poller.poll(5))
            if ready.pop(sys.stdin.fileno(), None):
                wanted = dict(json.loads(sys.stdin.readline() or "[]"))
                poller.unregister(sys.stdin)
            for each in {by_socket[socket] for socket in ready}:
                if each is not slow:
                    each.drain(256)
            if slow is not None:
                slow.drain(1)
            if leaver is not None and leaver.delivered >= 10 and not leaver.socket.closed:
                for socket in leaver.sockets:
                    poller.unregister(socket)
                leaver.close()
            for each in [each for each in readers if each.waits and not each.socket.closed]:
                each.poll(now_ns())
            if wanted is not None:
                behind = {
                    each
                    for each in behind
                    if any(each.positions().get(stream, (0, 0, 0))[2] < at for stream, at in wanted.items())
                }
        print(json.dumps([[each.delivered, each.lost, each.duplicates] for each in readers]), flush=True)


if __name__ == "__main__":
    {"hub": hub, "reader": reader, "crowd": crowd}[sys.argv[1]](json.loads(sys.argv[2]))


__all__ = ["Life", "quotes"]
