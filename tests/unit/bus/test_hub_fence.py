"""The record of the hub and its locks: one claims at a time, the dead are known, the stopped are not dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nautilus.bus.hub_fence import RECORD, HubFence, HubRecord
from nautilus.model.errors import InternalError

HOLDER = """
import sys
from nautilus.bus.hub_fence import HubFence
fence = HubFence(sys.argv[1])
print(fence.claim(int(sys.argv[2]), "other"), flush=True)
sys.stdin.read()
"""


def _holder(directory: Path, epoch: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), str(epoch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{epoch}\n"
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(60)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_a_claim_raises_the_epoch_whatever_was_wanted(tmp_path) -> None:
    one, other = HubFence(tmp_path), HubFence(tmp_path)
    assert one.read() == HubRecord()
    assert one.claim(5, "one") == 5
    assert other.read() == HubRecord(5, "one")
    assert other.claim(3, "other") == 6
    assert one.read() == HubRecord(6, "other")
    one.close()
    other.close()


def test_a_stopped_holder_lives_and_a_killed_one_does_not(tmp_path) -> None:
    fence = HubFence(tmp_path)
    process = _holder(tmp_path, 5)
    try:
        assert fence.alive(5)
        os.kill(process.pid, signal.SIGSTOP)
        assert fence.alive(5)
        assert fence.claim_of_dead(9, "me") == 0
        assert fence.read() == HubRecord(5, "other")
    finally:
        _end(process)
    assert not fence.alive(5)
    assert fence.claim_of_dead(3, "me") == 6
    assert fence.alive(6)
    fence.close()
    assert not fence.alive(6)


def test_a_person_may_claim_over_a_living_one_whose_lock_stays(tmp_path) -> None:
    fence = HubFence(tmp_path)
    process = _holder(tmp_path, 5)
    try:
        assert fence.claim(1, "me") == 6
        assert fence.alive(5)
        assert fence.alive(6)
    finally:
        _end(process)
    assert fence.claim(1, "me") == 7
    assert sorted(path.name for path in tmp_path.glob("*.lock")) == ["hub-7.lock"]
    fence.close()


def test_of_many_that_find_it_dead_one_becomes_the_hub(tmp_path) -> None:
    _end(_holder(tmp_path, 5))
    fences = [HubFence(tmp_path) for _ in range(8)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda fence=fence: found.append(fence.claim_of_dead(9, "x"))) for fence in fences
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0] * 7 + [9]
    for fence in fences:
        fence.close()


def test_a_damaged_record_is_named(tmp_path) -> None:
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(InternalError, match=r"hub\.json: cannot be read"):
        HubFence(tmp_path).read()
