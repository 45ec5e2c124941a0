"""iceoryx2 as a peer of the ring: its publish/subscribe from Python, where the package is installed.

Both ends send and receive as its own examples do. Who sleeps waits for its event service, which wakes readers.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, perf_counter_ns, time_ns
from typing import Any

import numpy as np

from perf.forked import Forked, Say, each_millisecond
from perf.harness import check, pinned

INSTALLED = importlib.util.find_spec("iceoryx2") is not None
TRIPS, MESSAGES = 50_000, 100_000
BUFFERED = 1_024
BURST = 15
LONG_SECONDS = 10


class Message(ctypes.Structure):
    """64 bytes: when it was due, its number, six words more."""

    _fields_ = (("due_ns", ctypes.c_uint64), ("number", ctypes.c_uint64), ("words", ctypes.c_uint64 * 6))

    @staticmethod
    def type_name() -> str:
        """The name that both ends know it by."""
        return "Message"


def library() -> Any:
    """The package."""
    return importlib.import_module("iceoryx2")


@contextmanager
def node() -> Iterator[Callable[[str], Any]]:
    """A node of this process; opens the builder of a service by name."""
    own = library()
    own.set_log_level(own.LogLevel.Error)
    made = own.NodeBuilder.new().create(own.ServiceType.Ipc)
    try:
        yield lambda name: made.service_builder(own.ServiceName.new(name))
    finally:
        gc.collect()  # what it has in shared memory goes with it


def messages(service: Callable[[str], Any], name: str) -> Any:
    """The service of messages of a name; none is lost by one that keeps up."""
    builder = service(name).publish_subscribe(Message).max_subscribers(16).subscriber_max_buffer_size(BUFFERED)
    return builder.enable_safe_overflow(False).open_or_create()


def publisher(service: Any) -> Any:
    """One that waits where a subscriber has no room."""
    strategy = library().BackpressureStrategy.RetryUntilDelivered
    return service.publisher_builder().backpressure_strategy(strategy).create()


def taken(subscriber: Any) -> tuple[int, int]:
    """The next message, as soon as there is one: when it was due, and its number."""
    while (sample := subscriber.receive()) is None:
        pass
    message = sample.payload().contents
    found = message.due_ns, message.number
    sample.delete()
    return found


def round_trips(first: int, second: int) -> np.ndarray:
    """Nanoseconds of each round trip; both sides spin."""
    name = f"trips-{os.getpid()}-{time_ns()}"

    def work(ready: Say) -> int:
        with node() as service:
            there, back = messages(service, name + "-there"), messages(service, name + "-back")
            subscriber, out, message = there.subscriber_builder().create(), publisher(back), Message()
            ready()
            for _ in range(TRIPS):
                _, message.number = taken(subscriber)
                out.send_copy(message)
        return 0

    nanos, message = np.zeros(TRIPS, np.int64), Message()
    with pinned(first), node() as service:
        there, back = messages(service, name + "-there"), messages(service, name + "-back")
        subscriber, out = back.subscriber_builder().create(), publisher(there)
        pong = Forked(work, second)
        for trip in range(TRIPS):
            message.number = trip
            begun = perf_counter_ns()
            out.send_copy(message)
            _, number = taken(subscriber)
            nanos[trip] = perf_counter_ns() - begun
            check(number == trip, "iceoryx2: an echo that is another")
        check(pong.result() == 0, "iceoryx2: pong failed")
    return nanos


def one_by_one(first: int, second: int) -> float:
    """Messages a second: each is a call there and a call here."""
    name = f"single-{os.getpid()}-{time_ns()}"

    def work(ready: Say) -> tuple[int, float]:
        with node() as service:
            subscriber = messages(service, name).subscriber_builder().create()
            ready()
            wrong = sum(taken(subscriber)[1] != number for number in range(MESSAGES))
            return wrong, perf_counter()

    with pinned(first), node() as service:
        out, message = publisher(messages(service, name)), Message()
        reading = Forked(work, second)
        begun = perf_counter()
        for number in range(MESSAGES):
            message.number = number
            out.send_copy(message)
        wrong, ended = reading.result()
    check(wrong == 0, f"iceoryx2: {wrong} messages lost or wrong")
    return MESSAGES / float(ended - begun)


def bursts(place: Path, readers: int, count: int) -> np.ndarray:
    """Nanoseconds from when a message was due until each reader, asleep before, had it: 15 of them each millisecond."""
    name = f"bursts-{os.getpid()}-{time_ns()}"

    def work(number: int, ready: Say) -> int:
        with node() as service:
            listener = service(name).event().max_listeners(16).open_or_create().listener_builder().create()
            subscriber = messages(service, name).subscriber_builder().create()
            nanos = np.ones(BURST * count, np.int64)
            longest = library().Duration.from_secs(LONG_SECONDS)
            seen = wrong = 0
            ready()
            while seen < len(nanos):
                listener.timed_wait(longest)
                while (sample := subscriber.receive()) is not None:
                    message = sample.payload().contents
                    nanos[seen] = time_ns() - message.due_ns
                    wrong += message.number != seen
                    seen += 1
                    sample.delete()
            nanos.tofile(place.with_name(f"iceoryx{number}"))
            return wrong

    with node() as service:
        event = service(name).event().max_listeners(16).open_or_create()
        notifier, out, message = event.notifier_builder().create(), publisher(messages(service, name)), Message()
        reading = [Forked(lambda ready, number=number: work(number, ready)) for number in range(readers)]  # type: ignore[misc]
        sent = 0
        for due_ns in each_millisecond(count):
            message.due_ns = due_ns
            for _ in range(BURST):
                message.number = sent
                sent += 1
                out.send_copy(message)
            notifier.notify()
        wrong = [each.result() for each in reading]
    check(wrong == [0] * readers, f"iceoryx2: {wrong} messages lost or wrong")
    return np.concatenate([np.fromfile(place.with_name(f"iceoryx{number}"), np.int64) for number in range(readers)])
