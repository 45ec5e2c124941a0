"""What is to be sent, for a moment: so that what comes close together goes together. Pure: no socket, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from nautilus.model.enums import Priority

Item = TypeVar("Item")
MOST_MS = 25
"""Nothing waits longer."""
CAPACITY = 50_000
NEVER = 1 << 62


class SendBuffer(Generic[Item]):
    """Bounded; the smaller priority leaves first, and what is urgent does not wait.

    Parameters
    ----------
    interval_ns
        How long the first of those that go together waits; 0: nothing waits.
    capacity
        Messages; one more is refused and counted.

    Attributes
    ----------
    refused : messages that there was no room for.
    """

    def __init__(self, interval_ns: int = 0, capacity: int = CAPACITY) -> None:
        if not 0 <= interval_ns <= MOST_MS * 1_000_000:
            raise ValueError(f"interval of {interval_ns} ns; expected 0 to {MOST_MS} ms")
        if capacity < 1:
            raise ValueError(f"capacity of {capacity}; expected 1 or more")
        self.refused = 0
        self._interval_ns = interval_ns
        self._capacity = capacity
        self._waiting: dict[int, deque[Item]] = {int(priority): deque() for priority in sorted(Priority)}
        self._count = 0
        self._due_ns = NEVER

    def __len__(self) -> int:
        return self._count

    @property
    def due_ns(self) -> int:
        """When `take` should be called."""
        return self._due_ns

    def put(self, item: Item, priority: int, now_ns: int, *, first: bool = False) -> bool:
        """Keep an item; False: there is no room. `first`: of a priority topic, it waits for nothing."""
        if self._count >= self._capacity:
            self.refused += 1
            return False
        if first:
            priority = min(priority, Priority.URGENT)
        self._waiting[priority].append(item)
        self._count += 1
        at_once = priority <= Priority.URGENT
        self._due_ns = min(self._due_ns, now_ns if at_once else now_ns + self._interval_ns)
        return True

    def take(self, now_ns: int) -> Iterator[Item]:
        """Everything, once it is due; the smaller priority first, in order within one."""
        if now_ns < self._due_ns:
            return
        self._due_ns = NEVER
        try:
            for waiting in self._waiting.values():
                while waiting:
                    self._count -= 1
                    yield waiting.popleft()
        finally:
            if self._count:  # who takes them could not send one: the others wait no longer for that
                self._due_ns = now_ns


__all__ = ["CAPACITY", "MOST_MS", "SendBuffer"]
