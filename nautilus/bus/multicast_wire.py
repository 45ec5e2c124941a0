"""Frames of the star as datagrams: the layout, the proof that they are the hub's, and how they are put together again.

A frame is cut into datagrams of at most the network's MTU, little-endian::

     0  magic    u32 0x4D54554E ("NUTM")
     4  version  u16 1
     6  key      u16 number of the key in the epoch
     8  epoch    u64 of the hub
    16  number   u64 of the datagram; they are numbered from 1 with each key
    24  index    u16 which piece of its frame this is
    26  pieces   u16 that the frame has
    28  length   u32 of the frame
    32  piece    of the frame
    -16 tag      BLAKE2b of all before it, of 16 bytes, with the key

The key is 32 random bytes, new in each life of the hub and whenever a key of a process is revoked. Readers ask for it
over the connection that they have to the replayer (`pack_key_request`, `pack_key`). Who has it can make tags as well.
"""

from __future__ import annotations

import hmac
import struct
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from nautilus.bus.base import HEADER_BYTES, MOST

MAGIC: Final = 0x4D54554E
VERSION: Final = 1
HEAD: Final = struct.Struct("<IHHQQHHI")
HEAD_BYTES: Final = HEAD.size
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
IP_BYTES: Final = 28
"""Headers of IP and UDP."""
MOST_FRAME: Final = 1 << 22
"""Bytes of a frame; longer ones, heartbeats of 260,000 streams, do not go by multicast."""
MOST_PARTS: Final = 64
"""Frames that wait for pieces."""
WINDOW: Final = 1 << 16
"""Datagrams of a key of which is known whether they were there; a power of two."""
KEYS: Final = 4
"""That a reader knows at a time."""
PERSON: Final = b"nautilus.star"
KEY_MAGIC: Final = b"NUTK"
_KEY_REQUEST: Final = struct.Struct("<4sHHQ")
_KEY: Final = struct.Struct("<4sHHQQQ32s")


class Key(NamedTuple):
    """The answer to who asks for the key.

    Attributes
    ----------
    number, epoch : which key it is.
    next : number of the next datagram: an earlier one is nothing new.
    secret : the key.
    """

    number: int
    epoch: int
    next: int
    secret: bytes


def pack_key_request(nonce: int) -> bytes:
    """The question for the present key; `nonce` comes back."""
    return _KEY_REQUEST.pack(KEY_MAGIC, VERSION, 0, nonce)


def parse_key_request(data: bytes) -> int | None:
    """The nonce of a question for the key; None: it is none."""
    if len(data) != _KEY_REQUEST.size:
        return None
    magic, version, _, nonce = _KEY_REQUEST.unpack(data)
    return nonce if magic == KEY_MAGIC and version == VERSION else None


def pack_key(key: Key, nonce: int) -> bytes:
    """The answer with a key."""
    return _KEY.pack(KEY_MAGIC, VERSION, key.number, nonce, key.epoch, key.next, key.secret)


def parse_key(data: bytes, nonce: int) -> Key | None:
    """The key in the answer to the question of this nonce; None: it is none."""
    if len(data) != _KEY.size:
        return None
    magic, version, number, answered, epoch, following, secret = _KEY.unpack(data)
    if magic != KEY_MAGIC or version != VERSION or answered != nonce or not (0 < epoch < MOST and 0 < following < MOST):
        return None
    return Key(number, epoch, following, secret)


