"""The journal's way to a standby: every changed, lost, repeated or moved frame is found."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core.types import COMMAND
from nautilus.model.errors import ConfigError
from nautilus.trading.stream import (
    HEAD_BYTES,
    Frame,
    Hello,
    Kind,
    Line,
    StreamError,
    check_address,
    decode,
    load_keys,
    open_session,
    pack_commands,
    unpack_commands,
)
from tests.kit import journal as kit

SESSION = 0x1234_5678_9ABC


def frames() -> list[bytes]:
    """Three frames of one session: short commands, long ones, none."""
    line = Line(SESSION)
    made = []
    for first, wide in ((1, 0), (4, 2)):
        commands = kit.commands(first, 3, wide=wide)
        flags, body = pack_commands(commands)
        made.append(line.pack(Kind.COMMANDS, 7, first=first, count=3, flags=flags, body=body))
    made.append(line.pack(Kind.BEAT, 7, first=6))
    return made


def received(data: list[bytes]) -> list[Frame | None]:
    line = Line(SESSION)
    return [line.unpack(each) for each in data]


def test_frames_give_what_was_sent() -> None:
    first, second, third = received(frames())
    assert first is not None
    assert second is not None
    assert third is not None
    assert unpack_commands(first).tobytes() == kit.commands(1, 3).tobytes()
    assert unpack_commands(second).tobytes() == kit.commands(4, 3, wide=2).tobytes()
    assert len(first.body) == 3 * 64
    assert len(second.body) == 3 * COMMAND.itemsize
    assert third == Frame(Kind.BEAT, 0, SESSION, 7, 6, 0, b"")


def test_every_flipped_byte_of_a_frame_is_found_before_anything_of_it_counts() -> None:
    sent = frames()
    for number, data in enumerate(sent):
        for at in range(len(data)):
            changed = [*sent]
            changed[number] = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            line, taken, found = Line(SESSION), [], False
            # Where the session's number is changed, the frame is another session's, and the next one is not due.
            for each in [*changed, Line(SESSION).pack(Kind.BEAT, 7)]:
                try:
                    frame = line.unpack(each)
                except StreamError:
                    found = True
                    break
                taken.append(frame)
            assert found
            assert [frame for frame in taken if frame is not None] == received(sent)[: len(taken) - taken.count(None)]
            assert len(taken) - taken.count(None) <= number


@pytest.mark.parametrize("length", [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 5])
def test_a_frame_that_is_cut_is_found(length: int) -> None:
    with pytest.raises(StreamError):
        Line(SESSION).unpack(frames()[0][:length])


def test_a_frame_that_is_lost_repeated_or_moved_is_found() -> None:
    first, second, third = frames()
    for order in ([second], [first, first], [first, third], [third, second, first]):
        with pytest.raises(StreamError):
            received(order)


def test_a_session_begins_with_hello() -> None:
    with pytest.raises(StreamError, match="HELLO"):
        open_session(Line(SESSION).pack(Kind.BEAT, 1))
    with pytest.raises(StreamError, match="body of a Hello"):
        decode(b"\x93", Hello)


def test_commands_of_another_number_are_refused() -> None:
    frame = received(frames())[0]
    assert frame is not None
    with pytest.raises(StreamError, match="4 of 64 bytes"):
        unpack_commands(frame._replace(commands=4))


def test_a_pair_of_keys_is_made_once_and_for_its_user_alone(tmp_path: object) -> None:
    made = load_keys(str(tmp_path))
    assert load_keys(str(tmp_path)) == made
    from pathlib import Path

    place = Path(str(tmp_path), "replica.key")
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text("{}")
    with pytest.raises(ConfigError, match="no pair of keys"):
        load_keys(str(tmp_path))


def test_only_addresses_that_can_be_dialled_are_taken() -> None:
    for address in ("tcp://127.0.0.1:8090", "ipc:///tmp/x"):
        assert check_address(address, where="here") == address
    for address in ("", "tcp://:1", "tcp://host", "udp://host:1", "ipc://", "ipc://" + "x" * 101):
        with pytest.raises(ConfigError):
            check_address(address, where="here")


def test_what_is_sent_is_small_where_commands_are_short() -> None:
    commands = np.zeros(5, COMMAND)
    assert len(pack_commands(commands)[1]) == 5 * 64
    commands["deadline_ns"][3] = 1
    assert len(pack_commands(commands)[1]) == 5 * COMMAND.itemsize
