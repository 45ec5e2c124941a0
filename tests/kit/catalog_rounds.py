"""Rounds of a catalog's writer that is killed, each with a look at what is left.

Run as a process of its own: it forks writers and checkers before anything in it has a thread, so that a round costs
no imports. A writer numbers its trades; whatever happens to it, the catalog holds 1 to n, each once, and n is at least
what was acknowledged.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from nautilus.core.types import TRADE
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_publish import publish_segment
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_upkeep import compact

MIDNIGHT_NS = 1_667_260_800_000_000_000
INSTRUMENT = SimpleNamespace(symbol="BTC/USDT", venue="X", price_increment="0.01", lot_size="0.001")
ORIGIN = "sha256:rounds"
ROWS = 50
CONFIG = CatalogConfig(segment_mib=1, segment_seconds=0.05)
STEPS = ("part", "list", "delete", "compact part", "compact list", "compact purge")


def _batch(number: int) -> np.ndarray:
    """Batch `number`, from 1: its trades follow those of the one before; every tenth goes into the next day."""
    made = np.zeros(ROWS, TRADE)
    made["trade_id"] = (number - 1) * ROWS + 1 + np.arange(ROWS)
    day = 86_400_000_000_000 if number % 10 == 0 else 0
    made["now_ns"] = MIDNIGHT_NS + day + made["trade_id"].astype(np.int64)
    return made


def _write(root: Path, told: int, first_only: bool = False) -> None:
    """Append, acknowledge, publish and compact until the end; every acknowledged batch is told."""
    with Catalog(root, CONFIG).writer() as writer:
        number = writer.position(ORIGIN)
        while True:
            # Handed in twice, as an import that goes on does.
            for each in (number, number + 1):
                if each:
                    writer.append(INSTRUMENT, "trade", _batch(each), origin=ORIGIN, position=each, wait=True)
            number += 1
            if number % 3 == 0:
                writer.flush(publish=number % 6 == 0)
                os.write(told, struct.pack("<q", number))
            if number % 18 == 0:
                writer.compact()
            if first_only and number >= 24:
                return


def _killed_at(root: Path, step: str, told: int) -> None:
    """A writer that dies before one step of a publication or a compaction."""
    import nautilus.store.catalog_writer as writing

    def die(at: str) -> None:
        if at == step.removeprefix("compact "):
            os.kill(os.getpid(), signal.SIGKILL)

    if step.startswith("compact "):
        writing.compact = lambda *given: compact(*given, steps=die)  # type: ignore[misc, assignment]
    else:
        writing.publish_segment = lambda *given: publish_segment(*given, steps=die)  # type: ignore[misc, assignment]
    _write(root, told)


def _check(root: Path, least: int) -> None:
    """Look at the catalog as a reader, then as the next writer."""
    if (root / "catalog.sqlite").exists():
        with Catalog(root) as catalog:
            numbers = _numbers(catalog)
            assert numbers == list(range(1, len(numbers) + 1)), "what readers see is not one run"
            assert not catalog.notices, catalog.notices
    with Catalog(root, CONFIG) as catalog:
        with catalog.writer() as writer:
            position = writer.position(ORIGIN)
        numbers = _numbers(catalog)
        assert len(numbers) >= least * ROWS, f"{least * ROWS} rows were acknowledged, {len(numbers)} are there"
        assert numbers == list(range(1, len(numbers) + 1)), "rows are lost or doubled"
        assert position * ROWS == len(numbers), f"position {position} with {len(numbers)} rows"
        assert catalog.verify() == []


def _numbers(catalog: Catalog) -> list[int]:
    return sorted(number for records in catalog.read("trade") for number in records["trade_id"].tolist())


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(code)
    return child


def _round(root: Path, work: Callable[[int], None], least: int, acknowledged: int, wait_seconds: float) -> int:
    """Let a writer work until it has acknowledged so many times, kill it a moment later, and look; what it had."""
    reader, writer = os.pipe()

    def child_work() -> None:
        os.close(reader)
        work(writer)

    child = _forked(child_work)
    os.close(writer)
    told = least
    try:
        while acknowledged > 0 and (data := os.read(reader, 8)):
            (told,) = struct.unpack("<q", data)
            acknowledged -= 1
        select.select([], [], [], wait_seconds)
        os.kill(child, signal.SIGKILL)
    finally:
        os.waitpid(child, 0)
        while data := os.read(reader, 8):
            (told,) = struct.unpack("<q", data)
        os.close(reader)
    checker = _forked(lambda: _check(root, told))
    assert os.waitpid(checker, 0)[1] == 0, f"after {told} batches"
    return told


def main(root: Path, rounds: int, seed: int) -> None:
    """Rounds at random moments, then one for each step of a publication and a compaction."""
    chance = random.Random(seed)
    told = 0
    for _ in range(rounds):
        told = _round(root, lambda fd: _write(root, fd), told, chance.randrange(0, 12), chance.random() * 0.03)
    for step in STEPS:
        told = _round(root, lambda fd, at=step: _killed_at(root, at, fd), told, 1 << 30, 0)  # type: ignore[misc]
    print(json.dumps({"rounds": rounds + len(STEPS), "batches": told}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
