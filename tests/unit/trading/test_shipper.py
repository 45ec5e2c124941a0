"""The core's end of a replica's stream, without processes: what it tells a standby of the journal's hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from nautilus.core.counters import Counters
from nautilus.core.journal import Journal
from nautilus.core.types import LAYOUT_VERSION, RULES_VERSION
from nautilus.trading.shipper import Shipper
from nautilus.trading.stream import ROLE_STANDBY, Frame, Hello, Kind, Line, Refusal, Welcome, decode, dial, listen
from tests.kit import builders
from tests.kit.replicas import eventually

EARLIER = msgspec.structs.asdict(Hello(ROLE_STANDBY, LAYOUT_VERSION, RULES_VERSION))
del EARLIER["hashes"]  # such a standby knows of one kind, and says nothing of it


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(0)


def answer(context: zmq.Context[zmq.Socket[bytes]], data: Path, hashes: str, hello: dict[str, object]) -> Frame:
    """What a core with such a journal answers to a HELLO."""
    commands = builders.time(1)
    commands["sequence"] = np.arange(1, len(commands) + 1)
    with Journal(data / "journal", hashes=hashes) as journal:
        journal.append(commands)
    address, line = f"ipc://{data}/stream", Line(1)
    socket = listen(context, address, None)
    shipper = Shipper(str(data), str(data), socket, Counters())
    standby = dial(context, address, None, "")
    standby.send(line.pack(Kind.HELLO, 0, body=msgspec.msgpack.encode(hello)))

    def answered() -> bool:
        shipper.turn()
        return bool(standby.poll(5))

    eventually(answered, "an answer")
    frame = line.unpack(standby.recv())
    shipper.close()
    socket.close()
    standby.close()
    assert frame is not None
    return frame


@pytest.mark.parametrize("hashes", ["xxh3", "xxh64"])
def test_a_standby_hears_of_which_kind_the_journal_is(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path, hashes: str
) -> None:
    frame = answer(context, tmp_path, hashes, {**EARLIER, "hashes": ("xxh64", "xxh3")})
    assert frame.kind is Kind.WELCOME
    assert decode(frame.body, Welcome).hashes == hashes


def test_a_standby_of_an_earlier_version_gets_a_journal_that_was_begun_with_xxh64(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    assert answer(context, tmp_path, "xxh64", EARLIER).kind is Kind.WELCOME


def test_a_standby_of_an_earlier_version_is_refused_where_it_could_not_compare_hashes(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    frame = answer(context, tmp_path, "xxh3", EARLIER)
    assert frame.kind is Kind.REFUSED
    assert decode(frame.body, Refusal) == Refusal("version", "hashes xxh64; expected xxh3 among them")
