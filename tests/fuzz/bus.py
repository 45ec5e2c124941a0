"""Arbitrary bytes as dead letters, what a Redis server says, keys and questions about keys."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from nautilus.bus.dead_letters import FIRST, HEAD, SUFFIX, DeadLetterLog, LetterReader, StoredLetter
from nautilus.bus.envelope import DeadLetter, MessageKind
from nautilus.bus.keys import (
    ALLOWED,
    VERSION,
    AllowedFile,
    AllowedKey,
    KeyFileError,
    key_place,
    new_keys,
    read_allowed,
    read_keys,
)
from nautilus.bus.redis_link import RedisLink
from nautilus.bus.security import Doorkeeper
from nautilus.core.crc32c import crc32c
from tests.fuzz.reader import Reader


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-bus-"))


def _fresh() -> Path:
    place = _place() / "case"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def _changed(reader: Reader, content: bytearray) -> None:
    """Some bytes written over, put in or taken out."""
    for _ in range(1 + reader.number(1) % 5):
        at = reader.number(4) % max(1, len(content))
        what = reader.number(1) % 4
        if what < 2:
            part = reader.take(1 + reader.number(1) % 8)
            content[at : at + len(part)] = part
        elif what == 2:
            content[at : at + 8] = struct.pack("<q", reader.wide())
        else:
            del content[at : at + reader.number(1)]


def _letter(number: int) -> DeadLetter:
    return DeadLetter("cut", "b", MessageKind.COMMAND, number, 3, "a", "b", 0, 0, b"x" * (number % 40))


def letters(data: bytes) -> None:
    """A segment of dead letters, changed, mostly signed again: read as far as it is sound; a log goes on there."""
    reader = Reader(data)
    place = _fresh()
    log = DeadLetterLog(place, lambda: 1)
    log.add([_letter(number) for number in range(1, 6)])
    log.close()
    path = next(place.glob(f"*{SUFFIX}"))
    content = bytearray(path.read_bytes())
    signed = reader.number(1) & 3
    _changed(reader, content)
    if signed:
        at = len(FIRST)
        while at + HEAD.size <= len(content):
            length = HEAD.unpack_from(content, at)[0]
            body = bytes(content[at + HEAD.size : at + HEAD.size + length])
            HEAD.pack_into(content, at, len(body), crc32c(body))
            at += HEAD.size + max(1, len(body))
    path.write_bytes(content)
    before = list(LetterReader(place).read())
    assert all(isinstance(letter, StoredLetter) for letter in before)
    log = DeadLetterLog(place, lambda: 2)
    assert log.add([_letter(9)]) == 0
    log.close()
    after = list(LetterReader(place).read())
    assert after[: len(before)] == before
    assert after[-1].id == 9


def redis(data: bytes) -> None:
    """What a server says in answer to commands: replies in order, or the connection is given up with a cause."""
    place = _fresh() / "redis"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen(1)
        link = RedisLink(f"unix://{place}")
        link.tick(1)
        accepted, _ = server.accept()
        with accepted:
            link.flush()
            assert link.open
            for tag in range(4):
                assert link.send(tag, b"PING\r\n")
            accepted.sendall(data[:4_000])
        tags = []
        for _ in range(3):
            tags += [tag for tag, _ in link.read()]
        assert tags == list(range(len(tags)))
        assert not link.open
        assert link.cause
        link.close()


@cache
def _sound_keys() -> tuple[bytes, bytes]:
    pair, other = new_keys(), new_keys()
    own = msgspec.json.encode({"public": pair.public, "secret": pair.secret, "name": "a", "created_ns": 1})
    keys = (AllowedKey("a", pair.public, ("*",)), AllowedKey("b", other.public, ("publish:risk.*",)))
    return own, msgspec.json.encode(AllowedFile(VERSION, keys))


def keys(data: bytes) -> None:
    """Files of keys, changed: a pair and a list, or an error that names the file."""
    reader = Reader(data)
    place = _fresh()
    own, allowed = map(bytearray, _sound_keys())
    _changed(reader, own if reader.number(1) & 1 else allowed)
    (place / ALLOWED).write_bytes(allowed)
    pair = key_place(place, "a")
    pair.write_bytes(own)
    pair.chmod(0o600)
    for read, where in ((read_keys, pair), (read_allowed, place)):
        found = None
        try:
            read(where)
        except KeyFileError as error:
            found = error
        assert found is None or str(place) in found.where


def zap(data: bytes) -> None:
    """A question of ZeroMQ about a connection: six frames are the answer, and it is no where nobody is known."""
    reader = Reader(data)
    doorkeeper = Doorkeeper.__new__(Doorkeeper)
    doorkeeper.refused = doorkeeper.malformed = 0
    doorkeeper._admit = lambda public, address: ("", "key not allowed")
    question = [b"1.0", b"7", b"nautilus", b"127.0.0.1", b"", b"CURVE", b"k" * 32]
    for _ in range(1 + reader.number(1) % 3):
        place = reader.number(1) % (len(question) + 1)
        question[place : place + reader.number(1) % 2] = [reader.take(reader.number(1) % 40)]
    answer = doorkeeper.judge(question)
    assert len(answer) == 6
    assert answer[2] in (b"400", b"500")
    assert doorkeeper.refused == 1
