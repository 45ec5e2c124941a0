"""A follower goes by its journal's hashes: XXH3, or XXH64 where an earlier version began it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from nautilus.core import Kernel
from nautilus.core.counters import Counters
from nautilus.core.journal import Journal, write_snapshot
from nautilus.model.errors import InternalError
from nautilus.trading.compaction import Rules
from nautilus.trading.follower import IDLE_MS, QUIET_LOOKS, QUIET_MS, Follower, Settings
from tests.kit import flow

SIZES = {"capacity": 64, "closed_capacity": 16}


def write(data: Path, hashes: str) -> Kernel:
    """A journal of some commands, ended with the hashes of its kernel, which is returned."""
    kernel = Kernel(accounts=(), huge_pages=False, **SIZES)
    kernel.attach(Journal(data / "journal", hashes=hashes, **SIZES))
    kernel.process(flow.instruments())
    kernel.process(flow.accounts())
    kernel.process(flow.Flow(1).draw(200, []))
    kernel.close()
    return kernel


@pytest.mark.parametrize("hashes", ["xxh3", "xxh64"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_the_hashes_of_either_kind_are_compared(tmp_path: Path, hashes: str, snapshot: bool) -> None:
    kernel = write(tmp_path, hashes)
    if snapshot:
        begun = Kernel(accounts=(), huge_pages=False, hashes=hashes, **SIZES)
        begun.process(flow.instruments())
        write_snapshot(tmp_path / "journal", begun.last_sequence, begun.snapshot())
    counters = Counters()
    follower = Follower(str(tmp_path), Settings(1 << 30, Rules()), counters)
    follower.turn()
    assert follower.kernel is not None
    assert (follower.kernel.hashes, follower.kernel.event_hash()) == (hashes, kernel.event_hash())
    assert counters.get(counters.gauge("follower.verified_sequence")) == kernel.last_sequence
    follower.close()


def test_a_snapshot_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "xxh3")
    other = Kernel(accounts=(), huge_pages=False, hashes="xxh64", **SIZES)
    other.process(flow.instruments())
    write_snapshot(tmp_path / "journal", other.last_sequence, other.snapshot())
    follower = Follower(str(tmp_path), Settings(1 << 30, Rules()), Counters())
    with pytest.raises(InternalError, match="with xxh64 hashes"):
        follower.turn()


def test_a_journal_in_which_nothing_happens_is_looked_at_less_often(tmp_path: Path) -> None:
    kernel = write(tmp_path, "xxh3")
    follower = Follower(str(tmp_path), Settings(1 << 30, Rules()), Counters())
    with closing(follower):
        waits = [follower.wait_ms(False) for _ in range(QUIET_LOOKS + 5)]
        assert waits == [IDLE_MS] * (QUIET_LOOKS - 1) + [QUIET_MS] * 6
        while follower.turn():
            assert follower.wait_ms(True) == 0
        assert follower.last_sequence == kernel.last_sequence
        assert follower.wait_ms(False) == IDLE_MS
