"""The state machine of a reader of the star: in order, once, and every record accounted for. No socket, no clock.

Frames go in from any transport, in any order and mixture, and again; what comes out of each stream is in order. States
of a stream::

    JOINING ──image of it, or word that there is none──▶ RECOVERING ──nothing missing──▶ LIVE
                                                             ▲                             │
                                                             └── a number was skipped, ────┘
                                                                 or a heartbeat not reached

While a stream is not LIVE its live frames are held back, and what is missing is asked for: a replay of the records, or
an image that stands for all up to it. So an old record never overwrites a newer one. What nobody has any more, or
nobody gives within the deadline, is lost, and told. At all times, per stream::

    settled = joined - 1 + delivered + conflated + snapshotted + lost + unknown

`settled` is the last sequence of which all is decided; `heard` the last one heard of. What is held back in memory is
bounded: a frame beyond that is dropped, and asked for once its turn comes.

A new epoch of the publisher is held back as a whole until the earlier one is closed: the replayer says where each of
its streams ended, and what is missing up to there is asked for like any other gap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

from nautilus.bus.base import FrameFlag
from nautilus.bus.requests import Answer, Operation, Request, Status, matches
from nautilus.core.star_frames import StreamRow

LIVE: Final = 0
RECOVERING: Final = 1
JOINING: Final = 2
NEVER: Final = 1 << 62
SNAPSHOT, REPLAYED = int(FrameFlag.SNAPSHOT), int(FrameFlag.REPLAYED)
COUNTED: Final = (
    "delivered",
    "conflated",
    "snapshotted",
    "gaps",
    "recovered",
    "lost",
    "duplicates",
    "unknown",
    "stale",
)
Held = tuple[int, int, Any, int]
"""first, count, payload, flags."""
_first = itemgetter(0)


class StreamState(StreamRow):
    """Where a reader stands in one stream; `stream`, `expected` and `delivered` lie in C, for a judge to see.

    Attributes
    ----------
    joined : it answers for records from here on.
    expected : the next record that is not settled.
    heard : the last record that is known to exist.
    delivered, conflated, snapshotted, lost, unknown : records, as in the identity above.
    folds : the newest image says all that the records up to it say; without that, records passed over are lost.
    passed : the last record that is settled without its content: lost, or of a layout that is not known here.
    """

    __slots__ = (
        "conflated",
        "due_ns",
        "folds",
        "heard",
        "held",
        "joined",
        "lost",
        "number",
        "passed",
        "since_ns",
        "snapshotted",
        "state",
        "tries",
        "unknown",
    )

    def __init__(self, stream: int, joined: int, *, folds: bool = False) -> None:
        super().__init__(stream, joined)
        self.joined = joined
        self.heard = joined - 1
        self.conflated = self.snapshotted = self.lost = self.unknown = self.passed = 0
        self.folds = folds
        self.state = LIVE
        self.held: list[Held] = []
        self.number = 0  # of the request that is under way
        self.since_ns = self.due_ns = self.tries = 0

    @property
    def settled(self) -> int:
        """Last sequence of which all is decided."""
        return self.expected - 1


class Recovery:
    """All streams of one reader. The rim overrides `open_stream` and the methods that begin with ``on_``.

    Parameters
    ----------
    asks
        There may be a replayer. Without one a gap is lost at once, and a new epoch begins at once.
    joins
        Streams to begin with an image of, as numbers of a SNAPSHOT request; none: at the first frame.
    retry_ns, deadline_ns, absent_ns
        Before a question is asked again, twice as long each time; before what is missing counts as lost, from when a
        record last came of it; the same where the hub says nothing at all. Time in which the reader itself does
        nothing does not count: `retry_ns` at most from one `tick` to the next, or up to when that was to be. Nor does,
        once the hub speaks again, that in which it said nothing: `retry_ns` at most.
    held_limit
        Frames held back, of all streams together; as many of a next epoch.
    window
        Streams that are asked for at a time.

    Attributes
    ----------
    requests : to be sent, and taken out.
    epoch, epochs : the present one; how often a later one has begun.
    ends_unknown : epochs of which nobody could say where they ended.
    """

    def __init__(
        self,
        *,
        asks: bool = False,
        joins: Iterable[int] = (),
        retry_ns: int = 50_000_000,
        deadline_ns: int = 2_000_000_000,
        absent_ns: int = 10_000_000_000,
        held_limit: int = 16_384,
        window: int = 64,
    ) -> None:
        self.epoch = self.epochs = self.ends_unknown = 0
        self.synchronised = False
        self.delivered = self.conflated = self.snapshotted = self.recovered = self.lost = self.gaps = 0
        self.duplicates = self.unknown = self.stale = self.images = 0
        self.requests: list[Request] = []
        self.streams: dict[int, StreamState] = {}
        self.heard_ns = 0
        self.asks = asks
        self._retry_ns, self._deadline_ns, self._absent_ns = retry_ns, deadline_ns, absent_ns
        self._held_limit, self._window = held_limit, window
        self._held = 0
        self._numbers = 0
        self._counted_ns = NEVER
        self._recovering: dict[int, StreamState] = {}
        # (streams, since, due, tries) of each SNAPSHOT that is under way.
        self._joins: dict[int, list[Any]] = {}
        self._imaged: list[tuple[int, ...]] = []  # of which every image of this epoch has come
        self._next: deque[Any] = deque()
        self._next_epoch = 0
        self._floor = 0
        self._closing = self._end_known = False
        self._end = [0, 0, 0, 0]  # number, since, due, tries
        wanted = tuple(joins)
        if asks and wanted:
            self.join(wanted)

    # What the rim gives.

    def open_stream(self, stream: int, joined: int) -> StreamState | None:
        """State of a stream that begins; None: it is not wanted."""
        return StreamState(stream, joined)

    def on_records(self, state: StreamState, payload: Any, skip: int, count: int, flags: int) -> None:
        """`count` records of a frame, behind its first `skip`, are next."""

    def on_image(self, state: StreamState, payload: Any, as_of: int) -> None:
        """The image of a stream as of a sequence replaces what there was of it."""

    def on_lost(self, state: StreamState, first: int, last: int) -> None:
        """Records will not come."""

    def on_new_epoch(self, before: int, epoch: int) -> None:
        """A later life of the publisher begins; `streams` is empty. before: 0 where it is the first."""

    def on_live(self, state: StreamState, live: bool) -> None:
        """Nothing is missing in a stream, or no longer so."""

    def on_next(self, item: Any, now_ns: int) -> None:
        """What was held back of a later epoch is to be taken now."""

    def refuse_below(self, epoch: int) -> None:
        """There is a hub of this epoch: what is live of an earlier one is not taken any more, whoever still sends it.

        What is asked for of an earlier one is: its end has to be known.
        """
        self._floor = max(self._floor, epoch)
        if self.epoch < self._floor:
            for state in self.streams.values():
                self.on_live(state, False)  # from here on each frame is looked at

    # What comes.

    def admits(self, epoch: int, item: Any, now_ns: int) -> bool:
        """Whether a frame of this epoch is to be looked at now; one of a later epoch may be held back as `item`."""
        if epoch < self.epoch:
            self.stale += 1
            return False
        silent_ns = now_ns - self.heard_ns
        if silent_ns > self._retry_ns:
            # Who was away itself could not answer.
            self._put_off(silent_ns - self._retry_ns, now_ns)
        self.heard_ns = now_ns
        if epoch == self.epoch:
            return True
        if not self.epoch:
            self._enter(epoch, now_ns)
            return True
        if not self.asks:
            self.ends_unknown += 1  # there is nobody to tell
            self._enter(epoch, now_ns)
            return True
        if not self._closing:
            self._begin_closing(now_ns)
        if len(self._next) < self._held_limit:
            self._next.append((epoch, item))
        return False

    def take(self, stream: int, first: int, count: int, payload: Any, flags: int, now_ns: int) -> None:
        """A frame of the present epoch: `count` records from `first`. payload None: their layout is not known here."""
        state = self.streams.get(stream) or self._open(stream, first, now_ns)
        if state is None:
            return
        if flags & SNAPSHOT:
            self._take_image(state, first, payload, now_ns)
            return
        state.heard = max(state.heard, first + count - 1)
        if first <= state.expected and state.state != JOINING:
            if self._release(state, first, count, payload, flags):
                state.since_ns, state.tries = now_ns, 0
            if state.state == RECOVERING:
                self._advance(state, now_ns)
        elif state.state == LIVE and not self.asks:
            self._lose(state, first - 1)
            self._release(state, first, count, payload, flags)
        else:
            self._hold(state, first, count, payload, flags)
            if state.state == LIVE:
                self._recover(state, now_ns)

    def take_lasts(self, rows: Iterable[Iterable[int]], now_ns: int) -> None:
        """Last sequences of streams of the present epoch, from a heartbeat."""
        for stream, last in rows:
            state = self.streams.get(stream)
            if state is None:
                state = self._open(stream, last + 1, now_ns)
                if state is None:
                    continue
            self._hear(state, last, now_ns)
        self.synchronised = True

    def take_answer(self, answer: Answer, now_ns: int) -> None:
        """The last word on a request; one that is not under way any more is ignored."""
        if answer.operation == Operation.REPLAY:
            self._take_replayed(answer, now_ns)
        elif answer.operation == Operation.SNAPSHOT:
            if answer.epoch == self.epoch and not self._closing and answer.number in self._joins:
                self._end_join(answer.number, bool(answer.status & Status.COMPLETE), now_ns)
        elif self._closing and answer.epoch == self.epoch and not self._end_known:
            if answer.status & Status.KNOWN:
                for stream, last in answer.rows:
                    state = self.streams.get(stream) or self._open(stream, last + 1, now_ns)
                    if state is not None:
                        self._hear(state, last, now_ns)
                self._next_epoch = answer.next_epoch
                self._end_known = True
            else:
                self._give_end_up()
        self.tick(now_ns)

    def tick(self, now_ns: int) -> int:
        """Ask what is due to be asked, give up what is past its deadline; when to call again at the latest."""
        if not (self._recovering or self._joins or self._closing):
            self._counted_ns = NEVER
            return NEVER
        if now_ns > self._counted_ns:
            # Nobody looked for an answer for so long, as the process was stopped or busy.
            self._put_off(now_ns - self._counted_ns, now_ns)
        for number, join in list(self._joins.items()):
            if self._closing:
                break
            # Before there is a hub nothing waits for an image, and there will be one.
            if self.epoch and join[1] and now_ns - join[1] >= self._patience(join[1]):
                self._end_join(number, False, now_ns)
            elif now_ns >= join[2]:
                self._ask_again(join, now_ns)
                self.requests.append(Request(Operation.SNAPSHOT, number, streams=join[0]))
        for state in list(self._recovering.values())[: self._window]:
            self._pursue(state, now_ns)
        if self._closing:
            self._close(now_ns)
        due_ns = self._due()
        self._counted_ns = max(due_ns, now_ns + self._retry_ns)
        return due_ns

    def join(self, streams: tuple[int, ...], now_ns: int = 0) -> None:
        """Begin these streams with an image; those that are known go on as they are."""
        if streams and self.asks:
            self._joins[self._new_number()] = [streams, now_ns, 0, 0]

    def forget(self, stream: int) -> None:
        """A stream is not wanted any more."""
        state = self.streams.pop(stream, None)
        if state is not None:
            self._held -= len(state.held)
            self._recovering.pop(stream, None)
            self.on_live(state, False)

    @property
    def recovering(self) -> int:
        """Streams in which something is missing or being waited for."""
        return sum(state.state != LIVE for state in self.streams.values())

    @property
    def waits(self) -> bool:
        """Something is to be asked or waited for: `tick` is to be called."""
        return bool(self._recovering or self._joins or self._closing)

    @property
    def is_timed(self) -> bool:
        """Something was waited for at the last `tick`."""
        return self._counted_ns != NEVER

    def _put_off(self, away_ns: int, now_ns: int) -> None:
        """Deadlines are later by a time in which nobody could answer, or nobody looked."""
        for state in self._recovering.values():
            if state.since_ns:
                state.since_ns = min(state.since_ns + away_ns, now_ns)
        for question in (*self._joins.values(), self._end):
            if question[1]:
                question[1] = min(question[1] + away_ns, now_ns)

    # One stream.

    def _open(self, stream: int, at: int, now_ns: int) -> StreamState | None:
        joining = not self._closing and any(matches(join[0], stream) for join in self._joins.values())
        # What begins behind its images, or behind a heartbeat, is all meant for this reader.
        whole = self.synchronised or any(matches(wanted, stream) for wanted in self._imaged)
        state = self.open_stream(stream, 1 if whole and not joining else at)
        if state is None:
            return None
        self.streams[stream] = state
        if joining:
            state.state = JOINING
        else:
            self.on_live(state, True)
        return state

    def _hear(self, state: StreamState, last: int, now_ns: int) -> None:
        if last > state.heard:
            state.heard = last
            if state.state == LIVE and last >= state.expected:
                if self.asks:
                    self._recover(state, now_ns)
                else:
                    self._lose(state, last)

    def _release(self, state: StreamState, first: int, count: int, payload: Any, flags: int) -> int:
        """Hand out what is new of a frame that begins at or before what is expected; how much that was."""
        old = min(state.expected - first, count)
        self.duplicates += old
        fresh = count - old
        if not fresh:
            return 0
        state.expected = first + count
        if flags & REPLAYED:
            self.recovered += fresh
        if payload is None:
            state.unknown += fresh
            self.unknown += fresh
            state.passed = first + count - 1
        else:
            state.delivered += fresh
            self.delivered += fresh
            self.on_records(state, payload, old, fresh, flags)
        return fresh

    def _hold(self, state: StreamState, first: int, count: int, payload: Any, flags: int) -> None:
        held = state.held
        at = bisect_right(held, first, key=_first)
        if at and held[at - 1][:2] == (first, count):
            self.duplicates += count
            return
        if self._held >= self._held_limit:
            # What comes first fills the hole; what is dropped is asked for in its turn.
            if at == len(held):
                return
            held.pop()
            self._held -= 1
        held.insert(at, (first, count, payload, flags))
        self._held += 1

    def _recover(self, state: StreamState, now_ns: int) -> None:
        state.state = RECOVERING
        state.number = state.tries = 0
        state.since_ns = 0
        state.due_ns = now_ns
        self._recovering[state.stream] = state
        self.on_live(state, False)

    def _advance(self, state: StreamState, now_ns: int) -> None:
        """Hand out what is held and has its turn; LIVE where nothing is missing."""
        held, taken = state.held, 0
        for first, count, payload, flags in held:
            if first > state.expected:
                break
            taken += 1
            if self._release(state, first, count, payload, flags):
                state.since_ns, state.tries = now_ns, 0
        del held[:taken]
        self._held -= taken
        if not held and state.heard < state.expected:
            state.state = LIVE
            self._recovering.pop(state.stream, None)
            self.on_live(state, True)

    def _hole(self, state: StreamState) -> int:
        """Last sequence of what is missing next."""
        return state.held[0][0] - 1 if state.held else state.heard

    def _lose(self, state: StreamState, last: int) -> None:
        first = state.expected
        if last < first:
            return
        state.expected = last + 1
        state.passed = last
        state.lost += last - first + 1
        self.lost += last - first + 1
        self.gaps += 1
        self.on_lost(state, first, last)

    def _take_image(self, state: StreamState, as_of: int, payload: Any, now_ns: int) -> None:
        if state.state == JOINING:
            state.joined = state.expected = as_of + 1
        elif state.state == RECOVERING and state.folds and as_of >= state.expected:
            state.snapshotted += as_of + 1 - state.expected
            self.snapshotted += as_of + 1 - state.expected
            state.expected = as_of + 1
        else:
            # It says nothing that the records do not say, and they are here or will be.
            self._hear(state, as_of, now_ns)
            return
        state.heard = max(state.heard, as_of)
        if payload is not None:
            self.images += 1
            self.on_image(state, payload, as_of)
        else:
            state.passed = as_of
        self._resume(state, now_ns)

    def _resume(self, state: StreamState, now_ns: int) -> None:
        state.state = RECOVERING
        state.number = state.tries = state.since_ns = 0
        state.due_ns = now_ns
        self._recovering[state.stream] = state
        self._advance(state, now_ns)

    # Questions.

    def _new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _patience(self, since_ns: int) -> int:
        return self._deadline_ns if self.heard_ns > since_ns else self._absent_ns

    def _ask_again(self, question: list[Any], now_ns: int) -> None:
        """Note that a [_, since, due, tries] is asked now."""
        question[1] = question[1] or now_ns
        question[2] = now_ns + (self._retry_ns << min(question[3], 4))
        question[3] += 1

    def _pursue(self, state: StreamState, now_ns: int) -> None:
        state.since_ns = state.since_ns or now_ns
        if now_ns - state.since_ns >= self._patience(state.since_ns):
            self._lose(state, self._hole(state))
            state.since_ns, state.tries, state.due_ns = now_ns, 0, now_ns
            self._advance(state, now_ns)
        elif now_ns >= state.due_ns:
            state.number = self._new_number()
            state.due_ns = now_ns + (self._retry_ns << min(state.tries, 4))
            state.tries += 1
            first, last = state.expected, self._hole(state)
            self.requests.append(Request(Operation.REPLAY, state.number, self.epoch, state.stream, first, last))

    def _take_replayed(self, answer: Answer, now_ns: int) -> None:
        state = self._recovering.get(answer.stream)
        if state is None or answer.epoch != self.epoch or not answer.status & Status.KNOWN:
            return
        before = state.expected
        self._lose(state, min(answer.first - 1, self._hole(state)))
        if state.expected > before:
            state.since_ns, state.tries = now_ns, 0
        self._advance(state, now_ns)
        # What was sent and has not come is asked for again after a while, what is behind it at once.
        if answer.number == state.number and state.expected > answer.last:
            state.due_ns = now_ns

    def _end_join(self, number: int, complete: bool, now_ns: int) -> None:
        """There are no more images: what has none begins at its first record, or where it is now."""
        wanted = self._joins.pop(number)[0]
        if complete and wanted not in self._imaged:
            self._imaged.append(wanted)
        for stream, state in list(self.streams.items()):
            if state.state != JOINING or not matches(wanted, stream):
                continue
            if any(matches(join[0], stream) for join in self._joins.values()):
                continue
            state.joined = state.expected = 1 if complete else self._hole(state) + 1
            self._resume(state, now_ns)

    def _due(self) -> int:
        # While an epoch is closed no images of it are asked for.
        due_ns = NEVER if self._closing else min((join[2] for join in self._joins.values()), default=NEVER)
        for state in list(self._recovering.values())[: self._window]:
            due_ns = min(due_ns, state.due_ns, state.since_ns + self._patience(state.since_ns))
        if self._closing and not self._end_known:
            due_ns = min(due_ns, self._end[2])
        return due_ns

    # Epochs.

    def _enter(self, epoch: int, now_ns: int) -> None:
        before, self.epoch = self.epoch, epoch
        self.streams.clear()
        self._imaged.clear()
        self._recovering.clear()
        self._held = 0
        self._closing = self._end_known = False
        self._next_epoch = 0
        # All of a later life is meant for this reader, and can be asked for.
        self.synchronised = bool(before) and self.asks
        for join in self._joins.values():
            join[1:] = 0, 0, 0
        if before:
            self.epochs += 1
        self.on_new_epoch(before, epoch)

    def _begin_closing(self, now_ns: int) -> None:
        self._closing, self._end_known = True, False
        self._end = [self._new_number(), now_ns, 0, 0]
        for state in list(self.streams.values()):
            if state.state == JOINING:  # no image of it will come any more
                state.joined = state.expected = self._hole(state) + 1
                self._resume(state, now_ns)
        self.tick(now_ns)

    def _give_end_up(self) -> None:
        self.ends_unknown += 1
        self._end_known = True

    def _close(self, now_ns: int) -> None:
        end = self._end
        if not self._end_known:
            if now_ns - end[1] >= self._patience(end[1]):
                self._give_end_up()
            elif now_ns >= end[2]:
                self._ask_again(end, now_ns)
                self.requests.append(Request(Operation.END, end[0], self.epoch))
        if self._end_known and not self._recovering:
            first = min(epoch for epoch, _ in self._next)
            self._enter(self._next_epoch if self.epoch < self._next_epoch < first else first, now_ns)
            waiting, self._next = self._next, deque()
            for epoch, item in waiting:
                if self.admits(epoch, item, now_ns):
                    self.on_next(item, now_ns)
