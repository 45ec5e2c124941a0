"""A hub that sends by multicast, or a reader of it, over TCP with keys.

``python -m tests.kit.multicast_process hub KEYS ADDRESS EPOCH RING`` publishes numbered quotes until a line of standard
input, then says where its streams ended. ``... reader KEYS NAME HUB ADDRESS`` says now and then what it has. What is
said are lines of JSON. Both end when their standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import zmq

from nautilus.bus.base import replay_endpoint
from nautilus.bus.keys import new_process
from nautilus.bus.multicast import MulticastPlace, MulticastReader, MulticastSender, place_of
from nautilus.bus.publisher import Publisher
from nautilus.bus.replayer import Replayer
from nautilus.bus.ring import RingWriter
from nautilus.bus.security import Security
from nautilus.bus.sockets import make_context
from nautilus.bus.subscriber import Subscriber
from nautilus.core.clock import now_ns
from nautilus.model.topics import QUOTES
from tests.kit.host_program import HostProgram
from tests.kit.star import quotes

HUB, PORT, GROUP = "hub", 7_000, "239.77.2.1:17720"
STREAMS = (1, 2, 3)
TOLD_NS = 50_000_000


def make_keys(directory: str, *readers: str, quotes_only: str) -> None:
    """Keys of the hub, of readers, and of one that may read quotes alone."""
    new_process(directory, HUB, (), 1)
    for name in readers:
        new_process(directory, name, ("read:marketdata.*",), 1)
    new_process(directory, quotes_only, (f"read:{QUOTES.name}",), 1)


class MulticastProcess(HostProgram):
    """The program on a host."""

    def __init__(self, command: list[str], *words: object) -> None:
        super().__init__(command, "tests.kit.multicast_process", *words)


def place(address: str) -> MulticastPlace:
    """Where the hub sends to; the interface is found by the network that it leads to."""
    network = address.rpartition(".")[0]
    return place_of(GROUP, interface=f"{network}.0/24" if network else "", plain=True)


def run_hub(keys: str, address: str, epoch: int, ring: str) -> None:
    """Publish until told to stop; then only say where streams ended, and send again."""
    context = make_context(Security.load(HUB, keys))
    endpoint, writer = f"tcp://{address}:{PORT}", RingWriter(ring, capacity=1 << 22, epoch=epoch)
    sender = MulticastSender(place(address), epoch, security=context.security)
    publisher = Publisher(context, endpoint, epoch=epoch, clock=now_ns, ring=writer, tap=sender.offer)
    replayer = Replayer(context, replay_endpoint(endpoint), epoch=epoch, clock=now_ns, frames=writer)
    replayer.key_of = sender.answer
    os.set_blocking(0, False)
    number, stopped = 0, False
    poller = zmq.Poller()
    for item in (0, publisher.socket, replayer.socket):
        poller.register(item, zmq.POLLIN)
    while True:
        poller.poll(0 if replayer.busy else 2)
        try:
            line = os.read(0, 4096)
        except BlockingIOError:
            line = None
        if line == b"":
            return
        if line:
            stopped = True
            print(
                json.dumps({"lasts": list(publisher.last_sequences().items()), "given": sender.keys_given}), flush=True
            )
        if not stopped:
            number += 1
            for stream in STREAMS:
                publisher.publish(quotes(stream, number, 1))
            if number % 50 == 0:
                publisher.publish(quotes(9, number // 50 * 40 - 39, 40))
        publisher.poll(now_ns())
        replayer.poll()
        context.refresh()


def run_reader(keys: str, name: str, hub: str, address: str) -> None:
    """Read all quotes; see whether they are in order."""
    security = Security.load(name, keys)
    context = make_context(security)
    star = f"tcp://{hub}:{PORT}"
    for endpoint in (star, replay_endpoint(star)):
        security.expect(endpoint, HUB)
    told: dict[str, Any] = {"gaps": [], "epochs": [], "ways": [], "wrong": [], "begun": []}
    multicast = MulticastReader(place(address))
    next_of: dict[int, int] = {}

    def on_epoch(before: int, epoch: int) -> None:
        told["epochs"].append((before, epoch))

    subscriber = Subscriber(
        context,
        star,
        [QUOTES],
        clock=now_ns,
        replay=replay_endpoint(star),
        on_gap=lambda _, stream, first, last: told["gaps"].append((stream, first, last)),
        on_epoch=on_epoch,
        on_way=lambda *change: told["ways"].append(change),
        multicast=multicast,
    )
    poller, told_ns = zmq.Poller(), 0
    for item in (0, multicast.fileno(), *subscriber.sockets):
        poller.register(item, zmq.POLLIN)
    while not any(item == 0 for item, _ in poller.poll(10)):
        now = now_ns()
        if now >= subscriber.due_ns:
            subscriber.poll(now)
        while batches := subscriber.drain():
            for _, records in batches:
                stream = int(records["instrument_id"][0])
                for number in records["update_id"].tolist():
                    if number == 1 and next_of.get(stream, 1) > 1:  # the next life of the hub
                        told["begun"].append(stream)
                    elif next_of.get(stream, number) != number:
                        told["wrong"].append((stream, next_of[stream], number))
                    next_of[stream] = number + 1
        if now >= told_ns + TOLD_NS:
            told_ns = now
            counts = multicast.counts
            told |= {name: getattr(counts, name) for name in ("frames", "missed", "forged", "garbage", "repeated")}
            told |= {
                name: getattr(subscriber, name)
                for name in ("delivered", "lost", "recovered", "recovering", "ends_unknown", "way")
            }
            told["settled"] = [(stream, settled) for stream, (_, _, settled) in subscriber.positions().items()]
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    if role == "hub":
        run_hub(words[0], words[1], int(words[2]), words[3])
    else:
        run_reader(*words)
