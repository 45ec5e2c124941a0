"""A kernel process is killed (SIGKILL) in mid-run, again and again: what it acknowledged is there, in the same order.

Policy `memory`: when `process` returns, the operating system has the commands. Nothing of what was acknowledged may be
missing; at most the one batch that was under way may be there as well, in whole or in part.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from nautilus.core import Kernel
from nautilus.core.journal import Journal
from tests.kit import flow

BATCH = 37
STREAM = 24_000

CHILD = """
import os, struct, sys
from nautilus.core import Kernel
from tests.unit.core.test_kernel_crash import BATCH, stream

kernel = Kernel.open(sys.argv[1])
commands, at = stream(), kernel.last_sequence - int(sys.argv[2])
while at < len(commands):
    kernel.process(commands[at : at + BATCH])
    at += len(commands[at : at + BATCH])
    os.write(1, struct.pack("<QQ", kernel.last_sequence, kernel.event_hash()))
    if at % 20 == 0:
        kernel.checkpoint()
"""


def stream() -> np.ndarray:
    return flow.Flow(77).draw(STREAM, [(account, order) for account in (1, 2, 3) for order in range(1, 40)])


def first(journal: Journal | None) -> Kernel:
    return Kernel(
        instruments=flow.instruments(),
        accounts=flow.accounts(),
        journal=journal,
        huge_pages=False,
        capacity=64,
        closed_capacity=16,
    )


def run_and_kill(path: Path, set_up: int, acknowledgements: int) -> list[tuple[int, int]]:
    """(sequence, event hash) of every batch that the child acknowledged before it was killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(set_up)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdout is not None
    data = child.stdout.read(16 * acknowledgements)
    child.send_signal(signal.SIGKILL)
    data += child.stdout.read()
    child.wait()
    child.stdout.close()
    return list(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))


def test_a_killed_kernel_comes_back_with_all_that_it_acknowledged(tmp_path: Path) -> None:
    path, commands, chance = tmp_path / "journal", stream(), random.Random(5)
    kernel = first(Journal(path, segment_bytes=8192, capacity=64, closed_capacity=16))
    set_up = kernel.last_sequence
    kernel.close()
    reference = first(None)
    for _ in range(4):
        acknowledged = run_and_kill(path, set_up, chance.randrange(1, 60))
        for sequence, event_hash in acknowledged:
            reference.process(commands[reference.last_sequence - set_up : sequence - set_up])
            assert reference.event_hash() == event_hash
        recovered = Kernel.open(path)
        last = recovered.last_sequence
        assert acknowledged[-1][0] <= last <= acknowledged[-1][0] + BATCH
        reference.process(commands[reference.last_sequence - set_up : last - set_up])
        assert recovered.state_hash() == reference.state_hash()
        assert recovered.event_hash() == reference.event_hash()
        assert recovered.journal_hash() == reference.journal_hash()
        recovered.close()
    whole = Kernel.replay(path, snapshots=False)
    assert (whole.state_hash(), whole.event_hash()) == (reference.state_hash(), reference.event_hash())
