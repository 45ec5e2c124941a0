"""Settings of the live platform: where it lives, its processes, its core and its logs."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from nautilus.engines import CATALOGUE
from nautilus.model.errors import ConfigError

INSTANCE_NAME = "[a-z0-9][a-z0-9_-]{0,31}"
PLAIN_HOST = "127.0.0.1"
"""Where the ports speak plain HTTP to processes of this machine, also where `platform.bind` has TLS."""


class OpenBindError(ConfigError):
    """Ports that other machines would reach without having to show who they are."""

    code = "config.bind"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class PlatformConfig(msgspec.Struct, frozen=True):
    """The platform as a whole.

    Parameters
    ----------
    instance
        Name of this platform among those of the same user.
    processes
        ``native``: a process for each engine; ``compact``: four processes.
    without
        Engines of analysis that are not to run here: ``analytics``, ``factor``, ``features``, ``vpin``,
        ``enhanced-vpin``, ``collateral``.
    bind
        Address of the HTTP ports. One that other machines reach takes TLS and keys (see the section `access`);
        with TLS 127.0.0.1 is listened on too, plain, for this machine's own processes.
    ports
        ``fixed``: each engine's own; ``free``: whatever is free, to run beside another instance.
    data_directory
        Of journal, event log, engine states and logs. "": by the name of the instance under `XDG_DATA_HOME`.
    start_seconds
        How long a process may take until it is ready.
    stop_seconds
        How long a process may take to stop before it is killed.
    lead_seconds
        From the start until a recording begins to play.
    handler_limit_ms
        What a handler of an engine may take: a longer one is named in the log; at ten times this its process ends and
        is started again.
    workers
        {engine: count}: processes beside the engine's own that compute what it is asked, 1 where nothing is said; each
        has loaded what it computes with (100 MB and more). More are of use where there are processors for them.
    """

    instance: str = "main"
    processes: Literal["native", "compact"] = "native"
    without: tuple[str, ...] = ()
    bind: str = "127.0.0.1"
    ports: Literal["fixed", "free"] = "fixed"
    data_directory: str = ""
    start_seconds: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    stop_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    lead_seconds: Annotated[float, Meta(ge=0, le=60)] = 1.5
    handler_limit_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100
    workers: dict[str, Annotated[int, Meta(ge=1, le=64)]] = {}

    def __post_init__(self) -> None:
        for name in self.workers:
            if name not in CATALOGUE:
                raise ConfigError(f"workers.{name}", where="platform", expected=f"some of {', '.join(CATALOGUE)}")
        if not re.fullmatch(INSTANCE_NAME, self.instance):
            raise ConfigError(f"instance {self.instance!r}", where="platform", expected=f"a name like {INSTANCE_NAME}")
        if not self.bind:
            raise ConfigError("bind ''", where="platform", expected='an address, such as "127.0.0.1" or "0.0.0.0"')


class CoreConfig(msgspec.Struct, frozen=True):
    """The trading core's process.

    Parameters
    ----------
    acknowledge
        When an order counts as taken: ``memory``: its command is written and survives the process; ``disk``: it is
        synced and survives the machine; ``replica``: a standby has it too and it survives this machine's loss.
    without_standby
        What ``replica`` does while no standby has the journal: ``refuse`` new orders, and show nothing more; or
        ``degrade`` to ``memory``, counted and visible.
    spin_us
        How long an idle thread of the core looks for work before it sleeps; more on machines with cores to spare.
    ring_capacity
        Commands in each ring into the core, a power of two.
    answer_ms
        How long a request over HTTP waits for the core's answer, until what became of it is called unknown. A core that
        gives no sign of life for half as long is said to hang. More where the machine may stand still; then
        `platform.handler_limit_ms` has to be more than a tenth of it.
    open_orders
        How many orders can be open at once. One more is refused, with a reason of its own.
    ready_orders
        Of these, those whose memory is there before the first order; a thread prepares as many again whenever half of
        what is ready is in use. 0: each page is made when it is first used.
    segment_mib
        Size of a segment of the journal.
    pin
        ``none``; ``auto``: its threads on the last cores, one left to everything else; or the cores of its kernel,
        journal and egress threads, as in ``2,3,4``. What the machine refuses of this and the following is in the log
        of the core, and changes nothing else.
    realtime_priority
        SCHED_FIFO priority of these threads; 0: the usual scheduling.
    lock_memory
        Keep its memory from being swapped out: all of it where that is permitted, else its rings and the kernel's pools
        as far as the limit goes.
    huge_pages
        For the rings between its threads, committed before the start, and for the kernel's pools.
    numa_local
        Take memory from the node of the kernel thread's core.
    cpu_dma_latency_us
        The longest that a core may take to wake up, held while it runs; -1: not asked for.
    slice_us
        How long its threads run before others may, where more want to run than there are cores: the shorter, the sooner
        they run once there is work for them. 0: as long as all others, some milliseconds.
    """

    acknowledge: Literal["memory", "disk", "replica"] = "memory"
    without_standby: Literal["refuse", "degrade"] = "refuse"
    spin_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 30
    ring_capacity: Annotated[int, Meta(ge=64, le=1 << 22)] = 1 << 13
    answer_ms: Annotated[int, Meta(ge=10, le=60_000)] = 400
    open_orders: Annotated[int, Meta(ge=1, le=1 << 26)] = 1 << 17
    ready_orders: Annotated[int, Meta(ge=0, le=1 << 26)] = 1 << 13
    segment_mib: Annotated[int, Meta(ge=1, le=4096)] = 64
    pin: Annotated[str, Meta(pattern=r"^(none|auto|\d+(,\d+){0,2})$")] = "none"
    realtime_priority: Annotated[int, Meta(ge=0, le=99)] = 0
    lock_memory: bool = False
    huge_pages: bool = False
    numa_local: bool = False
    cpu_dma_latency_us: Annotated[int, Meta(ge=-1, le=1_000_000)] = -1
    slice_us: Annotated[int, Meta(ge=0, le=100_000)] = 100

    def __post_init__(self) -> None:
        if self.ring_capacity & (self.ring_capacity - 1):
            raise ConfigError(f"ring_capacity {self.ring_capacity}", where="core", expected="a power of two")


class JournalConfig(msgspec.Struct, frozen=True):
    """Snapshots of the journal while the core runs, and what of it is kept.

    Parameters
    ----------
    follower
        A process of low priority that replays the journal and leaves snapshots; ``auto``: in the layout ``native``, but
        not in a demonstration. It takes the memory of a second kernel.
    snapshot_commands
        Between two snapshots, at least.
    keep_snapshots
        Sound ones that stay.
    compact
        What becomes of segments that lie before the oldest of them and whose events are all in the event log: they are
        kept (``never``), deleted (``drop``), or moved (``archive``).
    keep_segments
        Whole ones that stay in any case.
    archive
        Directory that takes what goes. "": `archive` beside the journal.
    """

    follower: Literal["auto", "on", "off"] = "auto"
    snapshot_commands: Annotated[int, Meta(ge=1)] = 1_000_000
    keep_snapshots: Annotated[int, Meta(ge=1, le=1000)] = 2
    compact: Literal["never", "drop", "archive"] = "never"
    keep_segments: Annotated[int, Meta(ge=0, le=1_000_000)] = 2
    archive: str = ""


class ReplicaConfig(msgspec.Struct, frozen=True):
    """The stream of the journal to a standby.

    Parameters
    ----------
    listen
        Where a standby may dial: ``tcp://ADDRESS:PORT``, or ``ipc://PATH`` for one on this machine. "": with
        `core.acknowledge` ``replica`` a socket in the instance's directory, else none.
    allow
        Public keys of the standbys that may, over TCP (`nautilus trading key` prints an instance's).
    core_key
        Of a standby: the public key of the core that it dials over TCP.
    acknowledge
        Of a standby: when it says that it has a command: ``memory`` or ``disk`` of its own machine.
    """

    listen: str = ""
    allow: tuple[str, ...] = ()
    core_key: str = ""
    acknowledge: Literal["memory", "disk"] = "memory"


class LoggingConfig(msgspec.Struct, frozen=True):
    """Logs. The files are always JSON lines.

    Parameters
    ----------
    level
        The least that is written.
    format
        How lines are shown to a person.
    file_mib
        A log file grows to this size, then a new one is begun.
    files
        How many full ones of each process are kept.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file_mib: Annotated[int, Meta(ge=1, le=4096)] = 32
    files: Annotated[int, Meta(ge=0, le=100)] = 3
