"""The kind of hash belongs to a journal: XXH3 in new ones, XXH64 for life in those that earlier versions began."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import xxhash

from nautilus.core import Kernel, KernelError
from nautilus.core.journal import HashRecord, Journal, JournalError, JournalReader, repair, verify, write_snapshot
from nautilus.core.journal_base import segment_heads
from nautilus.core.journal_tail import JournalTail
from tests.kit import flow
from tests.kit import journal as kit
from tests.kit.pair import canonical
from tests.kit.twin import TwinKernel

GOLDEN = Path(__file__).parents[2] / "golden" / "journal_v2"
SMALL, SIZES = 8192, {"capacity": 64, "closed_capacity": 16}
FEATURES = {"xxh3": 3, "xxh64": 1}
KINDS: tuple[str, ...] = ("xxh3", "xxh64")
each_kind = pytest.mark.parametrize("hashes", KINDS)


def started(hashes: str, journal: Journal | Path | None = None) -> Kernel:
    return Kernel(
        instruments=flow.instruments(),
        accounts=flow.accounts(),
        journal=journal,
        huge_pages=False,
        hashes=hashes,
        **SIZES,
    )


def batches(count: int, seed: int = 5) -> list[np.ndarray]:
    twin = TwinKernel(instruments=flow.instruments(), accounts=flow.accounts(), **SIZES)
    source, drawn = flow.Flow(seed), []
    for _ in range(count):
        drawn.append(source.draw(40, list(twin.orders)))
        twin.process(drawn[-1])
    return drawn


def written(path: Path, hashes: str) -> list[Path]:
    """Segments of a journal of some commands, with their kernel's hashes."""
    kernel = started(hashes, Journal(path, segment_bytes=SMALL, hashes=hashes, **SIZES))
    for batch in batches(12):
        kernel.process(batch)
    kernel.close()
    return kit.segments(path)


def read(tail: JournalTail) -> None:
    while tail.next() is not None:
        assert tail.hashes is not None


def said(kernel: Kernel | TwinKernel) -> tuple[int, int, int]:
    return kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()


def features(file: Path) -> int:
    found: int = struct.unpack_from("<I", file.read_bytes(), 60)[0]
    return found


def set_features(file: Path, value: int) -> None:
    """Write other features into a header, and sign it and every record behind it anew."""
    data = bytearray(file.read_bytes())
    struct.pack_into("<I", data, 60, value)
    kit.sign_header(data)
    kit.sign_records(data)
    file.write_bytes(data)


# -- which kind ------------------------------------------------------------------------------------------------------


@each_kind
def test_every_segment_and_report_says_the_kind(tmp_path: Path, hashes: str) -> None:
    files = written(tmp_path / "j", hashes)
    assert len(files) > 3
    assert {features(file) for file in files} == {FEATURES[hashes]}
    assert verify(tmp_path / "j").hashes == JournalReader(tmp_path / "j").hashes == hashes


