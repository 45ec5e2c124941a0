"""The recorder of market data: everything once, in order, also where it is killed and the ring has gone on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

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
from nautilus.store.catalog import Catalog
from tests.kit.data import ROOT

SYMBOLS = ("A", "B", "C")
RING_BYTES = 1 << 16
KINDS = {"quote": QUOTE, "trade": TRADE, "book": BOOK_DELTA}
DEADLINE_SECONDS = 60


class Star:
    """A hub's star over real sockets, with what it keeps on disk; publishes from one thread."""

    def __init__(self, path: Path, *, ring: bool) -> None:
        self.endpoint = f"ipc://{path}/star"
        self.ring = path / "ring" if ring else None
        self.published: dict[tuple[str, int], list[np.ndarray]] = {}
        self._dice = random.Random(3)
        self._count = 0
        self._context = make_context()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        journal = StarJournal(path / "journal")
        writer = RingWriter(self.ring, capacity=RING_BYTES, epoch=7) if self.ring else None
        buffer = None if writer else FrameBuffer()
        publisher = Publisher(
            self._context, self.endpoint, epoch=7, clock=now_ns, ring=writer, buffer=buffer, heartbeat_ns=20_000_000
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
            if self._kept is not None and not self._count % 50:
                while self._kept.lag:  # the hub's own journal looks every few milliseconds
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


@pytest.fixture(params=["ring", "zmq"])
def star(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Star]:
    made = Star(tmp_path, ring=request.param == "ring")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def start(star: Star, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.recorder_child", star.endpoint, str(star.ring or ""),
             str(tmp_path / "catalog"), str(tmp_path / "counters"), *SYMBOLS],
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
    """Wait until a counter has at least this value; the value."""
    end = time.monotonic() + DEADLINE_SECONDS
    while (value := Counters.read(path / "counters").get(f"recorder.{name}", 0)) < least:
        assert time.monotonic() < end, f"recorder.{name} is {value}, expected {least}"
        pause(0.01)
    return value


def test_a_recorder_that_is_killed_stores_everything_once(
    star: Star, start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start()
    star.publish(300)
    until(tmp_path, "durable", star.count() // 2)
    acknowledged = star.count() // 2
    star.publish(50)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with Catalog(tmp_path / "catalog").writer() as recovered:  # what is in its log is published
        assert not recovered.counts.refused
    with Catalog(tmp_path / "catalog") as catalog:
        assert sum(each.rows for each in catalog.ranges()) >= acknowledged
    star.publish(1_500)  # far more than the ring holds
    child = start()
    before = Counters.read(tmp_path / "counters").get("recorder.records", 0)
    star.publish(100)
    end = time.monotonic() + DEADLINE_SECONDS
    while missing(star, tmp_path) and time.monotonic() < end:
        until(tmp_path, "records", before + 1)
        pause(0.1)
    child.send_signal(signal.SIGTERM)
    assert child.wait(DEADLINE_SECONDS) == 0
    with Catalog(tmp_path / "catalog") as catalog:
        for (kind, number), parts in star.published.items():
            stored = np.concatenate(list(catalog.read(kind, f"{SYMBOLS[number - 1]}@VENUE", ids={
                f"{SYMBOLS[number - 1]}@VENUE": number})))  # fmt: skip
            assert stored.tobytes() == np.concatenate(parts).tobytes()
    facts = Counters.read(tmp_path / "counters")
    assert facts.get("recorder.lost", 0) == 0
    assert facts["recorder.recovered"] > 0


def missing(star: Star, path: Path) -> int:
    """Records that the catalog does not show yet."""
    with Catalog(path / "catalog") as catalog:
        return star.count() - sum(each.rows for each in catalog.ranges())
