"""Arbitrary bytes as datagrams of the star, and as frames of it that were compressed."""

from __future__ import annotations

from functools import cache

from nautilus.bus.base import HEADER, HEARTBEAT, MOST_BYTES, topic_bytes
from nautilus.bus.base import MAGIC as FRAME_MAGIC
from nautilus.bus.compression import MARK, MOST_HEARTBEAT, Compressor, restored
from nautilus.bus.multicast_wire import (
    HEAD,
    MAGIC,
    MOST_FRAME,
    MOST_PARTS,
    VERSION,
    Cutter,
    Joiner,
    Key,
    pack_key,
    pack_key_request,
    parse_key,
    parse_key_request,
)
from tests.fuzz.reader import Reader

SECRETS = tuple(bytes([number]) * 32 for number in range(1, 8))
EPOCH = 7


def multicast(data: bytes) -> None:
    """Datagrams lost, repeated, changed and made up: each frame comes once, as it was sent, or does not come."""
    reader = Reader(data)
    cutter, joiner = Cutter(EPOCH, SECRETS[0], reader.choose((576, 600, 1500))), Joiner()
    joiner.learn(cutter.key)
    sent: list[bytes] = []
    wire: list[bytes] = []
    missing: set[bytes] = set()
    renewed = taken = given = 0
    while reader.left:
        what = reader.number(1)
        if what < 0x60 or not wire:  # the hub sends one
            length = 64 + reader.choose((0, 1, 435, 436, 900, 3_000)) + reader.number(1)
            frame = len(sent).to_bytes(4, "little") + reader.take(8).ljust(length - 4, b"\x5a")
            sent.append(frame)
            missing.add(frame)
            wire += cutter.cut(frame)
            continue
        if what >= 0xF8:  # another key
            renewed += 1
            cutter.renew(SECRETS[renewed % len(SECRETS)])
            if what & 1:
                joiner.learn(cutter.key)
            continue
        if what >= 0xF0:
            cutter.number += reader.choose((1, 1 << 16, 1 << 40))
            continue
        at = reader.number(2) % len(wire)
        datagrams = [wire[at] if what & 2 else wire[-1]]
        if what >= 0xC0:
            datagrams = [_changed(reader, datagrams[0])]
        elif what >= 0xB0:  # its head is sound, and its tag is not
            head = HEAD.pack(MAGIC, VERSION, renewed & 0xFFFF, EPOCH, *_numbers(reader))
            datagrams = [head + reader.take(reader.number(1))]
        elif what < 0x90:  # some that were sent one after the other, or the last ones, this way or that
            count = 1 + reader.number(1) % 16
            datagrams = (wire[at : at + count] if what & 4 else wire[-count:])[:: -1 if what & 1 else 1]
        for datagram in datagrams:
            taken += 1
            found = joiner.take(memoryview(datagram))
            if found is not None:
                assert found in missing, "it was not sent, or came twice"
                missing.remove(found)
                given += 1
    refused = joiner.garbage + joiner.unkeyed + joiner.forged + joiner.repeated
    assert joiner.datagrams + refused == taken
    assert joiner.frames == given
    assert joiner.missed >= 0
    assert len(joiner._parts) <= MOST_PARTS
    assert 0 <= joiner._size <= MOST_FRAME
    _questions(Reader(data))


def _changed(reader: Reader, datagram: bytes) -> bytes:
    out = bytearray(datagram)
    at = reader.number(2) % len(out)
    what = reader.number(1) % 4
    if what == 0:
        out[at] ^= 1 << reader.number(1) % 8
    elif what == 1:
        del out[at : at + 1 + reader.number(1)]
    elif what == 2:
        out[at:at] = reader.take(reader.number(1))
    else:
        part = reader.take(8)
        out[at : at + len(part)] = part
    return bytes(out)


def _numbers(reader: Reader) -> tuple[int, int, int, int]:
    serial = reader.wide() % (1 << 64)
    return serial, reader.choose((0, 1, 0xFFFF)), reader.choose((0, 1, 2, 0xFFFF)), reader.number(4)


def _questions(reader: Reader) -> None:
    nonce = reader.number(8)
    data = reader.take(reader.left)
    asked = parse_key_request(data)
    assert asked is None or pack_key_request(asked)[:6] == data[:6]
    key = parse_key(data, nonce)
    assert key is None or pack_key(key, nonce) == data
    made = Key(nonce & 0xFFFF, 1 + (nonce >> 8), 3, SECRETS[nonce % len(SECRETS)])
    assert parse_key(pack_key(made, nonce), nonce) == made


@cache
def _frame() -> bytes:
    header = HEADER.pack(topic_bytes(1, 2), FRAME_MAGIC, 1, 1, 64, 40, 3, 1 << 32 | 2, 1, 0)
    return header + bytes(64) * 40


@cache
def _packed(topic: int) -> bytes:
    compressor = Compressor()
    compressor.note(bytes((1, topic ^ MARK)))
    packed = compressor.pack(bytes((topic,)) + _frame()[1:])
    assert packed is not None
    return packed


def compressed() -> list[bytes]:
    """Frames as they go, to begin with."""
    return [b"\0" + _packed(1), b"\0" + _packed(HEARTBEAT), b"\1" + _frame(), b"\2\1\x81\1\x81\0\x81\0\0"]


def compression(data: bytes) -> None:
    """What is no compressed frame is refused, in bounded memory; what is packed comes back as it was."""
    reader = Reader(data)
    mode = reader.number(1) % 3
    given = reader.take(reader.left)
    if mode == 0:
        found = restored(given)
        if found is not None:
            assert found[0] == given[0] ^ MARK
            assert len(found) <= max(len(given), 64 + (MOST_HEARTBEAT if found[0] == HEARTBEAT else MOST_BYTES))
        return
    compressor = Compressor()
    if mode == 1:
        if len(given) < 64 or given[0] ^ MARK not in range(0x7E, 0xFE):
            return
        given = given[:56] + bytes(4) + given[60:]
        size = len(given) - 64  # as the star makes them: what the header says is there
        given = given[:16] + size.to_bytes(4, "little") + (1).to_bytes(4, "little") + given[24:]
        compressor.note(bytes((1, given[0] ^ MARK)))
        packed = compressor.pack(given)
        assert packed is not None
        assert len(packed) <= len(given)
        assert restored(packed) == given
        return
    asked = Reader(given)
    while asked.left:
        compressor.note(asked.take(1 + asked.number(1) % 9))
        assert all(count > 0 for count in compressor.wanted.values())
