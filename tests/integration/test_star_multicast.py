"""The star by multicast, over real sockets in a network of the test's own: nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus.base import HEARTBEAT
from nautilus.bus.keys import AllowedKey, AllowList
from nautilus.bus.multicast import MulticastPlace, MulticastReader, MulticastSender, place_of
from nautilus.bus.multicast_wire import parse_key
from nautilus.bus.security import Security
from nautilus.bus.sockets import EndpointError
from nautilus.core.clock import now_ns
from tests.kit.multicast_relay import Relay
from tests.kit.own_network import own_network
from tests.kit.star import SECOND, Hub, Reader, Stars

HUB, READERS = ("239.77.1.1", 17_701), ("239.77.1.2", 17_702)
STREAMS = (1, 2, 3)


class Scene:
    """A hub that sends by multicast to a relay, and readers behind that."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self.stack = directory, stack
        self.stars = Stars(directory)
        stack.callback(self.stars.close)
        self.relay = Relay(HUB, READERS, seed=20)
        stack.callback(self.relay.close)
        self.readers: list[Reader] = []
        self.hub: Hub | None = None
        self.sender: MulticastSender | None = None
        self.next = dict.fromkeys(STREAMS, 1)
        self.published: dict[int, list[int]] = {stream: [] for stream in STREAMS}

    def start_hub(self, epoch: int, *, mtu: int = 1500, **options: Any) -> Hub:
        sender = self.sender = MulticastSender(_place(HUB, mtu), epoch)
        self.stack.callback(sender.close)
        hub = self.hub = self.stars.hub(epoch, tap=sender.offer, ring=self.directory / "ring", **options)
        hub.replayer.key_of = sender.answer
        return hub

    def add_reader(self, **options: Any) -> Reader:
        reader = self.stars.reader(multicast=MulticastReader(_place(READERS)), **options)
        self.readers.append(reader)
        return reader

    def turn(self) -> None:
        if self.hub is not None:
            self.hub.turn()
        self.relay.turn()
        for reader in self.readers:
            reader.turn()

    def until(self, condition: Callable[[], object]) -> None:
        end_ns = now_ns() + 60 * SECOND
        while not condition():
            self.turn()
            assert now_ns() < end_ns, "it did not come about"

    def all_by(self, way: str) -> None:
        self.until(lambda: all(reader.subscriber.way == way for reader in self.readers))

    def publish(self, rounds: int, count: int = 1) -> None:
        """Publish on every stream, with turns between."""
        assert self.hub is not None
        for number in range(rounds):
            for stream in STREAMS:
                first = self.hub.next.get(stream, 1)
                self.hub.quotes(stream, count)
                self.published[stream] += range(first, first + count)
            if number % 4 == 0:
                self.turn()

    def all_have_all(self) -> bool:
        """Whether each reader has what was published, in order, once."""
        return all(
            len(reader.numbers(stream)) == len(wanted)
            for reader in self.readers
            for stream, wanted in self.published.items()
        )

    def check(self) -> None:
        for reader in self.readers:
            for stream, wanted in self.published.items():
                assert reader.numbers(stream) == wanted
            subscriber = reader.subscriber
            assert subscriber.lost == subscriber.gaps == subscriber.unknown == subscriber.malformed == 0
            assert reader.gaps == []


def _place(to: tuple[str, int], mtu: int = 1500) -> MulticastPlace:
    return place_of(f"{to[0]}:{to[1]}", interface="127.0.0.1", ttl=0, mtu=mtu)


def counts_of(reader: Reader) -> Any:
    assert reader.subscriber._multicast is not None
    return reader.subscriber._multicast.counts


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with own_network(), ExitStack() as stack:
        try:
            made = Scene(tmp_path, stack)
        except OSError as error:
            pytest.skip(f"no multicast can be had here: {error}")
        yield made


def test_two_readers_at_one_port_have_all_by_multicast_alone(scene) -> None:
    hub = scene.start_hub(1)
    one, two = scene.add_reader(), scene.add_reader()
    scene.all_by("multicast")
    # What came before a reader had the key.
    old = {reader: (counts_of(reader).repeated, counts_of(reader).missed) for reader in (one, two)}
    scene.until(lambda: hub.publisher.subscribers == 0)  # nothing goes over ZeroMQ any more
    scene.publish(100)
    scene.publish(5, 500)  # frames of many datagrams
    scene.until(scene.all_have_all)
    scene.check()
    for reader in (one, two):
        assert reader.ways[0] == ("zmq", "multicast", "multicast is steady")
        if len(reader.ways) == 1:  # else the machine stood still for longer than three heartbeats
            assert reader.subscriber.recovered == reader.subscriber.duplicates == 0
        counts = counts_of(reader)
        assert counts.garbage == counts.forged == 0
        assert (counts.repeated, counts.missed) == old[reader]
        assert counts.frames >= 315
    assert scene.sender.unsent == 0
    assert scene.sender.sent_datagrams > scene.sender.sent_frames + 15 * 20


def test_nothing_is_lost_or_doubled_on_a_bad_network(scene) -> None:
    scene.start_hub(1)
    readers = [scene.add_reader(), scene.add_reader()]
    scene.all_by("multicast")
    relay = scene.relay
    relay.lose, relay.repeat, relay.hold, relay.forge, relay.junk = 0.1, 0.1, 0.1, 0.1, 0.1
    scene.publish(300)
    scene.publish(40, 60)
    scene.until(scene.all_have_all)
    scene.check()
    assert min(relay.lost, relay.repeated, relay.held, relay.forged, relay.junked) > 30
    for reader in readers:
        subscriber, counts = reader.subscriber, counts_of(reader)
        assert subscriber.recovered > 0
        assert counts.repeated >= relay.repeated * 0.5
        assert counts.forged >= relay.forged * 0.5
        assert counts.garbage > 0
        # Both ends agree on every record.
        for stream, last in scene.hub.publisher.last_sequences().items():
            joined, delivered, settled = subscriber.positions()[stream]
            assert (joined, delivered, settled) == (1, last, last)


