"""The counter table against its naive twin, and its edges."""

import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.counters import Counters
from tests.kit.naive import NaiveCounters

HEADER, RECORD = 128, 128  # bytes before the table, and of each counter: value, kind, name
WRITER = """
import sys
from nautilus.core.counters import Counters
table = Counters(16, sys.argv[1])
index, gauge = table.counter("fills"), table.gauge("queue")
print("ready", flush=True)
while True:
    table.increment(index)
    table.set(gauge, table.get(index) % 7)
"""


@given(st.lists(st.tuples(st.sampled_from("cgs"), st.integers(0, 7), st.integers(0, 1 << 40)), max_size=80))
def test_counters_do_what_their_naive_twin_does(steps):
    real, twin = Counters(16), NaiveCounters()
    for step, number, amount in steps:
        if step == "c":
            name = f"orders_{number}_total"
            index = real.counter(name)
            assert index == twin.open(name)
            real.add(index, amount)
            twin.add(index, amount)
            real.increment(index)
            twin.add(index, 1)
        else:
            name = f"queue_{number}"
            index = real.gauge(name)
            assert index == twin.open(name)
            if step == "g":
                real.add(index, -amount)
                twin.add(index, -amount)
            else:
                real.set(index, amount)
                twin.set(index, amount)
        assert real.get(index) == twin.snapshot()[name]
    assert real.snapshot() == twin.snapshot()
    assert len(real) == len(twin.names)


def test_same_name_is_the_same_counter():
    table = Counters(2)
    assert table.counter("fills_total") == table.counter("fills_total") == 0
    with pytest.raises(ValueError, match="'fills_total' exists as the other kind"):
        table.gauge("fills_total")


def test_counter_only_grows():
    table = Counters()
    index = table.counter("fills_total")
    with pytest.raises(ValueError, match="-1 to counter 'fills_total', expected 0 or more"):
        table.add(index, -1)
    with pytest.raises(ValueError, match="'fills_total' is a counter, expected a gauge"):
        table.set(index, 5)
    assert table.get(index) == 0


def test_full_table_and_bad_names_are_refused():
    table = Counters(1)
    for name in ("", "x" * 119, "a\0b"):
        with pytest.raises(ValueError, match="expected 1 to 118 bytes without NUL"):
            table.counter(name)
    table.counter("x" * 118)
    with pytest.raises(ValueError, match="no room for 'y', all 1 are in use"):
        table.gauge("y")
    assert table.snapshot() == {"x" * 118: 0}


def test_unknown_index_is_refused():
    with pytest.raises(ValueError, match="index 0, expected less than 0"):
        Counters().get(0)


def test_table_without_room_is_refused():
    with pytest.raises(ValueError, match="capacity 0, expected 1 or more"):
        Counters(0)


def test_shared_table_goes_on_with_names_and_values(tmp_path):
    path = tmp_path / "counters.risk"
    first = Counters(8, path)
    first.add(first.counter("fills"), 5)
    first.set(first.gauge("queue"), -3)
    del first
    again = Counters(8, str(path))
    assert (again.snapshot(), again.gauges()) == ({"fills": 5, "queue": -3}, {"queue"})
    again.increment(again.counter("fills"))
    again.increment(again.counter("orders"))
    assert Counters.read(path) == {"fills": 6, "queue": -3, "orders": 1}
    with pytest.raises(ValueError, match="'queue' exists as the other kind"):
        again.counter("queue")


