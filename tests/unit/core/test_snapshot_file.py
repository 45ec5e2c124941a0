"""Snapshots: whole or not there; damaged ones are passed over, and why is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nautilus.core.journal import Snapshot, latest_snapshot, write_snapshot
from nautilus.core.types import RULES_VERSION


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.integers(0, 2**62), st.binary(max_size=500))
def test_what_is_written_is_read(tmp_path: Path, sequence: int, payload: bytes) -> None:
    write_snapshot(tmp_path, sequence, payload)
    assert latest_snapshot(tmp_path, at_most=sequence) == Snapshot(sequence, payload, RULES_VERSION)


def test_the_newest_one_not_after_a_command_is_taken(tmp_path: Path) -> None:
    for sequence in (5, 300, 70_000):
        write_snapshot(tmp_path, sequence, b"state %d" % sequence)
    assert latest_snapshot(tmp_path).sequence == 70_000
    assert latest_snapshot(tmp_path, at_most=69_999).payload == b"state 300"
    assert latest_snapshot(tmp_path, at_most=300).sequence == 300
    assert latest_snapshot(tmp_path, at_most=4) == Snapshot(0, None, 0)


def test_a_snapshot_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 5, b"first")
    write_snapshot(tmp_path, 5, b"second")
    assert latest_snapshot(tmp_path).payload == b"second"
    assert len(os.listdir(tmp_path)) == 1


def test_every_flipped_byte_and_every_cut_is_found_and_the_one_before_taken(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 5, b"older")
    write_snapshot(tmp_path, 6, bytes(range(100)))
    newest = tmp_path / "0000000000000006.snapshot"
    data = newest.read_bytes()
    damaged = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    damaged += [data[:length] for length in range(len(data))] + [data + b"more"]
    for changed in damaged:
        newest.write_bytes(changed)
        found = latest_snapshot(tmp_path)
        assert found[:3] == (5, b"older", RULES_VERSION)
        ((name, reason),) = found.skipped
        assert name == newest.name
        assert "expected" in reason


def test_a_draft_left_by_a_crash_is_not_looked_at(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 5, b"whole")
    (tmp_path / "0000000000000009.snapshot.new").write_bytes((tmp_path / "0000000000000005.snapshot").read_bytes())
    assert latest_snapshot(tmp_path).sequence == 5


def test_a_snapshot_under_another_name_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 5, b"state")
    (tmp_path / "0000000000000005.snapshot").rename(tmp_path / "0000000000000007.snapshot")
    found = latest_snapshot(tmp_path)
    assert found.payload is None
    assert found.skipped == (("0000000000000007.snapshot", "sequence: expected 7 as in its name, found 5"),)


def test_a_disk_that_is_full_leaves_the_earlier_one_and_no_draft(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 5, b"state")
    script = (
        "import resource, sys\nfrom nautilus.core.journal import write_snapshot\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    write_snapshot(sys.argv[1], 6, bytes(10_000))\n"
        "except OSError as error:\n    print(error.errno, error.filename)\n"
    )
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["27", str(tmp_path / "0000000000000006.snapshot")]
    assert os.listdir(tmp_path) == ["0000000000000005.snapshot"]


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sequence: expected 0 or more, found -1"):
        write_snapshot(tmp_path, -1, b"")
    with pytest.raises(TypeError):
        write_snapshot(tmp_path, 1, "text")
    with pytest.raises(FileNotFoundError):
        write_snapshot(tmp_path / "nowhere", 1, b"")
    with pytest.raises(FileNotFoundError):
        latest_snapshot(tmp_path / "nowhere")
