"""A journal whose disk is full or failing, or whose process is killed: real limits, faults and processes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nautilus.core.journal import Journal, JournalReader, verify
from tests.kit import journal as kit
from tests.kit import preload

ROOT = Path(__file__).parents[3]

PRELUDE = """
import resource, sys
from nautilus.core.journal import Journal
from tests.kit import journal as kit

def limit(size):
    # The hard limit stays, so that the disk can be "freed" again.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0
"""


def run(path: Path, script: str, **environment: str) -> list[str]:
    """Run a writer in a process of its own; the words it prints."""
    child = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def read(path: Path) -> bytes:
    return b"".join(item.tobytes() for item in JournalReader(path))


def test_without_a_next_segment_new_orders_are_refused_and_cancels_use_the_reserve(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    room, failures, in_reserve, final, again, left = run(
        path,
        """
        journal = Journal(sys.argv[1], segment_bytes=65536)
        limit(65535)                                   # this segment can be filled, another one cannot be had
        while journal.room(1):
            journal.append(kit.commands(journal.last_sequence + 1, 1))
        print(journal.last_sequence, journal.counters()["spare_failures"])
        cancels = 0
        while not attempt(journal.append, kit.commands(journal.last_sequence + 1, 1)):
            cancels += 1
        limit(-1)
        print(cancels, journal.error, attempt(journal.append, kit.commands(journal.last_sequence + 1, 1)))
        print(journal.room(1))
        """,
    )
    assert int(room) >= (65536 - 4096) * 3 // 4 // 72 - 2
    assert int(failures) >= 1
    assert int(in_reserve) >= (65536 - 4096) // 4 // 72 - 4
    assert (int(final), int(again), left) == (errno.EFBIG, errno.EFBIG, "False")
    report = verify(path)
    assert (report.valid, report.clean, report.last_sequence) == (True, False, int(room) + int(in_reserve))
    assert read(path) == kit.commands(1, report.last_sequence).tobytes()


def test_room_comes_back_when_the_disk_has_some_again(tmp_path: Path) -> None:
    assert run(
        tmp_path / "journal",
        """
        journal = Journal(sys.argv[1], segment_bytes=65536)
        limit(65535)
        while journal.room(1):
            journal.append(kit.commands(journal.last_sequence + 1, 1))
        limit(-1)
        print(journal.room(1))
        journal.append(kit.commands(journal.last_sequence + 1, 1000))
        journal.close()
        """,
    ) == ["True"]
    assert verify(tmp_path / "journal").clean


def test_a_write_that_fails_half_way_is_final_and_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first, error, acknowledged, again, flushed, closed = run(
        path,
        """
        journal = Journal(sys.argv[1], segment_bytes=65536)
        print(attempt(journal.append, kit.commands(1, 30)))
        limit(8192)
        print(attempt(journal.append, kit.commands(31, 60)), journal.written_sequence)
        limit(-1)
        print(attempt(journal.append, kit.commands(91, 1)), attempt(journal.flush), attempt(journal.close))
        """,
    )
    assert [int(first), int(acknowledged)] == [0, 30]
    assert {int(error), int(again), int(flushed), int(closed)} == {errno.EFBIG}
    report = verify(path)
    # Whole records of the failed write may be there too: nobody was told so, and replay takes them.
    assert (report.damage.what, report.last_sequence) == ("torn", (8192 - 4096) // 72)
    with Journal(path) as journal:
        assert journal.recovery == report
        journal.append(kit.commands(report.last_sequence + 1, 1))
    assert read(path) == kit.commands(1, report.last_sequence + 1).tobytes()


def test_a_directory_that_cannot_hold_a_segment_is_refused_and_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert run(path, "limit(4096)\nprint(attempt(Journal, sys.argv[1]))") == [str(errno.EFBIG)]
    assert [file.name for file in path.iterdir()] == ["lock"]


FAULT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
static int calls;
int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (++calls == atoi(getenv("FAILING_CALL"))) { errno = EIO; return -1; }
    return real(fd);
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc builds the fault injector")
def test_a_failed_fdatasync_is_final_and_never_tried_again(tmp_path: Path) -> None:
    (tmp_path / "fault.c").write_text(FAULT)
    library = tmp_path / "fault.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "fault.c", "-ldl"], check=True)
    words = run(
        tmp_path / "journal",
        """
        journal = Journal(sys.argv[1], policy="disk")   # the first call is for the header
        print(attempt(journal.append, kit.commands(1, 5)), journal.durable_sequence)
        print(attempt(journal.append, kit.commands(6, 5)), journal.durable_sequence, journal.written_sequence)
        print(attempt(journal.append, kit.commands(11, 5)), attempt(journal.flush), journal.room(1))
        print(attempt(journal.close), journal.durable_sequence, journal.closed)
        """,
        LD_PRELOAD=str(library),
        FAILING_CALL="3",
    )
    failed = str(errno.EIO)
    assert words == ["0", "5", failed, "5", "10", failed, failed, "False", failed, "5", "True"]
    assert verify(tmp_path / "journal").clean is False


FLUSHED = """
from tests.kit import journal as kit
from nautilus.core.journal import Journal
journal = Journal({path!r}, policy="disk", segment_bytes=8192)
last = 0
try:
    while True:
        journal.append(kit.commands(last + 1, 5))
        last += 5
