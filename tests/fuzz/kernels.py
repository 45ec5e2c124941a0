"""Arbitrary bytes as commands and as state of the kernel."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from nautilus.core import EVENT, Kernel, KernelError
from nautilus.core.eventlog import DELIVERY
from nautilus.core.journal_reader import verify
from nautilus.core.port import Port
from nautilus.core.ring import Ring
from nautilus.core.types import COMMAND
from tests.fuzz import commands as shapes
from tests.fuzz.reader import Reader
from tests.kit import core as kit
from tests.kit.builders import batch

MOST = 400  # commands of one input
SIZES = {"capacity": 64, "closed_capacity": 16}


def opened(journal: Path | None = None) -> Kernel:
    """A kernel whose small capacities are met."""
    kernel = Kernel(accounts=(), journal=journal, huge_pages=False, **SIZES)
    kernel.process(shapes.opening())
    return kernel


def _commands(data: bytes) -> np.ndarray:
    reader = Reader(data)
    as_they_are = reader.number(1) & 1
    return shapes.raw(reader.take(MOST * COMMAND.itemsize)) if as_they_are else shapes.shaped(reader, MOST)


def _looked_at(kernel: Kernel) -> None:
    """Everything that a kernel shows."""
    for account_id in range(1, 8):
        kernel.positions(account_id)
        kernel.account(account_id)
        for instrument_id in range(1, 6):
            with contextlib.suppress(KernelError):
                kernel.lots(account_id, instrument_id)
    for instrument_id in range(1, 7):
        with contextlib.suppress(KernelError):
            kernel.depth(instrument_id, 5)
            kernel.best(instrument_id)


def process(data: bytes) -> None:
    """Commands one by one and as a batch give the same; the state goes through a snapshot unchanged."""
    commands = _commands(data)
    kernel, other = opened(), opened()
    kernel.process(commands)
    out, place = np.zeros(3, EVENT), 0
    while True:  # few events at a time: the rest is kept
        consumed, produced = other.process_into(commands[place : place + 50], out)
        place += consumed
        if place >= len(commands) and produced < len(out):
            break
    hashes = kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()
    assert (other.state_hash(), other.event_hash(), other.journal_hash()) == hashes
    _looked_at(kernel)
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    assert (again.state_hash(), again.event_hash(), again.journal_hash()) == hashes


@cache
def _busy() -> tuple[bytes, np.ndarray]:
    """A snapshot in which many sections hold something, and commands that go on from there."""
    generator = np.random.default_rng(5)
    kernel = opened()
    for _ in range(6):
        kernel.process(shapes.shaped(Reader(generator.bytes(4_000)), 200))
    return kernel.snapshot(), shapes.shaped(Reader(generator.bytes(1_000)), 60)


def restore(data: bytes) -> None:
    """A snapshot with words changed, or no snapshot at all: refused, or taken and then good for more commands."""
    snapshot, more = _busy()
    reader = Reader(data)
    if reader.number(1) & 3 == 0:
        given = reader.take(reader.left)
    else:
        words = np.frombuffer(snapshot, "<i8").copy()
        for _ in range(reader.number(1) % 6):
            at = reader.number(2) % len(words)
            words[at] = reader.wide() if reader.number(1) & 1 else words[at] + reader.choose((1, -1, 2, 256))
        words[7] = min(abs(int(words[7])), 1 << 12)  # a capacity is a wish for address space
        words[8] = min(abs(int(words[8])), 1 << 12)
        given = words.tobytes()
        if reader.number(1) & 7 == 7:
            given = given[: reader.number(4) % len(given)]
    kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    kernel.restore(given)
    kernel.process(more)
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    assert again.state_hash() == kernel.state_hash()


def journalled(data: bytes) -> None:
    """What is journalled is replayed to the same hashes."""
    directory = Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"))
    try:
        kernel = opened(directory / "journal")
        kernel.process(_commands(data))
        hashes = kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()
        kernel.close()
        assert verify(directory / "journal").clean
        again = Kernel.replay(directory / "journal")
        assert (again.state_hash(), again.event_hash(), again.journal_hash()) == hashes
    finally:
        shutil.rmtree(directory)


def ring(data: bytes) -> None:
    """Records of any size through a ring come out as they went in."""
    reader = Reader(data)
    record = 8 * (1 + reader.number(1) % 16)
    capacity = 1 << reader.number(1) % 8
    queue, sent, received = Ring(record, capacity), bytearray(), bytearray()
    while reader.left:
        part = reader.take(record * (reader.number(1) % 20))
        part = part[: len(part) // record * record]
        if part:
            sent += part[: queue.push_many(part) * record]
        into = bytearray(record * (reader.number(1) % 20))
        if into:
            received += into[: queue.drain(into) * record]
    into = bytearray(record * capacity)
    received += into[: queue.drain(into) * record]
    assert sent == received


@cache
def _core() -> tuple[object, Port]:
    """One core with its threads, for the whole run."""
    directory = Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"))
    running = kit.running(directory, open_orders=64)
    core, _ = running.__enter__()
    port = kit.attach(core)
    kit.carry_out(port, batch(shapes.opening()))
    return running, port


def port(data: bytes) -> None:
    """Arbitrary commands through a client's port: each is answered, by exactly one last delivery."""
    _, client = _core()
    commands = _commands(data)
    at = 0
    buffer = np.zeros(4096, DELIVERY)
    while at < len(commands):
        sent = client.send(np.ascontiguousarray(commands[at : at + 100]))
        at += sent
        done = 0
        while done < sent:
            count = client.receive(buffer, 10 * kit.SECOND)
            assert count, f"{done} of {sent} commands were answered"
            done += int(((buffer["flags"][:count] & kit.LAST) != 0).sum())
        assert done == sent
