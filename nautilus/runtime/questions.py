"""Questions that other threads ask the engines of a host: handed to its thread, answered with a future.

What waits is taken by its priority (`nautilus.policy.shedding`), and within one in the order in which it came. An
engine's limit keeps what HTTP lets in short; that, too, is bounded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial

from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.policy.shedding import PRIORITIES, index_of
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.messages import Messages
from nautilus.runtime.protection import MOST_WAITING, FullError

ANSWER_NS = 10 * NANOSECONDS
"""A question is answered within this time, or not at all."""
AT_ONCE = 16
"""Taken at one time before other work is looked at."""
_NORMAL = index_of("normal")


class StoppingError(BusError):
    """The process is about to end."""

    code = "bus.stopping"


Told = Callable[["Message | Exception"], None]
"""Takes the reply, or why there is none, in the host's thread; it must not raise."""


class Question:
    """One that waits for its turn, or has had it.

    Attributes
    ----------
    begun_ns : when its turn came, on the machine's clock; 0: not yet.
    """

    __slots__ = ("_queue", "_seen", "answer", "begun_ns", "engine", "message", "told", "trace")

    def __init__(
        self, queue: Queue, engine: str, message: Message, trace: int, told: Told, answer: Future[Message] | None
    ) -> None:
        self._queue = queue
        self._seen = queue.taken
        self.engine = engine
        self.message = message
        self.trace = trace
        self.told = told
        self.answer = answer
        self.begun_ns = 0

    def withdraw(self) -> bool:
        """Take it back, from any thread, where others have had their turn meanwhile and it has not.

        Where none has, the engine hangs, and what waits is as lost as what it hangs in.
        """
        return self._queue.taken != self._seen and self._queue.remove(self)


class Queue:
    """What waits, the most important first. Each step is one of a deque: `put` and `remove` are for any thread."""

    __slots__ = ("_lanes", "_refused", "taken")

    def __init__(self, refused: Callable[[], object]) -> None:
        self._refused = refused
        self._lanes: tuple[deque[Question], ...] = tuple(deque() for _ in PRIORITIES)
        self.taken = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def put(self, question: Question, priority: int) -> None:
        """Behind all of its priority. Raises FullError where too many would be before it."""
        before = sum(map(len, self._lanes[: priority + 1]))
        if before >= MOST_WAITING:
            self._refused()
            raise FullError(f"{before} requests wait", where=question.engine, expected="less at once")
        self._lanes[priority].append(question)

    def remove(self, question: Question) -> bool:
        """Whether it still waited."""
        for lane in self._lanes:
            with contextlib.suppress(ValueError):
                lane.remove(question)
                return True
        return False

    def take(self) -> Question | None:
        """The first."""
        for lane in self._lanes:
            if lane:
                try:
                    question = lane.popleft()
                except IndexError:  # withdrawn just now
                    continue
                self.taken += 1
                return question
        return None


class Questions:
    """Of one host; only `ask` and `put` are for other threads.

    Parameters
    ----------
    process
        Its name.
    refused
        Called for each question that is refused as too many wait, in the thread of who asks.
    """

    def __init__(self, process: str, refused: Callable[[], object] = lambda: None) -> None:
        self._process = process
        self._waiting = Queue(refused)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._woken = False
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """Readable when there is something to `take`."""
        return self._wake

    def ask(self, engine: str, message: Message, trace: int = 0) -> Future[Message]:
        """Ask an engine, within a trace where there is one; an exception says why there is no answer."""
        answer: Future[Message] = Future()
        told = partial(_settle, answer)
        self._waiting.put(Question(self._waiting, engine, message, trace, told, answer), _NORMAL)
        if self._closed:
            self.refuse()
        elif not self._woken:
            self._rouse()
        return answer

    def put(self, engine: str, message: Message, trace: int, told: Told, priority: int = _NORMAL) -> Question:
        """The same for the thread of an event loop, without a future: `told` is called once, in the host's thread.

        The host is woken once for all that the loop finds together, after it has taken that in: woken by the first,
        both threads would be after the interpreter at once.
        """
        question = Question(self._waiting, engine, message, trace, told, None)
        self._waiting.put(question, priority)
        if self._closed:
            self.refuse()
        elif not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._rouse)
        return question

    def take(self, messages: Messages) -> None:
        """Put what was asked to the engines."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        # Taken back before the questions are looked at: what comes later wakes again.
        self._woken = False
        for _ in range(min(len(self._waiting), AT_ONCE)):
            question = self._waiting.take()
            if question is None:
                break
            question.begun_ns = monotonic_ns()
            engine, message, answer, told = question.engine, question.message, question.answer, question.told
            try:
                if answer is None and not question.trace:
                    # Whoever asked has a deadline of its own: nothing is noted, and the handler called right here.
                    messages.serve(engine, message, told)
                    messages.between()
                elif answer is None or answer.set_running_or_notify_cancel():
                    messages.ask(engine, message, told, ANSWER_NS, question.trace)
                    messages.settle()  # at once: in line behind others a later one that is more important would wait
            except Exception as error:
                told(error)
        messages.drain()
        if self._waiting:
            self._rouse()

    def _rouse(self) -> None:
        """Wake the host's thread, once for all that waits."""
        self._woken = True
        with self._lock:  # once closed, its number may be another descriptor's
            if not self._closed:
                os.eventfd_write(self._wake, 1)
                return
        self.refuse()

    def refuse(self) -> None:
        """Answer everything that waits with a StoppingError."""
        while (question := self._waiting.take()) is not None:
            question.told(StoppingError("the process is about to end", where=self._process))

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True
            os.close(self._wake)
        self.refuse()


def _settle(answer: Future[Message], result: Message | Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # whoever asked waits no longer
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
