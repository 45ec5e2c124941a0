"""A standby and what its core sends, without processes: what came before the core hung up counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import zmq

from nautilus.core import Kernel
from nautilus.core.counters import Counters
from nautilus.core.journal import HashRecord, JournalReader, verify
from nautilus.core.types import Side
from nautilus.trading.epochs import read_epoch
from nautilus.trading.recovery import recover
from nautilus.trading.standby import Settings, Standby
from nautilus.trading.stream import Frame, Kind, Line, Refusal, Welcome, listen, open_session, pack_commands
from tests.kit import builders
from tests.kit.core import OPENING
from tests.kit.replicas import eventually


class Core(NamedTuple):
    """The other end, played by the test."""

    socket: zmq.Socket[bytes]
    standby: Standby
    data: Path

    def greeted(self) -> tuple[bytes, Line, Frame]:
        """The standby's HELLO."""

        def arrived() -> bool:
            self.standby.turn()
            return bool(self.socket.poll(5))

        eventually(arrived, "a HELLO")
        identity, data = self.socket.recv_multipart()
        return identity, *open_session(data)


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    context = zmq.Context()
    address = f"ipc://{tmp_path}/stream"
    socket = listen(context, address, None)
    orders = context.socket(zmq.ROUTER)
    orders.bind(f"ipc://{tmp_path}/orders")
    standby = Standby(
        str(tmp_path / "data"), Settings(address, "memory", 1 << 20, 1 << 14), context, orders, Counters(), None
    )
    yield Core(socket, standby, tmp_path / "data")
    standby.close()
    context.destroy(0)


def history(count: int) -> np.ndarray:
    """Commands as a core has sequenced them."""
    orders = [builders.new(number, Side.BUY, 2, 50 + number % 9) for number in range(1, count)]
    commands = builders.batch(OPENING, *orders)
    commands["sequence"] = np.arange(1, len(commands) + 1)
    return commands


@pytest.mark.parametrize("hashes", ["xxh3", "xxh64"])
def test_commands_in_one_batch_with_the_end_of_the_stream_are_carried_out(core: Core, hashes: str) -> None:
    commands = history(120)
    kernel = Kernel(accounts=(), capacity=1 << 14, closed_capacity=1 << 10, huge_pages=False, hashes=hashes)
    kernel.process(commands)
    identity, line, _ = core.greeted()
    welcome = msgspec.msgpack.encode(Welcome(1, 1 << 14, 1 << 10, anew=False, hashes=hashes))
    frames = [line.pack(Kind.WELCOME, 4, body=welcome)]
    for part in np.array_split(commands, 5):
        flags, body = pack_commands(part)
        first = int(part["sequence"][0])
        frames.append(line.pack(Kind.COMMANDS, 4, first=first, count=len(part), flags=flags, body=body))
    marks = (len(commands), kernel.last_event_sequence, kernel.event_hash(), kernel.journal_hash())
    frames.append(line.pack(Kind.HASHES, 4, body=np.array(marks, np.uint64).tobytes()))
    frames.append(line.pack(Kind.REFUSED, 4, body=msgspec.msgpack.encode(Refusal("fenced", "it was replaced"))))
    for frame in frames:
        core.socket.send_multipart((identity, frame))

    def ended() -> bool:
        core.standby.turn()
        return not core.standby.connected and verify(core.data / "journal").last_sequence == len(commands)

    eventually(lambda: (core.data / "journal").is_dir() or core.standby.turn(), "a journal")
    eventually(ended, "the end of the stream")
    promoted = core.standby.promote()
    assert (promoted.epoch, promoted.last_sequence) == (5, len(commands))
    assert int(promoted.state_hash, 16) == kernel.state_hash()
    assert (read_epoch(core.data).epoch, read_epoch(core.data).own) == (5, True)
    core.standby.close()
    found = recover(str(core.data), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
    assert (found.hash, found.journal.epoch, found.notes) == (kernel.state_hash(), 5, ())
    assert found.journal.hashes == found.kernel.hashes == hashes
    marks = [item for item in JournalReader(core.data / "journal") if isinstance(item, HashRecord)]
    assert marks[-1][2:] == (kernel.event_hash(), kernel.journal_hash())
    found.journal.close()
    found.log.close()
