"""A second golden journal of rules 2: every reason that a kernel can give, and what explicit instruments tell.

`tests/golden/journal_v2_reasons` is never edited, as those of `test_golden_journal.py`. Its hashes were computed by the
kernel of its time and by its naive twin.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import RULES_VERSION, CommandKind, EventKind, InstrumentFlag, Kernel, Reason
from nautilus.core.journal import HashRecord, JournalReader, latest_snapshot, verify
from tests.kit.twin import TwinKernel

JOURNAL = Path(__file__).parents[2] / "golden" / "journal_v2_reasons"
EXPECTED = json.loads(JOURNAL.with_suffix(".json").read_text())
MIDDLE, LAST = (int(sequence) for sequence in EXPECTED)
OF_THE_PROCESS = {Reason.JOURNAL_FULL, Reason.NOT_READY, Reason.DISCONNECTED}
"""Reasons that no kernel gives."""


def of(kernel: Kernel | TwinKernel) -> dict[str, int | str]:
    return {
        "events": kernel.last_event_sequence,
        "state_hash": f"{kernel.state_hash():016x}",
        "event_hash": f"{kernel.event_hash():016x}",
        "journal_hash": f"{kernel.journal_hash():016x}",
    }


def test_journal_is_whole_and_ends_cleanly() -> None:
    report = verify(JOURNAL)
    assert (report.valid, report.clean, report.last_sequence, report.rules) == (True, True, LAST, RULES_VERSION)
    assert report.segments > 1


@pytest.mark.parametrize("snapshots", [False, True])
def test_journal_replays_to_its_hashes(snapshots: bool) -> None:
    assert of(Kernel.replay(JOURNAL, snapshots=snapshots)) == EXPECTED[str(LAST)]


def test_snapshot_in_the_middle_restores_to_its_hashes() -> None:
    snapshot = latest_snapshot(JOURNAL, at_most=MIDDLE)
    kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    kernel.restore(snapshot.payload or b"")
    assert (snapshot.sequence, of(kernel)) == (MIDDLE, EXPECTED[str(MIDDLE)])
    assert kernel.snapshot() == snapshot.payload


def test_naive_twin_gives_the_same_hashes_and_every_reason_is_there() -> None:
    twin = TwinKernel(capacity=64, closed_capacity=16, accounts=(), hashes="xxh64")
    seen: set[tuple[int, int]] = set()
    explicit = 0
    for item in JournalReader(JOURNAL):
        if isinstance(item, HashRecord):
            assert (item.event_hash, item.journal_hash) == (twin.event_hash(), twin.journal_hash())
            continue
        explicit += np.count_nonzero(
            (item["kind"] == CommandKind.INSTRUMENT) & (item["flags"] & InstrumentFlag.EXPLICIT != 0)
        )
        events = twin.process(item)
        seen |= set(zip(events["kind"].tolist(), events["reason"].tolist(), strict=True))
    assert of(twin) == EXPECTED[str(LAST)]
    assert {reason for _, reason in seen} == set(Reason) - OF_THE_PROCESS
    assert {kind for kind, _ in seen} == set(EventKind)
    assert (EventKind.REPLACED, Reason.RESTATED) in seen
    assert explicit > 0