def test_new_journals_and_kernels_have_xxh3(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal.hashes == "xxh3"
    assert Kernel(accounts=(), capacity=1).hashes == "xxh3"


@each_kind
def test_hashes_are_the_published_ones_of_all_records(hashes: str) -> None:
    published = xxhash.xxh3_64 if hashes == "xxh3" else xxhash.xxh64
    events = published()
    kernel = Kernel(accounts=(), huge_pages=False, hashes=hashes, **SIZES)
    assert kernel.event_hash() == kernel.journal_hash() == published().intdigest()
    for rows in (flow.instruments(), flow.accounts(), *batches(10)):
        for first in range(0, len(rows), 7):
            events.update(kernel.process(rows[first : first + 7]).tobytes())
            assert kernel.event_hash() == events.intdigest()


@each_kind
def test_kernel_and_twin_agree_through_journal_replay_and_continuation(tmp_path: Path, hashes: str) -> None:
    twin = TwinKernel(instruments=flow.instruments(), accounts=flow.accounts(), **SIZES, hashes=hashes)
    kernel = started(hashes, Journal(tmp_path / "j", segment_bytes=SMALL, hashes=hashes, **SIZES))
    drawn = batches(12)
    for batch in drawn[:6]:
        kernel.process(batch)
        twin.process(batch)
    assert said(kernel) == said(twin)
    kernel.close()
    kernel = Kernel.open(tmp_path / "j")
    assert (kernel.hashes, said(kernel)) == (hashes, said(twin))
    for batch in drawn[6:]:
        kernel.process(batch)
        twin.process(batch)
    kernel.checkpoint()
    kernel.close()
    for snapshots in (False, True):
        again = Kernel.replay(tmp_path / "j", snapshots=snapshots)
        assert (again.hashes, said(again)) == (hashes, said(twin))
    assert {features(file) for file in kit.segments(tmp_path / "j")} == {FEATURES[hashes]}
    last = [item for item in JournalReader(tmp_path / "j") if isinstance(item, HashRecord)][-1]
    assert (last.event_hash, last.journal_hash) == said(twin)[1:]


def test_the_state_hash_is_the_same_with_both() -> None:
    kernels = [started(kind) for kind in KINDS]
    for batch in batches(5):
        for kernel in kernels:
            kernel.process(batch)
    assert kernels[0].state_hash() == kernels[1].state_hash()
    assert canonical(kernels[0]) == canonical(kernels[1])
    assert kernels[0].event_hash() != kernels[1].event_hash()


def test_a_journal_of_an_earlier_version_is_gone_on_with_in_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "j"
    shutil.copytree(GOLDEN, path)
    before = {file.name: file.read_bytes() for file in kit.segments(path)}
    kernel = Kernel.open(path)
    assert kernel.hashes == "xxh64"
    for batch in batches(30):
        kernel.process(batch)
    expected = said(kernel)
    kernel.close()
    after = kit.segments(path)
    assert len(after) > len(before)
    assert {features(file) for file in after} == {1}
    assert [file.read_bytes() for file in after[: len(before)]] == list(before.values())
    assert said(Kernel.replay(path, snapshots=False)) == expected
    tail = JournalTail(path)
    read(tail)
    assert (tail.hashes, tail.last_sequence) == ("xxh64", kernel.last_sequence)


@each_kind
def test_a_kernel_without_commands_takes_over_the_kind_of_its_journal(tmp_path: Path, hashes: str) -> None:
    kernel = Kernel(accounts=(), huge_pages=False, **SIZES)
    kernel.attach(Journal(tmp_path / "j", hashes=hashes, **SIZES))
    kernel.process(flow.instruments())
    expected = (hashes, *said(kernel))
    assert kernel.hashes == hashes
    kernel.close()
    again = Kernel.open(tmp_path / "j")
    assert (again.hashes, *said(again)) == expected
    again.close()


def test_a_kernel_that_has_begun_refuses_a_journal_of_the_other_kind(tmp_path: Path) -> None:
    kernel = started("xxh64")
    journal = Journal(tmp_path / "j", first_sequence=kernel.last_sequence + 1, **SIZES)
    with pytest.raises(KernelError, match="expected a journal with xxh64 hashes, found xxh3") as refusal:
        kernel.attach(journal)
    assert refusal.value.code == "JOURNAL"
    journal.close()


@each_kind
def test_opening_an_existing_journal_with_the_other_kind_is_refused(tmp_path: Path, hashes: str) -> None:
    files = written(tmp_path / "j", hashes)
    other = KINDS[1 - KINDS.index(hashes)]
    with pytest.raises(JournalError, match=f"expected {hashes} as the journal has, found {other}") as refusal:
        Journal(tmp_path / "j", hashes=other)
    assert refusal.value.code == "hashes"
    assert kit.segments(tmp_path / "j") == files
    Journal(tmp_path / "j", hashes=hashes).close()


def test_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 'xxh3' or 'xxh64', found 'md5'"):
        Kernel(accounts=(), capacity=1, hashes="md5")
    with pytest.raises(ValueError, match="found 'md5'"):
        Journal(tmp_path / "j", hashes="md5")


# -- snapshots -------------------------------------------------------------------------------------------------------


@each_kind
def test_a_snapshot_at_any_length_carries_the_hashes_on(hashes: str) -> None:
    rows = np.concatenate([flow.instruments(), flow.accounts(), *batches(3)])
    whole = Kernel(accounts=(), huge_pages=False, hashes=hashes, **SIZES)
    for number in range(40):
        restored = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
        restored.restore(whole.snapshot())
        assert (restored.hashes, restored.snapshot()) == (hashes, whole.snapshot())
        for kernel in (whole, restored):
            kernel.process(rows[number : number + 1])
        assert said(restored) == said(whole)


@pytest.mark.parametrize(("word", "value"), [(0, 0), (0, 2), (9, 1), (9, -8), (9, 1 << 40)])
def test_a_snapshot_whose_hashes_are_none_is_refused(word: int, value: int) -> None:
    kernel = started("xxh3")
    data = bytearray(kernel.snapshot())
    struct.pack_into("<q", data, len(canonical(kernel)) + 8 * word, value)
    with pytest.raises(ValueError, match="snapshot"):
        kernel.restore(bytes(data))


def test_a_snapshot_of_the_other_kind_is_refused_beside_a_journal(tmp_path: Path) -> None:
    written(tmp_path / "j", "xxh3")
    other = started("xxh64")
    write_snapshot(tmp_path / "j", other.last_sequence, other.snapshot())
    for attempt in (Kernel.replay, Kernel.open):
        with pytest.raises(KernelError, match="hashes: expected xxh3 as the journal has, found xxh64") as refusal:
            attempt(tmp_path / "j")
        assert refusal.value.code == "JOURNAL"
    assert Kernel.replay(tmp_path / "j", snapshots=False).hashes == "xxh3"


# -- segments --------------------------------------------------------------------------------------------------------


@each_kind
def test_a_segment_of_the_other_kind_is_damage(tmp_path: Path, hashes: str) -> None:
    files = written(tmp_path / "j", hashes)
    other = KINDS[1 - KINDS.index(hashes)]
    set_features(files[2], FEATURES[other])
    report = verify(tmp_path / "j")
    assert report.damage is not None
    assert (report.damage.segment, report.damage.offset, report.damage.what) == (files[2].name, 60, "chain")
    assert (report.damage.expected, report.damage.found) == (f"{hashes} hashes, as {files[1].name} has", other)
    assert report.last_sequence == segment_heads(tmp_path / "j")[2].first_sequence - 1
    with pytest.raises(JournalError, match="60: chain: expected"):
        Kernel.replay(tmp_path / "j")
    tail = JournalTail(tmp_path / "j")
    with pytest.raises(JournalError, match=f"hashes: expected {hashes}, found {other}") as refusal:
        read(tail)
    assert refusal.value.code == "chain"
    assert tail.last_sequence == report.last_sequence
    assert repair(tmp_path / "j").damage == report.damage
    assert verify(tmp_path / "j").valid


def test_features_that_are_unknown_are_refused_and_nothing_is_cut(tmp_path: Path) -> None:
    files = written(tmp_path / "j", "xxh3")
    set_features(files[-1], 7)
    before = {file: file.read_bytes() for file in files}
    report = verify(tmp_path / "j")
    assert report.damage is not None
    assert (report.damage.what, report.damage.offset, report.damage.found) == ("layout", 60, "7")
    for attempt in (Journal, Kernel.open, repair):
        with pytest.raises(JournalError, match="no features but 3, found 7") as refusal:
            attempt(tmp_path / "j")
        assert refusal.value.code == "layout"
    assert {file: file.read_bytes() for file in kit.segments(tmp_path / "j")} == before
    with pytest.raises(JournalError, match="features: expected 3, found 7"):
        JournalTail(tmp_path / "j", segment_heads(tmp_path / "j")[-1].first_sequence).next()


def test_a_changed_byte_that_its_checksums_cover_up_shows_in_the_digest(tmp_path: Path) -> None:
    files = written(tmp_path / "j", "xxh3")
    data = bytearray(files[1].read_bytes())
    chain = kit.segment_records(bytes(data))[-1]
    data[4096 + 8 + 24] ^= 1  # a price, in the first record
    kit.sign_records(data)
    files[1].write_bytes(data)
    # The next header names the new last checksum, so only its digest is not that of what lies before it.
    after = bytearray(files[2].read_bytes())
    after[56:60] = data[chain.offset : chain.offset + 4]
    kit.sign_header(after)
    kit.sign_records(after)
    files[2].write_bytes(after)
    report = verify(tmp_path / "j")
    assert report.damage is not None
    assert (report.damage.segment, report.damage.offset, report.damage.what) == (files[2].name, 64, "chain")