def test_readers_go_back_to_zeromq_while_multicast_is_silent(scene) -> None:
    scene.start_hub(1)
    reader = scene.add_reader()
    scene.all_by("multicast")
    scene.publish(20)
    scene.relay.lose = 1.0
    scene.publish(20)
    scene.all_by("zmq")
    scene.publish(20)
    scene.until(scene.all_have_all)
    scene.relay.lose = 0.0
    scene.all_by("multicast")
    scene.publish(20)
    scene.until(scene.all_have_all)
    scene.check()
    assert [way for _, way, _ in reader.ways][:2] == ["multicast", "zmq"]
    assert reader.ways[-1][1] == "multicast"


def test_a_later_life_of_the_hub_brings_its_own_key(scene) -> None:
    hub = scene.start_hub(1)
    scene.add_reader()
    scene.all_by("multicast")
    scene.publish(30)
    old = scene.relay.sent[-1]
    scene.relay.lose = 1.0  # what comes last is lost, and then the hub dies
    for stream in STREAMS:
        hub.quotes(stream, 2)
        scene.published[stream] += [31, 32]
    scene.relay.turn()
    scene.relay.lose = 0.0
    hub.publisher.socket.close(0)  # without a last heartbeat
    hub.replayer.close()
    hub.publisher.close()
    scene.sender.close()
    scene.start_hub(2)
    scene.publish(30)
    scene.until(scene.all_have_all)
    scene.all_by("multicast")
    scene.publish(10)
    scene.until(scene.all_have_all)
    scene.check()
    (reader,) = scene.readers
    assert reader.epochs == [(1, 2)]
    assert reader.subscriber.ends_unknown == 0
    before = counts_of(reader).repeated
    scene.relay.send(old)
    scene.until(lambda: counts_of(reader).repeated == before + 1)


def test_another_key_in_the_same_life_is_learnt(scene) -> None:
    scene.start_hub(1)
    reader = scene.add_reader()
    scene.all_by("multicast")
    scene.publish(20)
    scene.sender._cutter.renew(bytes(32))
    scene.publish(20)
    scene.until(scene.all_have_all)
    given = scene.sender.keys_given
    scene.until(lambda: reader.subscriber.way == "multicast" and scene.sender.keys_given == given)
    scene.publish(20)
    scene.until(scene.all_have_all)
    scene.check()
    assert counts_of(reader).unkeyed > 0


def test_small_packets_and_no_network_at_all(scene) -> None:
    hub = scene.start_hub(1, mtu=576)
    scene.add_reader()
    scene.all_by("multicast")
    scene.publish(10, 100)
    scene.until(scene.all_have_all)
    scene.sender._to = ("240.0.0.1", 9)  # an address to which nothing can be sent
    scene.publish(10, 100)
    scene.until(scene.all_have_all)
    scene.check()
    assert scene.sender.unsent > 0
    assert hub.publisher.published == 6_000


def test_a_revoked_key_of_a_process_makes_another_one_here(scene) -> None:
    security = Security("hub", allowed=[AllowedKey("a", "A" * 40), AllowedKey("b", "B" * 40)], plain_loopback=True)
    sender = MulticastSender(_place(HUB), 1, security=security)
    scene.stack.callback(sender.close)
    beat = bytes((HEARTBEAT,)) + bytes(63)
    sender.offer(beat)
    before = parse_key(sender.answer(5), 5)
    security.replace(AllowList([AllowedKey("a", "A" * 40)]))
    sender.offer(beat)
    after = parse_key(sender.answer(5), 5)
    assert before is not None
    assert after is not None
    assert (before.number, after.number) == (0, 1)
    assert before.secret != after.secret
    assert after.next == 2


def test_an_answer_that_comes_twice_is_no_damage(scene) -> None:
    scene.start_hub(1)
    reader = scene.add_reader()
    multicast = reader.subscriber._multicast
    first, second = multicast.question(1), multicast.question(now_ns())  # asked again, as the first answer is late
    assert first
    assert first == second
    for question in (first, second):
        reader.subscriber._replies.send(question)
    scene.all_by("multicast")
    scene.until(lambda: scene.sender.keys_given >= 2)
    scene.publish(20)
    scene.until(scene.all_have_all)
    scene.check()


def test_nobody_sends_what_all_can_read_unless_that_was_said() -> None:
    for interface, ttl in (("", 1), ("127.0.0.1", 1), ("", 0)):
        with pytest.raises(EndpointError, match="multicast_plain"):
            MulticastSender(place_of("239.77.1.1:17701", interface=interface, ttl=ttl), 1)
    for text in ("239.1.1.1", "10.0.0.1:7000", "239.1.1.1:0", "239.1.1.1:70000", "x:1", "", "[ff02::1]:7000"):
        with pytest.raises(EndpointError, match="GROUP:PORT"):
            place_of(text)
    with pytest.raises(EndpointError, match="no_such_device"):
        MulticastSender(place_of("239.77.1.1:17701", interface="no_such_device", plain=True), 1)
