"""The processes of the bus's endurance: they count, and write nothing down.

The order "state" is answered with counts as JSON, and what is allocated; "renew" closes what the process has on the bus
and opens it anew, "quiet" has it send nothing until "resume".
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nautilus.bus import Delivery, Mesh, MessageKind, Publisher, Subscriber, make_context
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import FrameFlag
from nautilus.bus.replayer import Replayer
from nautilus.bus.subscriber import Batch, flags_of_batch
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.enums import Priority
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, Topic
from tests.kit.history import Log
from tests.kit.history_process import Clock, Role

_OF_GLIBC = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)
BURST = 64
"""Frames at most in one turn: what is behind its schedule then stays behind for a while."""


class _Allocated(ctypes.Structure):
    """What glibc's ``mallinfo2`` tells: of all arenas together."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _OF_GLIBC)


def held() -> dict[str, int]:
    """What this process has asked for and not given back, after what it has given back has gone to the system.

    ``allocated``: bytes, of the C library's allocator; ``objects``: blocks of Python's own. Neither counts what is free
    and kept.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.mallinfo2.restype = _Allocated
    found = libc.mallinfo2()
    return {"allocated": found.uordblks + found.hblkhd, "objects": sys.getallocatedblocks()}


class Endless(Role):
    """What the roles below share."""

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self.context = make_context()
        self.open()

    def open(self) -> None:
        """Open what it has on the bus."""
        raise NotImplementedError

    def shut(self) -> None:
        """Close that."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Counts."""
        raise NotImplementedError

    def obey(self, word: str, argument: str) -> str:
        if word == "renew":
            self.close()  # with its context, whose end waits until the ports are free
            self.context = make_context()
            self.open()
        elif word == "resume":
            self.quiet = False
            self.resume()
        return json.dumps(self.state() | (held() if word == "state" else {}))

    def resume(self) -> None:
        """It sends again."""

    def settled(self) -> bool:
        return True

    def close(self) -> None:
        self.shut()
        self.context.destroy(linger=0)


