"""The recovery of a reader over a wire that loses, repeats and reorders, beside plain books of what was published.

The hub of the model publishes in several lives, keeps a bounded number of the last records, and knows more or less of
how earlier lives ended. Its answers may be late, lost or absent. The books say at every step, and in the end, when the
wire works, that each record was handed out once and in order, or is counted: lost, or stood for by an image.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nautilus.bus.recovery import JOINING, LIVE, NEVER, REPLAYED, SNAPSHOT, Recovery, StreamState
from nautilus.bus.requests import Answer, Operation, Request, Status, matches, whole_kind

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "30"))
FOLDING, COUNTING = 1, 2
STREAMS = (FOLDING << 32 | 1, FOLDING << 32 | 2, COUNTING << 32 | 1)


@dataclass
class Life:
    """One life of the hub: streams, and from where on it has their records."""

    epoch: int
    last: dict[int, int] = field(default_factory=dict)
    kept: dict[int, int] = field(default_factory=dict)


@dataclass
class Story:
    """What a reader was handed of one stream in one epoch."""

    at: int = 0
    image_at: int = 0
    delivered: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    imaged: set[int] = field(default_factory=set)


class Reader(Recovery):
    """Writes down what it hands out."""

    def __init__(self, **options: Any) -> None:
        self.stories: dict[tuple[int, int], Story] = {}
        self.changes: list[tuple[int, int]] = []
        self.without_images = False
        super().__init__(**options)

    def story(self, state: StreamState) -> Story:
        return self.stories.setdefault((self.epoch, state.stream), Story())

    def open_stream(self, stream: int, joined: int) -> StreamState:
        return StreamState(stream, joined, folds=stream >> 32 == FOLDING)

    def on_records(self, state: StreamState, payload: Any, skip: int, count: int, flags: int) -> None:
        story = self.story(state)
        epoch, stream, first, whole = payload
        assert (epoch, stream) == (self.epoch, state.stream)
        assert 0 <= skip < skip + count == whole
        numbers = range(first + skip, first + skip + count)
        assert story.at < numbers[0], "an older record after a newer one"
        assert story.at in (0, numbers[0] - 1), "a hole that nobody was told of"
        story.at = numbers[-1]
        story.delivered.update(numbers)

    def on_image(self, state: StreamState, payload: Any, as_of: int) -> None:
        story = self.story(state)
        assert payload == (self.epoch, state.stream, as_of, 1)
        assert as_of > story.at, "an image older than a record"
        assert state.folds or state.joined == as_of + 1, "an image that stands for what counts"
        story.imaged.update(range(max(story.at + 1, state.joined), as_of + 1))
        if state.joined == as_of + 1:
            story.image_at = as_of
        story.at = as_of

    def on_lost(self, state: StreamState, first: int, last: int) -> None:
        story = self.story(state)
        assert last >= first > story.at
        assert story.at in (0, first - 1)
        story.lost.update(range(first, last + 1))
        story.at = last

    def on_new_epoch(self, before: int, epoch: int) -> None:
        assert epoch > before
        self.changes.append((before, epoch))

    def on_next(self, item: Any, now_ns: int) -> None:
        feed(self, item, now_ns)

    def _end_join(self, number: int, complete: bool, now_ns: int) -> None:
        self.without_images |= not complete
        super()._end_join(number, complete, now_ns)


def feed(reader: Reader, item: Any, now_ns: int) -> None:
    kind, epoch, *rest = item
    if kind == "answer":
        reader.take_answer(rest[0], now_ns)
    elif reader.admits(epoch, item, now_ns):
        if kind == "beat":
            reader.take_lasts(rest[0], now_ns)
        else:
            stream, first, count, flags = rest
            reader.take(stream, first, count, (epoch, stream, first, count), flags, now_ns)


class StarMachine(RuleBasedStateMachine):
    @initialize(
        joins=st.booleans(),
        held_limit=st.sampled_from([2, 5, 1_000]),
        window=st.sampled_from([1, 64]),
        asks=st.booleans(),
    )
    def begin(self, joins: bool, held_limit: int, window: int, asks: bool) -> None:
        self.now_ns = 1
        self.lives = [Life(1)]
        self.forgotten: set[int] = set()
        self.wire: list[Any] = []
        self.questions: list[Request] = []
        self.images: list[Any] = []
        self.asks, self.joins = asks, asks and joins
        self.reader = Reader(
            asks=asks,
            joins=(whole_kind(FOLDING), whole_kind(COUNTING)) if joins else (),
            retry_ns=10,
            deadline_ns=200,
            absent_ns=400,
            held_limit=held_limit,
            window=window,
        )

    # The hub

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @rule(stream=st.sampled_from(STREAMS), count=st.integers(1, 4), fate=st.sampled_from(["wire", "wire", "lost"]))
    def publish(self, stream: int, count: int, fate: str) -> None:
        first = self.life.last.get(stream, 0) + 1
        self.life.last[stream] = first + count - 1
        self.life.kept.setdefault(stream, 1)
        if fate == "wire":
            self.wire.append(("records", self.life.epoch, stream, first, count, 0))

    @rule()
    def beat(self) -> None:
        self.wire.append(("beat", self.life.epoch, list(self.life.last.items())))

    @rule(stream=st.sampled_from(STREAMS), share=st.integers(0, 4))
    def run_out_of_room(self, stream: int, share: int) -> None:
        last = self.life.last.get(stream, 0)
        if last:
            self.life.kept[stream] = max(self.life.kept[stream], last + 2 - share)

    @rule(known=st.booleans(), keeps=st.booleans())
    def begin_a_new_life(self, known: bool, keeps: bool) -> None:
        if not known:
            self.forgotten.add(self.life.epoch)
        if not keeps:
            self.life.kept = {stream: last + 1 for stream, last in self.life.last.items()}
        self.lives.append(Life(self.life.epoch + 1))

    @precondition(lambda self: self.questions)
    @rule(fate=st.sampled_from(["answer", "answer", "lost", "part"]), most=st.integers(1, 5))
    def answer(self, fate: str, most: int) -> None:
        request = self.questions.pop(0)
        if fate == "lost":
            return
        frames, last_word = self.reply(request, most if fate == "part" else 1_000)
        self.wire += frames
        self.wire.append(("answer", 0, last_word))

    def reply(self, request: Request, most: int) -> tuple[list[Any], Answer]:
        operation, number, epoch, stream, first, last, streams = request
        life = next((life for life in self.lives if life.epoch == epoch), None)
        if operation == Operation.END:
            if life is None or life.epoch in self.forgotten:
                return [], Answer(operation, number, epoch)
            return [], Answer(operation, number, epoch, 0, 0, 0, Status.KNOWN, epoch + 1, rows=tuple(life.last.items()))
        if operation == Operation.SNAPSHOT:
            frames = [
                ("records", self.life.epoch, stream, last, 1, SNAPSHOT)
                for stream, last in self.life.last.items()
                if matches(streams, stream)
            ]
            self.images += frames
            return frames, Answer(operation, number, self.life.epoch, status=Status.COMPLETE)
        assert life is not None
        assert 0 < first <= last <= life.last.get(stream, 0)
        begin = max(first, life.kept.get(stream, 1))
        if begin > first and stream >> 32 == FOLDING and life is self.life:
            frames = [("records", epoch, stream, life.last[stream], 1, SNAPSHOT)]
            self.images += frames
            return frames, Answer(operation, number, epoch, stream, min(begin, last + 1), last, Status.KNOWN)
        if begin > last:
            return [], Answer(operation, number, epoch, stream, last + 1, last, Status.KNOWN)
        end = min(last, begin + most - 1)
        frames = [("records", epoch, stream, begin, end - begin + 1, REPLAYED)]
        return frames, Answer(operation, number, epoch, stream, begin, end, Status.KNOWN)

    # The wire

    @precondition(lambda self: self.wire)
    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        for item in self.wire[:count]:
            self.feed(item)
        del self.wire[:count]

    @precondition(lambda self: self.wire)
    @rule(place=st.integers(0, 10), again=st.booleans())
    def deliver_out_of_turn(self, place: int, again: bool) -> None:
        item = self.wire[place % len(self.wire)]
        if not again:
            self.wire.remove(item)
        self.feed(item)

    @precondition(lambda self: self.images)
    @rule(place=st.integers(0, 10))
    def deliver_an_old_image(self, place: int) -> None:
        self.feed(self.images[-1 - place % len(self.images)])

    @precondition(lambda self: self.wire)
    @rule(place=st.integers(0, 10))
    def lose(self, place: int) -> None:
        del self.wire[place % len(self.wire)]

    @rule(span_ns=st.sampled_from([1, 10, 50, 150, 500]))
    def wait(self, span_ns: int) -> None:
        end_ns = self.now_ns + span_ns
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + 10, end_ns)
            self.reader.tick(self.now_ns)
        self.collect()

    @precondition(lambda self: hasattr(self, "reader"))
    @rule(span_ns=st.sampled_from([1_000, 1_000_000]))
    def be_stopped(self, span_ns: int) -> None:
        """Nobody looks meanwhile: what was waited for just now is not given up."""
        reader = self.reader
        patient = all(self.now_ns - (state.since_ns or self.now_ns) < 30 for state in reader._recovering.values())
        before = reader.lost
        self.now_ns += span_ns
        reader.tick(self.now_ns)
        assert not patient or reader.lost == before
        self.collect()

    def feed(self, item: Any) -> None:
        before = {key: (story.at, len(story.delivered)) for key, story in self.reader.stories.items()}
        feed(self.reader, item, self.now_ns)
        self.reader.tick(self.now_ns)
        self.collect()
        assert all(self.reader.stories[key].at >= at for key, (at, _) in before.items())

    def collect(self) -> None:
        self.questions += self.reader.requests
        self.reader.requests.clear()

    # What must hold

    @invariant()
    def every_record_is_accounted_for(self) -> None:
        if not hasattr(self, "reader"):
            return
        reader = self.reader
        for stream, state in reader.streams.items():
            story = reader.story(state)
            if state.state == JOINING:
                assert not story.at
                continue
            assert state.settled == (
                state.joined - 1 + state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
            )
            assert state.delivered == len(story.delivered)
            assert state.lost == len(story.lost)
            assert not story.delivered & story.lost
            assert story.delivered | story.lost | story.imaged >= set(range(state.joined, state.expected))
            known = next(life for life in self.lives if life.epoch == reader.epoch).last.get(stream, 0)
            assert state.settled <= known
            assert (state.state == LIVE) == (not state.held and state.heard < state.expected)
        assert reader._held == sum(len(state.held) for state in reader.streams.values())
        assert max(reader._held, len(reader._next)) <= reader._held_limit

    @precondition(lambda self: hasattr(self, "reader"))
    @rule()
    def settle(self) -> None:
        """The wire works from here on: in the end nothing is missing, and what the hub has was not lost."""
        kept = dict(self.life.kept)
        lost_before = {stream: state.lost for stream, state in self.reader.streams.items()}
        same = self.reader.epoch == self.life.epoch
        for _ in range(400):
            while self.wire:
                self.feed(self.wire.pop(0))
            while self.questions:
                frames, last_word = self.reply(self.questions.pop(0), 1_000)
                for frame in frames:
                    self.feed(frame)
                self.feed(("answer", 0, last_word))
            self.beat()
            self.feed(self.wire.pop())
            if self.reader.epoch == self.life.epoch and not self.reader.waits and self.reader.synchronised:
                break
            self.now_ns += 5
            due_ns = self.reader.tick(self.now_ns)
            assert due_ns != NEVER or not self.reader.waits
            self.collect()
        else:
            raise AssertionError("it does not come to rest")
        for stream, last in self.life.last.items():
            state = self.reader.streams[stream]
            assert (state.state, state.settled) == (LIVE, last)
            if self.joins and not self.reader.without_images:
                assert state.joined - 1 in (0, self.reader.story(state).image_at)
            elif self.asks and self.reader.changes[0][1] != self.reader.epoch and not self.joins:
                assert state.joined == 1
            if self.asks and same and stream in lost_before and stream in kept:
                gone = sum(number < kept[stream] for number in self.reader.story(state).lost)
                assert state.lost - gone <= lost_before[stream]


StarMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestRecovery = StarMachine.TestCase


def test_images_are_asked_for_until_there_is_a_hub() -> None:
    """Nothing waits for them before that, and without them its books would begin in the middle."""
    reader = Recovery(asks=True, joins=STREAMS[:1], retry_ns=1, deadline_ns=50, absent_ns=20)
    for now_ns in range(1, 200):
        reader.tick(now_ns)
    reader.requests.clear()
    assert reader.admits(5, None, 300)
    reader.take_lasts([(STREAMS[0], 5)], 300)
    assert reader.streams[STREAMS[0]].state == JOINING
    reader.tick(301)
    assert [(each.operation, each.streams) for each in reader.requests] == [(Operation.SNAPSHOT, STREAMS[:1])]
    reader.take(STREAMS[0], 5, 1, object(), SNAPSHOT, 302)
    reader.take_answer(Answer(Operation.SNAPSHOT, reader.requests[0].number, 5, status=Status.COMPLETE), 302)
    assert (reader.images, reader.recovering, reader.streams[STREAMS[0]].settled) == (1, 0, 5)


def test_random_walks_come_to_rest_with_nothing_unaccounted_for() -> None:
    for seed in range(SEEDS):
        generator = random.Random(seed)
        machine = StarMachine()
        machine.begin(
            generator.random() < 0.5, generator.choice([2, 5, 1_000]), generator.choice([1, 64]), seed % 4 > 0
        )
        for _ in range(400):
            dice = generator.random()
            if dice < 0.35:
                machine.publish(
                    generator.choice(STREAMS), generator.randint(1, 4), generator.choice(["wire", "wire", "lost"])
                )
            elif dice < 0.45:
                machine.beat()
            elif dice < 0.47:
                machine.run_out_of_room(generator.choice(STREAMS), generator.randint(0, 4))
            elif dice < 0.48:
                machine.begin_a_new_life(generator.random() < 0.7, generator.random() < 0.7)
            elif dice < 0.55:
                machine.wait(generator.choice([1, 10, 50, 150, 500]))
            elif dice < 0.56:
                machine.be_stopped(generator.choice([1_000, 1_000_000]))
            elif dice < 0.65 and machine.questions:
                machine.answer(generator.choice(["answer", "lost", "part"]), generator.randint(1, 5))
            elif machine.images and dice < 0.67:
                machine.deliver_an_old_image(generator.randint(0, 3))
            elif machine.wire and dice < 0.9:
                machine.deliver(generator.randint(1, 8))
            elif machine.wire and dice < 0.95:
                machine.deliver_out_of_turn(generator.randint(0, 10), generator.random() < 0.5)
            elif machine.wire:
                machine.lose(generator.randint(0, 10))
            machine.every_record_is_accounted_for()
        machine.settle()
        machine.every_record_is_accounted_for()


def test_a_stream_that_begins_behind_the_images_is_had_from_its_first_record() -> None:
    reader = Recovery(asks=True, joins=STREAMS[:1], retry_ns=1, deadline_ns=50, absent_ns=20)
    assert reader.admits(5, None, 1)
    reader.tick(2)
    number = reader.requests.pop().number
    reader.take_answer(Answer(Operation.SNAPSHOT, number, 5, status=Status.COMPLETE), 3)
    reader.take(STREAMS[0], 2, 1, object(), 0, 4)
    reader.tick(5)
    [asked] = reader.requests
    assert (asked.operation, asked.stream, asked.first, asked.last) == (Operation.REPLAY, STREAMS[0], 1, 1)


def test_a_hub_that_speaks_again_is_asked_before_anything_is_given_up() -> None:
    reader = Recovery(asks=True, retry_ns=10, deadline_ns=200, absent_ns=400)
    stream = STREAMS[2]
    for number in (1, 3):
        assert reader.admits(5, None, 1)
        reader.take(stream, number, 1, object(), 0, 1)
    for now_ns in range(1, 301):  # longer than the deadline of a hub that speaks
        reader.tick(now_ns)
    reader.requests.clear()
    assert reader.admits(5, None, 301)
    for now_ns in range(301, 320):
        reader.tick(now_ns)
    assert reader.lost == 0
    reader.take(stream, 2, 1, object(), REPLAYED, 320)
    assert (reader.recovered, reader.lost, reader.recovering) == (1, 0, 0)
