"""Judges what the processes of a mesh wrote down.

========== =============================================================================================================
phantom    a message was handled, answered or given up that nobody posted
corrupt    content that is another's
order      in one life of the receiver, a message of a stream after a later one of it
doubled    in one life of the receiver a message was handled twice, or an effect was made twice in any lives
redelivered handled in a life of the receiver that began after the sender knew it settled
lost       its sender knew it acknowledged, it is no dead letter of either end, and no handler ran for it
ineffective the same, of an effect
answers    a request had more than one of: answer, error, "unknown"
unanswered the sender has nothing pending any more, and a request had none of these
unsettled  a sender that ended in order had something pending
========== =============================================================================================================
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.kit.history import (
    Answered,
    Applied,
    Corrupt,
    Epoch,
    Handled,
    Late,
    Letter,
    Posting,
    Quiet,
    Unknown,
    Violation,
)


class Key(NamedTuple):
    """A message: its sender, that one's life, its receiver, priority and number."""

    sender: str
    epoch: int
    receiver: str
    priority: int
    number: int


class _Message:
    """What its sender noted about a message."""

    __slots__ = ("answers", "letter", "request", "settled_ns")

    def __init__(self, request: bool) -> None:
        self.request = request
        self.settled_ns = 0
        self.letter = ""
        self.answers = 0


class _Judge:
    """Collects from all lives, then compares."""

    def __init__(self) -> None:
        self.messages: dict[Key, _Message] = {}
        self.handled: dict[Key, int] = defaultdict(int)
        self.applied: Counter[Key] = Counter()
        self.keyed: set[str] = set()
        self.late: set[Key] = set()
        self.found: list[Violation] = []

    def tell(self, kind: str, where: object, what: object = "") -> None:
        self.found.append(Violation(kind, str(where), str(what)))

    def send(self, epoch: Epoch) -> None:
        """The sender's side of one life."""
        open_: list[_Message] = []
        for entry in epoch.entries:
            if isinstance(entry, Posting):
                key = Key(epoch.process, epoch.life.epoch, entry.peer, entry.priority, entry.number)
                message = self.messages[key] = _Message(entry.request)
                open_.append(message)
            elif isinstance(entry, Letter | Answered | Unknown):
                key = Key(epoch.process, epoch.life.epoch, entry.peer, entry.priority, entry.number)
                known = self.messages.get(key)
                if known is None:
                    self.tell("phantom", key, entry)
                elif isinstance(entry, Letter):
                    known.letter = entry.reason
                else:
                    known.answers += 1
            elif isinstance(entry, Quiet):
                for message in open_:
                    message.settled_ns = entry.at_ns
                open_.clear()
            elif isinstance(entry, Corrupt):
                self.tell("corrupt", epoch.process, entry.what)
        if epoch.ended and open_:
            self.tell("unsettled", epoch.process, f"{len(open_)} messages")

    def receive(self, epoch: Epoch) -> None:
        """The receiver's side of one life."""
        last: dict[tuple[str, int, int], int] = {}
        for entry in epoch.entries:
            if isinstance(entry, Handled):
                key = Key(entry.sender, entry.epoch, epoch.process, entry.priority, entry.number)
                stream = (entry.sender, entry.epoch, entry.priority)
                before = last.get(stream, 0)
                if entry.number <= before:
                    self.tell("doubled" if entry.number == before else "order", key, f"after {before}")
                last[stream] = max(before, entry.number)
                message = self.messages.get(key)
                if message is None:
                    self.tell("phantom", key, entry)
                elif message.settled_ns and message.settled_ns < epoch.life.at_ns:
                    self.tell("redelivered", key, f"settled before the life {epoch.life.epoch}")
                self.handled[key] += 1
            elif isinstance(entry, Late):
                self.late.add(Key(entry.sender, entry.epoch, epoch.process, entry.priority, entry.number))
            elif isinstance(entry, Applied):
                self.keyed.add(epoch.process)
                self.applied[Key(entry.sender, entry.epoch, epoch.process, entry.priority, entry.number)] += 1

    def compare(self) -> None:
        """What both sides say of each message."""
        for key, count in self.applied.items():
            if count > 1:
                self.tell("doubled", key, f"{count} effects")
            if key not in self.messages:
                self.tell("phantom", key, "an effect")
        for key, message in self.messages.items():
            if message.answers > 1 or (message.answers and not message.request):
                self.tell("answers", key, message.answers)
            if message.settled_ns and not message.letter and key not in self.late:
                if not self.handled[key]:
                    self.tell("lost", key, "acknowledged, and no handler ran")
                if key.receiver in self.keyed and not self.applied[key]:
                    self.tell("ineffective", key, "acknowledged, and no effect made")
            if message.settled_ns and message.request and not message.answers:
                self.tell("unanswered", key)


def judge_mesh(lives: Iterable[Epoch]) -> list[Violation]:
    """Everything that must not be in what the processes of a mesh wrote down."""
    found = [epoch for epoch in lives if epoch.life.role == "mesh"]
    judge = _Judge()
    for epoch in found:
        judge.send(epoch)
    for epoch in found:
        judge.receive(epoch)
    judge.compare()
    return judge.found
