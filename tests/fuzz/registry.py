"""Arbitrary bytes as requests to a hub's registry, and as notices to a process that knows the bus from it."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import zmq

from nautilus.bus.registry import MOST_ENTRIES, Entry, Table, Verdict
from nautilus.bus.registry_service import Notice, Op, RegistryClient, RegistryService
from nautilus.bus.sockets import make_context
from tests.fuzz.reader import Reader

NAMES = ("a", "b", "engine-1", "x" * 64, "x" * 65, "", "A", "a b", "hub")
EPOCH = 1 << 40
ENCODE = msgspec.msgpack.encode


@cache
def _context() -> zmq.Context[Any]:
    return make_context()


def _entry(reader: Reader) -> list[Any] | None:
    """An entry, or nearly one."""
    if reader.number(1) % 8 == 0:
        return None
    name = reader.choose(NAMES)
    lanes = {lane: "ipc://" + "p" * (reader.number(1) % 300) for lane in "nus"[: reader.number(1) % 4]}
    return [name, "host", lanes, _epoch(reader), "k" * (reader.number(1) % 130)][: 4 + reader.number(1) % 3]


def _epoch(reader: Reader) -> int:
    return reader.wide() if reader.number(1) % 8 == 0 else EPOCH + reader.number(1) % 4


def _request(reader: Reader) -> bytes:
    """A request whose fields are mostly of the right kind, or anything."""
    if reader.number(1) % 8 == 0:
        return reader.take(reader.number(1))
    fields = [
        reader.number(1) % 12,
        reader.choose(NAMES),
        _epoch(reader),
        _epoch(reader),
        reader.wide(),
        _entry(reader),
    ]
    return ENCODE(fields[: 3 + reader.number(1) % 4]) + reader.take(reader.number(1) % 8 // 7)


def _notice(reader: Reader) -> bytes:
    """The same for a notice."""
    if reader.number(1) % 8 == 0:
        return reader.take(reader.number(1))
    number = reader.wide() if reader.number(1) % 4 == 0 else reader.number(1) % 8
    changes = []
    for at in range(reader.number(1) % 4):
        odd = reader.number(1) % 8
        changes.append([number + at if odd else reader.wide(), reader.choose(NAMES), _entry(reader), "left"])
    entries = [each for _ in range(reader.number(1) % 4) if (each := _entry(reader)) is not None]
    op, active, verdict = 6 + reader.number(1) % 5, reader.number(1) % 4 > 0, reader.number(1) % 6
    fields = [op, _epoch(reader), active, number, verdict, changes, entries]
    return ENCODE(fields[: 3 + reader.number(1) % 5])


@cache
def _hub() -> tuple[RegistryService, zmq.Socket[bytes]]:
    service = RegistryService(_context(), "inproc://fuzzed-hub", epoch=EPOCH, on_higher=lambda epoch: None)
    raw: zmq.Socket[bytes] = _context().socket(zmq.DEALER)
    raw.connect("inproc://fuzzed-hub")
    return service, raw


def service(data: bytes) -> None:
    """Requests: each is answered or counted, and whatever the table then holds can be told to everybody."""
    reader = Reader(data)
    hub, raw = _hub()
    hub.table, hub._told = Table(), 0
    now_ns, told = 1, msgspec.msgpack.Decoder(Notice)
    while reader.left:
        counted, request = hub.malformed, _request(reader)
        raw.send_multipart([request] * (1 + (reader.number(1) % 16 == 0)))
        now_ns += reader.number(2) * 10_000_000
        hub.poll(now_ns)
        notices = []
        while raw.poll(0):
            notices.append(told.decode(raw.recv()))
        assert hub.malformed > counted or notices, request
        assert len(hub.table) <= MOST_ENTRIES
        for entry in hub.table.entries():
            assert ENCODE(entry) == ENCODE(msgspec.convert(msgspec.to_builtins(entry), Entry))


@cache
def _line() -> zmq.Socket[bytes]:
    router: zmq.Socket[bytes] = _context().socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_HANDOVER, 1)
    router.bind("inproc://fuzzed-client")
    return router


def client(data: bytes) -> None:
    """Notices: a process never believes an older hub, and what it knows of others is what it told of them."""
    reader, router = Reader(data), _line()
    known: dict[str, Entry] = {}

    def on_change(change: Any) -> None:
        if change.entry is None:
            known.pop(change.process)
        else:
            known[change.process] = change.entry

    own = RegistryClient(_context(), ("inproc://fuzzed-client",), name="fuzzed", on_change=on_change)
    now_ns = 1
    own.poll(now_ns)
    assert router.poll(10_000)
    identity = router.recv_multipart()[0]
    try:
        while reader.left:
            epoch, malformed, ignored = own.hub_epoch, own.malformed, own.ignored
            notice = _notice(reader)
            router.send_multipart([identity, notice])
            assert own.sockets()[0].poll(10_000)
            now_ns += reader.number(2) * 1_000_000
            own.poll(now_ns)
            assert own.hub_epoch >= epoch
            assert {entry.process: entry for entry in own.entries()} == known, notice
            assert own.malformed + own.ignored - malformed - ignored in (0, 1)
            while router.poll(0):
                router.recv_multipart()
    finally:
        own.close()


def examples() -> list[bytes]:
    """Sound ones, one after the other, as both targets read them."""
    entry = Entry("a", "host", {"n": "ipc://x"}, EPOCH)
    whole = ENCODE(Notice(Op.TABLE, EPOCH, True, 1, Verdict.OK, (), (entry,)))
    return [b"\0" + bytes([len(whole)]) + whole + b"\0\0", *(bytes([at]) * 60 for at in range(1, 16))]
