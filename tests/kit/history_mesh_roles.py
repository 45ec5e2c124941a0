"""A node of the mesh of a history: it sends to its peers, and handles what comes.

A payload says which message it is: epoch of the sender, priority, number. Effects are made by the number: what was made
before, in this life or an earlier one, is not made again. That state is the log itself, read at the start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from nautilus.bus import DeadLetter, Delivery, Mesh, MessageKind
from nautilus.bus.carriers import ALL, Carrier
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from tests.kit.history import (
    Answered,
    Applied,
    Corrupt,
    Handled,
    Late,
    Letter,
    Log,
    Posting,
    Quiet,
    Unknown,
    read,
)
from tests.kit.history_process import Clock, Role

MS = 1_000_000
HELD = 200
"""Messages pending for a node that sends no more until they are fewer: peers may be away for long."""
Name = tuple[str, int, int]
Numbers = tuple[int, int, int]


def numbers_in(payload: bytes) -> Numbers:
    """Epoch, priority and number of a message, which stand at its beginning."""
    epoch, priority, number, _ = payload.split(b" ", 3)
    return int(epoch), int(priority), int(number)


class MeshNode(Role):
    """Posts to its peers in random bursts of every priority and kind, and handles what they post.

    Settings: `name`, `endpoints` ({"process.lane": endpoint}), `peers` (to send to), `burst`, `seed`;
    `deadline_ms` for one message in four, 0: none.
    """

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._random = Random(f"{settings['seed']} {epoch}")
        self._numbers: dict[tuple[str, int], int] = {}
        self._requests: dict[int, Name] = {}
        self._later: deque[Delivery] = deque()
        self._applied: dict[tuple[str, int, int], int] = {}
        self._busy = False
        for life in read(log.path):
            for entry in life.entries:
                if isinstance(entry, Applied):
                    self._applied[entry.sender, entry.epoch, entry.priority] = entry.number
        self._context = self.make_context()
        self._mesh = Mesh(
            self._context,
            settings["name"],
            epoch,
            lambda process, lane: str(settings["endpoints"][f"{process}.{lane}"]),
            clock,
            on_dead_letters=self._on_dead_letters,
            fallbacks=self.fallbacks(),
        )
        for peer in settings["peers"]:
            self._mesh.dial(peer)
            self._mesh.dial(peer, Priority.URGENT)

    def fallbacks(self) -> Sequence[Carrier]:
        """What else carries its messages."""
        return ()

    def content(self) -> tuple[bytes, int]:
        """What a message says beside its number, and the paths that it may take."""
        return b"", ALL

    def sockets(self) -> Iterable[Any]:
        return [*self._mesh.sockets(), *self._mesh.descriptors()]

    def turn(self) -> None:
        mesh = self._mesh
        deliveries = mesh.receive(256)
        while deliveries:
            for delivery in deliveries:
                self._take(delivery)
            deliveries = mesh.receive(256)
        while self._later and (self.quiet or self._random.random() < 0.5):
            self._finish(self._later.popleft())
        for number in mesh.tick(self.clock()):
            self.log.note(Unknown(*self._requests.pop(number)))
        if not self.quiet and self.settings["peers"] and mesh.pending() < HELD:
            for _ in range(self._random.randrange(self.settings["burst"] + 1)):
                self._post()
        if self._busy and not mesh.pending():
            self._busy = False
            self.log.note(Quiet(now_ns()))

    def _post(self) -> None:
        peer = self._random.choice(self.settings["peers"])
        priority = self._random.choice(list(Priority))
        request = self._random.random() < 0.3
        deadline_ms = self.settings["deadline_ms"] if self._random.random() < 0.25 else 0
        more, paths = self.content()
        number = self._numbers[peer, priority] = self._numbers.get((peer, priority), 0) + 1
        self._busy = True
        self.log.note(Posting(peer, priority, number, request))
        posted = self._mesh.post(
            peer,
            to=peer,
            sender=self.settings["name"],
            kind=MessageKind.REQUEST if request else self._random.choice((MessageKind.COMMAND, MessageKind.EVENT)),
            payload=b"%d %d %d %s" % (self.epoch, priority, number, more),
            priority=priority,
            paths=paths,
            deadline_ns=self.clock() + deadline_ms * MS if deadline_ms else 0,
        )
        if request:
            self._requests[posted] = (peer, int(priority), number)

    def _take(self, delivery: Delivery) -> None:
        if delivery.kind in (MessageKind.REPLY, MessageKind.ERROR):
            _, priority, number = name = self._requests.pop(delivery.id, ("", 0, 0))
            error = delivery.kind is MessageKind.ERROR
            if not error and delivery.payload != b"re:%d %d %d" % (self.epoch, priority, number):
                self.log.note(Corrupt(f"{name} was answered with {delivery.payload!r}"))
            self.log.note(Answered(*name, error))
            self._mesh.done(delivery)
            return
        epoch, priority, number = numbers_in(delivery.payload)
        if (epoch, priority) != (delivery.epoch, delivery.priority):
            self.log.note(Corrupt(f"{delivery}"))
        handled = Handled(delivery.peer, epoch, priority, number, now_ns())
        stream = (delivery.peer, epoch, priority)
        if number > self._applied.get(stream, 0):
            self._applied[stream] = number
            self.log.note(handled, Applied(delivery.peer, epoch, priority, number))
        else:
            self.log.note(handled)
        if self._random.random() < 0.1:
            self._later.append(delivery)  # an answer that takes its time
        else:
            self._finish(delivery)

    def _finish(self, delivery: Delivery) -> None:
        reply = b"re:%d %d %d" % numbers_in(delivery.payload) if delivery.kind is MessageKind.REQUEST else None
        self._mesh.done(delivery, reply)

    def _on_dead_letters(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            epoch, priority, number = numbers_in(letter.payload)
            if letter.reason == "late":
                self.log.note(Late(letter.peer, epoch, priority, number))
            else:
                self.log.note(Letter(letter.peer, priority, number, letter.reason))

    def obey(self, word: str, argument: str) -> str:
        return str(self._mesh.pending())

    def settled(self) -> bool:
        return not self._mesh.pending() and not self._later

    def close(self) -> None:
        self._mesh.close()
        self._context.destroy(linger=0)
