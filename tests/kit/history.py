"""What happened, as each process wrote it down: one line an entry, which a kill of the process does not take back.

A process notes what it is about to do, then does it, then notes what came of it: an invocation without its end is a
thing of which nobody knows whether it happened. `judge_star` (`tests.kit.history_star`) and `judge_mesh`
(`tests.kit.history_mesh`) compare what all processes noted, and name each thing that must not be.

Times are of the machine's clock, which is the same in every process; they are used where nothing else orders two
entries of different processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec


class _Entry(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Entries are JSON arrays, the name of the entry first."""


class Life(_Entry):
    """A process begins; `role` is "hub", "reader" or "mesh"."""

    role: str
    epoch: int
    at_ns: int


class Ended(_Entry):
    """It ends in order, after all was settled."""

    at_ns: int


class Corrupt(_Entry):
    """Something arrived whose content is not what was sent under that number."""

    what: str


# -- star --------------------------------------------------------------------------------------------------------------


class Publishing(_Entry):
    """The hub is about to publish records `first` to `last` of a stream."""

    stream: int
    first: int
    last: int


class Published(_Entry):
    """It has: they are acknowledged."""

    stream: int
    last: int
    at_ns: int


class Beat(_Entry):
    """A heartbeat of this number was sent after all that stands above."""

    number: int


class Joined(_Entry):
    """A reader answers for a stream of an epoch from this sequence on."""

    epoch: int
    stream: int
    first: int


class Delivered(_Entry):
    """Records were handed out."""

    epoch: int
    stream: int
    first: int
    last: int
    at_ns: int
    path: str = ""


class Conflated(_Entry):
    """Newer ones of the stream stand for these records, by the policy of the reader; the bus counts them."""

    epoch: int
    stream: int
    first: int
    last: int


class Imaged(_Entry):
    """A snapshot stands for all records up to this one."""

    epoch: int
    stream: int
    last: int


class Gap(_Entry):
    """Records were reported as lost for good."""

    epoch: int
    stream: int
    first: int
    last: int


class Unended(_Entry):
    """The reader counted that nobody could tell it where this epoch ended, and it does not ask: something may lack."""

    epoch: int


class Known(_Entry):
    """After a heartbeat: the last sequence that the reader has heard of, for each stream."""

    epoch: int
    beat: int
    lasts: tuple[tuple[int, int], ...]


class Served(_Entry):
    """Somebody asked for the last value of a stream and was given this record of it, marked stale or not."""

    epoch: int
    stream: int
    sequence: int
    at_ns: int
    stale: bool


# -- mesh --------------------------------------------------------------------------------------------------------------


class Posting(_Entry):
    """A message is about to be posted; (peer, priority, number) names it within the life of the sender."""

    peer: str
    priority: int
    number: int
    request: bool


class Quiet(_Entry):
    """Nothing is pending: all that was posted above is acknowledged, answered or given up."""

    at_ns: int


class Letter(_Entry):
    """An own message ended as a dead letter."""

    peer: str
    priority: int
    number: int
    reason: str


class Late(_Entry):
    """A receiver refused a message, as its deadline had passed: a dead letter of the receiver."""

    sender: str
    epoch: int
    priority: int
    number: int


class Answered(_Entry):
    """A request was answered: with its own content, or with an error."""

    peer: str
    priority: int
    number: int
    error: bool


class Unknown(_Entry):
    """What became of a request is unknown."""

    peer: str
    priority: int
    number: int


class Handled(_Entry):
    """A handler ran for a message; what follows it in the log was noted after that."""

    sender: str
    epoch: int
    priority: int
    number: int
    at_ns: int


class Applied(_Entry):
    """Its effect was made, by a receiver that keys its state on the number."""

    sender: str
    epoch: int
    priority: int
    number: int


Entry = (
    Life
    | Ended
    | Corrupt
    | Publishing
    | Published
    | Beat
    | Joined
    | Delivered
    | Conflated
    | Imaged
    | Gap
    | Known
    | Unended
    | Served
    | Posting
    | Quiet
    | Letter
    | Late
    | Answered
    | Unknown
    | Handled
    | Applied
)
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Entry).decode


class Violation(NamedTuple):
    """Something that must not be: its kind in one word, where, and what was seen."""

    kind: str
    where: str
    what: str


class Log:
    """The writing side: one write for each entry, to the end of the file. It outlives the process, not the machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, *entries: Entry) -> None:
        """Append entries, all of them in one write."""
        text = b"".join([_ENCODE(entry) + b"\n" for entry in entries])
        written = os.write(self._descriptor, text)
        assert written == len(text), "the disk of the test is full"


class Epoch(NamedTuple):
    """One life of a process, as it wrote it down."""

    process: str
    life: Life
    entries: list[Entry]

    @property
    def ended(self) -> bool:
        """Whether it came to its end in order."""
        return bool(self.entries) and isinstance(self.entries[-1], Ended)


def read(path: Path) -> list[Epoch]:
    """The lives of one process. A line without its end is what a kill cut off: it was not noted."""
    return lives(path.stem, map(_DECODE, path.read_bytes().split(b"\n")[:-1]))


def lives(process: str, entries: Iterator[Entry]) -> list[Epoch]:
    """The entries of one process by its lives."""
    found: list[Epoch] = []
    for entry in entries:
        if isinstance(entry, Life):
            found.append(Epoch(process, entry, []))
        else:
            found[-1].entries.append(entry)
    return found


def read_all(directory: Path) -> list[Epoch]:
    """The lives of every process that wrote a log there."""
    return [life for path in sorted(directory.glob("*.history")) for life in read(path)]
