"""Two hubs as processes: killed, stopped, promoted, continued; a reader that hears both."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from nautilus.bus import Subscriber
from nautilus.bus.base import replay_endpoint
from nautilus.bus.registry_service import RegistryClient
from nautilus.bus.sockets import make_context
from nautilus.cli.main import main
from nautilus.core.clock import now_ns
from nautilus.model.topics import QUOTES
from tests.kit.hub_process import BEAT_NS, HubProcess, places

SECOND = 1_000_000_000


class Reader:
    """A subscriber of both hubs and a client of both registries, and which hub each record was of."""

    def __init__(self, directory: Path, name: str) -> None:
        self.context = make_context()
        self.hubs: list[int] = []
        self.gaps: list[tuple[int, int]] = []
        self.seen: dict[int, list[int]] = {1: [], 2: []}
        both = [places(directory, number) for number in (1, 2)]
        self.subscriber = Subscriber(
            self.context,
            [each.star[0] for each in both],
            [QUOTES],
            clock=now_ns,
            replay=[replay_endpoint(each.star[0]) for each in both],
            deadline_ns=60 * SECOND,  # the machine may stand still
            on_gap=lambda topic, stream, first, last: self.gaps.append((first, last)),
        )
        self.client = RegistryClient(
            self.context,
            tuple(each.registry[0] for each in both),
            name=name,
            beat_ns=BEAT_NS,
            on_hub=lambda epoch, endpoint: self.subscriber.refuse_below(epoch),
        )

    def turn(self) -> None:
        self.client.poll(now_ns())
        for _, records in self.subscriber.drain():
            hub = int(records["bid_quantity"][0])
            self.hubs.append(hub)
            self.seen[hub] += records["bid_ticks"].tolist()

    def close(self) -> None:
        self.client.close()
        self.subscriber.close()
        self.context.destroy(0)


@pytest.fixture
def start() -> Iterator[Callable[..., HubProcess | Reader]]:
    with ExitStack() as stack:

        def make(kind: type, *arguments: object, **options: object) -> object:
            made = kind(*arguments, **options)
            stack.callback(made.kill if kind is HubProcess else made.close)
            return made

        yield make


def until(condition: Callable[[], object], *readers: Reader) -> None:
    end_ns = now_ns() + 120 * SECOND
    while not condition():
        assert now_ns() < end_ns, "it did not come about"
        for reader in readers:
            reader.turn()
        zmq.zmq_poll([(reader.subscriber.socket, zmq.POLLIN) for reader in readers], 2)


def in_order(numbers: list[int]) -> bool:
    """Each stream, of which there are three, in order and nothing twice."""
    streams = ([each for each in numbers if each % 3 == rest] for rest in range(3))
    return all(stream == sorted(set(stream)) for stream in streams)


def test_a_killed_hub_is_replaced_by_itself_and_nothing_is_lost_unseen(start, tmp_path) -> None:
    first = start(HubProcess, tmp_path, 1)
    until(lambda: first.states() == ["active"])
    second = start(HubProcess, tmp_path, 2, standby=True, automatic=True)
    reader = start(Reader, tmp_path, "reader")
    until(lambda: len(reader.seen[1]) > 300 and second.states() == ["standby", "following"], reader)
    first.kill()
    until(lambda: len(reader.seen[2]) > 300, reader)
    assert second.states() == ["standby", "following", "active"]
    assert "is dead" in second.said[-1]["cause"]
    assert reader.hubs == sorted(reader.hubs)
    assert in_order(reader.seen[1])
    assert in_order(reader.seen[2])
    assert reader.subscriber.epochs == 1
    assert reader.subscriber.ends_unknown == 0
    assert reader.subscriber.lost == sum(last - begin + 1 for begin, last in reader.gaps)


def test_a_stopped_hub_is_not_replaced_by_itself_and_when_it_comes_back_nobody_hears_it(start, tmp_path) -> None:
    first = start(HubProcess, tmp_path, 1)
    until(lambda: first.states() == ["active"])
    second = start(HubProcess, tmp_path, 2, standby=True, automatic=True)
    reader = start(Reader, tmp_path, "reader")
    until(lambda: len(reader.seen[1]) > 100 and second.states() == ["standby", "following"], reader)
    os.kill(first.pid, signal.SIGSTOP)
    # It is silent, and still the hub: nobody can know what it will do next.
    until(lambda: reader.client.silent, reader)
    assert second.states() == ["standby", "following"]
    assert main(["bus", "promote", places(tmp_path, 2).registry[0], "--timeout", "60"]) == 0
    until(lambda: len(reader.seen[2]) > 100, reader)
    heard = len(reader.seen[1])
    os.kill(first.pid, signal.SIGCONT)
    until(lambda: "fenced" in first.states(), reader)
    late = start(Reader, tmp_path, "late")
    before = len(reader.seen[2])
    until(lambda: len(reader.seen[2]) > before + 200 and len(late.seen[2]) > 100, reader, late)
    assert len(reader.seen[1]) == heard
    assert late.seen[1] == []
    assert reader.hubs == sorted(reader.hubs)
    assert first.states() == ["active", "fenced"]
    assert second.states() == ["standby", "following", "active"]


def test_a_hub_that_is_started_again_beside_its_successor_stands_by(start, tmp_path) -> None:
    first = start(HubProcess, tmp_path, 1)
    until(lambda: first.states() == ["active"])
    second = start(HubProcess, tmp_path, 2, standby=True, automatic=True)
    until(lambda: second.states() == ["standby", "following"])
    first.kill()
    until(lambda: second.states() == ["standby", "following", "active"])
    again = start(HubProcess, tmp_path, 1)
    reader = start(Reader, tmp_path, "reader")
    until(lambda: len(reader.seen[2]) > 100 and again.states() == ["standby", "following"], reader)
    assert reader.seen[1] == []
    # And it takes over in its turn, by order.
    assert main(["bus", "promote", places(tmp_path, 1).registry[0], "--timeout", "60"]) == 0
    assert main(["bus", "promote", places(tmp_path, 1).registry[0], "--timeout", "60"]) == 1
    until(lambda: len(reader.seen[1]) > 100 and "fenced" in second.states(), reader)
    assert reader.subscriber.ends_unknown == 0
