"""Readers of every policy in random stories, in one process and without a clock of their own, judged as histories are.

The wire loses frames, holds all of them up for some tenths of a second and is cut off with a life of the hub; a reader
looks now and then and takes what it wants. `tests.kit.history_star` says what must not be. Nobody asks for anything
here: that is in `test_recovery_machine` and the histories of processes.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from nautilus.bus.base import BY_KIND, HEADER, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, topic_bytes
from nautilus.bus.freshness import Freshness
from nautilus.bus.star_reader import Batch, StarReader
from nautilus.core.star_writer import FrameWriter
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from tests.kit import history_star_roles
from tests.kit.history import Beat, Entry, Epoch, Known, Life, Published, Publishing, Violation
from tests.kit.history_star import judge_star
from tests.kit.history_star_roles import HEARTBEAT_NS, Reader, records_of

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "12"))
MS = 1_000_000


class Notes:
    """A log in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, *entries: Entry) -> None:
        self.entries += entries


class Fed(StarReader):
    """A reader that is fed."""

    way = "fed"

    def drain(self, limit: int) -> list[Batch]:
        if self._freshness.ripe:
            self._freshness.prove()
        if self._queue is not None:
            return self._hand_out_queue(limit)
        out, self._out = self._out, []
        return out


class Story:
    """One reader, several lives of the hub, and the wire between them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ns = 10**15
        self.wire: list[tuple[int, bytes]] = []
        self.arrival_ns = self.held_ns = 0
        self.loss = self.random.choice((0, 0.05, 0.3))
        self.policy = self.random.choice(("queue", "conflate", "drop-oldest", "drop-oldest"))
        self.reader = self._reader()
        self.lives = [Epoch("reader", Life("reader", 1, 0), self.reader.log.entries)]  # type: ignore[attr-defined]

    def _reader(self) -> Reader:
        """The role of the processes, with a reader of the star that has no transports."""
        role: Any = Reader.__new__(Reader)
        role.log, role.settings, role._until, role._policy = Notes(), {}, (0, {}), self.policy
        role._gaps, role._cursors, role._values, role._books = [], {}, {}, {}
        role._conflated, role._sure, role._heard, role._served_ns = 0, True, (0, 0), 0
        role._subscriber = Fed(
            clock=lambda: self.now_ns,
            timer=lambda: self.now_ns,
            on_gap=role._on_gap,
            on_epoch=None,
            counters=None,
            positions=None,
            images=False,
            policy=self.policy,  # type: ignore[arg-type]
            capacity=self.random.choice((1, 5, 50)),
            heartbeat_ns=HEARTBEAT_NS,
            asks=False,
        )
        for topic in (QUOTES,) if self.policy == "conflate" else (QUOTES, TRADES, BOOK_DELTAS):
            role._subscriber._take_up(topic, None)
        found: Reader = role
        return found

    def live(self, epoch: int, steps: int) -> None:
        """A life of the hub."""
        random, writer, hub = self.random, FrameWriter(epoch), Notes()
        for kind in (1, 2, 3):
            writer.layout(kind, BY_KIND[kind].version, BY_KIND[kind].dtype)
        self.lives.append(Epoch("hub", Life("hub", epoch, self.now_ns), hub.entries))
        following: dict[tuple[int, int], int] = {}
        beats = due_ns = 0
        for _ in range(steps):
            self.now_ns += random.choice((1, 1, 2, 5)) * MS
            if random.random() < 0.01:
                self.held_ns = self.now_ns + random.choice((30, 100, 400)) * MS
            for _ in range(random.randint(0, 3)):
                kind, instrument, count = random.choice((1, 2, 3)), random.choice((1, 2)), random.choice((1, 2, 7, 30))
                first = following.get((kind, instrument), 1)
                following[kind, instrument] = first + count
                hub.note(Publishing(kind << 32 | instrument, first, first + count - 1))
                records = records_of(kind, epoch, instrument, first, count)
                self.send(*writer.pack(records, kind, self.now_ns, 1_000))
                hub.note(Published(kind << 32 | instrument, first + count - 1, self.now_ns))
            if self.now_ns >= due_ns:
                due_ns, beats = self.now_ns + HEARTBEAT_NS, beats + 1
                about = (len(writer), epoch, HEARTBEAT_STREAM, beats, self.now_ns)
                self.send(
                    HEADER.pack(topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, LAST.size, *about) + writer.lasts()
                )
                hub.note(Beat(beats))
            if random.random() < random.choice((0.05, 1)):
                self.look(random.choice((1, 3, 64)))
            self.reader._serve(self.now_ns)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            if self.random.random() >= self.loss:
                self.arrival_ns = max(self.arrival_ns, self.now_ns, self.held_ns)
                self.wire.append((self.arrival_ns, frame))

    def look(self, limit: int) -> None:
        """The reader takes in what has come, and is given some of it."""
        found = self.reader._subscriber
        while self.wire and self.wire[0][0] <= self.now_ns:
            found.feed(self.wire.pop(0)[1])
        self.reader._take(found.drain(limit))
        if found.epoch:
            lasts = {stream: max(state.heard, state.settled) for stream, state in found.streams.items()}
            self.reader.log.note(Known(found.epoch, found.heartbeats, tuple(lasts.items())))

    def end(self) -> None:
        """All that is on the wire comes, and all that waits is handed out."""
        self.now_ns = max(self.now_ns, self.arrival_ns)
        while self.wire or self.reader._subscriber._queue:
            self.look(64)


def told(monkeypatch: pytest.MonkeyPatch, seed: int) -> list[Violation]:
    story = Story(seed)
    monkeypatch.setattr(history_star_roles, "now_ns", lambda: story.now_ns)
    for number in range(1, story.random.randint(2, 4)):
        story.live(1_000 * number, story.random.choice((50, 300, 600)))
        if story.random.random() < 0.5:
            story.wire.clear()
    story.end()
    found = story.reader._subscriber
    for state in found.streams.values():
        counted = state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
        assert state.settled == state.joined - 1 + counted
    if story.policy == "conflate" and story.reader._sure:
        assert story.reader._conflated == found.conflated
    return judge_star(story.lives)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_record_is_handed_out_or_told_and_no_old_value_passes_for_a_new_one(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert told(monkeypatch, seed) == []


def test_a_reader_that_takes_a_heartbeat_for_fresh_when_it_comes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Freshness, "hear", lambda self, sent_ns, now_ns: setattr(self, "as_of_ns", now_ns))
    assert any(violation.kind == "stale" for seed in range(12) for violation in told(monkeypatch, seed))
