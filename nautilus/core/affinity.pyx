"""What a process asks of its machine, and what it got: cores, priority, memory, wake-up. Nothing here is fatal.

Every request answers with a `Grant`: what was asked for, whether it was granted, and what was found or is missing, in
words for a person. Whoever asks shows them (the core's log, `nautilus doctor`).
"""

from libc.errno cimport EINVAL, EPERM, ESRCH
from libc.stdint cimport int64_t

import os
import resource
from pathlib import Path
from typing import NamedTuple

from nautilus.core.affinity cimport (
    affinity_thread_t,
    lock_everything,
    thread_fifo,
    thread_pin,
    thread_prefer_node,
    thread_slice,
)
from nautilus.core.memory cimport memory_nodes

cdef extern from "<pthread.h>" nogil:
    affinity_thread_t pthread_self()

LATENCY_DEVICE = "/dev/cpu_dma_latency"
THREADS = ("kernel", "journal", "egress")
CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23


class Grant(NamedTuple):
    """One thing that was asked for. `found` says what was got, or why it was not and what would help."""

    what: str
    granted: bool
    found: str


class Machine(NamedTuple):
    """What the core's process asks for; the defaults ask for nothing.

    Attributes
    ----------
    pin : "none", "auto" (see `choose_cores`) or cores of the kernel, journal and egress threads: "2,3,4".
    realtime_priority : SCHED_FIFO priority of these threads, 1 to 99; 0: the usual scheduling.
    lock_memory : all of the process where that is permitted, else its rings as far as RLIMIT_MEMLOCK goes.
    huge_pages : for its rings, committed before the start.
    numa_local : memory of the node of the kernel thread's core.
    cpu_dma_latency_us : the longest that a core may take to wake up, held while the process runs; -1: not asked for.
    slice_us : how long its threads run before others may, where all want to; the shorter, the sooner they are let run
        once they wake. 0: as all others.
    ready_orders : open orders whose memory the kernel has before it starts, and as many again before they are needed;
        0: each page is committed when it is first used.
    """

    pin: str = "none"
    realtime_priority: int = 0
    lock_memory: bool = False
    huge_pages: bool = False
    numa_local: bool = False
    cpu_dma_latency_us: int = -1
    slice_us: int = 0
    ready_orders: int = 0


def choose_cores(str pin, allowed):
    """Cores for the kernel, journal and egress threads, in this order, and notes on what cannot be had.

    "auto" takes the last of the allowed cores and always leaves one to everything else: with four cores or more all
    three threads are pinned, with three kernel and journal, with two the kernel alone, with one none.

    Parameters
    ----------
    pin : "none", "auto" or numbers of cores with commas.
    allowed : cores that this process may use.

    Returns
    -------
    tuple
        (cores, notes): at most three cores; a `Grant` for each thread that stays unpinned though it was asked for.

    Raises
    ------
    ValueError
        None of these forms.
    """
    usable = sorted(allowed)
    if pin == "none":
        return (), []
    if pin == "auto":
        chosen = tuple(reversed(usable[1:]))[:len(THREADS)]
        left = ", ".join(THREADS[len(chosen):])
        found = f"{len(usable)} cores, one is left to others: {left} not pinned"
        return chosen, [Grant("pin", False, found)] if left else []
    try:
        cores = tuple(int(word) for word in pin.split(","))
    except ValueError:
        cores = ()
    if not 0 < len(cores) <= len(THREADS) or any(core < 0 for core in cores):
        raise ValueError(f'pin: expected "none", "auto" or up to {len(THREADS)} cores like "2,3,4", found {pin!r}')
    return cores, []


cdef object grant_pin(str what, affinity_thread_t thread, int core):
    cdef int error = thread_pin(thread, core)
    if error == 0:
        return Grant(what, True, f"core {core}")
    allowed = ",".join(str(each) for each in sorted(os.sched_getaffinity(0)))
    reason = f"not one of this process's cores ({allowed})" if error == EINVAL else os.strerror(error)
    return Grant(what, False, f"core {core}: {reason}")


