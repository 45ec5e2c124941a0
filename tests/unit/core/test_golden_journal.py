"""A journal and a snapshot that version 1 wrote are read by every later version, and give the same hashes.

`tests/golden/journal_v1` is never edited: three segments, both record forms, hash records after every batch, a snapshot
in the middle, a clean stop. The hashes beside it were computed by the kernel and by its naive twin.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.journal import HashRecord, JournalReader, latest_snapshot, verify
from tests.kit import builders, flow
from tests.kit.twin import TwinKernel

GOLDEN = Path(__file__).parents[2] / "golden"
JOURNAL = GOLDEN / "journal_v1"
EXPECTED = json.loads((GOLDEN / "journal_v1.json").read_text())
MIDDLE, LAST = (int(sequence) for sequence in EXPECTED)


def of(kernel: Kernel | TwinKernel) -> dict[str, int | str]:
    return {
        "events": kernel.last_event_sequence,
        "state_hash": f"{kernel.state_hash():016x}",
        "event_hash": f"{kernel.event_hash():016x}",
        "journal_hash": f"{kernel.journal_hash():016x}",
    }


def test_golden_journal_is_whole_and_ends_cleanly() -> None:
    report = verify(JOURNAL)
    assert (report.valid, report.clean, report.segments, report.last_sequence) == (True, True, 3, LAST)
    assert (report.rules, report.capacity, report.closed_capacity) == (1, 64, 16)


@pytest.mark.parametrize("snapshots", [False, True])
def test_golden_journal_replays_to_its_hashes(snapshots: bool) -> None:
    kernel = Kernel.replay(JOURNAL, snapshots=snapshots)
    assert kernel.last_sequence == LAST
    assert of(kernel) == EXPECTED[str(LAST)]


def test_golden_snapshot_restores_to_its_hashes() -> None:
    snapshot = latest_snapshot(JOURNAL)
    assert (snapshot.sequence, snapshot.rules, snapshot.skipped) == (MIDDLE, 1, ())
    kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    kernel.restore(snapshot.payload or b"")
    assert of(kernel) == EXPECTED[str(MIDDLE)]
    assert kernel.snapshot() == snapshot.payload


def test_golden_journal_gives_the_naive_twin_the_same_hashes() -> None:
    twin = TwinKernel(capacity=64, closed_capacity=16, accounts=())
    marks = 0
    for item in JournalReader(JOURNAL):
        if isinstance(item, HashRecord):
            assert (item.event_hash, item.journal_hash) == (twin.event_hash(), twin.journal_hash())
            marks += 1
        else:
            twin.process(item)
    assert of(twin) == EXPECTED[str(LAST)]
    assert marks == 8


def test_golden_journal_can_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    shutil.copytree(JOURNAL, path)
    kernel = Kernel.open(path)
    assert of(kernel) == EXPECTED[str(LAST)]
    kernel.process(np.concatenate([builders.time(1), *flow.Flow(1).draw(5, []).reshape(5, 1)]))
    expected = of(kernel)
    kernel.close()
    assert of(Kernel.replay(path)) == expected
