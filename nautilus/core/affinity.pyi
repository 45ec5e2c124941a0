"""What a process asks of its machine, and what it got: cores, priority, memory, wake-up. Nothing here is fatal."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

LATENCY_DEVICE: str
THREADS: tuple[str, ...]
CAP_IPC_LOCK: int
CAP_SYS_NICE: int

class Grant(NamedTuple):
    """One thing that was asked for. `found` says what was got, or why it was not and what would help."""

    what: str
    granted: bool
    found: str

class Machine(NamedTuple):
    """What the core's process asks for; the defaults ask for nothing."""

    pin: str = ...
    realtime_priority: int = ...
    lock_memory: bool = ...
    huge_pages: bool = ...
    numa_local: bool = ...
    cpu_dma_latency_us: int = ...
    slice_us: int = ...
    ready_orders: int = ...

class HugePages(TypedDict):
    mode: str
    free: int
    total: int

class ThreadFacts(TypedDict):
    thread: str
    tid: int
    cores: str
    policy: str
    priority: int

def choose_cores(pin: str, allowed: Iterable[int]) -> tuple[tuple[int, ...], list[Grant]]:
    """Cores for the kernel, journal and egress threads, and notes on what cannot be had. ValueError: no such form."""

def pin(core: int) -> Grant:
    """Let the calling thread run on one core alone."""

def fifo(priority: int) -> Grant:
    """Schedule the calling thread before all usual ones (SCHED_FIFO), priority 1 to 99."""

def batch() -> Grant:
    """Let the calling thread, and those that it starts, not take a core from one that runs (SCHED_BATCH)."""

def slice_of(tid: int) -> int:
    """How long a thread runs before others may, in nanoseconds; 0: one slice for all, or no such thread."""

def short_slices(slice_us: int) -> Grant | None:
    """Let all threads of this process, and those that they start, run for a short time only before others may."""

def node_of(core: int) -> int:
    """The NUMA node of a core; 0 where the system does not tell."""

def prefer_node(core: int) -> Grant:
    """Take new memory of the calling thread, and of those that it starts, from the node of a core."""

def may_lock_all() -> bool:
    """Whether `mlockall` cannot make a later allocation fail."""

def has_capability(number: int) -> bool:
    """Whether this process has a capability now."""

def lock_all() -> Grant:
    """Lock all memory of this process, also what it maps later, each page from its first use on."""

def huge_pages() -> HugePages:
    """What huge pages this machine offers: mode of the transparent ones, reserved ones free and in all."""

class LatencyHold:
    """While it is open, no core sleeps so deeply that waking it takes longer than `longest_us`."""

    grant: Grant
    def __init__(self, longest_us: int, device: str = ...) -> None: ...
    def close(self) -> None:
        """Let the cores sleep again."""

def prepare(machine: Machine, cores: Sequence[int]) -> tuple[list[Grant], LatencyHold | None]:
    """Before anything is allocated: the node, the lock, the wake-up; a grant for each wish, and what to keep open."""

def threads_of(pid: int) -> list[ThreadFacts]:
    """What the threads of a process have, read back from /proc; empty where there is no such process."""

def huge_bytes_of(pid: int) -> int:
    """Bytes of a process that lie on huge pages; 0 where there is no such process, or nobody tells."""

def latency_held(pid: int) -> bool:
    """Whether a process holds the wake-up device open."""

def locked_bytes_of(pid: int) -> int:
    """Bytes of a process that are locked in memory; 0 where there is no such process."""