class Cutter:
    """Cuts frames into datagrams and numbers them.

    Parameters
    ----------
    mtu
        Bytes of the longest packet, with the headers of IP and UDP.

    Attributes
    ----------
    key : the present one.
    number : of the next datagram.
    """

    def __init__(self, epoch: int, secret: bytes, mtu: int) -> None:
        self._room = mtu - IP_BYTES - HEAD_BYTES - TAG_BYTES
        self._epoch = epoch
        self._key = 0
        self._secret = secret
        self._begin()

    def _begin(self) -> None:
        self.number = 1
        self._mac = blake2b(digest_size=TAG_BYTES, key=self._secret, person=PERSON)

    def renew(self, secret: bytes) -> None:
        """Take another key from here on."""
        self._key = (self._key + 1) & 0xFFFF
        self._secret = secret
        self._begin()

    @property
    def key(self) -> Key:
        """See the class."""
        return Key(self._key, self._epoch, self.number, self._secret)

    def cut(self, frame: bytes) -> Iterator[bytes]:
        """The datagrams of a frame of at most `MOST_FRAME` bytes."""
        length, room = len(frame), self._room
        pieces = -(-length // room)
        for index in range(pieces):
            head = HEAD.pack(MAGIC, VERSION, self._key, self._epoch, self.number, index, pieces, length)
            body = head + (frame if pieces == 1 else frame[index * room : (index + 1) * room])
            self.number += 1
            mac = self._mac.copy()
            mac.update(body)
            yield body + mac.digest()


class _Heard:
    """What a reader knows of one key."""

    __slots__ = ("first", "highest", "mac", "received", "seen")

    def __init__(self, key: Key) -> None:
        self.mac = blake2b(digest_size=TAG_BYTES, key=key.secret, person=PERSON)
        self.first = key.next
        self.highest = key.next - 1
        self.received = 0
        self.seen = array("Q", bytes(8 * WINDOW))
        """The last number that was there of those that are equal in their last bits."""


class _Parts:
    """A frame that lacks pieces."""

    __slots__ = ("length", "missing", "pieces", "size")

    def __init__(self, pieces: int, length: int) -> None:
        self.length = length
        self.missing = pieces
        self.size = 0
        self.pieces: list[bytes | None] = [None] * pieces


class Joiner:
    """Takes datagrams, whoever sent them, and gives the frames that the hub made of them, each datagram once.

    Memory is taken for what has the hub's tag alone, and bounded by `MOST_PARTS` frames of together `MOST_FRAME` bytes.

    Attributes
    ----------
    datagrams, frames : taken; whole frames given.
    garbage, unkeyed, forged, repeated
        Datagrams that are none; of a key that is not known here; without its tag; that were there before, or are too
        old to know.
    incomplete : frames that were given up as pieces of them did not come.
    strange : a datagram of a key that is not known here has come since the last `learn`.
    """

    def __init__(self) -> None:
        self.datagrams = self.frames = self.garbage = self.unkeyed = self.forged = self.repeated = 0
        self.incomplete = 0
        self.strange = False
        self._keys: dict[tuple[int, int], _Heard] = {}
        self._parts: dict[tuple[int, int, int], _Parts] = {}
        self._size = 0
        self._missed = 0

    @property
    def keyed(self) -> bool:
        """Whether it has a key."""
        return bool(self._keys)

    @property
    def missed(self) -> int:
        """Datagrams that did not come, of those before the last one that came, in all keys."""
        return self._missed + sum(each.highest + 1 - each.first - each.received for each in self._keys.values())

    def learn(self, key: Key) -> bool:
        """Take a key; the oldest one goes where there are too many. False: it was known."""
        self.strange = False
        place = key.epoch, key.number
        if place in self._keys:
            return False
        self._keys[place] = _Heard(key)
        if len(self._keys) > KEYS:
            gone = self._keys.pop(next(iter(self._keys)))
            self._missed += gone.highest + 1 - gone.first - gone.received
        return True

    def take(self, datagram: Any) -> bytes | None:
        """The frame that a datagram, a memoryview, makes whole; None: none."""
        beyond = len(datagram) - TAG_BYTES
        if beyond <= HEAD_BYTES:
            self.garbage += 1
            return None
        magic, version, number, epoch, serial, index, pieces, length = HEAD.unpack_from(datagram)
        size = beyond - HEAD_BYTES
        sound = index < pieces <= length and size <= length <= MOST_FRAME and length >= HEADER_BYTES
        if (
            magic != MAGIC
            or version != VERSION
            or not sound
            or not index < serial < MOST
            or (pieces == 1) != (size == length)
        ):
            self.garbage += 1
            return None
        heard = self._keys.get((epoch, number))
        if heard is None:
            self.unkeyed += 1
            self.strange = True
            return None
        slot = serial & (WINDOW - 1)
        if serial < heard.first or heard.seen[slot] >= serial:
            self.repeated += 1
            return None
        mac = heard.mac.copy()
        mac.update(datagram[:beyond])
        if not hmac.compare_digest(mac.digest(), datagram[beyond:]):
            self.forged += 1
            return None
        heard.seen[slot] = serial
        heard.received += 1
        if serial > heard.highest:
            heard.highest = serial
        self.datagrams += 1
        piece = bytes(datagram[HEAD_BYTES:beyond])
        if pieces == 1:
            self.frames += 1
            return piece
        return self._join((epoch, number, serial - index), index, pieces, length, piece)

    def _join(self, place: tuple[int, int, int], index: int, pieces: int, length: int, piece: bytes) -> bytes | None:
        parts = self._parts.get(place)
        if parts is None:
            parts = self._parts[place] = _Parts(pieces, length)
        if parts.length != length or len(parts.pieces) != pieces or parts.pieces[index] is not None:
            self.garbage += 1  # no hub sends this
            return None
        parts.pieces[index] = piece
        parts.missing -= 1
        parts.size += len(piece)
        self._size += len(piece)
        if not parts.missing:
            self._drop(place)
            if parts.size != length:
                self.garbage += 1
                return None
            self.frames += 1
            return b"".join(parts.pieces)  # type: ignore[arg-type]
        while len(self._parts) > MOST_PARTS or self._size > MOST_FRAME:
            self._drop(next(iter(self._parts)))
            self.incomplete += 1
        return None

    def _drop(self, place: tuple[int, int, int]) -> None:
        self._size -= self._parts.pop(place).size