cdef object grant_fifo(str what, affinity_thread_t thread, int priority):
    cdef int error = thread_fifo(thread, priority)
    if error == 0:
        return Grant(what, True, f"SCHED_FIFO {priority}")
    reason = os.strerror(error)
    if error == EPERM:
        limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        reason = f"not permitted: needs CAP_SYS_NICE, or an rtprio limit of {priority} (it is {limit})"
    return Grant(what, False, f"SCHED_FIFO {priority}: {reason}")


def pin(int core):
    """Let the calling thread run on one core alone.

    Parameters
    ----------
    core : its number.
    """
    return grant_pin("pin", pthread_self(), core)


def fifo(int priority):
    """Schedule the calling thread before all usual ones (SCHED_FIFO), priority 1 to 99.

    A thread that never sleeps then keeps its core from everybody: pin it, and leave a core to others.
    """
    return grant_fifo("realtime", pthread_self(), priority)


def batch():
    """Let the calling thread, and those that it starts, not take a core from one that runs (SCHED_BATCH).

    Where many sleep and one event wakes them all, they then run one after the other instead of into one another.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        return Grant("schedule", False, f"SCHED_BATCH: {error.strerror}")
    return Grant("schedule", True, "SCHED_BATCH")


def slice_of(int tid):
    """How long a thread runs before others may, in nanoseconds; 0: the system has one slice for all, or no such thread.

    Parameters
    ----------
    tid : its number in the system.
    """
    return max(thread_slice(tid, 0), 0)


def short_slices(int slice_us):
    """Let all threads of this process, and those that they start, run for a short time only before others may.

    The scheduler lets a thread that wakes run the sooner, the shorter its slice is (EEVDF, Linux 6.12 and later), and
    gives it no more of the processor for it. It needs no rights; threads under real-time scheduling stay as they are.

    Parameters
    ----------
    slice_us : 100 to 100,000; the system takes no others.

    Returns
    -------
    Grant or None
        None: there is nothing to be had, as this system has one slice for all, or no thread has the usual scheduling.
    """
    cdef int64_t found
    cdef list slices = []
    for name in os.listdir("/proc/self/task"):
        found = thread_slice(int(name), slice_us * 1000)
        if found < 0 and found != -ESRCH:
            return Grant("slices", False, f"{slice_us} us: {os.strerror(-found)}")
        if found > 0:
            slices.append(found)
    if not slices:
        return None
    return Grant("slices", max(slices) <= slice_us * 1000, f"{max(slices) // 1000} us for {len(slices)} threads")


def node_of(int core):
    """The NUMA node of a core; 0 where the system does not tell."""
    for place in Path(f"/sys/devices/system/cpu/cpu{core}").glob("node[0-9]*"):
        return int(place.name[4:])
    return 0


def prefer_node(int core):
    """Take new memory of the calling thread, and of those that it starts, from the node of a core."""
    cdef int error
    if memory_nodes() == 1:
        return Grant("NUMA", True, "one node: all memory is near")
    node = node_of(core)
    error = thread_prefer_node(node)
    if error:
        return Grant("NUMA", False, f"node {node}: {os.strerror(error)}")
    return Grant("NUMA", True, f"node {node} of {memory_nodes()}, that of core {core}")


def may_lock_all():
    """Whether `mlockall` cannot make a later allocation fail: CAP_IPC_LOCK, or no limit on locked memory."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    return has_capability(CAP_IPC_LOCK)


