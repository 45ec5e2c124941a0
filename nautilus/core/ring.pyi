"""Python face of the ring, and loops that drive it from two threads."""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class Received(TypedDict):
    received: int
    lost: int
    torn: int
    reordered: int

class Ring:
    """One producer thread, one consumer thread. Bounded queue of records of `record_bytes` bytes."""

    def __init__(self, record_bytes: int, capacity: int, huge: bool = False, prefault: bool = False) -> None: ...
    def push_many(self, records: Buffer) -> int:
        """Copy records in, in order; how many there was room for. Fewer than given moves `full`."""
    def drain(self, buffer: Buffer) -> int:
        """Copy waiting records out to the front of the buffer, oldest first; how many."""
    def __len__(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def record_bytes(self) -> int: ...
    @property
    def full(self) -> int: ...

def send_sequence(ring: Ring, count: int, batch: int) -> None:
    """Push `count` numbered records, publishing every `batch`; without the interpreter lock."""

def receive_sequence(ring: Ring, count: int, batch: int) -> Received:
    """Take `count` records of `send_sequence`, releasing every `batch`, and judge every word of each."""

def ping(out: Ring, back: Ring, round_trip_ns: NDArray[np.int64]) -> int:
    """Send a record, wait for its echo, note the time, for each element; echoes that did not match."""

def pong(out: Ring, back: Ring, count: int) -> None:
    """Echo `count` records of `ping`."""
