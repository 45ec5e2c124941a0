"""A stream of the mesh over a wire that loses, repeats and reorders, beside plain books of what happened.

The books know every message by its number: in which lives of the receiver it was delivered, whether its handler has
run, whether it was given up. They are held against what the two ends say after each step, and in the end, once the
wire works, against the promise: delivered or given up, in order, once in a life, and every loss told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nautilus.core.mesh_wire import Answer, Envelope, MessageKind, pack, pack_answers, unpack, unpack_answers
from nautilus.core.receive_stream import AHEAD, DELIVER, DUPLICATE, REFUSED, ReceiveStream
from nautilus.core.send_stream import SendStream
from tests.kit.effort import share
from tests.kit.naive_receive_stream import NaiveReceiveStream
from tests.kit.naive_send_stream import NaiveSendStream

COMMAND, REQUEST = MessageKind.COMMAND, MessageKind.REQUEST
ACKNOWLEDGED, REPLY, RESEND = MessageKind.ACKNOWLEDGED, MessageKind.REPLY, MessageKind.RESEND


@dataclass
class Entry:
    """What happened to one message."""

    kind: MessageKind
    sequence: int
    delivered: list[int] = field(default_factory=list)  # lives of the receiver
    handled: list[int] = field(default_factory=list)
    settled: bool = False
    given_up: bool = False


class StreamMachine(RuleBasedStateMachine):
    new_sender: Any
    new_receiver: Any

    @initialize(window=st.integers(1, 32), merge_at=st.integers(1, 8))
    def begin(self, window: int, merge_at: int) -> None:
        self.window = window
        self.merge_at = merge_at
        self.now_ns = 0
        self.number = 0
        self.life = 1
        self.epoch = 0
        self.out: list[bytes] = []
        self.back: list[bytes] = []
        self.receiver = self.new_receiver()
        self.undone: list[Envelope] = []
        self.last_delivered: tuple[int, int] = (0, 0)
        self.restart_sender()

    # The sender

    def restart_sender(self) -> None:
        self.epoch += 1
        self.sender = self.new_sender(
            self.epoch, window=self.window, retry_ns=10, retry_limit_ns=40, merge_at=self.merge_at
        )
        self.books: dict[int, Entry] = {}
        self.told: set[int] = set()
        self.passed: set[int] = set()

    @rule(
        kind=st.sampled_from([COMMAND, REQUEST]),
        patience_ns=st.sampled_from([0, 0, 1, 15, 100]),
        count=st.sampled_from([1, 1, 1, 2, 5, 20]),
        at_once=st.booleans(),
    )
    def post(self, kind: MessageKind, patience_ns: int, count: int, at_once: bool) -> None:
        for _ in range(count):
            self.number += 1
            deadline_ns = self.now_ns + patience_ns if patience_ns else 0
            envelope = Envelope(kind, self.number, self.epoch, 0, 0, 4, deadline_ns)
            goes = self.sender.append(envelope)
            assert goes == (self.sender.peek() is envelope)
            self.books[self.number] = Entry(kind, envelope.sequence)
        if at_once:
            self.send(count)

    @rule(most=st.integers(1, 32))
    def send(self, most: int) -> None:
        while most and (envelope := self.sender.peek()) is not None:
            self.out.append(pack([envelope]))
            self.sender.sent(envelope, self.now_ns)
            most -= 1

    @rule(step_ns=st.sampled_from([1, 10, 60]))
    def pass_time(self, step_ns: int) -> None:
        self.now_ns += step_ns
        self.give_up(self.sender.expire(self.now_ns))
        self.out += [pack([envelope]) for envelope in self.sender.retry(self.now_ns)]

    @rule()
    def reconnect(self) -> None:
        self.out += [pack([envelope]) for envelope in self.sender.resume()]

    @precondition(lambda self: self.sender.live > 3)
    @rule()
    def cut(self) -> None:
        self.give_up(self.sender.cut())
        assert self.sender.live == 0

    def give_up(self, gone: list[Envelope]) -> None:
        for envelope in gone:
            entry = self.books[envelope.id]
            assert not entry.settled
            assert not entry.given_up
            entry.given_up = True

    @precondition(lambda self: self.epoch < 3)
    @rule(chance=st.integers(0, 9))
    def kill_sender(self, chance: int) -> None:
        if not chance:
            self.restart_sender()

    # The wire

    @precondition(lambda self: self.out)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        # Mostly in order, so that something gets through.
        index = data.draw(st.one_of(st.just(0), st.integers(0, len(self.out) - 1)))
        self.arrive(self.out[index] if again else self.out.pop(index))

    @precondition(lambda self: len(self.out) > 1)
    @rule(most=st.integers(2, 32))
    def deliver_some(self, most: int) -> None:
        for _ in range(min(most, len(self.out))):
            self.arrive(self.out.pop(0))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))

    @precondition(lambda self: self.back)
    @rule(data=st.data(), again=st.booleans())
    def deliver_answer(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.one_of(st.just(0), st.integers(0, len(self.back) - 1)))
        self.come_back(self.back[index] if again else self.back.pop(index))

    @precondition(lambda self: self.back)
    @rule(data=st.data())
    def lose_answer(self, data: st.DataObject) -> None:
        self.back.pop(data.draw(st.integers(0, len(self.back) - 1)))

    def come_back(self, frame: bytes) -> None:
        (answer,) = unpack_answers(frame) or ()
        if answer.epoch != self.sender.epoch:
            return
        request = self.sender.answered_alone(answer) or self.sender.answered(answer, self.now_ns)
        if request is not None:
            entry = self.books[request.id]
            assert answer.id == request.id
            assert entry.handled
            assert not entry.settled
            assert not entry.given_up
            entry.settled = True

    @rule()
    def all_goes_well(self) -> None:
        """For once everything arrives, is handled and is answered, in order."""
        while (envelope := self.sender.peek()) is not None:
            self.out.append(pack([envelope]))
            self.sender.sent(envelope, self.now_ns)
        while self.out:
            self.arrive(self.out.pop(0))
        while self.undone:
            self.handler_has_run(self.undone.pop(0))
        while self.back:
            self.come_back(self.back.pop(0))

    @rule(seed=st.integers(0, 1 << 32))
    def a_busy_time(self, seed: int) -> None:
        """Bursts, deadlines, retries, losses, slow handlers, all at once: what single steps rarely come to."""
        chance = random.Random(seed)
        for _ in range(40):
            self.pass_time(chance.choice([1, 1, 10]))
            for _ in range(chance.choice([0, 0, 1, 3, 9])):
                self.post(chance.choice([COMMAND, REQUEST]), chance.choice([0, 0, 15, 100, 200]), 1, at_once=False)
            if chance.random() < 0.02 and self.sender.live:
                self.cut()
            if chance.random() < 0.05:
                self.reconnect()
            self.send(100)
            self.out, arriving = self.some_of(self.out, chance)
            for frame in arriving:
                self.arrive(frame)
            self.undone, handled = self.some_of(self.undone, chance)
            for envelope in handled:
                self.handler_has_run(envelope)
            self.back, answers = self.some_of(self.back, chance)
            for frame in answers:
                self.come_back(frame)
            self.the_sender_holds_every_place_without_a_hole()
            self.every_message_is_held_or_settled_or_given_up()

    def some_of(self, waiting: list[Any], chance: random.Random) -> tuple[list[Any], list[Any]]:
        """What waits on, and what is taken from the front; now and then one is lost on a wire, or has to wait."""
        most = chance.choice([0, 3, 10, 100])
        taken, rest = waiting[:most], waiting[most:]
        if taken and chance.random() < 0.2:
            odd = taken.pop(chance.randrange(len(taken)))
            if waiting is self.undone:
                rest.append(odd)
        return rest, taken

    @precondition(lambda self: self.undone)
    @rule(data=st.data())
    def all_but_one_goes_well(self, data: st.DataObject) -> None:
        """What was handled is settled, whatever before it is not."""
        open_one = self.undone.pop(data.draw(st.integers(0, len(self.undone) - 1)))
        self.all_goes_well()
        self.undone.append(open_one)
        if self.receiver.epoch == self.epoch:
            self.answer(Answer(ACKNOWLEDGED, 0, self.epoch, self.life, 4, 0, 0))
            self.come_back(self.back.pop())
            waiting = {envelope.id for envelope in self.sender.held.values() if envelope.kind is COMMAND}
            assert not any(number in waiting and self.life in self.books[number].handled for number in self.books)

    # The receiver

    def arrive(self, frame: bytes) -> None:
        (envelope,) = unpack(frame) or ()
        stream = self.receiver
        verdict = stream.accept(envelope)
        if verdict is REFUSED:
            assert envelope.epoch < self.epoch
            return
        if envelope.epoch == self.epoch and stream.skipped is not None:
            self.told_of(*stream.skipped)
        if verdict is DELIVER:
            # In order and once, within one life of either.
            assert (envelope.epoch, envelope.sequence) > self.last_delivered
            self.last_delivered = (envelope.epoch, envelope.sequence)
            self.undone.append(envelope)
            if envelope.epoch == self.epoch:
                entry = self.books[envelope.id]
                assert entry.sequence == envelope.sequence
                assert self.life not in entry.delivered
                assert envelope.sequence not in self.passed
                entry.delivered.append(self.life)
        elif verdict is AHEAD:
            if stream.ask(envelope.sequence):
                self.answer(Answer(RESEND, 0, stream.epoch, self.life, 4, 0, 0))
        elif verdict is DUPLICATE and envelope.sequence in stream.replies:
            self.answer(stream.replies[envelope.sequence])
        else:
            self.answer(Answer(ACKNOWLEDGED, 0, stream.epoch, self.life, 4, 0, 0))

    def told_of(self, first: int, last: int) -> None:
        for entry in self.books.values():
            if first <= entry.sequence <= last:
                assert self.life not in entry.delivered
                assert entry.given_up or entry.handled, "a gap names what is still to come"
                self.told.add(entry.sequence)
                self.passed.add(entry.sequence)

    def answer(self, answer: Answer) -> None:
        self.receiver.tell(answer)
        self.back.append(pack_answers([answer]))

    @precondition(lambda self: self.undone)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        index = data.draw(st.one_of(st.just(0), st.integers(0, len(self.undone) - 1)))
        self.handler_has_run(self.undone.pop(index))

    @precondition(lambda self: len(self.undone) > 1)
    @rule(most=st.integers(2, 32))
    def finish_some(self, most: int) -> None:
        for _ in range(min(most, len(self.undone))):
            self.handler_has_run(self.undone.pop(0))

    def handler_has_run(self, envelope: Envelope) -> None:
        stream = self.receiver
        if envelope.epoch == self.epoch:
            self.books[envelope.id].handled.append(self.life)
        if envelope.epoch != stream.epoch:
            return
        if envelope.kind is REQUEST:
            answer = Answer(REPLY, envelope.id, envelope.epoch, self.life, 4, 0, 0)
            waited_for = stream.reply(envelope.sequence, answer)
            assert not stream.reply(envelope.sequence, answer)
            if waited_for:
                self.back.append(pack_answers([answer]))
        else:
            waited_for = stream.finish(envelope.sequence)
            self.answer(Answer(ACKNOWLEDGED, 0, stream.epoch, self.life, 4, 0, 0))

        assert waited_for or envelope.sequence < stream.base, "what the sender holds is waited for"

    @precondition(lambda self: self.life < 5)
    @rule(chance=st.integers(0, 4))
    def kill_receiver(self, chance: int) -> None:
        if chance:
            return
        self.life += 1
        self.receiver = self.new_receiver()
        self.undone.clear()
        self.passed.clear()
        self.last_delivered = (0, 0)

    # What must be so

    @invariant()
    def the_sender_holds_every_place_without_a_hole(self) -> None:
        stream = self.sender
        sequence = stream.base
        for first, envelope in stream.held.items():
            assert first == sequence == envelope.sequence
            sequence = (envelope.id if envelope.kind > REQUEST else envelope.sequence) + 1
        assert sequence == stream.next_sequence
        assert stream.base <= stream.cursor <= stream.next_sequence
        assert stream.cursor == stream.next_sequence or stream.cursor in stream.held
        assert stream.base - 1 <= stream.received < stream.next_sequence

    @invariant()
    def every_message_is_held_or_settled_or_given_up(self) -> None:
        stream = self.sender
        held = {envelope.id for envelope in stream.held.values() if envelope.kind <= REQUEST}
        for number, entry in self.books.items():
            if number not in held and not entry.given_up:
                assert entry.handled, "forgotten before its handler has run"
                entry.settled = True
            assert (number in held) + entry.settled + entry.given_up == 1
        assert stream.live == len(held)
        assert stream.acknowledged == sum(entry.settled for entry in self.books.values())
        assert set(stream.requests) == {number for number in held if self.books[number].kind is REQUEST}

    def teardown(self) -> None:
        if not hasattr(self, "sender"):
            return
        # The wire works from here on, and nothing is given up any more.
        for _ in range(10_000):
            self.all_goes_well()
            if not self.sender.held:
                break
            self.now_ns += 50
            self.out += [pack([envelope]) for envelope in self.sender.retry(self.now_ns)]
        self.every_message_is_held_or_settled_or_given_up()
        assert not self.sender.held
        for entry in self.books.values():
            if not entry.given_up:
                assert entry.settled
            elif not entry.delivered:
                assert entry.sequence in self.told, "a loss that was not told"
        if self.books and self.receiver.epoch == self.epoch:
            assert self.receiver.handled == self.receiver.expected - 1


class CompiledMachine(StreamMachine):
    new_sender = SendStream
    new_receiver = ReceiveStream


class NaiveMachine(StreamMachine):
    new_sender = NaiveSendStream
    new_receiver = NaiveReceiveStream


TestCompiledMachine = CompiledMachine.TestCase
TestNaiveMachine = NaiveMachine.TestCase
TestCompiledMachine.settings = settings(max_examples=share(settings().max_examples, 3), stateful_step_count=60)
TestNaiveMachine.settings = settings(max_examples=max(6, settings().max_examples // 10), stateful_step_count=60)
