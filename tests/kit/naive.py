"""Naive Python twins of the small kernels: same faces, no cleverness, slow."""

from __future__ import annotations

from collections import deque


class NaivePool:
    """Twin of nautilus.core.pool.Pool."""

    def __init__(self, record_bytes: int, capacity: int) -> None:
        self.capacity = capacity
        self.records = {index: bytes(record_bytes) for index in range(1, capacity + 1)}
        self.given_back: list[int] = []
        self.taken: set[int] = set()
        self.high_water = 0
        self.full = 0

    @property
    def used(self) -> int:
        return len(self.taken)

    def take(self) -> int:
        if self.given_back:
            index = self.given_back.pop()
        elif self.high_water < self.capacity:
            self.high_water += 1
            index = self.high_water
        else:
            self.full += 1
            return 0
        self.taken.add(index)
        return index

    def give(self, index: int) -> None:
        self.taken.remove(index)
        self.given_back.append(index)


class NaiveMap:
    """Twin of nautilus.core.hashmap.HashMap."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.entries: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, key: int) -> int | None:
        return self.entries.get(key)

    def put(self, key: int, value: int) -> bool:
        if key not in self.entries and len(self.entries) == self.max_entries:
            return False
        self.entries[key] = value
        return True

    def delete(self, key: int) -> int | None:
        return self.entries.pop(key, None)


class NaiveRing:
    """Twin of nautilus.core.ring.Ring on numbers in place of records."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting: deque[int] = deque()
        self.full = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def push_many(self, records: list[int]) -> int:
        room = self.capacity - len(self.waiting)
        self.waiting.extend(records[:room])
        self.full += len(records) > room
        return min(room, len(records))

    def drain(self, most: int) -> list[int]:
        return [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]


class NaiveHistogram:
    """Twin of nautilus.core.histogram.Histogram: keeps every value."""

    def __init__(self, highest: int) -> None:
        self.highest = highest
        self.values: list[int] = []
        self.refused = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def minimum(self) -> int:
        return min(self.values, default=0)

    @property
    def maximum(self) -> int:
        return max(self.values, default=0)

    def record(self, value: int) -> bool:
        if not 0 <= value <= self.highest:
            self.refused += 1
            return False
        self.values.append(value)
        return True

    @staticmethod
    def step(value: int) -> int:
        """Values are told apart in steps that keep their eleven leading bits."""
        return 1 << max(0, value.bit_length() - 11)

    def percentile(self, percent: float) -> int:
        if not self.values:
            return 0
        rank = max(1, int(percent * len(self.values) / 100 + 0.5))
        value = sorted(self.values)[rank - 1]
        low = value - value % self.step(value)
        return low if percent == 0 else low + self.step(value) - 1

    def counts(self) -> dict[int, int]:
        result: dict[int, int] = {}
        for value in sorted(self.values):
            low = value - value % self.step(value)
            result[low] = result.get(low, 0) + 1
        return result

    def mean(self) -> float:
        middles = [v - v % self.step(v) + self.step(v) // 2 for v in self.values]
        return sum(middles) / len(middles) if middles else 0.0


class NaiveCounters:
    """Twin of nautilus.core.counters.Counters."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: dict[str, int] = {}

    def open(self, name: str) -> int:
        if name not in self.values:
            self.names.append(name)
            self.values[name] = 0
        return self.names.index(name)

    def add(self, index: int, amount: int) -> None:
        self.values[self.names[index]] += amount

    def set(self, index: int, value: int) -> None:
        self.values[self.names[index]] = value

    def snapshot(self) -> dict[str, int]:
        return dict(self.values)
