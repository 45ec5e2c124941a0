"""Journals and snapshots that earlier versions wrote are read by every later one, as docs/journal.md says.

The files in `tests/golden` are never edited. `journal_v1` (rules 1) and `journal_v2` (rules 2, over every order type,
phase and kind of standing): segments with both record forms, hash records, a snapshot in the middle, a clean stop. The
hashes beside each were computed by the kernel of its time and by its naive twin, with XXH64. `journal_v2_xxh3` holds
the commands of `journal_v2` with XXH3. `snapshot_v1` is the snapshot that the kernel of rules 1 wrote at the clean stop
of `journal_v1`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xxhash

from nautilus.core import RULES_VERSION, Kernel
from nautilus.core.journal import HashRecord, JournalError, JournalReader, latest_snapshot, verify
from tests.kit import builders, flow
from tests.kit.pair import levels
from tests.kit.twin import TwinKernel

GOLDEN = Path(__file__).parents[2] / "golden"
OLD, STOPPED = GOLDEN / "journal_v1", GOLDEN / "snapshot_v1"
KINDS = {GOLDEN / "journal_v2": "xxh64", GOLDEN / "journal_v2_xxh3": "xxh3"}
HASHES = {path: json.loads(path.with_suffix(".json").read_text()) for path in (OLD, *KINDS)}
MIDDLE, LAST = 480, 935
each_kind = pytest.mark.parametrize("journal", KINDS, ids=KINDS.values())
RUNNING = 10 * 8  # bytes of the two running hashes behind the canonical state


def of(kernel: Kernel | TwinKernel) -> dict[str, int | str]:
    return {
        "events": kernel.last_event_sequence,
        "state_hash": f"{kernel.state_hash():016x}",
        "event_hash": f"{kernel.event_hash():016x}",
        "journal_hash": f"{kernel.journal_hash():016x}",
    }


def restored(payload: bytes | None) -> Kernel:
    kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    kernel.restore(payload or b"")
    return kernel


def some_commands() -> np.ndarray:
    return np.concatenate([builders.time(1), *flow.Flow(1).draw(5, []).reshape(5, 1)])


# -- the rules of this kernel ----------------------------------------------------------------------------------------


@each_kind
def test_golden_journal_is_whole_and_ends_cleanly(journal: Path) -> None:
    report = verify(journal)
    assert report.hashes == KINDS[journal]
    assert (report.valid, report.clean, report.last_sequence) == (True, True, LAST)
    assert (report.rules, report.capacity, report.closed_capacity) == (RULES_VERSION, 64, 16)
    assert report.segments > 1


@each_kind
@pytest.mark.parametrize("snapshots", [False, True])
def test_golden_journal_replays_to_its_hashes(journal: Path, snapshots: bool) -> None:
    kernel = Kernel.replay(journal, snapshots=snapshots)
    assert kernel.last_sequence == LAST
    assert of(kernel) == HASHES[journal][str(LAST)]


@each_kind
@pytest.mark.parametrize("sequence", [MIDDLE, LAST])
def test_golden_snapshot_restores_to_its_hashes(journal: Path, sequence: int) -> None:
    snapshot = latest_snapshot(journal, at_most=sequence)
    assert (snapshot.sequence, snapshot.rules, snapshot.skipped) == (sequence, RULES_VERSION, ())
    kernel = restored(snapshot.payload)
    assert of(kernel) == HASHES[journal][str(sequence)]
    assert kernel.hashes == KINDS[journal]
    assert kernel.snapshot() == snapshot.payload


@each_kind
def test_golden_journal_goes_on_from_its_middle_to_its_end(journal: Path) -> None:
    kernel = restored(latest_snapshot(journal, at_most=MIDDLE).payload)
    for item in JournalReader(journal, start=MIDDLE + 1):
        if isinstance(item, np.ndarray):
            kernel.process(np.ascontiguousarray(item[item["sequence"] > MIDDLE]))
    assert of(kernel) == HASHES[journal][str(LAST)]


@each_kind
def test_golden_journal_gives_the_naive_twin_the_same_hashes(journal: Path) -> None:
    twin = TwinKernel(capacity=64, closed_capacity=16, accounts=(), hashes=KINDS[journal])
    marks = 0
    for item in JournalReader(journal):
        if isinstance(item, HashRecord):
            assert (item.event_hash, item.journal_hash) == (twin.event_hash(), twin.journal_hash())
            marks += 1
        else:
            twin.process(item)
    assert of(twin) == HASHES[journal][str(LAST)]
    assert marks > 0


@each_kind
def test_golden_journal_can_be_gone_on_with(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    shutil.copytree(journal, path)
    kernel = Kernel.open(path)
    assert of(kernel) == HASHES[journal][str(LAST)]
    kernel.process(some_commands())
    expected = of(kernel)
    kernel.close()
    assert of(Kernel.replay(path)) == of(Kernel.replay(path, snapshots=False)) == expected
    assert verify(path).hashes == KINDS[journal]


# -- rules 1 ---------------------------------------------------------------------------------------------------------


def old_state(payload: bytes) -> dict[str, int | str]:
    """What the hashes of rules 1 say of a snapshot; its running hashes need a kernel."""
    words = np.frombuffer(payload, "<i8")
    return {"events": int(words[2]), "state_hash": f"{xxhash.xxh64_intdigest(payload[:-RUNNING]):016x}"}


def test_journal_of_rules_1_is_whole_and_read_as_it_was_written() -> None:
    commands = [item for item in JournalReader(OLD, any_rules=True) if isinstance(item, np.ndarray)]
    rows = np.concatenate(commands)
    assert rows["sequence"].tolist() == list(range(1, 212))
    assert f"{xxhash.xxh64_intdigest(rows.tobytes()):016x}" == HASHES[OLD]["211"]["journal_hash"]
    report = verify(OLD)
    assert (report.rules, report.segments, report.last_sequence) == (1, 3, 211)
    assert report.damage is not None
    assert report.damage.what == "rules"  # and nothing else is wrong with it


@pytest.mark.parametrize("snapshots", [False, True])
def test_journal_of_rules_1_is_not_replayed_by_other_rules(snapshots: bool, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    shutil.copytree(OLD, path)
    for attempt in (lambda: Kernel.replay(path, snapshots=snapshots), lambda: Kernel.open(path)):
        with pytest.raises(JournalError, match=r"found (rules )?1") as refusal:
            attempt()
        assert refusal.value.code == "rules"


@pytest.mark.parametrize(("path", "sequence"), [(OLD, 111), (STOPPED, 211)])
def test_snapshot_of_rules_1_is_restored(path: Path, sequence: int) -> None:
    snapshot = latest_snapshot(path)
    payload = snapshot.payload or b""
    expected = HASHES[OLD][str(sequence)]
    assert (snapshot.sequence, snapshot.rules) == (sequence, 1)
    assert old_state(payload) == {name: expected[name] for name in ("events", "state_hash")}
    kernel = restored(payload)
    names = ("events", "event_hash", "journal_hash")
    assert {name: of(kernel)[name] for name in names} == {name: expected[name] for name in names}
    again = kernel.snapshot()
    assert restored(again).snapshot() == again
    orders_as_before(kernel, payload, again)


def orders_as_before(kernel: Kernel, payload: bytes, again: bytes) -> None:
    """Open orders word by word: 12 of each in rules 1, 30 in rules 2, behind them the running hashes."""
    number = sum(row[2] for key in (1, 2, 3) for side in levels(kernel, key) for row in side)
    old, new = (np.frombuffer(data, "<i8")[:-10] for data in (payload, again))
    assert number > 3
    assert old[-1 - 12 * number] == new[-1 - 30 * number] == number
    before, after = old[-12 * number :].reshape(-1, 12), new[-30 * number :].reshape(-1, 30)
    kept = [0, 1, 2, 3, 9, 10, 11, 6, 7, 8, 13, 14]  # their places in rules 2, in the order of rules 1
    assert after[:, kept].tolist() == before.tolist()
    armed = int(old[5])
    assert after[:, 12].tolist() == list(range(armed + 1, armed + number + 1))
    assert new[5] == armed + number


def test_journal_of_rules_1_goes_on_at_the_snapshot_of_its_clean_stop(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    shutil.copytree(OLD, path)
    for file in STOPPED.iterdir():
        shutil.copy(file, path)
    kernel = Kernel.open(path)
    assert kernel.last_sequence == 211
    assert of(kernel)["event_hash"] == HASHES[OLD]["211"]["event_hash"]
    kernel.process(some_commands())
    expected = of(kernel)
    kernel.checkpoint()
    kernel.close()
    report = verify(path)
    assert (report.valid, report.clean, report.rules) == (True, True, RULES_VERSION)
    assert of(Kernel.replay(path)) == expected
    max(path.glob("*.snapshot")).unlink()
    assert of(Kernel.replay(path)) == expected  # from the snapshot of rules 1, through the commands behind it
