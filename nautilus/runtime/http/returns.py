"""The way back from other threads to the thread of a loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from nautilus.model.message import Message


class Pending(Protocol):
    """Waits for a result."""

    def settle(self, result: Message | Exception, /) -> None:
        """Take it; in the loop's thread."""
        ...


class Returns:
    """Results that other threads bring to the thread of a loop: woken once for all that came together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._results: deque[tuple[Pending, Message | Exception]] = deque()
        self._woken = False

    def bind(self) -> None:
        """Called in the loop's thread, before the first result."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()

    def put(self, pending: Pending, result: Message | Exception) -> None:
        """From any thread."""
        self._results.append((pending, result))
        if not self._woken:
            # Taken back before the results are looked at: what comes later wakes again.
            self._woken = True
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody is there to be told
                self._results.clear()

    def _deliver(self) -> None:
        self._woken = False
        results = self._results
        while results:
            pending, result = results.popleft()
            pending.settle(result)