def test_shared_table_is_for_its_user_alone(tmp_path):
    path = tmp_path / "counters"
    Counters(4, path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["counters"]


def test_copy_of_a_shared_table_is_apart(tmp_path):
    table = Counters(4, tmp_path / "counters")
    index = table.counter("fills")
    copy = Counters.load(tmp_path / "counters")
    table.increment(index)
    copy.add(index, 10)
    assert (table.get(index), copy.get(index), copy.gauges()) == (1, 10, frozenset())


def test_killed_writer_leaves_whole_counters_to_the_next(tmp_path):
    path = tmp_path / "counters"
    for _ in range(3):
        before = Counters.read(path)["fills"] if path.exists() else 0
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            try:
                assert writer.stdout.readline() == b"ready\n"
                while Counters.read(path)["fills"] < before + 1_000:
                    assert writer.poll() is None
            finally:
                writer.kill()
        left = Counters.read(path)
        assert list(left) == ["fills", "queue"]
        assert left["fills"] > before
        assert left["queue"] in (left["fills"] % 7, (left["fills"] - 1) % 7)


def test_name_that_a_crash_cut_short_is_written_anew(tmp_path):
    path = tmp_path / "counters"
    Counters(4, path).counter("fills")
    with open(path, "r+b") as file:
        file.seek(HEADER + RECORD)
        file.write(b"\7" * 8 + b"\0" + b"half of a long na")
    assert Counters.read(path) == {"fills": 0}
    table = Counters(4, path)
    table.counter("queue")
    assert Counters.read(path) == {"fills": 0, "queue": 0}


def test_shared_table_that_is_wider_is_refused(tmp_path):
    path = tmp_path / "counters"
    Counters(4, path)
    with pytest.raises(ValueError, match="a table of 4 counters, expected 3"):
        Counters(3, path)
    with pytest.raises(ValueError, match="capacity 0, expected 1 or more"):
        Counters(0, tmp_path / "other")


def test_shared_table_of_less_capacity_is_made_wider(tmp_path):
    path = tmp_path / "counters"
    names = [f"orders_{number}_total" for number in range(256)]
    narrow = Counters(len(names), path)
    for number, name in enumerate(names):
        narrow.add(narrow.counter(name), number)
    with pytest.raises(ValueError, match="no room for 'fills', all 256 are in use"):
        narrow.counter("fills")
    wide = Counters(path=path)
    wide.increment(wide.counter("fills"))
    expected = {name: number for number, name in enumerate(names)} | {"fills": 1}
    assert wide.snapshot() == Counters.read(path) == expected
    assert os.listdir(tmp_path) == ["counters"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("shared", [False, True])
def test_table_without_a_capacity_takes_ten_thousand_counters(tmp_path, shared):
    path = tmp_path / "counters"
    table = Counters(path=path) if shared else Counters()
    first = table.counter("first")
    for number in range(10_000):
        index = table.counter(f"orders_{number}_total")
        table.add(index, number)
    table.increment(first)
    expected = {"first": 1} | {f"orders_{number}_total": number for number in range(10_000)}
    assert table.snapshot() == expected
    if shared:
        assert Counters.read(path) == Counters(path=path).snapshot() == expected


def test_shared_table_takes_memory_only_for_what_there_is(tmp_path):
    path = tmp_path / "counters"
    table = Counters(path=path)
    few = os.stat(path).st_blocks * 512
    for number in range(1_000):
        table.counter(f"orders_{number}_total")
    assert few <= 256 * RECORD + 8_192
    assert 1_000 * RECORD <= os.stat(path).st_blocks * 512 <= 1_024 * RECORD + 256 * RECORD + 8_192


def test_counter_that_the_disk_has_no_room_for_is_refused(tmp_path):
    """In a file system of its own, 128 KiB large, where that is allowed."""
    code = """
import ctypes, os, sys
from nautilus.core.counters import Counters
user, group = os.getuid(), os.getgid()
libc, own, private = ctypes.CDLL(None), 0x00020000, 0x44000  # CLONE_NEWNS; MS_REC | MS_PRIVATE
if libc.unshare(own):
    if libc.unshare(own | 0x10000000):  # CLONE_NEWUSER
        sys.exit(77)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
if libc.mount(None, b"/", None, private, None) or libc.mount(b"none", sys.argv[1].encode(), b"tmpfs", 0, b"size=128k"):
    sys.exit(77)
table, made = Counters(path=sys.argv[1] + "/counters"), 0
try:
    while True:
        table.add(table.counter(f"orders_{made}_total"), made)
        made += 1
except OSError as error:
    print(error.strerror)
assert 256 <= made <= 1_024, made
assert table.snapshot() == Counters.read(sys.argv[1] + "/counters") == {f"orders_{n}_total": n for n in range(made)}
"""
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    if result.returncode == 77:
        pytest.skip("no file system of its own may be mounted")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "No space left on device\n")


def test_table_that_the_disk_has_no_room_for_is_refused_whole(tmp_path):
    code = """
import resource, signal, sys
from nautilus.core.counters import Counters
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Counters(64, sys.argv[1])
except OSError as error:
    print(error.filename)
"""
    path = tmp_path / "counters"
    result = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True)
    assert (result.stdout.strip(), os.listdir(tmp_path)) == (str(path), [])


def test_file_that_is_not_there_is_told_apart_from_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        Counters.read(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        Counters(4, tmp_path / "absent" / "counters")


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (0, b"another"),
        (HEADER + 8, b"\3"),  # no such kind
        (HEADER + 9, b"\xff\xfe"),  # a name that is no text
        (HEADER + 9, b"\0"),  # no name
        (HEADER + RECORD + 9, b"fills\0"),  # the name of another
    ],
)
def test_damaged_file_is_refused(tmp_path, at, content):
    path = tmp_path / "counters"
    table = Counters(4, path)
    table.counter("fills")
    table.counter("queue")
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)
    with pytest.raises(ValueError, match="damaged"):
        Counters.read(path)
    with pytest.raises(ValueError, match="damaged"):
        Counters(4, path)


@pytest.mark.parametrize("size", [0, 5, 127, 128, 300])
def test_file_of_another_length_is_refused(tmp_path, size):
    path = tmp_path / "counters"
    Counters(4, path).counter("fills")
    os.truncate(path, size)
    with pytest.raises(ValueError, match="damaged"):
        Counters.read(path)
