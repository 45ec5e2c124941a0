"""The checks of `nautilus doctor` that concern the live platform: what its processes need of this machine."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import stat
from pathlib import Path

from nautilus.cli.checks import MIB, Check

SHARED_MEMORY = Path("/dev/shm")
WANTED_SHARED = 256 * MIB
WANTED_FILES = 4096


def shared_memory() -> Check:
    """Room for rings and counters in shared memory."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        return Check("shared memory", "warn", f"no {SHARED_MEMORY}", "rings lie in the instance's directory instead")
    free = shutil.disk_usage(SHARED_MEMORY).free
    found = f"{free // MIB:,} MiB free in {SHARED_MEMORY}"
    if free >= WANTED_SHARED:
        return Check("shared memory", "ok", found)
    return Check("shared memory", "warn", found, f"mount -o remount,size={2 * WANTED_SHARED // MIB}m {SHARED_MEMORY}")


def instance_directory() -> Check:
    """Where the sockets and files of an instance will lie is this user's alone, and near enough for a socket path."""
    from nautilus.runtime.instance import directory_of

    base = directory_of("main").parent
    if not base.exists():
        return Check("instance directory", "ok", f"{base}, made by `nautilus up`")
    facts = base.stat()
    if facts.st_uid != os.getuid():
        return Check("instance directory", "fail", f"{base} belongs to user {facts.st_uid}", "set XDG_RUNTIME_DIR")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        return Check("instance directory", "warn", f"{base} has mode {mode}", f"chmod 0700 {base}")
    names = sorted(path.name for path in base.iterdir() if path.is_dir())
    return Check("instance directory", "ok", f"{base}: {', '.join(names) or 'no instance'}")


def ports() -> Check:
    """The engines' ports are free, or an instance of this user has them already."""
    from nautilus.engines import CATALOGUE

    taken = [entry.port for entry in CATALOGUE.values() if not _is_free(entry.port)]
    numbers = ", ".join(str(entry.port) for entry in CATALOGUE.values())
    if not taken:
        return Check("ports", "ok", f"{numbers} are free")
    owned = _ports_of_instances()
    own = sorted({owned[port] for port in taken if port in owned})
    others = [port for port in taken if port not in owned]
    found = [f"{', '.join(str(port) for port in taken if owned.get(port) == name)}: instance {name}" for name in own]
    if not others:
        return Check("ports", "ok", f"in use by your own: {'; '.join(found)}")
    found.append(", ".join(map(str, others)) + (": others" if own else ""))
    return Check("ports", "warn", f"in use: {'; '.join(found)}", 'stop what has them, or set platform.ports = "free"')


def _ports_of_instances() -> dict[int, str]:
    """Instances of this user by the ports that their engines have."""
    from nautilus.model.errors import NautilusError
    from nautilus.runtime.instance import Instance, directory_of
    from nautilus.runtime.status import read_state

    found: dict[int, str] = {}
    for directory in directory_of("main").parent.glob("*/"):
        try:
            processes = read_state(Instance.find(directory.name)).processes
        except (NautilusError, OSError, ValueError):
            continue  # it is down, starting or stopping
        found |= {port: directory.name for process in processes for port in process.ports.values()}
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def open_files() -> Check:
    """Each process holds a socket to every peer, and the gateway one for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"limit {soft:,} (hard {'none' if hard == resource.RLIM_INFINITY else f'{hard:,}'})"
    if soft >= WANTED_FILES or soft == resource.RLIM_INFINITY:
        return Check("open files", "ok", found)
    if hard >= WANTED_FILES or hard == resource.RLIM_INFINITY:
        return Check("open files", "warn", found, f"ulimit -n {WANTED_FILES}")
    return Check("open files", "warn", found, f"raise nofile to {WANTED_FILES} in /etc/security/limits.conf")


def servers() -> Check:
    """Redis, PostgreSQL and containers for the servers beside the engines; none is needed to run."""
    wanted = {"redis-server": "Redis", "postgres": "PostgreSQL", "prometheus": "Prometheus", "docker": "Docker"}
    found = [name for binary, name in wanted.items() if _binary(binary)]
    return Check("servers", "ok", f"{', '.join(found) or 'none'} (none is needed)")


def _binary(name: str) -> str | None:
    places = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join([*places, "/usr/sbin", "/usr/local/sbin"]))


CHECKS = (shared_memory, instance_directory, ports, open_files, servers)
