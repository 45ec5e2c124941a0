"""An instance of the platform: one directory of one user, held by a lock for as long as its supervisor lives.

::

    <directory>             $XDG_RUNTIME_DIR/nautilus/<instance>, else <temporary directory>/nautilus-<uid>/<instance>
      lock                  held by the supervisor, its pid inside
      <process>.lock        held by each process
      <process>.n, .u       its mesh sockets; star: the market data
      token                 what HTTP clients and the command line show
      plan.json, state.json what runs, and how it is
    <shared>                /dev/shm/nautilus-<uid>/<instance>, else <directory>/shared: rings, counters, histograms
    <data>                  journal/, events/, state/, logs/

What a dead instance left is swept by the next one of its name; a live one is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
from pathlib import Path

import msgspec

from nautilus.model.errors import BusError, ConfigError
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause
from nautilus.runtime.files import FileLock, holder, private_directory, write_atomically
from nautilus.runtime.plan import MAX_ENDPOINT, Plan
from nautilus.runtime.platform import INSTANCE_NAME
from nautilus.runtime.states import PlatformState

SHARED_MEMORY = Path("/dev/shm")
TEMPORARY = Path("/tmp")  # not $TMPDIR: every shell of this user must find the same place, and it must be short
ENDPOINT_NAME = 16
"""Characters that a socket's name may take up."""
ORPHAN_SECONDS = 12.0
"""How long the processes of a dead supervisor may take to stop in order before they are killed."""


class InstanceLiveError(ConfigError):
    """Another supervisor holds the instance."""

    code = "config.instance_live"


class NotRunningError(BusError):
    """No instance of that name is up."""

    code = "bus.not_running"


class Instance:
    """The places of an instance. `create` is for the supervisor, `find` for everybody else.

    Attributes
    ----------
    name, directory, shared, data : see the module; `data` is only known once there is a plan.
    pid : of the supervisor.
    """

    def __init__(self, name: str, directory: Path, shared: Path, data: Path, pid: int) -> None:
        self.name = name
        self.directory = directory
        self.shared = shared
        self.data = data
        self.pid = pid
        self._locks: list[FileLock] = []
        self._made_data = False

    @classmethod
    def create(cls, name: str, *, data: str = "", fresh_data: bool = False) -> Instance:
        """Take the instance for this process; close it when done.

        Parameters
        ----------
        data
            Directory of what must last. "": under `XDG_DATA_HOME`, by the instance's name.
        fresh_data
            An empty directory within the instance's own instead, gone when the instance is.

        Raises
        ------
        InstanceLiveError
            It, or its data, is in use.
        ConfigError
            Its place is too long for a socket's name, or open to others.
        """
        directory = directory_of(name)
        shared = _shared_of(name, directory)
        place = directory / "data" if fresh_data and not data else Path(data or data_of(name)).absolute()
        instance = cls(name, directory, shared, place, os.getpid())
        try:
            private_directory(directory.parent)
            instance._take(directory, f"instance {name!r} is up")
            for stale in ("state.json", "plan.json", "token"):
                (directory / stale).unlink(missing_ok=True)  # first: whoever looks must not take them for this one's
            _end_orphans(directory)
            _empty(directory)
            if shared.parent != directory:
                private_directory(shared.parent)
                instance._take(shared, f"the shared memory of instance {name!r} is in use")
                _empty(shared)
            private_directory(shared)
            instance._made_data = place == directory / "data"
            for made in (place, place / "logs"):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not instance._made_data:
                instance._take(place, f"data directory {place} is in use")
            write_atomically(directory / "token", secrets.token_urlsafe(32).encode())
        except BaseException:
            instance.close()
            raise
        return instance

    @classmethod
    def find(cls, name: str) -> Instance:
        """A live instance; NotRunningError where there is none."""
        directory = directory_of(name)
        pid = holder(directory / "lock")
        if pid is None:
            raise NotRunningError(f"instance {name!r} is not running", expected="`nautilus up` before this")
        instance = cls(name, directory, _shared_of(name, directory), Path(), pid)
        with contextlib.suppress(NotRunningError):
            instance.data = Path(instance.plan().data)
        return instance

    @property
    def is_live(self) -> bool:
        """Whether its supervisor still holds it."""
        return holder(self.directory / "lock") == self.pid

    def token(self) -> str:
        """What HTTP clients outside of a demonstration must show."""
        return self._read("token").decode()

    def write_plan(self, plan: Plan) -> None:
        """For `find`."""
        write_atomically(self.directory / "plan.json", msgspec.json.encode(plan))

    def plan(self) -> Plan:
        """What it runs."""
        return msgspec.json.decode(self._read("plan.json"), type=Plan)

    def write_state(self, state: PlatformState) -> None:
        """For `find`."""
        write_atomically(self.directory / "state.json", msgspec.json.encode(state))

    def state(self) -> PlatformState:
        """How its processes are."""
        state = msgspec.json.decode(self._read("state.json"), type=PlatformState)
        if state.pid != self.pid:
            raise NotRunningError(f"instance {self.name!r} is starting: state.json is of another")
        return state

    def close(self) -> None:
        """Remove what is not data, and let it go. Without effect on an instance of another process."""
        if not self._locks:
            return
        # An impatient Ctrl-C must not leave half of it: it is taken afterwards.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            self._remove()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _remove(self) -> None:
        _empty(self.directory)
        if self.shared.parent != self.directory:
            _empty(self.shared)
        for lock in reversed(self._locks):
            lock.release(remove=True)
        self._locks.clear()
        for path in (self.shared, self.directory):
            for place in (path, path.parent):
                # Not empty: another instance of this user, or one of this name that has begun.
                with contextlib.suppress(OSError):
                    place.rmdir()

    def _take(self, directory: Path, in_use: str) -> None:
        while True:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = FileLock.take(directory / "lock")
                break
            except FileNotFoundError:
                continue  # an instance that ends has removed the directory in between
        if lock is None:
            pid = holder(directory / "lock")
            raise InstanceLiveError(
                in_use + (f" (pid {pid})" if pid else ""),
                expected="`nautilus down` first, or another platform.instance",
            )
        self._locks.append(lock)
        if directory != self.data:
            private_directory(directory)

    def _read(self, name: str) -> bytes:
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            raise NotRunningError(f"instance {self.name!r} is starting or stopping: no {name} yet") from None