def has_capability(int number):
    """Whether this process has a capability now."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("CapEff:"):
                    return bool(int(line.split()[1], 16) >> number & 1)
    except OSError:
        pass
    return False


def lock_all():
    """Lock all memory of this process, also what it maps later, each page from its first use on."""
    cdef int error
    if not may_lock_all():
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] >> 10
        return Grant("memory lock", False, f"limit {limit:,} KiB without CAP_IPC_LOCK: not all of the process")
    error = lock_everything()
    if error:
        return Grant("memory lock", False, f"mlockall: {os.strerror(error)}")
    return Grant("memory lock", True, "all of the process, each page from its first use on")


def huge_pages():
    """What huge pages this machine offers: `mode` (always, madvise, never, absent), `free` and `total` reserved ones."""
    place = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        mode = next((word.strip("[]") for word in place.read_text().split() if word.startswith("[")), "absent")
    except OSError:
        mode = "absent"
    found = {"mode": mode, "free": 0, "total": 0}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("HugePages_Free", "HugePages_Total"):
                found[name[10:].lower()] = int(rest.split()[0])
    except OSError:
        pass
    return found


cdef class LatencyHold:
    """Any thread. While it is open, no core sleeps so deeply that waking it takes longer than asked for.

    Parameters
    ----------
    longest_us : int
        0: the cores do not sleep.
    device : str
        Where the system takes the wish.

    Attributes
    ----------
    grant : Grant
    """

    cdef int fd
    cdef readonly object grant

    def __cinit__(self, int longest_us, device=LATENCY_DEVICE):
        self.fd = -1
        try:
            self.fd = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
            os.write(self.fd, longest_us.to_bytes(4, "little", signed=True))
        except OSError as error:
            self.close()
            missing = isinstance(error, FileNotFoundError)
            reason = "absent, as on many virtual machines" if missing else error.strerror
            self.grant = Grant("wake-up", False, f"{device}: {reason}")
        else:
            self.grant = Grant("wake-up", True, f"{longest_us} us held through {device}")

    def close(self):
        """Let the cores sleep again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            os.close(self.fd)


def prepare(machine, cores):
    """Before anything is allocated: the node, the lock, the wake-up, the slices.

    Parameters
    ----------
    machine : Machine
    cores : those of `choose_cores`; the first is the kernel thread's.

    Returns
    -------
    tuple
        (grants, hold): a `Grant` for each wish, and the `LatencyHold` to keep, or None.
    """
    grants = []
    hold = None
    if machine.numa_local:
        grants.append(prefer_node(cores[0] if cores else sorted(os.sched_getaffinity(0))[0]))
    if machine.lock_memory:
        grants.append(lock_all())
    if machine.cpu_dma_latency_us >= 0:
        hold = LatencyHold(machine.cpu_dma_latency_us)
        grants.append(hold.grant)
    if machine.slice_us:
        grant = short_slices(machine.slice_us)
        if grant is not None:
            grants.append(grant)
    return grants, hold


def threads_of(int pid):
    """What the threads of a process have, read back from /proc.

    Returns
    -------
    list of dict
        `thread` (its name), `tid`, `cores` ("0-1"), `policy` ("other", "fifo", "rr" ...) and `priority` (0 unless
        real-time). Empty where there is no such process.
    """
    found = []
    try:
        tids = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return found
    names = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
    for tid in tids:
        try:
            status = Path(f"/proc/{pid}/task/{tid}/status").read_text()
            fields = Path(f"/proc/{pid}/task/{tid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue                    # it has ended
        words = dict(line.partition(":")[::2] for line in status.splitlines())
        found.append({
            "thread": words["Name"].strip(),
            "tid": tid,
            "cores": words["Cpus_allowed_list"].strip(),
            "policy": names.get(int(fields[38]), fields[38]),
            "priority": int(fields[37]),
        })
    return found


def locked_bytes_of(int pid):
    """Bytes of a process that are locked in memory; 0 where there is no such process."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmLck:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def huge_bytes_of(int pid):
    """Bytes of a process that lie on huge pages; 0 where there is no such process, or nobody tells.

    The system walks through all of its memory for this: now and then only.
    """
    counted = ("AnonHugePages:", "Private_Hugetlb:", "Shared_Hugetlb:", "ShmemPmdMapped:")
    huge = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            words = line.split()
            if words[0] in counted:
                huge += int(words[1]) << 10
    except (OSError, IndexError, ValueError):
        return 0
    return huge


def latency_held(int pid):
    """Whether a process holds the wake-up device open."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == LATENCY_DEVICE:
                return True
        except OSError:
            continue                    # closed meanwhile
    return False
