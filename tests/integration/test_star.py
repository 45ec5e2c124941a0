"""The star between processes that are stopped, killed and started again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.core.clock import now_ns
from nautilus.model.topics import QUOTES
from tests.kit.star_process import Books, Source, StarProcess

SECOND = 1_000_000_000


@pytest.fixture
def start() -> Iterator[Callable[..., StarProcess]]:
    with ExitStack() as stack:

        def run(*arguments: object) -> StarProcess:
            made = StarProcess(*arguments)
            stack.callback(made.kill)
            return made

        yield run


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Publisher]:
    context = make_context()
    made = Publisher(context, f"ipc://{tmp_path}/star", epoch=now_ns(), clock=now_ns, high_water=100)
    yield made
    made.close()
    context.destroy(linger=0)


def serve(publisher: Publisher, until: Callable[[], object]) -> None:
    end_ns = now_ns() + 60 * SECOND
    while not until():
        assert now_ns() < end_ns
        publisher.socket.poll(1)
        publisher.poll(now_ns())


def test_a_reader_that_is_stopped_loses_and_knows_to_the_record_what(
    hub: Publisher, start: Callable[..., StarProcess]
) -> None:
    stopped, well = start("subscribe", hub.endpoints[0], 100), start("subscribe", hub.endpoints[0], 10_000)
    serve(hub, lambda: hub.subscribers == 2)
    source = Source(3)
    for number in range(6_000):
        hub.publish(source.quotes(number % 3 + 1, 64))
        if number == 1_000:
            stopped.send_signal(signal.SIGSTOP)
        if number % 20 == 0:
            hub.socket.poll(1)  # the one that is well may take its time
            hub.poll(now_ns())
    for _ in range(2_000):  # the last the stopped one could hear of is long past
        hub.publish(source.quotes(1, 64))
    # An instrument that begins and ends while it is stopped.
    hub.publish(Source(4).quotes(4, 5))
    stopped.send_signal(signal.SIGCONT)
    found = stopped.result(hub)
    assert found["lost"] > 0
    told = [tuple(gap) for gap in found["told"]]
    # What is missing between records was told in the same words; what is missing behind the last, by heartbeats.
    assert {tuple(gap) for gap in found["missing"]} <= set(told)
    assert found["delivered"] + found["lost"] == hub.published
    assert sum(last - first + 1 for _, first, last in told) == found["lost"]
    assert (4, 1, 5) in told
    positions = {stream: tuple(rest) for stream, *rest in found["positions"]}
    lacking = sum(
        last - (positions[stream][0] - 1) - positions[stream][1] for stream, last in hub.last_sequences().items()
    )
    assert lacking == found["lost"]
    assert {stream: last for stream, (_, _, last) in positions.items()} == hub.last_sequences()
    healthy = well.result(hub)
    assert healthy["delivered"] + healthy["lost"] == hub.published
    assert len(healthy["missing"]) <= healthy["gaps"]


def test_a_reader_that_is_killed_joins_anew_and_costs_others_nothing(
    hub: Publisher, start: Callable[..., StarProcess]
) -> None:
    first, second = start("subscribe", hub.endpoints[0], 10_000), start("subscribe", hub.endpoints[0], 10_000)
    serve(hub, lambda: hub.subscribers == 2)
    source = Source(1)
    hub.publish(source.quotes(1, 10))
    first.kill()
    serve(hub, lambda: hub.subscribers == 1)
    hub.publish(source.quotes(1, 10))
    third = start("subscribe", hub.endpoints[0], 10_000)
    serve(hub, lambda: hub.subscribers == 2)
    hub.publish(source.quotes(1, 10))
    found = second.result(hub)
    assert (found["delivered"], found["lost"], found["missing"]) == (30, 0, [])
    found = third.result(hub)
    assert (found["delivered"], found["lost"], found["missing"]) == (10, 0, [])
    assert found["positions"][0][1:] == [21, 10, 30]


def test_a_publisher_that_is_killed_is_followed_into_its_next_life(
    tmp_path: Path, start: Callable[..., StarProcess]
) -> None:
    endpoint = f"ipc://{tmp_path}/star"
    context = make_context()
    books, epochs = [Books()], []
    reader = Subscriber(
        context,
        endpoint,
        [QUOTES],
        clock=now_ns,
        on_gap=lambda *gap: books[-1].on_gap(*gap),
        on_epoch=lambda *change: (epochs.append(change), books.append(Books())),
    )

    def read(until: Callable[[], object]) -> None:
        end_ns = now_ns() + 60 * SECOND
        while not until():
            assert now_ns() < end_ns
            reader.socket.poll(5)
            for _, records in reader.drain(limit=1):
                books[-1].take(records)

    try:
        for epoch in (1, 2, 3):
            publisher = start("publish", endpoint, epoch)
            read(lambda epoch=epoch: reader.epoch == epoch)
            read(lambda before=reader.delivered: reader.delivered > before + 500)
            publisher.kill()
        assert epochs == [(1, 2), (2, 3)]
        assert reader.epochs == 2
        assert (reader.lost, reader.gaps, reader.stale, reader.malformed) == (0, 0, 0, 0)
        assert [(each.missing, each.told) for each in books] == [([], [])] * 3
        for stream, (joined, delivered, last) in reader.positions().items():
            assert last == joined - 1 + delivered == books[-1].last[stream & 0xFFFFFFFF]
    finally:
        reader.close()
        context.destroy(linger=0)