except OSError as error:
    print(error.errno, last)
"""


@pytest.mark.parametrize("call", [3, 13])  # the first one is for the header; the 13th is in a later segment
def test_what_a_failed_flush_left_in_doubt_is_written_anew(tmp_path: Path, call: int) -> None:
    path = tmp_path / "journal"
    failed, last = preload.run(tmp_path, FLUSHED.format(path=str(path)), fail=f"fdatasync:{call},{errno.EIO}")
    assert failed == str(errno.EIO)
    (mark,) = path.glob("*.flush-failed")
    segments = sorted(path.glob("*.journal"))
    doubted = [file for file in segments if file.stem >= mark.stem]
    before, content = [file.stat().st_ino for file in segments], read(path)
    # The disk still fails: it stays down, and goes on to doubt.
    opening = f"""
    from nautilus.core.journal import Journal
    try:
        Journal({str(path)!r}, policy="disk", segment_bytes=8192)
    except OSError as error:
        print(error.errno)
    """
    for _ in range(2):
        assert preload.run(tmp_path, opening, fail=f"fsync:1,{errno.EIO}") == [str(errno.EIO)]
        assert len(list(path.glob("*.flush-failed"))) == 1
        assert not (path / "renewed").exists()
    # A copy is on disk, under the segment's name, before any of it counts.
    trace = tmp_path / "trace"
    preload.run(tmp_path, f"from nautilus.core.journal import Journal\nJournal({str(path)!r})", trace=trace)
    calls = [line.replace(f"{path}/", "") for line in trace.read_text().splitlines()]
    renewed = [line for file in doubted for line in ("fsync renewed", f"rename {file.name}")]
    assert calls[: len(renewed) + 1] == [*renewed, f"fsync {path}"]
    with Journal(path) as journal:
        assert journal.last_sequence >= int(last)
    assert sorted(path.glob("*.flush-failed")) == []
    for file, inode in zip(segments, before, strict=True):
        assert not file.exists() or (file.stat().st_ino == inode) == (file not in doubted)
    assert read(path) == content


def test_a_recovery_whose_own_flush_fails_is_doubted_too(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(kit.commands(1, 5))
    del journal  # not closed: the next one seals it
    opening = f"""
    from nautilus.core.journal import Journal
    try:
        Journal({str(path)!r})
    except OSError as error:
        print(error.errno)
    """
    assert preload.run(tmp_path, opening, fail=f"fsync:1,{errno.EIO}") == [str(errno.EIO)]
    with Journal(path) as again:
        assert again.renewed == ("0000000000000001.journal",)
        assert again.last_sequence == 5


@pytest.mark.parametrize("policy", ["memory", "disk"])
def test_what_was_acknowledged_survives_a_killed_process(tmp_path: Path, policy: str) -> None:
    path = tmp_path / "journal"
    script = """
    journal = Journal(sys.argv[1], policy=sys.argv[2], segment_bytes=8192)
    while True:
        journal.append(kit.commands(journal.last_sequence + 1, 7, wide=2))
        print(journal.last_sequence, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(path), policy],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        for _ in range(40):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().splitlines()
    acknowledged = int(rest[-1]) if rest and int(rest[-1]) % 7 == 0 else acknowledged
    with Journal(path, segment_bytes=8192) as journal:
        assert journal.last_sequence >= acknowledged
        assert journal.recovery.clean is False
        assert journal.recovery.damage is None or journal.recovery.damage.what in ("torn", "cut")
        journal.append(kit.commands(journal.last_sequence + 1, 3, wide=2))
        last = journal.last_sequence
    assert read(path) == kit.commands(1, last, wide=2).tobytes()


def test_a_forked_child_that_lets_go_of_the_journal_disturbs_nothing(tmp_path: Path) -> None:
    assert run(
        tmp_path / "journal",
        """
        import os
        journal = Journal(sys.argv[1], segment_bytes=8192)
        journal.append(kit.commands(1, 5))
        assert journal.room(100)                       # spares are there
        child = os.fork()
        if child == 0:
            print(attempt(journal.close), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        journal.append(kit.commands(6, 200))
        journal.close()
        """,
    ) == [str(errno.EBADF)]
    report = verify(tmp_path / "journal")
    assert (report.clean, report.last_sequence) == (True, 205)
