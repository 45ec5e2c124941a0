"""The audit log: what is read back, and that nothing can be changed, taken out, moved or cut off unnoticed."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.audit_chain import ANCHOR_BYTES, ANCHOR_MAGIC, MAGIC, Chain
from nautilus.store.audit import AuditError, AuditLog, read, verify
from tests.kit.access import NOW_NS

DIGEST = hashlib.blake2b(b"{}", digest_size=32).digest()
TRACE = "0af7651916cd43dd8448eb211c80319c"
fork = multiprocessing.get_context("fork")
SOAK = "NAUTILUS_SEEDS" in os.environ  # every bit of every byte, not one of each


def opened(place, process="trading", **more) -> AuditLog:
    return AuditLog(place / "audit", place / "anchors", process, NOW_NS, **more)


def fill(log, count=5, first=0):
    for number in range(first, first + count):
        log.append(
            f"desk-{number % 3}", "POST", b"/orders?n=%d" % number, DIGEST, 200 + number % 2, TRACE, NOW_NS + number
        )


def made(place, lives=2, count=5):
    """A log of so many lives of a process."""
    for life in range(lives):
        log = opened(place)
        fill(log, count, life * count)
        log.close(NOW_NS + 100)
    return place


def problems(place):
    return [finding.problem for finding in verify(place / "audit", place / "anchors", looks=1)]


def files(place):
    return sorted((place / "audit" / "trading").glob("*.audit"))


def test_what_was_appended_is_read_and_holds(tmp_path):
    made(tmp_path)
    found = list(read(tmp_path / "audit", "trading"))
    assert [record.kind for record in found] == (["begin"] + ["call"] * 5 + ["end"]) * 2
    assert [record.sequence for record in found] == list(range(1, 15))
    call = found[2]
    assert (call.principal, call.method, call.target, call.digest) == ("desk-1", "POST", b"/orders?n=1", DIGEST)
    assert (call.status, call.trace, call.now_ns) == (201, TRACE, NOW_NS + 1)
    assert problems(tmp_path) == [""]
    assert all(place.stat().st_mode & 0o777 == 0o600 for place in files(tmp_path))


def test_each_hash_is_that_of_the_record_and_of_the_hash_before(tmp_path):
    """The twin: hashlib, over the bytes as they lie in the file."""
    made(tmp_path)
    last = bytes(32)
    for place in files(tmp_path):
        content, at = place.read_bytes(), len(MAGIC)
        while at < len(content):
            (size,) = struct.unpack_from("<I", content, at)
            last = hashlib.blake2b(last + content[at : at + size - 32], digest_size=32).digest()
            assert content[at + size - 32 : at + size] == last
            at += size
        assert at == len(content)
    (finding,) = verify(tmp_path / "audit", tmp_path / "anchors")
    assert finding.last_hash == last.hex()


def test_a_changed_bit_of_any_byte_is_found(tmp_path):
    made(tmp_path, lives=2, count=2)
    for place in files(tmp_path):
        content = place.read_bytes()
        for at in range(len(content)):
            for bit in range(8) if SOAK else (at % 8,):
                changed = bytearray(content)
                changed[at] ^= 1 << bit
                place.write_bytes(changed)
                assert problems(tmp_path) != [""], f"byte {at} bit {bit} of {place.name}"
        place.write_bytes(content)
    assert problems(tmp_path) == [""]


def test_any_bit_of_a_log_that_is_written_to_is_found_also_behind_its_end(tmp_path):
    log = opened(tmp_path)
    fill(log, 3)
    (place,) = files(tmp_path)
    with open(place, "r+b") as file:
        for at in [*range(0, 900, 1 if SOAK else 7), 4096, 300_000, place.stat().st_size - 1]:
            file.seek(at)
            before = file.read(1)
            file.seek(at)
            file.write(bytes([before[0] ^ 1 << at % 8]))
            file.flush()
            assert problems(tmp_path) != [""], f"byte {at}"
            file.seek(at)
            file.write(before)
            file.flush()
    assert problems(tmp_path) == [""]
    log.close(NOW_NS)


def _split(content):
    at, parts = len(MAGIC), []
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        parts.append(content[at : at + size])
        at += size
    return parts


@settings(max_examples=60)
@given(st.data())
def test_records_that_are_taken_out_moved_doubled_or_cut_off_are_found(tmp_path_factory, data):
    place = made(tmp_path_factory.mktemp("log"), lives=2, count=4)
    try:
        victim = data.draw(st.sampled_from(files(place)))
        parts = _split(victim.read_bytes())
        how = data.draw(st.sampled_from(["delete", "swap", "double", "cut", "cut inside", "remove file"]))
        at = data.draw(st.integers(0, len(parts) - 1))
        if how == "remove file":
            victim.unlink()
        else:
            if how == "delete":
                del parts[at]
            elif how == "swap":
                other = data.draw(st.integers(0, len(parts) - 1).filter(lambda number: number != at))
                parts[at], parts[other] = parts[other], parts[at]
            elif how == "double":
                parts.insert(at, parts[at])
            elif how == "cut":
                del parts[at:]
            content = MAGIC + b"".join(parts)
            if how == "cut inside":
                content = content[: data.draw(st.integers(0, len(content) - 1))]
            victim.write_bytes(content)
        assert problems(place) != [""]
    finally:
        shutil.rmtree(place)


def test_a_log_or_an_anchor_that_is_gone_is_found(tmp_path):
    made(tmp_path)
    kept = tmp_path / "kept"
    shutil.move(tmp_path / "audit" / "trading", kept)
    assert problems(tmp_path) == ["no log, and yet an anchor"]
    shutil.move(kept, tmp_path / "audit" / "trading")
    anchor = tmp_path / "anchors" / "trading.anchor"
    content = anchor.read_bytes()
    anchor.unlink()
    assert problems(tmp_path) == ["no anchor"]
    anchor.write_bytes(content)
    assert problems(tmp_path) == [""]


def test_a_log_that_was_cut_and_goes_on_is_found(tmp_path):
    made(tmp_path)
    files(tmp_path)[-1].unlink()
    log = opened(tmp_path)
    fill(log)
    log.close(NOW_NS)
    assert problems(tmp_path) == ["record 8 is not there"]


def test_an_anchor_of_an_earlier_state_is_found(tmp_path):
    made(tmp_path)
    anchor = tmp_path / "anchors" / "trading.anchor"
    old = anchor.read_bytes()
    made(tmp_path, lives=1)
    anchor.write_bytes(old)
    assert "the anchor is of record 14" in problems(tmp_path)[0]


def test_segments_follow_each_other(tmp_path):
    log = opened(tmp_path, segment_bytes=1 << 18)
    fill(log, 5000)
    log.close(NOW_NS)
    assert len(files(tmp_path)) > 2
    assert problems(tmp_path) == [""]
    calls = [record.target for record in read(tmp_path / "audit", "trading") if record.kind == "call"]
    assert calls == [b"/orders?n=%d" % number for number in range(5000)]


def test_a_target_without_end_is_cut_and_the_log_goes_on(tmp_path):
    log = opened(tmp_path, segment_bytes=1 << 18)
    for _ in range(10):
        log.append("p" * 5000, "POST", b"/" * 200_000, DIGEST, 200, TRACE, NOW_NS)
    log.close(NOW_NS)
    assert problems(tmp_path) == [""]
    assert sum(record.kind == "call" for record in read(tmp_path / "audit", "trading")) == 10


def test_two_writers_of_one_log_are_refused(tmp_path):
    log = opened(tmp_path)
    with pytest.raises(AuditError, match="another process"):
        opened(tmp_path)
    opened(tmp_path, "risk").close(NOW_NS)
    log.close(NOW_NS)
    assert problems(tmp_path) == ["", ""]


def test_a_log_that_could_not_be_begun_or_ended_is_nobodys(tmp_path, monkeypatch):
    def refuse(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(AuditError, match="No space left"):
            opened(tmp_path)
    log = opened(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            log.close(NOW_NS)
    opened(tmp_path).close(NOW_NS)
    assert problems(tmp_path) == [""]


def _write_on(place, sender):
    log = opened(place)
    number = 0
    while True:
        log.append("desk", "POST", b"/orders?n=%d" % number, DIGEST, 200, TRACE, NOW_NS)
        os.write(sender, struct.pack("<I", number))
        number += 1


def test_what_was_appended_before_a_kill_is_there(tmp_path):
    for _ in range(8):
        receiver, sender = os.pipe()
        child = fork.Process(target=_write_on, args=(tmp_path, sender))
        child.start()
        os.close(sender)
        seen = b""
        while len(seen) < 4 * 2000:
            seen += os.read(receiver, 65536)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        while piece := os.read(receiver, 65536):
            seen += piece
        os.close(receiver)
        told = len(seen) // 4
        calls = [record.target for record in read(tmp_path / "audit", "trading") if record.kind == "call"]
        begun = len(calls) - 1 - calls[::-1].index(b"/orders?n=0")
        life = calls[begun:]
        assert len(life) >= told
        assert life == [b"/orders?n=%d" % number for number in range(len(life))]
    opened(tmp_path).close(NOW_NS)
    assert problems(tmp_path) == [""]


def test_what_a_killed_process_left_of_a_record_is_told_and_taken_away(tmp_path):
    log = opened(tmp_path)
    fill(log)
    used = log._chain.used
    log._map[used + 8 : used + 20] = b"half a recor"
    os.close(log._lock)  # as a kill would
    assert "killed" in problems(tmp_path)[0]
    again = opened(tmp_path)
    again.close(NOW_NS)
    assert problems(tmp_path) == [""]
    begins = [record.target for record in read(tmp_path / "audit", "trading") if record.kind == "begin"]
    assert begins == [b"", b"torn=20"]


def test_a_full_disk_loses_records_counts_them_and_says_how_many(tmp_path, monkeypatch):
    lost = []
    log = opened(tmp_path, segment_bytes=1 << 19, on_lost=lost.append)
    whole = os.posix_fallocate

    def refuse(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    fill(log, 4000)
    assert log.lost == len(lost) > 0
    monkeypatch.setattr(os, "posix_fallocate", whole)
    fill(log, 10)
    log.close(NOW_NS)
    assert problems(tmp_path) == [""]
    gaps = [record.target for record in read(tmp_path / "audit", "trading") if record.kind == "gap"]
    assert gaps == [b"lost=%d" % len(lost)]


@pytest.mark.parametrize("process", ["trading", "x" * 200])
def test_a_log_that_ends_after_a_full_disk_says_how_many_records_are_lost(tmp_path, monkeypatch, process):
    def refuse(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = opened(tmp_path, process, segment_bytes=1 << 19)
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        while log.lost < 5:
            fill(log, 1)
        log.close(NOW_NS)
    opened(tmp_path, process).close(NOW_NS)
    assert problems(tmp_path) == [""]
    found = list(read(tmp_path / "audit", process))
    at = [record.kind for record in found].index("gap")
    assert found[at].target == b"lost=5"
    assert [record.kind for record in found[at:]] == ["gap", "end", "begin", "end"]


def test_a_log_that_ends_without_a_segment_says_how_many_records_are_lost(tmp_path, monkeypatch):
    def refuse(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = opened(tmp_path, segment_bytes=1 << 18)
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        while log.lost < 5:
            fill(log, 1)
    assert log._map is None
    log.close(NOW_NS)
    assert problems(tmp_path) == [""]
    assert [(record.kind, record.target) for record in read(tmp_path / "audit", "trading")][-3:] == [
        ("begin", b""),
        ("gap", b"lost=5"),
        ("end", b""),
    ]


def test_a_segment_that_could_not_be_begun_is_begun_once_there_is_room(tmp_path):
    lost = []
    log = opened(tmp_path, segment_bytes=1 << 18, on_lost=lost.append)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no file can be opened
    try:
        while len(lost) < 5:
            fill(log, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fill(log, 10)
    log.close(NOW_NS)
    assert log.lost == len(lost) == 5
    assert problems(tmp_path) == [""]
    found = list(read(tmp_path / "audit", "trading"))
    assert [record.target for record in found if record.kind == "gap"] == [b"lost=5"]
    assert [record.kind for record in found[-10:]] == ["call"] * 9 + ["end"]
    fill(log, 1)
    assert log.lost == 6


@pytest.mark.parametrize(("status", "kind"), [(-1, 0), (0x10000, 0), (200, 0x10000)])
def test_a_status_or_kind_that_has_no_room_is_refused(status, kind):
    chain = Chain(bytearray(ANCHOR_MAGIC + bytes(ANCHOR_BYTES - len(ANCHOR_MAGIC))))
    with pytest.raises(ValueError, match="expected 0 to 65535"):
        chain.append("desk", "POST", b"/orders", b"", status, "", 1, kind)
