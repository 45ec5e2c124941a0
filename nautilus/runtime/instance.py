"""An instance of the platform: one directory of one user, held by a lock for as long as its supervisor lives.

::

    <directory>             $XDG_RUNTIME_DIR/nautilus/<instance>, else /run/nautilus/<instance> where that directory
                            is this user's (a service's), else /tmp/nautilus-<uid>/<instance>
      lock                  held by the supervisor, its pid inside
      <process>.lock        held by each process
      <process>.n, .u       its mesh sockets; star: the market data
      token                 what HTTP clients and the command line show
      plan.json, state.json what runs, and how it is
      outcome               how it stopped, for who has opened it before that
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
from nautilus.runtime.platform import INSTANCE_NAME, PlatformConfig
from nautilus.runtime.states import Outcome, PlatformState

SHARED_MEMORY = Path("/dev/shm")
SERVICE = Path("/run/nautilus")
"""Where a service has its instances: systemd or the image makes it, for the service's user alone."""
TEMPORARY = Path("/tmp")  # not $TMPDIR: every shell of this user must find the same place, and it must be short
ENDPOINT_NAME = 16
"""Characters that a socket's name may take up."""
ORPHAN_SECONDS = 12.0
"""How long the processes of a dead supervisor may take to stop in order before they are killed."""


class InstanceLiveError(ConfigError):
    """Another supervisor holds the instance."""

    code = "config.instance_live"


class DataDirectoryError(ConfigError):
    """The data directory cannot be had."""

    code = "config.data"


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
        DataDirectoryError
            Its data cannot lie there.
        ConfigError
            Its place is too long for a socket's name, or open to others.
        """
        directory = directory_of(name)
        shared = _shared_of(name, directory)
        place = directory / "data" if fresh_data and not data else Path(data or data_of(name)).absolute()
        instance = cls(name, directory, shared, place, os.getpid())
        try:
            private_directory(directory.parent)
            advice = f"{command('down', name)} first, or another platform.instance"
            instance._take(directory, f"instance {name!r} is up", advice)
            for stale in ("state.json", "plan.json", "token"):
                (directory / stale).unlink(missing_ok=True)  # first: whoever looks must not take them for this one's
            _end_orphans(directory)
            _empty(directory)
            if shared.parent != directory:
                private_directory(shared.parent)
                instance._take(shared, f"the shared memory of instance {name!r} is in use", advice)
                _empty(shared)
            private_directory(shared)
            instance._made_data = place == directory / "data"
            instance._make_data(place)
            write_atomically(directory / "token", secrets.token_urlsafe(32).encode())
            write_atomically(directory / "outcome", b"")
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
            raise NotRunningError(f"instance {name!r} is not running", expected=f"{command('up', name)} before this")
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

    def write_outcome(self, outcome: Outcome) -> None:
        """For who waits for the end: written in place, as the file is gone before anybody could open it."""
        with contextlib.suppress(OSError), open(self.directory / "outcome", "r+b") as file:
            file.write(msgspec.json.encode(outcome))
            file.truncate()

    def open_outcome(self) -> int:
        """A descriptor from which `read_outcome` reads, once the instance is gone."""
        try:
            return os.open(self.directory / "outcome", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotRunningError(f"instance {self.name!r} is starting or stopping: no outcome") from None

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
        with contextlib.suppress(OSError):
            if not (self.directory / "outcome").stat().st_size:
                self.write_outcome(Outcome(0))  # nothing had begun yet
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

    def _make_data(self, place: Path) -> None:
        try:
            for made in (place, place / "logs"):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._made_data:
                self._take(place, f"data directory {place} is in use", "another --data")
        except OSError as error:
            raise DataDirectoryError(
                f"cannot be a data directory: {error.strerror}",
                where=str(place),
                expected="a directory of your own that can be written",
            ) from None

    def _take(self, directory: Path, in_use: str, advice: str) -> None:
        while True:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = FileLock.take(directory / "lock")
                break
            except FileNotFoundError:
                if not directory.parent.is_dir():
                    raise
                continue  # an instance that ends has removed the directory in between
        if lock is None:
            pid = holder(directory / "lock")
            name, _ = owner_of(pid) if pid else ("", "")
            if name not in ("", self.name):
                advice += f", or {command('down', name)} first"
            raise InstanceLiveError(in_use + (f" (pid {pid})" if pid else ""), expected=advice)
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
    directory = _base() / name
    length = len(os.fsencode(directory)) + 1 + ENDPOINT_NAME
    if length > MAX_ENDPOINT:
        raise ConfigError(
            f"path of {length} characters",
            where=str(directory),
            expected=f"at most {MAX_ENDPOINT} with the name of a socket; set XDG_RUNTIME_DIR to a shorter one",
        )
    return directory


def command(what: str, name: str) -> str:
    """A command as advice names it, with the instance where that is not the usual one."""
    usual = name == PlatformConfig().instance
    return f"`nautilus {what}`" if usual else f"`nautilus {what} --instance {name}`"


def owner_of(pid: int) -> tuple[str, str]:
    """Instance and process of this user to which a pid belongs ("": the supervisor); two empty ones: to none."""
    with contextlib.suppress(OSError):
        for path in _base().glob("*/*lock"):
            if path.read_bytes().strip() == str(pid).encode() and holder(path) == pid:
                return path.parent.name, path.name.removesuffix("lock").removesuffix(".")
    return "", ""


def read_outcome(descriptor: int) -> Outcome | None:
    """How an instance has stopped; None where it could not say so any more. It closes the descriptor."""
    with open(descriptor, "rb") as file:
        content = file.read()
    try:
        return msgspec.json.decode(content, type=Outcome)
    except msgspec.DecodeError:
        return None


def _base() -> Path:
    """Where the instances of this user live."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given.startswith("/") and os.path.isdir(given) and os.access(given, os.W_OK):
        return Path(given) / "nautilus"
    # The same for the service and for whoever looks at it as its user, who seldom has the service's environment.
    with contextlib.suppress(OSError):
        if SERVICE.stat().st_uid == os.geteuid() and os.access(SERVICE, os.W_OK):
            return SERVICE
    return TEMPORARY / f"nautilus-{os.geteuid()}"


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
