"""What the machine grants and refuses: cores, priority, memory, wake-up; each really asked for and really refused.

Where a permission has to be lacking a child process gives it up: another user, a limit of zero, no capability.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import affinity
from nautilus.core.affinity import Grant, Machine, choose_cores
from nautilus.core.memory import probe
from tests.kit.core import OPENING, attach, carry_out, running

ROOT = Path(__file__).parents[3]
MIB = 1 << 20
ALLOWED = sorted(os.sched_getaffinity(0))
OWN_POLICY = affinity.threads_of(os.getpid())[0]["policy"]
"""Of whoever runs the tests: a thread that asks for none has it too."""
needs_root = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="root gives rights up")


def in_thread(ask: Callable[[], Any]) -> Any:
    """What a thread of its own finds: nothing of it stays on this one."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]


def of_this_thread() -> dict[str, Any]:
    return next(dict(each) for each in affinity.threads_of(os.getpid()) if each["tid"] == threading.get_native_id())


def without_rights(script: str, *, limits: dict[int, int] | None = None, keep_user_rights: bool = False) -> Any:
    """What a script prints as JSON in a process without capabilities, under limits that it cannot raise.

    keep_user_rights: it may still become another user, and loses the rest by that.
    """
    drop = ["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"]

    def lower() -> None:
        for limit, value in (limits or {}).items():
            resource.setrlimit(limit, (value, value))

    child = subprocess.run(
        [*([] if keep_user_rights else drop), sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
        preexec_fn=lower,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@given(st.sets(st.integers(0, 255), max_size=12))
def test_automatic_cores_are_allowed_ones_and_leave_one_to_others(allowed: set[int]) -> None:
    cores, notes = choose_cores("auto", allowed)
    assert len(set(cores)) == len(cores) <= 3
    assert set(cores) <= allowed
    assert len(cores) == min(3, max(0, len(allowed) - 1))
    assert not cores or min(allowed) not in cores
    assert bool(notes) is (len(cores) < 3)
    assert not any(note.granted for note in notes)


def test_cores_are_named_or_none() -> None:
    assert choose_cores("none", ALLOWED) == ((), [])
    assert choose_cores("4,2", ALLOWED) == ((4, 2), [])
    for wrong in ("", "1,2,3,4", "a", "-1", "all"):
        with pytest.raises(ValueError, match='expected "none", "auto" or up to 3 cores'):
            choose_cores(wrong, ALLOWED)


def test_a_pinned_thread_is_read_back_on_its_core_and_others_stay_where_they_were() -> None:
    before = of_this_thread()
    grant, facts = in_thread(lambda: (affinity.pin(ALLOWED[-1]), of_this_thread()))
    assert grant == Grant("pin", True, f"core {ALLOWED[-1]}")
    assert facts["cores"] == str(ALLOWED[-1])
    assert of_this_thread() == before


def test_a_core_that_is_not_there_is_a_note() -> None:
    for core in (1023, 5000, -1):
        grant = in_thread(lambda core=core: affinity.pin(core))
        assert not grant.granted
        assert f"core {core}: not one of this process's cores" in grant.found


def test_a_real_time_thread_is_read_back_or_refused_with_the_reason() -> None:
    grant, facts = in_thread(lambda: (affinity.fifo(7), of_this_thread()))
    if grant.granted:
        assert (facts["policy"], facts["priority"]) == ("fifo", 7)
    else:
        assert "needs CAP_SYS_NICE" in grant.found
        assert facts["policy"] == "other"
    assert not in_thread(lambda: affinity.fifo(100)).granted


def test_a_batch_thread_is_read_back_and_so_is_one_that_it_starts() -> None:
    grant, *policies = in_thread(
        lambda: (affinity.batch(), of_this_thread()["policy"], in_thread(of_this_thread)["policy"])
    )
    if grant.granted:
        assert (grant, policies) == (Grant("schedule", True, "SCHED_BATCH"), ["batch", "batch"])
    else:
        assert grant == Grant("schedule", False, "SCHED_BATCH: Operation not permitted")
    assert of_this_thread()["policy"] == OWN_POLICY


@needs_root
def test_without_rights_every_refusal_is_a_note_and_none_is_fatal() -> None:
    script = """
import json, os
from nautilus.core import affinity
machine = affinity.Machine(lock_memory=True, numa_local=True, cpu_dma_latency_us=0)
grants, hold = affinity.prepare(machine, (0,))
print(json.dumps({"fifo": affinity.fifo(5), "all": affinity.lock_all(), "prepare": grants,
                  "thread": affinity.threads_of(os.getpid())[0]}))
"""
    found = without_rights(script, limits={resource.RLIMIT_RTPRIO: 0, resource.RLIMIT_MEMLOCK: 65536})
    assert found["fifo"][1] is False
    assert "needs CAP_SYS_NICE, or an rtprio limit of 5 (it is 0)" in found["fifo"][2]
    assert found["all"] == ["memory lock", False, "limit 64 KiB without CAP_IPC_LOCK: not all of the process"]
    assert [grant[0] for grant in found["prepare"]] == ["NUMA", "memory lock", "wake-up"]
    assert found["thread"]["policy"] == OWN_POLICY


@needs_root
@pytest.mark.parametrize(("limit", "most"), [(0, 0), (256 << 10, 256 << 10), (4 * MIB, MIB)])
def test_a_region_is_locked_as_far_as_the_limit_goes(limit: int, most: int) -> None:
    # As another user, whom the limit concerns; imported before, as that one may not read this checkout.
    script = f"""
import json, os, resource
from nautilus.core.memory import probe
resource.setrlimit(resource.RLIMIT_MEMLOCK, ({limit}, {limit}))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(json.dumps(probe(1 << 20)))
"""
    locked = without_rights(script, keep_user_rights=True)["locked_bytes"]
    assert most // 2 <= locked <= most


def test_short_slices_are_of_all_threads_and_need_no_rights() -> None:
    script = """
import json, os, threading
from nautilus.core import affinity
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
tids, named, ended = [], threading.Semaphore(0), threading.Event()
def live():
    tids.append(threading.get_native_id())
    named.release()
    ended.wait()
def begin():
    thread = threading.Thread(target=live)
    thread.start()
    named.acquire()
    return thread
threads = [begin()]
before = affinity.slice_of(tids[0])
grant = affinity.short_slices(200)
threads.append(begin())
print(json.dumps({"before": before, "after": [affinity.slice_of(tid) for tid in tids], "grant": grant,
                  "none": affinity.slice_of(1 << 30)}))
ended.set()
for thread in threads:
    thread.join()
"""
    command = [sys.executable, "-c", script]
    if OWN_POLICY == "idle":  # which a process without rights does not leave
        command = ["chrt", "-o", "0", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["none"] == 0
    if not found["before"]:
        assert found["grant"] is None, "a system with one slice for all"
        assert found["after"] == [0, 0]
        return
    assert found["after"] == [200_000, 200_000]
    assert found["grant"][:2] == ["slices", True]
    assert found["grant"][2].startswith("200 us for ")


def test_a_committed_region_is_counted_and_its_node_preferred() -> None:
    found = probe(4 * MIB, huge=True, prefault=True, node=affinity.node_of(ALLOWED[0]))
    assert found["committed_bytes"] == 4 * MIB
    assert found["bind_error"] == 0
    assert found["huge_bytes"] in (0, 2 * MIB, 4 * MIB)
    if affinity.huge_pages()["mode"] == "never" and not affinity.huge_pages()["free"]:
        assert found["huge_bytes"] == 0
    assert probe(MIB, node=4096)["bind_error"] != 0


def test_one_node_says_so() -> None:
    grant = in_thread(lambda: affinity.prefer_node(ALLOWED[0]))
    if probe(4096)["nodes"] == 1:
        assert grant == Grant("NUMA", True, "one node: all memory is near")
    else:
        assert "node" in grant.found


def test_the_wish_for_wake_up_is_written_and_let_go(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    hold = affinity.LatencyHold(20, str(device))
    assert hold.grant.granted
    assert device.read_bytes() == (20).to_bytes(4, "little")
    links = {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
    assert str(device) in links
    hold.close()
    hold.close()
    links = {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
    assert str(device) not in links


def test_a_missing_device_is_a_note(tmp_path: Path) -> None:
    hold = affinity.LatencyHold(0, str(tmp_path / "absent"))
    assert hold.grant == Grant("wake-up", False, f"{tmp_path}/absent: absent, as on many virtual machines")


@needs_root
def test_a_device_that_may_not_be_written_is_a_note() -> None:
    if not os.path.exists(affinity.LATENCY_DEVICE):
        pytest.skip(f"no {affinity.LATENCY_DEVICE}")
    if os.stat(affinity.LATENCY_DEVICE).st_mode & stat.S_IWOTH:
        pytest.skip("everybody may write it here")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.write(write, json.dumps(affinity.LatencyHold(0).grant).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as answers:
        what, granted, found = json.load(answers)
    assert (what, granted) == ("wake-up", False)
    assert "ermission denied" in found


def test_a_core_that_asks_for_nothing_gets_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (core, _):
        assert core.grants == []
        threads = {each["thread"]: each for each in affinity.threads_of(os.getpid())}
        for name in ("core-kernel", "core-journal", "core-egress"):
            assert threads[name]["policy"] == OWN_POLICY
            assert threads[name]["cores"] == of_this_thread()["cores"]


def test_threads_of_a_core_are_pinned_and_raised_as_its_grants_say(tmp_path: Path) -> None:
    machine = Machine(pin=str(ALLOWED[-1]), realtime_priority=3, huge_pages=True, lock_memory=True)
    with running(tmp_path, machine=machine, spin_us=20) as (core, _):
        grants = {grant.what: grant for grant in core.grants}
        threads = {each["thread"]: each for each in affinity.threads_of(os.getpid())}
        assert {"core-kernel", "core-journal", "core-egress"} <= set(threads)
        assert grants["pin kernel"].granted
        assert threads["core-kernel"]["cores"] == str(ALLOWED[-1])
        assert threads["core-journal"]["cores"] == of_this_thread()["cores"]
        for name in affinity.THREADS:
            raised = grants[f"realtime {name}"].granted
            assert threads[f"core-{name}"]["policy"] == ("fifo" if raised else "other")
            assert threads[f"core-{name}"]["priority"] == (3 if raised else 0)
        assert grants["rings"].granted
        port = attach(core)
        assert len(carry_out(port, OPENING)) == len(OPENING)
    assert not core.troubles


def test_a_core_that_is_refused_everything_runs_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path, machine=Machine(pin="1021,1022,1023")) as (core, _):
        refused = [grant for grant in core.grants if not grant.granted]
        assert [grant.what for grant in refused] == ["pin kernel", "pin journal", "pin egress"]
        port = attach(core)
        assert len(carry_out(port, OPENING)) == len(OPENING)


def test_a_wrong_wish_is_refused_before_any_thread_runs(tmp_path: Path) -> None:
    before = np.sort([each["tid"] for each in affinity.threads_of(os.getpid())])
    with pytest.raises(ValueError, match='expected "none", "auto"'), running(tmp_path, machine=Machine(pin="x")):
        pass
    assert np.array_equal(np.sort([each["tid"] for each in affinity.threads_of(os.getpid())]), before)


def test_threads_of_a_process_that_is_not_there_are_none() -> None:
    assert affinity.threads_of(2**22 + 1) == []
    assert affinity.locked_bytes_of(2**22 + 1) == 0
