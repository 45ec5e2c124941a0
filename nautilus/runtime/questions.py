"""Questions that other threads ask the engines of a host: handed to its thread, answered with a future."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from functools import partial

from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.messages import Messages

ANSWER_NS = 10 * NANOSECONDS
"""A question is answered within this time, or not at all."""
AT_ONCE = 16
"""Taken at one time before other work is looked at."""


class StoppingError(BusError):
    """The process is about to end."""

    code = "bus.stopping"


class Questions:
    """Of one host; only `ask` is for other threads."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._waiting: deque[tuple[str, Message, Future[Message], int]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """Readable when there is something to `take`."""
        return self._wake

    def ask(self, engine: str, message: Message, trace: int = 0) -> Future[Message]:
        """Ask an engine, within a trace where there is one; an exception says why there is no answer."""
        answer: Future[Message] = Future()
        self._waiting.append((engine, message, answer, trace))
        with self._lock:  # once closed, its number may be another descriptor's
            if not self._closed:
                os.eventfd_write(self._wake, 1)
                return answer
        self.refuse()
        return answer

    def take(self, messages: Messages) -> None:
        """Put what was asked to the engines."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        for _ in range(min(len(self._waiting), AT_ONCE)):
            engine, message, answer, trace = self._waiting.popleft()
            if answer.set_running_or_notify_cancel():
                try:
                    messages.ask(engine, message, partial(_settle, answer), ANSWER_NS, trace)
                except Exception as error:
                    _settle(answer, error)
        messages.drain()
        if self._waiting:
            os.eventfd_write(self._wake, 1)

    def refuse(self) -> None:
        """Answer everything that waits with a StoppingError."""
        with contextlib.suppress(IndexError):
            while True:
                answer = self._waiting.popleft()[2]
                _settle(answer, StoppingError("the process is about to end", where=self._process))

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