class Hub(Endless):
    """Publishes packed frames on a schedule.

    Settings: `endpoints`, `replay`, `instruments`, `packed` (records a frame), `rate` (records a second), `records` (in
    all).
    """

    def open(self) -> None:
        self.begun_ns = now_ns()
        self.sent = 0
        count = self.settings["packed"]
        self.frames: list[Records] = [np.zeros(count, QUOTE) for _ in range(self.settings["instruments"])]
        for instrument, frame in enumerate(self.frames, 1):
            frame["instrument_id"] = instrument
            frame["update_id"] = np.arange(1, count + 1)
        # 1,024 frames of 16 kB: full long before memory counts.
        buffer, epoch = FrameBuffer(1024), now_ns()
        self.publisher = Publisher(
            self.context, self.settings["endpoints"], epoch=epoch, clock=self.clock, buffer=buffer, high_water=1_000
        )
        self.replayer = Replayer(self.context, self.settings["replay"], epoch=epoch, clock=self.clock, frames=buffer)

    def sockets(self) -> Iterable[Any]:
        return (self.publisher.socket, self.replayer.socket)

    def turn(self) -> None:
        self.publisher.poll(self.clock())
        for _ in range(20):
            if not self.replayer.poll():
                break
        if self.quiet:
            return
        packed = self.settings["packed"]
        due = min(self.settings["records"], (now_ns() - self.begun_ns) * self.settings["rate"] // 1_000_000_000)
        for _ in range(min(BURST, max(0, due - self.sent) // packed)):
            frame = self.frames[self.sent // packed % len(self.frames)]
            self.publisher.publish(frame)
            frame["update_id"] += packed
            self.sent += packed

    def resume(self) -> None:
        self.begun_ns = now_ns() - self.sent * 1_000_000_000 // self.settings["rate"]

    def state(self) -> dict[str, Any]:
        return {"sent": self.sent, "lasts": list(self.publisher.last_sequences().items())}

    def shut(self) -> None:
        self.replayer.close()
        self.publisher.close()


class Reader(Endless):
    """Reads and judges the numbers in the records. Settings: `endpoint`, `replay`."""

    def open(self) -> None:
        self.expected: dict[int, int] = {}
        self.told: dict[int, list[tuple[int, int]]] = {}
        self.wrong = 0
        self.first_wrong: list[str] = []
        self.subscriber = Subscriber(
            self.context,
            self.settings["endpoint"],
            [QUOTES],
            clock=self.clock,
            on_gap=self._on_gap,
            replay=self.settings["replay"],
        )

    def _on_gap(self, topic: Topic, stream: int, first: int, last: int) -> None:
        self.told.setdefault(stream & 0xFFFFFFFF, []).append((first, last))

    def sockets(self) -> Iterable[Any]:
        return self.subscriber.sockets

    def turn(self) -> None:
        self._take(self.subscriber.drain(256))
        while self.subscriber.socket in self.subscriber.touched:
            self._take(self.subscriber.drain(256))

    def _take(self, found: list[Batch]) -> None:
        for batch in found:
            records = batch[1]
            instrument, numbers = int(records["instrument_id"][0]), records["update_id"]
            if flags_of_batch(batch) & int(FrameFlag.SNAPSHOT):
                self.expected[instrument] = int(numbers[-1]) + 1
                self.told[instrument] = []
                continue
            first, last = int(numbers[0]), int(numbers[-1])
            due = self.expected.get(instrument, first)
            # What was passed over has been told by now; a gap may also have come without any record behind it yet, or
            # before the first record of all.
            gaps = self.told.setdefault(instrument, [])
            while due < first and gaps:
                begin, end = gaps.pop(0)
                due = end + 1 if begin <= due <= end else due
            if due != first or last - first + 1 != len(records):
                self.wrong += 1
                if len(self.first_wrong) < 4:
                    self.first_wrong.append(f"{first} to {last} in {len(records)}, {due} was due")
            self.expected[instrument] = last + 1

    def state(self) -> dict[str, Any]:
        subscriber = self.subscriber
        return {
            "delivered": subscriber.delivered,
            "lost": subscriber.lost,
            "recovered": subscriber.recovered,
            "wrong": self.wrong + subscriber.malformed + subscriber.unknown,
            "first_wrong": self.first_wrong,
            "known": [[stream, last] for stream, (_, _, last) in subscriber.positions().items()],
        }

    def shut(self) -> None:
        self.subscriber.close()


class Node(Endless):
    """Keeps some messages under way to a peer, requests and events of every priority, and handles what it sends.

    Settings: `name`, `endpoints` ({"process.lane": endpoint}), `peer`, `under_way`.
    """

    def open(self) -> None:
        self.handled = self.answered = self.letters = self.posted = 0
        self.mesh = Mesh(
            self.context,
            self.settings["name"],
            now_ns(),
            lambda process, lane: str(self.settings["endpoints"][f"{process}.{lane}"]),
            self.clock,
            on_dead_letters=self._on_dead_letters,
        )

    def _on_dead_letters(self, letters: list[Any]) -> None:
        self.letters += len(letters)

    def sockets(self) -> Iterable[Any]:
        return self.mesh.sockets()

    def turn(self) -> None:
        mesh = self.mesh
        while deliveries := mesh.receive(256):
            for delivery in deliveries:
                self._take(delivery)
        mesh.tick(self.clock())
        for _ in range(0 if self.quiet else self.settings["under_way"] - mesh.pending()):
            self.posted += 1
            kind = (MessageKind.COMMAND, MessageKind.EVENT, MessageKind.REQUEST)[self.posted % 3]
            mesh.post(
                self.settings["peer"],
                to="b",
                sender="a",
                kind=kind,
                payload=b"x" * (self.posted % 200),
                priority=self.posted % len(Priority) + 1,
            )

    def _take(self, delivery: Delivery) -> None:
        if delivery.kind in (MessageKind.REPLY, MessageKind.ERROR):
            self.answered += 1
        else:
            self.handled += 1
        self.mesh.done(delivery, delivery.payload)

    def state(self) -> dict[str, Any]:
        names = ("handled", "answered", "letters", "posted")
        return {**{name: getattr(self, name) for name in names}, "pending": self.mesh.pending()}

    def settled(self) -> bool:
        return not self.mesh.pending()

    def shut(self) -> None:
        self.mesh.close()
