"""A hub's star alone, and recorders that read it as processes of their own: real sockets, its ring, its journal."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import make_context
from nautilus.bus.hub_star import ServedStar
from nautilus.bus.publisher import Publisher
from nautilus.bus.recorder import Recorder
from nautilus.bus.ring import RingReader, RingWriter
from nautilus.bus.star_journal import StarJournal
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.runtime.clock import pause
from tests.kit.data import ROOT

SYMBOLS = ("A", "B", "C")
RING_BYTES = 1 << 16
KINDS = {"quote": QUOTE, "trade": TRADE, "book": BOOK_DELTA}
DEADLINE_SECONDS = 60
Start = Callable[[], subprocess.Popen[str]]


class Star:
    """A hub's star over real sockets, with what it keeps on disk; publishes from one thread.

    epoch
        Of this life of the hub; a later one in the same directory has a higher one.
    """

    def __init__(self, path: Path, *, ring: bool, epoch: int = 7) -> None:
        self.endpoint = f"ipc://{path}/star"
        self.ring = path / "ring" if ring else None
        self.published: dict[tuple[str, int], list[np.ndarray]] = {}
        self._dice = random.Random(3)
        self._count = 0
        self._context = make_context()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        journal = StarJournal(path / "journal")
        writer = RingWriter(self.ring, capacity=RING_BYTES, epoch=epoch) if self.ring else None
        buffer = None if writer else FrameBuffer()
        publisher = Publisher(
            self._context, self.endpoint, epoch=epoch, clock=now_ns, ring=writer, buffer=buffer, heartbeat_ns=20_000_000
        )
        self._served = ServedStar()
        self._served.serve(self._context, publisher, now_ns, writer or buffer, (journal,))
        self._kept = RingReader(self.ring, oldest=True) if self.ring else None
        self._keeps = Recorder(journal, self._kept) if self._kept is not None else None
        self._writer = writer
        self._thread = threading.Thread(target=self._tend)
        self._thread.start()

    def _tend(self) -> None:
        while not self._ended.wait(0.002):
            with self._lock:
                self._served.poll(now_ns())
                while self._served.answer():
                    pass

    def publish(self, frames: int) -> None:
        """Records of random kinds and instruments, in order of time, some of them at one stamp."""
        for _ in range(frames):
            kind = self._dice.choice(tuple(KINDS))
            number = self._dice.randrange(1, len(SYMBOLS) + 1)
            records = np.zeros(self._dice.choice((1, 1, 1, 5)), KINDS[kind])
            self._count += 1
            records["now_ns"] = 1_700_000_000_000_000_000 + self._count // 3
            records["instrument_id"] = number
            records["venue_ns"] = self._count * 10 + np.arange(len(records))
            if kind != "quote":
                records["price_ticks"], records["quantity"], records["side"] = 100, 1, 1
            with self._lock:
                self._served.publish(records)
            self.published.setdefault((kind, number), []).append(records)
            if not self._count % 50:
                self._keep_up()

    def say(self, records: np.ndarray) -> None:
        """Publish these records, and nothing of one's own."""
        with self._lock:
            self._served.publish(records)
        self._keep_up()

    def _keep_up(self) -> None:
        while self._kept is not None and self._kept.lag:  # the hub's own journal looks every few milliseconds
            pause(0.001)

    def count(self) -> int:
        return sum(len(each) for parts in self.published.values() for each in parts)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._keeps is not None:
            self._keeps.close()
        self._served.publisher.close()
        self._served.replayer.close()
        if self._writer is not None:
            self._writer.close()
        self._context.destroy(0)


@contextmanager
def recorders(star: Star, path: Path) -> Iterator[Start]:
    """What starts a recorder of a star into ``path/catalog``, with its counters beside it; all end with the block."""
    running: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.recorder_child", star.endpoint, str(star.ring or ""),
             str(path / "catalog"), str(path / "counters"), *SYMBOLS],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        running.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child

    try:
        yield begin
    finally:
        for child in running:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


def until(path: Path, name: str, least: int) -> int:
    """Wait until a counter of the recorder has at least this value; the value."""
    end = time.monotonic() + DEADLINE_SECONDS
    while (value := Counters.read(path / "counters").get(f"recorder.{name}", 0)) < least:
        assert time.monotonic() < end, f"recorder.{name} is {value}, expected {least}"
        pause(0.01)
    return value
