"""Datagrams of the star: every frame comes back whole, once, whatever happens, and nothing that is not the hub's."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from nautilus.bus.multicast_wire import (
    HEAD,
    HEAD_BYTES,
    IP_BYTES,
    KEYS,
    MOST_FRAME,
    MOST_PARTS,
    TAG_BYTES,
    WINDOW,
    Cutter,
    Joiner,
    Key,
    pack_key,
    pack_key_request,
    parse_key,
    parse_key_request,
)

SECRET = bytes(range(32))


def pair(mtu: int = 1500, epoch: int = 7) -> tuple[Cutter, Joiner]:
    cutter, joiner = Cutter(epoch, SECRET, mtu), Joiner()
    joiner.learn(cutter.key)
    return cutter, joiner


def take(joiner: Joiner, datagram: bytes) -> bytes | None:
    return joiner.take(memoryview(datagram))


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_frames_of_every_length_come_back(mtu: int) -> None:
    cutter, joiner = pair(mtu)
    room = mtu - IP_BYTES - HEAD_BYTES - TAG_BYTES
    lengths = [64, 65, room - 1, room, room + 1, 2 * room, 2 * room + 1, 100_000, MOST_FRAME]
    for length in lengths:
        frame = random.Random(length).randbytes(length)
        datagrams = list(cutter.cut(frame))
        assert max(map(len, datagrams)) <= mtu - IP_BYTES
        assert len(datagrams) == -(-length // room)
        assert [found for each in datagrams if (found := take(joiner, each))] == [frame]
    assert joiner.frames == len(lengths)
    assert joiner.missed == joiner.incomplete == joiner.garbage == 0


def test_pieces_in_any_order_and_twice_make_each_frame_once() -> None:
    cutter, joiner = pair(576)
    draw = random.Random(3)
    frames = [draw.randbytes(draw.randint(64, 6_000)) for _ in range(200)]
    whole: list[bytes] = []
    sent = 0
    for begin in range(0, len(frames), 20):
        datagrams = [each for frame in frames[begin : begin + 20] for each in cutter.cut(frame)]
        sent += len(datagrams)
        datagrams += draw.sample(datagrams, 40)
        draw.shuffle(datagrams)
        whole += [found for each in datagrams if (found := take(joiner, each)) is not None]
    assert sorted(whole) == sorted(frames)
    assert (joiner.datagrams, joiner.repeated, joiner.missed) == (sent, 400, 0)


def test_what_is_lost_is_counted_and_costs_its_frame_alone() -> None:
    cutter, joiner = pair(576)
    frames = [bytes([number]) * 1_200 for number in range(200)]
    for number, frame in enumerate(frames):
        datagrams = list(cutter.cut(frame))
        assert len(datagrams) == 3
        for index, datagram in enumerate(datagrams):
            found = None if number % 2 and index == 1 else take(joiner, datagram)
            assert (found is not None) == (number % 2 == 0 and index == 2)
    assert joiner.frames == 100
    assert joiner.missed == 100
    assert joiner.incomplete == 100 - MOST_PARTS


def test_forged_and_repeated_datagrams_are_refused() -> None:
    cutter, joiner = pair()
    datagram = next(cutter.cut(bytes(300)))
    draw = random.Random(5)
    for at in range(len(datagram)):
        bad = bytearray(datagram)
        bad[at] ^= 1 << draw.randrange(8)
        assert take(joiner, bytes(bad)) is None
    assert joiner.datagrams == joiner.frames == 0
    assert joiner.forged >= 300 + TAG_BYTES
    assert joiner.forged + joiner.garbage + joiner.unkeyed + joiner.repeated == len(datagram)
    other = Cutter(7, bytes(32), 1500)
    before = joiner.forged
    assert take(joiner, next(other.cut(bytes(300)))) is None
    assert joiner.forged == before + 1
    repeated = joiner.repeated
    assert take(joiner, datagram) == bytes(300)
    assert take(joiner, datagram) is None
    assert joiner.repeated == repeated + 1


def test_an_old_datagram_is_refused_for_ever() -> None:
    cutter, joiner = pair()
    early = [next(cutter.cut(bytes(64))) for _ in range(3)]
    assert take(joiner, early[0]) is not None
    cutter.number += 3 * WINDOW
    for _ in range(3):
        assert take(joiner, next(cutter.cut(bytes(64)))) is not None
    late = Joiner()
    late.learn(cutter.key)  # whoever learns the key later has nothing to hear of what was before
    for datagram in early[:1]:
        assert take(joiner, datagram) is None
    assert take(late, early[2]) is None
    assert late.repeated == 1


def test_a_datagram_is_never_taken_twice_wherever_the_window_is() -> None:
    cutter, joiner = pair()
    draw = random.Random(9)
    sent: list[bytes] = []
    taken: list[int] = []
    for _ in range(3_000):
        if draw.random() < 0.02:
            cutter.number += draw.choice((WINDOW - 1, WINDOW, WINDOW + 1, 1))
        sent.append(next(cutter.cut(bytes(64))))
        both = (sent[-1], draw.choice(sent))
        taken += [HEAD.unpack_from(each)[4] for each in both if take(joiner, each) is not None]
    assert len(taken) == len(set(taken))
    assert len(taken) == len(sent)


def test_a_flood_of_garbage_takes_no_memory() -> None:
    cutter, joiner = pair()
    draw = random.Random(11)
    real = next(cutter.cut(bytes(1_000)))
    floods = [draw.randbytes(draw.randint(0, 1_472)) for _ in range(200)]
    for _ in range(200):
        head = HEAD.pack(
            0x4D54554E, 1, 0, 7, draw.randint(1, 1 << 40), draw.randint(0, 9), 10, draw.randint(64, MOST_FRAME)
        )
        floods.append(head + draw.randbytes(400))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            for datagram in floods:
                assert take(joiner, datagram) is None
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
    assert joiner.garbage + joiner.forged + joiner.repeated == 4_000
    assert joiner.forged > 1_500
    assert take(joiner, real) is not None


def test_what_waits_for_pieces_is_bounded() -> None:
    cutter, joiner = pair(9_000)
    for number in range(40):
        datagrams = list(cutter.cut(bytes([number]) * (MOST_FRAME // 8)))
        for datagram in datagrams[:-1]:
            assert take(joiner, datagram) is None
        assert joiner._size <= MOST_FRAME
    assert joiner.incomplete >= 30


def test_keys_come_and_go() -> None:
    cutter, joiner = Cutter(7, SECRET, 1500), Joiner()
    assert take(joiner, next(cutter.cut(bytes(64)))) is None
    assert (joiner.unkeyed, joiner.strange, joiner.keyed) == (1, True, False)
    assert joiner.learn(cutter.key)
    assert not joiner.learn(cutter.key)
    assert not joiner.strange
    old = next(cutter.cut(bytes(64)))
    cutter.renew(bytes(32))
    assert take(joiner, next(cutter.cut(bytes(65)))) is None
    joiner.learn(cutter.key)
    assert take(joiner, next(cutter.cut(bytes(66)))) == bytes(66)
    assert take(joiner, old) == bytes(64)
    for number in range(KEYS):
        joiner.learn(Key(number, 8, 1, SECRET))
    assert take(joiner, next(cutter.cut(bytes(64)))) is None
    assert joiner.unkeyed == 3


def test_questions_and_answers_with_the_key() -> None:
    key = Key(3, 99, 12, SECRET)
    assert parse_key_request(pack_key_request(77)) == 77
    assert parse_key(pack_key(key, 77), 77) == key
    assert parse_key(pack_key(key, 77), 78) is None
    for data in (b"", b"NUTK", pack_key_request(1)[:-1], b"X" + pack_key_request(1)[1:], bytes(48)):
        assert parse_key_request(data) is None
        assert parse_key(data, 0) is None
