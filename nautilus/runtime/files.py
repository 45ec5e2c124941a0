"""Files that processes share: written whole or not at all, locked by one, in directories of one user."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from nautilus.model.errors import ConfigError
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause

# A reader that asks who holds a lock holds it, shared, for an instant.
_RETRY_SECONDS = 0.005
_RETRIES = 10


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file (0600): a reader sees the old content or the new, also after a crash of this process.

    With `durable` that holds for a crash of the machine too, and the new one is there after it, at the cost of a sync.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_directory(path: Path) -> Path:
    """Make a directory (0700) where it is missing; ConfigError where it is open to others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError("not a directory of this user", where=str(path), expected="one that nobody else made")
    if found.st_mode & 0o077:
        raise ConfigError(f"open to others (mode {found.st_mode & 0o777:o})", where=str(path), expected="mode 700")
    return path


class FileLock:
    """A lock on a file, with the pid of its holder inside; it ends with the process, however that ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, *, wait_seconds: float = 0.0) -> FileLock | None:
        """The lock, or None where another process holds it."""
        until_ns = monotonic_ns() + int(max(wait_seconds, _RETRY_SECONDS * _RETRIES) * NANOSECONDS)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The last holder may have removed the file after it was opened here: then this is a lock on nothing.
                if _is_at(descriptor, path):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    return cls(path, descriptor)
            except BlockingIOError:
                if monotonic_ns() >= until_ns:
                    os.close(descriptor)
                    return None
                pause(_RETRY_SECONDS)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self, *, remove: bool = False) -> None:
        """Give it up; the file goes first where it is to be removed."""
        if self._descriptor < 0:
            return
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


def holder(path: Path) -> int | None:
    """Pid of the process that holds the lock of a file; None where nobody does."""
    for _ in range(_RETRIES):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            if text.isdigit():
                return int(text)
        else:
            return None
        finally:
            os.close(descriptor)
        # Taken this instant: the pid is about to be written.
        pause(_RETRY_SECONDS)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
