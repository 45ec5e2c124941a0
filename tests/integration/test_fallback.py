"""Paths that break and heal while the bus is at work, over a real Redis: nothing is lost, nothing doubled."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nautilus.bus import MessageKind
from nautilus.bus.allowed import paths_of
from nautilus.bus.redis_carrier import RedisCarrier
from nautilus.core.clock import now_ns
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import CancelOrder, KillSwitch
from nautilus.model.enums import Priority
from nautilus.model.topics import QUOTES
from tests.kit.bus import Node, run
from tests.kit.order_messages import limit_order
from tests.kit.redis_server import RedisServer
from tests.kit.relay import Relay
from tests.kit.star_all_paths import Star

SECOND = 1_000_000_000
MS = 1_000_000


class Pair:
    """Nodes a and b whose sockets meet over wires that can be cut, with a Redis beside them."""

    def __init__(self, directory: Path, stack: ExitStack, appendonly: str = "no") -> None:
        self.server = RedisServer(directory / "r", appendonly)
        stack.callback(self.server.kill)
        self.server.start()
        # Redis too is reached over a wire: it shows what went there.
        self.to_redis = Relay(directory / "redis", self.server.path, keep=True)
        stack.callback(self.to_redis.close)
        self.wires = [
            Relay(directory / f"{name}.{lane}.wire", directory / f"{name}.{lane}") for name in "ab" for lane in "un"
        ]
        for wire in self.wires:
            stack.callback(wire.close)
        self.changes: dict[str, list[tuple[str, str]]] = {"a": [], "b": []}
        self.nodes: dict[str, Node] = {}
        for name in "ab":
            carrier = RedisCarrier(f"unix://{directory}/redis", name, now_ns)
            node = Node(directory, name, scheme=self._scheme(directory, name), fallbacks=[carrier])
            node.mesh.on_path = lambda peer, before, after, cause, name=name: self.changes[name].append((before, after))
            self.nodes[name] = node
            stack.callback(node.close)
        self.posted: dict[str, list[bytes]] = {"a": [], "b": []}

    @staticmethod
    def _scheme(directory: Path, own: str) -> Callable[[str, str], str]:
        return lambda process, lane: f"ipc://{directory}/{process}.{lane}{'' if process == own else '.wire'}"

    def cut(self) -> None:
        for wire in self.wires:
            wire.cut()

    def mend(self) -> None:
        for wire in self.wires:
            wire.mend()

    def post(self) -> None:
        """A message in each direction, of one priority after the other, while not too many wait."""
        for name, other in ("ab", "ba"):
            node = self.nodes[name]
            if node.mesh.pending() < 2_000:
                number = len(self.posted[name])
                priority = list(Priority)[number % 5]
                payload = b"%d:%d" % (priority, number)
                node.post(other, payload, MessageKind.EVENT, priority=priority, trace_id=number + 1)
                self.posted[name].append(payload)

    def work(self, so: Callable[[], object]) -> None:
        """Let messages flow until something is so."""

        def look() -> object:
            self.post()
            return so()

        run(self.nodes.values(), look)

    def taken(self) -> dict[str, str]:
        return {name: next(iter(node.mesh.paths.values())).path for name, node in self.nodes.items()}

    def until_path(self, path: str) -> None:
        self.work(lambda: set(self.taken().values()) == {path})

    def begin(self) -> None:
        """Until messages flow, and Redis stands by."""
        self.until_path("zmq")
        every = [paths for node in self.nodes.values() for paths in node.mesh.paths.values()]
        self.work(lambda: all(paths.healthy("redis") for paths in every))

    def flow(self, messages: int) -> None:
        """Until so many more have arrived at each end."""
        wanted = {node: node.mesh.received + messages for node in self.nodes.values()}
        self.work(lambda: all(node.mesh.received >= number for node, number in wanted.items()))

    def check(self) -> None:
        """Everything came once and in order with its trace id, and nothing was given up."""
        run(self.nodes.values(), lambda: not any(node.mesh.pending() for node in self.nodes.values()))
        for name, other in ("ab", "ba"):
            had = self.nodes[other].payloads
            assert Counter(had) == Counter(self.posted[name])
            for delivery in self.nodes[other].deliveries:
                assert delivery.trace_id == int(delivery.payload.partition(b":")[2]) + 1
            for priority in Priority:
                first = b"%d:" % priority
                assert [each for each in had if each.startswith(first)] == [
                    each for each in self.posted[name] if each.startswith(first)
                ]
            assert self.nodes[name].letters == []
            assert self.nodes[name].gaps == []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def pair(tmp_path: Path, stack: ExitStack) -> Pair:
    return Pair(tmp_path, stack)


def test_messages_in_both_directions_survive_each_step_down_and_up(pair: Pair) -> None:
    pair.begin()
    for _ in range(3):
        pair.cut()
        pair.until_path("redis")
        pair.flow(200)
        pair.mend()
        pair.until_path("zmq")
    pair.check()
    for changes in pair.changes.values():
        assert [after for _, after in changes].count("zmq") >= 3
        assert [before for before, _ in changes].count("redis") >= 3


@pytest.mark.parametrize("appendonly", ["no", "always"])
def test_a_redis_that_is_killed_under_way_loses_nothing(tmp_path: Path, stack: ExitStack, appendonly: str) -> None:
    pair = Pair(tmp_path, stack, appendonly)
    pair.begin()
    pair.cut()
    pair.until_path("redis")
    for _ in range(2):
        pair.flow(50)
        pair.server.kill()
        pair.until_path("local")
        pair.server.start()
        pair.until_path("redis")
    pair.server.kill()
    pair.until_path("local")
    pair.mend()
    pair.until_path("zmq")
    pair.server.start()
    pair.check()


def test_a_redis_that_hangs_under_way_is_left_and_nothing_is_doubled_when_it_goes_on(pair: Pair) -> None:
    pair.begin()
    pair.cut()
    pair.until_path("redis")
    pair.server.send_signal(signal.SIGSTOP)
    try:
        pair.until_path("local")
    finally:
        pair.server.send_signal(signal.SIGCONT)
    pair.until_path("redis")
    pair.mend()
    pair.until_path("zmq")
    pair.check()


def test_without_a_redis_everything_waits_and_then_arrives(pair: Pair) -> None:
    pair.server.kill()
    pair.until_path("zmq")
    pair.cut()
    pair.until_path("local")
    pair.mend()
    pair.until_path("zmq")
    pair.check()


def test_a_new_order_is_never_seen_in_redis_and_a_cancel_and_the_kill_switch_are(pair: Pair) -> None:
    a, b = pair.nodes["a"], pair.nodes["b"]
    a.mesh.dial("b", Priority.HIGH)
    a.mesh.dial("b", Priority.URGENT)
    run([a, b], lambda: a.mesh.peers()["b"].up and a.mesh.paths["b"].healthy("redis"))
    pair.cut()
    run([a, b], lambda: a.mesh.paths["b"].path == "redis")
    order, cancel, kill = (
        limit_order(4711, source_id=77, source_sequence=4711),
        CancelOrder(account_id=1, instrument_id=1, order_id=4712),
        KillSwitch(account_id=1),
    )
    sent = {
        name: a.request(
            "b",
            to_msgpack(message),
            priority=priority,
            paths=paths_of(message),
            deadline_ns=now_ns() + 60 * SECOND if name != "order" else now_ns() + SECOND,
        )
        for name, message, priority in (
            ("order", order, Priority.HIGH),
            ("cancel", cancel, Priority.HIGH),
            ("kill", kill, Priority.URGENT),
        )
    }
    run([a, b], lambda: len(a.answers) == 2 and a.unknown)
    assert {each.id for each in a.answers} == {sent["cancel"], sent["kill"]}
    assert a.unknown == [sent["order"]]
    assert Counter(b.payloads) == Counter([to_msgpack(cancel), to_msgpack(kill)])
    assert to_msgpack(order) not in pair.to_redis.seen
    assert to_msgpack(cancel) in pair.to_redis.seen
    assert to_msgpack(kill) in pair.to_redis.seen
    # The sender finds out what became of it, and sends it again under the same number: the core has not had it.
    pair.mend()
    run([a, b], lambda: a.mesh.paths["b"].path == "zmq")
    again = a.request("b", to_msgpack(order), priority=Priority.HIGH, paths=paths_of(order))
    run([a, b], lambda: a.answers[-1].id == again)
    assert b.payloads.count(to_msgpack(order)) == 1
    assert to_msgpack(order) not in pair.to_redis.seen


@pytest.fixture
def star(tmp_path: Path, stack: ExitStack) -> Star:
    made = Star(tmp_path, stack)
    made.until(lambda: made.subscriber.synchronised and made.paths.failover.healthy("redis"))
    return made


def test_market_data_survive_each_step_down_and_up_without_a_gap(star: Star) -> None:
    star.flow()
    for _ in range(3):
        star.cut()
        star.until_path("redis")
        star.flow()
        star.mend()
        star.until_path("zmq")
        star.flow()
    star.end()
    for instrument, had in star.had.items():
        assert had == list(range(had[0], star.source.next[instrument]))
    assert star.mirror is not None
    assert (star.gaps, star.subscriber.lost, star.mirror.star_missed) == ([], 0, 0)
    assert [each.after for each in star.changes].count("zmq") >= 3
    assert {each.cause for each in star.changes} >= {"no heartbeat", "heartbeats come"}


def test_without_any_path_market_data_are_stale_and_what_was_lost_is_known(star: Star) -> None:
    star.flow()
    assert not star.subscriber.is_stale(now_ns())
    value = star.subscriber.last_value(QUOTES, 1)
    assert value is not None
    star.cut()
    star.server.kill()
    star.until_path("stale")
    star.until(lambda: star.subscriber.is_stale(now_ns()))
    assert star.subscriber.last_value(QUOTES, 1) is not None
    assert not star.paths.failover.carries
    star.server.start()
    star.until_path("redis")
    star.flow()
    # Heartbeats that waited for the Redis are as old as they are; the next one is not.
    star.until(lambda: not star.subscriber.is_stale(now_ns()))
    star.mend()
    star.until_path("zmq")
    star.flow()
    star.end()
    missing = star.missing()
    assert sorted(star.gaps) == sorted(missing)
    assert star.subscriber.lost == sum(last - first + 1 for _, first, last in missing)


def test_a_redis_that_hangs_or_forgets_is_no_harm_to_market_data(star: Star) -> None:
    star.server.send_signal(signal.SIGSTOP)
    try:
        star.until(lambda: not star.paths.failover.healthy("redis"))
        star.flow()
        assert star.paths.failover.path == "zmq"
    finally:
        star.server.send_signal(signal.SIGCONT)
    star.until(lambda: star.paths.failover.healthy("redis"))
    star.cut()
    star.until_path("redis")
    star.server.call("DEL", "nautilus-marketdata-hybrid-streams")
    star.flow()
    star.mend()
    star.until_path("zmq")
    star.end()
    for instrument, had in star.had.items():
        assert had == sorted(set(had))
        assert len(had) + sum(last - first + 1 for which, first, last in star.gaps if which == instrument) == (
            star.source.next[instrument] - had[0]
        )