def directory_of(name: str) -> Path:
    """Where an instance lives. ConfigError where the name is none, or the place too long for a socket's name."""
    if not re.fullmatch(INSTANCE_NAME, name):
        raise ConfigError(f"instance {name!r}", expected=f"a name like {INSTANCE_NAME}")
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = given.startswith("/") and os.path.isdir(given) and os.access(given, os.W_OK)
    directory = Path(given) / "nautilus" / name if usable else TEMPORARY / f"nautilus-{os.geteuid()}" / name
    length = len(os.fsencode(directory)) + 1 + ENDPOINT_NAME
    if length > MAX_ENDPOINT:
        raise ConfigError(
            f"path of {length} characters",
            where=str(directory),
            expected=f"at most {MAX_ENDPOINT} with the name of a socket; set XDG_RUNTIME_DIR to a shorter one",
        )
    return directory


def _shared_of(name: str, directory: Path) -> Path:
    if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
        return SHARED_MEMORY / f"nautilus-{os.geteuid()}" / name
    return directory / "shared"


def data_of(name: str) -> Path:
    """Where the data of an instance lies unless `platform.data_directory` says otherwise."""
    given = os.environ.get("XDG_DATA_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "share"
    return base / "nautilus" / name


def _empty(directory: Path) -> None:
    """Remove everything in a directory but its lock."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(directory):
            if entry.name == "lock":
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)


def _end_orphans(directory: Path) -> None:
    """Wait for the processes of a dead supervisor, which stop in order; kill those that do not."""
    until_ns = monotonic_ns() + int(ORPHAN_SECONDS * NANOSECONDS)
    locks = sorted(directory.glob("*.lock"))
    while locks := [lock for lock in locks if holder(lock)]:
        if monotonic_ns() > until_ns:
            for lock in locks:
                pid = holder(lock)
                if pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        pause(0.02)
