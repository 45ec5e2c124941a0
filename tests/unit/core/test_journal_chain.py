"""The chain over segments: one that is exchanged, missing, moved or of another journal is found, whatever it holds."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from nautilus.core.hashing import xxh3, xxh64
from nautilus.core.journal import Journal, repair, verify
from nautilus.core.journal_base import segment_heads
from tests.kit import journal as kit

SMALL = 8192


def make(path: Path, count: int = 300, *, change: int = 0, hashes: str = "xxh3") -> list[Path]:
    """A journal of several segments; `change` makes another one of the same shape."""
    written = kit.commands(1, count, wide=2)
    written["quantity"] += change
    with Journal(path, segment_bytes=SMALL, hashes=hashes) as journal:
        for first in range(0, count, 30):
            journal.append(written[first : first + 30])
            journal.append_hash(first, 1, 2)
    return kit.segments(path)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = make(tmp_path / "journal")
    assert len(made) > 4
    return made


def test_the_digest_is_as_documented(files: list[Path]) -> None:
    digest = 0
    for file in files:
        data = file.read_bytes()
        features, stored = struct.unpack_from("<IQ", data, 60)
        assert (features, stored) == (3, digest)
        end = kit.segment_records(data)[-1].end
        digest = xxh3(data[:128] + data[kit.HEADER_BYTES : end])
    assert segment_heads(files[0].parent)[0].digest == 0


def test_the_digest_of_an_earlier_version_is_as_documented(tmp_path: Path) -> None:
    files = make(tmp_path / "journal", hashes="xxh64")
    digest = 0
    for file in files:
        data = file.read_bytes()
        assert struct.unpack_from("<IQ", data, 60) == (1, digest)
        first, epoch = struct.unpack_from("<qQ", data, 24)
        (checksum,) = struct.unpack_from("<I", data, 124)
        bodies = b"".join(record.body for record in kit.segment_records(data))
        digest = xxh64(struct.pack("<QqQQ", digest, first, epoch, checksum) + bodies)
    assert segment_heads(files[0].parent)[0].digest == 0


def test_a_segment_of_another_journal_is_found_though_its_checksums_fit(files: list[Path], tmp_path: Path) -> None:
    other = make(tmp_path / "other", change=1)
    data, after = bytearray(other[2].read_bytes()), bytearray(files[3].read_bytes())
    # Signed by hand so that the checksums of the chain continue: only the digest can tell.
    struct.pack_into("<I", data, 56, struct.unpack_from("<I", files[2].read_bytes(), 56)[0])
    struct.pack_into("<Q", data, 64, struct.unpack_from("<Q", files[2].read_bytes(), 64)[0])
    kit.sign_header(data)
    kit.sign_records(data)
    files[2].write_bytes(data)
    struct.pack_into("<I", after, 56, _chain(bytes(data)))
    kit.sign_header(after)
    kit.sign_records(after)
    files[3].write_bytes(after)
    report = verify(files[0].parent)
    assert report.damage is not None
    assert (report.damage.segment, report.damage.what, report.damage.offset) == (files[3].name, "chain", 64)
    assert repair(files[0].parent).last_sequence == report.last_sequence
    assert verify(files[0].parent).valid


def test_a_segment_that_is_missing_exchanged_or_moved_is_found(files: list[Path], tmp_path: Path) -> None:
    path, whole = files[0].parent, tmp_path / "whole"
    shutil.copytree(path, whole)
    other = make(tmp_path / "other", change=1)
    for number in range(1, len(files) - 1):
        files[number].unlink()
        assert not verify(path).valid
        shutil.copy(other[number], files[number])
        assert not verify(path).valid
        shutil.copy(whole / files[number + 1].name, files[number])
        assert not verify(path).valid
        shutil.copy(whole / files[number].name, files[number])
    assert verify(path).valid


def test_segments_of_an_earlier_version_are_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    chain = 0
    for file in make(path, hashes="xxh64"):
        data = bytearray(file.read_bytes())
        data[60:72] = bytes(12)
        struct.pack_into("<I", data, 56, chain)
        kit.sign_header(data)
        kit.sign_records(data)
        file.write_bytes(data)
        chain = _chain(bytes(data))
    assert verify(path).valid
    with Journal(path, segment_bytes=SMALL) as journal:
        journal.append(kit.commands(301, 100))
    assert verify(path).valid
    newest = kit.segments(path)[-2]
    data = bytearray(newest.read_bytes())
    assert struct.unpack_from("<I", data, 60)[0] == 1
    data[64] ^= 1
    kit.sign_header(data)
    kit.sign_records(data)
    newest.write_bytes(data)
    assert not verify(path).valid


def _chain(data: bytes) -> int:
    """Checksum of the last record of a segment."""
    record = kit.segment_records(data)[-1]
    checksum: int = struct.unpack_from("<I", data, record.offset)[0]
    return checksum
